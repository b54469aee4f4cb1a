"""The gradebook: one SQLite file that only grows. docs/gradebook.md explains its tables."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from desk.class_folder import make_class_folder
from desk.pushes import Push
from desk.roster import RosterRow, parse_extension_days
from grading.errors import GraderError, UsageError
from grading.render.record import encode_result
from grading.result import CriterionStatus, Result
from grading.scoring import compute_score_share

FILE = "gradebook.sqlite"
"""The name of the gradebook's file in the class's folder."""
SCHEMA = Path(__file__).with_name("schema")
APPLICATION = 0x54544742
"""The application id in the headers of our SQLite files: TTGB."""


@dataclass(frozen=True)
class Visit:
    """The state of a student's repository at the last collection."""

    student: str
    at: datetime
    branch: str | None = None
    commit: str | None = None
    records: str | None = None
    """The commit to which the `progress` branch pointed."""
    problem: str | None = None


@dataclass(frozen=True)
class Grading:
    """One official result, without the record itself."""

    id: str
    student: str
    milestone: int
    commit: str
    submission_digest: str
    course_digest: str
    started_at: datetime
    verdict: str
    met: int
    criteria: int
    share: float
    """The share of the course's points that the result earned, 0 to 1."""


@dataclass(frozen=True)
class CommitSubmission:
    """The submission in a commit for one milestone, under one version of the course."""

    student: str
    commit: str
    course_digest: str
    milestone: int
    submission_digest: str | None
    """The submission's digest; None if the milestone is not begun, which means that its recipe is still as released."""


@dataclass(frozen=True)
class PublishedRecord:
    """One record from a student's `progress` branch."""

    student: str
    file: str
    at: datetime
    run_id: int | None
    event: str
    """The event as JSON, which `grading.progress.parse_event` reads."""
    reason: str | None
    """Why the record is not verified; None if it is verified."""


class Gradebook:
    """An open gradebook. Every method that writes runs one transaction, which is on disk when the method returns."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def set_enrolled_students(self, rows: Iterable[RosterRow]) -> None:
        """Enroll the roster's students; all other students are kept but are no longer enrolled."""
        names = [f.name for f in fields(RosterRow)]
        values = ", ".join("?" * (len(names) + 1))
        changed = ", ".join(f"{name} = excluded.{name}" for name in [*names[1:], "enrolled"])
        with self.open_transaction() as db:
            db.execute("UPDATE student SET enrolled = 0")
            db.executemany(
                f"INSERT INTO student ({', '.join(names)}, enrolled) VALUES ({values}) "  # noqa: S608 - names of ours
                f"ON CONFLICT (id) DO UPDATE SET {changed}",
                [(*_convert_student_to_cells(row), 1) for row in rows],
            )

    def list_students(self) -> tuple[RosterRow, ...]:
        """List the enrolled students, sorted by id."""
        names = [f.name for f in fields(RosterRow)]
        found = self._db.execute(f"SELECT {', '.join(names)} FROM student WHERE enrolled ORDER BY id")  # noqa: S608
        return tuple(_convert_database_row_to_student(dict(zip(names, row, strict=True))) for row in found)

    def list_known_students(self) -> tuple[tuple[RosterRow, bool], ...]:
        """List every student in the gradebook, sorted by id, and whether each is still enrolled."""
        names = [f.name for f in fields(RosterRow)]
        found = self._db.execute(f"SELECT enrolled, {', '.join(names)} FROM student ORDER BY id")  # noqa: S608
        return tuple(
            (_convert_database_row_to_student(dict(zip(names, cells, strict=True))), bool(enrolled))
            for enrolled, *cells in found
        )

    def rename_student(self, old_id: str, new_id: str, at: datetime) -> None:
        """Move all rows from one student id to another, dropping any whose key is taken there, and save the rename."""
        with self.open_transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO renamed (old, new, at) VALUES (?, ?, ?)",
                (old_id, new_id, format_sortable_utc_time(at)),
            )
            apply_recorded_renames(db)

    def read_renames(self) -> dict[str, str]:
        """Map each earlier id to the id to which its records were moved."""
        return dict(self._db.execute("SELECT old, new FROM renamed ORDER BY at"))

    def save_visit(self, visit: Visit) -> None:
        """Save what was found in a repository, replacing the findings of the previous visit."""
        with self.open_transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO visit (student, at, branch, commit_sha, records_sha, problem) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (visit.student, format_sortable_utc_time(visit.at), *astuple(visit)[2:]),
            )

    def read_visits(self) -> dict[str, Visit]:
        """Map each student to what was last found in their repository."""
        columns = "student, at, branch, commit_sha, records_sha, problem"
        found = self._db.execute(f"SELECT {columns} FROM visit ORDER BY student")  # noqa: S608 - names of ours
        return {row[0]: Visit(row[0], parse_time(row[1]), *row[2:]) for row in found}

    def save_pushes(self, student: str, pushes: Iterable[Push]) -> None:
        """Save pushes, skipping any that are already saved."""
        rows = [(student, p.branch, p.commit, format_sortable_utc_time(p.at), p.source) for p in pushes]
        with self.open_transaction() as db:
            db.executemany(
                "INSERT OR IGNORE INTO push (student, branch, commit_sha, at, source) VALUES (?, ?, ?, ?, ?)", rows
            )

    def read_pushes(self) -> dict[str, tuple[Push, ...]]:
        """Map each student to their pushes, oldest first."""
        found: dict[str, list[Push]] = {}
        for student, branch, commit, at, source in self._db.execute(
            "SELECT student, branch, commit_sha, at, source FROM push ORDER BY student, at, commit_sha"
        ):
            found.setdefault(student, []).append(Push(branch, commit, parse_time(at), source))
        return {student: tuple(pushes) for student, pushes in found.items()}

    def save_submissions(self, handed_in: Iterable[CommitSubmission]) -> None:
        """Save submissions, replacing those of the same student, commit, milestone and version of the course."""
        with self.open_transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO handed_in (student, commit_sha, course_digest, milestone, submission_digest) "
                "VALUES (?, ?, ?, ?, ?)",
                [astuple(one) for one in handed_in],
            )

    def list_submissions(self) -> tuple[CommitSubmission, ...]:
        """List the submissions in every examined commit, including milestones that were not begun (digest None)."""
        columns = "student, commit_sha, course_digest, milestone, submission_digest"
        found = self._db.execute(f"SELECT {columns} FROM handed_in")  # noqa: S608 - names of ours
        return tuple(CommitSubmission(*row) for row in found)

    def save_result(self, student: str, result: Result) -> None:
        """Save an official result unless it is already saved.

        Raise ValueError if it has no milestone or no commit.
        """
        if result.milestone is None or result.submission.commit is None:
            raise ValueError("a result in the gradebook must have a milestone and a commit")
        text = encode_result(result)
        row = (
            hashlib.sha256(f"{student}\0{text}".encode()).hexdigest(),
            student,
            result.milestone,
            result.submission.commit,
            result.submission.digest,
            result.course.digest,
            format_sortable_utc_time(result.started_at),
            result.verdict.value,
            sum(c.status is CriterionStatus.PASSED for c in result.criteria),
            len(result.criteria),
            text,
            compute_score_share(result),
        )
        course = (result.course.digest, result.course.name, result.course.version)
        with self.open_transaction() as db:
            db.execute("INSERT OR IGNORE INTO course (digest, name, version) VALUES (?, ?, ?)", course)
            db.execute(f"INSERT OR IGNORE INTO grading VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608

    def list_gradings(self, student: str | None = None) -> tuple[Grading, ...]:
        """List all official results, or those of one student, sorted by student, milestone and time."""
        whose, values = _build_student_filter(student)
        columns = (
            "id, student, milestone, commit_sha, submission_digest, course_digest, started_at, verdict, met, criteria, "
            "share"
        )
        order = "ORDER BY student, milestone, started_at, id"
        found = self._db.execute(f"SELECT {columns} FROM grading {whose} {order}", values)  # noqa: S608
        return tuple(_convert_row_to_grading(row) for row in found)

    def read_result_texts(self, student: str | None = None) -> Iterator[tuple[str, str]]:
        """Yield (id, JSON) for all official results, or for those of one student, in the order of `list_gradings`."""
        whose, values = _build_student_filter(student)
        order = "ORDER BY student, milestone, started_at, id"
        yield from self._db.execute(f"SELECT id, result FROM grading {whose} {order}", values)  # noqa: S608

    def load_result(self, id_: str) -> Result:
        """Load the complete record of a result; raise KeyError if there is none."""
        row = self._db.execute("SELECT result FROM grading WHERE id = ?", (id_,)).fetchone()
        if row is None:
            raise KeyError(id_)
        return Result.model_validate_json(row[0])

    def save_records(self, student: str, records: Iterable[PublishedRecord]) -> None:
        """Save all records on the student's branch; stored records that are no longer there become unverified."""
        with self.open_transaction() as db:
            db.execute(
                "UPDATE record SET reason = coalesce(reason, 'it is gone from the branch progress') WHERE student = ?",
                (student,),
            )
            db.executemany(
                "INSERT INTO record (student, file, at, run_id, event, reason) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (student, file) DO UPDATE SET at = excluded.at, run_id = excluded.run_id, "
                "event = excluded.event, reason = excluded.reason",
                [(student, r.file, format_sortable_utc_time(r.at), r.run_id, r.event, r.reason) for r in records],
            )

    def read_records(self, student: str | None = None) -> Iterator[PublishedRecord]:
        """Read all published records, or those of one student, sorted by student and time."""
        whose, values = _build_student_filter(student)
        columns = "student, file, at, run_id, event, reason"
        order = "ORDER BY student, at, coalesce(run_id, 0), file"
        for row in self._db.execute(f"SELECT {columns} FROM record {whose} {order}", values):  # noqa: S608
            yield PublishedRecord(row[0], row[1], parse_time(row[2]), *row[3:])

    def compute_student_fingerprints(self) -> dict[str, str]:
        """Map each student with results, records or regrades to a digest that changes when any of these change."""
        told: dict[str, Any] = {}
        for query in (
            "SELECT student, id FROM grading ORDER BY student, id",
            "SELECT student, file, at, run_id, length(event), reason FROM record ORDER BY student, file",
            # A regrade changes which of their results count.
            "SELECT student.id, regrade.* FROM student, regrade ORDER BY student.id, regrade.at",
        ):
            for row in self._db.execute(query):
                told.setdefault(row[0], hashlib.sha256()).update(repr(row).encode())
        return {student: digest.hexdigest() for student, digest in told.items()}

    @contextmanager
    def open_transaction_with_shard(self, shard_path: Path) -> Iterator[sqlite3.Connection]:
        """Open a transaction in which SQL can also use the tables of another gradebook, as `shard.TABLE`."""
        self._db.execute("ATTACH ? AS shard", (_build_database_uri(shard_path),))
        try:
            with self.open_transaction() as db:
                # Replaced rows are missing for a moment, so foreign keys are checked at the end.
                db.execute("PRAGMA defer_foreign_keys = ON")
                yield db
        finally:
            self._db.execute("DETACH shard")

    def run_query(self, query: str, values: tuple[object, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that an SQL query selects. The query does not run until the first row is requested."""
        yield from self._db.execute(query, values)

    @contextmanager
    def open_transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that is on disk when the block ends, and rolled back if the block fails."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


OF_STUDENTS = ("push", "handed_in", "grading", "record", "visit", "override", "rerun")
"""The tables whose rows belong to individual students."""


def apply_recorded_renames(db: sqlite3.Connection) -> None:
    """Move the rows of renamed students within the caller's transaction, dropping any whose key is taken.

    The earlier id is no longer enrolled. A second call changes nothing.
    """
    db.execute("PRAGMA defer_foreign_keys = ON")
    for old, new in db.execute("SELECT old, new FROM renamed ORDER BY at").fetchall():
        names = ", ".join(f.name for f in fields(RosterRow) if f.name != "id")
        db.execute(
            f"INSERT OR IGNORE INTO student (id, {names}, enrolled) "  # noqa: S608 - names of ours
            f"SELECT ?, {names}, enrolled FROM student WHERE id = ?",
            (new, old),
        )
        db.execute("UPDATE student SET enrolled = 0 WHERE id = ?", (old,))
        for table in OF_STUDENTS:
            db.execute(f"UPDATE OR IGNORE {table} SET student = ? WHERE student = ?", (new, old))  # noqa: S608
            db.execute(f"DELETE FROM {table} WHERE student = ?", (old,))  # noqa: S608 - the same row is there


def open_gradebook(path: Path, *, make: bool = False) -> Gradebook:
    """Open the gradebook in this file, and upgrade it to this version. With `make`, create it if it is missing.

    Raise UsageError if there is no gradebook, if the file is something else, or if a later version of the course wrote
    the file.
    """
    if not path.is_file() and not make:
        raise UsageError(f"There is no gradebook {path}. To create it, run: inv collect --folder {path.parent}")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a file. Move it elsewhere, or choose a different folder with --folder.")
    if path.is_file() and path.stat().st_size == 0:
        raise UsageError(f"{path} is empty, but a gradebook never is. Restore it from a backup, or delete it.")
    if make:
        make_class_folder(path.parent)
    try:
        connection = sqlite3.connect(_build_database_uri(path), uri=True, timeout=60, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise GraderError(f"{path} cannot be opened: {error}. Can you write to it and its folder?") from None
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # so that a result that was reported is certain to be on disk
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate_schema(connection, path)
    except sqlite3.OperationalError as error:  # the file itself may be intact, but locked or in a read-only folder
        connection.close()
        raise GraderError(f"{path} cannot be opened: {error}. Can you write to it and its folder?") from None
    except sqlite3.DatabaseError as error:
        connection.close()
        raise UsageError(
            f"{path} is not a gradebook: {error}. Choose a different file, or restore it from a backup."
        ) from None
    except BaseException:
        connection.close()
        raise
    return Gradebook(path, connection)


def _build_database_uri(path: Path) -> str:
    """Build the URI with which SQLite opens a file, without locks if the disk has none (Lustre, some NFS)."""
    address = path.resolve().as_uri()
    # A read-only folder needs no lock.
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=path.parent) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            address += "?nolock=1"
    return address


def load_migrations() -> dict[int, str]:
    """Map each version to the SQL that upgrades a gradebook to it from the previous version."""
    return {int(file.stem): file.read_text("utf-8") for file in sorted(SCHEMA.glob("[0-9]*.sql"))}


def _migrate_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Run the SQL files that this gradebook lacks. Raise UsageError if it is foreign or from a later version.

    Raise UsageError if a different program or a later version of the course wrote the file.
    """
    steps = load_migrations()
    version = _read_header_number(connection, "user_version")
    if version == 0 and _read_header_number(connection, "schema_version"):
        raise UsageError(f"{path} is an SQLite file that belongs to a different program. Choose a different file.")
    if version > max(steps):
        raise UsageError(f"{path} was written by a later version of the course. Update this repository: git pull")
    for number, text in steps.items():
        if number > version:
            try:
                connection.executescript(
                    f"BEGIN IMMEDIATE;\n{text}\nPRAGMA application_id = {APPLICATION};\n"
                    f"PRAGMA user_version = {number};\nCOMMIT;"
                )
            except sqlite3.DatabaseError as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if _read_header_number(connection, "user_version") >= number:  # another process has already run it
                    continue
                raise GraderError(f"{path} could not be upgraded to version {number}: {error}") from None


def _read_header_number(connection: sqlite3.Connection, pragma: str) -> Any:
    """Read one number that SQLite keeps in the file's header."""
    return connection.execute(f"PRAGMA {pragma}").fetchone()[0]


def _convert_student_to_cells(row: RosterRow) -> tuple[object, ...]:
    """Convert a student to the cells of a row in the table."""
    days = " ".join(f"{milestone}:{days}" for milestone, days in row.milestone_days)
    return tuple(days if f.name == "milestone_days" else getattr(row, f.name) for f in fields(RosterRow))


def _convert_database_row_to_student(cells: dict[str, Any]) -> RosterRow:
    """Convert a row of the database's student table, given as column name to value, to a RosterRow."""
    of_milestones = parse_extension_days(cells["milestone_days"])[1]
    agreed = {name: bool(cells[name]) for name in ("public", "links", "leaderboard")}
    return RosterRow(**{**cells, **agreed, "milestone_days": of_milestones})


def _convert_row_to_grading(row: tuple[Any, ...]) -> Grading:
    """Convert a row of the grading table to a `Grading`."""
    id_, student, milestone, commit, submission, course, started, *figures = row
    return Grading(id_, student, milestone, commit, submission, course, parse_time(started), *figures)


def _build_student_filter(student: str | None) -> tuple[str, tuple[str, ...]]:
    """Return a WHERE clause that selects one student, and its parameters; both are empty for all students."""
    return ("", ()) if student is None else ("WHERE student = ?", (student,))


def format_sortable_utc_time(at: datetime) -> str:
    """Format a time as a UTC string that sorts chronologically."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def parse_time(text: str) -> datetime:
    """Parse a time as stored in the tables."""
    return datetime.fromisoformat(text)
