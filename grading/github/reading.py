"""The records of a branch, whichever way its files are read: through GitHub's API or from a clone."""

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
"""How many records are read, the last published first: each may cost a request, and a branch may hold anything."""
COMMITS = 30
"""How many commits are searched for the last publication; usually it is the newest."""


@dataclass(frozen=True)
class Records:
    """Every record on a branch, in the order in which the runs began, and the state of the ledger."""

    entries: tuple[Entry, ...] = ()
    head: Head | None = None
    """The head given by the last publication; None when nothing was published yet."""
    lines: tuple[bytes, ...] = ()
    """The ledger's lines, unchanged."""

    @property
    def history(self) -> History:
        """The verified records as a student's history."""
        return History(tuple(e.event for e in self.entries if e.verified and e.event is not None))

    @property
    def unverified(self) -> tuple[Entry, ...]:
        """The records that nothing vouches for."""
        return tuple(e for e in self.entries if not e.verified)

    def latest(self, session: str) -> Entry | None:
        """Return the last verified record of a session such as milestone-2 or module-02_tensor."""
        return next((e for e in reversed(self.entries) if e.verified and e.session == session), None)


def read_records(
    sizes: Mapping[str, int],
    messages: Iterable[str],
    read: Callable[[Collection[str]], Mapping[str, bytes]],
    *,
    repository: int | None,
) -> Records:
    """Read a branch's records and check them against its ledger.

    `sizes` maps its regular files to bytes. `messages` are its commit messages, newest first. `read` returns the
    contents of the given files, which are the ledger and those that its newest lines name. `repository` is GitHub's
    number of the repository, or None when it is unknown.
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
