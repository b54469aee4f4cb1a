"""The roster: a CSV file with one row for each student.

Each problem in it is reported with its row and how to fix it.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from desk.repository import find_repository_problem, normalize_repository
from grading.errors import UsageError
from grading.manifest.problems import Problem, suggest_name
from grading.quiz.student_id import normalize_student_id
from grading.render.text import remove_invisible_characters

FILE = Path("roster.csv")
"""The roster's file in the class's folder."""
LARGEST = 16 << 20
LONGEST = 200
WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
DAYS = re.compile(r"(?:(?P<milestone>[1-9][0-9]?):)?(?P<days>[0-9]{1,3})", re.ASCII)
"""A pattern for one part of `extension_days`: 3 (days for every milestone), or 2:5 (five days for milestone 2)."""
WRITTEN = ("name", "section")
"""The columns whose text may be in any script and may therefore need joiners (U+200C, U+200D)."""
EMAIL = re.compile(r"\w[^@\s,;<>\"|]*@[^@\s,;<>\"|]+\.[^@\s.,;<>\"|]+")


@dataclass(frozen=True)
class RosterRow:
    """One student in the roster."""

    id: str
    """The id in lower case, as in the student's student.yaml; the student's questions are generated from it."""
    name: str | None = None
    email: str | None = None
    github: str | None = None
    repository: str | None = None
    section: str | None = None
    public: bool = False
    """Whether the student agreed that the site shows their name."""
    extension_days: int = 0
    """The number of days added to each of the student's deadlines."""
    milestone_days: tuple[tuple[int, int], ...] = ()
    """Pairs (milestone, days) for individual deadlines. They replace `extension_days`, and share its column."""
    sis_login: str | None = None
    """The student's login in Canvas, if it is neither `email` nor `id`."""
    links: bool = False
    """Whether the student agreed that their portfolio links to their repository; requires `public`."""
    leaderboard: bool = False
    """Whether the student agreed to be on the leaderboard, by name if `public`."""

    def get_own_extension_days(self, milestone: int) -> int:
        """Return the student's own extension for a milestone in days, without any extension of the section."""
        return dict(self.milestone_days).get(milestone, self.extension_days)


COLUMNS = tuple(f.name for f in fields(RosterRow) if f.name != "milestone_days")


@dataclass(frozen=True)
class Roster:
    """The students in the order of the file, and the file's problems."""

    rows: tuple[RosterRow, ...] = ()
    problems: tuple[Problem, ...] = ()


def read_roster(path: Path) -> Roster:
    """Read the students in a roster. If it has problems, raise UsageError with a list of them."""
    roster = check_roster(path)
    if roster.problems:
        raise UsageError("\n".join(map(str, roster.problems)))
    return roster


def check_roster(path: Path) -> Roster:
    """Read a roster's usable rows and its problems, in file order; raise UsageError if the file is unreadable."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}. Create a CSV file with the columns {', '.join(COLUMNS)}."
        ) from None
    return _RosterParser(path.name).parse_roster(data)


@dataclass
class _RosterParser:
    """Parses a roster's file in one pass, and collects its problems."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    first: dict[tuple[str, str], int] = field(default_factory=dict)
    """The line on which each value that must be unique was first seen."""

    def parse_roster(self, data: bytes) -> Roster:
        """Parse a roster's bytes into the rows without a problem, and all problems, sorted by line."""
        text = self._decode_text(data)
        rows = [] if text is None else list(self._parse_rows(text))
        return Roster(tuple(rows), tuple(sorted(self.problems, key=lambda p: p.line)))

    def _add_problem(self, line: int, message: str, repair: str) -> None:
        """Add a problem with its line and how to fix it."""
        self.problems.append(Problem(self.file, line, message, repair))

    def _decode_text(self, data: bytes) -> str | None:
        """Decode a roster. If it is too large or not plain UTF-8 text, add a problem and return None."""
        if len(data) > LARGEST:
            self._add_problem(1, f"larger than {LARGEST >> 20} MB.", "A roster has one short row for each student.")
            return None
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            self._add_problem(1, "written as UTF-16.", "Save it as “CSV UTF-8”.")
            return None
        if b"\0" in data:
            self._add_problem(
                1 + data.count(b"\n", 0, data.index(0)), "contains a null byte.", "Save it as “CSV UTF-8”."
            )
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = 1 + error.object.count(b"\n", 0, error.start)
            self._add_problem(
                line, f"not UTF-8 text: byte {error.object[error.start]:#04x}.", "Save it as “CSV UTF-8”."
            )
            return None

    def _parse_rows(self, text: str) -> Iterator[RosterRow]:
        """Yield a student for each row without a problem, and add every problem of the header and the rows."""
        lines = self._split_lines(text)
        line, header = next(lines, (1, []))
        names = [name.strip().lower() for name in header]
        if not self._is_valid_header(line, names):
            return
        for line, cells in lines:
            if len(cells) != len(names):
                told = f"has {len(cells)} cells where the header has {len(names)}."
                self._add_problem(line, told, "Put values with a comma in double quotes; leave unknown ones empty.")
                continue
            before = len(self.problems)
            row = self._parse_row(line, dict(zip(names, (cell.strip() for cell in cells), strict=True)))
            if row is not None and len(self.problems) == before:
                yield row

    def _split_lines(self, text: str) -> Iterator[tuple[int, list[str]]]:
        """Yield (first line number, cells) for each row that is not blank; at invalid CSV, add a problem and stop."""
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        begins = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._add_problem(begins, f"not CSV: {error}.", "Look for a double quote that is not closed.")
                return
            if any(cell.strip() for cell in cells):
                yield begins, cells
            begins = reader.line_num + 1

    def _is_valid_header(self, line: int, names: list[str]) -> bool:
        """Check the column names, add problems, and return False if the rows cannot be parsed with these columns."""
        if len(names) == 1 and re.search(r"[;\t]", names[0]):
            self._add_problem(
                line, "the columns are not separated by commas.", "Save it as “CSV UTF-8 (comma delimited)”."
            )
            return False
        for name in names:
            if name not in COLUMNS:
                shown = name[:40] or "(empty)"
                self._add_problem(
                    line, f"unknown column {shown}.", f"Delete or rename it. {suggest_name(name, COLUMNS)}"
                )
        for name in sorted({name for name in names if names.count(name) > 1 and name in COLUMNS}):
            self._add_problem(line, f"there are two columns {name}.", "Delete one of the two.")
        if "id" not in names:
            self._add_problem(
                line, "there is no column id.", "Add the column, with the user name from each student's student.yaml."
            )
        return set(names) <= set(COLUMNS) and len(set(names)) == len(names) and "id" in names

    def _parse_row(self, line: int, cells: dict[str, str]) -> RosterRow | None:
        """Parse one row, and add a problem for each error in it. Return None without an id or with an unusable cell."""
        for name, cell in cells.items():
            allowed = remove_invisible_characters(cell) if name in WRITTEN else ""
            if (
                len(cell) > LONGEST
                or "\n" in cell
                or _count_invisible_characters(cell) - _count_invisible_characters(allowed)
            ):
                told = f"{name} is longer than {LONGEST} characters, or contains invisible ones."
                self._add_problem(line, told, "Write it on one line.")
                return None
        given: dict[str, str | None] = {name: cells.get(name) or None for name in COLUMNS}
        id_, github = (
            self._parse_user_name(line, "id", given["id"]),
            self._parse_user_name(line, "github", given["github"]),
        )
        repository, email = given["repository"], given["email"]
        if repository is not None and (complaint := find_repository_problem(repository)):
            self._add_problem(line, f"repository: {complaint[0]}", complaint[1])
        if email is not None and not EMAIL.fullmatch(email):
            self._add_problem(line, f"{email!r} is not an e-mail address.", "Write name@host, or leave it empty.")
        self._check_value_is_unique(line, "id", id_, str)
        self._check_value_is_unique(line, "github", github, str)
        self._check_value_is_unique(line, "repository", repository, normalize_repository)
        self._check_value_is_unique(line, "email", email, str.casefold)
        self._check_value_is_unique(line, "sis_login", given["sis_login"], str.casefold)
        agreed = {
            name: self._parse_consent(line, name, given[name] or "") for name in ("public", "links", "leaderboard")
        }
        if agreed["links"] and not agreed["public"]:
            self._add_problem(
                line,
                "links is yes, but public is not.",
                "A link to a repository reveals its owner: agree to both.",
            )
        days, of_milestones = self._parse_extension_days(line, given["extension_days"] or "")
        if id_ is None:
            return None
        return RosterRow(
            id=id_,
            name=given["name"],
            email=email,
            github=github,
            repository=repository,
            section=given["section"],
            extension_days=days,
            milestone_days=of_milestones,
            sis_login=given["sis_login"],
            **agreed,
        )

    def _parse_user_name(self, line: int, column: str, value: str | None) -> str | None:
        """Parse a user name. If it is invalid, or if the id is missing, add a problem and return None."""
        if value is None:
            if column == "id":
                self._add_problem(line, "has no id.", "Enter the user name from the student's student.yaml.")
            return None
        try:
            return normalize_student_id(value)
        except UsageError as error:
            self._add_problem(line, f"{column}:", str(error))
            return None

    def _check_value_is_unique(
        self, line_number: int, column: str, value: str | None, normalize: Callable[[str], str]
    ) -> None:
        """Add a problem if an earlier row has the same value in this column; if none has, remember the value."""
        if value is None:
            return
        first = self.first.setdefault((column, normalize(value)), line_number)
        if first != line_number:
            self._add_problem(
                line_number, f"the {column} {value} is already on line {first}.", "Delete or change one of the two."
            )

    def _parse_consent(self, line: int, column: str, value: str) -> bool:
        """Parse yes or no; empty means no. If the value is anything else, add a problem and return False."""
        if value.lower() not in WORDS:
            self._add_problem(line, f"{column} is {value!r}.", "Write yes or no; empty means no.")
        return WORDS.get(value.lower(), False)

    def _parse_extension_days(self, line: int, value: str) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Parse the days for all deadlines and for single milestones. If invalid, add a problem and return (0, ())."""
        try:
            return parse_extension_days(value)
        except ValueError:
            repair = "Write a whole number of days, or 2:5 for five days for milestone 2 only, or leave it empty."
            self._add_problem(line, f"extension_days is {value!r}.", repair)
            return 0, ()


def parse_extension_days(text: str) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Parse days such as `3 2:5`: 3 for all deadlines, but 5 for milestone 2. Raise ValueError if they are invalid.

    An empty text means no days.

    >>> parse_extension_days("3 2:5")
    (3, ((2, 5),))
    """
    found: dict[int, int] = {}
    for part in text.split():
        match = DAYS.fullmatch(part)
        milestone = int(match["milestone"] or 0) if match else 0
        if match is None or milestone in found:
            raise ValueError(text)
        found[milestone] = int(match["days"])
    every = found.pop(0, 0)
    return every, tuple(sorted(found.items()))


def _count_invisible_characters(text: str) -> Counter[str]:
    """Count the invisible characters in a text."""
    return Counter(c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp"))
