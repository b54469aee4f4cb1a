"""What lateness costs: pure functions of the manifest's deadlines, the student's extensions and push times."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from grading.manifest.model import Deadlines

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Terms:
    """One student's deadline for one milestone."""

    due: datetime
    """With the student's extensions."""
    until: datetime
    """With the grace: what is pushed until then is on time."""
    last: datetime
    """What is pushed later scores nothing."""
    off_per_day: float

    def days_late(self, pushed: datetime) -> int:
        """Days begun since it was due; 0 within the grace."""
        return 0 if pushed <= self.until else max(1, math.ceil((pushed - self.due) / DAY))

    def factor(self, pushed: datetime) -> float:
        """What of the score is left: 1 on time, 0 when it is too late."""
        if pushed <= self.until:
            return 1.0
        return max(0.0, 1 - self.off_per_day * self.days_late(pushed)) if pushed <= self.last else 0.0


def terms(deadlines: Deadlines | None, milestone: int, section: str | None, extension_days: int) -> Terms | None:
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
        e.days for e in deadlines.extensions if e.section == section and (not e.milestones or milestone in e.milestones)
    ]
    days = extension_days + max(of_section, default=0)
    local = datetime.fromisoformat(due.at) + timedelta(days=days)
    # A minute is due until it is over: 23:59 means before midnight.
    at = local.replace(second=59, tzinfo=ZoneInfo(deadlines.timezone)).astimezone(UTC)
    until = at + timedelta(minutes=deadlines.late.grace_minutes)
    return Terms(at, until, max(until, at + deadlines.late.days * DAY), deadlines.late.off_per_day)
