"""The published records of a repository, read from its branch `progress` and checked against the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grading import progress
from grading.github import ledger
from grading.github.branch import Branch, Repository, messages, number_of, read_branch, read_files, repository_of
from grading.github.ledger import Entry, Head
from grading.progress import History

if TYPE_CHECKING:
    from githubkit import GitHub

BRANCH = "progress"
NEWEST = 1_000
"""Records that are read, the last published first: each is a request, and a branch may hold anything."""
COMMITS = 30
"""Commits that are looked through for the last publication; usually it is the first."""


@dataclass(frozen=True)
class Records:
    """Every record on the branch, by when its run began, and where the ledger ends."""

    entries: tuple[Entry, ...] = ()
    head: Head | None = None
    """What the last publication said; None when there has been none."""

    @property
    def history(self) -> History:
        """The verified records as a student's history."""
        return History(tuple(e.event for e in self.entries if e.verified and e.event is not None))

    @property
    def unverified(self) -> tuple[Entry, ...]:
        """The records that nothing vouches for."""
        return tuple(e for e in self.entries if not e.verified)

    def latest(self, session: str) -> Entry | None:
        """The last verified record of a session such as milestone-2 or module-02_tensor."""
        return next((e for e in reversed(self.entries) if e.verified and e.session == session), None)


def read_history(client: GitHub, repository: str) -> Records:
    """The records of a repository (owner/name); none when it has no branch `progress` yet.

    GitHub's own errors come through as githubkit's exceptions.
    """
    place = repository_of(client, repository)
    branch = read_branch(place, BRANCH)
    return Records() if branch is None else read_records(place, branch, number_of(place), {})


def read_records(place: Repository, branch: Branch, number: int, known: dict[str, bytes]) -> Records:
    """The records of a branch as it stands; `known` holds files that were read before, by Git's digest."""
    head = last_head(place, branch)
    lines = read_ledger(place, branch, known)
    files = _read_named(place, branch, lines, known)
    return Records(ledger.verify(lines, files, head=head, repository=number), head)


def last_head(place: Repository, branch: Branch) -> Head | None:
    """What the newest publication's commit says."""
    return next(filter(None, map(ledger.head_of, messages(place, branch, COMMITS))), None)


def read_ledger(place: Repository, branch: Branch, known: dict[str, bytes]) -> list[bytes]:
    """The ledger's lines; none when the branch has no ledger, or one that is too large to be ours."""
    file = branch.files.get(ledger.FILE)
    if file is None or file.size > ledger.LARGEST:
        return []
    return ledger.split(read_files(place, [file.sha], known)[file.sha])


def _read_named(
    place: Repository, branch: Branch, lines: list[bytes], known: dict[str, bytes]
) -> Mapping[str, bytes | None]:
    """Every record's path, and the bytes of those that the newest lines of the ledger name: no others are needed."""
    folder = f"{progress.FOLDER.as_posix()}/"
    records = {p: f for p, f in branch.files.items() if p.startswith(folder) and p.endswith(".json")}
    named = {line.file for line in map(_line, lines[-NEWEST:]) if line is not None}
    wanted = {p: f.sha for p, f in records.items() if p in named and f.size <= progress.LARGEST}
    read = read_files(place, wanted.values(), known)
    return {path: read[wanted[path]] if path in wanted else None for path in records}


def _line(raw: bytes) -> ledger.Line | None:
    try:
        return ledger.parse(raw)
    except ValueError:
        return None
