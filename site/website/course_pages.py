"""The course's pages: lessons, milestones, troubleshooting."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from grading.errors import UsageError
from grading.manifest.model import BuildStatus, Criterion, CriterionKind, Manifest, Milestone, Module
from grading.render import words
from website.course_documents import DocumentSection, LinkConverter, render_trusted_document, split_document_sections
from website.page_renderer import SiteContext, SiteFiles

TROUBLESHOOTING = Path("docs/milestone-troubleshooting.md")
DOCUMENTS = {TROUBLESHOOTING: "troubleshooting.html", Path("docs/glossary.md"): "glossary.html"}
"""The pages in `docs/` that the site shows, and their names on the site."""


def render_course_pages(root: Path, site: SiteContext, unlocked: Collection[int] = ()) -> SiteFiles:
    """Render all files below course/; raise UsageError for a link in a document that leads nowhere on the site.

    ``unlocked`` are the milestones that at least one student has.
    """
    manifest = site.manifest
    built = list_built_modules(manifest)
    lessons = {module.id for module in built}
    topics = split_document_sections(
        (root / TROUBLESHOOTING).read_text("utf-8"), _make_link_converter(TROUBLESHOOTING, manifest)
    )
    files = {
        "course/index.html": site.render_page(
            "course.html.jinja", "course/index.html", lessons=lessons, unlocked=unlocked
        ),
    }
    for source, name in DOCUMENTS.items():
        page = render_trusted_document((root / source).read_text("utf-8"), _make_link_converter(source, manifest))
        files[f"course/{name}"] = site.render_page("document.html.jinja", f"course/{name}", page=page)
    pictures = _list_lesson_pictures(root, manifest)
    files |= {f"course/{name}": (root / path).read_bytes() for path, name in pictures.items()}
    for index, module in enumerate(built):
        path = f"course/{module.id}.html"
        files[path] = site.render_page(
            "lesson.html.jinja",
            path,
            module=module,
            page=render_trusted_document(
                (root / module.lesson).read_text("utf-8"), _make_link_converter(module.lesson, manifest, pictures)
            ),
            before=built[index - 1] if index else None,
            after=built[index + 1] if index + 1 < len(built) else None,
        )
    for milestone in manifest.milestones:
        path = f"course/milestone-{milestone.id}.html"
        files[path] = site.render_page(
            "milestone.html.jinja",
            path,
            m=milestone,
            lessons=lessons,
            kinds=[
                (words.KIND_NAMES[kind], found)
                for kind in CriterionKind
                if (found := _select_criteria(milestone, kind))
            ],
            topics=_select_troubleshooting_topics(milestone, topics),
        )
    return files


def list_built_modules(manifest: Manifest) -> list[Module]:
    """List the built modules: all except those that are only planned."""
    return [module for module in manifest.modules if module.status is BuildStatus.BUILT]


def list_course_files(root: Path, manifest: Manifest) -> list[Path]:
    """List the course's own files that its pages are built from, which leaves out the site's templates."""
    lessons = (module.lesson for module in list_built_modules(manifest))
    return [
        root / path for path in (Path("milestones.yaml"), *DOCUMENTS, *lessons, *_list_lesson_pictures(root, manifest))
    ]


def _select_criteria(milestone: Milestone, kind: CriterionKind) -> list[Criterion]:
    """Select the criteria of one kind."""
    return [criterion for criterion in milestone.criteria if criterion.kind is kind]


def _select_troubleshooting_topics(milestone: Milestone, topics: dict[str, DocumentSection]) -> list[DocumentSection]:
    """Select the known topics that the milestone lists, and then those that its criteria list, each once."""
    named = dict.fromkeys((*milestone.troubleshooting, *(c.topic for c in milestone.criteria if c.topic)))
    return [topics[anchor] for anchor in named if anchor in topics]


def _list_lesson_pictures(root: Path, manifest: Manifest) -> dict[Path, str]:
    """Map each SVG file in a lesson's figures/, relative to `root`, to its path below course/ on the site."""
    folders = {module: root / module.folder / "figures" for module in list_built_modules(manifest)}
    return {
        path.relative_to(root): f"{module.id}/{path.name}"
        for module, folder in folders.items()
        for path in sorted(folder.glob("*.svg"))
    }


def _make_link_converter(source: Path, manifest: Manifest, pictures: Mapping[Path, str] | None = None) -> LinkConverter:
    """Make the function that converts a document's relative links, or raises UsageError if a target is not on the site.

    It keeps complete addresses and links within the document.
    """
    pages: dict[str, str] = {m.lesson.as_posix(): f"{m.id}.html" for m in list_built_modules(manifest)}
    pages |= {path.as_posix(): name for path, name in DOCUMENTS.items()}
    pages |= {path.as_posix(): name for path, name in (pictures or {}).items()}

    def convert_link(address: str) -> str:
        """Convert a link between Markdown files to one between pages; raise UsageError if it leads to none."""
        if re.match(r"[a-z]+:|#", address):
            return address
        path, _, anchor = address.partition("#")
        where = _resolve_parent_folders(PurePosixPath(source.parent.as_posix(), path))
        if where not in pages:
            raise UsageError(f"{source.as_posix()}: the link to {address} leads to no page on the site. Fix it.")
        return pages[where] + (f"#{anchor}" if anchor else "")

    return convert_link


def _resolve_parent_folders(path: PurePosixPath) -> str:
    """Resolve `..` in a path without accessing the disk."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
