"""Counts and durations in words."""

from __future__ import annotations

from datetime import timedelta


def span(passed: timedelta) -> str:
    """Write a duration in words, rounded to its largest unit.

    >>> span(timedelta(minutes=3)), span(timedelta(hours=30)), span(timedelta(days=20))
    ('3 minutes', '1 day', '3 weeks')
    """
    seconds = max(0.0, passed.total_seconds())
    for unit, length, until in (("minute", 60, 90), ("hour", 3600, 24), ("day", 86400, 14)):
        if (count := round(seconds / length)) < until:
            return "moments" if count == 0 else plural(count, unit)
    return plural(round(seconds / 604800), "week")


def plural(count: int, noun: str, many: str | None = None) -> str:
    """Write a count with its noun.

    >>> plural(1, "record"), plural(1234, "record"), plural(2, "capability", "capabilities")
    ('1 record', '1,234 records', '2 capabilities')
    """
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
