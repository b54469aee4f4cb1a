"""Numbers as answers: one canonical text for every way to write the same rounded number."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal, localcontext

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
LONGEST = 60
LARGEST_EXPONENT = 40


def canonical(answer: object, digits: int) -> str | None:
    """Round the number to ``digits`` decimals, as text: 20, 20.0 and "20" → "20"; None when it is not a number.

    NaN, infinities, booleans and numbers beyond 10^40 do not count as numbers.
    """
    if isinstance(answer, bool) or not isinstance(answer, int | float | str):
        return None
    if isinstance(answer, int) and answer.bit_length() > 256:  # converting it to text would already take long
        return None
    text = str(answer).strip()
    if len(text) > LONGEST or not NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    if number.adjusted() > LARGEST_EXPONENT:
        return None
    with localcontext() as context:
        context.prec = LARGEST_EXPONENT + LONGEST
        rounded = number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    return str(abs(rounded) if rounded.is_zero() else rounded)
