"""`publish` against the copy of GitHub, every request and answer held to GitHub's own description."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grading.errors import GraderError, UsageError
from grading.github import ledger
from grading.github.__main__ import app
from grading.github.api import Client
from grading.github.history import fetch_branch_records
from grading.github.plan import GradingJob, GradingPlan
from grading.render.record import encode_result
from grading.result import Result
from tests.github import about  # noqa: F401 - it declares its route
from tests.github.artifacts import add_artifact, build_zip
from tests.github.git import commit_branch_files, read_branch_files
from tests.github.local import Fault, Hub, build_error
from tests.github.runs import build_failing, build_unlocked
from tests.github.test_publish import build_result_at

NAME, SHA, RUN = "class/alice", "c" * 40, 9000


def upload_results(hub: Hub, *results: Result, run: int = RUN, missing: tuple[str, ...] = ()) -> None:
    """Upload a run's plan and these results."""
    repository = hub.repository(NAME)
    sessions = [*(r.session for r in results), *missing]
    plan = GradingPlan(tuple(GradingJob(session, "x", 1) for session in sessions), (), ())
    add_artifact(hub, repository, run, "tinytorch-plan", build_zip({"plan.json": plan.to_json().encode()}))
    for one in results:
        one = one.model_copy(update={"submission": one.submission.model_copy(update={"commit": SHA})})
        add_artifact(
            hub, repository, run, f"tinytorch-{one.session}", build_zip({"result.json": encode_result(one).encode()})
        )


@pytest.fixture
def job(environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the environment of the job `publish` after a push to main."""
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"repository": {"default_branch": "main"}}))
    environ |= {
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_SHA": SHA,
        "GITHUB_REF": "refs/heads/main",
        "GITHUB_ACTOR": "alice",
        "GITHUB_RUN_ID": str(RUN),
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return environ


def run_publish() -> tuple[int, str]:
    """Run the command; return its exit code and output."""
    ran = CliRunner().invoke(app, ["publish"], catch_exceptions=True)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.exit_code, ran.output


def test_a_run_is_published_and_read_back(hub: Hub, client: Client, job: dict[str, str]) -> None:
    """Artifacts become records, ledger and badges; doing it again changes nothing."""
    upload_results(hub, build_result_at(0, build_unlocked()), build_result_at(1, build_failing()))
    code, printed = run_publish()
    assert code == 0, printed
    repository = hub.repository(NAME)
    files, commit = read_branch_files(repository, "progress"), repository.refs["refs/heads/progress"]
    assert len([f for f in files if f.startswith("progress/2")]) == 2
    records = fetch_branch_records(client, NAME)
    assert [(e.session, e.reason) for e in records.entries] == [("milestone-1", None), ("module-02_tensor", None)]
    assert records.head.digest in printed
    assert records.head.digest in Path(job["GITHUB_STEP_SUMMARY"]).read_text()
    assert ledger.parse_ledger_trailer(repository.objects[commit][1]["message"]) == records.head
    assert "Nothing new" in run_publish()[1]
    assert repository.refs["refs/heads/progress"] == commit


@pytest.mark.usefixtures("job")
def test_what_is_missing_is_told_and_the_rest_is_published(hub: Hub, client: Client) -> None:
    """A session that was planned and left no result is named, and the command ends with 3."""
    upload_results(hub, build_result_at(0, build_unlocked()), missing=("milestone-2",))
    code, printed = run_publish()
    assert code == 3
    assert "Not published: milestone-2" in printed
    assert [e.session for e in fetch_branch_records(client, NAME).entries] == ["milestone-1"]


@pytest.mark.usefixtures("job")
def test_an_answer_that_got_lost_doubles_nothing(hub: Hub, client: Client, waits: list[float]) -> None:
    """The branch was made but the answer never came: reading again finds the record there."""
    upload_results(hub, build_result_at(0, build_unlocked()))
    hub.faults.append(Fault("POST", "/git/refs", build_error(502, "Bad gateway"), done=True))
    assert run_publish()[0] == 0
    assert len(fetch_branch_records(client, NAME).entries) == 1
    assert waits


@pytest.mark.usefixtures("job")
def test_another_run_that_comes_first_is_not_overwritten(hub: Hub, client: Client) -> None:
    """Between reading the branch and moving it on, somebody commits: both are there in the end."""
    upload_results(hub, build_result_at(0, build_unlocked()))
    assert run_publish()[0] == 0
    job_of_another = read_branch_files(hub.repository(NAME), "progress")
    upload_results(hub, build_result_at(5, build_unlocked()), run=RUN + 1)

    def another() -> None:
        commit_branch_files(hub.repository(NAME), "progress", job_of_another | {"notes.txt": b"mine"})

    hub.before.append(("PATCH", "/git/refs/heads/progress", another))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_RUN_ID", str(RUN + 1))
        assert run_publish()[0] == 0
    assert read_branch_files(hub.repository(NAME), "progress")["notes.txt"] == b"mine"
    assert [(e.run_id, e.reason) for e in fetch_branch_records(client, NAME).entries] == [(RUN, None), (RUN + 1, None)]


@pytest.mark.usefixtures("job")
def test_only_the_default_branch_is_published(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push to another branch and an unknown run are refused before any request to GitHub."""
    monkeypatch.setenv("GITHUB_REF", "refs/heads/mine")
    with pytest.raises(UsageError, match="default branch"):
        run_publish()
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    monkeypatch.delenv("GITHUB_RUN_ID")
    with pytest.raises(UsageError, match="GITHUB_RUN_ID"):
        run_publish()
    assert hub.asked == []


@pytest.mark.usefixtures("job")
def test_without_a_plan_nothing_is_published(hub: Hub) -> None:
    """What should be there cannot be guessed from what is there."""
    hub.repository(NAME)
    with pytest.raises(GraderError, match="Nothing was published"):
        run_publish()
    assert hub.repository(NAME).refs == {}
