"""Measure how long the grader and its tools take."""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from course.release import write_release
from grading.client import Worker
from grading.sandbox.launch import Confinement, choose_fence
from tests.bench.bench_figure import ROOT, BenchmarkFigure, copy_environment_without_nox, run_quietly, time_call


def time_worker_calls() -> Iterator[BenchmarkFigure]:
    """Time a trivial worker call, and one that sends a megabyte to the worker and back."""
    sandbox = choose_fence(official=False)
    with tempfile.TemporaryDirectory() as folder:
        confinement = Confinement(Path(folder), (), memory_mb=2048, cpu_seconds=60, sandbox=sandbox)
        with Worker(confinement, call_seconds=10) as worker:
            for value, name, goal in ((1, "a trivial worker call", 0.5), (np.zeros(1 << 17), "1 MB there and back", 5)):
                worker.request("echo", value)
                times = [time_call(lambda value=value: worker.request("echo", value)) for _ in range(200)]  # type: ignore[misc]
                yield BenchmarkFigure(
                    name, statistics.median(times) * 1e3, goal, "ms", f"median of 200 calls, {sandbox}"
                )


def time_release() -> Iterator[BenchmarkFigure]:
    """Measure the time to write the student repository."""
    with tempfile.TemporaryDirectory() as folder:
        taken = time_call(lambda: write_release(ROOT, Path(folder, "release")))
    yield BenchmarkFigure("writing the release", taken, 5, "s", "course.release.write_release, one run")


def time_status_command() -> Iterator[BenchmarkFigure]:
    """Time `tito milestone status`, the command that students run most often."""
    environment = copy_environment_without_nox() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tito", "milestone", "status"]
    times = [time_call(lambda: run_quietly(command, ROOT, environment)) for _ in range(8)]
    yield BenchmarkFigure("tito milestone status", statistics.median(times[1:]), 0.4, "s", "median of 7")


def time_first_milestone(nox_path: str) -> Iterator[BenchmarkFigure]:
    """Time `nox -s milestone-1` in an existing environment, and the grader's own share of that time."""
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "result.json")
        command = [nox_path, "-s", "milestone-1", "--", "--again", "--json", str(record)]
        _first, total = [
            time_call(lambda: run_quietly(command, ROOT, copy_environment_without_nox())) for _ in range(2)
        ]
        timing = json.loads(record.read_text())["timing"]
    unchanged = time_call(lambda: run_quietly(command[:3], ROOT, copy_environment_without_nox()))
    typed = [sys.executable, "-m", "tito", "milestone", "test", "1"]
    again = [
        time_call(lambda: run_quietly(typed, ROOT, copy_environment_without_nox() | {"PYTHONPATH": str(ROOT)}))
        for _ in range(2)
    ]
    yield BenchmarkFigure("nox -s milestone-1, environment made", total, 12, "s", "second of two runs")
    yield BenchmarkFigure("of which the grader's own share", timing["grader"], 3, "s", "all but student code running")
    yield BenchmarkFigure("an unchanged milestone 1", unchanged, 2, "s", "answered from the cache, including nox")
    yield BenchmarkFigure("tito milestone test 1, unchanged", again[1], 1, "s", "second of two runs")


def time_bare_machine() -> Iterator[BenchmarkFigure]:
    """Time the README's first command with nothing installed: in a fresh clone, with an empty home and no caches."""
    with tempfile.TemporaryDirectory() as folder:
        clone, home, venv = Path(folder, "course"), Path(folder, "home"), Path(folder, "venv")
        home.mkdir()
        run_quietly(["git", "clone", "-q", str(ROOT), str(clone)], ROOT, copy_environment_without_nox())
        run_quietly([sys.executable, "-m", "venv", str(venv)], ROOT, copy_environment_without_nox())
        environment = copy_environment_without_nox() | {
            "HOME": str(home),
            "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        for name in ("XDG_CACHE_HOME", "UV_CACHE_DIR", "PIP_CACHE_DIR", "VIRTUAL_ENV", "PYTHONPATH"):
            environment.pop(name, None)
        command = ["sh", "-c", 'pip install -q "nox[uv]" && nox -s milestone-1']
        taken = time_call(lambda: run_quietly(command, clone, environment))
    yield BenchmarkFigure(
        "first run on a bare machine", taken, 90, "s", "pip install nox[uv] and nox -s milestone-1, one run"
    )
