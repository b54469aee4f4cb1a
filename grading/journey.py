"""Compute a student's progress with fast, pure functions of the manifest and the history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from grading.progress import PASSING, Event, History, Kind


class ModuleLike(Protocol):
    """The attributes of a module that this file uses. `grading.manifest.model.Module` has them."""

    @property
    def id(self) -> str:
        """The module's id, such as 02_tensor."""

    @property
    def title(self) -> str:
        """The title."""

    @property
    def status(self) -> str:
        """The status, built or planned."""


class MilestoneLike(Protocol):
    """The attributes of a milestone that this file uses. `grading.manifest.model.Milestone` has them."""

    @property
    def id(self) -> int:
        """The number."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def trigger(self) -> str:
        """The module whose completion triggers the milestone's test."""

    @property
    def status(self) -> str:
        """The status, built or planned."""


class CourseLike(Protocol):
    """The attributes of the manifest that this file uses. `grading.manifest.model.Manifest` has them."""

    @property
    def modules(self) -> Sequence[ModuleLike]:
        """The modules in order."""

    @property
    def milestones(self) -> Sequence[MilestoneLike]:
        """The milestones in order."""


class State(StrEnum):
    """The state of a module or a milestone."""

    COMPLETED = "completed"
    IN_PROGRESS = "in_progress"
    READY = "ready"
    """The state of a module that can be started, because all modules before it are completed."""
    LOCKED = "locked"

    @property
    def label(self) -> str:
        """The state as displayed, such as IN PROGRESS."""
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
    """One milestone's state, completed modules and attempts."""

    id: int
    name: str
    state: State
    planned: bool
    provisional: bool
    modules_done: int
    modules: int
    """The number of modules since the previous milestone."""
    attempts: int
    best: Event | None
    unlocked_at: datetime | None


@dataclass(frozen=True)
class Goal:
    """The next step: one sentence and one command."""

    sentence: str
    command: str


COMPLETED = Goal("Every module and every milestone is completed.", "tito portfolio")


def find_module_state(course: CourseLike, history: History, module: str) -> ModuleState:
    """Find the state of the module with this id."""
    return next(state for state in list_module_states(course, history) if state.id == module)


def list_module_states(course: CourseLike, history: History) -> tuple[ModuleState, ...]:
    """List the state of every module, in the course's order.

    A module is completed by its own record, or by a milestone attempt in which its tests passed. Completions from
    before its last reset do not count.
    """
    states: list[ModuleState] = []
    for index, module in enumerate(course.modules):
        events = [e for e in history.events if e.module == module.id]
        started = min((e.at for e in events), default=None)
        done = [e.at for e in events if e.kind is Kind.MODULE_COMPLETED]
        tested_by = [m.id for m in course.milestones if index <= _find_module_index(course, m.trigger)]
        done += [at for number in tested_by if (at := _find_unlock_time(history, number))]
        done += [
            e.at
            for m in course.milestones
            for e in history.list_attempts(m.id)
            if index < _count_leading_passed_modules(course, m, e)
        ]
        reset = max((e.at for e in events if e.kind is Kind.MODULE_RESET), default=None)
        done = [at for at in done if reset is None or at > reset]
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


def _count_leading_passed_modules(course: CourseLike, milestone: MilestoneLike, attempt: Event) -> int:
    """Count how many modules, starting with the first, passed all tests in an attempt.

    Failures are in the modules' order.
    """
    criteria = (attempt.raw or {}).get("criteria", ())
    tests = next((c for c in criteria if c.get("name") == "module_tests"), None)
    if tests is None or tests["status"] not in ("passed", "failed"):
        return 0
    if tests["status"] == "passed":
        return _find_module_index(course, milestone.trigger) + 1
    tasks = [failure.get("task") for failure in tests.get("failures", ())]
    return min((int(task.partition(".")[0]) for task in tasks), default=1) - 1 if all(tasks) else 0


def list_milestone_states(course: CourseLike, history: History) -> tuple[MilestoneState, ...]:
    """List the state of every milestone, in the course's order.

    It is completed once unlocked, and in progress if it is next or already begun.
    """
    modules = list_module_states(course, history)
    states: list[MilestoneState] = []
    first = 0
    for milestone in course.milestones:
        last = _find_module_index(course, milestone.trigger)
        own, first = modules[first : last + 1], last + 1
        best, planned = history.find_best_attempt(milestone.id), milestone.status == "planned"
        attempts = history.list_attempts(milestone.id)
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
                unlocked_at=_find_unlock_time(history, milestone.id),
            )
        )
    return tuple(states)


def find_current_module(course: CourseLike, history: History) -> ModuleState | None:
    """Find the uncompleted module that was started last, or the first uncompleted one. Return None if there is none.

    Planned modules are left out. Resetting a module counts as starting it.
    """
    open_modules = [m for m in list_module_states(course, history) if m.state is not State.COMPLETED and not m.planned]
    begun = {e.module: e.at for e in history.events if e.kind in (Kind.MODULE_STARTED, Kind.MODULE_RESET)}
    worked_on = [module for module in open_modules if module.id in begun]
    return max(worked_on, key=lambda module: begun[module.id]) if worked_on else next(iter(open_modules), None)


def list_skipped_modules(course: CourseLike, history: History) -> list[str]:
    """List the ids of the built but uncompleted modules before the current module, in the course's order."""
    current = find_current_module(course, history)
    states = list_module_states(course, history)
    before = states[: [state.id for state in states].index(current.id)] if current else ()
    return [state.id for state in before if state.state is not State.COMPLETED and not state.planned]


def find_next_goal(course: CourseLike, history: History) -> Goal:
    """Find the next goal: the first uncompleted module or milestone, or a later module that was started instead.

    If the first is a module and a later module was started last, the later module is the goal.
    """
    modules = {m.id: m for m in list_module_states(course, history)}
    current = find_current_module(course, history)
    by_trigger = {m.trigger: m for m in course.milestones}
    completed = {s.id for s in list_milestone_states(course, history) if s.state is State.COMPLETED}
    for module in modules.values():
        if module.planned:
            return Goal(
                f"Module {module.id} is planned but not built yet. You have reached the end of the course so far.",
                "tito portfolio",
            )
        if module.state is not State.COMPLETED:
            if current is not None and current.state is State.IN_PROGRESS:
                sentence = f"Finish module {current.id}, {_describe_coming_milestone(course, current.id)}."
                return Goal(sentence, f"tito module test {current.id}")
            return _make_start_goal(course, module.id)
        milestone = by_trigger.get(module.id)
        if milestone is not None and milestone.id not in completed:
            return _make_unlock_goal(milestone)
    return COMPLETED


def find_following_module_goal(course: CourseLike, history: History, module: str) -> Goal | None:
    """Find the goal of starting the module after a completed one, if the next goal is something else.

    Return None if the module was the last one before a milestone, or if the following one is not a new start.
    """
    place = _find_module_index(course, module)
    following = list_module_states(course, history)[place + 1 : place + 2]
    if any(m.trigger == module for m in course.milestones) or not following or following[0].planned:
        return None
    goal = _make_start_goal(course, following[0].id)
    return goal if following[0].started_at is None and goal != find_next_goal(course, history) else None


def find_goal_after_passing(course: CourseLike, modules: Iterable[str], milestones: Iterable[int]) -> Goal:
    """Find the goal after the last of these modules and milestones, all of which were passed."""
    passed = [(_find_module_index(course, module), False) for module in modules]
    passed += [(_find_module_index(course, m.trigger), True) for m in course.milestones if m.id in set(milestones)]
    place, is_unlocked = max(passed)
    milestone = next((m for m in course.milestones if _find_module_index(course, m.trigger) == place), None)
    if milestone is not None and milestone.status != "planned" and not is_unlocked:
        return _make_unlock_goal(milestone)
    following = [module for module in course.modules[place + 1 :] if module.status != "planned"]
    return _make_start_goal(course, following[0].id) if following else COMPLETED


def _make_unlock_goal(milestone: MilestoneLike) -> Goal:
    """Make the goal of unlocking a milestone."""
    return Goal(f"Unlock milestone {milestone.id}, {milestone.name}.", f"tito milestone test {milestone.id}")


def _make_start_goal(course: CourseLike, module: str) -> Goal:
    """Make the goal of starting a module."""
    return Goal(f"Start module {module}, {_describe_coming_milestone(course, module)}.", f"tito module start {module}")


def _describe_coming_milestone(course: CourseLike, module: str) -> str:
    """Describe the milestone that a module leads to, as in "on the way to milestone 2, Computer Vision"."""
    towards = next(
        m for m in course.milestones if _find_module_index(course, m.trigger) >= _find_module_index(course, module)
    )
    return f"on the way to milestone {towards.id}, {towards.name}"


def _find_module_index(course: CourseLike, module: str) -> int:
    """Find a module's index in the course."""
    return next(i for i, m in enumerate(course.modules) if m.id == module)


def _find_unlock_time(history: History, milestone: int) -> datetime | None:
    """Find the time at which a milestone was first unlocked. Return None if it has not been unlocked."""
    return min((e.at for e in history.list_attempts(milestone) if e.verdict in PASSING), default=None)
