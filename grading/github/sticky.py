"""Keep a single comment per pull request. It is found by its marker and author, updated, and never posted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from githubkit.exception import RequestFailed

from grading.github.api import ApiModel, Client, retry_lost_requests, translate_errors, validate_response
from grading.github.comment import MARKER, ReportingRun
from grading.github.comment_state import ReportState, decode_report_state

AUTHOR = "github-actions[bot]"
CommentOutcome = Literal["created", "updated", "unchanged", "left to a newer run"]


class _User(ApiModel):
    login: str


class _Comment(ApiModel):
    id: int
    body: str | None = None
    user: _User | None


class _WorkflowRun(ApiModel):
    head_sha: str
    run_attempt: int = 1


@dataclass(frozen=True)
class OwnComment:
    """One of our comments on a pull request."""

    id: int
    body: str


def find_own_comments(client: Client, repository: str, number: int, author: str = AUTHOR) -> tuple[OwnComment, ...]:
    """Find our comments on a pull request, oldest first. There are several only if two runs have just collided.

    The marker by itself proves nothing, since anyone can write it. The login is proof, because only GitHub assigns
    logins with brackets.
    """
    owner, name = repository.split("/")
    pages: Iterable[_Comment] = client.rest.paginate(
        client.rest.issues.list_comments,
        map_func=lambda answer: validate_response(list[_Comment], answer),
        owner=owner,
        repo=name,
        issue_number=number,
        per_page=100,
    )
    ours = [
        OwnComment(comment.id, comment.body or "")
        for comment in pages
        if comment.user and comment.user.login == author and (comment.body or "").startswith(MARKER)
    ]
    return tuple(sorted(ours, key=lambda c: c.id))


def read_last_report_state(client: Client, repository: str, number: int, author: str = AUTHOR) -> ReportState | None:
    """Return the state that the last report left in its comment, or None if it is missing or malformed."""
    with translate_errors("the comments of the pull request"):
        found = find_own_comments(client, repository, number, author)
    return decode_report_state(found[0].body) if found else None


def create_or_update_comment(
    client: Client, repository: str, number: int, body: str, run: ReportingRun, author: str = AUTHOR
) -> CommentOutcome:
    """Create our comment or update it, unless a newer run has already written it. Delete duplicates of it.

    Two runs that both find no comment both create one. Each run then looks again. The older comment stays, with the
    newer run's text, whichever run comes last. GitHub has no conditional update, so an older run that is overtaken
    during that single request wins. The workflows let only one run report at a time.
    """
    owner, name = repository.split("/")
    issues = client.rest.issues

    def write_comment_once() -> CommentOutcome:
        """Look for our comments. Create one, or update or keep the oldest one, and delete the others."""
        created = None
        ours = find_own_comments(client, repository, number, author)
        if not ours:
            created = validate_response(_Comment, issues.create_comment(owner, name, number, body=body)).id
            ours = find_own_comments(client, repository, number, author) or (OwnComment(created, body),)
        kept, *others = ours
        done: CommentOutcome = "created" if kept.id == created else "unchanged"
        if kept.body.strip() != body.strip():
            if is_state_from_newer_run(client, repository, decode_report_state(kept.body), run):
                done = "left to a newer run"
            elif _run_tolerating_deleted_comment(lambda: issues.update_comment(owner, name, kept.id, body=body)):
                done = "updated"
            else:
                return write_comment_once()
        for other in others:
            _run_tolerating_deleted_comment(lambda other=other: issues.delete_comment(owner, name, other.id))  # type: ignore[misc]
        return done

    with translate_errors("the comment of the pull request"):
        return retry_lost_requests(write_comment_once)


def is_state_from_newer_run(client: Client, repository: str, state: ReportState | None, run: ReportingRun) -> bool:
    """Return whether the state comes from a run that began after ours. Ask GitHub, since the state may be forged."""
    if state is None or (state.run, state.attempt) <= (run.id, run.attempt):
        return False
    owner, name = repository.split("/")
    try:
        found = validate_response(_WorkflowRun, client.rest.actions.get_workflow_run(owner, name, state.run))
    except RequestFailed as error:
        if error.response.status_code == 404:
            return False
        raise
    return found.head_sha == state.commit and found.run_attempt >= state.attempt


def _run_tolerating_deleted_comment(work: Callable[[], object]) -> bool:
    """Call `work`. Return False if the comment has been deleted in the meantime."""
    try:
        work()
    except RequestFailed as error:
        if error.response.status_code != 404:
            raise
        return False
    return True
