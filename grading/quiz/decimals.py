"""Convert different ways of writing the same rounded number to one canonical text, for comparing answers."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, localcontext

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
MAX_CHARACTERS = 60
MAX_EXPONENT = 40


def normalize_number(answer: object, digits: int) -> str | None:
    """Round the number to ``digits`` decimals, as text: 20, 20.0 and "20" → "20". Return None if it is not a number.

    NaN, infinities, booleans and numbers beyond 10^40 do not count as numbers.
    """
    if isinstance(answer, bool) or not isinstance(answer, int | float | str):
        return None
    if isinstance(answer, int) and answer.bit_length() > 256:  # even converting it to text would take long
        return None
    text = str(answer).strip()
    if len(text) > MAX_CHARACTERS or not NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    if number.adjusted() > MAX_EXPONENT:
        return None
    with localcontext() as context:
        context.prec = MAX_EXPONENT + MAX_CHARACTERS
        rounded = number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    return str(abs(rounded) if rounded.is_zero() else rounded)
