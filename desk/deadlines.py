"""What lateness costs: pure functions of the manifest's deadlines, the student's extensions and push times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from desk.roster import Row
from grading.manifest.model import Deadlines

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Terms:
    """One student's deadline for one milestone. Days are the calendar's: the clock of `zone` shows the same hour."""

    local: datetime
    """When it is due, with the student's extensions, as a clock in `zone` shows it."""
    zone: ZoneInfo
    grace: timedelta
    days: int
    """Late days that are allowed."""
    off_per_day: float

    @property
    def due(self) -> datetime:
        """The deadline."""
        return self.day(0)

    @property
    def until(self) -> datetime:
        """With the grace: what is pushed until then is on time."""
        return self.due + self.grace

    @property
    def last(self) -> datetime:
        """What is pushed later scores nothing."""
        return max(self.until, self.day(self.days))

    def day(self, number: int) -> datetime:
        """The same hour so many days after the deadline, in UTC.

        An hour that clocks show twice, or skip, is taken as late as it can be meant.
        """
        local = (self.local + number * DAY).replace(tzinfo=self.zone)
        return max(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))

    def days_late(self, pushed: datetime) -> int:
        """Days begun since it was due; 0 within the grace."""
        if pushed <= self.until:
            return 0
        # A zone may skip a whole day (Samoa in 2011), so the first guess is a day early.
        return next(n for n in count(max(1, (pushed - self.due) // DAY - 1)) if pushed <= self.day(n))

    def factor(self, pushed: datetime) -> float:
        """What of the score is left: 1 on time, 0 when it is too late."""
        if pushed <= self.until:
            return 1.0
        return max(0.0, 1 - self.off_per_day * self.days_late(pushed)) if pushed <= self.last else 0.0


def terms(deadlines: Deadlines | None, milestone: int, row: Row) -> Terms | None:
    """A student's deadline for a milestone; None when it has none.

    Extensions move the day and keep the hour, whether the clocks change in between or not. The longest extension of
    the student's section and the student's own add up.
    """
    if deadlines is None:
        return None
    due = next((one for one in deadlines.due if one.milestone == milestone), None)
    if due is None:
        return None
    of_section = [
        e.days
        for e in deadlines.extensions
        if e.section == row.section and (not e.milestones or milestone in e.milestones)
    ]
    days = row.days_for(milestone) + max(of_section, default=0)
    # A minute is due until it is over: 23:59 means before midnight.
    local = (datetime.fromisoformat(due.at) + days * DAY).replace(second=59)
    late = deadlines.late
    return Terms(
        local, ZoneInfo(deadlines.timezone), timedelta(minutes=late.grace_minutes), late.days, late.off_per_day
    )


def find_idle_extensions(deadlines: Deadlines | None, rows: Iterable[Row]) -> Iterator[str]:
    """Sentences about extensions that give nobody more time: of an empty section, of a milestone without a deadline."""
    rows = tuple(rows)
    due = set() if deadlines is None else {one.milestone for one in deadlines.due}
    sections = sorted({row.section for row in rows if row.section})
    for extension in deadlines.extensions if deadlines is not None else ():
        about = f"milestones.yaml gives section {extension.section} {_format_days(extension.days)} more"
        if extension.section not in sections:
            known = f"the roster's sections are {', '.join(sections)}" if sections else "the roster has no sections"
            yield f"{about}, and nobody is in that section: {known}."
        for number in extension.milestones:
            if number not in due:
                yield f"{about} for milestone {number}, which has no deadline."
    for row in rows:
        if row.extension_days and not due:
            days = _format_days(row.extension_days)
            yield f"The roster gives {row.id} {days} more, and milestones.yaml has no deadlines."
        for number, days_more in row.milestone_days:
            if number not in due:
                days = _format_days(days_more)
                yield f"The roster gives {row.id} {days} more for milestone {number}, which has no deadline."


def _format_days(days: int) -> str:
    return f"{days} day" if days == 1 else f"{days} days"
