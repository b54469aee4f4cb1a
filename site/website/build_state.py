"""What an earlier build wrote, and from which inputs. The state is kept next to the site, never in it."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from website.student_summary import StudentSummary, parse_summary

VERSION = 2


@dataclass(frozen=True)
class BuiltPart:
    """One part of the site (a student, the class, the course): the digest of its inputs, its files and sizes."""

    digest: str
    files: dict[str, int]
    summary: StudentSummary | None = None


@dataclass(frozen=True)
class BuildState:
    """Every part, keyed by its name: a student's pseudonym, or `class`, `course` or `static`."""

    parts: dict[str, BuiltPart] = field(default_factory=dict)

    @property
    def files(self) -> set[str]:
        """The paths of all files of the site, relative to its folder, whichever build wrote them."""
        return {path for made in self.parts.values() for path in made.files}


def get_state_file_path(target: Path) -> Path:
    """Return the path of the file with the state of the site at `target`, next to it so that it is not published."""
    return target.parent / f".{target.name}.state.json"


def read_build_state(target: Path) -> BuildState | None:
    """Read the state of the last build at `target`, empty after an older version, or None if missing or unusable."""
    try:
        said = json.loads(get_state_file_path(target).read_bytes())
        if said["version"] < VERSION:  # everything is rebuilt
            return BuildState()
        if said["version"] > VERSION:
            return None
        return BuildState({name: _parse_part(part) for name, part in said["parts"].items()})
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _parse_part(part: dict[str, Any]) -> BuiltPart:
    """Convert a part from the state file's JSON to a BuiltPart."""
    summary = part["summary"]
    return BuiltPart(part["digest"], part["files"], None if summary is None else parse_summary(summary))


def write_build_state(target: Path, state: BuildState) -> None:
    """Write the state file of the site at `target`, replacing an earlier one in one step."""
    parts = {
        name: {"digest": made.digest, "files": made.files, "summary": made.summary and made.summary.to_plain()}
        for name, made in state.parts.items()
    }
    place = get_state_file_path(target)
    temporary = place.with_name(f"{place.name}.{secrets.token_hex(4)}.tmp")
    temporary.write_text(json.dumps({"version": VERSION, "parts": parts}), "utf-8")
    temporary.replace(place)
