"""What the class's pages show: who is where, who is stuck, and which task and question is missed most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from grading.manifest.model import Manifest, Status
from website.summary import Missed, Summary

QUIET_DAYS = 7
"""So many days without progress, and somebody may be stuck."""
SAME_TASK = 3
"""So many records in a row that fail the same task first, and somebody may be stuck."""


@dataclass(frozen=True)
class Row:
    """A student in the class's table."""

    summary: Summary
    days: int | None
    """Days from their last progress to the newest record of the class; None without any record."""
    reasons: tuple[str, ...]
    """Why they may be stuck; empty when they are not."""
    finished: bool


@dataclass(frozen=True)
class Share:
    """How many of the class are at one place."""

    label: str
    count: int
    percent: float
    milestone: int | None = None
    provisional: int = 0


@dataclass(frozen=True)
class Item:
    """One task or question, over the class."""

    id: str
    title: str
    where: str
    """The module's or the milestone's page."""
    met: int
    """Students whose work on it was graded."""
    failed: int
    """Of these, how many failed it at least once."""
    records: int
    """Records in which it failed, of all students together."""
    open: int
    """Students whose latest record on it fails it."""
    milestone: int | None = None
    """The one that asks the question; None for a task."""

    @property
    def percent(self) -> float:
        """The share of the students that failed it at least once."""
        return 100 * self.failed / self.met if self.met else 0.0


@dataclass(frozen=True)
class Overview:
    """The whole class."""

    rows: tuple[Row, ...]
    """Stuck first: the longest without progress before the others."""
    unlocked: tuple[Share, ...]
    """For each milestone, how many have unlocked it."""
    places: tuple[Share, ...]
    """For each module that is built, how many work on it."""
    tasks: tuple[Item, ...]
    questions: tuple[Item, ...]
    newest: datetime | None
    """The newest record that counts: every age is told as of then."""

    @property
    def stuck(self) -> int:
        """How many may be stuck."""
        return sum(bool(row.reasons) for row in self.rows)


def overlook(summaries: Iterable[Summary], manifest: Manifest) -> Overview:
    """The class, from its students' summaries."""
    students = sorted(summaries, key=lambda s: s.pseudonym)
    # A date of nobody's making decides how long ago everything is: records that nothing vouches for only where all are.
    dated = [s for s in students if s.verified] if any(s.verified and s.newest for s in students) else students
    newest = max((datetime.fromisoformat(s.newest) for s in dated if s.newest), default=None)
    rows = sorted((_row(s, newest) for s in students), key=_rank)
    return Overview(
        rows=tuple(rows),
        unlocked=tuple(_unlocked(students, manifest)),
        places=tuple(_places(students, manifest)),
        tasks=_tasks(students, manifest),
        questions=_questions(students, manifest),
        newest=newest,
    )


def _row(summary: Summary, newest: datetime | None) -> Row:
    days = None
    if summary.progress_at and newest:
        days = max(0, (newest - datetime.fromisoformat(summary.progress_at)).days)
    finished = summary.towards is None
    reasons = []
    if not finished and summary.times >= SAME_TASK:
        reasons.append(f"task {summary.repeated} failed {summary.times} times in a row")
    if not finished and days is not None and days >= QUIET_DAYS:
        reasons.append(f"{days} days without progress")
    if summary.progress_at is None:
        reasons.append("nothing recorded yet" if not summary.records else "no progress yet")
    return Row(summary, days, tuple(reasons), finished)


def _rank(row: Row) -> tuple[bool, bool, int, int, str]:
    days = row.days if row.days is not None else -1
    return (not row.reasons, row.summary.times < SAME_TASK, -days, -row.summary.times, row.summary.pseudonym)


def _unlocked(students: list[Summary], manifest: Manifest) -> Iterable[Share]:
    for milestone in manifest.milestones:
        having = [u for s in students for u in s.unlocked if u.milestone == milestone.id]
        percent = 100 * len(having) / len(students) if students else 0.0
        label = f"{milestone.id} {milestone.name}"
        yield Share(label, len(having), percent, milestone.id, sum(u.provisional for u in having))


def _places(students: list[Summary], manifest: Manifest) -> Iterable[Share]:
    built = [m for m in manifest.modules if m.status is Status.BUILT]
    for place, label in [*((m.id, m.id.replace("_", " ")) for m in built), ("", "all of it completed")]:
        count = sum(s.place == place for s in students)
        yield Share(label, count, 100 * count / len(students) if students else 0.0)


def _tasks(students: list[Summary], manifest: Manifest) -> tuple[Item, ...]:
    items = []
    for module in manifest.modules:
        graded = [s for s in students if module.id in s.graded]
        for task in module.tasks:
            missed = [s.tasks[task.id] for s in graded if task.id in s.tasks]
            items.append(_item(task.id, task.title, f"course/{module.id}.html", len(graded), missed))
    return _worst_first(items)


def _questions(students: list[Summary], manifest: Manifest) -> tuple[Item, ...]:
    items = []
    for milestone in manifest.milestones:
        asked = [s for s in students if milestone.id in s.asked]
        for question in milestone.questions:
            key = f"{milestone.id}/{question.id}"
            missed = [s.questions[key] for s in asked if key in s.questions]
            title = question.id.replace("_", " ").capitalize()
            where = f"course/milestone-{milestone.id}.html"
            items.append(_item(key, title, where, len(asked), missed, milestone.id))
    return _worst_first(items)


def _item(id_: str, title: str, where: str, met: int, missed: list[Missed], milestone: int | None = None) -> Item:
    records, still_open = sum(m.records for m in missed), sum(m.open for m in missed)
    return Item(id_, title, where, met, len(missed), records, still_open, milestone)


def _worst_first(items: Iterable[Item]) -> tuple[Item, ...]:
    """Only what somebody has met; equal ones in the manifest's order."""
    return tuple(sorted((i for i in items if i.met), key=lambda i: (-i.percent, -i.records)))
