"""Find who joined or left since the last collection, and who may be the same person under a different id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from desk.class_folder import format_folder_option
from desk.gradebook import FILE, Gradebook, open_gradebook
from desk.repository import normalize_repository
from desk.roster import RosterRow
from grading.errors import UsageError


@dataclass(frozen=True)
class SuspectedRename:
    """A new student who seems to be the same person as one who has left the roster."""

    old: str
    new: str
    because: str
    """What the two students have in common, such as the same repository."""


@dataclass(frozen=True)
class RosterChanges:
    """The differences between a roster and a gradebook."""

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    """The students who were enrolled until now but are no longer on the roster."""
    renamed: tuple[SuspectedRename, ...] = ()
    """The suspected renames of students who have left the roster, however long ago."""


SAME: tuple[tuple[str, Callable[[RosterRow], str | None]], ...] = (
    ("the same repository", lambda row: row.repository and normalize_repository(row.repository)),
    ("the same e-mail address", lambda row: row.email and row.email.casefold()),
    ("the same login in Canvas", lambda row: row.sis_login and row.sis_login.casefold()),
)
"""The columns that identify a student under a different id, most certain first."""


def compare_roster(book: Gradebook, rows: Sequence[RosterRow]) -> RosterChanges:
    """Find new, departed and apparently renamed students since the last collection; before the first one, find none."""
    before, joined = {row.id: (row, enrolled) for row, enrolled in book.list_known_students()}, book.read_renames()
    if not before:
        return RosterChanges()
    now = {row.id for row in rows}
    absent_rows = [row for row, _ in before.values() if row.id not in now and row.id not in joined]
    return RosterChanges(
        new=tuple(sorted(now - set(before))),
        gone=tuple(row.id for row in absent_rows if before[row.id][1]),
        renamed=tuple(_find_suspected_renames(absent_rows, rows)),
    )


def _find_suspected_renames(absent_rows: Sequence[RosterRow], rows: Sequence[RosterRow]) -> Iterator[SuspectedRename]:
    """Find students in the roster who seem to be the same person as a student who left it."""
    for row in absent_rows:
        for because, mark in SAME:
            same = next((one.id for one in rows if mark(row) and mark(one) == mark(row)), None)
            if same is not None:
                yield SuspectedRename(row.id, same, because)
                break


def describe_roster_changes(changes: RosterChanges, folder: Path) -> Iterator[str]:
    """Describe the changes in sentences, with the command to run if one is needed."""
    if changes.new:
        yield f"New on the roster since the last collection: {_join_names(changes.new)}."
    if changes.gone:
        yield f"No longer on the roster: {_join_names(changes.gone)}. What they handed in is kept."
    for one in changes.renamed:
        yield (
            f"{one.new} seems to be {one.old} under a new id: {one.because}. "
            f"If so, move the records: inv rename --old {one.old} --new {one.new}{format_folder_option(folder)}"
        )


def _join_names(names: Sequence[str], limit: int = 12) -> str:
    """Join up to `limit` names with commas, followed by the number of further names."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def rename_student(folder: Path, rows: Sequence[RosterRow], old_id: str, new_id: str) -> int:
    """Move all rows and the repository of a student who left the roster to one in it; return how many results moved.

    Raise UsageError if the old id is unknown or still in the roster, or if the new id is not in the roster.
    """
    now = {row.id for row in rows}
    with open_gradebook(folder / FILE) as book:
        known = {row.id for row, _ in book.list_known_students()}
        if old_id in now:
            raise UsageError(
                f"{old_id} is still in the roster. If these are not two people, change or delete that line first."
            )
        if new_id not in now:
            raise UsageError(f"{new_id} is not in the roster. Add the new id to it first.")
        if old_id not in known:
            raise UsageError(f"The gradebook has no student {old_id}. The table `student` lists its students.")
        moved = sum(grading.student == old_id for grading in book.list_gradings())
        book.rename_student(old_id, new_id, datetime.now(UTC))
    before, after = (folder / "repositories" / f"{name}.git" for name in (old_id, new_id))
    if before.is_dir() and not after.exists():  # it could be fetched again, but moving it is faster
        before.rename(after)
    return moved
