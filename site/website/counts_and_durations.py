"""Counts and durations in words."""

from __future__ import annotations

from datetime import timedelta


def format_rounded_duration(passed: timedelta) -> str:
    """Format a duration in whole minutes, hours, days or weeks, or as "moments" if it is less than half a minute.

    >>> [format_rounded_duration(timedelta(minutes=m)) for m in (3, 1800, 28800)]
    ['3 minutes', '1 day', '3 weeks']
    """
    seconds = max(0.0, passed.total_seconds())
    for unit, length, until in (("minute", 60, 90), ("hour", 3600, 24), ("day", 86400, 14)):
        if (count := round(seconds / length)) < until:
            return "moments" if count == 0 else format_count(count, unit)
    return format_count(round(seconds / 604800), "week")


def format_count(count: int, noun: str, many: str | None = None) -> str:
    """Format a count with its noun in the singular or plural; ``many`` is the plural if it does not just add an s.

    >>> format_count(1, "record"), format_count(1234, "record"), format_count(2, "capability", "capabilities")
    ('1 record', '1,234 records', '2 capabilities')
    """
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
