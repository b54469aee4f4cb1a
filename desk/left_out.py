"""Find the students and grades that an export for another system must leave out, and describe them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from desk.roster import EMAIL, RosterRow
from desk.scores import Score
from grading.errors import UsageError
from grading.manifest.model import Milestone
from grading.render.text import format_count

Scores = dict[str, dict[int, Score]]
"""The type of the scores, a mapping from student to milestone to score."""
SHOWN = 12


def has_grade(score: Score) -> bool:
    """Return whether a score has anything to import, which is points or the status “excused”."""
    return score.points is not None or score.by_hand.excused


def choose_largest_complete_table(
    rows: Sequence[RosterRow], milestones: Sequence[Milestone], reached: Scores
) -> tuple[list[RosterRow], list[Milestone]]:
    """Choose the most-graded milestones and the students graded in all of them, for the largest table without gaps."""
    graded = {row.id: {m.id for m in milestones if has_grade(reached[row.id][m.id])} for row in rows}
    by_grades = sorted(milestones, key=lambda m: -sum(m.id in found for found in graded.values()))
    tables = []
    for count in range(1, len(by_grades) + 1):
        columns = {milestone.id for milestone in by_grades[:count]}
        tables.append(([row for row in rows if columns <= graded[row.id]], columns))
    chosen, columns = max(tables, key=lambda table: len(table[0]) * len(table[1]), default=([], set()))
    return chosen, [m for m in milestones if m.id in columns]


def describe_canvas_omissions(rows: Sequence[RosterRow], built: Sequence[Milestone], reached: Scores) -> Iterator[str]:
    """Describe the students and milestones that a file for Canvas leaves out, since it must have no empty cells."""
    chosen, columns = choose_largest_complete_table(rows, built, reached)
    nobody = [m for m in built if not any(has_grade(reached[row.id][m.id]) for row in rows)]
    if nobody:
        yield f"Left out, since nobody has points yet: milestone {', '.join(str(m.id) for m in nobody)}."
    if others := [m for m in built if m not in columns and m not in nobody]:
        yield f"Left out, since not everybody has points: milestone {', '.join(str(m.id) for m in others)}."
    kept = {row.id for row in chosen}
    some = [r.id for r in rows if r.id not in kept and any(map(has_grade, reached[r.id].values()))]
    none = [r.id for r in rows if r.id not in kept and r.id not in some]
    for names, why in ((none, "they have no points yet"), (some, "not all of their milestones have points")):
        if names:
            yield f"Left out, since {why}: {', '.join(names[:SHOWN])}{' …' if names[SHOWN:] else ''}."
    if others or some:
        yield (
            "An empty cell would erase a grade in Canvas. To import the rest, write one milestone at a time with "
            "--milestone."
        )


def describe_ungraded_students(rows: Sequence[RosterRow], reached: Scores) -> Iterator[str]:
    """Yield one sentence about the students whose Classroom 50 entries stay as they are, if any have no points."""
    none = [row.id for row in rows if not any(map(has_grade, reached[row.id].values()))]
    if none:
        yield f"Unchanged, since they have no points yet: {', '.join(none[:SHOWN])}{' …' * bool(none[SHOWN:])}."


def describe_earlier_course_grades(reached: Scores) -> Iterator[str]:
    """Yield one sentence about the grades from an earlier course, if any, which exported files cannot mark."""
    earlier = [score for one in reached.values() for score in one.values() if not score.is_current]
    if earlier:
        names = ", ".join(
            f"{s.student} (milestone {s.milestone}: {s.course.label if s.course else ''})" for s in earlier[:SHOWN]
        )
        more = " …" if earlier[SHOWN:] else ""
        count = format_count(len(earlier), "grade")
        yield f"{count} from an earlier course: {names}{more}. See: inv regrade --preview"


def warn_of_excused_grades(reached: Scores) -> Iterator[str]:
    """Yield one sentence that lists the grades excused by hand, which Moodle's import cannot represent, if any."""
    excused = [
        f"{s.student} (milestone {s.milestone})" for one in reached.values() for s in one.values() if s.by_hand.excused
    ]
    if excused:
        yield f"Excused grades, which an import cannot represent: {', '.join(excused)}. Exclude them in Moodle by hand."


def match_moodle_participants(
    rows: Sequence[RosterRow], participants: Path | None
) -> tuple[tuple[RosterRow, ...], list[str]]:
    """Select the students on Moodle's list of participants, with Moodle's spelling of addresses; also return notes.

    Without a list, select all rows. Raise UsageError if the list cannot be read or contains no address.
    """
    if participants is None:
        note = (
            "Moodle stops at the first unknown e-mail address, and imports nothing. To check this first, export "
            "the course's participants from Moodle, and pass that file with --participants."
        )
        return tuple(rows), [note]
    try:
        cells = re.split(r"[,;\t\r\n]", participants.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{participants} cannot be read: {error}. Export the participants from Moodle as CSV."
        ) from None
    spelled = {cell.casefold(): cell for cell in (cell.strip().strip('"') for cell in cells) if EMAIL.fullmatch(cell)}
    if not spelled:
        raise UsageError(f"{participants} has no e-mail address. Export the participants from Moodle as CSV.")
    known = [replace(r, email=spelled[r.email.casefold()]) for r in rows if r.email and r.email.casefold() in spelled]
    here = {row.id for row in known}
    unknown = [f"{row.id} ({row.email or 'no address'})" for row in rows if row.id not in here]
    return tuple(known), [f"Left out, since they are not on Moodle's list: {', '.join(unknown)}."] if unknown else []
