"""Compute when a milestone is due and how many points lateness costs, given the manifest's deadlines and push times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from grading.manifest.model import Deadlines

DAY = timedelta(days=1)


@dataclass(frozen=True)
class DeadlineTerms:
    """One student's deadline for one milestone.

    Days are calendar days in ``zone``, so an extension does not change the time of day.
    """

    local: datetime
    """The local time in ``zone`` at which the milestone is due, including the student's extensions."""
    zone: ZoneInfo
    grace: timedelta
    days: int
    """The number of late days allowed."""
    off_per_day: float

    @property
    def due(self) -> datetime:
        """The deadline, in UTC."""
        return self.compute_moment_days_late(0)

    @property
    def grace_end(self) -> datetime:
        """The end of the grace period. A push is on time until then."""
        return self.due + self.grace

    @property
    def last_scoring_moment(self) -> datetime:
        """The last moment at which a push still earns points."""
        return max(self.grace_end, self.compute_moment_days_late(self.days))

    def compute_moment_days_late(self, days: int) -> datetime:
        """Compute the moment this many days after the deadline, in UTC, at the same local time of day.

        A local time that is ambiguous or skipped at a clock change is resolved to the later of the two moments.
        """
        local = (self.local + days * DAY).replace(tzinfo=self.zone)
        return max(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))

    def count_late_days(self, pushed: datetime) -> int:
        """Count the days and part-days since the deadline. Return 0 within the grace period."""
        if pushed <= self.grace_end:
            return 0
        # A time zone may skip an entire day (Samoa in 2011), so the first guess is a day early.
        return next(
            n for n in count(max(1, (pushed - self.due) // DAY - 1)) if pushed <= self.compute_moment_days_late(n)
        )

    def compute_remaining_share(self, pushed: datetime) -> float:
        """Compute the remaining fraction of the score: 1 if the push is on time, 0 if it is too late."""
        if pushed <= self.grace_end:
            return 1.0
        return (
            max(0.0, 1 - self.off_per_day * self.count_late_days(pushed)) if pushed <= self.last_scoring_moment else 0.0
        )

    def describe_due(self) -> str:
        """Describe the deadline in local time, as in 2026-10-16 23:59 (Europe/Berlin)."""
        return f"{self.local:%Y-%m-%d %H:%M} ({self.zone.key})"

    def describe_lateness(self, pushed: datetime) -> str:
        """Describe what a push at this time costs, as in "on time" or "2 days late, which leaves 80% of the points"."""
        days = self.count_late_days(pushed)
        if days == 0:
            return "on time"
        left = 100 * self.compute_remaining_share(pushed)
        return f"{days} day{'s' * (days > 1)} late, which leaves {f'{left:.4g}%' if left else 'none'} of the points"


def find_deadline_terms(deadlines: Deadlines | None, milestone: int, extension: int = 0) -> DeadlineTerms | None:
    """Find the deadline for a milestone, extended by this many days. Return None if the milestone has no deadline.

    Extensions move the day and keep the hour, even if the clocks change in between.
    """
    if deadlines is None:
        return None
    due = next((one for one in deadlines.due if one.milestone == milestone), None)
    if due is None:
        return None
    # The deadline is the end of its minute, so 23:59 means any time before midnight.
    local = (datetime.fromisoformat(due.at) + extension * DAY).replace(second=59)
    late = deadlines.late
    return DeadlineTerms(
        local, ZoneInfo(deadlines.timezone), timedelta(minutes=late.grace_minutes), late.days, late.off_per_day
    )
