"""Workers for a submission: what they see and how much they may use, from the manifest's budget."""

from __future__ import annotations

from collections.abc import Iterable

from grading.client import Worker
from grading.manifest.model import Budget, Module
from grading.sandbox.launch import Confinement
from grading.submission import Submission


def start_worker(submission: Submission, modules: Iterable[Module], budget: Budget, sandbox: str) -> Worker:
    """A fresh worker with the modules' folders on its import path."""
    confinement = Confinement(
        submission=submission.folder,
        folders=tuple(m.folder.as_posix() for m in modules),
        memory_mb=budget.memory_mb,
        cpu_seconds=int(budget.wall_seconds * 2),
        output_kb=budget.output_kb,
        threads=budget.threads,
        sandbox=sandbox,
    )
    return Worker(confinement, call_seconds=budget.call_seconds, wall_seconds=budget.wall_seconds)
