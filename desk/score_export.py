"""Export the gradebook to files that other systems import. No cell is ever a formula, whatever a student's name is."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from desk.classroom50_exchange import ASSIGNMENT, CLASSROOM, merge_classroom50_scores, validate_short_name
from desk.gradebook import FILE, open_gradebook
from desk.left_out import (
    Scores,
    choose_largest_complete_table,
    describe_canvas_omissions,
    describe_earlier_course_grades,
    describe_ungraded_students,
    match_moodle_participants,
    warn_of_excused_grades,
)
from desk.roster import RosterRow
from desk.scores import FULL, Score, compute_scores
from grading.errors import UsageError
from grading.files import write_atomically
from grading.grade import build_course_record, find_built_milestone
from grading.manifest.loader import load_manifest_strictly
from grading.manifest.model import BuildStatus, Manifest, Milestone
from grading.render.text import to_one_line

_LIVE = re.compile(r"[=+\-@\t\r\n|%＝＋－＠]")
"""The characters that a spreadsheet treats as the beginning of a formula."""
_UNTOUCHED = "-"
"""The cell that tells Moodle to leave a grade as it is."""


def escape_formula(text: str) -> str:
    """Put a text on one line, cut after 300 characters, with an apostrophe before it if it could be a formula.

    >>> escape_formula("=1+1")
    "'=1+1"
    """
    text = to_one_line(text, 300)
    return f"'{text}" if _LIVE.match(text) else text


def format_csv_scores(rows: Sequence[RosterRow], reached: Scores, manifest: Manifest) -> str:
    """Format all scores as CSV, with a row for each student and several columns for each milestone.

    They are the points, verdict, criteria, push, lateness, course and overrides.
    """
    built = _list_built_milestones(manifest)
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
        cells: list[object] = [row.id, row.name or "", row.email or "", row.section or "", _sum_points(of)]
        for score in of:
            graded = score.grading
            pushed = f"{score.push.at:%Y-%m-%d %H:%M:%S}Z" if score.push else ""
            cells += [_format_points_or_empty(score), score.verdict or ""]
            cells += [graded.met, graded.criteria] if graded else ["", ""]
            cells += [pushed, score.days_late, score.course.label if score.course else ""]
            cells += ["" if score.course is None else "yes" if score.is_current else "no"]
            cells += [score.by_hand.describe(), score.by_hand.comment or ""]
        lines.append(cells)
    return _format_rows_as_csv([head, *lines])


def format_canvas_scores(rows: Sequence[RosterRow], reached: Scores, manifest: Manifest) -> str:
    """Format the scores for Canvas, without students and milestones with empty cells, which would erase grades.

    There are five columns that Canvas expects, a column for each milestone, and the “Points Possible” row. What is left
    out is decided by `choose_largest_complete_table`. An excused grade is `EX`.

    Students are identified by their SIS Login ID, which is the roster's `sis_login`, or else the e-mail address, or
    else the id.
    """
    chosen, built = choose_largest_complete_table(rows, _list_built_milestones(manifest), reached)
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(_format_milestone_title(m) for m in built)]
    possible: list[object] = ["    Points Possible", "", "", "", "", *([FULL] * len(built))]
    lines: list[list[object]] = []
    for row in chosen:
        who = [row.name or row.id, "", "", row.sis_login or row.email or row.id, row.section or ""]
        of = [reached[row.id][m.id] for m in built]
        lines.append([*who, *("EX" if score.by_hand.excused else _format_points_or_empty(score) for score in of)])
    return _format_rows_as_csv([head, possible, *lines])


def format_moodle_scores(rows: Sequence[RosterRow], reached: Scores, manifest: Manifest) -> str:
    """Format the scores for Moodle, which identifies users by e-mail; raise UsageError if a student has no address.

    A cell with `-` leaves a grade unchanged, whereas an empty cell would erase it.
    """
    without = [row.id for row in rows if row.email is None]
    if without:
        shown = ", ".join(without[:5]) + (" …" if without[5:] else "")
        raise UsageError(
            f"Moodle identifies students by e-mail address, and the roster has none for {shown}. Add it to the roster."
        )
    built = _list_built_milestones(manifest)
    lines: list[list[object]] = [
        [row.name or row.id, row.email, *(_format_points_or_empty(reached[row.id][m.id]) or _UNTOUCHED for m in built)]
        for row in rows
    ]
    for row, line in zip(rows, lines, strict=True):  # a column that Moodle ignores
        line.append("; ".join(f"{m.id}: {reached[row.id][m.id].judging_course_label or 'not graded'}" for m in built))
    return _format_rows_as_csv(
        [["Full name", "Email address", *(_format_milestone_title(m) for m in built), "Judged by"], *lines]
    )


FORMATS: dict[str, Callable[[Sequence[RosterRow], Scores, Manifest], str]] = {
    "csv": format_csv_scores,
    "canvas": format_canvas_scores,
    "moodle": format_moodle_scores,
}


@dataclass(frozen=True)
class ExportSummary:
    """A summary of an exported file."""

    students: int
    notes: tuple[str, ...] = ()
    """Sentences that state who or what was left out, and why."""


def export_scores(
    root: Path,
    folder: Path,
    format_name: str,
    target: Path,
    *,
    classroom: str = "",
    assignment: str = "",
    milestone: int | None = None,
    participants: Path | None = None,
) -> ExportSummary:
    """Write the class's scores to a file in this format, for all milestones or one. A classroom50 file is added to.

    `participants` is the list that Moodle exports; students who are not on it are left out. Raise UsageError if the
    format or milestone is unknown, or if the format cannot represent the class.
    """
    if format_name not in (*FORMATS, "classroom50"):
        raise UsageError(f"{format_name!r} is not a format. Choose one of {', '.join(FORMATS)} and classroom50.")
    whole = load_manifest_strictly(root)
    manifest = _keep_only_milestone(whole, milestone)
    notes: list[str] = []
    with open_gradebook(folder / FILE) as book:
        today = build_course_record(root, whole).digest
        rows, found = book.list_students(), compute_scores(book, manifest, today=today)
        notes += describe_earlier_course_grades(found)
        if format_name == "moodle":
            rows, unknown = match_moodle_participants(rows, participants)
            notes += [*unknown, *warn_of_excused_grades(found)]
        elif format_name == "canvas":
            notes += describe_canvas_omissions(rows, _list_built_milestones(manifest), found)
        if format_name == "classroom50":
            notes += describe_ungraded_students(rows, found)
            text = merge_classroom50_scores(
                book,
                rows,
                found,
                validate_short_name(classroom, CLASSROOM),
                validate_short_name(assignment, ASSIGNMENT),
                target,
            )
        else:
            text = FORMATS[format_name](rows, found, manifest)
    write_atomically(target, text.encode())
    students = (
        len(choose_largest_complete_table(rows, _list_built_milestones(manifest), found)[0])
        if format_name == "canvas"
        else len(rows)
    )
    return ExportSummary(students, tuple(notes))


def _keep_only_milestone(manifest: Manifest, milestone: int | None) -> Manifest:
    """Return the manifest with only this milestone, or unchanged for None; raise UsageError if it cannot be graded."""
    if milestone is None:
        return manifest
    find_built_milestone(manifest, milestone)
    return manifest.model_copy(update={"milestones": (manifest.milestone(milestone),)})


def _list_built_milestones(manifest: Manifest) -> list[Milestone]:
    """List the milestones that can be graded."""
    return [milestone for milestone in manifest.milestones if milestone.status is BuildStatus.BUILT]


def _format_milestone_title(milestone: Milestone) -> str:
    """Format a column's heading: the milestone's number and name."""
    return f"Milestone {milestone.id}: {milestone.name}"


def _format_points_or_empty(score: Score) -> str:
    """Format the points as a number, or as an empty text if there are none."""
    return "" if score.points is None else str(score.points)


def _sum_points(scores: Sequence[Score]) -> float:
    """Sum the points of these scores, rounded to two digits; a score without points counts as 0."""
    return round(sum(score.points or 0.0 for score in scores), 2)


def _format_rows_as_csv(rows: Iterable[Iterable[object]]) -> str:
    """Format rows as CSV, with texts cut after 300 characters and escaped, so that none is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    for row in rows:
        writer.writerow([cell if isinstance(cell, int | float) else _escape_cell_text(str(cell)) for cell in row])
    return text.getvalue()


def _escape_cell_text(text: str) -> str:
    """Apply `escape_formula` to a cell's text, unless it is one of the fixed words that Canvas and Moodle expect."""
    return text if text == _UNTOUCHED or text.strip() == "Points Possible" else escape_formula(text)
