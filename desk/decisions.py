"""Manual decisions about grades. No collection writes to these tables, and nothing is ever deleted from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from desk.gradebook import Gradebook, format_sortable_utc_time, parse_time

Policy = Literal["replace", "keep_better", "pin"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True)
class CourseVersion:
    """A version of the course that has graded submissions."""

    digest: str
    name: str
    version: str
    contents: Mapping[str, Any] | None = None
    """What this version grades with (`desk.courses`); None if it was used before this was recorded."""

    @property
    def label(self) -> str:
        """The label that is shown with grades, such as 0.1.0 (3f2a1b9c)."""
        return f"{self.version} ({self.digest[:8]})"


@dataclass(frozen=True)
class RegradeDecision:
    """The decision whether results from one version of the course replace those from earlier versions."""

    course_digest: str
    at: datetime
    policy: Policy
    """The results that count: with `replace` the new ones, with `pin` the earlier ones, with `keep_better` both."""
    by_whom: str


def save_course_version(book: Gradebook, course: CourseVersion) -> None:
    """Save a version of the course. If its digest is already saved, only add its contents where they are missing."""
    with book.open_transaction() as db:
        db.execute(
            "INSERT INTO course (digest, name, version, contents) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (digest) DO UPDATE SET contents = coalesce(contents, excluded.contents)",
            (course.digest, course.name, course.version, json.dumps(course.contents) if course.contents else None),
        )


def read_course_versions(book: Gradebook) -> dict[str, CourseVersion]:
    """Map the digest of each version of the course in the gradebook to that version."""
    found = book.run_query("SELECT digest, name, version, contents FROM course ORDER BY digest")
    return {row[0]: CourseVersion(row[0], row[1], row[2], json.loads(row[3]) if row[3] else None) for row in found}


def save_regrade_decision(book: Gradebook, regrade: RegradeDecision) -> None:
    """Save a decision; if there are several about the same version of the course, the latest counts."""
    with book.open_transaction() as db:
        db.execute(
            "INSERT OR IGNORE INTO regrade (course_digest, at, policy, by_whom) VALUES (?, ?, ?, ?)",
            (regrade.course_digest, format_sortable_utc_time(regrade.at), regrade.policy, regrade.by_whom),
        )


def read_regrade_decisions(book: Gradebook) -> tuple[RegradeDecision, ...]:
    """Read every decision, oldest first."""
    found = book.run_query("SELECT course_digest, at, policy, by_whom FROM regrade ORDER BY at, course_digest")
    return tuple(RegradeDecision(digest, parse_time(at), policy, whom) for digest, at, policy, whom in found)


def select_latest_regrades(regrades: Iterable[RegradeDecision]) -> tuple[RegradeDecision, ...]:
    """Select the decisions that count, in order of time: the last one about each version of the course."""
    last = {regrade.course_digest: regrade for regrade in sorted(regrades, key=lambda r: r.at)}
    return tuple(sorted(last.values(), key=lambda r: r.at))


Kind = Literal["points", "excused", "bonus", "comment"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Override:
    """One manual decision about a student's grade for a milestone."""

    student: str
    milestone: int
    kind: Kind
    value: str
    """The value: a number for points and bonus, a text for a comment, and "yes" for excused."""
    at: datetime
    by_whom: str
    why: str

    @property
    def id(self) -> str:
        """The digest of the override's contents, which identifies it when shards are merged."""
        cells = (
            self.student,
            str(self.milestone),
            self.kind,
            self.value,
            format_sortable_utc_time(self.at),
            self.by_whom,
            self.why,
        )
        return hashlib.sha256("\0".join(cells).encode()).hexdigest()


@dataclass(frozen=True)
class EffectiveOverride:
    """The overrides in force for one grade, combined."""

    points: float | None = None
    """The points that replace the measured ones."""
    excused: bool = False
    bonus: float = 0.0
    comment: str | None = None
    """A comment for the student."""

    def compute_points(self, points_before_overrides: float | None) -> float | None:
        """Return the overriding or else the measured points, plus any bonus; None if excused or if all are missing."""
        points = points_before_overrides if self.points is None else self.points
        if self.excused or (points is None and not self.bonus):
            return None
        return round((points or 0.0) + self.bonus, 2)

    def describe(self) -> str:
        """Describe any points, excusal and bonus, such as "80 points by hand, 5 points bonus", or else return ""."""
        parts = ["excused"] if self.excused else []
        parts += [f"{self.points:g} points by hand"] if self.points is not None else []
        parts += [f"{self.bonus:g} points bonus"] if self.bonus else []
        return ", ".join(parts)


def save_overrides(book: Gradebook, overrides: Iterable[Override]) -> None:
    """Save all overrides, or none of them if one fails."""
    with book.open_transaction() as db:
        db.executemany(
            "INSERT OR IGNORE INTO override (id, student, milestone, kind, value, at, by_whom, why) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (o.id, o.student, o.milestone, o.kind, o.value, format_sortable_utc_time(o.at), o.by_whom, o.why)
                for o in overrides
            ],
        )


def withdraw_overrides(book: Gradebook, ids: Iterable[str], at: datetime, by_whom: str, why: str) -> None:
    """Mark overrides as withdrawn; they stay in the gradebook."""
    with book.open_transaction() as db:
        db.executemany(
            "INSERT OR IGNORE INTO withdrawal (override, at, by_whom, why) VALUES (?, ?, ?, ?)",
            [(id_, format_sortable_utc_time(at), by_whom, why) for id_ in ids],
        )


def read_overrides(book: Gradebook) -> dict[tuple[str, int], list[Override]]:
    """Map (student, milestone) to the overrides that are not withdrawn, oldest first."""
    found: dict[tuple[str, int], list[Override]] = {}
    for student, milestone, kind, value, at, whom, why in book.run_query(
        "SELECT student, milestone, kind, value, at, by_whom, why FROM override "
        "WHERE id NOT IN (SELECT override FROM withdrawal) ORDER BY student, milestone, at, id"
    ):
        found.setdefault((student, milestone), []).append(
            Override(student, milestone, kind, value, parse_time(at), whom, why)
        )
    return found


def combine_overrides(overrides: Iterable[Override]) -> EffectiveOverride:
    """Combine the overrides of one grade, given oldest first: the newest of each kind is in force."""
    newest = {one.kind: one.value for one in overrides}
    points, bonus = newest.get("points"), newest.get("bonus")
    return EffectiveOverride(
        None if points is None else float(points), "excused" in newest, float(bonus or 0), newest.get("comment")
    )
