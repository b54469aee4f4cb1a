"""Counts and spans of time, as one says them."""

from __future__ import annotations

from datetime import timedelta


def span(passed: timedelta) -> str:
    """About how long it was.

    >>> span(timedelta(minutes=3)), span(timedelta(hours=30)), span(timedelta(days=20))
    ('3 minutes', '1 day', '3 weeks')
    """
    seconds = max(0.0, passed.total_seconds())
    for unit, length, until in (("minute", 60, 90), ("hour", 3600, 24), ("day", 86400, 14)):
        if (count := round(seconds / length)) < until:
            return "moments" if count == 0 else plural(count, unit)
    return plural(round(seconds / 604800), "week")


def plural(count: int, noun: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "record"), plural(3, "record"), plural(2, "capability", "capabilities")
    ('1 record', '3 records', '2 capabilities')
    """
    number = f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{number} {noun if count == 1 else many or noun + 's'}"
