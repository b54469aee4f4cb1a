"""What listings need of the manifest, read at once: titles, order and status, without validating the rest.

Validation costs several times what a listing may take. Whatever looks wrong here is handed to `grading.manifest.load`,
which names file, line and repair.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from tito.console import MANIFEST


@dataclass(frozen=True)
class Module:
    """A module's id, title and status."""

    id: str
    title: str
    status: str


@dataclass(frozen=True)
class Milestone:
    """A milestone's number, name, trigger and status."""

    id: int
    name: str
    medal: str
    trigger: str
    status: str


@dataclass(frozen=True)
class Outline:
    """The course in order."""

    modules: tuple[Module, ...]
    milestones: tuple[Milestone, ...]


def outline(root: Path) -> Outline:
    """The outline of the manifest at `root`; ManifestError when it is not even one."""
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        data = yaml.load((root / MANIFEST).read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - both are safe
        modules = tuple(Module(m["id"], m["title"], m.get("status", "built")) for m in data["modules"])
        milestones = tuple(
            Milestone(m["id"], m["name"], m["medal"], m["trigger"], m.get("status", "built"))
            for m in data["milestones"]
        )
        if _sound(found := Outline(modules, milestones)):
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        pass
    from grading.manifest.load import load  # slow, and needed only to say what is wrong

    whole = load(root)
    return Outline(
        tuple(Module(m.id, m.title, m.status.value) for m in whole.modules),
        tuple(Milestone(m.id, m.name, m.medal, m.trigger, m.status.value) for m in whole.milestones),
    )


def _sound(found: Outline) -> bool:
    """Whether it has what listings lean on: names that are text, numbers, known states, and triggers that exist."""
    ids = {m.id for m in found.modules}
    texts = [t for m in found.modules for t in (m.id, m.title)]
    texts += [t for m in found.milestones for t in (m.name, m.medal, m.trigger)]
    return (
        bool(found.modules and found.milestones)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(m.id, int) and m.trigger in ids for m in found.milestones)
        and {m.status for m in found.modules} | {m.status for m in found.milestones} <= {"built", "planned"}
    )
