"""What a check is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grading.client import Worker
from grading.manifest.figures import FIGURES
from grading.manifest.model import Budget, Manifest, Milestone, Module
from grading.render.progress import Watch
from grading.result import Curve, DataRecord, Failure, NamedImage, Picture, Writing
from grading.submission import Submission

if TYPE_CHECKING:  # pytest is slow to import, and whoever is answered from kept figures needs none
    from grading.testing.runner import TestOutcome


@dataclass(frozen=True)
class Context:
    """Everything a check may use."""

    root: Path
    """The course: manifest, tests, grader."""
    manifest: Manifest
    modules: tuple[Module, ...]
    milestone: Milestone | None
    submission: Submission
    start: Callable[..., Worker]
    """A fresh worker for the submission; `start(6)` gives one that sees modules 01 to 06 and nothing of later ones."""
    budget: Budget
    seed: int
    official: bool
    student: str | None
    watch: Watch
    log: Log
    task: str | None = None
    """The only task whose tests are run; None for all."""
    is_enough: Callable[[TestOutcome], bool] = lambda _: False
    """Whether the tests after this outcome need not be run."""

    def workers(self, count: int) -> Iterator[Worker]:
        """``count`` fresh workers; each is started while the one before is at work."""
        ahead = self.start()
        for left in reversed(range(count)):
            worker = ahead
            if left:
                ahead = self.start()
            yield worker

    def seeds(self, purpose: str, count: int) -> list[int]:
        """``count`` seeds for one purpose, the same for the same run's seed."""
        words = [self.seed, *purpose.encode()]
        return [int(s) for s in np.random.SeedSequence(words).generate_state(count)]


@dataclass
class Log:
    """What is counted over a whole run: time in student code, and what it printed."""

    student_seconds: float = 0.0
    output: list[str] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)

    def close(self) -> None:
        """End every worker of the run and add up what it used."""
        for worker in self.workers:
            worker.close()
            self.student_seconds += worker.student_seconds
            self.output.append(worker.output)
        self.workers.clear()

    def printed(self, most: int) -> str:
        """What all of them printed, the first and the last part if it is more than ``most`` characters."""
        text, half = "".join(self.output), most // 2
        dropped = f"\n… {len(text) - 2 * half:,} characters not kept …\n"
        return text if len(text) <= most else text[:half] + dropped + text[-half:]


@dataclass(frozen=True)
class Measured:
    """A check's figures, and for each figure what to fix should it miss its threshold."""

    figures: Mapping[str, float | None]
    """None: could not be measured because student code failed."""
    failures: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict)
    how: str = ""
    rivals: Mapping[str, str] = field(default_factory=dict)
    """For a figure that has rivals, what they reach; said in place of ``how``."""
    curves: tuple[Curve, ...] = ()
    pictures: tuple[Picture, ...] = ()
    writings: tuple[Writing, ...] = ()
    named_images: tuple[NamedImage, ...] = ()
    training_seconds: tuple[float, ...] = ()
    """CPU time of each network's training, without what the grader asked in between."""
    data: DataRecord | None = None
    """The data set the figures come from."""


def measure_nothing(check: str, failure: Failure, **fields: Any) -> Measured:
    """What a check gives when student code did not come to its end: no figure, and for each the same failure."""
    names = FIGURES[check]
    return Measured(dict.fromkeys(names), dict.fromkeys(names, (failure,)), **fields)
