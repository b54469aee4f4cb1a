"""A class and its records, as the site reads them. They are immutable, sorted, and equal if the records are equal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from desk.gradebook import Gradebook, open_gradebook
from desk.pseudonyms import FILE, assign_pseudonyms, read_pseudonym_key
from desk.roster import RosterRow, read_roster
from desk.scores import find_preview_gradings, find_replaced_gradings
from grading import progress
from grading.errors import UsageError
from grading.github import ledger
from grading.grade import build_course_record
from grading.manifest.loader import load_manifest
from grading.progress import Event, Kind
from grading.quiz.student_id import normalize_student_id

ROOT = Path(__file__).resolve().parent.parent
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""The time that stands for the newest record of a cohort without records."""


@dataclass(frozen=True)
class CohortStudent:
    """One student of the class."""

    id: str
    """The roster's id, never shown outside the instructor's own reports."""
    name: str | None
    """The name, or None if the roster has none. The site shows it only if `public`."""
    section: str | None
    repository: str | None
    public: bool
    pseudonym: str
    """The pseudonym that the site uses for the student and the student's page, such as quiet-otter-40391."""
    links: bool = False
    """Whether the site may link to their repository."""


@dataclass(frozen=True)
class RecordEntry:
    """One record, and whether it is verified."""

    event: Event
    verified: bool
    reason: str | None
    """Why the record is not verified, as a clause; None if it is verified."""
    is_current: bool = True
    """Whether the record comes from the current version of the course, as far as that is known."""
    is_replaced: bool = False
    """Whether a regrade has replaced the record."""
    file: str | None = None
    """The record's path on the student's `progress` branch, if it was published."""


@dataclass(frozen=True)
class CohortMember:
    """A student with their records, ordered by the start and the number of the run."""

    student: CohortStudent
    entries: tuple[RecordEntry, ...]


@dataclass(frozen=True)
class Cohort:
    """A class: its members, ordered by student id."""

    course: str
    members: tuple[CohortMember, ...]
    made_at: datetime
    """The time of the newest record, never the current time."""


def load_cohort_from_folder(
    folder: Path, roster: Path | None = None, *, key: Path | None = None, root: Path = ROOT, thorough: bool = False
) -> Cohort:
    """Load the class from `folder/STUDENT/progress/*.json`, and create the key for pseudonyms if there is none.

    The `progress` branch has such a folder. `ledger.jsonl` next to the records shows which of them are unchanged since
    they were published; without it, no record is verified. With a `roster` (a CSV file), the members are its students;
    otherwise each folder is one member. `key` is the file that holds the secret for pseudonyms. It is `pseudonyms.key`
    in `folder` by default, and is created on first use. `thorough` also validates every result completely. Raise
    UsageError if the folder or roster is invalid, and ManifestError if the manifest is.
    """
    rows = _read_class_rows(folder, roster)
    entries = {row.id: tuple(_read_folder_entries(folder / row.id, thorough=thorough)) for row in rows}
    return build_cohort(rows, entries, read_pseudonym_key(key or folder / FILE), load_manifest(root).course.name)


def list_folder_students(
    folder: Path, roster: Path | None = None, *, key: Path | None = None
) -> tuple[CohortStudent, ...]:
    """List the roster's students, or else the folders with records, by id; create a missing key for pseudonyms."""
    return _build_students(_read_class_rows(folder, roster), read_pseudonym_key(key or folder / FILE))


def load_member_from_folder(folder: Path, student: CohortStudent, *, thorough: bool = False) -> CohortMember:
    """Load the records of one student of the class in a folder, leaving out unreadable ones."""
    return CohortMember(student, tuple(_read_folder_entries(folder / student.id, thorough=thorough)))


def load_cohort_from_gradebook(path: Path, *, key: Path | None = None, root: Path = ROOT) -> Cohort:
    """Load a gradebook's enrolled students with records and official results; create a missing key for pseudonyms.

    The records are those that were published. A result is verified unless a regrade has replaced it. `key` is
    `pseudonyms.key` next to the gradebook by default. Raise UsageError if there is no gradebook.
    """
    with open_gradebook(path) as book:
        rows = book.list_students()
        entries = {row.id: tuple(_list_gradebook_entries(book, row.id)) for row in rows}
    return build_cohort(rows, entries, read_pseudonym_key(key or path.parent / FILE), load_manifest(root).course.name)


def list_students_with_fingerprints(path: Path, *, key: Path | None = None) -> tuple[tuple[CohortStudent, str], ...]:
    """List enrolled students with a digest of course and data, "" for no data. Create a missing pseudonym key."""
    with open_gradebook(path) as book:
        rows, fingerprints = book.list_students(), book.compute_student_fingerprints()
    found = _build_students(rows, read_pseudonym_key(key or path.parent / FILE))
    today = _compute_course_digest()
    return tuple((student, today + fingerprints[student.id] if student.id in fingerprints else "") for student in found)


def load_member_from_gradebook(path: Path, student: CohortStudent) -> CohortMember:
    """Load one student of a gradebook with their records."""
    with open_gradebook(path) as book:
        return CohortMember(student, tuple(_list_gradebook_entries(book, student.id)))


def _list_gradebook_entries(book: Gradebook, student: str) -> list[RecordEntry]:
    """List a student's official results and published records, oldest first, without regrade previews."""
    found: list[tuple[datetime, int, RecordEntry]] = []
    hidden, replaced, today = (
        find_preview_gradings(book, student),
        find_replaced_gradings(book, student),
        _compute_course_digest(),
    )
    for id_, text in book.read_result_texts(student):
        if id_ in hidden:
            continue
        raw = json.loads(text)
        at = datetime.fromisoformat(raw["started_at"]).astimezone(UTC)
        event = Event(Kind.MILESTONE_ATTEMPTED, at, milestone=raw["milestone"], raw=raw)
        is_replaced, is_current = id_ in replaced, raw["course"]["digest"] == today
        reason = "a regrade by another version of the course has replaced it" if is_replaced else None
        found.append((at, 0, RecordEntry(event, not is_replaced, reason, is_current, is_replaced)))
    for record in book.read_records(student):
        event = progress.parse_event(record.event.encode())
        found.append(
            (event.at, record.run_id or 0, RecordEntry(event, record.reason is None, record.reason, file=record.file))
        )
    return [entry for *_, entry in sorted(found, key=lambda f: f[:2])]


@cache
def _compute_course_digest() -> str:
    """Compute the digest of the current version of the course."""
    return build_course_record(ROOT, load_manifest(ROOT)).digest


def build_cohort(
    rows: Iterable[RosterRow], entries: Mapping[str, tuple[RecordEntry, ...]], key: bytes, course: str
) -> Cohort:
    """Build the class from the rows of a roster and each student's records, keyed by id."""
    members = tuple(CohortMember(student, entries.get(student.id, ())) for student in _build_students(rows, key))
    newest = max((e.event.at for m in members for e in m.entries), default=NEVER)
    return Cohort(course, members, newest)


def _build_students(rows: Iterable[RosterRow], key: bytes) -> tuple[CohortStudent, ...]:
    """Turn rows of a roster into students with pseudonyms, sorted by id."""
    ordered = sorted(rows, key=lambda row: row.id)
    names = assign_pseudonyms((row.id for row in ordered), key)
    return tuple(CohortStudent(r.id, r.name, r.section, r.repository, r.public, names[r.id], r.links) for r in ordered)


def _read_class_rows(folder: Path, roster: Path | None) -> tuple[RosterRow, ...]:
    """Read the roster's rows; without a roster, make one row for each folder that holds records."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder. Give the folder that contains one folder for each student.")
    return tuple(_list_folder_rows(folder)) if roster is None else read_roster(roster).rows


def _list_folder_rows(folder: Path) -> Iterator[RosterRow]:
    """Make a row for each visible folder with records. Raise UsageError if its name is not a valid student id."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and (path / progress.FOLDER).is_dir():
            yield RosterRow(normalize_student_id(path.name))


def _read_folder_entries(folder: Path, *, thorough: bool) -> Iterator[RecordEntry]:
    """Read the records in one student's folder, leaving out unreadable ones."""
    files: dict[str, bytes | None] = {}
    for path in sorted((folder / progress.FOLDER).glob("*.json")):
        try:
            files[path.relative_to(folder).as_posix()] = progress.read_regular_file(path)
        except (OSError, ValueError):  # not a regular file of reasonable size
            continue
    try:
        lines = ledger.split_ledger_lines(progress.read_regular_file(folder / ledger.LEDGER_FILE))
    except (OSError, ValueError):
        lines = []
    for found in ledger.verify_ledger_records(lines, files, check_results=thorough):
        if found.event is not None:
            yield RecordEntry(found.event, found.verified, found.reason, file=found.file)
