"""The gradebook as files that other systems import. No cell of them is a formula, whatever a student is called."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from desk.classroom50 import ASSIGNMENT, CLASSROOM, short_name, theirs
from desk.gradebook import FILE, open_gradebook
from desk.roster import Row
from desk.scores import FULL, Score, scores
from grading.errors import UsageError
from grading.files import write_atomically
from grading.manifest.load import load_at_desk
from grading.manifest.model import Manifest, Milestone, Status
from grading.render.text import one_line

Scores = dict[str, dict[int, Score]]
_LIVE = re.compile(r"[=+\-@\t\r\n|%＝＋－＠]")
"""What a spreadsheet takes for the beginning of a formula."""


def harmless(text: str) -> str:
    """Text that stays text in a spreadsheet: an apostrophe before what would be a formula, on one line.

    >>> harmless("=1+1")
    "'=1+1"
    """
    text = one_line(text, 300)
    return f"'{text}" if _LIVE.match(text) else text


def plain(rows: Sequence[Row], reached: Scores, manifest: Manifest) -> str:
    """Everything, one row for each student: points, verdict, criteria, push and lateness of each milestone."""
    built = _built(manifest)
    head = ["id", "name", "email", "section", "points"]
    for milestone in built:
        head += [
            f"milestone_{milestone.id}_{what}" for what in ("points", "verdict", "met", "of", "pushed", "days_late")
        ]
    lines = []
    for row in rows:
        of = [reached[row.id][milestone.id] for milestone in built]
        cells: list[object] = [row.id, row.name or "", row.email or "", row.section or "", _total(of)]
        for score in of:
            graded = score.grading
            pushed = f"{score.push.at:%Y-%m-%d %H:%M:%S}Z" if score.push else ""
            cells += [_points(score), score.verdict or ""]
            cells += [graded.met, graded.criteria] if graded else ["", ""]
            cells += [pushed, score.days_late]
        lines.append(cells)
    return _csv([head, *lines])


def canvas(rows: Sequence[Row], reached: Scores, manifest: Manifest) -> str:
    """Canvas's gradebook: its five columns, a column for each milestone, and the row of points possible.

    Students are known by their SIS Login ID: the roster's e-mail address, or else the id.
    """
    built = _built(manifest)
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(_title(m) for m in built)]
    possible: list[object] = ["    Points Possible", "", "", "", "", *([FULL] * len(built))]
    lines = [
        [row.name or row.id, "", "", row.email or row.id, row.section or "", *_all_points(row, built, reached)]
        for row in rows
    ]
    return _csv([head, possible, *lines])


def moodle(rows: Sequence[Row], reached: Scores, manifest: Manifest) -> str:
    """Moodle's grade import: to be mapped from "Email address" to the user's. UsageError for a student without one."""
    without = [row.id for row in rows if row.email is None]
    if without:
        shown = ", ".join(without[:5]) + (" …" if without[5:] else "")
        raise UsageError(f"Moodle knows students by e-mail, and the roster has none for {shown}. Add it there.")
    built = _built(manifest)
    lines = [[row.name or row.id, row.email, *_all_points(row, built, reached)] for row in rows]
    return _csv([["Full name", "Email address", *(_title(m) for m in built)], *lines])


FORMATS: dict[str, Callable[[Sequence[Row], Scores, Manifest], str]] = {
    "csv": plain,
    "canvas": canvas,
    "moodle": moodle,
}


def write(root: Path, folder: Path, form: str, to: Path, classroom: str = "", assignment: str = "") -> int:
    """Write the class's scores in this format, in one step; how many students. UsageError as the formats raise it."""
    if form not in (*FORMATS, "classroom50"):
        raise UsageError(f"There is no format {form!r}: {', '.join(FORMATS)} and classroom50.")
    manifest = load_at_desk(root)
    with open_gradebook(folder / FILE) as book:
        rows, found = book.students(), scores(book, manifest)
        if form == "classroom50":
            text = theirs(book, rows, found, short_name(classroom, CLASSROOM), short_name(assignment, ASSIGNMENT), to)
        else:
            text = FORMATS[form](rows, found, manifest)
    write_atomically(to, text.encode())
    return len(rows)


def _built(manifest: Manifest) -> list[Milestone]:
    return [milestone for milestone in manifest.milestones if milestone.status is Status.BUILT]


def _title(milestone: Milestone) -> str:
    return f"Milestone {milestone.id}: {milestone.name}"


def _all_points(row: Row, built: Iterable[Milestone], reached: Scores) -> list[object]:
    return [_points(reached[row.id][milestone.id]) for milestone in built]


def _points(score: Score) -> object:
    """A number, or nothing where nobody could judge: an import leaves that as it is."""
    return "" if score.points is None else score.points


def _total(of: Sequence[Score]) -> float:
    return round(sum(score.points or 0.0 for score in of), 2)


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([cell if isinstance(cell, int | float) else _cell(str(cell)) for cell in row])
    return text.getvalue()


def _cell(text: str) -> str:
    return text if text.strip() == "Points Possible" else harmless(text)
