"""The fake GitHub's issues."""

from __future__ import annotations

from typing import Any

from tests.github.conversation import MAX_BODY_CHARACTERS, format_now
from tests.github.local import NAME, Answer, Hub, Repository, Request, build_error, build_page, declare_route


def add_issue(hub: Hub, repository: Repository, title: str, body: str, user: str, **changes: Any) -> dict[str, Any]:
    """Add an open issue by this user."""
    fields = {"id": hub.number(), "number": len(repository.issues) + 1, "title": title, "body": body, "state": "open"}
    issue = hub.example("issue", user=hub.account(user), created_at=format_now(), **fields, **changes)
    for other in ("pull_request", "milestone", "assignee", "closed_by"):
        if other not in changes:
            issue.pop(other, None)
    issue |= {"assignees": [], "labels": [], "closed_at": None, "assignee": None, "milestone": None}
    repository.issues.append(issue)
    return issue


@declare_route("GET", f"{NAME}/issues")
def list_issues(hub: Hub, request: Request, repository: Repository) -> Answer:
    """List issues by state, oldest first; pull requests are issues as well."""
    state = request.query.get("state", "open")
    return build_page(hub, request, [i for i in repository.issues if state in ("all", i["state"])])


@declare_route("POST", f"{NAME}/issues")
def create_issue(hub: Hub, request: Request, repository: Repository) -> Answer:
    """Create an issue, unless issues are disabled or the text is too long."""
    if not repository.has_issues:
        return build_error(410, "Issues has been disabled in this repository.")
    if len(request.body["body"]) > MAX_BODY_CHARACTERS:
        return build_error(422, f"Body is too long (maximum is {MAX_BODY_CHARACTERS} characters)")
    issue = add_issue(hub, repository, request.body["title"], request.body["body"], request.user)
    return Answer(201, issue, {"Location": issue["url"]})


@declare_route("PATCH", f"{NAME}/issues/(\\d+)")
def update_issue(_hub: Hub, request: Request, repository: Repository, number: str) -> Answer:
    """Update an issue, whose author stays the same."""
    found = [issue for issue in repository.issues if issue["number"] == int(number)]
    if not found:
        return build_error(404, "Not Found")
    found[0].update(body=request.body["body"], updated_at=format_now())
    return Answer(200, found[0])
