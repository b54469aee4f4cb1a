"""What a person decided about grades, in tables of its own: no collection writes there, and nothing is ever deleted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from desk.gradebook import Gradebook, format_time, parse_time

Policy = Literal["replace", "keep_better", "pin"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True)
class Course:
    """A course that grades were judged by."""

    digest: str
    name: str
    version: str
    contents: Mapping[str, Any] | None = None
    """What it judges by (`desk.courses`); None for one that graded before this was kept."""

    @property
    def label(self) -> str:
        """How a grade names it: 0.1.0 (3f2a1b9c)."""
        return f"{self.version} ({self.digest[:8]})"


@dataclass(frozen=True)
class Regrade:
    """The decision that gradings by a course count for what an earlier course has graded."""

    course_digest: str
    at: datetime
    policy: Policy
    """replace: in place of the earlier ones. keep_better: beside them. pin: not at all."""
    by_whom: str


def add_course(book: Gradebook, course: Course) -> None:
    """Keep a course; what it judges by is kept the first time that it is known."""
    with book.writing() as db:
        db.execute(
            "INSERT INTO course (digest, name, version, contents) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (digest) DO UPDATE SET contents = coalesce(contents, excluded.contents)",
            (course.digest, course.name, course.version, json.dumps(course.contents) if course.contents else None),
        )


def read_courses(book: Gradebook) -> dict[str, Course]:
    """Every course, by digest."""
    found = book.read("SELECT digest, name, version, contents FROM course ORDER BY digest")
    return {row[0]: Course(row[0], row[1], row[2], json.loads(row[3]) if row[3] else None) for row in found}


def add_regrade(book: Gradebook, regrade: Regrade) -> None:
    """Keep a decision; of two about the same course the later counts."""
    with book.writing() as db:
        db.execute(
            "INSERT OR IGNORE INTO regrade (course_digest, at, policy, by_whom) VALUES (?, ?, ?, ?)",
            (regrade.course_digest, format_time(regrade.at), regrade.policy, regrade.by_whom),
        )


def read_regrades(book: Gradebook) -> tuple[Regrade, ...]:
    """Every decision, the oldest first."""
    found = book.read("SELECT course_digest, at, policy, by_whom FROM regrade ORDER BY at, course_digest")
    return tuple(Regrade(digest, parse_time(at), policy, whom) for digest, at, policy, whom in found)


def select_regrades(regrades: Iterable[Regrade]) -> tuple[Regrade, ...]:
    """The decisions that count: the last about each course, in their order."""
    last = {regrade.course_digest: regrade for regrade in sorted(regrades, key=lambda r: r.at)}
    return tuple(sorted(last.values(), key=lambda r: r.at))
