"""The local copy's word on a repository itself."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.github.local import NAME, Answer, Hub, Repository, Request, route


def number_of(name: str) -> int:
    """A number for each name, always the same."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


@route("GET", NAME)
def get_repository(hub: Hub, request: Request, _repository: Repository) -> Answer:
    """GitHub's number of it is what counts here."""
    name = request.path.removeprefix("/repos/")
    changes: dict[str, Any] = {"id": number_of(name), "name": name.partition("/")[2], "full_name": name}
    found = hub.example("full-repository-default-response", language=None, **changes)
    for other in ("source", "parent"):  # the example's own forks lack what the description requires of them
        found.pop(other, None)
    return Answer(200, found)
