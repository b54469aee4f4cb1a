"""The sources of the site's records. They load one student at a time, so that a large class need not fit in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from desk.cohort import (
    CohortMember,
    CohortStudent,
    list_folder_students,
    list_students_with_fingerprints,
    load_member_from_folder,
    load_member_from_gradebook,
)
from desk.gradebook import open_gradebook
from desk.leaderboard import Ranking, rank_boards
from grading import progress


@dataclass(frozen=True)
class FingerprintedStudent:
    """A student with a digest that changes whenever their records may have changed."""

    student: CohortStudent
    fingerprint: str


class ClassSource(Protocol):
    """A source of records for the site. It can be pickled, since it is sent to other processes."""

    def list_students(self) -> Sequence[FingerprintedStudent]:
        """List every student in the class. Each kind of source must implement this."""

    def load_member(self, student: CohortStudent) -> CohortMember:
        """Load one student's records. Each kind of source must implement this."""

    def load_rankings(self) -> tuple[Ranking, ...]:
        """Load the leaderboard's boards; empty if this source has none. Each kind of source must implement this."""


@dataclass(frozen=True)
class FolderSource:
    """A source that reads records in `folder/STUDENT/progress/`, and perhaps a roster."""

    folder: Path
    roster: Path | None = None
    key: Path | None = None

    def list_students(self) -> Sequence[FingerprintedStudent]:
        """List the students of the roster, or else of the folders, and create a missing key for pseudonyms.

        Raise UsageError if the folder or the roster is invalid.
        """
        found = list_folder_students(self.folder, self.roster, key=self.key)
        return tuple(
            FingerprintedStudent(student, _compute_folder_fingerprint(self.folder / student.id / progress.FOLDER))
            for student in found
        )

    def load_member(self, student: CohortStudent) -> CohortMember:
        """Load one student's records from their folder, leaving out unreadable ones."""
        return load_member_from_folder(self.folder, student)

    def load_rankings(self) -> tuple[Ranking, ...]:
        """Return no boards, since published records were not measured on one machine."""
        return ()


@dataclass(frozen=True)
class GradebookSource:
    """A source that reads a class's gradebook: official results and published records."""

    path: Path

    def list_students(self) -> Sequence[FingerprintedStudent]:
        """List the enrolled students, and create a missing key for pseudonyms. Raise UsageError without a gradebook."""
        return tuple(
            FingerprintedStudent(student, fingerprint)
            for student, fingerprint in list_students_with_fingerprints(self.path)
        )

    def load_member(self, student: CohortStudent) -> CohortMember:
        """Load one student's records from the gradebook. It is opened each time, since this may be any process."""
        return load_member_from_gradebook(self.path, student)

    def load_rankings(self) -> tuple[Ranking, ...]:
        """Load the boards that `inv leaderboard` has measured, with only the students who agreed."""
        with open_gradebook(self.path) as book:
            return tuple(rank_boards(book))


def _compute_folder_fingerprint(folder: Path) -> str:
    """Compute a digest of the names, sizes, times and modes of a folder's files; return "" if it cannot be read."""
    told = hashlib.sha256()
    try:
        files = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return ""
    for entry in files:
        status = entry.stat(follow_symlinks=False)
        told.update(f"{entry.name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode}\n".encode())
    return told.hexdigest()
