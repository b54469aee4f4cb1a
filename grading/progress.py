"""A student's history, with one JSON record per event in `progress/`. Records are added but never changed.

Reading the history must be fast, because `tito milestone status` must answer immediately. So an event's result is
checked in full only on request (`thorough`), and pydantic is imported only then.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grading.result import Result

SCHEMA = "tinytorch/progress/v1"
FOLDER = Path("progress")
DAMAGED = FOLDER / "damaged"
LARGEST = 4_000_000
"""The maximum size of one record, in bytes. A complete result is far smaller."""
PASSING = ("unlocked", "provisional")


class Kind(StrEnum):
    """The kind of an event."""

    MODULE_STARTED = "module_started"
    MODULE_COMPLETED = "module_completed"
    MODULE_TESTED = "module_tested"
    """A module's tests were run and did not all pass. This is recorded only on GitHub, where every run is recorded."""
    MODULE_RESET = "module_reset"
    """A module, or one of its tasks, was restored to the released version. Earlier completions no longer count."""
    MILESTONE_ATTEMPTED = "milestone_attempted"


@dataclass(frozen=True)
class Event:
    """An event in the history of a module, or of a milestone with the result of the attempt."""

    kind: Kind
    at: datetime
    module: str | None = None
    milestone: int | None = None
    raw: dict[str, Any] | None = None
    """The result as stored. `result` parses it."""

    @property
    def result(self) -> Result | None:
        """The stored result.

        Raise pydantic's ValidationError if it is invalid, which cannot happen after a thorough reading.
        """
        from grading.render.record import decode_result

        return None if self.raw is None else decode_result(json.dumps(self.raw))

    @property
    def verdict(self) -> str | None:
        """The verdict of the stored result."""
        return None if self.raw is None else self.raw["verdict"]

    @property
    def criteria_met(self) -> int:
        """The number of criteria that the stored result passes, or 0 if the event has no result."""
        return sum(c["status"] == "passed" for c in (self.raw or {}).get("criteria", ()))


@dataclass(frozen=True)
class DamagedRecord:
    """A record that cannot be used, with the reason and the record's current path."""

    path: Path
    reason: str


@dataclass(frozen=True)
class History:
    """Every usable event, oldest first, and the damaged records."""

    events: tuple[Event, ...] = ()
    damaged: tuple[DamagedRecord, ...] = ()

    def list_attempts(self, milestone: int) -> tuple[Event, ...]:
        """List the attempts at a milestone, oldest first."""
        return tuple(e for e in self.events if e.kind is Kind.MILESTONE_ATTEMPTED and e.milestone == milestone)

    def find_best_attempt(self, milestone: int) -> Event | None:
        """Return the first unlocking attempt, else the first provisional one, else the one that meets most criteria."""

        def rank(event: Event) -> tuple[bool, bool, int]:
            """Return a key that is larger for a better attempt."""
            return (event.verdict == "unlocked", event.verdict == "provisional", event.criteria_met)

        return max(self.list_attempts(milestone), key=rank, default=None)


def make_module_event(kind: Kind, module: str, result: Result | None = None) -> Event:
    """Make a module event, dated now."""
    return Event(kind, datetime.now(UTC), module=module, raw=_convert_result_to_json(result))


def make_attempt_event(result: Result) -> Event:
    """Make the event for an attempt at a milestone, dated now."""
    return Event(
        Kind.MILESTONE_ATTEMPTED, datetime.now(UTC), milestone=result.milestone, raw=_convert_result_to_json(result)
    )


def make_run_event(result: Result) -> Event:
    """Make a GitHub run's event, dated at its start: a milestone attempt, or a module completed or only tested."""
    if result.milestone is not None:
        return Event(
            Kind.MILESTONE_ATTEMPTED, result.started_at, milestone=result.milestone, raw=_convert_result_to_json(result)
        )
    kind = Kind.MODULE_COMPLETED if result.verdict.value in PASSING else Kind.MODULE_TESTED
    return Event(kind, result.started_at, module=result.module, raw=_convert_result_to_json(result))


def _convert_result_to_json(result: Result | None) -> dict[str, Any] | None:
    """Convert a result to plain JSON values."""
    if result is None:
        return None
    from grading.render.record import encode_result

    return json.loads(encode_result(result))


def save_event(root: Path, event: Event) -> Path:
    """Add an event to the history of the repository at ``root`` and return its file. May raise OSError."""
    return _write_new_file(root / FOLDER / name_event_file(event, secrets.token_hex(6)), encode_event_file(event))


def name_event_file(event: Event, suffix: str) -> str:
    """Build an event's file name from its time, its kind and a unique suffix."""
    return f"{event.at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{event.kind.value}-{suffix}.json"


def encode_event_file(event: Event) -> bytes:
    """Encode an event as the bytes of its file."""
    document = {
        "record": SCHEMA,
        "kind": event.kind.value,
        "at": event.at.astimezone(UTC).isoformat(),
        "module": event.module,
        "milestone": event.milestone,
        "result": event.raw,
    }
    return json.dumps(document, indent=1).encode()


def _write_new_file(path: Path, data: bytes) -> Path:
    """Write a new file completely or not at all, and return its path. Raise FileExistsError if it already exists."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # the file system has no hard links; the random part of the name makes a clash very unlikely
            temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read_history(root: Path, *, thorough: bool = True) -> History:
    """Read the history of the repository at ``root``. Damaged records are moved to `progress/damaged/`.

    ``thorough=False`` checks only what `grading.journey` needs.
    """
    events, damaged = [], []
    for path in sorted((root / FOLDER).glob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            event = parse_event(read_regular_file(path))
            if thorough:
                _ = event.result
            events.append(event)
        except FileNotFoundError:  # another run has just set it aside
            continue
        except ValueError as error:
            damaged.append(_set_aside_damaged_record(root, path, str(error).splitlines()[0]))
        except OSError as error:
            damaged.append(DamagedRecord(path.relative_to(root), f"cannot be read: {error.strerror}"))
    return History(tuple(sorted(events, key=lambda e: e.at)), tuple(damaged))


def read_regular_file(path: Path) -> bytes:
    """Read an ordinary file of at most `LARGEST` bytes. Raise ValueError for a larger file, a link or a folder."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not an ordinary file")
    if status.st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST} bytes")
    return path.read_bytes()


def parse_event(data: bytes) -> Event:
    """Parse an event from a file's bytes; raise ValueError, with the reason, if they are invalid."""
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_reject_json_constant)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    keys = {"record", "kind", "at", "module", "milestone", "result"}
    if not isinstance(document, dict) or document.get("record") != SCHEMA or set(document) != keys:
        raise ValueError(f"not a record with the schema {SCHEMA}")
    try:
        kind, at = Kind(document["kind"]), datetime.fromisoformat(document["at"])
        at = at.astimezone(UTC) if at.tzinfo else _raise_value_error("a time without a time zone")
    except (TypeError, OverflowError):
        raise ValueError("an invalid time") from None
    module, milestone, raw = document["module"], document["milestone"], document["result"]
    if raw is not None:
        _validate_stored_result(raw)
    if kind is Kind.MILESTONE_ATTEMPTED:
        if type(milestone) is not int or module is not None or raw is None or raw.get("milestone") != milestone:
            raise ValueError("an attempt that does not match its result")
    elif not isinstance(module, str) or milestone is not None:
        raise ValueError("an event without its module")
    return Event(kind, at, module, milestone, raw)


def _reject_json_constant(name: str) -> None:
    """Raise ValueError for NaN or infinity, which JSON does not have."""
    raise ValueError(f"{name} is not JSON")


def _raise_value_error(reason: str) -> Any:
    """Raise ValueError from within an expression."""
    raise ValueError(reason)


def _validate_stored_result(raw: Any) -> None:
    """Check the parts of a stored result that `grading.journey` uses; raise ValueError if one is missing."""
    if not isinstance(raw, dict) or raw.get("verdict") not in (*PASSING, "not_yet", "error"):
        raise ValueError("a result without a verdict")
    criteria = raw.get("criteria")
    if not isinstance(criteria, list) or not all(isinstance(c, dict) and "status" in c for c in criteria):
        raise ValueError("a result without criteria")


def _set_aside_damaged_record(root: Path, path: Path, reason: str) -> DamagedRecord:
    """Move a damaged record to `progress/damaged/`, or else leave it in place. Return where it is, with the reason."""
    target = root / DAMAGED / f"{path.name}.{secrets.token_hex(4)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    except OSError:
        target = path
    return DamagedRecord(target.relative_to(root), reason)
