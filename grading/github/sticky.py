"""The one comment per pull request that is ours: found by marker and author, updated, never posted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from githubkit.exception import RequestFailed

from grading.github.api import Client, Part, settled, taken, translate_errors
from grading.github.comment import MARKER, Run
from grading.github.state import State, read

AUTHOR = "github-actions[bot]"
Done = Literal["created", "updated", "unchanged", "left to a newer run"]


class _User(Part):
    login: str


class _Comment(Part):
    id: int
    body: str | None = None
    user: _User | None


class _WorkflowRun(Part):
    head_sha: str
    run_attempt: int = 1


@dataclass(frozen=True)
class Found:
    """A comment of ours under a pull request."""

    id: int
    body: str


def find(client: Client, repository: str, number: int, author: str = AUTHOR) -> tuple[Found, ...]:
    """Find our comments under a pull request, oldest first; there are several only when two runs have just raced.

    The marker alone proves nothing, since anyone may write it. The login does: only GitHub assigns those with brackets.
    """
    owner, name = repository.split("/")
    pages: Iterable[_Comment] = client.rest.paginate(
        client.rest.issues.list_comments,
        map_func=lambda answer: taken(list[_Comment], answer),
        owner=owner,
        repo=name,
        issue_number=number,
        per_page=100,
    )
    ours = [
        Found(comment.id, comment.body or "")
        for comment in pages
        if comment.user and comment.user.login == author and (comment.body or "").startswith(MARKER)
    ]
    return tuple(sorted(ours, key=lambda c: c.id))


def previous(client: Client, repository: str, number: int, author: str = AUTHOR) -> State | None:
    """Return the state that the last report left, if there is one and it can be read."""
    with translate_errors("the comments of the pull request"):
        found = find(client, repository, number, author)
    return read(found[0].body) if found else None


def put(client: Client, repository: str, number: int, body: str, run: Run, author: str = AUTHOR) -> Done:
    """Create our comment or update it, unless a newer run has already written it.

    Two runs that both find no comment both create one. Each then looks again: the older comment stays, with the newer
    run's text, whichever run comes last. GitHub has no conditional update, so an older run that is overtaken within
    that one request wins; the workflows let only one run report at a time.
    """
    owner, name = repository.split("/")
    issues = client.rest.issues

    def once() -> Done:
        """Look for our comments, then create, update or leave the oldest and delete the others."""
        created = None
        ours = find(client, repository, number, author)
        if not ours:
            created = taken(_Comment, issues.create_comment(owner, name, number, body=body)).id
            ours = find(client, repository, number, author) or (Found(created, body),)
        kept, *others = ours
        done: Done = "created" if kept.id == created else "unchanged"
        if kept.body.strip() != body.strip():
            if newer(client, repository, read(kept.body), run):
                done = "left to a newer run"
            elif _there(lambda: issues.update_comment(owner, name, kept.id, body=body)):
                done = "updated"
            else:
                return once()
        for other in others:
            _there(lambda other=other: issues.delete_comment(owner, name, other.id))  # type: ignore[misc]
        return done

    with translate_errors("the comment of the pull request"):
        return settled(once)


def newer(client: Client, repository: str, state: State | None, run: Run) -> bool:
    """Return whether the state comes from a run that began after ours, which GitHub confirms, as it may be forged."""
    if state is None or (state.run, state.attempt) <= (run.id, run.attempt):
        return False
    owner, name = repository.split("/")
    try:
        found = taken(_WorkflowRun, client.rest.actions.get_workflow_run(owner, name, state.run))
    except RequestFailed as error:
        if error.response.status_code == 404:
            return False
        raise
    return found.head_sha == state.commit and found.run_attempt >= state.attempt


def _there(work: Callable[[], object]) -> bool:
    """Call `work`; return False when the comment has meanwhile been deleted."""
    try:
        work()
    except RequestFailed as error:
        if error.response.status_code != 404:
            raise
        return False
    return True
