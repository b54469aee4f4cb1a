"""Every step of every workflow, run in order by a shell, for every event that sets one off."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from grading.sandbox.launch import choose_fence
from tests.workflows import syntax
from tests.workflows.actions import ActionFailed
from tests.workflows.machine import build_runner_environment, has_nox
from tests.workflows.runner import run_triggered_workflows
from tests.workflows.school import TEMPLATE, School
from tests.workflows.story import Chapter, record_chapter
from tests.workflows.world import Event, Repository, Run, World

pytestmark = [
    pytest.mark.xdist_group("workflows"),
    pytest.mark.skipif(choose_fence(official=False) == "process", reason="the workflows grade in a sandbox alone"),
    pytest.mark.skipif(not has_nox(), reason="nox is not installed here"),
]
PLAN = [("plan", "Install nox"), ("plan", "Plan what to grade")]
GRADE = [("grade", name) for name in ("Install nox", "Make the sandbox work", "Grade")]
REPORT = [("report", name) for name in ("Install nox", "Report")]
PUBLISH = [("publish", name) for name in ("Install nox", "Publish the records and badges")]
COURSE = "class/course"


@pytest.fixture(scope="session")
def ci_runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Run], list[str]]:
    """Run the course's own CI for a push and a pull request; what would take hours is only logged."""
    folder = tmp_path_factory.mktemp("ci")
    tree = folder / "course"
    for name in (".ci/run", ".github/workflows/ci.yml"):
        (tree / name).parent.mkdir(parents=True)
        shutil.copy(root / name, tree / name)
    environ, calls = build_runner_environment(folder, "nox", "python3")
    world = World({COURSE: Repository()}, environ, folder, "http://127.0.0.1:9", lambda *_: None)
    sha = world.repositories[COURSE].commit(tree, "main")
    home = {"full_name": COURSE, "default_branch": "main"}
    proposed = {"number": 3, "head": {"sha": sha, "ref": "work", "repo": home}}
    runs = []
    for number, (name, ref, payload) in enumerate(
        (("push", "refs/heads/main", {}), ("pull_request", "refs/pull/3/merge", {"pull_request": proposed})), 1
    ):
        event = Event(name, COURSE, sha, ref, {"repository": home, **payload}, number)
        runs += run_triggered_workflows(world, event, folder / name).values()
    return runs, calls.read_text().splitlines()


def test_a_pull_request_of_the_repository_is_graded_and_commented(story: dict[str, Chapter]):
    """Its two sessions, one passed and one not yet, are in one comment and one check run; nothing is published."""
    found = story["pull_request"]
    found.check(plan="success", grade="success", report="success", publish="skipped", attest="skipped")
    assert {name: result.verdict.value for name, result in found.results.items()} == {
        "module-02_tensor": "unlocked",
        "milestone-1": "not_yet",
    }
    head = found.run.event.payload["pull_request"]["head"]["sha"]
    assert {result.submission.commit for result in found.results.values()} == {head} != {found.run.event.sha}
    assert {result.machine.sandbox for result in found.results.values()} == {choose_fence(official=True)}
    (comment,) = found.comments
    assert comment["issue_url"].endswith("/issues/7")
    assert "Tensor" in comment["body"]
    (checked,) = found.check_runs
    assert (checked["name"], checked["head_sha"], checked["conclusion"]) == ("TinyTorch", head, "failure")
    assert "Tensor" in found.run.summary
    assert found.progress == {}
    assert found.commands == [*PLAN, *GRADE, *GRADE, *REPORT]


def test_a_push_is_published_and_attested(story: dict[str, Chapter]):
    """The record is on the branch progress with its ledger line and badge, and there is no comment."""
    found = story["push"]
    found.check(plan="success", grade="success", report="success", publish="success", attest="success")
    (line,) = [json.loads(line) for line in found.progress["progress/ledger.jsonl"].splitlines()]
    assert line["run_id"] == found.run.event.run_id
    assert line["file"] in found.progress
    assert "badges/milestone-1.svg" in found.progress
    assert found.run.attested == ["records/tinytorch-milestone-1/result.json"]
    assert len(found.comments) == len(story["pull_request"].comments)
    assert found.commands == [*PLAN, *GRADE, *REPORT, *PUBLISH]


def test_what_has_its_record_is_not_graded_again(story: dict[str, Chapter]):
    """A week later, on schedule, the report refers to the record, and the history is unchanged."""
    found = story["schedule"]
    found.check(plan="success", grade="skipped", report="success", publish="skipped", attest="skipped")
    assert set(found.run.artifacts) == {"tinytorch-plan"}
    assert "milestone-1" in found.run.summary
    assert found.progress == story["push"].progress
    assert found.commands == [*PLAN, *REPORT]


def test_by_hand_everything_is_measured_anew(story: dict[str, Chapter]):
    """All is measured even with a record of the same files; nothing is published, since nobody has pushed it."""
    found = story["workflow_dispatch"]
    found.check(plan="success", grade="success", report="success", publish="skipped", attest="skipped")
    assert set(found.results) == {"milestone-1"}
    before, now = story["push"].results["milestone-1"], found.results["milestone-1"]
    assert before.submission.digest == now.submission.digest
    assert before.started_at < now.started_at
    assert found.progress == story["push"].progress


def test_a_fork_s_run_may_only_read(story: dict[str, Chapter]):
    """The run is graded like any other, but reports nothing."""
    found = story["fork"]
    found.check(plan="success", grade="success", report="skipped", publish="skipped", attest="skipped")
    assert {level for job in found.run.jobs for level in job.permissions.values()} == {"read"}
    assert found.results["module-02_tensor"].verdict.value == "unlocked"
    assert (found.comments, found.check_runs) == ([], [])


def test_a_fork_s_pull_request_is_reported_by_the_default_branch_s_workflow(story: dict[str, Chapter]):
    """The workflow checks out the course alone, and finds the pull request by asking GitHub."""
    found = story["fork ended"]
    found.check(report="success")
    assert found.commands == REPORT
    (comment,) = found.comments
    assert comment["issue_url"].endswith("/issues/7")
    assert "Tensor" in comment["body"]
    (checked,) = found.check_runs
    assert checked["head_sha"] == story["fork"].run.event.payload["pull_request"]["head"]["sha"]
    assert not list(found.run.folder.rglob("student"))


def test_a_run_of_the_repository_s_own_is_not_reported_twice(story: dict[str, Chapter]):
    """When such a run ends, the workflow for forks has nothing to do."""
    story["own ended"].check(report="skipped")
    assert story["own ended"].comments == story["fork ended"].comments


def test_no_job_asks_for_what_its_token_may_not(story: dict[str, Chapter]):
    """The permissions suffice for every event, and steps that run student code find no token."""
    assert {name: found.refused for name, found in story.items() if found.refused} == {}
    steps = [step for found in story.values() for step in found.run.steps if step.command is not None]
    with_token = {step.name for step in steps if any("ghs_" in value for value in step.environ.values())}
    assert with_token == {"Plan what to grade", "Report", "Publish the records and badges"}


def test_no_shell_reads_what_somebody_else_has_chosen(story: dict[str, Chapter]):
    """Each pull request's branch is named like a command, and none of these was ever executed."""
    assert "$(touch" in story["fork ended"].run.event.payload["workflow_run"]["head_branch"]
    assert [path for found in story.values() for path in found.run.folder.rglob("owned*")] == []


def test_the_course_s_ci_is_its_script(ci_runs):
    """Nox, a sandbox, and the session that `.ci/run` calls; on every other system, the course and a milestone."""
    runs, calls = ci_runs
    assert [run.event.name for run in runs] == ["push", "pull_request"]
    for run in runs:
        assert run.map_job_results() == {"ci.yml:everything": "success", "ci.yml:systems": "success"}, run.join_log()
    half = calls[: len(calls) // 2]
    assert calls == half + half
    assert half[:2] == ["pip install --quiet nox[uv]", "nox -s github -- sandbox"]
    assert {"nox -s ci", "nox -s course", "nox -s milestone-1 -- --again"} <= set(half)


def test_every_command_of_every_workflow_was_run(story: dict[str, Chapter], ci_runs, released: Path, root: Path):
    """No command is left untested, and each exited with 0."""
    runs = [found.run for found in story.values()] + ci_runs[0]
    ran = {(step.workflow, step.job, step.command) for run in runs for step in run.steps if step.command is not None}
    files = {**syntax.read_workflows(released), "ci.yml": syntax.read_workflows(root)["ci.yml"]}
    written = {
        (name, job, step["run"])
        for name, workflow in files.items()
        for job, _, step in syntax.list_steps(workflow)
        if "run" in step
    }
    assert ran == written
    assert {step.code for run in runs for step in run.steps} == {0}


def test_a_new_commit_supersedes_the_one_before_it_and_nothing_else(story: dict[str, Chapter]):
    """One group for a pull request, whatever its commit; one of its own for everything that may publish."""
    groups = {name: found.run.concurrency for name, found in story.items()}
    assert groups["pull_request"] == groups["fork"] == {"group": "autograde-7", "cancel-in-progress": True}
    others = [groups[name]["group"] for name in ("push", "schedule", "workflow_dispatch", "fork ended", "own ended")]
    assert len(set(others)) == len(others)
    (publish,) = [job for job in story["push"].run.jobs if job.job == "publish"]
    assert publish.concurrency == {"group": "tinytorch-publish", "cancel-in-progress": False, "queue": "max"}


def test_a_job_without_the_permission_fails(school: School, released: Path, tmp_path: Path):
    """The token is as weak as the job declares, so a workflow that forgets a permission fails here."""
    spoiled = Path(shutil.copytree(released, tmp_path / "spoiled"))
    for name in ("grade.yml", "report.yml"):
        path = spoiled / ".github/workflows" / name
        path.write_text(path.read_text().replace("      pull-requests: write # the comment\n", ""))
    school.world.repositories[TEMPLATE].commit(spoiled, "v1")
    found = record_chapter(school, school.trigger_event("pull_request", released)["autograde.yml"])
    found.check(plan="success", report="failure")
    assert any("pull-requests" in why for _, _, why in found.refused)
    assert found.comments == []


def test_a_call_that_grants_too_little_is_refused_before_it_begins(school: School, released: Path, tmp_path: Path):
    """As on GitHub, a called workflow never gets more permissions than its caller has."""
    tree = Path(shutil.copytree(released, tmp_path / "tree"))
    path = tree / ".github/workflows/autograde.yml"
    path.write_text(path.read_text().replace("checks: write", "checks: read"))
    with pytest.raises(ActionFailed, match="report asks for checks: write"):
        school.trigger_event("push", tree)


def test_a_machine_without_a_sandbox_runs_nothing_of_a_student_s(school: School, worked_on: Path):
    """The job ends before it grades, its record is missing, and the report says so."""
    school.world.environ["PATH"] = build_path_without(school, "bwrap")
    school.world.environ["TINYTORCH_FENCE"] = "bubblewrap"  # this machine may have Landlock
    found = record_chapter(school, school.trigger_event("pull_request", worked_on)["autograde.yml"])
    found.check(plan="success", grade="failure", report="success", publish="skipped")
    assert ("grade", "Grade") not in found.commands
    assert found.results == {}
    assert "milestone-1: nothing was handed over" in found.comments[0]["body"]
    assert found.check_runs[0]["conclusion"] != "success"
    assert "install -y -qq bubblewrap" in school.calls.read_text()


def build_path_without(school: School, command: str) -> str:
    """Build a PATH of links to all commands except one."""
    folder = school.folder / "links"
    folder.mkdir()
    for place in reversed(school.world.environ["PATH"].split(":")):
        for path in Path(place).glob("*"):
            link = folder / path.name
            link.unlink(missing_ok=True)
            if path.name != command:
                link.symlink_to(path)
    return str(folder)
