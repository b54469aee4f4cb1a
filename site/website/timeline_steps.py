"""The steps of a timeline, one for each record, in words and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from desk.cohort import RecordEntry
from grading.manifest.model import CriterionKind, Manifest
from grading.progress import PASSING, Event
from grading.progress import Kind as EventKind
from grading.render import figure_text, words
from grading.render.text import to_one_line
from grading.result import CriterionResult, CriterionStatus, Curve, Result, Verdict
from website.counts_and_durations import format_rounded_duration

ValidatedRecord = tuple[RecordEntry, Result | None]
"""A record, and its validated result if it has one."""


@dataclass(frozen=True)
class StepFigure:
    """One measured criterion."""

    title: str
    measured: str
    threshold: str
    met: bool
    margin: str
    """The margin or the shortfall, in words; empty if the threshold is met and cannot be exceeded."""
    margin_share: int
    """The margin as a percentage of the possible range, from -100 to 100."""
    how: str


@dataclass(frozen=True)
class TimelineStep:
    """One record on the timeline."""

    number: int
    kind: str
    """The kind: started, completed, tested (a module whose tests do not pass yet), unlocked, attempt or error."""
    at: datetime
    title: str
    summary: str
    attempt: int | None
    """The number of the attempt at the milestone, from 1."""
    milestone: int | None
    module: str | None
    figures: tuple[StepFigure, ...]
    curves: tuple[Curve, ...]
    first_fix: str | None
    """The first thing to fix."""
    more: int
    """The number of further failures."""
    provisional: tuple[str, ...]
    official: bool
    verified: bool
    reason: str | None
    is_replaced: bool
    """Whether a regrade has replaced the result."""
    course: str
    """The version of the course that graded an official result; empty for any other record."""
    then: str = ""
    """The next step, and how much later it happened."""


@dataclass(frozen=True)
class FoldedSteps:
    """Consecutive steps for one module or milestone, of which one is shown and the others are folded away."""

    step: TimelineStep
    others: tuple[TimelineStep, ...]
    tries: int
    then: str
    """What followed the last of these steps."""


RANKS = {"unlocked": 3, "completed": 3, "attempt": 2, "tested": 2, "started": 1, "error": 0}


def fold_timeline_steps(steps: Sequence[TimelineStep]) -> tuple[FoldedSteps, ...]:
    """Fold consecutive steps with the same title.

    The first that unlocked or completed something is shown, or else the newest.
    """
    return tuple(_fold_group_into_one_step(list(group)) for _, group in groupby(steps, key=lambda step: step.title))


def _fold_group_into_one_step(steps: list[TimelineStep]) -> FoldedSteps:
    """Choose which step of a group to show, and fold the others away."""

    def rank_step(step: TimelineStep) -> tuple[bool, int, int]:
        """Return a key that sorts steps by what matters most: verified, kind, and number."""
        rank = RANKS[step.kind]
        return step.verified, rank, -step.number if rank == RANKS["unlocked"] else step.number

    told = max(steps, key=rank_step)
    others = tuple(step for step in steps if step is not told)
    return FoldedSteps(told, others, sum(step.kind != "started" for step in steps), steps[-1].then)


def build_timeline_steps(read: Sequence[ValidatedRecord], manifest: Manifest) -> tuple[TimelineStep, ...]:
    """Build a step for each record, with what came next."""
    return tuple(_add_what_came_next(list(_build_steps_without_next(read, manifest))))


def _build_steps_without_next(read: Sequence[ValidatedRecord], manifest: Manifest) -> Iterator[TimelineStep]:
    """Build a step for each record, without what came next."""
    attempts: dict[int | None, int] = {}
    titles = {m.id: f"Module {m.id}: {m.title}" for m in manifest.modules}
    names = {m.id: m.name for m in manifest.milestones}
    for number, (entry, result) in enumerate(read, 1):
        event = entry.event
        attempt = None
        if event.milestone is not None:
            attempts[event.milestone] = attempt = attempts.get(event.milestone, 0) + 1
            title = f"Milestone {event.milestone}: {names.get(event.milestone, 'not in this course')}"
        else:
            title = titles.get(event.module or "", "A module that is not in this course")
        failures = words.list_failures(result) if result else []
        yield TimelineStep(
            number=number,
            kind=_name_step_kind(event, result),
            at=event.at,
            title=title,
            summary=_summarize_record(event, result),
            attempt=attempt,
            milestone=event.milestone if event.milestone in names else None,
            module=event.module if event.module in titles else None,
            figures=list_measured_figures(result) if event.milestone is not None else (),
            curves=select_curves_to_draw(result),
            first_fix=words.format_failure_title(failures[0], 200) if failures else None,
            more=max(0, len(failures) - 1),
            provisional=tuple(to_one_line(reason, 300) for reason in result.provisional_because[:5]) if result else (),
            official=result.official if result else False,
            verified=entry.verified,
            reason=entry.reason,
            is_replaced=entry.is_replaced,
            course=name_judging_course(result, is_current=entry.is_current) if result and result.official else "",
        )


def name_judging_course(result: Result, *, is_current: bool) -> str:
    """Name the course that graded a result, with its version and digest, and say if the course has changed since."""
    course = to_one_line(f"{result.course.name} {result.course.version} ({result.course.digest[:8]})", 80)
    return course if is_current else f"{course}, which has changed since"


def _name_step_kind(event: Event, result: Result | None) -> str:
    """Return a step's kind: started, error, completed, tested, unlocked or attempt."""
    if event.kind in (EventKind.MODULE_STARTED, EventKind.MODULE_RESET):
        return "started"
    if result is not None and result.verdict is Verdict.ERROR:
        return "error"
    if event.kind is EventKind.MODULE_COMPLETED:
        return "completed"
    if event.milestone is None:
        return "tested"
    return "unlocked" if result is not None and result.verdict.value in PASSING else "attempt"


def _summarize_record(event: Event, result: Result | None) -> str:
    """Summarize a record's criteria in a few words; return "" without a result or for a completed module."""
    if result is None or _name_step_kind(event, result) == "completed":
        return ""
    return words.summarize_criteria(result).rstrip(".")


def list_measured_figures(
    result: Result | None, kinds: tuple[CriterionKind, ...] = tuple(CriterionKind)
) -> tuple[StepFigure, ...]:
    """List the measured criteria of these kinds, at most 30."""
    measured = [c for c in (result.criteria if result else ()) if c.measured is not None and c.kind in kinds]
    hows = {how: to_one_line(how or "", 500) for how in {criterion.how for criterion in measured}}
    return tuple(_build_figure(criterion, hows[criterion.how]) for criterion in measured[:30])


def _build_figure(criterion: CriterionResult, how: str) -> StepFigure:
    """Format a criterion's figures for display."""
    return StepFigure(
        title=to_one_line(criterion.title, 120),
        measured=figure_text.format_measured(criterion),
        threshold=figure_text.format_threshold(criterion),
        met=criterion.status is CriterionStatus.PASSED,
        margin=figure_text.format_margin(criterion),
        margin_share=round(100 * figure_text.compute_margin_share(criterion)),
        how=how,
    )


def select_curves_to_draw(result: Result | None) -> tuple[Curve, ...]:
    """Select at most five curves to draw: of those with at least two points, the ones named like the first."""
    curves = [c for c in (result.curves if result else ()) if sum(v is not None for v in c.values) > 1]
    return tuple(c for c in curves if c.name == curves[0].name)[:5]


def _add_what_came_next(steps: list[TimelineStep]) -> Iterator[TimelineStep]:
    """Yield each step with a sentence on which step came next and how much later; the last one stays as it is."""
    for step, after in pairwise(steps):
        passed: timedelta = after.at - step.at
        verb = {"started": "started", "completed": "completed", "unlocked": "unlocked", "tested": "tested"}
        what = after.title.partition(":")[0]
        yield replace(step, then=f"{format_rounded_duration(passed)} later: {what} {verb.get(after.kind, 'attempted')}")
    yield from steps[-1:]
