"""Print what `inv` shows about a class as plain lines, without control characters from students' texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Column, Table
from rich.text import Text

from desk.collect import CollectionSummary, StudentProblem
from desk.leaderboard import Ranking, format_board_value
from desk.overrides import OverriddenGrade
from desk.roster import Roster
from grading.manifest.problems import Problem
from grading.render.text import to_one_line
from tito.console import open_console

if TYPE_CHECKING:  # it imports GitHub's client, which is slow to import
    from desk.feedback import FeedbackOutcome, FeedbackSummary

SHOWN = 30


def make_plain_table(*headings: str) -> Table:
    """Make a table without rules. In a narrow terminal, cells are wrapped so that nothing is cut off."""
    return Table(*(Column(heading, overflow="fold") for heading in headings), box=None, padding=(0, 1, 0, 0))


def print_roster_summary(roster: Roster) -> None:
    """Print a roster's problems and the number of its students."""
    out = open_console()
    print_problems(roster.problems)
    sections = {row.section for row in roster.rows if row.section}
    without = sum(row.repository is None for row in roster.rows)
    told = f"{len(roster.rows)} students" + (
        f" in {len(sections)} section{'s' * (len(sections) > 1)}" if sections else ""
    )
    out.print(f"{told}{f', {without} without a repository' if without else ''}.")
    if roster.problems:
        out.print(f"{len(roster.problems)} to fix.")


def print_problems(problems: Iterable[Problem]) -> None:
    """Print a file's problems, each with its line and how to fix it."""
    for problem in problems:
        open_console().print(to_one_line(str(problem), 400))


def print_notes(sentences: Iterable[str]) -> None:
    """Print the first few notes, one per line, and the number of further notes; notes are not errors."""
    found = [to_one_line(sentence, 400) for sentence in sentences]
    for sentence in found[:SHOWN]:
        open_console().print(f"Note: {sentence}")
    if len(found) > SHOWN:
        open_console().print(f"… and {len(found) - SHOWN} more notes.")


def print_overrides(overridden: Sequence[OverriddenGrade]) -> None:
    """Print every grade with an override, including who decided it and why."""
    if not overridden:
        open_console().print("No grade is overridden.")
        return
    table = make_plain_table("student", "milestone", "by hand", "for the student", "who and when", "why")
    for grade in overridden:
        table.add_row(
            to_one_line(grade.student, 40),
            str(grade.milestone),
            grade.in_force.describe(),
            to_one_line(grade.in_force.comment or "", 200),
            f"{to_one_line(grade.last.by_whom, 40)}, {grade.last.at:%Y-%m-%d}",
            to_one_line(grade.last.why, 200),
        )
    open_console().print(table)


def print_student_problems(problems: Sequence[StudentProblem]) -> None:
    """Print the first few problems, each with its student, and the number of further problems."""
    if not problems:
        return
    table = make_plain_table("student", "what went wrong")
    for problem in problems[:SHOWN]:
        table.add_row(to_one_line(problem.student, 40), to_one_line(problem.problem, 400))
    open_console().print(table)
    if len(problems) > SHOWN:
        open_console().print(f"… and {len(problems) - SHOWN} more; the report lists all of them.")


def print_collection(summary: CollectionSummary) -> None:
    """Print a collection's first problems, how to get push times that no server reported, and a summary."""
    out = open_console()
    print_student_problems(summary.troubles)
    if summary.guessed:
        out.print(
            f"No server has reported when {summary.guessed} students pushed, so the later time of this collection "
            "counts for them. For repositories on GitHub, set GITHUB_TOKEN: export GITHUB_TOKEN=$(gh auth token)"
        )
    out.print(
        f"{summary.students} students: {summary.changed} with something new, {summary.graded} submissions graded, "
        f"{len(summary.troubles)} troubles."
    )


_OUTCOMES: tuple[tuple[FeedbackOutcome, str, str], ...] = (
    ("open", "issues opened", "issues to open"),
    ("update", "brought up to date", "to bring up to date"),
    ("same", "unchanged", "unchanged"),
)
"""The words for each outcome if it was carried out, and if it was only planned."""
_WITHOUT_ISSUE: tuple[tuple[FeedbackOutcome, str], ...] = (
    ("public", "whose repository is not private: others could read the grades there"),
    ("elsewhere", "whose repository is not on GitHub"),
)


def print_feedback(summary: FeedbackSummary, *, send: bool, to: Path | None) -> None:
    """Print what was done with the feedback (or would be, without ``send``), and which students get no issue."""
    out = open_console()
    print_student_problems(summary.troubles)
    for outcome, why in _WITHOUT_ISSUE:
        students = [student for student, one in summary.outcomes.items() if one == outcome]
        if students:
            names = ", ".join(to_one_line(student, 40) for student in students[:SHOWN]) + " …" * bool(students[SHOWN:])
            out.print(
                f"No issue for {len(students)}, {why}: {names}." + ("" if to else " Use --to DIR to write files.")
            )
    counts = [
        f"{count} {done if send else planned}"
        for outcome, done, planned in _OUTCOMES
        if (count := sum(one == outcome for one in summary.outcomes.values()))
    ]
    if counts:
        out.print(f"{', '.join(counts)}." + ("" if send else " Nothing was sent. To send it, run: inv feedback --send"))
    if to is not None:
        out.print(f"{summary.written} changed files written to {to}.")


def print_rankings(rankings: Sequence[Ranking], folder: Path) -> None:
    """Print the leaderboard's boards or, if there are none, how to get one."""
    if not rankings:
        where = f"{folder / 'roster.csv'}, collect, and unlock a milestone that has a board"
        open_console().print(
            f"Nobody is on the leaderboard. To list a student, enter `yes` in the `leaderboard` column of {where}."
        )
    for ranking in rankings:
        table = make_plain_table("Rank", "Student", ranking.board.unit, "Range", "Runs")
        for entry in ranking.entries:
            middle, low, high = (format_board_value(ranking.board, v) for v in (entry.middle, entry.low, entry.high))
            runs = f"{entry.runs}" + (f" ({entry.failed} not unlocked)" if entry.failed else "")
            table.add_row(str(entry.rank or ""), entry.student or "the course", middle, f"{low} to {high}", runs)
        open_console().print(Text(f"\n{ranking.board.title} ({ranking.machine})", style="bold"))
        open_console().print(table)
