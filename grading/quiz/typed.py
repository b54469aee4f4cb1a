"""Parse an answer that a student typed, or explain why it is unclear, so that only intended answers are saved."""

from __future__ import annotations

import math
import re

from grading.quiz.student_questions import StudentQuestion

Number = int | float
NUMERAL = re.compile(r"=? *([-+\u2212]?[\d.][\d.,'_ \u00a0\u202f\u2009]*(?:[eE][-+]?\d{1,3})?) *([^\d\s][^\d]*)?")
DIGIT_GROUPS = re.compile(r"[-+]?\d{1,3}(?:([,'_ .])\d{3})(?:\1\d{3})*")
"""A pattern that matches digits in groups of three, such as 2,104 and 12 345 678."""
MAX_CHARACTERS = 60


class UnclearAnswerError(ValueError):
    """The error raised if an answer is unintelligible or ambiguous. The message asks for a new answer."""


def parse_typed_answer(text: str, question: StudentQuestion) -> Number | str | tuple[str, ...]:
    """Parse a typed number, letter or letters, as in "2,104 bytes" → 2104; raise UnclearAnswerError if it is unclear.

    Several letters become a tuple: "a and c" → ("a", "c").
    """
    return _parse_option_letters(text, question) if question.kind == "choice" else _parse_typed_number(text, question)


def _parse_option_letters(text: str, question: StudentQuestion) -> str | tuple[str, ...]:
    """Parse one letter (as text) or several (a tuple). Raise UnclearAnswerError if one is repeated or not an option."""
    words = [word for word in re.findall(r"[a-z]+", text.lower()) if word not in ("and", "or")]
    letters = tuple("".join(words))
    if not letters or len(set(letters)) < len(letters) or not set(letters) <= set(question.options):
        raise UnclearAnswerError(f"Answer with one or more of the letters {', '.join(question.options)}.")
    return letters[0] if len(letters) == 1 else letters


def _parse_typed_number(text: str, question: StudentQuestion) -> Number:
    """Parse a number, with or without the unit that the question names. Raise UnclearAnswerError if it is unclear."""
    found = NUMERAL.fullmatch(text.strip()) if len(text) <= MAX_CHARACTERS else None
    example = "20" if question.digits == 0 else "0.25"
    if found is None:
        raise UnclearAnswerError(f"Answer with one number, such as {example}.")
    digits, unit = found[1].strip().replace("\u2212", "-"), (found[2] or "").strip(" .")
    if unit and not _is_named_unit(unit, question.prompt):
        raise UnclearAnswerError(
            f"The question does not ask for “{unit[:20]}”. Answer with just the number, in the unit that the question "
            "uses."
        )
    value = _rewrite_numeral_for_python(digits, is_whole=question.digits == 0)
    number = int(value) if re.fullmatch(r"[-+]?\d+", value) else float(value)
    if not math.isfinite(number):
        raise UnclearAnswerError(f"Answer with one number, such as {example}.")
    return number


def _is_named_unit(unit: str, prompt: str) -> bool:
    """Return whether the prompt itself names this unit."""
    words = {word.rstrip("s") for word in re.findall(r"[a-zµ%]+", prompt.lower())}
    return {word.rstrip("s") for word in re.findall(r"[a-zµ%]+", unit.lower())} <= words


def _rewrite_numeral_for_python(digits: str, *, is_whole: bool) -> str:
    """Rewrite a numeral as Python writes it. Raise UnclearAnswerError if its comma or point is ambiguous."""
    digits = re.sub(r"[\u00a0\u202f\u2009]", " ", digits)
    plain = re.sub(r"[,'_ .]", "", digits)
    last = max(digits.rfind(","), digits.rfind("."))
    if grouped := DIGIT_GROUPS.fullmatch(digits):
        sign = grouped[1]
        may_be_decimal = sign in ",." and digits.count(sign) == 1
        if not may_be_decimal or (is_whole and sign == "," and not digits.lstrip("+-").startswith("0")):
            return plain
        if sign == "," and digits.lstrip("+-").startswith("0"):
            return digits.replace(",", ".")
        if is_whole:
            raise UnclearAnswerError(
                f"Is that {plain}? The answer is a whole number, so write it without a decimal point."
            )
        if sign == ",":
            raise UnclearAnswerError(
                f"Is that {plain} or {digits.replace(',', '.')}? Write it without the comma, or with a point."
            )
        return digits
    if "," in digits and "." in digits:
        head, tail = digits[:last], digits[last + 1 :]
        thousands = "," if digits[last] == "." else "."
        if thousands in tail or digits[last] in head or not DIGIT_GROUPS.fullmatch(head):
            raise UnclearAnswerError(
                "Write the number without separators between its digits, and with a point before the decimals."
            )
        return f"{re.sub(r'[,.]', '', head)}.{tail}"
    if digits.count(",") == 1 and digits[-1] != ",":
        return digits.replace(",", ".")
    try:
        float(digits)
    except ValueError:
        message = "Write the number without separators between its digits, and with a point before the decimals."
        raise UnclearAnswerError(message) from None
    return digits.replace("_", "")
