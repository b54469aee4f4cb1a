"""What a student calls a module or a milestone → the one that is meant, or a sentence that helps."""

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


def module(modules: Sequence[M], said: str) -> M:
    """The module called "02_tensor", "02", "2", "tensor" or "modules/02_tensor/"; UsageError otherwise."""
    word = said.strip().rstrip("/").rsplit("/", 1)[-1].lower()
    for candidate in modules:
        number, _, name = candidate.id.partition("_")
        if word in (candidate.id, number, number.lstrip("0"), name):
            return candidate
    known = {m.id: m.id for m in modules} | {m.id.partition("_")[2]: m.id for m in modules}
    raise UsageError(f"There is no module {said!r}. {_close(word, known)} `tito module list` shows all of them.")


def task(modules: Sequence[Module], said: str, current: str | None = None) -> Task:
    """The task called "4.2", "Task 4.2" or, in the module with the id ``current``, "2"; UsageError otherwise."""
    word = said.strip().lower().removeprefix("task").strip()
    number = [str(int(part)) for part in word.split(".") if part.isdecimal()]
    if len(number) == 1 and word.isdecimal() and current is not None:
        number.insert(0, str(int(current[:2])))
    for one in modules:
        for candidate in one.tasks:
            if candidate.id == ".".join(number):
                return candidate
    inside = next((one for one in modules if number and str(one.number) == number[0] and one.tasks), None)
    if inside is None:
        raise UsageError(f"There is no task {said!r}. A task is called by its number: 4.2 is the second of module 04.")
    known = f"{inside.tasks[0].id} to {inside.tasks[-1].id}"
    raise UsageError(f"There is no task {said!r}. The tasks of module {inside.id} are {known}.")


def milestone(milestones: Sequence[S], said: str) -> S:
    """The milestone called "1", "milestone-1" or "Basic Inference"; UsageError otherwise."""
    word = said.strip().lower().removeprefix("milestone").strip("-_ #").replace("-", " ")
    for candidate in milestones:
        if word in (str(candidate.id), candidate.name.lower()):
            return candidate
    known = {m.name.lower(): str(m.id) for m in milestones}
    if word.lstrip("-").isdigit():
        raise UsageError(f"There is no milestone {said}: they are numbered 1 to {len(milestones)}.")
    hint = _close(word, known)
    raise UsageError(
        f"There is no milestone {said!r}. {hint} `tito milestone status` shows all of them.".replace("  ", " ")
    )


def built(what: M | S) -> M | S:
    """The same, unless it is only planned: then a UsageError that says so."""
    if what.status == "planned":
        kind = "Module" if isinstance(what.id, str) else "Milestone"
        name = what.id if isinstance(what.id, str) else f"{what.id}, {what.name},"
        raise UsageError(f"{kind} {name} is planned: it is not built yet, so there is nothing to work on or to test.")
    return what


def _close(word: str, known: Mapping[str, str]) -> str:
    found = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean `{known[found[0]]}`?" if found else ""
