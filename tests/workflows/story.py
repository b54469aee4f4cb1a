"""A week in Ada's class: every event that triggers a workflow, once, and what GitHub showed after each."""

from __future__ import annotations

import copy
import io
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grading.result import Result
from tests.github.git import read_branch_files
from tests.workflows.school import ADA, RECIPE, TENSOR, School
from tests.workflows.world import Run


@dataclass(frozen=True)
class Chapter:
    """One event: the run it triggered, and the state of Ada's repository afterwards."""

    run: Run
    comments: list[dict[str, Any]]
    check_runs: list[dict[str, Any]]
    progress: dict[str, bytes]
    """What stands on the branch progress."""
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """Requests that a job's token was too weak for."""

    @property
    def results(self) -> dict[str, Result]:
        """Return the records that the run left: session → record."""
        found = {}
        for name, archive in self.run.artifacts.items():
            if name != "tinytorch-plan":
                with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
                    (member,) = zipped.namelist()
                    found[name.removeprefix("tinytorch-")] = Result.model_validate_json(zipped.read(member))
        return found

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Return (job, step) of all commands, as they were run."""
        return [(step.job, step.name) for step in self.run.steps if step.command is not None]

    def check(self, **expected: str) -> None:
        """Check each job's result, and show everything that was printed if it differs."""
        found = {name.partition(":")[2]: result for name, result in self.run.map_job_results().items()}
        assert {name: found[name] for name in expected} == expected, self.run.join_log()


def record_chapter(school: School, run: Run) -> Chapter:
    """Record the current state, which later events do not change."""
    repository = school.hub.repository(ADA)
    progress = read_branch_files(repository, "progress") if "refs/heads/progress" in repository.refs else {}
    state = copy.deepcopy((repository.comments, repository.check_runs))
    refused, school.gate.refused[:] = list(school.gate.refused), []
    return Chapter(run, *state, progress, refused)


def copy_with_one_change(released: Path, worked_on: Path, path: Path, folder: Path) -> Path:
    """Copy a release in which only one file was edited."""
    tree = Path(shutil.copytree(released, folder))
    shutil.copy(worked_on / path, tree / path)
    return tree


def run_week(school: School, released: Path, worked_on: Path) -> dict[str, Chapter]:
    """Run the events, and return their chapters in order, keyed by name."""
    recipe = copy_with_one_change(released, worked_on, RECIPE, school.folder / "recipe")
    tensor = copy_with_one_change(released, worked_on, TENSOR, school.folder / "tensor")
    story: dict[str, Chapter] = {}
    for name, tree, more in (
        ("pull_request", worked_on, {}),
        ("push", recipe, {}),
        ("schedule", recipe, {"schedule": "23 4 * * 1"}),
        ("workflow_dispatch", recipe, {"workflow": ".github/workflows/autograde.yml"}),
    ):
        story[name] = record_chapter(school, school.trigger_event(name, tree, **more)["autograde.yml"])
    repository = school.hub.repository(ADA)
    repository.comments.clear()
    repository.check_runs.clear()
    story["fork"] = record_chapter(school, school.trigger_event("pull_request", tensor, fork=True)["autograde.yml"])
    story["fork ended"] = record_chapter(school, school.report_run_end(story["fork"].run)["autograde-forks.yml"])
    story["own ended"] = record_chapter(school, school.report_run_end(story["pull_request"].run)["autograde-forks.yml"])
    return story
