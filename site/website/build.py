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
from grading.manifest.load import load
from website.board_pages import board_pages
from website.class_pages import class_pages
from website.course_pages import course_pages, sources
from website.overview import overlook
from website.render import SITE, Files, Site, static_files
from website.source import Known, Source
from website.state import Made, State, write_state
from website.story import tell
from website.student_pages import student_pages
from website.summary import summarise
from website.target import begin, remove, sizes, write

ROOT = SITE.parent
CHUNK = 25
ALONE = 100
"""Up to this many students are rendered without further processes, since starting those takes as long."""

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
class Built:
    """What a build has done."""

    students: int
    """How many students are in the class."""
    rendered: int
    """How many students' pages were rendered again."""
    files: int
    """How many files the whole site has."""
    written: int
    """How many files were new or changed."""
    removed: int


def build(
    source: Source,
    target: Path,
    *,
    base_url: str | None = None,
    left_out: Sequence[str] = (),
    root: Path = ROOT,
    sections: bool = False,
    processes: int | None = None,
) -> Built:
    """Write the site of the class in `source`, and of the course at `root`, to the folder `target`.

    With `sections`, the site shows each student's section of the roster. Students whose ids are in `left_out` do not
    appear. UsageError for an unknown id, an invalid address, or a target with files that no build has written.
    ManifestError for an invalid manifest.
    """
    known = _without(source.known(), left_out)
    shown = {k.student.id: k.student for k in known}
    rankings = [r for r in source.rankings() if any(entry.student in shown for entry in r.entries)]
    site = Site(load(root), _address(base_url), bool(rankings))
    before = begin(target)
    there = sizes(target)
    maker = _Maker(site, target, before, there)

    manifest_digest = _digest([root / "milestones.yaml"], site.base_url or "", str(site.has_leaderboard))
    base = {kind: _digest(_files(kind), manifest_digest) for kind in TEMPLATES}
    wanted = {k.student.pseudonym: _text_digest(base["student"], k.mark, *_shown(k.student)) for k in known}
    _refuse_other_names(before, wanted, target)
    parts = {name: made for name, digest in wanted.items() if (made := maker.current(name, digest)) is not None}
    todo = [k for k in known if k.student.pseudonym not in parts]
    written = 0
    for name, made, count in _render_students(source, site, target, todo, wanted, processes):
        parts[name] = made
        written += count

    summaries = [parts[name].summary for name in wanted]
    where = {k.student.pseudonym: k.student.section for k in known if sections and k.student.section}
    class_digest = _text_digest(base["class"], *(repr(s) for s in summaries), repr(where))
    unlocked = sorted({one.milestone for summary in summaries if summary for one in summary.unlocked})
    course_digest = _digest(sources(root, site.manifest), base["course"], repr(unlocked))
    written += maker.part(parts, "static", base["course"], lambda: static_files(site.manifest.course.name))
    written += maker.part(parts, "course", course_digest, lambda: course_pages(root, site, unlocked))
    written += maker.part(
        parts,
        "class",
        class_digest,
        lambda: class_pages(overlook([s for s in summaries if s], site.manifest, where), site),
    )
    if rankings:
        digest = _text_digest(base["class"], repr(rankings), *(repr(_shown(student)) for student in shown.values()))
        written += maker.part(parts, "leaderboard", digest, lambda: board_pages(rankings, shown, site))
    state = State(parts)
    removed = remove(target, set(there) - state.files)
    write_state(target, state)
    return Built(len(known), len(todo), len(state.files), written, removed)


def _refuse_other_names(before: State, wanted: dict[str, str], target: Path) -> None:
    """Raise UsageError when every pseudonym differs: another key would break all addresses that students gave away."""
    known = {name for name, made in before.parts.items() if made.summary is not None}
    if len(known) > 1 and wanted and known.isdisjoint(wanted):
        raise UsageError(
            f"Every student would get another pseudonym, and each page of {target} another address. Was pseudonyms.key "
            "replaced? Restore it from a backup, or build into a folder that does not exist yet."
        )


class _Maker:
    """Builds parts of the site, but only those whose inputs or files have changed."""

    def __init__(self, site: Site, target: Path, before: State, there: dict[str, int]):
        self.site, self.target, self.before, self.there = site, target, before, there

    def current(self, name: str, digest: str) -> Made | None:
        """Find the part as an earlier build made it, if its inputs and files are unchanged."""
        made = self.before.parts.get(name)
        if made is None or made.digest != digest:
            return None
        return made if all(self.there.get(path) == size for path, size in made.files.items()) else None

    def part(self, parts: dict[str, Made], name: str, digest: str, make: Callable[[], Files]) -> int:
        """Build a part unless it is unchanged, and add it to `parts`; return how many files were written."""
        made = self.current(name, digest)
        if made is not None:
            parts[name] = made
            return 0
        files = make()
        parts[name] = Made(digest, {path: len(data) for path, data in files.items()})
        return write(self.target, files)


Rendered = tuple[str, Made, int]


def _render_students(
    source: Source, site: Site, target: Path, todo: Sequence[Known], wanted: dict[str, str], processes: int | None
) -> Iterator[Rendered]:
    """Render and write each student's part, in several processes when there are many students."""
    jobs = [[(k.student, wanted[k.student.pseudonym]) for k in todo[i : i + CHUNK]] for i in range(0, len(todo), CHUNK)]
    workers = min(processes or os.cpu_count() or 1, len(jobs))
    if len(todo) <= ALONE or workers == 1:
        for job in jobs:
            yield from _students(source, site, target, job)
        return
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=start, initializer=_prepare, initargs=(source, site, target)) as pool:
        for done in pool.map(_in_process, jobs):
            yield from done


def _students(source: Source, site: Site, target: Path, job: Sequence[tuple[CohortStudent, str]]) -> Iterator[Rendered]:
    """Render and write the parts of some students, each given with the digest of its inputs."""
    for student, digest in job:
        story = tell(source.member(student), site.manifest)
        files = student_pages(story, site)
        written = write(target, files)
        made = Made(digest, {path: len(data) for path, data in files.items()}, summarise(story, site.manifest))
        yield student.pseudonym, made, written


_shared: tuple[Source, Site, Path] | None = None
"""What all jobs of a process share, sent once and not with every job."""


def _prepare(source: Source, site: Site, target: Path) -> None:
    """Store in this process what all of its jobs share."""
    global _shared
    _shared = source, site, target


def _in_process(job: Sequence[tuple[CohortStudent, str]]) -> list[Rendered]:
    """Render some students in another process, which `_prepare` has prepared."""
    assert _shared is not None
    return list(_students(*_shared, job))


def _address(base_url: str | None) -> str | None:
    """Return the site's address with a slash at its end; UsageError for an invalid one."""
    if base_url is None:
        return None
    if not base_url.startswith(("https://", "http://")) or any(c in base_url for c in " \"'<>?#"):
        raise UsageError(f"{base_url} is not the address of a site. Write it like https://example.org/course/.")
    return base_url.rstrip("/") + "/"


def _without(known: Sequence[Known], left_out: Sequence[str]) -> list[Known]:
    """Return the students without those left out; UsageError for an unknown id."""
    ids = {k.student.id for k in known}
    if missing := sorted(set(left_out) - ids):
        raise UsageError(f"--leave-out: there is no student {missing[0]}. Write an id as in the roster.")
    return [k for k in known if k.student.id not in left_out]


def _shown(student: CohortStudent) -> tuple[str, ...]:
    """List what a student's pages show of the roster."""
    name, repository = (student.name or "", student.repository or "") if student.public else ("", "")
    return (student.pseudonym, name, repository if student.links else "")


def _files(kind: str) -> list[Path]:
    """List the code and templates that pages of this kind are made with."""
    patterns = (*CODE, *SHARED, *(f"site/templates/{name}.jinja" for name in TEMPLATES[kind]))
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()})


def _digest(files: Sequence[Path], *more: str) -> str:
    """Compute one digest of files and further texts."""
    told = hashlib.sha256()
    for path in files:
        told.update(hashlib.sha256(path.read_bytes()).digest())
    return _text_digest(told.hexdigest(), *more)


def _text_digest(*texts: str) -> str:
    """Compute one digest of texts."""
    told = hashlib.sha256()
    for text in texts:
        told.update(f"{len(text)}:{text}".encode())
    return told.hexdigest()
