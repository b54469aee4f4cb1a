"""The promises of `tito watch`: a near-instant verdict after each save, and no work while nothing is saved."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from course.release import write_release
from course.skeleton import make_partial_skeleton
from grading.errors import GraderError
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest, Module
from grading.sandbox.processes import read_cpu_nanoseconds
from grading.submission import list_source_files
from tests.bench.bench_figure import ROOT, BenchmarkFigure, copy_environment_without_nox

MODULES = 10
PAUSE = 1.5
"""The seconds between two saves, during which the next worker starts. Nobody types faster."""
IDLE = 20.0
FAILS, EXPLAINED = "Fix this first", "with a debugger at hand"
"""The beginning of a failure's output, and the end of its explanation."""


def time_verdicts() -> Iterator[BenchmarkFigure]:
    """Time the verdict on each task after a save, as a student works through each module."""
    with tempfile.TemporaryDirectory() as place:
        release = Path(place, "release")
        write_release(ROOT, release)
        manifest = load_manifest(ROOT)
        for module in manifest.modules[:MODULES]:
            yield _time_module(release, manifest, module)


def measure_idle_cpu() -> Iterator[BenchmarkFigure]:
    """Measure the processor time of the watch and its processes while nothing is saved."""
    with tempfile.TemporaryDirectory() as place:
        write_release(ROOT, Path(place, "release"))
        with _run_watch(Path(place, "release"), load_manifest(ROOT).modules[0]) as process:
            _wait_for(process, EXPLAINED)
            time.sleep(2 * PAUSE)
            before = read_cpu_nanoseconds(process.pid)
            time.sleep(IDLE)
            after = read_cpu_nanoseconds(process.pid)
    if before is None or after is None:
        raise GraderError("this figure needs Linux, which reports a process's processor time")
    yield BenchmarkFigure(
        "tito watch while nothing is saved", (after - before) / IDLE / 1e7, 1, "% CPU", f"{IDLE:.0f} s"
    )


def _time_module(release: Path, manifest: Manifest, module: Module) -> BenchmarkFigure:
    """Fill one gap after another, each with a save, and time the tests of its task."""
    times = []
    tasks = [task.id for task in module.tasks]
    _save_with_gaps(release, manifest, module, tasks)
    with _run_watch(release, module) as process:
        for done, task in enumerate(tasks, start=1):
            _wait_for(process, EXPLAINED)
            time.sleep(PAUSE)
            started = time.perf_counter()
            _save_with_gaps(release, manifest, module, tasks[done:])
            _wait_for(process, f"Task {task} passes", FAILS)  # some tests need a later task
            times.append(time.perf_counter() - started)
        if _wait_for(process, "is completed", FAILS) == FAILS:
            raise GraderError(f"the solution of {module.id} does not pass its tests")
    least, most = min(times) * 1e3, max(times) * 1e3
    how = f"median of {len(times)} tasks, {least:.0f} to {most:.0f} ms"
    return BenchmarkFigure(f"save to verdict, module {module.id[:2]}", statistics.median(times) * 1e3, 300, "ms", how)


def _save_with_gaps(release: Path, manifest: Manifest, module: Module, open_tasks: list[str]) -> None:
    """Save a module's files with these gaps, as an editor does. Leave unchanged files alone."""
    for file in list_source_files(manifest, [module]):
        text = make_partial_skeleton((ROOT / file.path).read_text("utf-8"), manifest, file.path, *open_tasks)
        if (release / file.path).read_text("utf-8") != text:
            new = (release / file.path).with_suffix(".new")
            new.write_text(text, "utf-8")
            new.rename(release / file.path)


@contextmanager
def _run_watch(release: Path, module: Module) -> Iterator[subprocess.Popen[str]]:
    """Run `tito watch` without a terminal."""
    command = [sys.executable, "-m", "tito", "watch", module.id]
    environment = copy_environment_without_nox() | {"PYTHONPATH": str(release)}
    with subprocess.Popen(
        command,
        cwd=release,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _wait_for(process: subprocess.Popen[str], *phrases: str) -> str:
    """Read and return output up to a line with one of these phrases. Raise GraderError if the process ends first."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := next((one for one in phrases if one in line), None):
            return found
    raise GraderError(f"tito watch ended before it printed “{phrases[0]}”: {''.join(lines)[-2000:]}")
