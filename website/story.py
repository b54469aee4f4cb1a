"""What one student's pages tell: their records in order, in words and figures that are safe to show.

Records come from a repository that its student may write to. So nothing of a record gets further than here before it
has been checked whole (`grading.result.Result`) and its text cleaned, and only what is named here is ever shown: no
student's id, no output of their code, no path of a machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from pydantic import ValidationError

from desk.cohort import Entry, Member
from grading import journey
from grading.journey import MilestoneState, ModuleState, State
from grading.manifest.model import Kind, Manifest, Milestone
from grading.progress import PASSING, Event, History
from grading.progress import Kind as EventKind
from grading.render import figures, words
from grading.render.text import one_line
from grading.result import CriterionResult, CriterionStatus, Curve, Result, Verdict
from website.spans import span


@dataclass(frozen=True)
class Figure:
    """One measured criterion."""

    title: str
    measured: str
    threshold: str
    met: bool
    share: int
    """How near to its threshold, in percent; 100 exactly when it is met."""
    how: str


@dataclass(frozen=True)
class Step:
    """One record of the timeline."""

    number: int
    kind: str
    """started, completed, tested (a module that does not pass yet), unlocked, attempt or error."""
    at: datetime
    title: str
    summary: str
    attempt: int | None
    """Which attempt at its milestone it was, from 1."""
    milestone: int | None
    module: str | None
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    mend: str | None
    """What was to be mended first."""
    more: int
    """How many failures besides."""
    provisional: tuple[str, ...]
    official: bool
    verified: bool
    reason: str | None
    then: str = ""
    """What came next, and after how long."""


@dataclass(frozen=True)
class Capability:
    """An unlocked milestone with its evidence: what a portfolio shows."""

    milestone: Milestone
    at: datetime
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    provisional: tuple[str, ...]
    official: bool
    verified: bool
    attempts: int
    evidence: tuple[tuple[str, str], ...]
    result: Result


@dataclass(frozen=True)
class Story:
    """Everything that a student's pages need."""

    pseudonym: str
    name: str
    """What they are called: their name if they agreed to it, otherwise the pseudonym in words."""
    named: bool
    steps: tuple[Step, ...]
    modules: tuple[ModuleState, ...]
    milestones: tuple[MilestoneState, ...]
    capabilities: tuple[Capability, ...]
    goal: str | None
    damaged: int
    """Records that could not be read whole."""
    any_verified: bool
    counted: tuple[tuple[Event, Result | None], ...]
    """The records that count: the verified ones, or all of them where nothing vouches for any."""

    @property
    def finished(self) -> bool:
        """Whether every milestone that is built is unlocked."""
        return all(m.state is State.COMPLETED for m in self.milestones if not m.planned)


def called(pseudonym: str) -> str:
    """A pseudonym as a title.

    >>> called("quiet-otter-40391")
    'Quiet Otter 40391'
    """
    return " ".join(part.capitalize() for part in pseudonym.split("-"))


def tell(member: Member, manifest: Manifest) -> Story:
    """The story of one student's records. Records that are no whole result are only counted as damaged."""
    read = [(entry, checked) for entry in member.entries if (checked := _checked(entry)) is not None]
    any_verified = any(entry.verified for entry, _ in read)
    counted = tuple((e.event, r) for e, (r,) in read if e.verified or not any_verified)
    history = History(tuple(event for event, _ in counted))
    student = member.student
    named = student.public and bool(student.name)
    modules, milestones = journey.module_states(manifest, history), journey.milestone_states(manifest, history)
    steps = tuple(_with_what_came_next(list(_steps(read, manifest))))
    return Story(
        pseudonym=student.pseudonym,
        name=one_line(student.name or "", 80) if named else called(student.pseudonym),
        named=named,
        steps=steps,
        modules=modules,
        milestones=milestones,
        capabilities=tuple(_capabilities(manifest, history, any_verified)),
        goal=_goal(manifest, history, (*modules, *milestones)),
        damaged=len(member.entries) - len(read),
        any_verified=any_verified,
        counted=counted,
    )


def _goal(manifest: Manifest, history: History, states: Iterable[ModuleState | MilestoneState]) -> str | None:
    """What is next, as students are told it; None when everything that is built is done."""
    if all(state.state is State.COMPLETED for state in states if not state.planned):
        return None
    return journey.next_goal(manifest, history).sentence


def _checked(entry: Entry) -> tuple[Result | None] | None:
    """The entry's result, checked whole, in a tuple; None when it is none."""
    if entry.event.raw is None:
        return (None,)
    try:
        return (Result.model_validate(entry.event.raw),)
    except (ValidationError, RecursionError):
        return None


def _steps(read: list[tuple[Entry, tuple[Result | None]]], manifest: Manifest) -> Iterator[Step]:
    attempts: dict[int | None, int] = {}
    titles = {m.id: f"Module {m.id}: {m.title}" for m in manifest.modules}
    names = {m.id: m.name for m in manifest.milestones}
    for number, (entry, (result,)) in enumerate(read, 1):
        event = entry.event
        attempt = None
        if event.milestone is not None:
            attempts[event.milestone] = attempt = attempts.get(event.milestone, 0) + 1
            title = f"Milestone {event.milestone}: {names.get(event.milestone, 'not of this course')}"
        else:
            title = titles.get(event.module or "", "A module that is not of this course")
        failures = words.failures(result) if result else []
        yield Step(
            number=number,
            kind=_kind(event, result),
            at=event.at,
            title=title,
            summary=_summary(event, result),
            attempt=attempt,
            milestone=event.milestone if event.milestone in names else None,
            module=event.module if event.module in titles else None,
            figures=figures_of(result) if event.milestone is not None else (),
            curves=drawable(result),
            mend=words.label(failures[0], 200) if failures else None,
            more=max(0, len(failures) - 1),
            provisional=tuple(one_line(reason, 300) for reason in result.provisional_because[:5]) if result else (),
            official=result.official if result else False,
            verified=entry.verified,
            reason=entry.reason,
        )


def _kind(event: Event, result: Result | None) -> str:
    if event.kind is EventKind.MODULE_STARTED:
        return "started"
    if result is not None and result.verdict is Verdict.ERROR:
        return "error"
    if event.kind is EventKind.MODULE_COMPLETED:
        return "completed"
    if event.milestone is None:
        return "tested"
    return "unlocked" if result is not None and result.verdict.value in PASSING else "attempt"


def _summary(event: Event, result: Result | None) -> str:
    """What the record says besides its kind; empty when that says it all."""
    if result is None or _kind(event, result) == "completed":
        return ""
    return words.meaning(result).rstrip(".")


def figures_of(result: Result | None, kinds: tuple[Kind, ...] = tuple(Kind)) -> tuple[Figure, ...]:
    """Every measured criterion of these kinds, at most 30."""
    measured = [c for c in (result.criteria if result else ()) if c.measured is not None and c.kind in kinds]
    return tuple(_figure(c, before) for c, before in zip(measured[:30], [None, *measured], strict=False))


def _figure(criterion: CriterionResult, before: CriterionResult | None) -> Figure:
    """One row; what it shares with the row before, the way of measuring, is told only there."""
    how = "" if before is not None and before.how == criterion.how else criterion.how
    return Figure(
        title=one_line(criterion.title, 120),
        measured=figures.measured(criterion),
        threshold=figures.threshold(criterion),
        met=criterion.status is CriterionStatus.PASSED,
        share=round(100 * figures.share(criterion)),
        how=one_line(how or "", 300),
    )


def drawable(result: Result | None) -> tuple[Curve, ...]:
    """The curves of the first name that has at least two points, at most five runs."""
    curves = [c for c in (result.curves if result else ()) if sum(v is not None for v in c.values) > 1]
    return tuple(c for c in curves if c.name == curves[0].name)[:5]


def _with_what_came_next(steps: list[Step]) -> Iterator[Step]:
    for step, after in pairwise(steps):
        passed: timedelta = after.at - step.at
        verb = {"started": "started", "completed": "completed", "unlocked": "unlocked", "tested": "tested"}
        what = after.title.partition(":")[0]
        yield replace(step, then=f"{span(passed)} later: {what} {verb.get(after.kind, 'attempted')}")
    yield from steps[-1:]


def _capabilities(manifest: Manifest, history: History, verified: bool) -> Iterator[Capability]:
    for milestone in manifest.milestones:
        best = history.best(milestone.id)
        if best is None or best.verdict not in PASSING:
            continue
        result = Result.model_validate(best.raw)
        yield Capability(
            milestone=milestone,
            at=best.at,
            figures=figures_of(result, (Kind.PERFORMANCE,)),
            curves=drawable(result),
            provisional=tuple(one_line(reason, 300) for reason in result.provisional_because[:5]),
            official=result.official,
            verified=verified,
            attempts=sum(e.at <= best.at for e in history.attempts(milestone.id)),
            evidence=tuple(_evidence(result)),
            result=result,
        )


def _evidence(result: Result) -> Iterator[tuple[str, str]]:
    """How it was measured, as terms and values."""
    yield "Course", one_line(f"{result.course.name} {result.course.version}", 80)
    for data in result.data[:5]:
        stand_in = f", in place of {one_line(data.stand_in_for, 40)}" if data.stand_in_for else ""
        yield "Data", f"{one_line(data.name, 40)} ({_short(data.digest)}){stand_in}"
    yield "Seed", str(result.seed)
    yield "Code", f"{_short(result.submission.digest)} (SHA-256)"
    machine = result.machine
    yield "Machine", one_line(f"{machine.system}, {machine.processor}, Python {machine.python}", 80)
    yield "Student’s code ran in", "bubblewrap" if machine.sandbox == "bubblewrap" else "a limited process"


def _short(digest: str) -> str:
    """As much of a digest as tells it from others."""
    return one_line(digest)[:16]
