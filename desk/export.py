"""The gradebook as files that other systems import. No cell of them is a formula, whatever a student is called."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from desk.classroom50 import ASSIGNMENT, CLASSROOM, short_name, theirs
from desk.gradebook import FILE, open_gradebook
from desk.left_out import (
    Scores,
    check_participants,
    choose_complete,
    describe_earlier,
    describe_excused,
    describe_left_out,
    describe_ungraded,
)
from desk.roster import Row
from desk.scores import FULL, Score, scores
from grading.errors import UsageError
from grading.files import write_atomically
from grading.grade import built_milestone, course_record
from grading.manifest.load import load_at_desk
from grading.manifest.model import Manifest, Milestone, Status
from grading.render.text import one_line

_LIVE = re.compile(r"[=+\-@\t\r\n|%＝＋－＠]")
"""What a spreadsheet takes for the beginning of a formula."""
_UNTOUCHED = "-"
"""What Moodle takes for a grade that is to stay as it is."""


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
            f"milestone_{milestone.id}_{what}"
            for what in (
                "points",
                "verdict",
                "met",
                "of",
                "pushed",
                "days_late",
                "course",
                "current_course",
                "by_hand",
                "comment",
            )
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
            cells += [pushed, score.days_late, score.course.label if score.course else ""]
            cells += ["" if score.course is None else "yes" if score.is_current else "no"]
            cells += [score.by_hand.describe(), score.by_hand.comment or ""]
        lines.append(cells)
    return _csv([head, *lines])


def canvas(rows: Sequence[Row], reached: Scores, manifest: Manifest) -> str:
    """Canvas's gradebook: its five columns, a column for each milestone, and the row of points possible.

    Canvas takes an empty cell for a grade to erase, so no cell is empty: students and milestones that have some are
    left out (`choose_complete`). An excused one is `EX`.

    Students are known by their SIS Login ID: the roster's `sis_login`, else the e-mail address, else the id.
    """
    chosen, built = choose_complete(rows, _built(manifest), reached)
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(_title(m) for m in built)]
    possible: list[object] = ["    Points Possible", "", "", "", "", *([FULL] * len(built))]
    lines: list[list[object]] = []
    for row in chosen:
        who = [row.name or row.id, "", "", row.sis_login or row.email or row.id, row.section or ""]
        of = [reached[row.id][m.id] for m in built]
        lines.append([*who, *("EX" if score.by_hand.excused else _points(score) for score in of)])
    return _csv([head, possible, *lines])


def moodle(rows: Sequence[Row], reached: Scores, manifest: Manifest) -> str:
    """Moodle's grade import: to be mapped from "Email address" to the user's. UsageError for a student without one.

    A grade that is `-` is left as it is; an empty one would erase what is there.
    """
    without = [row.id for row in rows if row.email is None]
    if without:
        shown = ", ".join(without[:5]) + (" …" if without[5:] else "")
        raise UsageError(f"Moodle knows students by e-mail, and the roster has none for {shown}. Add it there.")
    built = _built(manifest)
    lines: list[list[object]] = [
        [row.name or row.id, row.email, *(_points(reached[row.id][m.id]) or _UNTOUCHED for m in built)] for row in rows
    ]
    for row, line in zip(rows, lines, strict=True):  # a column that Moodle maps to nothing
        line.append("; ".join(f"{m.id}: {reached[row.id][m.id].judged_by or 'not graded'}" for m in built))
    return _csv([["Full name", "Email address", *(_title(m) for m in built), "Judged by"], *lines])


FORMATS: dict[str, Callable[[Sequence[Row], Scores, Manifest], str]] = {
    "csv": plain,
    "canvas": canvas,
    "moodle": moodle,
}


@dataclass(frozen=True)
class Written:
    """What a file of scores holds."""

    students: int
    notes: tuple[str, ...] = ()
    """Who or what was left out, and why."""


def write(
    root: Path,
    folder: Path,
    form: str,
    to: Path,
    *,
    classroom: str = "",
    assignment: str = "",
    milestone: int | None = None,
    participants: Path | None = None,
) -> Written:
    """Write the class's scores in this format, in one step: all milestones or one.

    `participants` is the list that Moodle exports: students who are not in it are left out. UsageError as the formats
    raise it.
    """
    if form not in (*FORMATS, "classroom50"):
        raise UsageError(f"There is no format {form!r}: {', '.join(FORMATS)} and classroom50.")
    whole = load_at_desk(root)
    manifest = _limit(whole, milestone)
    notes: list[str] = []
    with open_gradebook(folder / FILE) as book:
        today = course_record(root, whole).digest
        rows, found = book.students(), scores(book, manifest, today=today)
        notes += describe_earlier(found)
        if form == "moodle":
            rows, unknown = check_participants(rows, participants)
            notes += [*unknown, *describe_excused(found)]
        elif form == "canvas":
            notes += describe_left_out(rows, _built(manifest), found)
        if form == "classroom50":
            notes += describe_ungraded(rows, found)
            text = theirs(book, rows, found, short_name(classroom, CLASSROOM), short_name(assignment, ASSIGNMENT), to)
        else:
            text = FORMATS[form](rows, found, manifest)
    write_atomically(to, text.encode())
    students = len(choose_complete(rows, _built(manifest), found)[0]) if form == "canvas" else len(rows)
    return Written(students, tuple(notes))


def _limit(manifest: Manifest, milestone: int | None) -> Manifest:
    """The manifest with this milestone alone; UsageError when there is none."""
    if milestone is None:
        return manifest
    built_milestone(manifest, milestone)
    return manifest.model_copy(update={"milestones": (manifest.milestone(milestone),)})


def _built(manifest: Manifest) -> list[Milestone]:
    return [milestone for milestone in manifest.milestones if milestone.status is Status.BUILT]


def _title(milestone: Milestone) -> str:
    return f"Milestone {milestone.id}: {milestone.name}"


def _points(score: Score) -> str:
    """A number; nothing where there is none."""
    return "" if score.points is None else str(score.points)


def _total(of: Sequence[Score]) -> float:
    return round(sum(score.points or 0.0 for score in of), 2)


def _csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([cell if isinstance(cell, int | float) else _cell(str(cell)) for cell in row])
    return text.getvalue()


def _cell(text: str) -> str:
    return text if text == _UNTOUCHED or text.strip() == "Points Possible" else harmless(text)
