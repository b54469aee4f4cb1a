"""A student's history: one JSON record per event in `progress/`, added and never changed.

Reading it must be quick: `tito milestone status` is to answer at once. So an event's result is checked in full only
on request (`thorough`), and pydantic is imported only then.
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
"""Bytes of one record; a result with everything in it is far smaller."""
PASSING = ("unlocked", "provisional")


class Kind(StrEnum):
    """What happened."""

    MODULE_STARTED = "module_started"
    MODULE_COMPLETED = "module_completed"
    MODULE_TESTED = "module_tested"
    """Its tests were run and it is not completed; written on GitHub, where every run is recorded."""
    MILESTONE_ATTEMPTED = "milestone_attempted"


@dataclass(frozen=True)
class Event:
    """One thing that happened: to a module, or to a milestone with the result of the attempt."""

    kind: Kind
    at: datetime
    module: str | None = None
    milestone: int | None = None
    raw: dict[str, Any] | None = None
    """The result as stored; `result` gives the record."""

    @property
    def result(self) -> Result | None:
        """The stored result; pydantic's ValidationError when it is not one (never after a thorough reading)."""
        from grading.render.record import from_json

        return None if self.raw is None else from_json(json.dumps(self.raw))

    @property
    def verdict(self) -> str | None:
        """The verdict of the stored result."""
        return None if self.raw is None else self.raw["verdict"]

    @property
    def criteria_met(self) -> int:
        """How many criteria of the stored result are passed."""
        return sum(c["status"] == "passed" for c in (self.raw or {}).get("criteria", ()))


@dataclass(frozen=True)
class Damaged:
    """A record that cannot be used, why, and where it lies now."""

    path: Path
    reason: str


@dataclass(frozen=True)
class History:
    """Every usable event, oldest first, and what could not be used."""

    events: tuple[Event, ...] = ()
    damaged: tuple[Damaged, ...] = ()

    def attempts(self, milestone: int) -> tuple[Event, ...]:
        """Every attempt at a milestone."""
        return tuple(e for e in self.events if e.kind is Kind.MILESTONE_ATTEMPTED and e.milestone == milestone)

    def best(self, milestone: int) -> Event | None:
        """The attempt that counts: the first unlocked, else the first provisional, else the one that met most."""

        def rank(event: Event) -> tuple[bool, bool, int]:
            return (event.verdict == "unlocked", event.verdict == "provisional", event.criteria_met)

        return max(self.attempts(milestone), key=rank, default=None)


def module_event(kind: Kind, module: str, result: Result | None = None) -> Event:
    """Something that happens to a module now."""
    return Event(kind, datetime.now(UTC), module=module, raw=_stored(result))


def attempt(result: Result) -> Event:
    """An attempt at a milestone, made now."""
    return Event(Kind.MILESTONE_ATTEMPTED, datetime.now(UTC), milestone=result.milestone, raw=_stored(result))


def measured(result: Result) -> Event:
    """What a run on GitHub has found, dated by the run: publishing it late changes nothing."""
    if result.milestone is not None:
        return Event(Kind.MILESTONE_ATTEMPTED, result.started_at, milestone=result.milestone, raw=_stored(result))
    kind = Kind.MODULE_COMPLETED if result.verdict.value in PASSING else Kind.MODULE_TESTED
    return Event(kind, result.started_at, module=result.module, raw=_stored(result))


def _stored(result: Result | None) -> dict[str, Any] | None:
    if result is None:
        return None
    from grading.render.record import to_json

    return json.loads(to_json(result))


def record(root: Path, event: Event) -> Path:
    """Add the event to the history of the repository at `root`; returns its file. OSError when it cannot be written."""
    return _write_new(root / FOLDER / file_name(event, secrets.token_hex(6)), encode(event))


def file_name(event: Event, own: str) -> str:
    """The name of an event's file: time, kind, and what makes it its own."""
    return f"{event.at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{event.kind.value}-{own}.json"


def encode(event: Event) -> bytes:
    """The bytes of an event's file; `parse` reads them."""
    document = {
        "record": SCHEMA,
        "kind": event.kind.value,
        "at": event.at.astimezone(UTC).isoformat(),
        "module": event.module,
        "milestone": event.milestone,
        "result": event.raw,
    }
    return json.dumps(document, indent=1).encode()


def _write_new(path: Path, data: bytes) -> Path:
    """The file appears whole or not at all, and never in place of another."""
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
        except OSError:  # a file system without hard links; the name's random part makes a clash all but impossible
            temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def read(root: Path, *, thorough: bool = True) -> History:
    """The history of the repository at `root`; damaged records are set aside in `progress/damaged/`, never lost.

    `thorough=False` looks only at what `grading.journey` needs.
    """
    events, damaged = [], []
    for path in sorted((root / FOLDER).glob("*.json")):
        if path.name.startswith("."):
            continue
        try:
            event = parse(content(path))
            if thorough:
                _ = event.result
            events.append(event)
        except FileNotFoundError:  # another run has just set it aside
            continue
        except ValueError as error:
            damaged.append(_set_aside(root, path, str(error).splitlines()[0]))
        except OSError as error:
            damaged.append(Damaged(path.relative_to(root), f"cannot be read: {error.strerror}"))
    return History(tuple(sorted(events, key=lambda e: e.at)), tuple(damaged))


def content(path: Path) -> bytes:
    """What stands in an ordinary file of sensible size; ValueError otherwise."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not an ordinary file")
    if status.st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST} bytes")
    return path.read_bytes()


def parse(data: bytes) -> Event:
    """The event that a file's bytes hold; ValueError that says what is wrong with them."""
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    keys = {"record", "kind", "at", "module", "milestone", "result"}
    if not isinstance(document, dict) or document.get("record") != SCHEMA or set(document) != keys:
        raise ValueError(f"not a record of the kind {SCHEMA}")
    try:
        kind, at = Kind(document["kind"]), datetime.fromisoformat(document["at"])
        at = at.astimezone(UTC) if at.tzinfo else _refuse("a time without its zone")
    except (TypeError, OverflowError):
        raise ValueError("a time that is none") from None
    module, milestone, raw = document["module"], document["milestone"], document["result"]
    if raw is not None:
        _check_result(raw)
    if kind is Kind.MILESTONE_ATTEMPTED:
        if type(milestone) is not int or module is not None or raw is None or raw.get("milestone") != milestone:
            raise ValueError("an attempt that does not fit its result")
    elif not isinstance(module, str) or milestone is not None:
        raise ValueError("an event without its module")
    return Event(kind, at, module, milestone, raw)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _refuse(reason: str) -> Any:
    raise ValueError(reason)


def _check_result(raw: Any) -> None:
    """What `grading.journey` leans on; the rest is the thorough reading's."""
    if not isinstance(raw, dict) or raw.get("verdict") not in (*PASSING, "not_yet", "error"):
        raise ValueError("a result without a verdict")
    criteria = raw.get("criteria")
    if not isinstance(criteria, list) or not all(isinstance(c, dict) and "status" in c for c in criteria):
        raise ValueError("a result without criteria")


def _set_aside(root: Path, path: Path, reason: str) -> Damaged:
    """Move a damaged record to where it disturbs nothing; if that fails it stays and is only named."""
    target = root / DAMAGED / f"{path.name}.{secrets.token_hex(4)}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    except OSError:
        target = path
    return Damaged(target.relative_to(root), reason)
