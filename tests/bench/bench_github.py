"""Measure how long a student waits for GitHub, not counting its queue, by running the workflows on a fake GitHub.

This needs npm and the packages of the session `tests`, so the imports are inside the function.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from course.release import write_release
from course.skeleton import make_solution
from grading.errors import GraderError
from grading.manifest.loader import load_manifest
from tests.bench.bench_figure import ROOT, BenchmarkFigure

SESSION = "module-02_tensor"


def measure_waiting_time() -> Iterator[BenchmarkFigure]:
    """Measure the time from the start of the job `grade` to the comment on a pull request that changes module 02."""
    from tests.github.whole import start_fake_github
    from tests.workflows.school import TENSOR, copy_course_with_grader, open_school

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        released = write_release(copy_course_with_grader(ROOT, folder / "course"), folder / "release").target
        tree = Path(shutil.copytree(released, folder / "tree"))
        (tree / TENSOR).write_text(
            make_solution((ROOT / TENSOR).read_text("utf-8"), load_manifest(ROOT), TENSOR), "utf-8"
        )
        for each in ("prism", "nox", "class"):
            (folder / each).mkdir()
        with (
            start_fake_github(folder / "prism") as hub,
            open_school(hub, released, folder / "nox", folder / "class") as school,
        ):
            run = school.trigger_event("pull_request", tree)["autograde.yml"]
            comments, outcomes = hub.repository(run.event.repository).comments, set(run.map_job_results().values())
            if len(comments) != 1 or "failure" in outcomes:
                raise GraderError(f"the pull request was not reported:\n{run.join_log()}")
    spent = {job: sum(step.seconds for step in run.steps if step.job == job) for job in ("grade", "report")}
    how = f"{SESSION}, including nox's environments, but without pip and apt-get, which are stubs here"
    yield BenchmarkFigure("from the start of grading to the comment", sum(spent.values()), 60, "s", how)
    yield BenchmarkFigure("the job that reports", spent["report"], 10, "s", "including its environment")
