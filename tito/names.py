"""Find the module, task or milestone that a student names, or raise an error that suggests a name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from grading.errors import UsageError
from grading.journey import MilestoneLike, ModuleLike

if TYPE_CHECKING:  # the model is slow to import
    from grading.manifest.model import Module, Task

M = TypeVar("M", bound=ModuleLike)
S = TypeVar("S", bound=MilestoneLike)


def match_module(modules: Sequence[M], given_name: str) -> M:
    """Find the module called "02_tensor", "02", "2", "tensor" or "modules/02_tensor/", or raise UsageError."""
    word = given_name.strip().rstrip("/").rsplit("/", 1)[-1].lower()
    for candidate in modules:
        number, _, name = candidate.id.partition("_")
        if word in (candidate.id, number, number.lstrip("0"), name):
            return candidate
    known = {m.id: m.id for m in modules} | {m.id.partition("_")[2]: m.id for m in modules}
    raise UsageError(
        f"There is no module {given_name!r}. {_suggest_name(word, known)} `tito module list` shows all of them."
    )


def match_task(modules: Sequence[Module], given_name: str, current: str | None = None) -> Task:
    """Find the task called "4.2", "Task 4.2" or, in the module ``current``, "2"; raise UsageError if there is none."""
    word = given_name.strip().lower().removeprefix("task").strip()
    number = [str(int(part)) for part in word.split(".") if part.isdecimal()]
    if len(number) == 1 and word.isdecimal() and current is not None:
        number.insert(0, str(int(current[:2])))
    for one in modules:
        for candidate in one.tasks:
            if candidate.id == ".".join(number):
                return candidate
    inside = next((one for one in modules if number and str(one.number) == number[0] and one.tasks), None)
    if inside is None:
        raise UsageError(f"There is no task {given_name!r}. Tasks are numbered: 4.2 is the second task of module 04.")
    known = f"{inside.tasks[0].id} to {inside.tasks[-1].id}"
    raise UsageError(f"There is no task {given_name!r}. Module {inside.id} has the tasks {known}.")


def match_milestone(milestones: Sequence[S], given_name: str) -> S:
    """Find the milestone called "1", "milestone-1" or "Basic Inference"; raise UsageError if there is none."""
    word = given_name.strip().lower().removeprefix("milestone").strip("-_ #").replace("-", " ")
    for candidate in milestones:
        if word in (str(candidate.id), candidate.name.lower()):
            return candidate
    known = {m.name.lower(): str(m.id) for m in milestones}
    if word.lstrip("-").isdigit():
        raise UsageError(f"There is no milestone {given_name}. Milestones are numbered 1 to {len(milestones)}.")
    hint = _suggest_name(word, known)
    raise UsageError(
        f"There is no milestone {given_name!r}. {hint} `tito milestone status` shows all of them.".replace("  ", " ")
    )


def require_built(target: M | S) -> M | S:
    """Return a module or milestone unless it is only planned; raise UsageError if it is."""
    if target.status == "planned":
        kind = "Module" if isinstance(target.id, str) else "Milestone"
        name = target.id if isinstance(target.id, str) else f"{target.id}, {target.name},"
        raise UsageError(f"{kind} {name} is planned but not built yet, so there is nothing to work on or to test.")
    return target


def _suggest_name(word: str, known: Mapping[str, str]) -> str:
    """Return the question "Did you mean …?" with the known name closest to a word, or "" if none is close."""
    found = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean `{known[found[0]]}`?" if found else ""
