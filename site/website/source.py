"""Where records come from: one student at a time, so that a large class never stands in memory whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from desk.cohort import Member, Student, booked, enrolled, member, students
from desk.gradebook import open_gradebook
from desk.leaderboard import Ranking, rank_boards
from grading import progress


@dataclass(frozen=True)
class Known:
    """A student, and a mark that changes whenever their records may have."""

    student: Student
    mark: str


class Source(Protocol):
    """What the site is built from. It goes to other processes, so it can be pickled."""

    def known(self) -> Sequence[Known]:
        """Every student of the class."""

    def member(self, student: Student) -> Member:
        """One student's records."""

    def rankings(self) -> tuple[Ranking, ...]:
        """The leaderboard's boards."""


@dataclass(frozen=True)
class Folder:
    """Records in `folder/STUDENT/progress/`, and perhaps a roster."""

    folder: Path
    roster: Path | None = None
    key: Path | None = None

    def known(self) -> Sequence[Known]:
        """By the roster, or by the folders; UsageError when either is wrong."""
        found = students(self.folder, self.roster, key=self.key)
        return tuple(Known(student, _mark(self.folder / student.id / progress.FOLDER)) for student in found)

    def member(self, student: Student) -> Member:
        """Read from the student's folder."""
        return member(self.folder, student)

    def rankings(self) -> tuple[Ranking, ...]:
        """None: published records are no runs of one machine."""
        return ()


@dataclass(frozen=True)
class Book:
    """Records in a class's gradebook: official results, and what was published."""

    path: Path

    def known(self) -> Sequence[Known]:
        """Who is enrolled; UsageError when there is no gradebook."""
        return tuple(Known(student, mark) for student, mark in enrolled(self.path))

    def member(self, student: Student) -> Member:
        """Read from the gradebook, which is opened each time: no connection goes to another process."""
        return booked(self.path, student)

    def rankings(self) -> tuple[Ranking, ...]:
        """What `inv leaderboard` has measured."""
        with open_gradebook(self.path) as book:
            return tuple(rank_boards(book))


def _mark(folder: Path) -> str:
    """Names, sizes and times of a folder's files, as git looks at them: what is unchanged there is not read again."""
    told = hashlib.sha256()
    try:
        files = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return ""
    for entry in files:
        status = entry.stat(follow_symlinks=False)
        told.update(f"{entry.name}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode}\n".encode())
    return told.hexdigest()
