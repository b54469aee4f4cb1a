"""A repository's Git data as GitHub's API gives it, kept in memory: refs move by compare and swap, as on GitHub."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from githubkit import GitHub


@dataclass
class Commit:
    """A commit: its files by path, message and parents."""

    files: dict[str, str]
    message: str
    parents: list[str]


@dataclass
class Repository:
    """octo/hello and the requests it has answered; `delay` makes races likely."""

    number: int = 4711
    delay: float = 0.0
    truncated: bool = False
    """Whether its trees are said to be listed only in part."""
    blobs: dict[str, bytes] = field(default_factory=dict)
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    moves: list[str] = field(default_factory=list)
    """Every commit the branch has been at."""
    requests: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def client(self) -> GitHub:
        """A client that talks to this repository."""
        transport = httpx.MockTransport(self.answer)
        return GitHub("token", transport=transport, http_cache=False, auto_retry=False)

    def files(self, branch: str = "progress") -> dict[str, bytes]:
        """What is on the branch."""
        return {path: self.blobs[sha] for path, sha in self.commits[self.refs[branch]].files.items()}

    def push(self, files: dict[str, bytes | None], message: str = "An edit", branch: str = "progress") -> None:
        """A student's ordinary commit: files written, or deleted (None)."""
        parent = self.refs.get(branch)
        now = dict(self.commits[parent].files) if parent else {}
        for path, data in files.items():
            if data is None:
                del now[path]
            else:
                now[path] = self._keep(data)
        self.refs[branch] = self._commit(now, message, [parent] if parent else [])
        self.moves.append(self.refs[branch])

    def answer(self, request: httpx.Request) -> httpx.Response:
        """One request's response."""
        if self.delay:
            time.sleep(random.uniform(0, self.delay))  # noqa: S311 - only to mix up the order
        path = request.url.path.removeprefix("/repos/octo/hello")
        body = json.loads(request.content) if request.content else {}
        with self.lock:
            self.requests.append(f"{request.method} {path}")
            status, document = self._answer(request.method, path, body)
        return httpx.Response(status, json=document)

    def _answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if (method, path) == ("GET", ""):
            return 200, {"id": self.number}
        if match := re.fullmatch(r"/git/ref/heads/(.+)", path):
            sha = self.refs.get(match[1])
            return (200, _ref(match[1], sha)) if sha else (404, {"message": "Not Found"})
        if match := re.fullmatch(r"/git/commits/(\w+)", path):
            return 200, _commit(match[1], self.commits[match[1]])
        if match := re.fullmatch(r"/git/trees/(\w+)", path):
            items = [
                {"path": p, "mode": "100644", "type": "blob", "sha": s, "size": len(self.blobs[s]), "url": "u"}
                for p, s in self.trees[match[1]].items()
            ]
            return 200, {"sha": match[1], "url": "u", "truncated": self.truncated, "tree": items}
        if match := re.fullmatch(r"/git/blobs/(\w+)", path):
            data = self.blobs[match[1]]
            content = base64.encodebytes(data).decode()
            return 200, {
                "content": content,
                "encoding": "base64",
                "url": "u",
                "sha": match[1],
                "size": len(data),
                "node_id": "n",
            }
        return self._made(method, path, body)

    def _made(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/git/blobs":
            return 201, {"url": "u", "sha": self._keep(base64.b64decode(body["content"]))}
        if path == "/git/trees":
            files = dict(self.trees[body["base_tree"]]) if "base_tree" in body else {}
            files |= {item["path"]: item["sha"] for item in body["tree"]}
            sha = self._tree(files)
            return 201, {"sha": sha, "url": "u", "truncated": False, "tree": []}
        if path == "/git/commits":
            sha = self._commit(self.trees[body["tree"]], body["message"], body["parents"])
            return 201, _commit(sha, self.commits[sha])
        if (method, path) == ("POST", "/git/refs"):
            name = body["ref"].removeprefix("refs/heads/")
            if name in self.refs:
                return 422, {"message": "Reference already exists", "documentation_url": "u"}
            return self._move(name, body["sha"], 201)
        if method == "PATCH" and (match := re.fullmatch(r"/git/refs/heads/(.+)", path)):
            assert body["force"] is False
            if self.refs[match[1]] not in self.commits[body["sha"]].parents:
                return 422, {"message": "Update is not a fast forward", "documentation_url": "u"}
            return self._move(match[1], body["sha"], 200)
        raise AssertionError(f"{method} {path} is not part of this copy")

    def _move(self, name: str, sha: str, status: int) -> tuple[int, Any]:
        self.refs[name] = sha
        self.moves.append(sha)
        return status, _ref(name, sha)

    def _keep(self, data: bytes) -> str:
        sha = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        self.blobs[sha] = data
        return sha

    def _tree(self, files: dict[str, str]) -> str:
        sha = hashlib.sha1(json.dumps(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()
        self.trees[sha] = dict(files)
        return sha

    def _commit(self, files: dict[str, str], message: str, parents: list[str]) -> str:
        self._tree(files)
        text = json.dumps([sorted(files.items()), message, parents, len(self.commits)])
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = Commit(dict(files), message, list(parents))
        return sha


def _ref(name: str, sha: str) -> dict[str, Any]:
    return {
        "ref": f"refs/heads/{name}",
        "node_id": "n",
        "url": "u",
        "object": {"type": "commit", "sha": sha, "url": "u"},
    }


def _commit(sha: str, commit: Commit) -> dict[str, Any]:
    tree = hashlib.sha1(json.dumps(sorted(commit.files.items())).encode(), usedforsecurity=False).hexdigest()
    who = {"date": "2026-03-01T12:00:00Z", "email": "a@b.c", "name": "a"}
    return {
        "sha": sha,
        "node_id": "n",
        "url": "u",
        "html_url": "u",
        "author": who,
        "committer": who,
        "message": commit.message,
        "tree": {"sha": tree, "url": "u"},
        "parents": [{"sha": p, "url": "u", "html_url": "u"} for p in commit.parents],
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "signature": None,
            "payload": None,
            "verified_at": None,
        },
    }
