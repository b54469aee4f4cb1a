"""The problems in a manifest: a record for each one, and an exception that holds them all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from grading.errors import UsageError

MANIFEST_FILE = "milestones.yaml"

KeyPath = tuple[str | int, ...]
"""A location in the manifest, such as ("milestones", 0, "criteria", 2, "at_least")."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to fix, and its location."""

    file: str
    line: int
    message: str
    repair: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} {self.repair}"


@dataclass(frozen=True)
class Finding:
    """A problem before its line is known, at a path in the manifest."""

    path: KeyPath
    message: str
    repair: str


class ManifestError(UsageError):
    """The error raised if the manifest cannot be used. `problems` lists the reasons, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


def suggest_name(unknown_name: str, known_names: Iterable[str]) -> str:
    """Suggest the closest known name in a sentence or, if none is close, list up to twelve known names."""
    known_names = sorted(set(known_names))
    close = difflib.get_close_matches(unknown_name, known_names, n=1)
    return (
        f"Did you mean `{close[0]}`?"
        if close
        else f"Known names: {', '.join(known_names[:12])}{' …' if known_names[12:] else '.'}"
    )
