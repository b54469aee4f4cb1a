"""One comment per pull request, ours: found by marker and author, brought up to date, never made twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from githubkit.exception import RequestFailed

from grading.github.api import Client, Part, settled, taken, translate_errors
from grading.github.comment import MARKER, Run
from grading.github.state import State, read

AUTHOR = "github-actions[bot]"
Done = Literal["made", "updated", "left as it was", "left to a newer run"]


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
    """A comment of ours."""

    id: int
    body: str


def find(client: Client, repository: str, number: int, author: str = AUTHOR) -> tuple[Found, ...]:
    """Our comments under a pull request, oldest first: more than one only when two runs have just raced.

    The marker alone proves nothing, since anybody may write it; logins with brackets are GitHub's to give.
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
    """What the last report said, if there is one and it can be read."""
    with translate_errors("the comments of the pull request"):
        found = find(client, repository, number, author)
    return read(found[0].body) if found else None


def put(client: Client, repository: str, number: int, body: str, run: Run, author: str = AUTHOR) -> Done:
    """Make the comment, or bring it up to date; a newer run's report stays.

    Two runs that both find none both make one. Each looks again after that: the older comment stays, with what the
    newer run says, whichever of them comes last. GitHub cannot update a comment only if it is still as it was read, so
    an older run that is overtaken within that one request wins; the workflows let one run report at a time.
    """
    owner, name = repository.split("/")
    issues = client.rest.issues

    def once() -> Done:
        made = None
        ours = find(client, repository, number, author)
        if not ours:
            made = taken(_Comment, issues.create_comment(owner, name, number, body=body)).id
            ours = find(client, repository, number, author) or (Found(made, body),)
        kept, *others = ours
        done: Done = "made" if kept.id == made else "left as it was"
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
    """Whether a state was left by a run that began after ours. It may have been edited: GitHub is asked for the run."""
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
    """Do it; False when the comment has meanwhile been deleted."""
    try:
        work()
    except RequestFailed as error:
        if error.response.status_code != 404:
            raise
        return False
    return True
