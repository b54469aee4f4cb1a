"""A typed request is understood, or refused with a description of valid ones."""

from __future__ import annotations

import numpy as np
import pytest

from grading.demos.function_requests import (
    MAX_CHARACTERS,
    NotUnderstoodError,
    describe_grammar,
    extract_docstring_phrase,
    parse_function_request,
)
from grading.demos.function_trial import RUNS, try_function
from grading.language.function_corpus import FunctionCorpus, draw_function_corpus


@pytest.fixture(scope="module")
def functions() -> FunctionCorpus:
    """Draw a few functions of one run."""
    return draw_function_corpus(np.random.default_rng(1), documents=100, prompts=40)


def test_every_phrase_of_the_language_is_understood(functions: FunctionCorpus) -> None:
    """It becomes the prompt it was taken from, with its answer. The words made up for the run are named."""
    for prompt in (*functions.compositions, *functions.made_up, *functions.names):
        beginning = parse_function_request(extract_docstring_phrase(prompt), functions.language)
        assert (beginning.text, beginning.answer) == (prompt.text, prompt.answer)
        made_up = [word for word in functions.language.made_up if word in prompt.text]
        assert all(f"'{word}' was made up for this run." in beginning.understood for word in made_up)
    composition = parse_function_request(extract_docstring_phrase(functions.compositions[0]), functions.language)
    assert "two parts never occur together" in composition.understood
    names = parse_function_request(extract_docstring_phrase(functions.names[0]), functions.language)
    assert "never appear together in the training text" in names.understood


@pytest.mark.parametrize(
    "typed",
    [
        "the larger of width and age, times 12",
        "larger of width and age times 12",
        "Write a function that returns the larger of width and age, times 12.",
        '  "Return the larger of width\nand age, times 12."  ',
        'def larger_times(width, age):\n    """Return the larger of width and age, times 12."""',
        'def larger_times( width,age ) : """ Return the larger of width and age, times 12. """ return',
    ],
)
def test_many_ways_to_ask_are_one(functions: FunctionCorpus, typed: str) -> None:
    """Article, comma and request are optional, and a signature may be on one line or on two."""
    beginning = parse_function_request(typed, functions.language)
    assert beginning.text == 'def larger_times(width, age):\n    """Return the larger of width and age, times 12."""'
    assert beginning.answer == "\n    return max(width, age) * 12\n"
    assert "the larger of width and age; then times 12." in beginning.understood


def test_a_signature_may_stand_alone(functions: FunctionCorpus) -> None:
    """The network writes its docstring. A docstring outside the language has no right answer."""
    alone = parse_function_request("def larger_times(width, age)", functions.language)
    assert (alone.text, alone.answer) == ("def larger_times(width, age):", None)
    free = parse_function_request('def root(width): """Return the root of width."""', functions.language)
    assert (free.text, free.answer) == ('def root(width):\n    """Return the root of width."""', None)
    other = parse_function_request('def f(age, width): """Return the sum of width and age."""', functions.language)
    assert other.answer is None


def test_what_the_training_text_does_not_have_is_said(functions: FunctionCorpus) -> None:
    """Unknown names and constants are pointed out, but accepted."""
    beginning = parse_function_request("the sum of foo and age, plus 500", functions.language)
    assert "foo never appears there" in beginning.understood
    assert "from 2 to 99" in beginning.understood
    assert beginning.answer == "\n    return (foo + age) + 500\n"
    trivial = parse_function_request("the first number in prices that is equal to limit", functions.language)
    assert "two parts never occur together" in trivial.understood


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Not understood. Of two numbers: the sum"),
        ("the root of width", "Not understood"),
        ("the sum of width and age, times 0", "Not understood"),
        ("the sum of width and width", "width and width are not two names"),
        ("the sum of for and age", "for and age are not two names"),
        ("def f(a, a):", "not a signature"),
        ("def f(a=1):", "not a signature"),
        ("def class(a):", "not a signature"),
        ("def f(a): return a", "Only a docstring"),
        ("x" * (MAX_CHARACTERS + 1), f"at most {MAX_CHARACTERS} characters"),
        ("def f(\x1b[31ma):", "not a signature"),
    ],
)
def test_what_is_not_understood_is_said(functions: FunctionCorpus, typed: str, said: str) -> None:
    """The message describes valid requests."""
    with pytest.raises(NotUnderstoodError, match=said):
        parse_function_request(typed, functions.language)


def test_the_language_is_described_in_its_own_words(functions: FunctionCorpus) -> None:
    """The description names each part, including those made up for the run."""
    told = describe_grammar(functions.language)
    assert all(word in told for word in functions.language.made_up)


@pytest.mark.parametrize(
    ("typed", "written", "verdict", "right"),
    [
        ("the larger of width and age", "\n    return max(width, age)\n", "It is correct for all 12 inputs.", True),
        ("the larger of width and age", "\n    return width\n", "It is wrong: for", False),
        ("the larger of width and age", "\n    return max(width, height)\n", "height is not defined", False),
        ("the larger of width and age", "\n    return max(width", "not a function that can be run", False),
        (
            "the sum of width and age, but at least 9999",
            "\n    return 9999\n",
            "It is correct for all 12 inputs.",
            True,
        ),
        ("def f(a, b, c):", '\n    """Return it."""\n    return a * b - c\n', "judge it yourself", None),
        ("def f():", "\n    return 2\n", "judge it yourself", None),
        ("def f(xs, n, m):", "\n    return [x * m for x in xs if x > n]\n", "judge it yourself", None),
    ],
)
def test_what_was_written_is_run(
    functions: FunctionCorpus, typed: str, written: str, verdict: str, right: bool
) -> None:
    """It runs on some inputs, and is right or wrong where the language defines the right answer."""
    beginning = parse_function_request(typed, functions.language)
    trial = try_function(beginning, written, np.random.default_rng(3))
    assert verdict in trial.verdict
    assert trial.right is right
    assert len(trial.runs) == (0 if "not a function" in verdict else RUNS)
    if right:
        assert all(run.right for run in trial.runs)
        arguments, returned = trial.runs[0].call.partition("(")[2].rstrip(")"), trial.runs[0].returned
        numbers = [int(part) for part in arguments.split(", ")]
        assert int(returned) == (max(numbers) if "larger" in typed else 9999)
