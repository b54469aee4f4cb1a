"""What an earlier build wrote, and from which inputs: kept next to the site, never in it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from website.summary import Summary, from_plain

VERSION = 2


@dataclass(frozen=True)
class Made:
    """One part of the site (a student, the class, the course): the digest of its inputs, its files and sizes."""

    digest: str
    files: dict[str, int]
    summary: Summary | None = None


@dataclass(frozen=True)
class State:
    """Every part by its name: a student's pseudonym, or `class`, `course`, `static`."""

    parts: dict[str, Made] = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        """The paths of all files that the build wrote."""
        return {path for made in self.parts.values() for path in made.files}


def place_of(target: Path) -> Path:
    """Return the file with the state of the site at `target`: next to it, so that it is not published."""
    return target.parent / f".{target.name}.state.json"


def read_state(target: Path) -> State | None:
    """Read what the last build left at `target`; None when there is nothing that this version can use."""
    try:
        said = json.loads(place_of(target).read_bytes())
        if said["version"] < VERSION:  # everything is made again
            return State()
        if said["version"] > VERSION:
            return None
        return State({name: _made(part) for name, part in said["parts"].items()})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _made(part: dict[str, Any]) -> Made:
    """Read one part from its JSON."""
    summary = part["summary"]
    return Made(part["digest"], part["files"], None if summary is None else from_plain(summary))


def write_state(target: Path, state: State) -> None:
    """Replace the earlier state in one step."""
    parts = {
        name: {"digest": made.digest, "files": made.files, "summary": made.summary and made.summary.plain()}
        for name, made in state.parts.items()
    }
    place = place_of(target)
    temporary = place.with_name(f"{place.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(json.dumps({"version": VERSION, "parts": parts}), "utf-8")
    temporary.replace(place)
