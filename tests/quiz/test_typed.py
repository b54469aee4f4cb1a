"""What is typed as an answer is understood as it was meant, or asked for again."""

from __future__ import annotations

import pytest

from grading.quiz.student_questions import StudentQuestion
from grading.quiz.typed import UnclearAnswerError, parse_typed_answer

CHOICE = StudentQuestion("why", "choice", "Why?", "there", {"a": "A", "b": "B", "c": "C"})
WHOLE = StudentQuestion("size", "number", "How many **bytes** are that?", "there")
DECIMAL = StudentQuestion("loss", "number", "What is the loss, to two decimals, in %?", "there", digits=2)


@pytest.mark.parametrize(
    ("typed", "question", "meant"),
    [
        ("20", WHOLE, 20),
        ("2104 bytes", WHOLE, 2104),
        ("2104 Byte.", WHOLE, 2104),
        ("2,104", WHOLE, 2104),
        ("2,104 bytes", WHOLE, 2104),
        ("12 345", WHOLE, 12345),
        ("12'345", WHOLE, 12345),
        ("12_345", WHOLE, 12345),
        ("1.234.567", WHOLE, 1234567),
        ("-1,024", WHOLE, -1024),
        ("\N{MINUS SIGN}3", WHOLE, -3),
        ("= 7", WHOLE, 7),
        ("1e3", WHOLE, 1000.0),
        (" 0.25 ", DECIMAL, 0.25),
        ("3,89", DECIMAL, 3.89),
        ("0,125", DECIMAL, 0.125),
        (".5", DECIMAL, 0.5),
        ("0.5 %", DECIMAL, 0.5),
        ("2.104", DECIMAL, 2.104),
        ("1,234.5", DECIMAL, 1234.5),
        ("1.234,5", DECIMAL, 1234.5),
        ("b", CHOICE, "b"),
        ("B", CHOICE, "b"),
        ("b)", CHOICE, "b"),
        ("a,c", CHOICE, ("a", "c")),
        ("a, c", CHOICE, ("a", "c")),
        ("ac", CHOICE, ("a", "c")),
        ("a and c", CHOICE, ("a", "c")),
    ],
)
def test_what_is_typed_is_kept_as_it_is_meant(typed: str, question: StudentQuestion, meant: object) -> None:
    """Units that the question names, and marks between digits as people set them."""
    answer = parse_typed_answer(typed, question)
    assert answer == meant
    assert type(answer) is type(meant)


@pytest.mark.parametrize(
    ("typed", "question", "words"),
    [
        ("twenty", WHOLE, "one number"),
        ("", WHOLE, "one number"),
        ("nan", WHOLE, "one number"),
        ("1e999", WHOLE, "one number"),
        ("1/2", WHOLE, "one number"),
        ("8*3", WHOLE, "one number"),
        ("2.1 KB", WHOLE, "KB"),
        ("5 %", WHOLE, "%"),
        ("2.104", WHOLE, "Is that 2104?"),
        ("2,104", DECIMAL, "Is that 2104 or 2.104?"),
        ("1,2,3", DECIMAL, "without separators"),
        ("9" * 100, WHOLE, "one number"),
        ("d", CHOICE, "letters a, b, c"),
        ("aa", CHOICE, "letters a, b, c"),
        ("the first", CHOICE, "letters a, b, c"),
        ("", CHOICE, "letters a, b, c"),
    ],
)
def test_what_could_mean_two_things_or_none_is_asked_for_again(
    typed: str, question: StudentQuestion, words: str
) -> None:
    """With what is unclear about it."""
    with pytest.raises(UnclearAnswerError) as unclear:
        parse_typed_answer(typed, question)
    assert words in str(unclear.value)
