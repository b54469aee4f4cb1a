"""The event that triggered a workflow, read from a step's environment.

Anyone can control the text fields of an event: anyone who opens a pull request chooses the names of its branch and
repository. Fields with a fixed form are checked here. `ref`, `actor` and `head_repository` are still untrusted text for
the caller.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.errors import UsageError

EVENT_NAMES = ("pull_request", "push", "workflow_dispatch", "schedule", "workflow_run")
MAX_PAYLOAD_BYTES = 25 << 20
"""GitHub's own limit on an event's size, in bytes."""
_COMMIT_HASH = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)


@dataclass(frozen=True)
class WorkflowEvent:
    """An event: what happened, in which repository, and to which of the student's commits."""

    name: str
    """The event's name: pull_request, push, workflow_dispatch, schedule or workflow_run."""
    repository: str
    """The repository in which the workflow runs, as owner/name."""
    sha: str
    """The student's commit: the head of a pull request, never its merge with the default branch."""
    ref: str
    """The ref of that commit, such as refs/heads/main or refs/pull/7/merge."""
    actor: str
    pull_request: int | None
    """The pull request's number. It is None for other events, and for workflow_run, for which only the API knows it."""
    head_repository: str | None
    """The repository from which a pull request comes, or None if that has been deleted.

    For other events, it is None.
    """
    from_fork: bool
    """Whether the commit belongs to another repository, in which case its run had a read-only token."""
    default_branch: str
    run_id: int | None
    """The run that graded and has the artifacts. For workflow_run, this is the finished run. It is None outside
    GitHub.
    """
    run_attempt: int

    @property
    def is_default_branch_push(self) -> bool:
        """Return whether this is a push to the default branch. Only results of such pushes are published."""
        return self.name == "push" and self.ref == f"refs/heads/{self.default_branch}"


def read_event(environ: Mapping[str, str]) -> WorkflowEvent:
    """Read the event from these variables and the file GITHUB_EVENT_PATH. Raise UsageError if they are not valid."""
    name = _require_variable(environ, "GITHUB_EVENT_NAME")
    if name not in EVENT_NAMES:
        raise UsageError(f"GITHUB_EVENT_NAME is {name!a:.60}; grading works for {', '.join(EVENT_NAMES)}.")
    repository = _require_variable(environ, "GITHUB_REPOSITORY")
    if not _REPOSITORY.fullmatch(repository):
        raise UsageError(f"GITHUB_REPOSITORY is {repository!a:.60}; it should be owner/name.")
    payload = _load_event_payload(_require_variable(environ, "GITHUB_EVENT_PATH"))
    common: dict[str, Any] = {
        "name": name,
        "repository": repository,
        "actor": _require_variable(environ, "GITHUB_ACTOR"),
    }
    if name == "workflow_run":
        return _read_workflow_run(payload, common)
    ref = _require_variable(environ, "GITHUB_REF")
    common |= {
        "ref": ref,
        "run_id": _parse_id_number(environ.get("GITHUB_RUN_ID"), "GITHUB_RUN_ID"),
        "run_attempt": _parse_id_number(environ.get("GITHUB_RUN_ATTEMPT"), "GITHUB_RUN_ATTEMPT") or 1,
        "default_branch": _read_default_branch(payload, ref if name == "schedule" else None),
    }
    if name == "pull_request":
        head = _get_object(payload, "pull_request", "head")
        return WorkflowEvent(
            sha=_require_commit_hash(head.get("sha"), "pull_request.head.sha"),
            pull_request=_require_positive_int(
                _get_object(payload, "pull_request").get("number"), "pull_request.number"
            ),
            **_read_head_repository(head.get("repo"), "pull_request.head.repo", repository),
            **common,
        )
    sha = _require_commit_hash(_require_variable(environ, "GITHUB_SHA"), "GITHUB_SHA")
    return WorkflowEvent(sha=sha, pull_request=None, head_repository=None, from_fork=False, **common)


def _read_workflow_run(payload: dict[str, Any], common_fields: dict[str, Any]) -> WorkflowEvent:
    """Read the event of a finished run, whose commit, branch and run id take the place of the current run's."""
    run = _get_object(payload, "workflow_run")
    branch = run.get("head_branch")
    if not isinstance(branch, str) or not branch:
        raise UsageError(_format_wrong_event_field_message("workflow_run.head_branch", "a branch"))
    return WorkflowEvent(
        sha=_require_commit_hash(run.get("head_sha"), "workflow_run.head_sha"),
        ref=f"refs/heads/{branch}",
        pull_request=None,
        **_read_head_repository(
            run.get("head_repository"), "workflow_run.head_repository", common_fields["repository"]
        ),
        default_branch=_read_default_branch(payload, None),
        run_id=_require_positive_int(run.get("id"), "workflow_run.id"),
        run_attempt=_require_positive_int(run.get("run_attempt", 1), "workflow_run.run_attempt"),
        **common_fields,
    )


def _read_head_repository(head_repository: Any, field: str, repository: str) -> dict[str, Any]:
    """Return "head_repository" (None if deleted) and "from_fork" (then True). Raise UsageError for an invalid name."""
    if head_repository is None:
        return {"head_repository": None, "from_fork": True}
    name = head_repository.get("full_name") if isinstance(head_repository, dict) else None
    if not isinstance(name, str) or not _REPOSITORY.fullmatch(name):
        raise UsageError(_format_wrong_event_field_message(f"{field}.full_name", "owner/name"))
    return {"head_repository": name, "from_fork": name.lower() != repository.lower()}


def _read_default_branch(payload: dict[str, Any], scheduled_ref: str | None) -> str:
    """Read the default branch. Raise UsageError if neither the payload nor ``scheduled_ref`` names it.

    A scheduled workflow runs on the default branch, but the payload of its event need not name it.
    """
    repository = payload.get("repository")
    branch = repository.get("default_branch") if isinstance(repository, dict) else None
    if branch is None and scheduled_ref is not None:
        branch = scheduled_ref.removeprefix("refs/heads/")
    if not isinstance(branch, str) or not branch:
        raise UsageError(_format_wrong_event_field_message("repository.default_branch", "a branch"))
    return branch


def _load_event_payload(path: str) -> dict[str, Any]:
    """Load the JSON object in a payload file. Raise UsageError if it is unreadable, too large or not an object."""
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_PAYLOAD_BYTES + 1)
    except OSError as error:
        raise UsageError(f"The event {path} (GITHUB_EVENT_PATH) cannot be read: {error.strerror}.") from None
    try:
        payload = json.loads(data[:MAX_PAYLOAD_BYTES].decode("utf-8"))
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise UsageError(
            f"The event {path} (GITHUB_EVENT_PATH) is not a JSON object of at most {MAX_PAYLOAD_BYTES >> 20} MiB."
        )
    return payload


def _get_object(payload: dict[str, Any], *names: str) -> dict[str, Any]:
    """Follow these keys to a nested JSON object. Raise UsageError if one is missing or leads to anything else."""
    found: Any = payload
    for depth, name in enumerate(names, 1):
        found = found.get(name)
        if not isinstance(found, dict):
            raise UsageError(_format_wrong_event_field_message(".".join(names[:depth]), "an object"))
    return found


def _require_variable(environ: Mapping[str, str], name: str) -> str:
    """Return an environment variable; raise UsageError if it is not set."""
    if not environ.get(name):
        raise UsageError(
            f"{name} is not set. GitHub sets it in a workflow. Outside a workflow, set it as GitHub would."
        )
    return environ[name]


def _parse_id_number(text: str | None, name: str) -> int | None:
    """Parse a variable's text as a positive number. Return None if it is not set; raise UsageError if it is not one."""
    if not text:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,18}", text):
        raise UsageError(f"{name} is {text!a:.60}; it should be a number.")
    return int(text)


def _require_positive_int(value: Any, field: str) -> int:
    """Return the value if it is a positive 64-bit integer. Otherwise raise UsageError."""
    if type(value) is not int or not 0 < value < 1 << 63:
        raise UsageError(_format_wrong_event_field_message(field, "a number above 0"))
    return value


def _require_commit_hash(value: Any, field: str) -> str:
    """Return the value if it is a commit hash. Otherwise raise UsageError."""
    if not isinstance(value, str) or not _COMMIT_HASH.fullmatch(value):
        raise UsageError(_format_wrong_event_field_message(field, "a commit of 40 hexadecimal digits"))
    return value


def _format_wrong_event_field_message(field: str, expected: str) -> str:
    """Format the message about a field of the event that is missing or malformed."""
    return f"The event (GITHUB_EVENT_PATH) has no {field}, or the value is not {expected}."
