"""When a milestone is due and what lateness costs: pure functions of the manifest's deadlines and push times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

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

    def describe_due(self) -> str:
        """The deadline on the clock of its zone: 2026-10-16 23:59 (Europe/Berlin)."""
        return f"{self.local:%Y-%m-%d %H:%M} ({self.zone.key})"

    def describe_lateness(self, pushed: datetime) -> str:
        """What a push at this time loses: "on time", "2 days late, which leaves 80% of the points"."""
        days = self.days_late(pushed)
        if days == 0:
            return "on time"
        left = 100 * self.factor(pushed)
        return f"{days} day{'s' * (days > 1)} late, which leaves {f'{left:.4g}%' if left else 'none'} of the points"


def find_terms(deadlines: Deadlines | None, milestone: int, extension: int = 0) -> Terms | None:
    """The deadline for a milestone, so many days later; None when it has none.

    Extensions move the day and keep the hour, whether the clocks change in between or not.
    """
    if deadlines is None:
        return None
    due = next((one for one in deadlines.due if one.milestone == milestone), None)
    if due is None:
        return None
    # A minute is due until it is over: 23:59 means before midnight.
    local = (datetime.fromisoformat(due.at) + extension * DAY).replace(second=59)
    late = deadlines.late
    return Terms(
        local, ZoneInfo(deadlines.timezone), timedelta(minutes=late.grace_minutes), late.days, late.off_per_day
    )
