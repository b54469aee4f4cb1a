"""Read submissions for a comparison: each repository's files and their fingerprints, on all cores."""

from __future__ import annotations

import json
import multiprocessing
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from course.skeleton import make_skeleton
from desk.git import GitError
from desk.gradebook import FILE, open_gradebook
from desk.pool import count_available_cores
from desk.roster import RosterRow
from desk.similar import FileFingerprints, fingerprint_code, hash_given_code
from desk.submission_tree import read_commit_tree
from grading.errors import UsageError
from grading.manifest.loader import load_manifest
from grading.manifest.model import BuildStatus, Manifest
from grading.render.progress_watch import ProgressWatch
from grading.submission import list_source_files

ALONE = 8
"""The number of submissions up to which one process is used, since starting more processes would take as long."""
CHUNK = 8


@dataclass(frozen=True)
class LatestSubmission:
    """A student's latest submission, in this class or another one."""

    key: str
    row: RosterRow
    folder: Path
    """The folder of the student's class."""
    commit: str

    @property
    def repository(self) -> Path:
        """The repository into which the submission was fetched."""
        return self.folder / "repositories" / f"{self.row.id}.git"


@dataclass(frozen=True)
class SubmissionFiles:
    """The files of a submission that differ from the released ones, in packed form, and their fingerprints."""

    packed: bytes
    prints: FileFingerprints

    @property
    def files(self) -> dict[str, str]:
        """The files' texts, keyed by path."""
        found: dict[str, str] = json.loads(zlib.decompress(self.packed))
        return found


def list_latest_submissions(folder: Path, prefix: str = "") -> list[LatestSubmission]:
    """List the latest submissions whose repositories are still here; raise UsageError if all repositories are missing.

    Each key is ``prefix`` and the student's id.
    """
    with open_gradebook(folder / FILE) as book:
        visits, rows = book.read_visits(), book.list_students()
    commits = {row.id: visits[row.id].commit for row in rows if row.id in visits}
    found = [LatestSubmission(prefix + row.id, row, folder, commit) for row in rows if (commit := commits.get(row.id))]
    there = [one for one in found if one.repository.is_dir()]
    if found and not there:
        raise UsageError(
            f"{folder / 'repositories'} has no repositories. Fetch them: inv collect --only fetch --folder {folder}"
        )
    return there


def read_submissions(
    root: Path, submitted: Sequence[LatestSubmission], watch: ProgressWatch
) -> dict[str, SubmissionFiles]:
    """Map each submission's key to its changed files. Unreadable ones are left out; the class report states why."""
    watch.begin_phase(f"Reading {len(submitted)} submissions", len(submitted))
    found = {}
    for done, (key, read) in enumerate(_read_in_processes(root, submitted), 1):
        watch.report_steps_done(done, key)
        if read is not None:
            found[key] = read
    return found


def _read_in_processes(
    root: Path, submitted: Sequence[LatestSubmission]
) -> Iterator[tuple[str, SubmissionFiles | None]]:
    """Read submissions in several processes or, if there are few submissions, in this process."""
    workers = min(count_available_cores(), len(submitted) // CHUNK)
    if len(submitted) <= ALONE or workers < 2:
        _load_course_code_into_process(root)
        yield from map(_read_submission, submitted)
        return
    start = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        workers, mp_context=start, initializer=_load_course_code_into_process, initargs=(root,)
    ) as pool:
        yield from pool.map(_read_submission, submitted, chunksize=CHUNK)


@dataclass(frozen=True)
class _CourseCode:
    """The parts of the course that are needed to read a submission."""

    manifest: Manifest
    given: Mapping[str, str]
    """The files as released to students."""
    known: np.ndarray
    """Their fingerprints."""


_course: _CourseCode | None = None
"""The course's code, loaded once per process instead of for every submission."""


def _load_course_code_into_process(root: Path) -> None:
    """Load the course's files and fingerprints into this process."""
    global _course
    manifest = load_manifest(root)
    modules = [m for m in manifest.modules if m.status is BuildStatus.BUILT]
    paths = [file.path for file in list_source_files(manifest, modules)]
    given = {p.as_posix(): make_skeleton((root / p).read_text("utf-8"), manifest, p) for p in paths}
    _course = _CourseCode(manifest, given, hash_given_code(given.values()))


def _read_submission(submission: LatestSubmission) -> tuple[str, SubmissionFiles | None]:
    """Return the key and the Python files that differ from the released ones, or None if the commit is unreadable.

    Links and oversized files are left out.
    """
    assert _course is not None
    try:
        handed_in = read_commit_tree(submission.repository, submission.commit, _course.manifest).files
    except GitError:
        return submission.key, None
    files = {}
    for path, given in _course.given.items():
        if (data := handed_in.get(path)) is not None:
            text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
            if text != given:
                files[path] = text
    prints = {path: fingerprint_code(text, _course.known) for path, text in files.items()}
    return submission.key, SubmissionFiles(zlib.compress(json.dumps(files).encode()), prints)
