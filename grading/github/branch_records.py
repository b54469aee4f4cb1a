"""Verify the records on a branch, whether its files are read through GitHub's API or from a clone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from grading import progress
from grading.github import ledger
from grading.github.ledger import LedgerHead, RecordEntry
from grading.progress import History

BRANCH = "progress"
MAX_RECORDS = 1_000
"""The maximum number of records that are read, starting with the last one published.

Each may cost a request, and a branch may contain anything.
"""
MAX_COMMITS = 30
"""The maximum number of commits that are searched for the last publication, which is usually in the newest commit."""


@dataclass(frozen=True)
class BranchRecords:
    """All records on a branch, in the order in which the runs began, and the state of the ledger."""

    entries: tuple[RecordEntry, ...] = ()
    head: LedgerHead | None = None
    """The head from the last publication, or None if nothing has been published yet."""
    lines: tuple[bytes, ...] = ()
    """The ledger's lines, unchanged."""

    @property
    def history(self) -> History:
        """The verified records as a student's history."""
        return History(tuple(e.event for e in self.entries if e.verified and e.event is not None))

    @property
    def unverified_records(self) -> tuple[RecordEntry, ...]:
        """The records that the ledger does not confirm."""
        return tuple(e for e in self.entries if not e.verified)

    def find_latest_record(self, session: str) -> RecordEntry | None:
        """Return the latest verified record of a session such as milestone-2 or module-02_tensor."""
        return next((e for e in reversed(self.entries) if e.verified and e.session == session), None)


def verify_branch_records(
    sizes: Mapping[str, int],
    messages: Iterable[str],
    read_contents: Callable[[Collection[str]], Mapping[str, bytes]],
    *,
    repository_id: int | None,
) -> BranchRecords:
    """Check a branch's records against its ledger, and read those that its newest 1,000 lines name, unless too large.

    `sizes` maps the branch's regular files to their sizes in bytes. `messages` are its commit messages, newest first.
    `read_contents` returns the contents of the given files, which are the ledger and the files that its newest lines
    name. `repository_id` is GitHub's number for the repository, or None if it is unknown.
    """
    head = next(filter(None, map(ledger.parse_ledger_trailer, islice(messages, MAX_COMMITS))), None)
    lines: list[bytes] = []
    if sizes.get(ledger.LEDGER_FILE, ledger.MAX_LEDGER_BYTES + 1) <= ledger.MAX_LEDGER_BYTES:
        lines = ledger.split_ledger_lines(read_contents([ledger.LEDGER_FILE])[ledger.LEDGER_FILE])
    folder = f"{progress.FOLDER.as_posix()}/"
    records = {path: size for path, size in sizes.items() if path.startswith(folder) and path.endswith(".json")}
    named = ledger.list_files_in_ledger(lines[-MAX_RECORDS:])
    wanted = [path for path, size in records.items() if path in named and size <= progress.LARGEST]
    contents = read_contents(wanted)
    files = {path: contents.get(path) for path in records}
    return BranchRecords(
        ledger.verify_ledger_records(lines, files, head=head, repository_id=repository_id), head, tuple(lines)
    )
