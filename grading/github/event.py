"""The event that set a workflow off, read from what GitHub puts into a step's environment.

Texts of an event are anybody's: who opens a pull request chooses the names of its branch and repository. What has a
form is checked for it here; `ref`, `actor` and `head_repository` stay untrusted text for whoever shows them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.errors import UsageError

NAMES = ("pull_request", "push", "workflow_dispatch", "schedule", "workflow_run")
LARGEST = 25 << 20
"""Bytes of an event's payload; GitHub's own limit."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)


@dataclass(frozen=True)
class Event:
    """What happened, in which repository, to which of the student's commits."""

    name: str
    """pull_request, push, workflow_dispatch, schedule or workflow_run."""
    repository: str
    """owner/name of the repository the workflow runs in."""
    sha: str
    """The student's commit: the head of a pull request, never its merge with the default branch."""
    ref: str
    """Where that commit stands: refs/heads/main, refs/pull/7/merge."""
    actor: str
    pull_request: int | None
    """Its number; None for what is none, and for workflow_run, where the API has to be asked."""
    head_repository: str | None
    """Where a pull request comes from; None once that repository is deleted, and for other events."""
    from_fork: bool
    """Whether the commit is another repository's: the run that graded it had a token that may only read."""
    default_branch: str
    run_id: int | None
    """The run that graded, and holds the artifacts: for workflow_run the one that has ended; None at a desk."""
    run_attempt: int

    @property
    def on_default_branch(self) -> bool:
        """Whether it is a push to the default branch: what is published."""
        return self.name == "push" and self.ref == f"refs/heads/{self.default_branch}"


def read_event(environ: Mapping[str, str]) -> Event:
    """The event that these variables and the file GITHUB_EVENT_PATH describe; UsageError that names what is wrong."""
    name = _variable(environ, "GITHUB_EVENT_NAME")
    if name not in NAMES:
        raise UsageError(f"GITHUB_EVENT_NAME is {name!a:.60}; what is graded is one of {', '.join(NAMES)}.")
    repository = _variable(environ, "GITHUB_REPOSITORY")
    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(f"GITHUB_REPOSITORY is {repository!a:.60}, and should be owner/name.")
    payload = _payload(_variable(environ, "GITHUB_EVENT_PATH"))
    known: dict[str, Any] = {"name": name, "repository": repository, "actor": _variable(environ, "GITHUB_ACTOR")}
    if name == "workflow_run":
        return _workflow_run(payload, known)
    ref = _variable(environ, "GITHUB_REF")
    known |= {
        "ref": ref,
        "run_id": _number(environ.get("GITHUB_RUN_ID"), "GITHUB_RUN_ID"),
        "run_attempt": _number(environ.get("GITHUB_RUN_ATTEMPT"), "GITHUB_RUN_ATTEMPT") or 1,
        "default_branch": _default_branch(payload, ref if name == "schedule" else None),
    }
    if name == "pull_request":
        head = _part(payload, "pull_request", "head")
        return Event(
            sha=_commit(head.get("sha"), "pull_request.head.sha"),
            pull_request=_whole(_part(payload, "pull_request").get("number"), "pull_request.number"),
            **_origin(head.get("repo"), "pull_request.head.repo", repository),
            **known,
        )
    sha = _commit(_variable(environ, "GITHUB_SHA"), "GITHUB_SHA")
    return Event(sha=sha, pull_request=None, head_repository=None, from_fork=False, **known)


def _workflow_run(payload: dict[str, Any], known: dict[str, Any]) -> Event:
    """A run that has ended: its commit, branch and artifacts count, not those of the run we are in."""
    run = _part(payload, "workflow_run")
    branch = run.get("head_branch")
    if not isinstance(branch, str) or not branch:
        raise UsageError(_wrong("workflow_run.head_branch", "a branch"))
    return Event(
        sha=_commit(run.get("head_sha"), "workflow_run.head_sha"),
        ref=f"refs/heads/{branch}",
        pull_request=None,
        **_origin(run.get("head_repository"), "workflow_run.head_repository", known["repository"]),
        default_branch=_default_branch(payload, None),
        run_id=_whole(run.get("id"), "workflow_run.id"),
        run_attempt=_whole(run.get("run_attempt", 1), "workflow_run.run_attempt"),
        **known,
    )


def _origin(source: Any, place: str, repository: str) -> dict[str, Any]:
    """Where a commit comes from; a repository that is gone was another one."""
    if source is None:
        return {"head_repository": None, "from_fork": True}
    name = source.get("full_name") if isinstance(source, dict) else None
    if not isinstance(name, str) or not _REPOSITORY.fullmatch(name):
        raise UsageError(_wrong(f"{place}.full_name", "owner/name"))
    return {"head_repository": name, "from_fork": name.lower() != repository.lower()}


def _default_branch(payload: dict[str, Any], scheduled: str | None) -> str:
    """A schedule runs on the default branch, and its payload need not name it."""
    repository = payload.get("repository")
    branch = repository.get("default_branch") if isinstance(repository, dict) else None
    if branch is None and scheduled is not None:
        branch = scheduled.removeprefix("refs/heads/")
    if not isinstance(branch, str) or not branch:
        raise UsageError(_wrong("repository.default_branch", "a branch"))
    return branch


def _payload(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"The event {path} (GITHUB_EVENT_PATH) cannot be read: {error.strerror}.") from None
    try:
        payload = json.loads(data[:LARGEST].decode("utf-8"))
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise UsageError(f"The event {path} (GITHUB_EVENT_PATH) is no JSON object, or larger than {LARGEST >> 20} MiB.")
    return payload


def _part(payload: dict[str, Any], *names: str) -> dict[str, Any]:
    found: Any = payload
    for depth, name in enumerate(names, 1):
        found = found.get(name)
        if not isinstance(found, dict):
            raise UsageError(_wrong(".".join(names[:depth]), "an object"))
    return found


def _variable(environ: Mapping[str, str], name: str) -> str:
    if not environ.get(name):
        raise UsageError(f"{name} is not set. In a workflow GitHub sets it; elsewhere set it as GitHub would.")
    return environ[name]


def _number(text: str | None, name: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,18}", text):
        raise UsageError(f"{name} is {text!a:.60}, and should be a number.")
    return int(text)


def _whole(value: Any, place: str) -> int:
    if type(value) is not int or not 0 < value < 1 << 63:
        raise UsageError(_wrong(place, "a number above 0"))
    return value


def _commit(value: Any, place: str) -> str:
    if not isinstance(value, str) or not _COMMIT.fullmatch(value):
        raise UsageError(_wrong(place, "a commit of 40 hexadecimal digits"))
    return value


def _wrong(place: str, expected: str) -> str:
    return f"The event (GITHUB_EVENT_PATH) has no {place}, or it is not {expected}."
