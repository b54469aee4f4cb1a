"""Workers for a submission: what they see and how much they may use, from the manifest's budget."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from grading.client import Worker
from grading.errors import GraderError
from grading.manifest.model import Budget, Module
from grading.sandbox.launch import Confinement
from grading.submission import Submission

SHOWN_WITH = {"numba": ("numba", "llvmlite")}
"""A package that student code may import → all that a worker must see for it."""


def worker_packages(modules: Iterable[Module]) -> tuple[str, ...]:
    """What workers with these modules see besides NumPy: the packages that one of the modules may import.

    GraderError, with the command that installs it, for one that is missing here.
    """
    shown: list[str] = []
    for module in modules:
        for name in module.imports:
            if name in SHOWN_WITH and importlib.util.find_spec(name) is None:
                install = " ".join(f'"{package}"' for package in module.packages)
                raise GraderError(f"module {module.id} needs {name}, which is not installed: pip install {install}")
            shown += SHOWN_WITH.get(name, ())
    return tuple(dict.fromkeys(shown))


def start_worker(submission: Submission, modules: Iterable[Module], budget: Budget, sandbox: str) -> Worker:
    """A fresh worker with the modules' folders on its import path."""
    modules = tuple(modules)
    confinement = Confinement(
        submission=submission.folder,
        folders=tuple(m.folder.as_posix() for m in modules),
        memory_mb=budget.memory_mb,
        cpu_seconds=int(budget.wall_seconds * 2),
        output_kb=budget.output_kb,
        threads=budget.threads,
        sandbox=sandbox,
        packages=worker_packages(modules),
    )
    return Worker(confinement, call_seconds=budget.call_seconds, wall_seconds=budget.wall_seconds)
