"""The data for the class's pages: how far everybody has got, who may be stuck, and what has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median_low

from desk.stuck import StuckScore, rank_by_stuck_score, select_stuck_students
from grading.manifest.model import BuildStatus, Manifest
from website.class_items import ClassItems, analyse_class_items
from website.counts_and_durations import format_count
from website.student_summary import StudentSummary

WEEK = timedelta(days=7)
WEEKS = 20
"""The greatest number of points in the picture of unlocks over time; a longer period is drawn in longer steps."""


@dataclass(frozen=True)
class OverviewRow:
    """A student in the class's table."""

    summary: StudentSummary
    section: str | None
    """The section; None if the site does not show it."""
    days: int | None
    """The days from when the student last made progress to the class's newest record; None if there is no record."""
    need: StuckScore
    reasons: tuple[str, ...]
    """The reasons for the score, in words."""
    is_stuck: bool
    finished: bool


@dataclass(frozen=True)
class ClassShare:
    """The number of students in the class who are in one state."""

    label: str
    count: int
    percent: float
    milestone: int | None = None
    provisional: int = 0


@dataclass(frozen=True)
class WeeklyChange:
    """The number of students who did something in the week up to the newest record, and in the week before that."""

    label: str
    now: int
    before: int
    milestone: int | None = None
    who: tuple[StudentSummary, ...] = ()
    """The students who unlocked the milestone this week, newest first."""


@dataclass(frozen=True)
class UnlockCounts:
    """The number of students who had each milestone at the end of each time step."""

    ends: tuple[datetime, ...]
    days: int
    """The length of one step, in days."""
    counts: tuple[tuple[int, ...], ...]
    """The counts, by milestone and then by step."""


@dataclass(frozen=True)
class ClassOverview:
    """The data for the entire class."""

    rows: tuple[OverviewRow, ...]
    """The students, highest score first."""
    unlocked: tuple[ClassShare, ...]
    """The number of students who have unlocked each milestone."""
    completed: tuple[ClassShare, ...]
    """The number of students who have completed each module."""
    places: tuple[ClassShare, ...]
    """The number of students who are working on each module that is built."""
    changes: tuple[WeeklyChange, ...]
    unlocks: UnlockCounts | None
    items: ClassItems
    newest: datetime | None
    """The time of the newest record that counts, from which ages are measured."""

    @property
    def stuck(self) -> tuple[OverviewRow, ...]:
        """The students who may be stuck, highest score first."""
        return tuple(row for row in self.rows if row.is_stuck)

    @property
    def finished_count(self) -> int:
        """The number of students who have every milestone that is built."""
        return sum(row.finished for row in self.rows)


def build_class_overview(
    summaries: Iterable[StudentSummary], manifest: Manifest, sections: Mapping[str, str] | None = None
) -> ClassOverview:
    """Build the overview from the students' summaries; ``sections`` are by pseudonym, if the site shows them."""
    students = sorted(summaries, key=lambda s: s.pseudonym)
    # Ages are measured from a date that no student can choose: unverified records count only if all are unverified.
    dated = [s for s in students if s.verified] if any(s.verified and s.newest for s in students) else students
    newest = max((datetime.fromisoformat(s.newest) for s in dated if s.newest), default=None)
    return ClassOverview(
        rows=tuple(_build_rows_ranked_by_need(students, dated, newest, sections or {})),
        unlocked=tuple(_count_unlocked_milestones(students, manifest)),
        completed=tuple(_count_completed_modules(students, manifest)),
        places=tuple(_count_current_modules(students, manifest)),
        changes=tuple(_compare_last_two_weeks(students, manifest, newest)) if newest else (),
        unlocks=_count_unlocks_over_time(dated, manifest, newest),
        items=analyse_class_items(students, manifest),
        newest=newest,
    )


def _build_rows_ranked_by_need(
    students: list[StudentSummary], dated: list[StudentSummary], newest: datetime | None, sections: Mapping[str, str]
) -> Iterable[OverviewRow]:
    """Build a row for each student, ranked by how much help they may need."""
    begun = [datetime.fromisoformat(s.first) for s in dated if s.first]
    middle = median_low(s.modules_done for s in students) if students else 0
    days = {s.pseudonym: _count_days_since(s.progress_at, newest) for s in students}
    whole = _count_days_since(min(begun).isoformat(), newest) if begun else None

    def compute_stuck_score(s: StudentSummary) -> StuckScore:
        """Compute why a student may be stuck; return an empty score once every milestone is unlocked."""
        if s.towards is None:
            return StuckScore()
        idle = days[s.pseudonym] if s.progress_at else whole
        return StuckScore(s.times, idle or 0, middle - s.modules_done)

    needs = {s.pseudonym: compute_stuck_score(s) for s in students}
    recent = {s.pseudonym: datetime.fromisoformat(s.newest).timestamp() for s in students if s.newest}
    ranked = rank_by_stuck_score(needs, recent)
    stuck = set(select_stuck_students(ranked, needs, len(students)))
    by_name = {s.pseudonym: s for s in students}
    for name in ranked:
        s = by_name[name]
        reasons = tuple(_list_stuck_reasons(s, needs[name]))
        yield OverviewRow(s, sections.get(name), days[name], needs[name], reasons, name in stuck, s.towards is None)


def _list_stuck_reasons(summary: StudentSummary, need: StuckScore) -> Iterable[str]:
    """List in words why a student may be stuck."""
    if need.failures > 1:
        yield f"task {summary.repeated} failed {need.failures} times in a row"
    if not summary.records:
        yield "nothing recorded yet"
    elif need.days >= WEEK.days:
        yield f"{need.days} days without progress"
    if need.behind > 1:
        yield f"{format_count(need.behind, 'module')} behind"


def _count_days_since(time: str | None, newest: datetime | None) -> int | None:
    """Count the days from a time to the newest record, or return None if either is missing."""
    return max(0, (newest - datetime.fromisoformat(time)).days) if time and newest else None


def _count_unlocked_milestones(students: list[StudentSummary], manifest: Manifest) -> Iterable[ClassShare]:
    """Count the students who have unlocked each milestone, including those who did so provisionally."""
    for milestone in manifest.milestones:
        having = [u for s in students for u in s.unlocked if u.milestone == milestone.id]
        label = f"{milestone.id} {milestone.name}"
        provisional = sum(u.provisional for u in having)
        yield ClassShare(label, len(having), _compute_percentage(len(having), students), milestone.id, provisional)


def _count_completed_modules(students: list[StudentSummary], manifest: Manifest) -> Iterable[ClassShare]:
    """Count the students who have completed each module."""
    for module in manifest.modules:
        count = sum(module.id in s.efforts and s.efforts[module.id].completed_at is not None for s in students)
        yield ClassShare(module.id.replace("_", " "), count, _compute_percentage(count, students))


def _count_current_modules(students: list[StudentSummary], manifest: Manifest) -> Iterable[ClassShare]:
    """Count the students who are working on each module, and those who have completed all."""
    built = [m for m in manifest.modules if m.status is BuildStatus.BUILT]
    for place, label in [*((m.id, m.id.replace("_", " ")) for m in built), ("", "all modules completed")]:
        count = sum(s.place == place for s in students)
        yield ClassShare(label, count, _compute_percentage(count, students))


def _compute_percentage(count: int, students: list[StudentSummary]) -> float:
    """Compute a count as a percentage of the students."""
    return 100 * count / len(students) if students else 0.0


def _compare_last_two_weeks(
    students: list[StudentSummary], manifest: Manifest, newest: datetime
) -> Iterable[WeeklyChange]:
    """Count active students, completed modules and unlocks in the week up to the newest record and the week before."""

    def count_weeks_ago(at: str | None) -> int:
        """Count the complete weeks from a time to the newest record; return -1 without a time."""
        return (newest - datetime.fromisoformat(at)) // WEEK if at else -1

    completed = [count_weeks_ago(e.completed_at) for s in students for e in s.efforts.values()]
    active = [week for s in students for week in {count_weeks_ago(day) for day in s.days}]
    yield WeeklyChange("Students with a record", active.count(0), active.count(1))
    yield WeeklyChange("Modules completed", completed.count(0), completed.count(1))
    for milestone in manifest.milestones:
        having = [(u.at, s) for s in students for u in s.unlocked if u.milestone == milestone.id]
        now = sorted(((at, s) for at, s in having if count_weeks_ago(at) == 0), key=lambda one: one[0], reverse=True)
        before = sum(count_weeks_ago(at) == 1 for at, _ in having)
        label = f"Milestone {milestone.id} unlocked"
        yield WeeklyChange(label, len(now), before, milestone.id, tuple(s for _, s in now))


def _count_unlocks_over_time(
    students: list[StudentSummary], manifest: Manifest, newest: datetime | None
) -> UnlockCounts | None:
    """Count the students who had each milestone after each time step; return None for less than a week of records."""
    times = [
        [datetime.fromisoformat(u.at) for s in students for u in s.unlocked if u.milestone == m.id]
        for m in manifest.milestones
    ]
    first = min((datetime.fromisoformat(s.first) for s in students if s.first), default=None)
    if newest is None or first is None or newest - first < WEEK:
        return None
    weeks = -((first - newest) // WEEK)
    step = WEEK * -(-weeks // WEEKS)
    count = -((first - newest) // step)
    ends = tuple(newest - step * (count - number) for number in range(count + 1))
    return UnlockCounts(
        ends, step.days, tuple(tuple(sum(at <= end for at in found) for end in ends) for found in times)
    )
