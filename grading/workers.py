"""Start a worker for a submission with the manifest's budget, or one without a submission to test the machine."""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass

from grading.client import Worker
from grading.errors import GraderError
from grading.manifest.model import Budget, Module
from grading.sandbox.folders import create_temporary_folder
from grading.sandbox.launch import Confinement
from grading.submission import Submission

SHOWN_WITH = {"numba": ("numba", "llvmlite")}
"""For each package that student code may import, all the packages that a worker must see to import it."""


def list_worker_packages(modules: Iterable[Module]) -> tuple[str, ...]:
    """List the packages besides NumPy that workers for these modules must see; raise GraderError if one is missing.

    The error names the command that installs the package.
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
    """Start a worker with the modules' folders on its import path; raise GraderError if a package is missing."""
    modules = tuple(modules)
    confinement = Confinement(
        submission=submission.folder,
        folders=tuple(m.folder.as_posix() for m in modules),
        memory_mb=budget.memory_mb,
        cpu_seconds=int(budget.wall_seconds * 2),
        output_kb=budget.output_kb,
        threads=budget.threads,
        sandbox=sandbox,
        packages=list_worker_packages(modules),
    )
    return Worker(confinement, call_seconds=budget.call_seconds, wall_seconds=budget.wall_seconds)


@dataclass(frozen=True)
class WorkerProbe:
    """The versions and the measured speed of a worker on this machine."""

    python: str
    numpy: str
    round_trip_seconds: float
    """The median time for the smallest request and its answer, in seconds."""


def probe_worker(sandbox: str) -> WorkerProbe:
    """Start a worker without a submission; return its versions and median response time, or raise GraderError."""
    with create_temporary_folder("tinytorch-probe-") as folder:
        confinement = Confinement(folder, (), memory_mb=2048, cpu_seconds=60, sandbox=sandbox)
        with Worker(confinement, call_seconds=10) as worker:
            times = []
            for _ in range(100):
                started = time.perf_counter()
                worker.request("echo", None)
                times.append(time.perf_counter() - started)
            return WorkerProbe(worker.python, worker.numpy, statistics.median(times))
