"""The fake GitHub's list of pushes, workflow runs and permissions of Actions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from tests.github.local import NAME, Answer, Hub, Repository, Request, build_page, declare_route


def add_activity(hub: Hub, repository: Repository, commit: str, at: datetime, ref: str = "refs/heads/main") -> None:
    """Record a push as GitHub does; the newest is listed first."""
    before = next((a["after"] for a in repository.activities if a["ref"] == ref), "0" * 40)
    fields = {"id": hub.number(), "before": before, "after": commit, "ref": ref, "activity_type": "push"}
    stamp = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    repository.activities.insert(0, {**fields, "node_id": "A", "timestamp": stamp, "actor": None})


@declare_route("GET", f"{NAME}/activity")
def list_activities(hub: Hub, request: Request, repository: Repository) -> Answer:
    """List one branch's activities, with a cursor to the next page instead of page numbers."""
    size, begins = int(request.query.get("per_page", 30)), int(request.query.get("after", 0))
    found = [a for a in repository.activities if request.query.get("ref") in (None, a["ref"])]
    headers: dict[str, Any] = {}
    if begins + size < len(found):
        query = urlencode({**request.query, "after": begins + size})
        headers["Link"] = f'<{hub.public_url}{request.path}?{query}>; rel="next"'
    return Answer(200, found[begins : begins + size], headers)


@declare_route("GET", f"{NAME}/actions/workflows/([\\w.-]+)/runs")
def list_workflow_runs(hub: Hub, request: Request, repository: Repository, file: str) -> Answer:
    """List a workflow's runs, newest first, filtered by branch and status."""
    wanted = {"head_branch": request.query.get("branch"), "status": request.query.get("status")}
    found = [r for r in reversed(repository.runs) if r["path"].endswith(f"/{file}")]
    return build_page(
        hub, request, [r for r in found if all(v in (None, r[k]) for k, v in wanted.items())], "workflow_runs"
    )


@declare_route("GET", f"{NAME}/actions/permissions")
def get_permissions(hub: Hub, _request: Request, repository: Repository) -> Answer:
    """Say whether Actions are enabled."""
    return Answer(200, hub.example("actions-repository-permissions", enabled=repository.actions))
