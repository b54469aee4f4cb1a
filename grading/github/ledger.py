"""The ledger of published records: a chain of digests that shows what was changed after it was published.

One line per record, in the order of publication, each holding the SHA-256 of the line before. Pure functions on bytes:
the same for a branch read through GitHub's API and for one read from a clone. What a chain proves and what it cannot
is in docs/architecture/github.md, in the course's repository.
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
from grading.render.text import one_line

FILE = "progress/ledger.jsonl"
START = "0" * 64
"""What the first line names as the line before it."""
LARGEST = 4_000_000
"""Bytes of the file."""
LONGEST = 1_000
"""Bytes of one line; ours have some 350."""
_NAME = re.compile(r"progress/[\w.-]{1,200}\.json", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TRAILER = re.compile(r"^TinyTorch-Ledger: (\d{1,9}) ([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Line:
    """One published record."""

    number: int
    """From 1, in the order of publication."""
    file: str
    """Its path on the branch."""
    sha256: str
    """Of the file's bytes."""
    previous: str
    """SHA-256 of the line before; `START` for the first."""
    repository: int
    """GitHub's number of the repository it was published in: a name may change, this does not."""
    run_id: int
    started_at: datetime


@dataclass(frozen=True)
class Head:
    """Where the ledger ends: as many lines, and the SHA-256 of the last."""

    number: int = 0
    digest: str = START

    @property
    def trailer(self) -> str:
        """The line of a commit message that says so; `head_of` reads it."""
        return f"TinyTorch-Ledger: {self.number} {self.digest}"


@dataclass(frozen=True)
class Entry:
    """A record of the branch and whether the ledger vouches for it."""

    file: str
    event: Event | None
    """None when the file cannot be read as a record."""
    reason: str | None
    """Why it is not verified, as the end of a sentence; None when it is."""
    run_id: int | None = None
    number: int | None = None

    @property
    def verified(self) -> bool:
        """Whether it is what was published."""
        return self.reason is None

    @property
    def session(self) -> str | None:
        """What was graded, as nox names it: milestone-2, module-02_tensor."""
        return None if self.event is None else session_of(self.event)

    @property
    def order(self) -> tuple[datetime, int, str]:
        """By when the run began, whatever finished first; what has no date comes last."""
        never = datetime.max.replace(tzinfo=UTC)
        return (self.event.at if self.event else never, self.run_id or 0, self.file)


def session_of(event: Event) -> str:
    """milestone-2, or module-02_tensor."""
    return f"module-{event.module}" if event.milestone is None else f"milestone-{event.milestone}"


def split(data: bytes) -> list[bytes]:
    """The lines of the file; what stands after the last end of line is a line, too. ValueError when it is too large."""
    if len(data) > LARGEST:
        raise ValueError(f"{FILE} is larger than {LARGEST} bytes")
    lines = data.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def append(data: bytes, head: Head, lines: Sequence[Line]) -> tuple[bytes, Head]:
    """The file with these lines at its end, numbered and chained to `head`, and its new head.

    `head` is what the last publication said, not what the file ends with: a line that somebody edited or added since
    is not vouched for by those that follow.
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
        head = Head(head.number + 1, digest(text))
    return data, head


def digest(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def head_of(message: str) -> Head | None:
    """The head that a commit's message names in its last such line; None when it names none."""
    found = _TRAILER.findall(message)
    return Head(int(found[-1][0]), found[-1][1]) if found else None


def parse(line: bytes) -> Line:
    """One line of the file; ValueError that says what is wrong with it."""
    if len(line) > LONGEST:
        raise ValueError("longer than a line of the ledger is")
    try:
        fields = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(fields, dict) or set(fields) != set(Line.__dataclass_fields__):
        raise ValueError("not a line of the ledger")
    for name, pattern in (("file", _NAME), ("sha256", _DIGEST), ("previous", _DIGEST)):
        if not isinstance(fields[name], str) or not pattern.fullmatch(fields[name]):
            raise ValueError(f"a {name} that is none")
    for name in ("number", "repository", "run_id"):
        if type(fields[name]) is not int or not 0 < fields[name] < 2**63:
            raise ValueError(f"a {name} that is none")
    return Line(**{**fields, "started_at": _time(fields["started_at"])})


def named(lines: Sequence[bytes]) -> set[str]:
    """The files that these lines name; a line that is none names nothing."""
    files = set()
    for raw in lines:
        try:
            files.add(parse(raw).file)
        except ValueError:
            continue
    return files


def _time(value: Any) -> datetime:
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise ValueError("a started_at that is none")


def verify(
    lines: Sequence[bytes],
    files: Mapping[str, bytes | None],
    *,
    head: Head | None = None,
    repository: int | None = None,
    thorough: bool = True,
) -> tuple[Entry, ...]:
    """Every record, by (started_at, run_id), verified or not and why.

    `files` holds every record on the branch by its path (None: it is there and was not read). `head` is what the last
    publication's commit says; without it the last line is taken for the head, and an edit of that one line cannot be
    seen. `repository` is GitHub's number of the repository that is read; without it records of another one are not
    told. Without `thorough` results are looked at as `grading.progress.read` does for `grading.journey`.
    """
    chain = _chain(lines, head)
    entries: list[Entry] = []
    seen: set[str] = set()
    for index, raw in enumerate(lines):
        try:
            line = parse(raw)
        except ValueError as error:
            where = f"{FILE}, line {index + 1}"
            entries.append(Entry(where, None, chain[index] or f"the ledger holds a line that is none: {error}"))
            continue
        event, wrong = _read(line, files, thorough=thorough)
        if repository is not None and line.repository != repository:
            wrong = "it was published in another repository"
        elif wrong is None and line.file in seen:
            wrong = "the ledger names it twice"
        seen.add(line.file)
        entries.append(Entry(line.file, event, wrong or chain[index], line.run_id, line.number))
    for file in sorted(set(files) - seen):
        event, _ = _event(files[file], thorough=thorough)
        entries.append(Entry(file, event, "it is not in the ledger: no run has published it"))
    return tuple(sorted(entries, key=lambda e: e.order))


def _chain(lines: Sequence[bytes], head: Head | None) -> list[str | None]:
    """For each line why the chain does not vouch for it, or None.

    From the head back each line vouches for the one before it. Where a line does not fit what stands before it, all
    before it is in doubt: which of those lines was edited, or what was removed, nobody can tell any more. While the
    head is only taken to be the last line, the line that does not fit is in doubt as well.
    """
    digests = [digest(line) for line in lines]
    wanted = head.digest if head is not None else digests[-1] if digests else START
    if wanted not in digests:
        last = "the ledger does not hold the line that was published last: lines were edited or removed"
        return [last] * len(lines)
    end = len(digests) - 1 - digests[::-1].index(wanted)
    reasons: list[str | None] = [None] * (end + 1)
    reasons += ["the ledger names it after what was published last: no run has published it"] * (len(lines) - end - 1)
    for index in range(end, -1, -1):
        before = digests[index - 1] if index else START
        if _previous(lines[index]) != before:
            doubtful = index if head is not None else index + 1
            told = f"the chain is broken: line {index} of the ledger, or one before it, was edited or removed"
            reasons[:doubtful] = [told if index else "the ledger does not begin with this line"] * doubtful
            break
    return reasons


def _previous(line: bytes) -> str | None:
    try:
        return parse(line).previous
    except ValueError:
        return None


def _read(line: Line, files: Mapping[str, bytes | None], *, thorough: bool) -> tuple[Event | None, str | None]:
    """The record a line names, and what is wrong with it."""
    if line.file not in files:
        return None, "its file is missing"
    data = files[line.file]
    if data is None:
        return None, "it was not read: it is too large, or there are too many newer ones"
    event, wrong = _event(data, thorough=thorough)
    if digest(data) != line.sha256:
        return event, "it was edited after it was published"
    if event is not None and event.at != line.started_at:
        return event, "the ledger gives another time for it"
    return event, wrong


def _event(data: bytes | None, *, thorough: bool) -> tuple[Event | None, str | None]:
    if data is None:
        return None, None
    try:
        event = progress.parse(data)
        if thorough:
            _ = event.result
    except ValueError as error:
        return None, f"it is no record: {one_line(str(error), 200)}"
    return event, None
