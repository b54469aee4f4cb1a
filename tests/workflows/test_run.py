"""Every step of every workflow, run in order by a shell, for every event that sets one off."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from grading.result import Result
from grading.sandbox.launch import choose
from tests.github.git import branch_files
from tests.workflows.actions import ActionFailed
from tests.workflows.conftest import ADA, School
from tests.workflows.machine import has_nox
from tests.workflows.world import Run

pytestmark = [
    pytest.mark.skipif(choose(official=False) != "bubblewrap", reason="the workflows grade in bubblewrap alone"),
    pytest.mark.skipif(not has_nox(), reason="nox is not installed here"),
]
FIRST = 'pip install --quiet "nox[uv]"'


def results(run: Run) -> dict[str, Result]:
    """The records that a run has left: session → record."""
    found = {}
    for name, archive in run.artifacts.items():
        if name != "tinytorch-plan":
            with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
                (member,) = zipped.namelist()
                found[name.removeprefix("tinytorch-")] = Result.model_validate_json(zipped.read(member))
    return found


def order(run: Run) -> list[tuple[str, str]]:
    """(job, step) of all commands, as they were run."""
    return [(step.job, step.name) for step in run.steps if step.command is not None]


def check(run: Run, **expected: str) -> None:
    """The result of each job, with everything that was printed when it is another one."""
    found = {name.partition(":")[2]: result for name, result in run.results().items()}
    assert {name: found[name] for name in expected} == expected, run.log()


def test_a_pull_request_of_the_repository_is_graded_and_commented(school: School, worked_on: Path):
    """Its two sessions, one passed and one not yet, are in one comment and one check run; nothing is published."""
    run = school.happens("pull_request", worked_on)["autograde.yml"]
    check(run, plan="success", grade="success", report="success", publish="skipped", attest="skipped")
    found = results(run)
    assert {name: result.verdict.value for name, result in found.items()} == {
        "module-02_tensor": "unlocked",
        "milestone-1": "not_yet",
    }
    head = run.event.payload["pull_request"]["head"]["sha"]
    assert {result.submission.commit for result in found.values()} == {head} != {run.event.sha}
    assert {result.machine.sandbox for result in found.values()} == {"bubblewrap"}
    repository = school.hub.repository(ADA)
    (comment,) = repository.comments
    assert comment["issue_url"].endswith("/issues/7")
    assert "Tensor" in comment["body"]
    (checked,) = repository.check_runs
    assert (checked["name"], checked["head_sha"], checked["conclusion"]) == ("TinyTorch", head, "failure")
    assert "Tensor" in run.summary
    assert "refs/heads/progress" not in repository.refs
    assert school.gate.refused == []
    grading = [("grade", name) for name in ("Install nox", "Make the sandbox work", "Grade")]
    report = [("report", name) for name in ("Install nox", "Report")]
    assert order(run) == [("plan", "Install nox"), ("plan", "Plan what to grade"), *grading, *grading, *report]
    assert school.calls.read_text().splitlines() == ["pip install --quiet nox[uv]"] * 4


def test_a_push_is_published_and_then_answered_from_its_record(school: School, worked_on: Path):
    """The records stand on the branch progress and are attested; a week later nothing has to be graded again."""
    run = school.happens("push", worked_on)["autograde.yml"]
    check(run, plan="success", grade="success", report="success", publish="success", attest="success")
    assert school.gate.refused == []
    repository = school.hub.repository(ADA)
    files = branch_files(repository, "progress")
    ledger = [json.loads(line) for line in files["progress/ledger.jsonl"].splitlines()]
    assert {line["run_id"] for line in ledger} == {run.event.run_id}
    assert len(ledger) == 2
    assert "badges/milestone-1.svg" in files
    assert sorted(run.attested) == [
        "records/tinytorch-milestone-1/result.json",
        "records/tinytorch-module-02_tensor/result.json",
    ]
    assert repository.comments == []

    weekly = school.happens("schedule", worked_on, schedule="23 4 * * 1")["autograde.yml"]
    check(weekly, plan="success", grade="skipped", report="success", publish="skipped", attest="skipped")
    assert set(weekly.artifacts) == {"tinytorch-plan"}
    assert "milestone-1" in weekly.summary
    assert branch_files(repository, "progress") == files


def test_by_hand_everything_is_measured_anew(school: School, worked_on: Path, released: Path, tmp_path: Path):
    """Even what has a record of the same files; and what nobody has pushed to main is not published."""
    tree = Path(shutil.copytree(released, tmp_path / "tree"))
    recipe = Path("modules/04_layers/recipe.py")
    shutil.copy(worked_on / recipe, tree / recipe)
    pushed = school.happens("push", tree)["autograde.yml"]
    check(pushed, grade="success", publish="success")
    files = branch_files(school.hub.repository(ADA), "progress")
    run = school.happens("workflow_dispatch", tree)["autograde.yml"]
    check(run, plan="success", grade="success", report="success", publish="skipped", attest="skipped")
    assert set(results(run)) == {"milestone-1"}
    assert branch_files(school.hub.repository(ADA), "progress") == files


def test_a_fork_s_run_may_only_read_and_another_run_reports_on_it(school: School, worked_on: Path):
    """The comment comes from the default branch's workflow, which checks out no student code."""
    run = school.happens("pull_request", worked_on, fork=True)["autograde.yml"]
    check(run, plan="success", grade="success", report="skipped", publish="skipped", attest="skipped")
    assert {level for job in run.jobs for level in job.permissions.values()} == {"read"}
    assert school.hub.repository(ADA).comments == []
    report = school.ended(run)["autograde-forks.yml"]
    check(report, report="success")
    assert order(report) == [("report", "Install nox"), ("report", "Report")]
    (comment,) = school.hub.repository(ADA).comments
    assert comment["issue_url"].endswith("/issues/7")
    assert "Tensor" in comment["body"]
    assert not list((report.folder).rglob("student"))
    assert school.gate.refused == []


def test_a_run_of_the_repository_s_own_is_not_reported_twice(school: School, released: Path):
    """When it ends, the workflow for forks has nothing to do."""
    run = school.happens("pull_request", released)["autograde.yml"]
    check(run, plan="success", grade="skipped", report="success")
    check(school.ended(run)["autograde-forks.yml"], report="skipped")


def test_a_job_without_the_permission_fails(school: School, released: Path, tmp_path: Path):
    """The token is as weak as the job says: a workflow that forgets one is noticed here."""
    template = school.world.repositories["class/tinytorch"]
    spoiled = Path(shutil.copytree(released, tmp_path / "spoiled"))
    for name in ("grade.yml", "report.yml"):
        path = spoiled / ".github/workflows" / name
        path.write_text(path.read_text().replace("      pull-requests: write # the comment\n", ""))
    template.commit(spoiled, "v1")
    run = school.happens("pull_request", released)["autograde.yml"]
    check(run, plan="success", report="failure")
    assert {why for _, _, why in school.gate.refused} == {
        "Resource not accessible by integration: pull-requests: read",
        "Resource not accessible by integration: pull-requests: write",
    }
    assert school.hub.repository(ADA).comments == []


def test_a_call_that_grants_too_little_is_refused_before_it_begins(school: School, released: Path, tmp_path: Path):
    """As GitHub does: a called workflow never gets more than its caller has."""
    tree = Path(shutil.copytree(released, tmp_path / "tree"))
    path = tree / ".github/workflows/autograde.yml"
    path.write_text(path.read_text().replace("checks: write", "checks: read"))
    with pytest.raises(ActionFailed, match="report asks for checks: write"):
        school.happens("push", tree)


def test_a_machine_without_a_sandbox_runs_nothing_of_a_student_s(school: School, worked_on: Path):
    """The job ends before it grades, its record is missing, and the report says so."""
    school.world.environ["PATH"] = without(school, "bwrap")
    run = school.happens("pull_request", worked_on)["autograde.yml"]
    check(run, plan="success", grade="failure", report="success", publish="skipped")
    assert ("grade", "Grade") not in order(run)
    assert results(run) == {}
    (comment,) = school.hub.repository(ADA).comments
    assert "module-02_tensor" in comment["body"]
    (checked,) = school.hub.repository(ADA).check_runs
    assert checked["conclusion"] != "success"
    assert "install -y -qq bubblewrap" in school.calls.read_text()


def without(school: School, command: str) -> str:
    """A PATH of links to everything but one command."""
    folder = school.folder / "links"
    folder.mkdir()
    for place in reversed(school.world.environ["PATH"].split(":")):
        for path in Path(place).glob("*"):
            link = folder / path.name
            link.unlink(missing_ok=True)
            if path.name != command:
                link.symlink_to(path)
    return str(folder)
