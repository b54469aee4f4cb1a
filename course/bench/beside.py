"""Our code beside PyTorch's, in one run: the same work in turns, so that a busy machine slows both."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from course.bench.figure import ROOT, seconds
from grading.manifest.load import load
from grading.manifest.model import Status
from grading.testing.plugin import DirectStudent

TURNS = 60


def solution() -> DirectStudent:
    """The course's own framework and recipes, in this process."""
    for module in load(ROOT).modules:
        folder = str(ROOT / module.folder)
        if module.status is Status.BUILT and folder not in sys.path:
            sys.path.append(folder)
    return DirectStudent(ROOT, lambda: Path(tempfile.mkdtemp()))


def pytorch() -> ModuleType:
    """PyTorch, which only the bench session installs."""
    import torch

    return torch


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Both sides compute with so many threads."""
    from threadpoolctl import threadpool_limits

    torch = pytorch()
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], turns: int = TURNS) -> tuple[float, float]:
    """Median seconds of each, measured alternately after a few unmeasured turns."""
    for _ in range(5):
        ours()
        theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(turns)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
