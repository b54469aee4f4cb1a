"""Builds the site: renders only the parts whose inputs have changed, and writes only the files that differ."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from desk.cohort import CohortStudent
from grading.errors import UsageError
from grading.manifest.loader import load_manifest
from website.board_pages import render_board_pages
from website.build_state import BuildState, BuiltPart, write_build_state
from website.class_overview import build_class_overview
from website.class_pages import render_class_pages
from website.class_sources import ClassSource, FingerprintedStudent
from website.course_pages import list_course_files, render_course_pages
from website.page_renderer import SITE, SiteContext, SiteFiles, load_static_files
from website.site_folder import list_file_sizes, read_or_create_site_state, remove_old_files, write_changed_files
from website.student_pages import render_student_pages
from website.student_story import build_student_story
from website.student_summary import summarize_story

ROOT = SITE.parent
CHUNK = 25
ALONE = 100
"""The number of students up to which no further processes are started, since that would take as long as rendering."""

CODE = (
    "site/website/*.py",
    "grading/*.py",
    "grading/render/*",
    "grading/manifest/*.py",
    "desk/cohort.py",
    "desk/scores.py",
    "desk/leaderboard.py",
    "desk/stuck.py",
    "desk/item_statistics.py",
)
SHARED = ("site/templates/base.html.jinja", "site/templates/parts.jinja", "site/static/*")
TEMPLATES = {
    "student": ("timeline.html", "portfolio.html", "feed.xml"),
    "class": ("index.html", "class.html", "students.html", "student_row", "items.html", "leaderboard.html"),
    "course": ("course.html", "document.html", "lesson.html", "milestone.html"),
}


@dataclass(frozen=True)
class BuildSummary:
    """What a build did."""

    students: int
    """The number of students in the class."""
    rendered: int
    """The number of students whose pages were rendered again."""
    files: int
    """The number of files on the entire site."""
    written: int
    """The number of files that were new or changed."""
    removed: int


def build_site(
    source: ClassSource,
    target: Path,
    *,
    base_url: str | None = None,
    left_out: Sequence[str] = (),
    root: Path = ROOT,
    sections: bool = False,
    processes: int | None = None,
) -> BuildSummary:
    """Bring the class's site in the folder `target` up to date: write the pages that have changed, and remove old ones.

    The site shows the class in `source` and the course at `root`. With `sections`, it shows each student's section from
    the roster. Students whose ids are in `left_out` do not appear. Raise UsageError for an unknown id, an invalid
    address, or a target with files that no build has written, and ManifestError for an invalid manifest.
    """
    known = _remove_left_out_students(source.list_students(), left_out)
    shown = {k.student.id: k.student for k in known}
    rankings = [r for r in source.load_rankings() if any(entry.student in shown for entry in r.entries)]
    site = SiteContext(load_manifest(root), _normalize_base_url(base_url), bool(rankings))
    before = read_or_create_site_state(target)
    there = list_file_sizes(target)
    part_builder = _PartBuilder(site, target, before, there)

    manifest_digest = _compute_digest([root / "milestones.yaml"], site.base_url or "", str(site.has_leaderboard))
    base = {kind: _compute_digest(_list_input_files(kind), manifest_digest) for kind in TEMPLATES}
    digests = {
        k.student.pseudonym: _compute_text_digest(base["student"], k.fingerprint, *_list_shown_roster_values(k.student))
        for k in known
    }
    _require_any_known_pseudonym(before, digests, target)
    parts = {
        name: made
        for name, digest in digests.items()
        if (made := part_builder.find_unchanged_part(name, digest)) is not None
    }
    todo = [k for k in known if k.student.pseudonym not in parts]
    written = 0
    for name, made, count in _render_changed_students(source, site, target, todo, digests, processes):
        parts[name] = made
        written += count

    summaries = [parts[name].summary for name in digests]
    where = {k.student.pseudonym: k.student.section for k in known if sections and k.student.section}
    class_digest = _compute_text_digest(base["class"], *(repr(s) for s in summaries), repr(where))
    unlocked = sorted({one.milestone for summary in summaries if summary for one in summary.unlocked})
    course_digest = _compute_digest(list_course_files(root, site.manifest), base["course"], repr(unlocked))
    written += part_builder.build_part(
        parts, "static", base["course"], lambda: load_static_files(site.manifest.course.name)
    )
    written += part_builder.build_part(
        parts, "course", course_digest, lambda: render_course_pages(root, site, unlocked)
    )
    written += part_builder.build_part(
        parts,
        "class",
        class_digest,
        lambda: render_class_pages(build_class_overview([s for s in summaries if s], site.manifest, where), site),
    )
    if rankings:
        digest = _compute_text_digest(
            base["class"], repr(rankings), *(repr(_list_shown_roster_values(student)) for student in shown.values())
        )
        written += part_builder.build_part(
            parts, "leaderboard", digest, lambda: render_board_pages(rankings, shown, site)
        )
    state = BuildState(parts)
    removed = remove_old_files(target, set(there) - state.files)
    write_build_state(target, state)
    return BuildSummary(len(known), len(todo), len(state.files), written, removed)


def _require_any_known_pseudonym(state_before: BuildState, digests: dict[str, str], target: Path) -> None:
    """Raise UsageError if all pseudonyms (two or more) have changed, since that breaks every shared address."""
    known = {name for name, made in state_before.parts.items() if made.summary is not None}
    if len(known) > 1 and digests and known.isdisjoint(digests):
        raise UsageError(
            f"Every student would get a new pseudonym, and each page of {target} would get a new address. Was "
            "pseudonyms.key replaced? Restore it from a backup, or build into a folder that does not exist yet."
        )


class _PartBuilder:
    """Builds parts of the site, but only those whose inputs or files have changed."""

    def __init__(self, site: SiteContext, target: Path, before: BuildState, there: dict[str, int]):
        self.site, self.target, self.before, self.there = site, target, before, there

    def find_unchanged_part(self, name: str, digest: str) -> BuiltPart | None:
        """Find the part that an earlier build made, if its inputs and the sizes of its files are unchanged."""
        made = self.before.parts.get(name)
        if made is None or made.digest != digest:
            return None
        return made if all(self.there.get(path) == size for path, size in made.files.items()) else None

    def build_part(self, parts: dict[str, BuiltPart], name: str, digest: str, make: Callable[[], SiteFiles]) -> int:
        """Build a part unless it is unchanged, and add it to `parts`; return how many files were written."""
        made = self.find_unchanged_part(name, digest)
        if made is not None:
            parts[name] = made
            return 0
        files = make()
        parts[name] = BuiltPart(digest, {path: len(data) for path, data in files.items()})
        return write_changed_files(self.target, files)


RenderedStudent = tuple[str, BuiltPart, int]


def _render_changed_students(
    source: ClassSource,
    site: SiteContext,
    target: Path,
    todo: Sequence[FingerprintedStudent],
    digests: dict[str, str],
    processes: int | None,
) -> Iterator[RenderedStudent]:
    """Write the students' pages, in parallel if many; yield each pseudonym, part and number of files written."""
    jobs = [
        [(k.student, digests[k.student.pseudonym]) for k in todo[i : i + CHUNK]] for i in range(0, len(todo), CHUNK)
    ]
    workers = min(processes or os.cpu_count() or 1, len(jobs))
    if len(todo) <= ALONE or workers == 1:
        for job in jobs:
            yield from _render_student_batch(source, site, target, job)
        return
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=start, initializer=_share_inputs_with_jobs, initargs=(source, site, target)
    ) as pool:
        for done in pool.map(_render_batch_as_job, jobs):
            yield from done


def _render_student_batch(
    source: ClassSource, site: SiteContext, target: Path, job: Sequence[tuple[CohortStudent, str]]
) -> Iterator[RenderedStudent]:
    """Write the pages of students given with their digests; yield each pseudonym, part and number of files written."""
    for student, digest in job:
        story = build_student_story(source.load_member(student), site.manifest)
        files = render_student_pages(story, site)
        written = write_changed_files(target, files)
        made = BuiltPart(
            digest, {path: len(data) for path, data in files.items()}, summarize_story(story, site.manifest)
        )
        yield student.pseudonym, made, written


_shared: tuple[ClassSource, SiteContext, Path] | None = None
"""The inputs that all jobs of a process share, which are sent once instead of with every job."""


def _share_inputs_with_jobs(source: ClassSource, site: SiteContext, target: Path) -> None:
    """Store the source, the site and the target folder in this process, for every job that it will run."""
    global _shared
    _shared = source, site, target


def _render_batch_as_job(job: Sequence[tuple[CohortStudent, str]]) -> list[RenderedStudent]:
    """Write some students' parts. Only for a process that `_share_inputs_with_jobs` has prepared."""
    assert _shared is not None
    return list(_render_student_batch(*_shared, job))


def _normalize_base_url(base_url: str | None) -> str | None:
    """Return the site's address with a slash at its end; raise UsageError for an invalid one."""
    if base_url is None:
        return None
    if not base_url.startswith(("https://", "http://")) or any(c in base_url for c in " \"'<>?#"):
        raise UsageError(f"{base_url} is not the address of a site. Write it like https://example.org/course/.")
    return base_url.rstrip("/") + "/"


def _remove_left_out_students(
    students: Sequence[FingerprintedStudent], left_out: Sequence[str]
) -> list[FingerprintedStudent]:
    """Return the students without those left out; raise UsageError for an unknown id."""
    ids = {k.student.id for k in students}
    if missing := sorted(set(left_out) - ids):
        raise UsageError(f"--leave-out: there is no student {missing[0]}. Use an id from the roster.")
    return [k for k in students if k.student.id not in left_out]


def _list_shown_roster_values(student: CohortStudent) -> tuple[str, ...]:
    """Return the pseudonym, name and repository that a student's pages may show, with "" for what they may not."""
    name, repository = (student.name or "", student.repository or "") if student.public else ("", "")
    return (student.pseudonym, name, repository if student.links else "")


def _list_input_files(kind: str) -> list[Path]:
    """List the code and templates that pages of this kind depend on."""
    patterns = (*CODE, *SHARED, *(f"site/templates/{name}.jinja" for name in TEMPLATES[kind]))
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()})


def _compute_digest(files: Sequence[Path], *more: str) -> str:
    """Compute one digest of files and additional texts."""
    told = hashlib.sha256()
    for path in files:
        told.update(hashlib.sha256(path.read_bytes()).digest())
    return _compute_text_digest(told.hexdigest(), *more)


def _compute_text_digest(*texts: str) -> str:
    """Compute one digest of several texts."""
    told = hashlib.sha256()
    for text in texts:
        told.update(f"{len(text)}:{text}".encode())
    return told.hexdigest()
