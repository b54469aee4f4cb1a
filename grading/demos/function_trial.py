"""Run a function that a network wrote on a few inputs, with the grader's own evaluator and never with Python itself."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grading.demos.function_requests import FunctionBeginning
from grading.language.documents import Prompt
from grading.language.function_evaluation import (
    RefusedError,
    Value,
    draw_arguments,
    draw_function_cases,
    find_completion_mistake,
    is_same_value,
    parse_function,
    run_function,
)
from grading.language.rivals import Completer

RUNS = 3
"""The number of inputs that are shown."""
LONGEST_INPUT = 200
"""The maximum number of characters in a typed input."""


@dataclass(frozen=True)
class FunctionCall:
    """One call of a written function."""

    call: str
    """The call as text, such as larger_times(40, 62)."""
    returned: str
    """The value, or the reason why there is no value."""
    right: bool | None
    """Whether the value is correct, or None if the correct value is unknown."""


@dataclass(frozen=True)
class FunctionTrial:
    """The outcome of running a written function."""

    runs: tuple[FunctionCall, ...]
    verdict: str
    right: bool | None
    """Whether the function does what its docstring says, or None if that is unknown."""


UNENDED_TRIAL = FunctionTrial((), "It does not end.", False)


def try_function(beginning: FunctionBeginning, written: str, rng: np.random.Generator) -> FunctionTrial:
    """Run a beginning and its continuation as a function on drawn inputs; judge it if the correct answer is known."""
    text, answer = beginning.text, beginning.answer
    try:
        function = parse_function(text + written)
    except RefusedError as error:
        return FunctionTrial((), f"It is not a function that can be run: {error}.", False)
    if answer is None:
        runs = tuple(call_written_function(function, draw_arguments(function, rng)) for _ in range(RUNS))
        return FunctionTrial(runs, "The correct answer is not known: judge it yourself.", None)
    cases = draw_function_cases(Prompt(text, answer), rng)
    runs = tuple(call_written_function(function, case.arguments, case.expected) for case in cases[:RUNS])
    mistake = find_completion_mistake(Prompt(text, answer), written, cases)
    verdict = f"It is correct for all {len(cases)} inputs." if mistake is None else f"It is wrong: {mistake}."
    return FunctionTrial(runs, verdict, mistake is None)


def try_rivals(
    beginning: FunctionBeginning, rivals: Mapping[str, Completer], seed: int
) -> dict[str, tuple[str, FunctionTrial]]:
    """Map each rival to its continuation of a beginning and that function's trial, with the same inputs for all."""
    written = {name: complete([Prompt(beginning.text, "")])[0] for name, complete in rivals.items()}
    return {name: (one, try_function(beginning, one, np.random.default_rng(seed))) for name, one in written.items()}


def run_typed_inputs(source: str, inputs: Sequence[Any]) -> FunctionCall:
    """Run a function on inputs as typed, such as 12, -1.5, or 3, 5, 8 for a list; raise ValueError for anything else.

    There is one input for each parameter. The error says what is wrong.
    """
    try:
        return call_written_function(parse_function(source), [_parse_input_text(text) for text in inputs])
    except RefusedError as error:
        raise ValueError(f"it is not a function that can be run: {error}") from None


def list_parameter_names(source: str) -> list[str]:
    """List the names of a function's parameters. The list is empty unless the text is one function with one return."""
    try:
        return [argument.arg for argument in parse_function(source).args.args]
    except RefusedError:
        return []


def _parse_input_text(text: Any) -> Value:
    """Parse a number or a list of numbers that a visitor typed. Raise ValueError if the text is neither."""
    if type(text) is not str or len(text) > LONGEST_INPUT:
        raise ValueError(f"an input is text of at most {LONGEST_INPUT} characters")
    text = text.strip()
    if text.startswith("[") or "," in text:
        return [_parse_typed_number(part) for part in text.strip("[], ").split(",") if part.strip()]
    return _parse_typed_number(text)


def _parse_typed_number(text: str) -> int | float:
    """Parse a typed number. Raise ValueError if it is anything else."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    raise ValueError(f"{text.strip() or 'nothing'} is not a number or a list such as 3, 5, 8")


def call_written_function(
    function: ast.FunctionDef, arguments: Sequence[Value], expected: Value | None = None
) -> FunctionCall:
    """Call a function once. Record its value, or why it has none, and whether that is correct (None if unknown)."""
    call = f"{function.name}({', '.join(map(str, arguments))})"
    try:
        value = run_function(function, arguments)
    except RefusedError as error:
        return FunctionCall(call, f"no value: {error}", None if expected is None else False)
    return FunctionCall(call, str(value), None if expected is None else is_same_value(value, expected))
