"""A student's repository in the fake GitHub, reached without a network: fast enough to race in."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
import pytest
from githubkit import GitHub

from tests.github import description, local, prism
from tests.github.about import number_of
from tests.github.git import branch_files, commit_files

BRANCH = "progress"


@cache
def _examples() -> dict[str, Any]:
    """Load the description's examples; skip the test without node."""
    if missing := prism.install():
        pytest.skip(missing)
    return description.examples(description.described(prism.HERE))


@dataclass
class Place:
    """A repository in the fake GitHub; `delay`, in seconds, makes races likely."""

    hub: local.Hub
    name: str = "octo/hello"
    delay: float = 0.0

    @property
    def kept(self) -> local.Repository:
        """The stored content of the repository."""
        return self.hub.repository(self.name)

    @property
    def number(self) -> int:
        """GitHub's number of the repository."""
        return number_of(self.name)

    def client(self) -> GitHub:
        """Return a client whose requests the fake GitHub answers directly."""
        transport = httpx.MockTransport(self._answer)
        return GitHub("actions", transport=transport, http_cache=False, auto_retry=False)

    def files(self) -> dict[str, bytes]:
        """Read the files on the branch."""
        return branch_files(self.kept, BRANCH)

    def push(self, changes: Mapping[str, bytes | None], message: str = "An edit") -> None:
        """Commit like a student: write files, or delete them (None)."""
        now = {**self.files(), **changes}
        commit_files(self.kept, BRANCH, {path: data for path, data in now.items() if data is not None}, message)

    def commit(self, sha: str) -> dict[str, Any]:
        """Return a commit's tree, parents, message and date."""
        fields: dict[str, Any] = self.kept.objects[sha][1]
        return fields

    def line(self) -> Iterator[str]:
        """Yield the branch's commits, newest first; every commit except the first has one parent."""
        sha = self.kept.refs[f"refs/heads/{BRANCH}"]
        yield sha
        while parents := self.commit(sha)["parents"]:
            (sha,) = parents
            yield sha

    def asked(self, method: str, part: str) -> int:
        """Count the requests of this method with this part in their path."""
        return sum(method == asked and part in path for asked, path in self.hub.asked)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request after a random delay."""
        if self.delay:
            time.sleep(random.uniform(0, self.delay))  # noqa: S311 - only to mix up the order
        body, query = json.loads(request.content) if request.content else None, dict(request.url.params)
        given = local.answer(
            self.hub, local.Request(request.method, request.url.path, query, body, local.BOT, dict(request.headers))
        )
        return httpx.Response(given.status, json=given.content, headers=given.headers)


def place(name: str = "octo/hello") -> Place:
    """Make an empty repository in a fake GitHub of its own."""
    made = Place(local.Hub(_examples()), name)
    assert made.kept.refs == {}
    return made
