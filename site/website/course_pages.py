"""The course's pages: lessons, milestones, troubleshooting."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from grading.errors import UsageError
from grading.manifest.model import Criterion, Kind, Manifest, Milestone, Module, Status
from grading.render import words
from website.lesson import Link, Section, render, sections
from website.render import Files, Site

TROUBLESHOOTING = Path("docs/milestone-troubleshooting.md")
DOCUMENTS = {TROUBLESHOOTING: "troubleshooting.html", Path("docs/glossary.md"): "glossary.html"}
"""Pages of `docs/` that the site shows, and their names there."""


def course_pages(root: Path, site: Site, unlocked: Collection[int] = ()) -> Files:
    """Render all files below course/; ``unlocked`` are the milestones that at least one student has.

    UsageError for a link that leads nowhere on the site.
    """
    manifest = site.manifest
    built = built_modules(manifest)
    lessons = {module.id for module in built}
    topics = sections((root / TROUBLESHOOTING).read_text("utf-8"), _links(TROUBLESHOOTING, manifest))
    files = {
        "course/index.html": site.page("course.html.jinja", "course/index.html", lessons=lessons, unlocked=unlocked),
    }
    for source, name in DOCUMENTS.items():
        page = render((root / source).read_text("utf-8"), _links(source, manifest))
        files[f"course/{name}"] = site.page("document.html.jinja", f"course/{name}", page=page)
    pictures = _pictures(root, manifest)
    files |= {f"course/{name}": (root / path).read_bytes() for path, name in pictures.items()}
    for index, module in enumerate(built):
        path = f"course/{module.id}.html"
        files[path] = site.page(
            "lesson.html.jinja",
            path,
            module=module,
            page=render((root / module.lesson).read_text("utf-8"), _links(module.lesson, manifest, pictures)),
            before=built[index - 1] if index else None,
            after=built[index + 1] if index + 1 < len(built) else None,
        )
    for milestone in manifest.milestones:
        path = f"course/milestone-{milestone.id}.html"
        files[path] = site.page(
            "milestone.html.jinja",
            path,
            m=milestone,
            lessons=lessons,
            kinds=[(words.KINDS[kind], found) for kind in Kind if (found := _of_kind(milestone, kind))],
            topics=_topics(milestone, topics),
        )
    return files


def built_modules(manifest: Manifest) -> list[Module]:
    """List the modules that have a lesson."""
    return [module for module in manifest.modules if module.status is Status.BUILT]


def sources(root: Path, manifest: Manifest) -> list[Path]:
    """List every file that the course's pages are made from."""
    lessons = (module.lesson for module in built_modules(manifest))
    return [root / path for path in (Path("milestones.yaml"), *DOCUMENTS, *lessons, *_pictures(root, manifest))]


def _of_kind(milestone: Milestone, kind: Kind) -> list[Criterion]:
    """Select the criteria of one kind."""
    return [criterion for criterion in milestone.criteria if criterion.kind is kind]


def _topics(milestone: Milestone, topics: dict[str, Section]) -> list[Section]:
    """Select the topics that the milestone names, and then those that its criteria name."""
    named = dict.fromkeys((*milestone.troubleshooting, *(c.topic for c in milestone.criteria if c.topic)))
    return [topics[anchor] for anchor in named if anchor in topics]


def _pictures(root: Path, manifest: Manifest) -> dict[Path, str]:
    """List the lessons' pictures, with the path of each below the course's pages."""
    folders = {module: root / module.folder / "figures" for module in built_modules(manifest)}
    return {
        path.relative_to(root): f"{module.id}/{path.name}"
        for module, folder in folders.items()
        for path in sorted(folder.glob("*.svg"))
    }


def _links(source: Path, manifest: Manifest, pictures: Mapping[Path, str] | None = None) -> Link:
    """Make the function that turns links of a course document into links of the site; other addresses stay."""
    pages: dict[str, str] = {m.lesson.as_posix(): f"{m.id}.html" for m in built_modules(manifest)}
    pages |= {path.as_posix(): name for path, name in DOCUMENTS.items()}
    pages |= {path.as_posix(): name for path, name in (pictures or {}).items()}

    def link(address: str) -> str:
        if re.match(r"[a-z]+:|#", address):
            return address
        path, _, anchor = address.partition("#")
        where = _normal(PurePosixPath(source.parent.as_posix(), path))
        if where not in pages:
            raise UsageError(f"{source.as_posix()}: the link to {address} leads to no page of the site. Fix it.")
        return pages[where] + (f"#{anchor}" if anchor else "")

    return link


def _normal(path: PurePosixPath) -> str:
    """Resolve `..` in a path without looking at the disk."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
