"""The leaderboard's page: each board's entries, with the ranges of their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from desk.cohort import CohortStudent
from desk.leaderboard import COURSE, BoardEntry, Ranking, format_board_value
from grading.render.text import to_one_line
from website.page_renderer import SiteContext, SiteFiles
from website.student_story import format_pseudonym_as_title

PATH = "class/leaderboard.html"


@dataclass(frozen=True)
class BoardRow:
    """A row on a board."""

    entry: BoardEntry
    name: str
    address: str | None
    """The address of the student's portfolio; None for the course."""
    value: str
    low: str
    high: str
    left: float
    """The start of the range, from 0 to 100."""
    width: float
    middle: float


def render_board_pages(
    rankings: Sequence[Ranking], students: Mapping[str, CohortStudent], site: SiteContext
) -> SiteFiles:
    """Render the leaderboard's page, with only these ``students``, or no files if none of them is on a board."""
    boards = [(ranking, _build_board_rows(ranking, students)) for ranking in rankings]
    shown = [(ranking, places) for ranking, places in boards if any(place.address for place in places)]
    return {PATH: site.render_page("leaderboard.html.jinja", PATH, boards=shown)} if shown else {}


def _build_board_rows(ranking: Ranking, students: Mapping[str, CohortStudent]) -> list[BoardRow]:
    """Build a row for each of these ``students`` on a board, and for the course, on an axis that all rows share."""
    entries = [entry for entry in ranking.entries if entry.student in students or entry.student == COURSE]
    low, high = min(e.low for e in entries), max(e.high for e in entries)
    span = (high - low) or 1.0

    def scale_value(value: float) -> float:
        """Convert a value to a position on the row's axis, in percent."""
        return round(4 + 92 * (value - low) / span, 2)

    def build_row(entry: BoardEntry) -> BoardRow:
        """Build the row for one entry."""
        name, address = _get_name_and_address(students.get(entry.student))
        value, least, most = (format_board_value(ranking.board, v) for v in (entry.middle, entry.low, entry.high))
        left, width = scale_value(entry.low), max(0.8, round(scale_value(entry.high) - scale_value(entry.low), 2))
        return BoardRow(entry, name, address, value, least, most, left, width, scale_value(entry.middle))

    return [build_row(entry) for entry in entries]


def _get_name_and_address(student: CohortStudent | None) -> tuple[str, str | None]:
    """Return a student's name on the site and the portfolio's path; for None, the course's own solution and None."""
    if student is None:
        return "The course’s own solution", None
    name = (
        to_one_line(student.name, 80)
        if student.public and student.name
        else format_pseudonym_as_title(student.pseudonym)
    )
    return name, f"student/{student.pseudonym}/portfolio.html"
