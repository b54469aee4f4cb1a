"""Our code compared with PyTorch in one run: both do the same work in turns, so that a busy machine slows both."""

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
from grading.compare.beside import measure_in_turns, pytorch
from grading.testing.plugin import DirectStudent
from tests.bench.figure import ROOT, seconds

TURNS = 60


def solution() -> DirectStudent:
    """Load the course's own framework and recipes into this process."""
    put_framework_on_path()
    return DirectStudent(ROOT, lambda: Path(tempfile.mkdtemp()))


class _EnoughError(Exception):
    """The requested steps have been taken."""


def take_steps(train: Callable[..., None], *arguments: Any, rng: np.random.Generator, steps: int) -> None:
    """Run a recipe's training, and abandon it at its first report of ``steps`` steps or more."""

    def progress(step: int, *_: float) -> None:
        if step >= steps:
            raise _EnoughError

    with suppress(_EnoughError):
        train(*arguments, rng=rng, progress=progress)


@contextmanager
def threads(count: int, blas: int | None = None) -> Iterator[None]:
    """Limit both sides to ``count`` threads, and NumPy's BLAS to ``blas`` when our code starts its own threads."""
    from threadpoolctl import threadpool_limits

    torch = pytorch()
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(blas or count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def in_turns(
    *works: Callable[[], object], turns: int = TURNS, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Measure the median seconds of each piece of work, in turns after a few unmeasured ones."""
    return measure_in_turns(*(partial(seconds, work, clock) for work in works), turns=turns, warm_ups=5)
