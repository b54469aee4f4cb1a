"""The content of one student's pages: the student's records in order, in words and figures that are safe to show.

Records come from a repository that the student can write to. So this module validates each record
(`grading.result.Result`) and cleans its text before using it. Nothing else is ever shown: no student's id, no output of
student code and no path on a machine. A commit or repository is shown only if the student agreed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from desk.cohort import CohortMember, RecordEntry
from grading import journey
from grading.journey import MilestoneState, ModuleState, State
from grading.manifest.model import CriterionKind, Manifest, Milestone
from grading.progress import PASSING, Event, History
from grading.render import words
from grading.render.text import clean_text, to_one_line
from grading.result import WRITTEN, Curve, NamedImage, Picture, Result, Writing
from website.repository_links import LinkedRepository, parse_linked_repository
from website.timeline_steps import (
    FoldedSteps,
    StepFigure,
    TimelineStep,
    ValidatedRecord,
    build_timeline_steps,
    fold_timeline_steps,
    list_measured_figures,
    name_judging_course,
    select_curves_to_draw,
)


@dataclass(frozen=True)
class UnlockedCapability:
    """An unlocked milestone with its evidence, as a portfolio shows it."""

    milestone: Milestone
    at: datetime
    figures: tuple[StepFigure, ...]
    curves: tuple[Curve, ...]
    pictures: tuple[Picture, ...]
    named_images: tuple[NamedImage, ...]
    writings: tuple[Writing, ...]
    provisional: tuple[str, ...]
    official: bool
    attempts: int
    evidence: tuple[tuple[str, str], ...]
    code: tuple[tuple[str, str], ...]
    """Links to what was graded; empty unless the student agreed."""
    record: str | None
    """The address of the milestone's published record; None unless the student agreed."""
    result: Result


@dataclass(frozen=True)
class StudentStory:
    """Everything that a student's pages need."""

    pseudonym: str
    name: str
    """The student's name if they agreed to show it, otherwise the pseudonym in words."""
    named: bool
    repository: LinkedRepository | None
    """The repository; None unless the student agreed that their pages link to it."""
    steps: tuple[TimelineStep, ...]
    turns: tuple[FoldedSteps, ...]
    """The steps, with consecutive steps for the same module or milestone folded."""
    modules: tuple[ModuleState, ...]
    milestones: tuple[MilestoneState, ...]
    capabilities: tuple[UnlockedCapability, ...]
    goal: str | None
    damaged: int
    """The number of records that could not be read."""
    any_verified: bool
    counted: tuple[tuple[Event, Result | None], ...]
    """The records that count: the verified ones, or all if none is verified."""


def format_pseudonym_as_title(pseudonym: str) -> str:
    """Format a pseudonym as a title.

    >>> format_pseudonym_as_title("quiet-otter-40391")
    'Quiet Otter 40391'
    """
    return " ".join(part.capitalize() for part in pseudonym.split("-"))


def build_student_story(member: CohortMember, manifest: Manifest) -> StudentStory:
    """Build the story of one student's valid records. Unverified ones unlock nothing if any record is verified."""
    read = list(_validate_records(member.entries))
    any_verified = any(entry.verified for entry, _ in read)
    counted = tuple((e.event, r) for e, r in read if e.verified or not any_verified)
    history = History(tuple(event for event, _ in counted))
    earlier = frozenset(id(entry.event) for entry, _ in read if not entry.is_current)
    student = member.student
    named = student.public and bool(student.name)
    repository = parse_linked_repository(student.repository) if student.public and student.links else None
    steps = build_timeline_steps(read, manifest)
    modules, milestones = (
        journey.list_module_states(manifest, history),
        journey.list_milestone_states(manifest, history),
    )
    return StudentStory(
        pseudonym=student.pseudonym,
        name=to_one_line(student.name or "", 80) if named else format_pseudonym_as_title(student.pseudonym),
        named=named,
        repository=repository,
        steps=steps,
        turns=fold_timeline_steps(steps),
        modules=modules,
        milestones=milestones,
        capabilities=tuple(
            _list_unlocked_capabilities(manifest, history, earlier, repository, _map_milestones_to_record_files(read))
        ),
        goal=_describe_next_goal(manifest, history, (*modules, *milestones)),
        damaged=len(member.entries) - len(read),
        any_verified=any_verified,
        counted=counted,
    )


def _describe_next_goal(
    manifest: Manifest, history: History, states: Iterable[ModuleState | MilestoneState]
) -> str | None:
    """Describe what is next, in the words of `tito`, or return None if everything that is built is done."""
    if all(state.state is State.COMPLETED for state in states if not state.planned):
        return None
    return journey.find_next_goal(manifest, history).sentence


def _validate_records(entries: Iterable[RecordEntry]) -> Iterator[ValidatedRecord]:
    """Yield each record with its validated result, or None if it has none; leave out records with an invalid result."""
    for entry in entries:
        try:
            yield entry, None if entry.event.raw is None else Result.model_validate(entry.event.raw)
        except (ValidationError, RecursionError):
            continue


def _map_milestones_to_record_files(read: Sequence[ValidatedRecord]) -> dict[int, str]:
    """Map each milestone to the file of its newest verified record that unlocks it, leaving out those without one."""
    return {
        entry.event.milestone: entry.file
        for entry, result in read
        if entry.verified and entry.file and entry.event.milestone and result and result.verdict.value in PASSING
    }


def _list_unlocked_capabilities(
    manifest: Manifest,
    history: History,
    earlier: frozenset[int],
    repository: LinkedRepository | None,
    published: dict[int, str],
) -> Iterator[UnlockedCapability]:
    """List the unlocked milestones with their evidence; ``earlier`` holds the id() of each older version's event."""
    for milestone in manifest.milestones:
        best = history.find_best_attempt(milestone.id)
        if best is None or best.verdict not in PASSING:
            continue
        result = Result.model_validate(best.raw)
        yield UnlockedCapability(
            milestone=milestone,
            at=best.at,
            figures=list_measured_figures(result, (CriterionKind.PERFORMANCE,)),
            curves=select_curves_to_draw(result),
            pictures=result.pictures,
            writings=tuple(_clean_writing_texts(writing) for writing in result.writings),
            named_images=tuple(_clean_image_names(image) for image in result.named_images),
            provisional=tuple(to_one_line(reason, 300) for reason in result.provisional_because[:5]),
            official=result.official,
            attempts=sum(e.at <= best.at for e in history.list_attempts(milestone.id)),
            evidence=tuple(_list_evidence(result, is_current=id(best) not in earlier)),
            code=repository.list_code_links(result, milestone, manifest.module(milestone.trigger))
            if repository
            else (),
            record=repository.build_record_address(published.get(milestone.id)) if repository else None,
            result=result,
        )


def _clean_writing_texts(writing: Writing) -> Writing:
    """Remove invisible characters and control sequences from a network's prompt and text, and cut long ones."""
    prompt, written = (clean_text(text, WRITTEN) for text in (writing.prompt, writing.written))
    return Writing(kind=writing.kind, prompt=prompt, written=written, right=writing.right)


def _clean_image_names(image: NamedImage) -> NamedImage:
    """Return an image's record with its class names cut to 30 characters on one line, without invisible ones."""
    return image.model_copy(update={"shows": to_one_line(image.shows, 30), "named": to_one_line(image.named, 30)})


def _list_evidence(result: Result, *, is_current: bool) -> Iterator[tuple[str, str]]:
    """Yield (term, value) pairs that describe how a result was measured."""
    yield "Course", name_judging_course(result, is_current=is_current)
    for data in result.data[:5]:
        stand_in = f", instead of {to_one_line(data.stand_in_for, 40)}" if data.stand_in_for else ""
        yield "Data", f"{to_one_line(data.name, 40)} ({_shorten_digest(data.digest)}){stand_in}"
    yield "Seed", str(result.seed)
    yield "Code", f"{_shorten_digest(result.submission.digest)} (SHA-256)"
    machine = result.machine
    yield "Machine", to_one_line(f"{machine.system}, {machine.processor}, Python {machine.python}", 80)
    yield "Student’s code ran in", words.name_sandbox(machine.sandbox)


def _shorten_digest(digest: str) -> str:
    """Shorten a digest to its first 16 characters."""
    return to_one_line(digest)[:16]
