"""Reads submissions for a comparison: each repository's files and their fingerprints, on every core."""

from __future__ import annotations

import json
import multiprocessing
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course.skeleton import skeleton
from desk.git import GitError
from desk.gradebook import FILE, open_gradebook
from desk.pool import cores
from desk.roster import Row
from desk.similar import Prints, fingerprint, hash_given
from desk.tree import read_tree
from grading.errors import UsageError
from grading.manifest.load import load
from grading.manifest.model import Manifest, Status
from grading.render.progress import Watch
from grading.submission import source_files

ALONE = 8
"""Up to so many submissions are read without other processes: starting those takes as long."""
CHUNK = 8


@dataclass(frozen=True)
class Submitted:
    """What somebody has handed in last, of this class or of another."""

    key: str
    row: Row
    folder: Path
    """Of their class."""
    commit: str

    @property
    def repository(self) -> Path:
        """Where it was fetched to."""
        return self.folder / "repositories" / f"{self.row.id}.git"


@dataclass(frozen=True)
class ReadFiles:
    """A submission's own files, packed, and what their code is like."""

    packed: bytes
    prints: Prints

    @property
    def files(self) -> dict[str, str]:
        """Path → text."""
        found: dict[str, str] = json.loads(zlib.decompress(self.packed))
        return found


def list_submitted(folder: Path, prefix: str = "") -> list[Submitted]:
    """Whoever of a class has a repository there; UsageError without a gradebook, or without any repository."""
    with open_gradebook(folder / FILE) as book:
        visits, rows = book.visits(), book.students()
    commits = {row.id: visits[row.id].commit for row in rows if row.id in visits}
    found = [Submitted(prefix + row.id, row, folder, commit) for row in rows if (commit := commits.get(row.id))]
    there = [one for one in found if one.repository.is_dir()]
    if found and not there:
        raise UsageError(
            f"{folder / 'repositories'} holds none. Fetch them: inv collect --only fetch --folder {folder}"
        )
    return there


def read_submissions(root: Path, submitted: Sequence[Submitted], watch: Watch) -> dict[str, ReadFiles]:
    """By key; whoever's repository cannot be read is left out, and the report says what is wrong with it."""
    watch.phase(f"Reading {len(submitted)} submissions", len(submitted))
    found = {}
    for done, (key, read) in enumerate(_read_all(root, submitted), 1):
        watch.advance(done, key)
        if read is not None:
            found[key] = read
    return found


def _read_all(root: Path, submitted: Sequence[Submitted]) -> Iterator[tuple[str, ReadFiles | None]]:
    workers = min(cores(), len(submitted) // CHUNK)
    if len(submitted) <= ALONE or workers < 2:
        _prepare(root)
        yield from map(_read, submitted)
        return
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=start, initializer=_prepare, initargs=(root,)) as pool:
        yield from pool.map(_read, submitted, chunksize=CHUNK)


@dataclass(frozen=True)
class _Course:
    """What every reading needs."""

    manifest: Manifest
    given: Mapping[str, str]
    """The files as students get them."""
    known: np.ndarray
    """Their fingerprints."""


_course: _Course | None = None
"""Of this process: made once, not with every submission."""


def _prepare(root: Path) -> None:
    global _course
    manifest = load(root)
    modules = [m for m in manifest.modules if m.status is Status.BUILT]
    paths = [file.path for file in source_files(manifest, modules)]
    given = {p.as_posix(): skeleton((root / p).read_text("utf-8"), manifest, p) for p in paths}
    _course = _Course(manifest, given, hash_given(given.values()))


def _read(one: Submitted) -> tuple[str, ReadFiles | None]:
    """A commit's files of Python that differ from what was given; a link, or what is too large, is left out."""
    assert _course is not None
    try:
        handed_in = read_tree(one.repository, one.commit, _course.manifest).files
    except GitError:
        return one.key, None
    files = {}
    for path, given in _course.given.items():
        if (data := handed_in.get(path)) is not None:
            text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
            if text != given:
                files[path] = text
    prints = {path: fingerprint(text, _course.known) for path, text in files.items()}
    return one.key, ReadFiles(zlib.compress(json.dumps(files).encode()), prints)
