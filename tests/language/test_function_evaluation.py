"""A network's functions are parsed, checked and computed here: right values, and nothing else."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.language.documents import Prompt
from grading.language.function_evaluation import (
    FunctionCase,
    RefusedError,
    draw_function_cases,
    find_completion_mistake,
    is_same_value,
    parse_function,
    run_function,
)


@pytest.mark.parametrize(
    ("expression", "arguments"),
    [
        ("(a + b) / 2 - a // b + a % b", (17, 5)),
        ("max(a ** 2, -b) if a > b or not b == 3 else min(a, b)", (3, 8)),
        ("abs(a - b) * 1.5", (3, 8)),
        ("[x for x in a if x % b == 0 and x > 1][-1]", ([3, 4, 6, 7, 8], 2)),
        ("sum(x * x for x in a if x != b)", ([1, 2, 3], 2)),
        ("len([x for x in a if 1 < x <= b])", ([1, 2, 3], 2)),
        ("any(x == b for x in a) and not all(x < b for x in a)", ([1, 2, 3], 2)),
        ("b != 0 and a / b > 1", (3, 0)),
        ("a or b", (0, 7)),
        ("a and b or a < b and -b", (0, 7)),
        ("max([a, b, 7])", (3, 8)),
    ],
)
def test_the_value_is_pythons(expression, arguments):
    """Everything listed means the same as in Python."""
    source = f"def f(a, b):\n    return {expression}\n"
    names: dict = {}
    exec(source, names)  # noqa: S102 - our own expressions
    expected = names["f"](*arguments)
    got = run_function(parse_function(source), arguments)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "a.__class__",
        "open(a)",
        "9 ** 9 ** 9",
        "2 ** -1",
        "a * 10 ** 8 * 10 ** 8",
        "[a] * 99",
        "[x for x in [1, 2] for y in [3]]",
        "[x for x, y in [[1, 2]]]",
        "a[0]",
        "a / 0",
        "1e999",
        "(lambda: a)()",
        "(c := a)",
        "f'{a}'",
        "'a' + 'b'",
        "f(a, b)",
        "max(a, key=b)",
        "max(*[a, b])",
        "c",
        "None",
        "1j",
        "",
    ],
)
def test_what_is_not_on_the_list_is_refused(expression):
    """Attributes, imports, other calls and large numbers are refused, always with this exception."""
    with pytest.raises(RefusedError):
        run_function(parse_function(f"def f(a, b):\n    return {expression}\n"), (3, 4))


@pytest.mark.parametrize(
    "source",
    [
        "return a",
        "def f(a, b):\n    a = 1\n    return a\n",
        "def f(a, b):\n    return a\n    return b\n",
        "def f(a, b):\n    return a\nprint(1)\n",
        "def f(a, b=1):\n    return a\n",
        "def f(a, *b):\n    return a\n",
        "def f(a, b) -> int:\n    return a\n",
        "@a\ndef f(a, b):\n    return a\n",
        "def f(a, b):\n    '''Only this.'''\n",
        "async def f(a, b):\n    return a\n",
        "def f(a, a):\n    return a\n" * 2,
        "def f(a, b):\n    return a\0",
    ],
)
def test_only_one_function_of_one_return_is_taken(source):
    """Any other text, whether or not it parses, is refused with a reason."""
    with pytest.raises(RefusedError):
        parse_function(source)


@pytest.mark.parametrize(
    "nested", ["(" * 3000 + ")" * 3000, "-" * 5000 + "a", "[" * 150 + "]" * 150, "not " * 3000 + "a"]
)
def test_deep_nesting_ends_at_once(nested):
    """No text makes the grader recurse without end."""
    started = time.process_time()
    with contextlib.suppress(RefusedError):
        run_function(parse_function(f"def f(a, b):\n    return {nested}\n"), (3, 4))
    assert time.process_time() - started < 5


def test_many_operations_end():
    """Comprehensions in comprehensions are refused once they take too long."""
    inner = "[1, 2, 3, 4, 5, 6, 7, 8]"
    for _ in range(8):
        inner = f"[max(x for x in {inner}) for x in [1, 2, 3, 4, 5, 6, 7, 8]]"
    with pytest.raises(RefusedError, match="too many operations"):
        run_function(parse_function(f"def f(a, b):\n    return sum({inner})\n"), (3, 4))


@given(st.text(max_size=160))
def test_no_text_raises_anything_else(text):
    """Any completion is either right or has a mistake in words."""
    prompt = Prompt('def f(a, b):\n    """Return."""', "\n    return a + b\n")
    find_completion_mistake(prompt, text, [FunctionCase((1, 2), 3)])


def test_a_mistake_names_the_first_case_that_tells():
    """The student reads the input and the wrong value."""
    prompt = Prompt('def f(a, b):\n    """Return."""', "\n    return a + b\n")
    cases = [FunctionCase((2, 2), 4), FunctionCase((2, 3), 5)]
    assert find_completion_mistake(prompt, "\n    return a * b\n", cases) == "for 2, 3 it returns 6, not 5"
    assert find_completion_mistake(prompt, "\n    return b + a\n", cases) is None


@pytest.mark.parametrize(
    ("got", "expected", "same"),
    [
        (2, 2.0, True),
        (0.1 + 0.2, 0.3, True),
        (True, 1, False),
        (1, True, False),
        ([1, 2], [1, 2.0], True),
        ([1], 1, False),
    ],
)
def test_values_are_equal_up_to_rounding_and_bools_are_no_numbers(got, expected, same):
    """2 and 2.0 are the same; True and 1 are not."""
    assert is_same_value(got, expected) is same


def test_cases_do_not_depend_on_numpy():
    """Arguments are Python's own numbers, as the functions' constants are."""
    prompt = Prompt('def f(a, b):\n    """Return."""', "\n    return [x for x in a if x > b]\n")
    cases = draw_function_cases(prompt, np.random.default_rng(1))
    assert {type(value) for case in cases for value in (case.arguments[1], *case.arguments[0])} == {int}
