"""Read part of the manifest quickly, for listings: titles, order and status, without validation.

Full validation takes several times as long as a listing may take. If anything looks wrong,
`grading.manifest.loader` reads the manifest again and reports the file, the line and the fix.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from tito.console import MANIFEST


@dataclass(frozen=True)
class OutlineModule:
    """A module's id, title and status."""

    id: str
    title: str
    status: str


@dataclass(frozen=True)
class OutlineMilestone:
    """A milestone's number, name, trigger and status."""

    id: int
    name: str
    medal: str
    trigger: str
    status: str


@dataclass(frozen=True)
class Outline:
    """The course's modules and milestones, in order."""

    modules: tuple[OutlineModule, ...]
    milestones: tuple[OutlineMilestone, ...]


def read_outline(root: Path) -> Outline:
    """Read an outline of ``root``'s manifest, without validating the rest; raise ManifestError if it is unusable."""
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        data = yaml.load((root / MANIFEST).read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - both are safe
        modules = tuple(OutlineModule(m["id"], m["title"], m.get("status", "built")) for m in data["modules"])
        milestones = tuple(
            OutlineMilestone(m["id"], m["name"], m["medal"], m["trigger"], m.get("status", "built"))
            for m in data["milestones"]
        )
        if _is_usable_outline(found := Outline(modules, milestones)):
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        pass
    from grading.manifest.loader import load_manifest  # slow to import, and needed only to explain an error

    whole = load_manifest(root)
    return Outline(
        tuple(OutlineModule(m.id, m.title, m.status.value) for m in whole.modules),
        tuple(OutlineMilestone(m.id, m.name, m.medal, m.trigger, m.status.value) for m in whole.milestones),
    )


def _is_usable_outline(outline: Outline) -> bool:
    """Return whether an outline has what listings rely on: text as names, numbers, known states, existing triggers."""
    ids = {m.id for m in outline.modules}
    texts = [t for m in outline.modules for t in (m.id, m.title)]
    texts += [t for m in outline.milestones for t in (m.name, m.medal, m.trigger)]
    return (
        bool(outline.modules and outline.milestones)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(m.id, int) and m.trigger in ids for m in outline.milestones)
        and {m.status for m in outline.modules} | {m.status for m in outline.milestones} <= {"built", "planned"}
    )
