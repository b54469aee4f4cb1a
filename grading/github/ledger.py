"""The ledger of published records, a hash chain that shows what was changed after publication.

There is one line per record, in the order of publication, and each line contains the SHA-256 of the line before it. All
functions here are pure functions of bytes, whether the branch was read through GitHub's API or from a clone. For what a
chain can and cannot prove, see docs/architecture/github.md in the course's repository.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from grading import progress
from grading.progress import Event
from grading.render.text import to_one_line

LEDGER_FILE = "progress/ledger.jsonl"
START_DIGEST = "0" * 64
"""The digest in the first line, which has no line before it."""
MAX_LEDGER_BYTES = 4_000_000
MAX_LINE_BYTES = 1_000
"""The maximum length of a line, in bytes. The course's own lines have about 350 bytes."""
_RECORD_PATH = re.compile(r"progress/[\w.-]{1,200}\.json", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TRAILER = re.compile(r"^TinyTorch-Ledger: (\d{1,9}) ([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class LedgerLine:
    """One published record."""

    number: int
    """The line's number, counted from 1 in the order of publication."""
    file: str
    """The record's path on the branch."""
    sha256: str
    """The digest of the file's bytes."""
    previous: str
    """The SHA-256 of the line before, or `START_DIGEST` for the first line."""
    repository: int
    """GitHub's number for the repository in which the record was published. Unlike a name, the number never changes."""
    run_id: int
    started_at: datetime


@dataclass(frozen=True)
class LedgerHead:
    """The end of the ledger: the number of lines, and the SHA-256 of the last line."""

    number: int = 0
    digest: str = START_DIGEST

    @property
    def trailer(self) -> str:
        """The line of a commit message that contains this head. `parse_ledger_trailer` reads it."""
        return f"TinyTorch-Ledger: {self.number} {self.digest}"


@dataclass(frozen=True)
class RecordEntry:
    """A record on the branch, and whether the ledger confirms it."""

    file: str
    event: Event | None
    """The record's event, or None if the file is not a readable record."""
    reason: str | None
    """The reason why the record is not verified, as a clause, or None if it is verified."""
    run_id: int | None = None
    number: int | None = None

    @property
    def verified(self) -> bool:
        """Return whether the record is the one that was published."""
        return self.reason is None

    @property
    def session(self) -> str | None:
        """The graded nox session, such as milestone-2 or module-02_tensor, or None if the entry has no event."""
        return None if self.event is None else name_event_session(self.event)

    @property
    def sort_key(self) -> tuple[datetime, int, str]:
        """A sort key by the start of the run. Entries without a date come last."""
        never = datetime.max.replace(tzinfo=UTC)
        return (self.event.at if self.event else never, self.run_id or 0, self.file)


def name_event_session(event: Event) -> str:
    """Return the event's session as nox names it, such as milestone-2 or module-02_tensor."""
    return f"module-{event.module}" if event.milestone is None else f"milestone-{event.milestone}"


def split_ledger_lines(data: bytes) -> list[bytes]:
    """Split the ledger into lines, without their newlines. Raise ValueError if it is too large.

    It may lack the last newline.
    """
    if len(data) > MAX_LEDGER_BYTES:
        raise ValueError(f"{LEDGER_FILE} is larger than {MAX_LEDGER_BYTES} bytes")
    lines = data.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def append_ledger_lines(data: bytes, head: LedgerHead, lines: Sequence[LedgerLine]) -> tuple[bytes, LedgerHead]:
    """Append these lines, numbered and chained to `head`. Return the ledger's bytes and its new head.

    `head` comes from the last publication, not from the end of the file. So the new lines do not confirm a line that
    somebody has edited or added in the meantime.
    """
    if data and not data.endswith(b"\n"):
        data += b"\n"
    for line in lines:
        fields = {
            "number": head.number + 1,
            "file": line.file,
            "sha256": line.sha256,
            "previous": head.digest,
            "repository": line.repository,
            "run_id": line.run_id,
            "started_at": line.started_at.astimezone(UTC).isoformat(),
        }
        text = json.dumps(fields).encode()
        data += text + b"\n"
        head = LedgerHead(head.number + 1, compute_sha256(text))
    return data, head


def compute_sha256(data: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def parse_ledger_trailer(message: str) -> LedgerHead | None:
    """Return the ledger's head from a commit message's last trailer, or None if there is no trailer."""
    found = _TRAILER.findall(message)
    return LedgerHead(int(found[-1][0]), found[-1][1]) if found else None


def parse_ledger_line(line: bytes) -> LedgerLine:
    """Parse one line of the ledger. Raise ValueError with the reason if the line is not valid."""
    if len(line) > MAX_LINE_BYTES:
        raise ValueError("too long for a line of the ledger")
    try:
        fields = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(fields, dict) or set(fields) != set(LedgerLine.__dataclass_fields__):
        raise ValueError("not a line of the ledger")
    for name, pattern in (("file", _RECORD_PATH), ("sha256", _DIGEST), ("previous", _DIGEST)):
        if not isinstance(fields[name], str) or not pattern.fullmatch(fields[name]):
            raise ValueError(f"an invalid {name}")
    for name in ("number", "repository", "run_id"):
        if type(fields[name]) is not int or not 0 < fields[name] < 2**63:
            raise ValueError(f"an invalid {name}")
    return LedgerLine(**{**fields, "started_at": _parse_zoned_time(fields["started_at"])})


def list_files_in_ledger(lines: Sequence[bytes]) -> set[str]:
    """List the files that these lines refer to, skipping lines that are not valid."""
    files = set()
    for raw in lines:
        try:
            files.add(parse_ledger_line(raw).file)
        except ValueError:
            continue
    return files


def _parse_zoned_time(value: Any) -> datetime:
    """Parse an ISO time that states its zone, and convert it to UTC. Raise ValueError for anything else."""
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError("an invalid started_at")


def verify_ledger_records(
    lines: Sequence[bytes],
    files: Mapping[str, bytes | None],
    *,
    head: LedgerHead | None = None,
    repository_id: int | None = None,
    check_results: bool = True,
) -> tuple[RecordEntry, ...]:
    """Return an entry for each record, with any reason why it is not verified, sorted by (started_at, run_id).

    `files` contains every record on the branch, keyed by path, with None for a record that was not read. `head` comes
    from the last publication's commit. If it is missing, the last line counts as the head, and an edit of that line
    goes unnoticed. `repository_id` is GitHub's number for the repository. If it is missing, records from a different
    repository go unnoticed. If `check_results` is False, results are checked only as far as
    `grading.progress.read_history` checks them for `grading.journey`.
    """
    chain = _verify_hash_chain(lines, head)
    entries: list[RecordEntry] = []
    seen: set[str] = set()
    for index, raw in enumerate(lines):
        try:
            line = parse_ledger_line(raw)
        except ValueError as error:
            where = f"{LEDGER_FILE}, line {index + 1}"
            entries.append(RecordEntry(where, None, chain[index] or f"the ledger contains an invalid line: {error}"))
            continue
        event, wrong = _read_ledger_event(line, files, check_results=check_results)
        if repository_id is not None and line.repository != repository_id:
            wrong = "it was published in a different repository"
        elif wrong is None and line.file in seen:
            wrong = "the ledger lists it twice"
        seen.add(line.file)
        entries.append(RecordEntry(line.file, event, wrong or chain[index], line.run_id, line.number))
    for file in sorted(set(files) - seen):
        event, _ = _parse_event(files[file], check_results=check_results)
        entries.append(RecordEntry(file, event, "it is not in the ledger: no run has published it"))
    return tuple(sorted(entries, key=lambda e: e.sort_key))


def _verify_hash_chain(lines: Sequence[bytes], head: LedgerHead | None) -> list[str | None]:
    """For each line, return the reason why the chain does not confirm it, or None if the chain confirms it.

    From the head back, each line confirms the line before it. If a line does not match the line before it, all earlier
    lines are in doubt, because it is impossible to tell which of them was edited or removed. If the head is only
    assumed to be the last line, the line that does not match is in doubt as well.
    """
    digests = [compute_sha256(line) for line in lines]
    wanted = head.digest if head is not None else digests[-1] if digests else START_DIGEST
    if wanted not in digests:
        reason = "the ledger does not contain the last published line: lines were edited or removed"
        return [reason] * len(lines)
    end = len(digests) - 1 - digests[::-1].index(wanted)
    reasons: list[str | None] = [None] * (end + 1)
    reasons += ["the ledger lists it after the last published line: no run has published it"] * (len(lines) - end - 1)
    for index in range(end, -1, -1):
        before = digests[index - 1] if index else START_DIGEST
        if _parse_previous_digest(lines[index]) != before:
            doubtful = index if head is not None else index + 1
            reason = f"the chain is broken: line {index} of the ledger, or one before it, was edited or removed"
            reasons[:doubtful] = [reason if index else "the ledger does not begin with this line"] * doubtful
            break
    return reasons


def _parse_previous_digest(line: bytes) -> str | None:
    """Return the digest that a line contains for the line before it, or None if the line is invalid."""
    try:
        return parse_ledger_line(line).previous
    except ValueError:
        return None


def _read_ledger_event(
    line: LedgerLine, files: Mapping[str, bytes | None], *, check_results: bool
) -> tuple[Event | None, str | None]:
    """Return the event of the record that a line names, and the problem with the record. Either can be None."""
    if line.file not in files:
        return None, "its file is missing"
    data = files[line.file]
    if data is None:
        return None, "it was not read because it is too large or there are too many newer ones"
    event, wrong = _parse_event(data, check_results=check_results)
    if compute_sha256(data) != line.sha256:
        return event, "it was edited after it was published"
    if event is not None and event.at != line.started_at:
        return event, "the ledger gives a different time for it"
    return event, wrong


def _parse_event(data: bytes | None, *, check_results: bool) -> tuple[Event | None, str | None]:
    """Return a record's event and None, or None and the problem with the record. Without ``data``, both are None."""
    if data is None:
        return None, None
    try:
        event = progress.parse_event(data)
        if check_results:
            _ = event.result
    except ValueError as error:
        return None, f"it is not a valid record: {to_one_line(str(error), 200)}"
    return event, None
