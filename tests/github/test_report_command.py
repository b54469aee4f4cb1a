"""The whole command, from the event to comment, summary and check run, against the local copy of GitHub."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grading.criteria import list_criteria
from grading.github.report_command import deliver_report
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest
from grading.result import Verdict
from tests.github.artifacts import add_artifact, build_zip
from tests.github.conversation import add_pull
from tests.github.local import Fault, build_error
from tests.github.runs import (
    COMMIT,
    MANIFEST,
    REPOSITORY,
    RUN,
    Runs,
    build_failing,
    build_met_criterion,
    build_reused,
    build_unlocked,
    set_commit,
)


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    """Load the course's own manifest."""
    return load_manifest(root)


def scale_limit(seconds: float) -> float:
    """Scale a time limit by the machine's load, as L busy programs each get one L-th of a processor."""
    return seconds * max(1.0, os.getloadavg()[0])


def test_a_run_is_told_in_comment_summary_and_check_run(runs: Runs, manifest: Manifest) -> None:
    """The comment holds both verdicts and what to fix; the summary says the same; the line has its annotation."""
    runs.upload_records(build_failing(), build_unlocked())
    started = time.monotonic()
    made, undelivered = deliver_report(runs.write_pull_request_event(), manifest)
    took = time.monotonic() - started
    assert undelivered == []
    assert [r.session for r in made.results] == ["module-02_tensor", "milestone-1"]
    [body] = runs.bodies
    assert "Unlocked: Bronze — First Light" in body
    assert "[[11, 22], [13, 24]]" in body
    assert "nox -s module-02_tensor -- --seed 42" in body
    assert f"{REPOSITORY}/actions/runs/{RUN}" in body
    assert runs.summary.strip() in body
    [check] = runs.repository.check_runs
    assert (check["head_sha"], check["name"], check["conclusion"]) == (COMMIT, "TinyTorch", "failure")
    [note, other] = runs.repository.annotations[check["id"]]
    assert (note["path"], note["start_line"]) == ("modules/02_tensor/tinytorch/tensor.py", 41)
    assert "expected: [[11, 22], [13, 24]]" in note["message"]
    assert other["title"] == "Task 3.1: ReLU keeps positive numbers"
    assert took < scale_limit(5)


def test_the_next_run_tells_what_changed(runs: Runs, manifest: Manifest) -> None:
    """The second report takes the place of the first and says what moved."""
    runs.upload_records(build_failing())
    deliver_report(runs.write_pull_request_event(), manifest)
    better = build_failing(
        criteria=tuple(map(build_met_criterion, list_criteria(MANIFEST, None))), verdict=Verdict.UNLOCKED
    )
    runs.upload_records(set_commit(better, "e" * 40), run=RUN + 1)
    deliver_report(runs.write_pull_request_event(run=RUN + 1, commit="e" * 40), manifest)
    [body] = runs.bodies
    assert "**Module 02\\_tensor: Tensor**: not yet → passed" in body
    assert f"### Since `{COMMIT[:7]}`" in body


def test_what_was_not_run_again_is_told_from_the_plan(runs: Runs, manifest: Manifest) -> None:
    """Records that were reused and sessions nobody has begun come from the plan; names and titles from the course."""
    runs.upload_plan(reused=(build_reused("milestone-1", "@everyone"),), skipped=("module-05_dense",))
    made, undelivered = deliver_report(runs.write_pull_request_event(), manifest)
    assert (undelivered, made.problems) == ([], ())
    assert "**Milestone 1: Basic Inference** | Unlocked on 2026-02-01" in runs.bodies[0]
    assert runs.repository.check_runs[0]["conclusion"] == "success"


def test_a_missing_result_is_never_a_pass(runs: Runs, manifest: Manifest) -> None:
    """Planned, and not handed over: told as trouble, and the check run is neutral."""
    runs.upload_plan("milestone-1", "module-02_tensor")
    runs.upload_records(build_unlocked(), plan=False)
    made, _ = deliver_report(runs.write_pull_request_event(), manifest)
    assert [problem.partition(":")[0] for problem in made.problems] == ["module-02_tensor"]
    assert "module-02\\_tensor: nothing was handed over" in runs.bodies[0]
    assert runs.repository.check_runs[0]["conclusion"] == "neutral"


@pytest.mark.parametrize("data", [None, b"", b"[]", b'{"jobs": [{"session": "milestone-99"}]}', b"[" * 99_999])
def test_without_a_sound_plan_nothing_is_claimed(runs: Runs, manifest: Manifest, data: bytes | None) -> None:
    """Without a plan of this course, the run's results are not accepted."""
    runs.upload_records(build_unlocked(), plan=False)
    if data is not None:
        add_artifact(runs.hub, runs.repository, RUN, "tinytorch-plan", build_zip({"plan.json": data}))
    made, undelivered = deliver_report(runs.write_pull_request_event(), manifest)
    assert (made.results, undelivered) == ((), [])
    assert "could not be graded" in runs.bodies[0]
    assert runs.repository.check_runs[0]["conclusion"] == "neutral"


def write_fork_event(runs: Runs, head: str, branch: str = "my-work") -> dict[str, str]:
    """Write the event of a fork's finished run; return the reporting run's environment."""
    run = {"id": RUN, "head_sha": COMMIT, "head_branch": branch, "run_attempt": 1}
    run["head_repository"] = {"full_name": head}
    return runs.write_event("workflow_run", {"workflow_run": run}, GITHUB_RUN_ID="9999")


def test_a_forks_pull_request_is_found_by_github_not_by_the_fork(runs: Runs, manifest: Manifest) -> None:
    """By repository, branch and commit; the report says whose workflow has graded."""
    runs.upload_records(build_unlocked())
    for number, head, branch, sha in (
        (6, "bob/alice", "my-work", COMMIT),
        (5, "class/bobs", "my-work", COMMIT),
        (4, "bob/alice", "my-work", "f" * 40),
        (7, "bob/alice", "my-work", COMMIT),
        (3, "bob/alice", "other", COMMIT),
    ):
        add_pull(runs.hub, runs.repository, number, head=head, branch=branch, sha=sha)
    runs.repository.pulls[0]["state"] = "closed"
    made, undelivered = deliver_report(write_fork_event(runs, "bob/alice"), manifest)
    assert undelivered == []
    assert made.from_fork
    [body] = runs.bodies
    assert "fork's own" in body
    assert len(runs.repository.comments) == 1


@pytest.mark.parametrize("branch", ["my-work", 'x"&state=all#', "$(touch x)", "a/b", "ü @everyone"])
def test_a_fork_that_has_moved_on_gets_no_comment(runs: Runs, manifest: Manifest, branch: str) -> None:
    """Whatever its branch is called; summary and check run are there for the commit."""
    runs.upload_records(build_unlocked())
    add_pull(runs.hub, runs.repository, 7, head="bob/alice", branch=branch, sha="f" * 40)
    _, undelivered = deliver_report(write_fork_event(runs, "bob/alice", branch), manifest)
    assert undelivered == []
    assert runs.repository.comments == []
    assert "Unlocked" in runs.summary
    assert runs.repository.check_runs[0]["head_sha"] == COMMIT


@pytest.mark.parametrize("name", ["push", "workflow_dispatch", "schedule"])
def test_without_a_pull_request_there_is_no_comment(runs: Runs, manifest: Manifest, name: str) -> None:
    """A push, a run by hand and a scheduled one have summary and check run."""
    runs.upload_records(build_unlocked())
    _, undelivered = deliver_report(runs.write_event(name, {}), manifest)
    assert undelivered == []
    assert runs.repository.comments == []
    assert "Unlocked" in runs.summary
    assert runs.repository.check_runs[0]["conclusion"] == "success"


def test_what_can_be_delivered_is(runs: Runs, manifest: Manifest) -> None:
    """A comment that may not be written takes neither summary nor check run along; what failed is said."""
    runs.upload_records(build_unlocked())
    runs.hub.faults.append(Fault("POST", "/comments$", build_error(403, "Resource not accessible by integration")))
    _, undelivered = deliver_report(runs.write_pull_request_event(), manifest)
    [said] = undelivered
    assert "the comment of the pull request" in said
    assert "Unlocked" in runs.summary
    assert len(runs.repository.check_runs) == 1


def test_results_of_a_run_are_not_taken_for_another_commit(runs: Runs, manifest: Manifest) -> None:
    """A record that was made for an older commit, or for somebody else's, is refused and said."""
    runs.upload_records(set_commit(build_unlocked(), "b" * 40))
    made, _ = deliver_report(runs.write_pull_request_event(), manifest)
    assert made.results == ()
    assert "Unlocked" not in runs.bodies[0]


def test_the_command_reports_within_its_time(runs: Runs, root: Path) -> None:
    """As a workflow runs it: exit 0 whatever the verdict, in less than the 10 s that are promised."""
    runs.upload_records(build_failing(student_output="\x1b[31m::error::@everyone <b>\n" * 170_000), build_unlocked())
    command = [sys.executable, "-m", "grading.github", "report"]
    environ = {**os.environ, **runs.write_pull_request_event(), "PYTHONPATH": str(root)}
    started = time.monotonic()
    ran = subprocess.run(command, env=environ, cwd=runs.folder, capture_output=True, text=True, check=False)
    took = time.monotonic() - started
    print(f"the report command took {took:.1f} s")
    assert took < scale_limit(5), "the promise is 10 s"
    assert (ran.returncode, ran.stdout) == (0, "Reported: 1 of 2 passed.\n")
    assert len(runs.bodies) == 1
    assert len(runs.bodies[0]) < 60_000


def test_the_command_says_what_is_missing(runs: Runs, root: Path) -> None:
    """Wrong usage is 2, GitHub's trouble 3, each with a sentence and no traceback."""

    def run(environ: dict[str, str]) -> tuple[int, str]:
        """Run the command in this environment, and return its exit code and errors."""
        ran = subprocess.run(
            [sys.executable, "-m", "grading.github", "report"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root), **environ},
            cwd=runs.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in ran.stderr
        return ran.returncode, ran.stderr

    code, said = run({})
    assert (code, "GITHUB_EVENT_NAME" in said) == (2, True)
    code, said = run({**runs.write_pull_request_event(), "GITHUB_TOKEN": ""})
    assert (code, "GITHUB_TOKEN is not set" in said) == (2, True)
    code, said = run({**runs.write_pull_request_event(), "GITHUB_TOKEN": "wrong"})
    assert (code, "rejected this GITHUB_TOKEN" in said) == (3, True)
