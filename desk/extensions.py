"""Compute each student's deadlines from the manifest and the extensions, and find extensions that have no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from desk.roster import RosterRow
from grading.deadlines import DeadlineTerms, find_deadline_terms
from grading.manifest.model import Deadlines


def find_student_terms(deadlines: Deadlines | None, milestone: int, row: RosterRow) -> DeadlineTerms | None:
    """Find a student's own deadline for a milestone, or return None if the milestone has no deadline.

    The longest extension of the student's section is added to the student's own.
    """
    of_section = [
        e.days
        for e in (deadlines.extensions if deadlines is not None else ())
        if e.section == row.section and (not e.milestones or milestone in e.milestones)
    ]
    return find_deadline_terms(deadlines, milestone, row.get_own_extension_days(milestone) + max(of_section, default=0))


def find_idle_extensions(deadlines: Deadlines | None, rows: Iterable[RosterRow]) -> Iterator[str]:
    """Describe the extensions that have no effect: those for an empty section or for a milestone without a deadline."""
    rows = tuple(rows)
    due = set() if deadlines is None else {one.milestone for one in deadlines.due}
    sections = sorted({row.section for row in rows if row.section})
    for extension in deadlines.extensions if deadlines is not None else ():
        about = f"milestones.yaml gives section {extension.section} {_format_days(extension.days)} more"
        if extension.section not in sections:
            known = f"the roster's sections are {', '.join(sections)}" if sections else "the roster has no sections"
            yield f"{about}, but nobody is in that section: {known}."
        for number in extension.milestones:
            if number not in due:
                yield f"{about} for milestone {number}, which has no deadline."
    for row in rows:
        if row.extension_days and not due:
            days = _format_days(row.extension_days)
            yield f"The roster gives {row.id} {days} more, but milestones.yaml has no deadlines."
        for number, days_more in row.milestone_days:
            if number not in due:
                days = _format_days(days_more)
                yield f"The roster gives {row.id} {days} more for milestone {number}, which has no deadline."


def _format_days(days: int) -> str:
    """Format a number of days, such as 1 day or 2 days."""
    return f"{days} day" if days == 1 else f"{days} days"
