"""`inv override`: grades that an instructor sets manually, one at a time or from a CSV file."""

from __future__ import annotations

import csv
import getpass
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from desk.decisions import (
    KINDS,
    EffectiveOverride,
    Kind,
    Override,
    combine_overrides,
    read_overrides,
    save_overrides,
    withdraw_overrides,
)
from desk.gradebook import FILE, Gradebook, open_gradebook
from desk.score_export import escape_formula
from desk.scores import FULL
from grading.errors import UsageError
from grading.files import write_atomically
from grading.grade import find_built_milestone
from grading.manifest.loader import load_manifest_strictly
from grading.manifest.model import Manifest
from grading.manifest.problems import Problem
from grading.render.text import to_one_line

COLUMNS = ("student", "milestone", *KINDS, "why", "by", "at")
LONGEST = 300
"""The maximum length of a text, which is the maximum for a cell in the exports."""
YES, NO = ("yes", "true", "1"), ("no", "false", "0", "")


@dataclass(frozen=True)
class OverriddenGrade:
    """One grade with its overrides in force, and the newest of them."""

    student: str
    milestone: int
    in_force: EffectiveOverride
    last: Override


def list_overrides(book: Gradebook) -> tuple[OverriddenGrade, ...]:
    """List every grade with an override in force, by student and milestone."""
    found = read_overrides(book).items()
    return tuple(OverriddenGrade(*key, combine_overrides(overrides), overrides[-1]) for key, overrides in found)


def set_override(
    root: Path, folder: Path, student: str, milestone: int, values: Mapping[Kind, str], why: str, decided_by: str = ""
) -> None:
    """Save overrides of one grade. Raise UsageError if a value is invalid or the reason is missing."""
    manifest = load_manifest_strictly(root)
    with open_gradebook(folder / FILE) as book:
        made = _make_overrides(book, manifest, student, milestone, values, why, decided_by, datetime.now(UTC))
        if not made:
            raise UsageError("Choose what to override: --points 80, --bonus 5, --excused or --comment TEXT.")
        save_overrides(book, made)


def withdraw_grade_overrides(folder: Path, student: str, milestone: int, why: str, decided_by: str = "") -> int:
    """Withdraw every override of one grade, and return how many there were. Raise UsageError if there is none."""
    with open_gradebook(folder / FILE) as book:
        ids = [override.id for override in read_overrides(book).get((student, milestone), [])]
        if not ids:
            raise UsageError(
                f"{student} has no override for milestone {milestone}. To list all overrides, run: inv override"
            )
        withdraw_overrides(book, ids, datetime.now(UTC), decided_by or getpass.getuser(), why)
    return len(ids)


def write_overrides_csv(folder: Path, target: Path) -> int:
    """Write the overrides in force as CSV, one row for each grade; return the number of grades."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    with open_gradebook(folder / FILE) as book:
        found = list_overrides(book)
    for one in found:
        cells = [_format_override_value(one.in_force, kind) for kind in KINDS]
        last = [one.last.why, one.last.by_whom, f"{one.last.at:%Y-%m-%d %H:%M}Z"]
        writer.writerow(
            [
                escape_formula(one.student),
                one.milestone,
                *map(_escape_formula_unless_number, cells),
                *map(escape_formula, last),
            ]
        )
    write_atomically(target, text.getvalue().encode())
    return len(found)


def import_overrides_csv(root: Path, folder: Path, source: Path, decided_by: str = "") -> int:
    """Import overrides from CSV; return how many grades changed, or save nothing and raise UsageError for invalid rows.

    The error lists all invalid rows. Empty and unchanged cells have no effect.
    """
    manifest, now = load_manifest_strictly(root), datetime.now(UTC)
    try:
        rows = list(csv.DictReader(io.StringIO(source.read_text("utf-8-sig"), newline=""), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{source} cannot be read: {error}. To create one: inv override --to-csv FILE") from None
    if not rows or not {"student", "milestone"} <= set(rows[0]) or not set(rows[0]) <= {*COLUMNS, None}:
        raise UsageError(
            f"{source} must have the columns {', '.join(COLUMNS)}. To create one: inv override --to-csv FILE"
        )
    problems, made = [], []
    with open_gradebook(folder / FILE) as book:
        before = read_overrides(book)
        for line, row in enumerate(rows, start=2):
            try:
                found = list(_parse_override_row(book, manifest, before, row, decided_by, now))
            except (UsageError, ValueError) as error:
                problems.append(Problem(source.name, line, "this row cannot be used:", str(error)))
                continue
            made += found
        if problems:
            raise UsageError("\n".join(map(str, problems)))
        save_overrides(book, made)
    return len({(override.student, override.milestone) for override in made})


def _parse_override_row(
    book: Gradebook,
    manifest: Manifest,
    overrides_before: Mapping[tuple[str, int], Sequence[Override]],
    row: Mapping[str, str],
    decided_by: str,
    now: datetime,
) -> Iterator[Override]:
    """Yield the overrides in a CSV row that differ from those in force. Raise UsageError if the row is invalid."""
    cells = {name: _unescape_formula((row.get(name) or "").strip()) for name in COLUMNS}
    if not cells["milestone"].isdigit():
        raise UsageError(f"{cells['milestone']!r} is not the number of a milestone.")
    student, milestone = cells["student"], int(cells["milestone"])
    known = combine_overrides(overrides_before.get((student, milestone), []))
    values: dict[Kind, str] = {kind: cells[kind] for kind in KINDS if cells[kind]}
    if values.get("excused", "").lower() in NO:
        values.pop("excused", None)
    new = {
        k: v
        for k, v in values.items()
        if _parse_override_value(k, v) != _parse_override_value(k, _format_override_value(known, k))
    }
    yield from _make_overrides(book, manifest, student, milestone, new, cells["why"], decided_by or cells["by"], now)


def _make_overrides(
    book: Gradebook,
    manifest: Manifest,
    student: str,
    milestone: int,
    values: Mapping[Kind, str],
    why: str,
    decided_by: str,
    now: datetime,
) -> list[Override]:
    """Create overrides of one grade. Raise UsageError for an unknown student or milestone, or without a reason."""
    if student not in {row.id for row, _ in book.list_known_students()}:
        raise UsageError(f"The gradebook has no student {student}. Use an id from the roster, and collect first.")
    find_built_milestone(manifest, milestone)
    if values and not why.strip():
        raise UsageError('Give a reason in case somebody asks later: --why "…", or fill in the `why` column.')
    who = to_one_line(decided_by, 80) or getpass.getuser()
    return [
        Override(student, milestone, kind, _parse_override_value(kind, value), now, who, to_one_line(why, LONGEST))
        for kind, value in values.items()
    ]


def _parse_override_value(kind: Kind, text: str) -> str:
    """Convert a cell or an option, which may be empty, to the text to store. Raise UsageError if it is invalid."""
    if not text or kind == "comment":
        return to_one_line(text, LONGEST)
    if kind == "excused":
        if text.lower() not in YES:
            raise UsageError(f"excused is {text!r}. Write yes, or leave it empty.")
        return "yes"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    lowest = 0.0 if kind == "points" else -FULL
    if not lowest <= number <= FULL:
        raise UsageError(f"{kind} is {text!r}. Write a number from {lowest:g} to {FULL:g}.")
    return f"{number:g}"


def _format_override_value(in_force: EffectiveOverride, kind: Kind) -> str:
    """Format the value in force of this kind as a cell of the CSV file, which is empty if there is none."""
    match kind:
        case "points":
            return "" if in_force.points is None else f"{in_force.points:g}"
        case "bonus":
            return f"{in_force.bonus:g}" if in_force.bonus else ""
        case "excused":
            return "yes" if in_force.excused else ""
        case "comment":
            return in_force.comment or ""


def _escape_formula_unless_number(text: str) -> str:
    """Return a number unchanged, with its minus sign; escape any other text for a spreadsheet."""
    try:
        float(text)
    except ValueError:
        return escape_formula(text)
    return text


def _unescape_formula(text: str) -> str:
    """Remove the apostrophe that `escape_formula` put before a text."""
    return text[1:] if text.startswith("'") and escape_formula(text[1:]) == text else text
