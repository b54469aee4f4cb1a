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
from tests.github.about import compute_repository_id
from tests.github.git import commit_branch_files, read_branch_files

BRANCH = "progress"


@cache
def _load_examples() -> dict[str, Any]:
    """Load the description's examples; skip the test without node."""
    if missing := prism.install_prism():
        pytest.skip(missing)
    return description.list_examples(description.load_description(prism.HERE))


@dataclass
class FakeRepository:
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
        return compute_repository_id(self.name)

    def client(self) -> GitHub:
        """Return a client whose requests the fake GitHub answers directly."""
        transport = httpx.MockTransport(self._answer_request)
        return GitHub("actions", transport=transport, http_cache=False, auto_retry=False)

    def read_files(self) -> dict[str, bytes]:
        """Read the files on the branch."""
        return read_branch_files(self.kept, BRANCH)

    def push(self, changes: Mapping[str, bytes | None], message: str = "An edit") -> None:
        """Commit like a student: write files, or delete them (None)."""
        now = {**self.read_files(), **changes}
        commit_branch_files(self.kept, BRANCH, {path: data for path, data in now.items() if data is not None}, message)

    def commit(self, sha: str) -> dict[str, Any]:
        """Return a commit's tree, parents, message and date."""
        fields: dict[str, Any] = self.kept.objects[sha][1]
        return fields

    def walk_commits(self) -> Iterator[str]:
        """Yield the branch's commits, newest first; every commit except the first has one parent."""
        sha = self.kept.refs[f"refs/heads/{BRANCH}"]
        yield sha
        while parents := self.commit(sha)["parents"]:
            (sha,) = parents
            yield sha

    def count_requests(self, method: str, part: str) -> int:
        """Count the requests of this method with this part in their path."""
        return sum(method == asked and part in path for asked, path in self.hub.asked)

    def _answer_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request after a random delay."""
        if self.delay:
            time.sleep(random.uniform(0, self.delay))  # noqa: S311 - only to mix up the order
        body, query = json.loads(request.content) if request.content else None, dict(request.url.params)
        given = local.answer_request(
            self.hub, local.Request(request.method, request.url.path, query, body, local.BOT, dict(request.headers))
        )
        return httpx.Response(given.status, json=given.content, headers=given.headers)


def make_repository(name: str = "octo/hello") -> FakeRepository:
    """Make an empty repository in a fake GitHub of its own."""
    made = FakeRepository(local.Hub(_load_examples()), name)
    assert made.kept.refs == {}
    return made
