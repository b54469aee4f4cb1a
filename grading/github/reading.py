"""The records of a branch, however its files are reached: through GitHub's API, or from a clone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from grading import progress
from grading.github import ledger
from grading.github.ledger import Entry, Head
from grading.progress import History

BRANCH = "progress"
NEWEST = 1_000
"""Records that are read, the last published first: each may be a request, and a branch may hold anything."""
COMMITS = 30
"""Commits that are looked through for the last publication; usually it is the first."""


@dataclass(frozen=True)
class Records:
    """Every record on a branch, by when its run began, and how the ledger stands."""

    entries: tuple[Entry, ...] = ()
    head: Head | None = None
    """What the last publication said; None when there has been none."""
    lines: tuple[bytes, ...] = ()
    """Of the ledger, as they are."""

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


def read_records(
    sizes: Mapping[str, int],
    messages: Iterable[str],
    read: Callable[[Collection[str]], Mapping[str, bytes]],
    *,
    repository: int | None,
) -> Records:
    """The records of a branch.

    `sizes` are its ordinary files, in bytes; `messages` those of its commits, newest first; `read` gives the contents
    of the files it is asked for, which are the ledger and what its newest lines name. `repository` is GitHub's number
    of it, None where nobody can say.
    """
    head = next(filter(None, map(ledger.head_of, islice(messages, COMMITS))), None)
    lines: list[bytes] = []
    if sizes.get(ledger.FILE, ledger.LARGEST + 1) <= ledger.LARGEST:
        lines = ledger.split(read([ledger.FILE])[ledger.FILE])
    folder = f"{progress.FOLDER.as_posix()}/"
    records = {path: size for path, size in sizes.items() if path.startswith(folder) and path.endswith(".json")}
    named = ledger.named(lines[-NEWEST:])
    wanted = [path for path, size in records.items() if path in named and size <= progress.LARGEST]
    contents = read(wanted)
    files = {path: contents.get(path) for path in records}
    return Records(ledger.verify(lines, files, head=head, repository=repository), head, tuple(lines))
