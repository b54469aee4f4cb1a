"""What is wrong with a manifest: one record per problem, one exception for them all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from grading.errors import UsageError

FILE = "milestones.yaml"

Path = tuple[str | int, ...]
"""Where in the manifest: ("milestones", 0, "criteria", 2, "at_least")."""


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to fix, and where."""

    file: str
    line: int
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} {self.mend}"


@dataclass(frozen=True)
class Finding:
    """A problem before its line is known: it stands at a path of the manifest."""

    path: Path
    message: str
    mend: str


class ManifestError(UsageError):
    """The manifest cannot be used; `problems` says why, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known name, or all of them."""
    known = sorted(set(known))
    close = difflib.get_close_matches(wrong, known, n=1)
    return (
        f"Did you mean `{close[0]}`?" if close else f"Known here: {', '.join(known[:12])}{' …' if known[12:] else '.'}"
    )
