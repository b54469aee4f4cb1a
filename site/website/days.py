"""A calendar of the days with records, as SVG: a column for each week, a row for each weekday."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from markupsafe import Markup

from website.spans import plural
from website.steps import Step

WEEKS = 53
"""How many weeks are shown, the newest ones."""
CELL, LEFT, TOP = 14, 34, 20
LEVELS = 4
"""The number of shades for days with records."""
WEEKDAYS = {0: "Mon", 2: "Wed", 4: "Fri"}


@dataclass(frozen=True)
class Calendar:
    """A drawn calendar."""

    said: str
    """The sentence for those who cannot see the picture."""
    width: int
    height: int
    shapes: Markup


def draw_calendar(steps: Sequence[Step]) -> Calendar | None:
    """Draw the days of these steps in UTC, and mark those with an unlocked milestone; None without steps."""
    records = Counter(_day(step.at) for step in steps)
    if not records:
        return None
    unlocked = {_day(step.at) for step in steps if step.kind == "unlocked"}
    last = max(records)
    first = max(min(records), last - timedelta(weeks=WEEKS - 1))
    monday = first - timedelta(days=first.weekday())
    busiest = max(records, key=lambda day: (records[day], day))
    shapes = [_word(LEFT - 6, TOP + CELL * row + 11, name, "end") for row, name in WEEKDAYS.items()]
    weeks = (last - monday).days // 7 + 1
    shown = -3  # the week that the last month's name was written over
    for week in range(weeks):
        begin = monday + timedelta(weeks=week)
        if (week == 0 or begin.day <= 7) and week - shown >= 3:
            shapes.append(_word(LEFT + CELL * week, TOP - 5, _month(begin), "start"))
            shown = week
        for row in range(7):
            day = begin + timedelta(days=row)
            if first <= day <= last:
                shapes.append(_cell(week, row, records[day], records[busiest], day in unlocked))
    days = plural(len(records), "day")
    said = f"Records on {days}, {_name(last)}"
    if len(records) > 1:
        said = f"Records on {days} from {_name(min(records))} to {_name(last)}"
        said += f". Most are on {_name(busiest)}: {records[busiest]}"
    if unlocked:
        said += ". A ring marks a day on which a milestone was unlocked"
    drawn = Markup("\n".join(shapes))  # noqa: S704 - numbers and names of months
    return Calendar(f"{said}.", LEFT + CELL * max(weeks, 3), TOP + 7 * CELL, drawn)


def _cell(week: int, row: int, count: int, most: int, is_unlocked: bool) -> str:
    """Draw one day, shaded by its share of the busiest day's records."""
    level = -(-LEVELS * count // most) if count else 0
    kind = f"day level-{level}" + (" gold" if is_unlocked else "")
    x, y = LEFT + CELL * week, TOP + CELL * row
    return f'<rect class="{kind}" x="{x + 0.75}" y="{y + 0.75}" width="{CELL - 2}" height="{CELL - 2}" rx="2"/>'


def _word(x: int, y: int, text: str, anchor: str) -> str:
    """Write a word as SVG."""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _day(at: datetime) -> date:
    """Return the day in UTC."""
    return at.astimezone(UTC).date()


def _month(day: date) -> str:
    """Write the short name of a day's month in English, whatever the locale."""
    return "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[day.month - 1]


def _name(day: date) -> str:
    """Write a day: 1 Mar 2026."""
    return f"{day.day} {_month(day)} {day.year}"
