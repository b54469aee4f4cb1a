"""Run the same work alternately in the student's code and in PyTorch, so that a busy machine slows both."""

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
from grading.render.text import to_one_line

GRADIENT_PREFIX = "gradient of "
"""The prefix of a computed gradient's name."""
TOLERANCE = 2e-4
"""The allowed difference, relative to the largest of PyTorch's values or to 1, whichever is larger.

The differences that come from summing float32 numbers in a different order are far smaller.
"""
TURNS = 9
TURN_SECONDS = 0.004
"""The shortest useful turn, in seconds. Quick work is repeated within one turn."""
MAX_CALLS = 500
INSTALL_COMMAND = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
Arrays = Mapping[str, np.ndarray]


def import_pytorch() -> ModuleType:
    """Import PyTorch. Raise UsageError with the installation command if it is missing or broken."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError(
            "PyTorch is not installed here. The course does not need it, but the comparison does. Install the CPU "
            f"version, which is gigabytes smaller: {INSTALL_COMMAND}"
        )
    try:
        return importlib.import_module("torch")
    except (ImportError, OSError) as error:  # OSError: one of PyTorch's own libraries is missing
        reason = to_one_line(str(error), 200)
        raise UsageError(
            f"PyTorch is installed here but cannot be loaded: {reason}. Install it again: {INSTALL_COMMAND}"
        ) from None


def measure_in_turns(*measures: Callable[[], float], turns: int, warm_ups: int) -> list[float]:
    """Call functions that return seconds in turns, after uncounted warm-ups, and return each function's median."""
    for _ in range(warm_ups):
        for measure in measures:
            measure()
    durations = [[measure() for measure in measures] for _ in range(turns)]
    return [statistics.median(times) for times in zip(*durations, strict=True)]


def time_calls(function: Callable[..., object], arguments: list[Any], count: int) -> float:
    """Return the time in seconds that ``count`` calls take.

    This function runs in either process and imports what it needs.
    """
    from time import perf_counter

    started = perf_counter()
    for _ in range(count):
        function(*arguments)
    return perf_counter() - started


@dataclass(frozen=True, eq=False)
class CaseSide:
    """One side of a case, either the student's or PyTorch's."""

    compute: Callable[[], Mapping[str, Any]]
    """A function that returns arrays, keyed by name. The names of gradients begin with GRADIENT_PREFIX."""
    run: Callable[[int], float]
    """A function that repeats the work the given number of times and returns the time taken in seconds."""


def build_local_side(
    compute: Callable[[], Mapping[str, Any]], function: Callable[..., object], *arguments: Any
) -> CaseSide:
    """Build a side that computes its values and times calls of ``function`` in this process."""
    return CaseSide(compute, partial(time_calls, function, list(arguments)))


def build_worker_side(
    student: Any, compute: Callable[[], Mapping[str, Any]], function: Callable[..., object], *arguments: Any
) -> CaseSide:
    """Build the student's side, timed in the worker that runs it."""
    timer = student.define(time_calls)

    def time_in_worker(count: int) -> float:
        """Return the time in seconds that ``count`` calls take, according to the worker's clock."""
        seconds = timer(function, list(arguments), count)
        if type(seconds) is not float or not 0 <= seconds < math.inf:
            raise ProtocolError("its clock does not return seconds")
        return seconds

    return CaseSide(compute, time_in_worker)


@dataclass(frozen=True)
class ComparisonCase:
    """The same work on both sides, with the same input arrays."""

    name: str
    size: str
    """A short description of the inputs' shapes."""
    draw: Callable[[np.random.Generator], Arrays]
    ours: Callable[[Any, Arrays], CaseSide]
    """A function that builds the student's side from `student`, as in module tests."""
    theirs: Callable[[Any, Arrays], CaseSide]
    """A function that builds PyTorch's side."""


@dataclass(frozen=True)
class Comparison:
    """The outcome of one case."""

    name: str
    size: str
    difference: float | None = None
    """The largest difference between corresponding values."""
    gradient_difference: float | None = None
    """The largest difference between corresponding gradients, or None if nothing is differentiated."""
    same: bool = False
    seconds: float | None = None
    """The time of one run of the student's code."""
    their_seconds: float | None = None
    problem: str | None = None
    """The reason why there are no differences and times, or None if there are."""


def compare_case(case: ComparisonCase, student: Any, torch: Any, rng: np.random.Generator) -> Comparison:
    """Compute a case on both sides, compare the values, and time both in turns. A failure becomes its `problem`.

    A GraderError on the student's side is raised as it is.
    """
    arrays = case.draw(rng)
    try:
        theirs = case.theirs(torch, arrays)
        expected = theirs.compute()
    except Exception as error:  # this version of PyTorch may lack the op; other cases can still be compared
        return Comparison(case.name, case.size, problem=f"PyTorch's side failed: {to_one_line(str(error), 160)}")
    try:
        ours = case.ours(student, arrays)
        got = ours.compute()
        if problem := find_shape_problem(got, expected):
            return Comparison(case.name, case.size, problem=problem)
        gaps = {name: compute_largest_difference(got[name], values) for name, values in expected.items()}
        if odd := next((name for name, gap in gaps.items() if gap == math.inf), None):
            return Comparison(case.name, case.size, problem=f"{odd} is NaN or infinite, but PyTorch's is not")
        seconds, their_seconds = time_in_turns(ours, theirs)
    except GraderError:
        raise
    except Exception as error:  # the student's objects can be anything
        return Comparison(case.name, case.size, problem=describe_error(error))
    gradients = [gaps[name] for name in gaps if name.startswith(GRADIENT_PREFIX)]
    return Comparison(
        case.name,
        case.size,
        difference=max(gaps[name] for name in gaps if not name.startswith(GRADIENT_PREFIX)),
        gradient_difference=max(gradients, default=None),
        same=all(gap <= TOLERANCE * max(1.0, float(np.abs(expected[name]).max())) for name, gap in gaps.items()),
        seconds=seconds,
        their_seconds=their_seconds,
    )


def time_in_turns(*sides: CaseSide) -> list[float]:
    """Return the median time in seconds that one run of each side takes, measured in turns."""
    counts = [max(1, min(MAX_CALLS, round(TURN_SECONDS / max(work.run(1), 1e-7)))) for work in sides]
    measures = [partial(work.run, count) for work, count in zip(sides, counts, strict=True)]
    durations = measure_in_turns(*measures, turns=TURNS, warm_ups=1)
    return [seconds / count for seconds, count in zip(durations, counts, strict=True)]


def find_shape_problem(got: Mapping[str, Any], expected: Arrays) -> str | None:
    """Describe the first result that is not an array of numbers with the shape of PyTorch's, or return None."""
    for name, values in expected.items():
        mine = got[name]
        if type(mine) is not np.ndarray or mine.dtype.kind not in "fiub":
            return f"{name} is not an array of numbers"
        if mine.shape != values.shape:
            return f"{name} has shape {mine.shape}, but PyTorch's has shape {values.shape}"
    return None


def compute_largest_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference between two corresponding values, or infinity if only one of them is NaN."""
    ours, theirs = got.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gaps = np.where((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)), 0.0, np.abs(ours - theirs))
    return float(np.nan_to_num(gaps, nan=np.inf).max(initial=0.0))


def describe_error(error: Exception) -> str:
    """Describe in one line what stopped the student's side. If a task is not implemented yet, include its number."""
    text = to_one_line(str(error), 160)
    if isinstance(error, WorkerFailureError):
        return text
    kind = error.remote_type if isinstance(error, RemoteError) else type(error).__name__
    return f"not written yet: {text}" if kind == "NotImplementedError" else f"{kind}: {text}"
