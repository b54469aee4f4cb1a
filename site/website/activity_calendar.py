"""A calendar of the days with records, as SVG, with a column for each week and a row for each weekday."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from markupsafe import Markup

from website.counts_and_durations import format_count
from website.timeline_steps import TimelineStep

WEEKS = 53
"""The number of weeks shown, counted back from the newest."""
CELL, LEFT, TOP = 14, 34, 20
LEVELS = 4
"""The number of shades for days with records."""
WEEKDAYS = {0: "Mon", 2: "Wed", 4: "Fri"}


@dataclass(frozen=True)
class ActivityCalendar:
    """A drawn calendar."""

    said: str
    """The description for those who cannot see the picture."""
    width: int
    height: int
    shapes: Markup


def draw_calendar(steps: Sequence[TimelineStep]) -> ActivityCalendar | None:
    """Draw the UTC days of the newest weeks' steps, with a ring for unlocked milestones; return None without steps."""
    records = Counter(_get_utc_day(step.at) for step in steps)
    if not records:
        return None
    unlocked = {_get_utc_day(step.at) for step in steps if step.kind == "unlocked"}
    last = max(records)
    first = max(min(records), last - timedelta(weeks=WEEKS - 1))
    monday = first - timedelta(days=first.weekday())
    busiest = max(records, key=lambda day: (records[day], day))
    shapes = [_draw_word(LEFT - 6, TOP + CELL * row + 11, name, "end") for row, name in WEEKDAYS.items()]
    weeks = (last - monday).days // 7 + 1
    shown = -3  # the week above which the last month's name was written
    for week in range(weeks):
        begin = monday + timedelta(weeks=week)
        if (week == 0 or begin.day <= 7) and week - shown >= 3:
            shapes.append(_draw_word(LEFT + CELL * week, TOP - 5, _abbreviate_month(begin), "start"))
            shown = week
        for row in range(7):
            day = begin + timedelta(days=row)
            if first <= day <= last:
                shapes.append(_draw_day(week, row, records[day], records[busiest], day in unlocked))
    days = format_count(len(records), "day")
    said = f"Records on {days}, {_format_day(last)}"
    if len(records) > 1:
        said = f"Records on {days} from {_format_day(min(records))} to {_format_day(last)}"
        said += f". Most are on {_format_day(busiest)}: {records[busiest]}"
    if unlocked:
        said += ". A ring marks a day on which a milestone was unlocked"
    drawn = Markup("\n".join(shapes))  # noqa: S704 - numbers and names of months
    return ActivityCalendar(f"{said}.", LEFT + CELL * max(weeks, 3), TOP + 7 * CELL, drawn)


def _draw_day(week: int, row: int, count: int, busiest_count: int, is_unlocked: bool) -> str:
    """Return a day's SVG square, shaded by its share of the busiest day's records, and ringed for an unlock."""
    level = -(-LEVELS * count // busiest_count) if count else 0
    kind = f"day level-{level}" + (" gold" if is_unlocked else "")
    x, y = LEFT + CELL * week, TOP + CELL * row
    return f'<rect class="{kind}" x="{x + 0.75}" y="{y + 0.75}" width="{CELL - 2}" height="{CELL - 2}" rx="2"/>'


def _draw_word(x: int, y: int, text: str, anchor: str) -> str:
    """Return the SVG element for a word, which is not escaped."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _get_utc_day(at: datetime) -> date:
    """Return the day in UTC."""
    return at.astimezone(UTC).date()


def _abbreviate_month(day: date) -> str:
    """Return the short English name of a day's month, whatever the locale."""
    return "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[day.month - 1]


def _format_day(day: date) -> str:
    """Format a day: 1 Mar 2026."""
    return f"{day.day} {_abbreviate_month(day)} {day.year}"
