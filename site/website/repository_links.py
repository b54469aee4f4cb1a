"""Addresses of a student's work, for students who agreed that the site may show them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from desk.repository import parse_github_name
from grading.manifest.model import Milestone, Module
from grading.result import Result

COMMIT = re.compile(r"[0-9a-f]{40}")
RECORD = re.compile(r"progress/[\w.-]{1,200}\.json", re.ASCII)
GITHUB = "https://github.com"


@dataclass(frozen=True)
class LinkedRepository:
    """A student's repository that the site may link to."""

    address: str
    name: str
    """The name that pages show."""
    on_github: bool

    def list_code_links(self, result: Result, milestone: Milestone, module: Module) -> tuple[tuple[str, str], ...]:
        """List (text, address) of the graded commit, module file and recipe; () unless the commit is on GitHub."""
        commit = result.submission.commit or ""
        if not self.on_github or not COMMIT.fullmatch(commit):
            return ()
        files = [(module.title, module.code), ("the recipe", milestone.recipe)]
        blobs = [
            (f"{title}: {path.name}", f"{self.address}/blob/{commit}/{quote(path.as_posix())}") for title, path in files
        ]
        return ((f"commit {commit[:10]}", f"{self.address}/tree/{commit}"), *blobs)

    def build_record_address(self, file: str | None) -> str | None:
        """Build a record's address on GitHub's branch `progress`; return None for another host or unexpected file."""
        return f"{self.address}/blob/progress/{file}" if self.on_github and RECORD.fullmatch(file or "") else None

    @property
    def attestations(self) -> str | None:
        """The address of GitHub's list of what a public repository's workflows have signed; None for another host."""
        return f"{self.address}/attestations" if self.on_github else None


def parse_linked_repository(text: str | None) -> LinkedRepository | None:
    """Parse a repository into one that pages can link to; return None if it is a path or reachable only over SSH.

    >>> parse_linked_repository("octo/hello").address
    'https://github.com/octo/hello'
    """
    if text is None:
        return None
    name = parse_github_name(text)
    if name is not None:
        return LinkedRepository(f"{GITHUB}/{name}", name, on_github=True)
    if not text.startswith("https://"):
        return None
    address = text.rstrip("/").removesuffix(".git")
    return LinkedRepository(address, address.removeprefix("https://"), on_github=False)
