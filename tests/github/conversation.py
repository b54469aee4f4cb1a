"""The fake GitHub's comments, pull requests, workflow runs and check runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.github.local import NAME, Answer, Hub, Repository, Request, build_error, build_page, declare_route

MAX_BODY_CHARACTERS = 65_536
"""GitHub's limit for a comment."""


def format_now() -> str:
    """Format the current time as GitHub does."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def add_comment(hub: Hub, repository: Repository, issue: int, body: str, user: str) -> dict[str, Any]:
    """Add a comment by this user."""
    number = hub.number()
    urls = {"issue_url": f"https://api.github.com/repos/o/r/issues/{issue}"}
    comment = hub.example(
        "issue-comment", id=number, body=body, user=hub.account(user), created_at=format_now(), **urls
    )
    repository.comments.append(comment)
    return comment


def add_pull(hub: Hub, repository: Repository, number: int, *, head: str, branch: str, sha: str) -> dict[str, Any]:
    """Add an open pull request from the repository `head` (owner/name)."""
    pull = hub.example("pull-request", number=number, state="open", requested_teams=[])
    owner, name = head.split("/")
    pull["head"] = {**pull["head"], "ref": branch, "sha": sha, "label": f"{owner}:{branch}"}
    pull["head"]["repo"] = {**pull["head"]["repo"], "full_name": head, "name": name}
    simple = hub.examples["pull-request-simple-items"][0]
    repository.pulls.append({key: pull[key] for key in pull if key in simple} | {"number": number})
    return pull


def add_run(hub: Hub, repository: Repository, number: int, *, branch: str, sha: str, **changes: Any) -> None:
    """Add a workflow run."""
    run = hub.example("workflow-run", id=number, head_branch=branch, head_sha=sha)
    repository.runs.append({**run, **changes})


@declare_route("GET", f"{NAME}/issues/(\\d+)/comments")
def list_comments(hub: Hub, request: Request, repository: Repository, issue: str) -> Answer:
    """List an issue's comments, oldest first."""
    return build_page(hub, request, [c for c in repository.comments if c["issue_url"].endswith(f"/issues/{issue}")])


@declare_route("POST", f"{NAME}/issues/(\\d+)/comments")
def create_comment(hub: Hub, request: Request, repository: Repository, issue: str) -> Answer:
    """Create a comment, unless it is too long."""
    if len(request.body["body"]) > MAX_BODY_CHARACTERS:
        return build_error(422, f"Body is too long (maximum is {MAX_BODY_CHARACTERS} characters)")
    comment = add_comment(hub, repository, int(issue), request.body["body"], request.user)
    return Answer(201, comment, {"Location": comment["url"]})


@declare_route("GET", f"{NAME}/issues/comments/(\\d+)")
def get_comment(_hub: Hub, _request: Request, repository: Repository, number: str) -> Answer:
    """Return one comment."""
    found = [c for c in repository.comments if c["id"] == int(number)]
    return Answer(200, found[0]) if found else build_error(404, "Not Found")


@declare_route("PATCH", f"{NAME}/issues/comments/(\\d+)")
def update_comment(_hub: Hub, request: Request, repository: Repository, number: str) -> Answer:
    """Update a comment, whose author stays the same."""
    for comment in repository.comments:
        if comment["id"] == int(number):
            if len(request.body["body"]) > MAX_BODY_CHARACTERS:
                return build_error(422, f"Body is too long (maximum is {MAX_BODY_CHARACTERS} characters)")
            comment.update(body=request.body["body"], updated_at=format_now())
            return Answer(200, comment)
    return build_error(404, "Not Found")


@declare_route("DELETE", f"{NAME}/issues/comments/(\\d+)")
def delete_comment(_hub: Hub, _request: Request, repository: Repository, number: str) -> Answer:
    """Delete a comment."""
    kept = [c for c in repository.comments if c["id"] != int(number)]
    if len(kept) == len(repository.comments):
        return build_error(404, "Not Found")
    repository.comments[:] = kept
    return Answer(204)


@declare_route("GET", f"{NAME}/pulls")
def list_pulls(hub: Hub, request: Request, repository: Repository) -> Answer:
    """List pull requests, filtered by head and state."""
    head, state = request.query.get("head"), request.query.get("state", "open")
    found = [p for p in repository.pulls if head in (None, p["head"]["label"]) and state in ("all", p["state"])]
    return build_page(hub, request, found)


@declare_route("GET", f"{NAME}/actions/runs/(\\d+)")
def get_run(_hub: Hub, _request: Request, repository: Repository, number: str) -> Answer:
    """Return one workflow run."""
    found = [r for r in repository.runs if r["id"] == int(number)]
    return Answer(200, found[0]) if found else build_error(404, "Not Found")


@declare_route("GET", f"{NAME}/commits/([^/]+)/check-runs")
def list_check_runs(hub: Hub, request: Request, repository: Repository, sha: str) -> Answer:
    """List a commit's check runs, newest first, filtered by name."""
    name = request.query.get("check_name")
    found = [c for c in reversed(repository.check_runs) if c["head_sha"] == sha and name in (None, c["name"])]
    return build_page(hub, request, found, "check_runs")


@declare_route("POST", f"{NAME}/check-runs")
def create_check_run(hub: Hub, request: Request, repository: Repository) -> Answer:
    """Create a check run with its first annotations."""
    run = hub.example("check-run", id=hub.number(), external_id="", conclusion=None, pull_requests=[])
    run["app"]["slug"] = request.user.removesuffix("[bot]")
    repository.check_runs.append(run)
    repository.annotations[run["id"]] = []
    return Answer(201, _apply_check_run_update(repository, run, request.body))


@declare_route("PATCH", f"{NAME}/check-runs/(\\d+)")
def update_check_run(_hub: Hub, request: Request, repository: Repository, number: str) -> Answer:
    """Update a check run and append its annotations."""
    found = [c for c in repository.check_runs if c["id"] == int(number)]
    return (
        Answer(200, _apply_check_run_update(repository, found[0], request.body))
        if found
        else build_error(404, "Not Found")
    )


def _apply_check_run_update(repository: Repository, run: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Apply a request to a check run and return it."""
    output = dict(body.get("output", {}))
    new = [{"start_column": None, "end_column": None, **a, "blob_href": ""} for a in output.pop("annotations", [])]
    kept = repository.annotations[run["id"]]
    kept += [{"title": None, "raw_details": None, **annotation} for annotation in new]
    run.update({key: value for key, value in body.items() if key != "output"})
    run["output"] = {**run["output"], "text": None, **output, "annotations_count": len(kept)}
    if "conclusion" in body:
        run.update(status="completed", completed_at=format_now())
    return run


@declare_route("GET", f"{NAME}/check-runs/(\\d+)/annotations")
def list_annotations(hub: Hub, request: Request, repository: Repository, number: str) -> Answer:
    """List all annotations of one check run."""
    return build_page(hub, request, repository.annotations[int(number)])
