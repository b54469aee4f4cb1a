"""The summary of one student for the class's pages, small enough to keep between builds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from desk.item_statistics import ItemOutcome
from grading.checks.quiz_answers import map_marked_questions_to_wrong
from grading.journey import State
from grading.manifest.model import Manifest
from grading.progress import PASSING, Event
from grading.progress import Kind as EventKind
from grading.render import words
from grading.result import CriterionStatus, Result
from website.student_story import StudentStory

DAYS = timedelta(days=15)


@dataclass(frozen=True)
class UnlockedMilestone:
    """A milestone that the student has unlocked."""

    milestone: int
    at: str
    provisional: bool


@dataclass(frozen=True)
class MissedItem:
    """A task, question or criterion that the student failed at least once."""

    records: int
    """The number of records in which the item failed."""
    open: bool
    """Whether the item also fails in the last record."""
    first: bool
    """Whether the item failed in the first record."""
    tries: int
    """The number of records up to and including the first that passes; 0 if none does."""

    @property
    def outcome(self) -> ItemOutcome:
        """Whether the first record passed, and the tries until one passed, in the form that item statistics need."""
        return ItemOutcome(passed_first=not self.first, tries=self.tries)


@dataclass(frozen=True)
class ModuleEffort:
    """A module that the student has begun."""

    tries: int
    """The number of graded records up to and including the first whose tests pass, or of all records if none do."""
    completed_at: str | None


@dataclass(frozen=True)
class StudentSummary:
    """One student in the class's tables. Times are ISO 8601, in UTC."""

    pseudonym: str
    name: str
    unlocked: tuple[UnlockedMilestone, ...]
    modules_done: int
    place: str
    """The module that the student is working on; empty if every built module is completed."""
    towards: int | None
    """The first built milestone that the student does not have."""
    attempts: int
    """The number of the student's attempts at that milestone."""
    records: int
    first: str | None
    newest: str | None
    """The times of the first and the newest record."""
    days: tuple[str, ...]
    """The time of each day's newest record, in the two weeks up to the student's newest record."""
    progress_at: str | None
    """The time at which something was last started, completed or unlocked."""
    repeated: str | None
    """The task that failed first in each of the newest records."""
    times: int
    """The number of consecutive records in which that task failed first."""
    graded: tuple[str, ...]
    """The modules whose tasks were graded at least once."""
    asked: tuple[int, ...]
    """The milestones whose questions were graded at least once."""
    measured: tuple[str, ...]
    """The criteria that were measured at least once, such as 1/module_tests."""
    tasks: dict[str, MissedItem]
    questions: dict[str, MissedItem]
    """The missed questions by milestone and id, such as 1/linear_network."""
    criteria: dict[str, MissedItem]
    """The failed criteria by milestone and name."""
    efforts: dict[str, ModuleEffort]
    """The work on each module that the student has begun."""
    verified: bool

    def to_plain(self) -> dict[str, Any]:
        """Convert the summary to plain values for JSON."""
        return asdict(self)


def parse_summary(plain: dict[str, Any]) -> StudentSummary:
    """Read a summary from plain values; raise TypeError or KeyError if another version wrote it."""
    return StudentSummary(
        **{
            **plain,
            "unlocked": tuple(UnlockedMilestone(**u) for u in plain["unlocked"]),
            "graded": tuple(plain["graded"]),
            "days": tuple(plain["days"]),
            "asked": tuple(plain["asked"]),
            "measured": tuple(plain["measured"]),
            "efforts": {module: ModuleEffort(**effort) for module, effort in plain["efforts"].items()},
            **{
                kind: {i: MissedItem(**m) for i, m in plain[kind].items()}
                for kind in ("tasks", "questions", "criteria")
            },
        }
    )


def summarize_story(story: StudentStory, manifest: Manifest) -> StudentSummary:
    """Reduce one student's story to what the class pages list: module, attempts, unlocks, dates and missed items."""
    events = [event for event, _ in story.counted]
    towards = next((m for m in story.milestones if not m.planned and m.state is not State.COMPLETED), None)
    place = next((m for m in story.modules if not m.planned and m.state is not State.COMPLETED), None)
    repeated, times = _find_repeated_failure(story, manifest)
    tasks, questions = list(_list_task_outcomes(story, manifest)), list(_list_question_outcomes(story, manifest))
    criteria = list(_list_criterion_outcomes(story, manifest))
    return StudentSummary(
        pseudonym=story.pseudonym,
        name=story.name,
        unlocked=tuple(
            UnlockedMilestone(m.id, _format_iso_time(m.unlocked_at), m.provisional)
            for m in story.milestones
            if m.unlocked_at is not None
        ),
        modules_done=sum(m.state is State.COMPLETED for m in story.modules),
        place=place.id if place else "",
        towards=towards.id if towards else None,
        attempts=towards.attempts if towards else 0,
        records=len(events),
        first=_format_iso_time(min(e.at for e in events)) if events else None,
        newest=_format_iso_time(max(e.at for e in events)) if events else None,
        days=_list_recent_days(events),
        progress_at=_find_last_progress_time(events),
        repeated=repeated,
        times=times,
        graded=tuple(sorted({module for module, _ in tasks})),
        asked=tuple(sorted({milestone for milestone, _ in questions})),
        measured=tuple(sorted({criterion for _, measured in criteria for criterion in measured})),
        tasks=_collect_missed_items(tasks),
        questions=_collect_missed_items(questions),
        criteria=_collect_missed_items(criteria),
        efforts=_count_efforts(story, tasks),
        verified=story.any_verified or not events,
    )


def _format_iso_time(at: datetime) -> str:
    """Write a time in UTC as ISO 8601."""
    return at.astimezone(UTC).isoformat()


def _list_recent_days(events: list[Event]) -> tuple[str, ...]:
    """List the time of each day's newest record, in the fifteen days up to the student's newest record.

    Fifteen days cover two weeks from any hour.
    """
    newest = max((e.at for e in events), default=None)
    by_day = {
        e.at.date(): _format_iso_time(e.at)
        for e in sorted(events, key=lambda e: e.at)
        if newest and newest - e.at < DAYS
    }
    return tuple(by_day.values())


def _find_last_progress_time(events: list[Event]) -> str | None:
    """Find when something was last started, completed or unlocked for the first time."""
    seen: set[tuple[str, str | int | None]] = set()
    newest = None
    for event in events:
        if event.kind in (EventKind.MODULE_STARTED, EventKind.MODULE_COMPLETED) or event.verdict in PASSING:
            what = (event.kind.value, event.module or event.milestone)
            if what not in seen:
                seen.add(what)
                newest = event.at
    return _format_iso_time(newest) if newest else None


def _find_repeated_failure(story: StudentStory, manifest: Manifest) -> tuple[str | None, int]:
    """Return the task that fails first in each of the newest graded records, and their number, or None and 0."""
    known = {task.id for module in manifest.modules for task in module.tasks}
    task, times = None, 0
    for _, result in reversed(story.counted):
        if result is None:
            continue
        first = result.first_failure
        if first is None or first.task not in known or (task is not None and first.task != task):
            break
        task, times = first.task, times + 1
    return task, times


def _list_task_outcomes(story: StudentStory, manifest: Manifest) -> Iterator[tuple[str, dict[str, bool]]]:
    """Yield, for each graded record and each module that it covers, the module and whether each of its tasks failed."""
    covered = {m.id: manifest.list_modules_up_to(m) for m in manifest.milestones}
    alone = {m.id: (m,) for m in manifest.modules}
    for event, result in story.counted:
        if result is None or not _was_judged(result, "module_tests"):
            continue
        modules = covered.get(event.milestone or 0, ()) if event.module is None else alone.get(event.module, ())
        failed = {f.task for f in words.list_failures(result)}
        yield from ((module.id, {task.id: task.id in failed for task in module.tasks}) for module in modules)


def _list_question_outcomes(story: StudentStory, manifest: Manifest) -> Iterator[tuple[int, dict[str, bool]]]:
    """Yield, for each attempt with graded questions, the milestone and whether each answered question was missed."""
    known = {m.id: m for m in manifest.milestones}
    for event, result in story.counted:
        milestone = known.get(event.milestone or 0)
        if result is None or milestone is None or not _was_judged(result, "quiz"):
            continue
        judged = map_marked_questions_to_wrong(
            milestone, [f for c in result.criteria if c.name == "quiz" for f in c.failures]
        )
        if judged:  # unanswered questions are not missed
            yield milestone.id, {f"{milestone.id}/{question}": missed for question, missed in judged.items()}


def _list_criterion_outcomes(story: StudentStory, manifest: Manifest) -> Iterator[tuple[int, dict[str, bool]]]:
    """Yield, for each attempt, the milestone and whether each measured criterion failed."""
    known = {m.id: {c.name for c in m.criteria} for m in manifest.milestones}
    for event, result in story.counted:
        number = event.milestone or 0
        if result is not None and number in known:
            judged = [c for c in result.criteria if c.name in known[number] and c.status in JUDGED]
            yield number, {f"{number}/{c.name}": c.status is CriterionStatus.FAILED for c in judged}


JUDGED = (CriterionStatus.PASSED, CriterionStatus.FAILED)


def _was_judged(result: Result, name: str) -> bool:
    """Return whether a result has a criterion with this name that passed or failed."""
    return any(c.name == name and c.status in JUDGED for c in result.criteria)


def _count_efforts(story: StudentStory, tasks: Iterable[tuple[str, dict[str, bool]]]) -> dict[str, ModuleEffort]:
    """Map each module that was begun to its number of tries until it passed and the time of its completion."""
    tries: Counter[str] = Counter()
    passed: set[str] = set()
    for module, failed in tasks:
        tries[module] += module not in passed
        if not any(failed.values()):
            passed.add(module)
    return {
        m.id: ModuleEffort(tries[m.id], _format_iso_time(m.completed_at) if m.completed_at else None)
        for m in story.modules
        if m.state in (State.COMPLETED, State.IN_PROGRESS)
    }


def _collect_missed_items(outcomes: Iterable[tuple[str | int, dict[str, bool]]]) -> dict[str, MissedItem]:
    """Collect, from the outcomes of each record, every item that was failed at least once."""
    met: Counter[str] = Counter()
    records: Counter[str] = Counter()
    first: dict[str, bool] = {}
    tries: dict[str, int] = {}
    last: dict[str, bool] = {}
    for _, wrong in outcomes:
        last |= wrong
        for item, failed in wrong.items():
            met[item] += 1
            first.setdefault(item, failed)
            if failed:
                records[item] += 1
            else:
                tries.setdefault(item, met[item])
    return {
        item: MissedItem(count, last[item], first[item], tries.get(item, 0)) for item, count in sorted(records.items())
    }
