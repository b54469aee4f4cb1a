"""Compare our code with PyTorch in one run. Both do the same work in turns, so that a busy machine slows both."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from course.framework import put_framework_on_path
from grading.compare.case_comparison import import_pytorch, measure_in_turns
from grading.testing.plugin import DirectStudent
from tests.bench.bench_figure import ROOT, time_call

TURNS = 60


def load_solution() -> DirectStudent:
    """Load the course's own framework and recipes into this process."""
    put_framework_on_path()
    return DirectStudent(ROOT, lambda: Path(tempfile.mkdtemp()))


class _StepsTakenError(Exception):
    """The exception raised once the requested steps have been taken."""


def run_training_steps(train: Callable[..., None], *arguments: Any, rng: np.random.Generator, step_count: int) -> None:
    """Run a recipe's training, and abandon it once it reports ``step_count`` steps or more."""

    def stop_after_steps(step: int, *_: float) -> None:
        """Raise the exception that abandons training after enough steps."""
        if step >= step_count:
            raise _StepsTakenError

    with suppress(_StepsTakenError):
        train(*arguments, rng=rng, progress=stop_after_steps)


@contextmanager
def limit_threads(count: int, blas_threads: int | None = None) -> Iterator[None]:
    """Limit both sides to ``count`` threads, and NumPy's BLAS to ``blas_threads`` if our code starts its own."""
    from threadpoolctl import threadpool_limits

    torch = import_pytorch()
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(blas_threads or count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def measure_work_in_turns(
    *works: Callable[[], object], turns: int = TURNS, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Measure the median seconds that each piece of work takes, in turns, after a few unmeasured turns."""
    return measure_in_turns(*(partial(time_call, work, clock) for work in works), turns=turns, warm_ups=5)
