"""Open or update the feedback issue in a student's repository; the issue is found by its marker and author."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Literal

from githubkit.exception import RequestFailed

from desk.feedback_text import MARKER, TITLE
from grading.errors import GraderError, UsageError
from grading.github.api import ApiModel, Client, retry_lost_requests, translate_errors, validate_response

IssueChange = Literal["open", "update", "same", "public"]
"""What was or would be done with an issue. `public` means that others can read the repository, so nothing is sent."""
PAUSE = 1.0
"""The pause between two writes in seconds, as GitHub requests. It accepts 80 writes per minute and 500 per hour."""
_MARKER = re.compile(re.escape(MARKER).replace(r"\{student\}", r"([^\s<>]{1,80})"))


class _User(ApiModel):
    """An account, as GitHub's API describes it."""

    login: str


class _Issue(ApiModel):
    """An issue or pull request, as GitHub's API describes it."""

    number: int
    body: str | None = None
    user: _User | None = None
    pull_request: dict[str, object] | None = None


class _Repository(ApiModel):
    """A repository's visibility, as GitHub's API describes it."""

    private: bool
    visibility: str | None = None
    """The visibility. `internal` means that everybody in the enterprise can read the repository."""


def look_up_login(github: Client) -> str:
    """Ask GitHub for the login of the token's account; raise UsageError if it belongs to an app, which has none."""
    with translate_errors("the account of the token"):
        try:
            return validate_response(_User, github.rest.users.get_authenticated()).login
        except RequestFailed as error:
            if error.response.status_code != 403:
                raise
    raise UsageError('GITHUB_TOKEN belongs to an app, which has no account. Give its name: --author "your-app[bot]"')


class FeedbackIssues:
    """The issues of one account, with a pause between writes."""

    def __init__(self, github: Client, author: str) -> None:
        self._github = github
        self._author = author
        self._next_write = 0.0

    def sync_private_issue(
        self, repository: str, student: str, earlier_ids: Iterable[str], body: str, *, send: bool
    ) -> IssueChange:
        """Open or update the student's issue in a private repository; without `send`, only return what would be done.

        Write nothing and return "public" if the repository is not private. GitHub has no conditional update, so the
        text is compared with the existing one. Raise GraderError if GitHub refuses, or if the existing issue belongs to
        another student.
        """
        owner, name = repository.split("/")

        def sync_once() -> IssueChange:
            """Write an outdated issue, but only with `send` and in a private repository. Return what would be done."""
            found = self._find_issue(repository, {student, *earlier_ids})
            if found is not None and _normalize_issue_text(found.body) == _normalize_issue_text(body):
                return "same"
            about = validate_response(_Repository, self._github.rest.repos.get(owner, name))
            if not about.private or about.visibility == "internal":
                return "public"
            if send and found is None:
                self._wait_between_writes()
                self._github.rest.issues.create(owner, name, title=TITLE, body=body)
            elif send and found is not None:
                self._wait_between_writes()
                self._github.rest.issues.update(owner, name, found.number, body=body)
            return "open" if found is None else "update"

        with translate_errors(f"the feedback in {repository}"):
            return retry_lost_requests(sync_once)

    def _find_issue(self, repository: str, ids: set[str]) -> _Issue | None:
        """Find our account's oldest feedback issue, or return None. Raise GraderError if it is for another student.

        The marker by itself proves nothing, since anybody can open an issue that contains it.
        """
        owner, name = repository.split("/")
        pages: Iterable[_Issue] = self._github.rest.paginate(
            self._github.rest.issues.list_for_repo,
            map_func=lambda answer: validate_response(list[_Issue], answer),
            owner=owner,
            repo=name,
            state="all",
            sort="created",
            direction="asc",
            per_page=100,
        )
        for issue in pages:
            marked = _MARKER.match(issue.body or "")
            ours = issue.pull_request is None and issue.user is not None and issue.user.login == self._author
            if not ours or marked is None:
                continue
            if marked[1] not in ids:
                raise GraderError(
                    f"{repository}#{issue.number} is the feedback for {marked[1]}. Is the roster's `repository` column "
                    f"correct? If both ids belong to one person: inv rename --old {marked[1]} --new ID. Otherwise, "
                    "delete that issue"
                )
            return issue
        return None

    def _wait_between_writes(self) -> None:
        """Wait until the pause after the last write is over, and start the next pause."""
        pause = self._next_write - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        self._next_write = time.monotonic() + PAUSE


def _normalize_issue_text(body: str | None) -> str:
    """Normalize a text for comparison, since GitHub may change line endings and drop the last one."""
    return (body or "").replace("\r\n", "\n").strip()
