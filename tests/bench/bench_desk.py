"""The promises of the instructor's desk: an unchanged class is collected quickly, and every core is used."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from desk import git
from desk.collect import collect_class
from desk.grading_process import GradingTask
from desk.pool import count_available_cores, grade_in_processes
from desk.pushes import ReflogSource
from desk.rehearsal import SERVER, write_rehearsal_class
from desk.roster import RosterRow
from grading.errors import GraderError
from grading.manifest.loader import load_manifest
from grading.render.progress_watch import SilentWatch
from grading.submission import MAX_BYTES
from tests.bench.bench_figure import ROOT, BenchmarkFigure, time_call

STUDENTS = 200
EACH = 2
"""The number of grading runs per core, high enough that the last one to finish does not dominate."""


def time_unchanged_collection() -> Iterator[BenchmarkFigure]:
    """Measure the time to collect a class in which nothing has changed."""
    with tempfile.TemporaryDirectory() as place:
        server = _make_student_repository(Path(place), "dan")
        rows = [RosterRow(f"s{number}", repository=f"./s{number}.git") for number in range(STUDENTS)]
        for row in rows:
            shutil.copytree(server, Path(place, f"{row.id}.git"))

        def collect_once() -> None:
            """Collect the class once, and check that it has not changed."""
            found = collect_class(ROOT, Path(place, "class"), rows, ReflogSource(), SilentWatch(), base=Path(place))
            if found.troubles or found.graded:
                raise GraderError(f"the class has changed since it was made: {found}")

        first, second = time_call(collect_once), time_call(collect_once)
    how = f"repositories on this machine, nothing to grade; {first:.1f} s when everything was new"
    yield BenchmarkFigure(f"collecting {STUDENTS} unchanged students", second, 30, "s", how)


def compare_grading_pace() -> Iterator[BenchmarkFigure]:
    """Compare the pace of grading milestone 1 on all cores with the pace on a single core."""
    count, manifest = count_available_cores(), load_manifest(ROOT)
    with tempfile.TemporaryDirectory() as place:
        server = _make_student_repository(Path(place), "ada")
        commit = git.list_remote_heads(f"file://{server}").commit
        if commit is None:
            raise GraderError(f"{server} is empty")
        repository = Path(place, "ada.git")
        git.init_bare_repository(repository)
        git.fetch_commits(repository, f"file://{server}", [commit], largest=MAX_BYTES)
        tasks = [GradingTask("ada", 1, commit, str(repository))] * (EACH * count)

        def time_gradings(jobs: int, tasks_to_grade: list[GradingTask]) -> float:
            """Time the grading of these tasks in ``jobs`` processes."""

            def work() -> None:
                """Grade all tasks. Raise GraderError if one of them has no result."""
                problems = [
                    one.problem
                    for one in grade_in_processes(tasks_to_grade, ROOT, manifest, jobs=jobs)
                    if one.result is None
                ]
                if problems:
                    raise GraderError(f"grading failed: {problems[0]}")

            return time_call(work)

        with pin_to_one_core():
            alone = time_gradings(1, tasks[:EACH])
        together = time_gradings(count, tasks)
    share = alone / together
    how = (
        f"{EACH} grading runs in {alone:.1f} s on one core, {EACH * count} in {together:.1f} s on {count}: {share:.2f}"
    )
    yield BenchmarkFigure("grading on every core, compared with one core", together / alone, 1 / 0.9, "×", how)


@contextlib.contextmanager
def pin_to_one_core() -> Iterator[None]:
    """Pin processes started in this context to one core, because one grading run would use two."""
    if not hasattr(os, "sched_setaffinity"):
        raise GraderError("processes cannot be kept on one core here: this figure needs Linux")
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _make_student_repository(folder: Path, student: str) -> Path:
    """Make the rehearsal's server folder, and return the path of one student's repository."""
    write_rehearsal_class(ROOT, folder / "rehearsal")
    return folder / "rehearsal" / SERVER / f"{student}.git"
