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
        ids = {m.id for m in modules}
        if all(m.trigger in ids for m in milestones) and all(isinstance(m.id, int) for m in milestones):
            return Outline(modules, milestones)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        pass
    from grading.manifest.load import load  # slow, and needed only to say what is wrong

    whole = load(root)
    return Outline(
        tuple(Module(m.id, m.title, m.status.value) for m in whole.modules),
        tuple(Milestone(m.id, m.name, m.medal, m.trigger, m.status.value) for m in whole.milestones),
    )
