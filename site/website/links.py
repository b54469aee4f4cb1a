"""Addresses of a student's work, for those whose roster says that they may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from desk.repository import full_name
from grading.manifest.model import Milestone, Module
from grading.result import Result

COMMIT = re.compile(r"[0-9a-f]{40}")
RECORD = re.compile(r"progress/[\w.-]{1,200}\.json", re.ASCII)
GITHUB = "https://github.com"


@dataclass(frozen=True)
class Repository:
    """Where a student's code can be read by everybody who may read it."""

    address: str
    name: str
    """As it is shown."""
    on_github: bool

    def code(self, result: Result, milestone: Milestone, module: Module) -> tuple[tuple[str, str], ...]:
        """The graded commit, the file of the milestone's layer, and its recipe: (what it is, address)."""
        commit = result.submission.commit or ""
        if not self.on_github or not COMMIT.fullmatch(commit):
            return ()
        files = [(module.title, module.code), ("the recipe", milestone.recipe)]
        blobs = [
            (f"{title}: {path.name}", f"{self.address}/blob/{commit}/{quote(path.as_posix())}") for title, path in files
        ]
        return ((f"commit {commit[:10]}", f"{self.address}/tree/{commit}"), *blobs)

    def record(self, file: str | None) -> str | None:
        """A record on the branch `progress`, where the ledger vouches for it."""
        return f"{self.address}/blob/progress/{file}" if self.on_github and RECORD.fullmatch(file or "") else None

    @property
    def attestations(self) -> str | None:
        """Where GitHub lists what its workflows have signed of a public repository."""
        return f"{self.address}/attestations" if self.on_github else None


def find_repository(text: str | None) -> Repository | None:
    """The repository of a roster's row as a page can link to it; None for a path, and for what only ssh reaches.

    >>> find_repository("octo/hello").address
    'https://github.com/octo/hello'
    """
    if text is None:
        return None
    name = full_name(text)
    if name is not None:
        return Repository(f"{GITHUB}/{name}", name, on_github=True)
    if not text.startswith("https://"):
        return None
    address = text.rstrip("/").removesuffix(".git")
    return Repository(address, address.removeprefix("https://"), on_github=False)
