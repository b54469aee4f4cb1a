"""The figures the project promises, measured on this machine and printed beside what was promised.

Run by `nox -s bench`. Nothing fails here: a machine under load is no defect. Every figure is the median of several
runs where a run is short.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from course.release import write_release
from grading.client import Worker
from grading.errors import GraderError
from grading.render.progress import watch_for
from grading.sandbox.launch import Confinement, choose

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Figure:
    """One measurement beside its goal; both in ``unit``, smaller is better."""

    name: str
    measured: float
    goal: float
    unit: str
    how: str


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def outside() -> dict[str, str]:
    """The environment as it is outside of a nox session: nox tells a nox within it not to prepare itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("NOX_")}


def quietly(command: list[str], cwd: Path, environment: dict[str, str]) -> None:
    """Run a command; GraderError with the end of what it said when it fails."""
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise GraderError(
            f"{' '.join(command)} failed with exit code {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}"
        )


def worker_calls() -> Iterator[Figure]:
    """A trivial call, and one with a megabyte there and back."""
    sandbox = choose(official=False)
    with tempfile.TemporaryDirectory() as folder:
        confinement = Confinement(Path(folder), (), memory_mb=2048, cpu_seconds=60, sandbox=sandbox)
        with Worker(confinement, call_seconds=10) as worker:
            for value, name, goal in ((1, "a trivial worker call", 0.5), (np.zeros(1 << 17), "1 MB there and back", 5)):
                worker.request("echo", value)
                times = [seconds(lambda value=value: worker.request("echo", value)) for _ in range(200)]  # type: ignore[misc]
                yield Figure(name, statistics.median(times) * 1e3, goal, "ms", f"median of 200 calls, {sandbox}")


def release() -> Figure:
    """Writing the student repository."""
    with tempfile.TemporaryDirectory() as folder:
        taken = seconds(lambda: write_release(ROOT, Path(folder, "release")))
    return Figure("the release is written", taken, 5, "s", "course.release.write_release, one run")


def status() -> Figure:
    """The command students type most."""
    environment = outside() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tito", "milestone", "status"]
    times = [seconds(lambda: quietly(command, ROOT, environment)) for _ in range(8)]
    return Figure("tito milestone status", statistics.median(times[1:]), 0.4, "s", "median of 7")


def milestone(nox: str) -> Iterator[Figure]:
    """`nox -s milestone-1` in an environment already made, and the grader's own share of it."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "result.json")
        command = [nox, "-s", "milestone-1", "--", "--again", "--json", str(record)]
        _first, total = [seconds(lambda: quietly(command, ROOT, outside())) for _ in range(2)]
        timing = json.loads(record.read_text())["timing"]
    yield Figure("nox -s milestone-1, environment made", total, 12, "s", "second of two runs")
    yield Figure("of which the grader's own share", timing["grader"], 3, "s", "all but student code running")


def bare() -> Figure:
    """The README's first command where nothing is installed: empty home, empty caches, a fresh clone."""
    with tempfile.TemporaryDirectory() as folder:
        clone, home, venv = Path(folder, "course"), Path(folder, "home"), Path(folder, "venv")
        home.mkdir()
        quietly(["git", "clone", "-q", str(ROOT), str(clone)], ROOT, outside())
        quietly([sys.executable, "-m", "venv", str(venv)], ROOT, outside())
        environment = outside() | {"HOME": str(home), "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        for name in ("XDG_CACHE_HOME", "UV_CACHE_DIR", "PIP_CACHE_DIR", "VIRTUAL_ENV", "PYTHONPATH"):
            environment.pop(name, None)
        command = ["sh", "-c", 'pip install -q "nox[uv]" && nox -s milestone-1']
        taken = seconds(lambda: quietly(command, clone, environment))
    return Figure("first run on a bare machine", taken, 90, "s", "pip install nox[uv] and nox -s milestone-1, one run")


def main() -> None:
    """Measure everything and print the table."""
    console = Console()
    nox = shutil.which("nox") or str(Path(sys.prefix).parent.parent / "bin" / "nox")
    figures: list[Figure] = []
    steps: list[tuple[str, Callable[[], list[Figure]]]] = [
        ("Calling a worker", lambda: list(worker_calls())),
        ("Writing a release", lambda: [release()]),
        ("Asking for the status", lambda: [status()]),
        ("Grading milestone 1 twice", lambda: list(milestone(nox))),
        ("Grading in a fresh clone with nothing installed", lambda: [bare()]),
    ]
    with watch_for(console) as watch:
        for title, step in steps:
            watch.phase(title, None)
            figures += step()
    table = Table("figure", "measured", "promised", "", "how", title=f"{os.cpu_count()} cores, {sys.platform}")
    for f in figures:
        met = "met" if f.measured < f.goal else "MISSED"
        table.add_row(f.name, f"{f.measured:.3g} {f.unit}", f"under {f.goal:g} {f.unit}", met, f.how)
    console.print(table)


if __name__ == "__main__":
    main()
