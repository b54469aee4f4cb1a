"""A measured figure with its goal, and functions that time commands."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grading.errors import GraderError

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class BenchmarkFigure:
    """One measurement and its goal, both in ``unit``. Smaller is better."""

    name: str
    measured: float
    goal: float
    unit: str
    how: str


def time_call(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure the seconds that one call takes, by the wall clock or a different one such as `time.process_time`."""
    started = clock()
    work()
    return clock() - started


def copy_environment_without_nox() -> dict[str, str]:
    """Copy the environment without nox's own variables, which would keep a nested nox from preparing its sessions."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NOX_")}


def run_quietly(command: list[str], cwd: Path, environment: dict[str, str]) -> None:
    """Run a command silently. Raise GraderError with the end of its output if it fails."""
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GraderError(
            f"{' '.join(command)} failed with exit code {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )
