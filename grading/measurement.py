"""The context that a check receives, and the measurement that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from grading.client import Worker
from grading.manifest.check_figures import CHECK_FIGURES
from grading.manifest.model import Budget, Manifest, Milestone, Module
from grading.render.progress_watch import ProgressWatch
from grading.result import Curve, DataRecord, Failure, NamedImage, Picture, Writing
from grading.submission import Submission

if TYPE_CHECKING:  # pytest is slow to import, and cached figures do not need it
    from grading.testing.runner import TestOutcome

E = TypeVar("E")


@dataclass(frozen=True)
class CheckContext:
    """Everything that a check may use."""

    root: Path
    """The course's root folder, with the manifest, the tests and the grader."""
    manifest: Manifest
    modules: tuple[Module, ...]
    milestone: Milestone | None
    submission: Submission
    start: Callable[..., Worker]
    """A function that starts a fresh worker for the submission. `start(6)` starts one that sees only modules 01 to
    06.
    """
    budget: Budget
    seed: int
    official: bool
    student: str | None
    watch: ProgressWatch
    log: WorkerLog
    task: str | None = None
    """The only task whose tests are run, or None to run all tests."""
    is_enough: Callable[[TestOutcome], bool] = lambda _: False
    """Whether the remaining tests can be skipped after this outcome."""

    def start_workers(self, count: int) -> Iterator[Worker]:
        """Yield ``count`` fresh workers. Each is started while the previous one is working."""
        ahead = self.start()
        for left in reversed(range(count)):
            worker = ahead
            if left:
                ahead = self.start()
            yield worker

    def derive_seeds(self, purpose: str, count: int) -> list[int]:
        """Derive ``count`` seeds for one purpose from the run's seed."""
        words = [self.seed, *purpose.encode()]
        return [int(s) for s in np.random.SeedSequence(words).generate_state(count)]


@dataclass
class WorkerLog:
    """The totals of a complete run: the time spent in student code, and everything that it printed."""

    student_seconds: float = 0.0
    output: list[str] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    def close_workers(self) -> None:
        """Close every worker, add its time and output to the log's totals, and remove it from the log."""
        for worker in self.workers:
            worker.close()
            self.student_seconds += worker.student_seconds
            self.output.append(worker.output)
        self.workers.clear()

    def join_worker_output(self, max_characters: int) -> str:
        """Join what all closed workers printed, and cut the middle if the text is longer than ``max_characters``."""
        text, half = "".join(self.output), max_characters // 2
        dropped = f"\n… {len(text) - 2 * half:,} characters omitted …\n"
        return text if len(text) <= max_characters else text[:half] + dropped + text[-half:]


@dataclass(frozen=True)
class Measurement:
    """A check's figures and, for each one, the failures to show if it misses its threshold."""

    figures: Mapping[str, float | None]
    """The figures, keyed by name. None means that a figure could not be measured, because student code failed."""
    failures: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict)
    how: str = ""
    rivals: Mapping[str, str] = field(default_factory=dict)
    """The results of the rivals (programs that only count or copy), for each figure that has any. They replace
    ``how``.
    """
    curves: tuple[Curve, ...] = ()
    pictures: tuple[Picture, ...] = ()
    writings: tuple[Writing, ...] = ()
    named_images: tuple[NamedImage, ...] = ()
    training_seconds: tuple[float, ...] = ()
    """The CPU time of each network's training, excluding the grader's own requests in between."""
    data: DataRecord | None = None
    """The data set on which the figures were measured."""


def get_milestone_and_experiment(context: CheckContext, kind: type[E]) -> tuple[Milestone, E]:
    """Look up the context's milestone and its experiment, which must be of this kind."""
    assert context.milestone is not None
    assert isinstance(context.milestone.experiment, kind)
    return context.milestone, context.milestone.experiment


def build_failed_measurement(check_name: str, failure: Failure, **fields: Any) -> Measurement:
    """Build the measurement of a check whose student code failed. No figure has a value, and all share this failure."""
    names = CHECK_FIGURES[check_name]
    return Measurement(dict.fromkeys(names), dict.fromkeys(names, (failure,)), **fields)
