"""Two sides of the same work: what each computes, and how long it takes, in turns: a busy machine slows both."""

from __future__ import annotations

import importlib
import importlib.util
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from grading.errors import GraderError, UsageError
from grading.remote import ProtocolError, RemoteError, WorkerFailureError
from grading.render.text import one_line

GRADIENT = "gradient of "
"""Begins the name of a computed array that is one."""
TOLERANCE = 2e-4
"""Of the largest number there is on PyTorch's side, or of 1: float32 that adds up in another order stays far below."""
TURNS = 9
TURN_SECONDS = 0.004
"""What a turn should take at least; so short work is done several times in one."""
MOST_CALLS = 500
INSTALL = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
Arrays = Mapping[str, np.ndarray]


def pytorch() -> ModuleType:
    """PyTorch; UsageError, with what installs it, where it is not or cannot be loaded."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError(
            "PyTorch is not installed here; the course does not need it, comparing does. Install it without its "
            f"gigabytes for graphics cards: {INSTALL}"
        )
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: a library of its own is missing
        reason = one_line(str(error), 200)
        raise UsageError(
            f"PyTorch is installed here and cannot be loaded: {reason}. Install it again: {INSTALL}"
        ) from None


def measure_in_turns(*measures: Callable[[], float], turns: int, warm_ups: int) -> list[float]:
    """The median of what each returns, seconds, measured in turns after some that do not count."""
    for _ in range(warm_ups):
        for measure in measures:
            measure()
    taken = [[measure() for measure in measures] for _ in range(turns)]
    return [statistics.median(times) for times in zip(*taken, strict=True)]


def time_calls(function: Callable[..., object], arguments: list[Any], count: int) -> float:
    """Seconds of so many calls. It runs on either side, so it brings what it needs."""
    from time import perf_counter

    started = perf_counter()
    for _ in range(count):
        function(*arguments)
    return perf_counter() - started


@dataclass(frozen=True, eq=False)
class Work:
    """One side of a case."""

    compute: Callable[[], Mapping[str, Any]]
    """Arrays by name; those that are gradients begin with GRADIENT."""
    run: Callable[[int], float]
    """Do it so many times; the seconds that took."""


def work_here(compute: Callable[[], Mapping[str, Any]], function: Callable[..., object], *arguments: Any) -> Work:
    """Work of this process."""
    return Work(compute, partial(time_calls, function, list(arguments)))


def work_there(
    student: Any, compute: Callable[[], Mapping[str, Any]], function: Callable[..., object], *arguments: Any
) -> Work:
    """Work of the student's, timed where it is done."""
    timer = student.define(time_calls)

    def run(count: int) -> float:
        seconds = timer(function, list(arguments), count)
        if type(seconds) is not float or not 0 <= seconds < math.inf:
            raise ProtocolError("its clock does not give seconds")
        return seconds

    return Work(compute, run)


@dataclass(frozen=True)
class Case:
    """The same work on both sides, from the same arrays."""

    name: str
    size: str
    """The shapes of what goes in, in words."""
    draw: Callable[[np.random.Generator], Arrays]
    ours: Callable[[Any, Arrays], Work]
    """From `student`, as module tests have it."""
    theirs: Callable[[Any, Arrays], Work]
    """From PyTorch."""


@dataclass(frozen=True)
class Comparison:
    """What came out of one case."""

    name: str
    size: str
    difference: float | None = None
    """The largest of all values."""
    gradient_difference: float | None = None
    """The largest of all gradients; None where nothing is differentiated."""
    same: bool = False
    seconds: float | None = None
    """Of the student's code, for one time."""
    their_seconds: float | None = None
    problem: str | None = None
    """Why there are no figures, or no seconds."""


def compare_case(case: Case, student: Any, torch: Any, rng: np.random.Generator) -> Comparison:
    """Compute on both sides, then time both in turns."""
    arrays = case.draw(rng)
    try:
        theirs = case.theirs(torch, arrays)
        expected = theirs.compute()
    except Exception as error:  # a version of PyTorch's that no longer has it; the other ops can still be compared
        return Comparison(case.name, case.size, problem=f"PyTorch's side failed: {one_line(str(error), 160)}")
    try:
        ours = case.ours(student, arrays)
        got = ours.compute()
        if problem := find_misfit(got, expected):
            return Comparison(case.name, case.size, problem=problem)
        gaps = {name: measure_difference(got[name], values) for name, values in expected.items()}
        if odd := next((name for name, gap in gaps.items() if gap == math.inf), None):
            return Comparison(case.name, case.size, problem=f"{odd} is NaN or infinite where PyTorch's is not")
        seconds, their_seconds = time_both(ours, theirs)
    except GraderError:
        raise
    except Exception as error:  # whatever the student's objects turned out to be
        return Comparison(case.name, case.size, problem=describe_error(error))
    gradients = [gaps[name] for name in gaps if name.startswith(GRADIENT)]
    return Comparison(
        case.name,
        case.size,
        difference=max(gaps[name] for name in gaps if not name.startswith(GRADIENT)),
        gradient_difference=max(gradients, default=None),
        same=all(gap <= TOLERANCE * max(1.0, float(np.abs(expected[name]).max())) for name, gap in gaps.items()),
        seconds=seconds,
        their_seconds=their_seconds,
    )


def time_both(*works: Work) -> list[float]:
    """Seconds of each work, for one time."""
    counts = [max(1, min(MOST_CALLS, round(TURN_SECONDS / max(work.run(1), 1e-7)))) for work in works]
    measures = [partial(work.run, count) for work, count in zip(works, counts, strict=True)]
    taken = measure_in_turns(*measures, turns=TURNS, warm_ups=1)
    return [seconds / count for seconds, count in zip(taken, counts, strict=True)]


def find_misfit(got: Mapping[str, Any], expected: Arrays) -> str | None:
    """What is not an array of PyTorch's shape, in words."""
    for name, values in expected.items():
        mine = got[name]
        if type(mine) is not np.ndarray or mine.dtype.kind not in "fiub":
            return f"{name}: no array of numbers came back"
        if mine.shape != values.shape:
            return f"{name} has the shape {mine.shape}, PyTorch's {values.shape}"
    return None


def measure_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of two numbers; infinite where one is not a number and the other is."""
    ours, theirs = got.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gaps = np.where((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)), 0.0, np.abs(ours - theirs))
    return float(np.nan_to_num(gaps, nan=np.inf).max(initial=0.0))


def describe_error(error: Exception) -> str:
    """What stopped the student's side, in a line; a gap by its task."""
    text = one_line(str(error), 160)
    if isinstance(error, WorkerFailureError):
        return text
    kind = error.remote_type if isinstance(error, RemoteError) else type(error).__name__
    return f"not written yet: {text}" if kind == "NotImplementedError" else f"{kind}: {text}"
