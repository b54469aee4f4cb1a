"""Where a student stands: pure functions of the manifest and the history, light enough to answer at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from grading.progress import PASSING, Event, History, Kind


class ModuleLike(Protocol):
    """What is needed of a module; `grading.manifest.model.Module` has it."""

    @property
    def id(self) -> str:
        """02_tensor."""

    @property
    def title(self) -> str:
        """Its title."""

    @property
    def status(self) -> str:
        """Built or planned."""


class MilestoneLike(Protocol):
    """What is needed of a milestone; `grading.manifest.model.Milestone` has it."""

    @property
    def id(self) -> int:
        """Its number."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def trigger(self) -> str:
        """The module whose completion sets off its test."""

    @property
    def status(self) -> str:
        """Built or planned."""


class CourseLike(Protocol):
    """What is needed of the manifest; `grading.manifest.model.Manifest` has it."""

    @property
    def modules(self) -> Sequence[ModuleLike]:
        """In order."""

    @property
    def milestones(self) -> Sequence[MilestoneLike]:
        """In order."""


class State(StrEnum):
    """How far a module or a milestone is."""

    COMPLETED = "completed"
    IN_PROGRESS = "in_progress"
    READY = "ready"
    """A module that can be started: all before it are completed."""
    LOCKED = "locked"

    @property
    def label(self) -> str:
        """As it is shown: IN PROGRESS."""
        return self.value.replace("_", " ").upper()


@dataclass(frozen=True)
class ModuleState:
    """One module's state and dates."""

    id: str
    title: str
    state: State
    planned: bool
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True)
class MilestoneState:
    """One milestone's state, its share done, and its attempts."""

    id: int
    name: str
    state: State
    planned: bool
    provisional: bool
    modules_done: int
    modules: int
    """Those since the milestone before it."""
    attempts: int
    best: Event | None
    unlocked_at: datetime | None


@dataclass(frozen=True)
class Goal:
    """What to do next: one sentence and one command."""

    sentence: str
    command: str


COMPLETED = Goal("Every module and every milestone is completed.", "tito portfolio")


def find_module_state(course: CourseLike, history: History, module: str) -> ModuleState:
    """The state of the module with this id."""
    return next(state for state in module_states(course, history) if state.id == module)


def module_states(course: CourseLike, history: History) -> tuple[ModuleState, ...]:
    """Every module: completed by its own record, or by an attempt at a milestone in which its tests passed."""
    states: list[ModuleState] = []
    for index, module in enumerate(course.modules):
        events = [e for e in history.events if e.module == module.id]
        started = min((e.at for e in events), default=None)
        done = [e.at for e in events if e.kind is Kind.MODULE_COMPLETED]
        tested_by = [m.id for m in course.milestones if index <= _position(course, m.trigger)]
        done += [at for number in tested_by if (at := _unlocked_at(history, number))]
        done += [e.at for m in course.milestones for e in history.attempts(m.id) if index < _tested(course, m, e)]
        planned = module.status == "planned"
        if done:
            state = State.COMPLETED
        elif started:
            state = State.IN_PROGRESS
        elif not planned and all(s.state is State.COMPLETED for s in states):
            state = State.READY
        else:
            state = State.LOCKED
        states.append(ModuleState(module.id, module.title, state, planned, started, min(done, default=None)))
    return tuple(states)


def _tested(course: CourseLike, milestone: MilestoneLike, attempt: Event) -> int:
    """How many modules, from the first, an attempt's tests found whole. What fails is told in the modules' order."""
    criteria = (attempt.raw or {}).get("criteria", ())
    tests = next((c for c in criteria if c.get("name") == "module_tests"), None)
    if tests is None or tests["status"] not in ("passed", "failed"):
        return 0
    if tests["status"] == "passed":
        return _position(course, milestone.trigger) + 1
    tasks = [failure.get("task") for failure in tests.get("failures", ())]
    return min((int(task.partition(".")[0]) for task in tasks), default=1) - 1 if all(tasks) else 0


def milestone_states(course: CourseLike, history: History) -> tuple[MilestoneState, ...]:
    """Every milestone: completed for good once unlocked; in progress when it is next or worked on."""
    modules = module_states(course, history)
    states: list[MilestoneState] = []
    first = 0
    for milestone in course.milestones:
        last = _position(course, milestone.trigger)
        own, first = modules[first : last + 1], last + 1
        best, planned = history.best(milestone.id), milestone.status == "planned"
        attempts = history.attempts(milestone.id)
        worked_on = bool(attempts) or any(m.state in (State.COMPLETED, State.IN_PROGRESS) for m in own)
        if best is not None and best.verdict in PASSING:
            state = State.COMPLETED
        elif not planned and (worked_on or all(s.state is State.COMPLETED for s in states)):
            state = State.IN_PROGRESS
        else:
            state = State.LOCKED
        states.append(
            MilestoneState(
                id=milestone.id,
                name=milestone.name,
                state=state,
                planned=planned,
                provisional=state is State.COMPLETED and best is not None and best.verdict == "provisional",
                modules_done=sum(m.state is State.COMPLETED for m in own),
                modules=len(own),
                attempts=len(attempts),
                best=best,
                unlocked_at=_unlocked_at(history, milestone.id),
            )
        )
    return tuple(states)


def current_module(course: CourseLike, history: History) -> ModuleState | None:
    """The module that is worked on: the one begun last and not completed, or the first that is not; None at the end."""
    open_modules = [m for m in module_states(course, history) if m.state is not State.COMPLETED and not m.planned]
    begun = {e.module: e.at for e in history.events if e.kind is Kind.MODULE_STARTED}
    worked_on = [module for module in open_modules if module.id in begun]
    return max(worked_on, key=lambda module: begun[module.id]) if worked_on else next(iter(open_modules), None)


def next_goal(course: CourseLike, history: History) -> Goal:
    """The first thing that is not done: a module, then its milestone; what comes later may not be built yet."""
    modules = {m.id: m for m in module_states(course, history)}
    by_trigger = {m.trigger: m for m in course.milestones}
    completed = {s.id for s in milestone_states(course, history) if s.state is State.COMPLETED}
    for module in modules.values():
        if module.planned:
            return Goal(
                f"Module {module.id} is planned and not built yet: you are at the end of the course so far.",
                "tito portfolio",
            )
        if module.state is not State.COMPLETED:
            if module.state is State.IN_PROGRESS:
                sentence = f"Finish module {module.id}, {_name_direction(course, module.id)}."
                return Goal(sentence, f"tito module test {module.id}")
            return _start(course, module.id)
        milestone = by_trigger.get(module.id)
        if milestone is not None and milestone.id not in completed:
            return _unlock(milestone)
    return COMPLETED


def goal_after(course: CourseLike, modules: Iterable[str], milestones: Iterable[int]) -> Goal:
    """What comes after the furthest of these that were passed: its milestone, the next module, or what was reached."""
    passed = [(_position(course, module), False) for module in modules]
    passed += [(_position(course, m.trigger), True) for m in course.milestones if m.id in set(milestones)]
    place, is_unlocked = max(passed)
    milestone = next((m for m in course.milestones if _position(course, m.trigger) == place), None)
    if milestone is not None and milestone.status != "planned" and not is_unlocked:
        return _unlock(milestone)
    following = [module for module in course.modules[place + 1 :] if module.status != "planned"]
    return _start(course, following[0].id) if following else COMPLETED


def _unlock(milestone: MilestoneLike) -> Goal:
    return Goal(f"Unlock milestone {milestone.id}, {milestone.name}.", f"tito milestone test {milestone.id}")


def _start(course: CourseLike, module: str) -> Goal:
    return Goal(f"Start module {module}, {_name_direction(course, module)}.", f"tito module start {module}")


def _name_direction(course: CourseLike, module: str) -> str:
    """Which milestone a module leads to."""
    towards = next(m for m in course.milestones if _position(course, m.trigger) >= _position(course, module))
    return f"on the way to milestone {towards.id}, {towards.name}"


def _position(course: CourseLike, module: str) -> int:
    return next(i for i, m in enumerate(course.modules) if m.id == module)


def _unlocked_at(history: History, milestone: int) -> datetime | None:
    return min((e.at for e in history.attempts(milestone) if e.verdict in PASSING), default=None)
