"""The fake GitHub's answers about a repository itself."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.github.local import NAME, Answer, Hub, Repository, Request, build_error, declare_route


def compute_repository_id(name: str) -> int:
    """Compute a repository's number from its name, always the same."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


@declare_route("GET", NAME)
def get_repository(hub: Hub, request: Request, repository: Repository) -> Answer:
    """Answer with the repository's number and visibility."""
    name = request.path.removeprefix("/repos/")
    changes: dict[str, Any] = {"id": compute_repository_id(name), "name": name.partition("/")[2], "full_name": name}
    changes |= {"private": repository.visibility != "public", "visibility": repository.visibility}
    found = hub.example("full-repository-default-response", language=None, **changes)
    for other in ("source", "parent"):  # the example's own forks lack fields that the description requires
        found.pop(other, None)
    return Answer(200, found)


@declare_route("GET", "/user")
def get_user(hub: Hub, request: Request) -> Answer:
    """Answer whose token it is; an app's token has no account."""
    if request.user.endswith("[bot]"):
        return build_error(403, "Resource not accessible by integration")
    name = "private-user-response-with-public-profile-information"
    return Answer(200, hub.example(name, login=request.user, user_view_type="public"))
