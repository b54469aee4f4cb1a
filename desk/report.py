"""The class report: who is where, who is stuck, what fails most. Pure functions of a gradebook; rendered elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from desk.decisions import Course
from desk.gradebook import Gradebook, Visit
from desk.roster import Row
from desk.scores import Score, find_previews, scores
from grading.checks.quiz import OPEN, question_in, was_answered
from grading.manifest.model import Manifest, Milestone, Status

STATES = ("unlocked", "provisional", "not_yet", "error", "not_begun")
WORDS = {
    "unlocked": "unlocked",
    "provisional": "provisional",
    "not_yet": "not yet",
    "error": "not judged",
    "not_begun": "not begun",
}


@dataclass(frozen=True)
class Distribution:
    """One milestone over the class."""

    milestone: int
    name: str
    counts: Mapping[str, int]
    """State → students, in the order of `STATES`."""
    mean: float | None
    """Of the points of those who have some."""
    late: int


@dataclass(frozen=True)
class Line:
    """One student."""

    row: Row
    scores: tuple[Score, ...]
    total: float
    visit: Visit | None


@dataclass(frozen=True)
class Stuck:
    """Somebody who has tried and not got further."""

    row: Row
    milestone: int
    first_to_mend: str
    tries: int
    """Gradings in a row, until now, whose first thing to fix was the same."""
    days: int
    """Since the first of those tries was pushed or graded."""


@dataclass(frozen=True)
class Item:
    """Something that students fail: a task's test, or a question."""

    milestone: int
    title: str
    students: int
    of: int
    """Students who have begun the milestone."""


@dataclass(frozen=True)
class Report:
    """Everything the report shows."""

    course: str
    at: datetime | None
    """When a repository was last looked at; None before the first collection."""
    lines: tuple[Line, ...]
    distributions: tuple[Distribution, ...]
    stuck: tuple[Stuck, ...]
    items: tuple[Item, ...]
    questions: tuple[Item, ...]
    troubles: tuple[tuple[Row, str], ...]

    @property
    def earlier(self) -> int:
        """Grades that another course than today's has judged."""
        return sum(not score.is_current for line in self.lines for score in line.scores)


def report(book: Gradebook, manifest: Manifest, today: Course | None = None) -> Report:
    """The report of a gradebook; the same for the same gradebook. Grades of other courses than today's are marked."""
    rows, visits = book.students(), book.visits()
    reached = scores(book, manifest, today=today.digest if today else None)
    built = [milestone for milestone in manifest.milestones if milestone.status is Status.BUILT]
    at = max((visits[row.id].at for row in rows if row.id in visits), default=None)
    lines = tuple(
        Line(
            row,
            tuple(reached[row.id][m.id] for m in built),
            round(sum(reached[row.id][m.id].points or 0.0 for m in built), 2),
            visits.get(row.id),
        )
        for row in rows
    )
    history = _history(book, {row.id for row in rows})
    newest = {key: results[-1] for key, results in history.items()}
    troubles = tuple((row, v.problem) for row in rows if (v := visits.get(row.id)) is not None and v.problem)
    items = _items(newest, built)
    return Report(
        course=f"{manifest.course.name} {today.label if today else manifest.course.version}",
        at=at,
        lines=lines,
        distributions=tuple(_distribution(m, [line.scores[i] for line in lines]) for i, m in enumerate(built)),
        stuck=_stuck(rows, history, at),
        items=tuple(item for item in items if question_in(item.title) is None),
        questions=tuple(item for item in items if question_in(item.title) is not None),
        troubles=troubles,
    )


def state(score: Score) -> str:
    """One of `STATES`."""
    return score.verdict or "not_begun"


def _distribution(milestone: Milestone, of: Sequence[Score]) -> Distribution:
    counts = Counter(map(state, of))
    touched = [score for score in of if score.grading is not None or score.by_hand.describe()]
    points = [score.points for score in touched if score.points is not None]
    mean = round(sum(points) / len(points), 1) if points else None
    late = sum(score.days_late > 0 for score in of)
    return Distribution(milestone.id, milestone.name, {name: counts[name] for name in STATES}, mean, late)


@dataclass(frozen=True)
class _Tried:
    """What is needed of a result."""

    at: datetime
    verdict: str
    failures: tuple[str, ...]
    """Titles, in the order in which to fix them."""
    unanswered: frozenset[str]
    """Titles of questions that are open, and so not missed."""


def _history(book: Gradebook, students: set[str]) -> dict[tuple[str, int], list[_Tried]]:
    """Every grading of each student's milestones that counts or did, and was no error, in order of time."""
    found: dict[tuple[str, int], list[_Tried]] = {}
    owners = {g.id: g.student for g in book.gradings()}
    hidden = find_previews(book)
    for id_, text in book.results():
        raw, student = json.loads(text), owners[id_]
        if student in students and raw["verdict"] != "error" and id_ not in hidden:
            at = datetime.fromisoformat(raw["started_at"]).astimezone(UTC)
            found.setdefault((student, raw["milestone"]), []).append(
                _Tried(at, raw["verdict"], tuple(_titles(raw)), _open(raw))
            )
    return found


def _open(raw: Mapping[str, Any]) -> frozenset[str]:
    failures = [failure for criterion in raw["criteria"] for failure in criterion.get("failures", ())]
    titles = [(str(f["title"]), str(f.get("got") or "")) for f in failures]
    return frozenset(t for t, got in titles if (question_in(t) or t == OPEN) and not was_answered(got))


def _titles(raw: Mapping[str, Any]) -> Iterable[str]:
    for criterion in raw["criteria"]:
        for failure in criterion.get("failures", ()):
            task = failure.get("task")
            yield f"Task {task}: {failure['title']}" if task else str(failure["title"])


def _stuck(
    rows: Sequence[Row], history: Mapping[tuple[str, int], list[_Tried]], at: datetime | None
) -> tuple[Stuck, ...]:
    """Those whose newest grading is not yet, the longest at the same thing first."""
    by_id, found = {row.id: row for row in rows}, []
    for (student, milestone), tried in history.items():
        last = tried[-1]
        if last.verdict != "not_yet":
            continue
        first = last.failures[0] if last.failures else "a figure is not reached"
        same = 0
        while same < len(tried) and tried[-1 - same].failures[:1] == last.failures[:1]:
            same += 1
        since = (at or last.at) - tried[-same].at
        found.append(Stuck(by_id[student], milestone, first, same, max(0, since // timedelta(days=1))))
    return tuple(sorted(found, key=lambda s: (-s.days, -s.tries, s.row.id)))


def _items(newest: Mapping[tuple[str, int], _Tried], built: Sequence[Milestone]) -> list[Item]:
    """What the newest gradings fail, most often first."""
    items = []
    for milestone in built:
        tried = [one for (_, number), one in newest.items() if number == milestone.id]
        counts = Counter(title for one in tried for title in dict.fromkeys(one.failures) if title not in one.unanswered)
        items += [Item(milestone.id, title, count, len(tried)) for title, count in counts.items()]
    return sorted(items, key=lambda i: (-i.students, i.milestone, i.title))
