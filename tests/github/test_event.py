"""What GitHub tells a step becomes an event, or a sentence that says what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grading.errors import UsageError
from grading.github.event import read_event

HEAD, MERGE = "a" * 40, "b" * 40
HOME = {"full_name": "class/ada", "default_branch": "trunk"}


def build_environment(folder: Path, name: str, payload: Any, **variables: str) -> dict[str, str]:
    """Build a step's variables for an event."""
    path = folder / "event.json"
    path.write_text(payload if isinstance(payload, str) else json.dumps(payload))
    return {
        "GITHUB_EVENT_NAME": name,
        "GITHUB_EVENT_PATH": str(path),
        "GITHUB_REPOSITORY": "class/ada",
        "GITHUB_ACTOR": "ada",
        "GITHUB_SHA": MERGE,
        "GITHUB_REF": "refs/heads/trunk",
        "GITHUB_RUN_ID": "77",
        "GITHUB_RUN_ATTEMPT": "2",
    } | variables


def build_pull_request(head: Any) -> dict[str, Any]:
    """Build a payload whose pull request has this head repository."""
    return {"repository": HOME, "pull_request": {"number": 7, "head": {"sha": HEAD, "repo": head}}}


def build_workflow_run(**more: Any) -> dict[str, Any]:
    """Build the payload of a run that a fork's pull request has triggered."""
    run = {"id": 55, "run_attempt": 3, "head_sha": HEAD, "head_branch": "$(id)", "head_repository": HOME}
    return {"repository": HOME, "workflow_run": run | more}


def test_a_pull_request_is_about_its_own_head(tmp_path):
    """Not the merge that GITHUB_SHA names is graded, but what the student has written."""
    event = read_event(
        build_environment(tmp_path, "pull_request", build_pull_request(HOME), GITHUB_REF="refs/pull/7/merge")
    )
    assert (event.sha, event.pull_request, event.head_repository) == (HEAD, 7, "class/ada")
    assert (event.from_fork, event.is_default_branch_push, event.default_branch) == (False, False, "trunk")
    assert (event.run_id, event.run_attempt, event.ref) == (77, 2, "refs/pull/7/merge")


@pytest.mark.parametrize(("repository", "said"), [({"full_name": "eve/ada"}, "eve/ada"), (None, None)])
def test_a_pull_request_from_elsewhere_is_a_fork_s(tmp_path, repository, said):
    """A repository that has been deleted since was not this one either."""
    event = read_event(build_environment(tmp_path, "pull_request", build_pull_request(repository)))
    assert (event.from_fork, event.head_repository) == (True, said)


@pytest.mark.parametrize(("ref", "counts"), [("refs/heads/trunk", True), ("refs/heads/main", False)])
def test_only_a_push_to_the_default_branch_is_one(tmp_path, ref, counts):
    """Whatever the default branch is called."""
    event = read_event(build_environment(tmp_path, "push", {"repository": HOME}, GITHUB_REF=ref))
    assert (event.sha, event.pull_request, event.is_default_branch_push) == (MERGE, None, counts)


def test_a_schedule_runs_on_the_default_branch(tmp_path):
    """Its payload need not name that branch."""
    event = read_event(build_environment(tmp_path, "schedule", {"schedule": "23 4 * * 1"}))
    assert (event.default_branch, event.is_default_branch_push, event.from_fork) == ("trunk", False, False)


def test_a_run_that_has_ended_is_the_one_that_counts(tmp_path):
    """Its commit, its artifacts, and the repository it came from: not those of the run that reports on it."""
    payload = build_workflow_run(head_repository={"full_name": "eve/ada"})
    event = read_event(build_environment(tmp_path, "workflow_run", payload))
    assert (event.sha, event.run_id, event.run_attempt) == (HEAD, 55, 3)
    assert (event.ref, event.from_fork, event.pull_request) == ("refs/heads/$(id)", True, None)


@pytest.mark.parametrize(
    ("name", "payload", "more", "named"),
    [
        ("pull_request_target", build_pull_request(HOME), {}, "GITHUB_EVENT_NAME is 'pull_request_target'"),
        ("push", {"repository": HOME}, {"GITHUB_SHA": "main; rm -rf"}, "GITHUB_SHA"),
        ("push", {"repository": HOME}, {"GITHUB_REPOSITORY": "ada"}, "owner/name"),
        ("push", {"repository": HOME}, {"GITHUB_RUN_ID": "7; id"}, "GITHUB_RUN_ID"),
        ("push", {"repository": HOME}, {"GITHUB_EVENT_PATH": "/nowhere"}, "/nowhere"),
        ("push", {"repository": HOME}, {"GITHUB_ACTOR": ""}, "GITHUB_ACTOR is not set"),
        ("push", {}, {}, "repository.default_branch"),
        ("push", "[1]", {}, "not a JSON object"),
        ("push", "[" * 100_000, {}, "not a JSON object"),
        ("pull_request", {"repository": HOME}, {}, "no pull_request, or"),
        ("pull_request", build_pull_request({"full_name": "../../etc"}), {}, "pull_request.head.repo.full_name"),
        ("pull_request", build_pull_request("eve/ada"), {}, "pull_request.head.repo.full_name"),
        ("workflow_run", build_workflow_run(head_sha="HEAD"), {}, "workflow_run.head_sha"),
        ("workflow_run", build_workflow_run(id="55"), {}, "workflow_run.id"),
        ("workflow_run", build_workflow_run(id=True), {}, "workflow_run.id"),
        ("workflow_run", build_workflow_run(head_branch=None), {}, "workflow_run.head_branch"),
    ],
)
def test_what_is_missing_or_of_the_wrong_form_is_named(tmp_path, name, payload, more, named):
    """In a sentence, whatever GitHub or somebody in its place has sent."""
    with pytest.raises(UsageError) as caught:
        read_event(build_environment(tmp_path, name, payload, **more))
    assert named in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_pull_request_without_its_number_or_commit_is_refused(tmp_path):
    """True is not a number, and a short hash is not a commit."""
    for part, wrong in (("number", True), ("number", -1), ("head", {"sha": "abc", "repo": HOME})):
        payload = build_pull_request(HOME)
        payload["pull_request"][part] = wrong
        with pytest.raises(UsageError, match=r"pull_request\."):
            read_event(build_environment(tmp_path, "pull_request", payload))
