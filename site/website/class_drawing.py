"""Pictures of a class, as numbers that the templates draw: attempts by module, unlocks over time, and progress."""

from __future__ import annotations

from dataclasses import dataclass

from grading.manifest.model import Manifest
from website.class_overview import ClassOverview, UnlockCounts
from website.counts_and_durations import format_count
from website.student_summary import StudentSummary

LEFT, CELL, HIGH = 190, 26, 26
"""The position at which the heat map's cells begin, and their width and height."""
WIDTH, TALL = 640, 240
PROGRESS_TOP = 40.0
"""The height of a bar for the entire class, with room for a milestone above it."""
MOST_TRIES = 4
"""The number of shades for a completed module; modules with at least this many attempts get the darkest."""


@dataclass(frozen=True)
class HeatCell:
    """One student's work on one module."""

    module: str
    x: int
    shade: int
    """The shade: 0 if not begun, -1 if begun, and 1 to `MOST_TRIES` if completed, by the number of attempts."""
    tries: int

    @property
    def words(self) -> str:
        """The cell's meaning in words for the table, such as "3 tries" or "open, 1 try"; "–" if not begun."""
        if self.shade == 0:
            return "–"
        tried = f"{self.tries} tr{'y' if self.tries == 1 else 'ies'}"
        if self.shade > 0:
            return tried if self.tries else "done"
        return f"open, {tried}" if self.tries else "open"


def build_heat_map_row(summary: StudentSummary, manifest: Manifest) -> list[HeatCell]:
    """Build a row of the heat map, with one cell for each module."""
    cells = []
    for column, module in enumerate(manifest.modules):
        effort = summary.efforts.get(module.id)
        shade = 0
        if effort is not None:
            shade = min(max(effort.tries, 1), MOST_TRIES) if effort.completed_at else -1
        cells.append(HeatCell(module.id, LEFT + CELL * column, shade, effort.tries if effort else 0))
    return cells


@dataclass(frozen=True)
class UnlockLine:
    """The number of students who had one milestone, over time."""

    milestone: int
    path: str
    end: tuple[float, float]
    label: float
    """The height at which the milestone's number is written, clear of other labels."""


@dataclass(frozen=True)
class UnlockChart:
    """The picture of unlocks over time."""

    said: str
    lines: tuple[UnlockLine, ...]
    up: tuple[tuple[float, int], ...]
    """The ticks on the vertical axis: the position of each, and its number of students."""
    right: float
    bottom: float


def draw_unlocks_over_time(unlocks: UnlockCounts, manifest: Manifest) -> UnlockChart:
    """Draw one line for each milestone that somebody has, with the milestone's number at the end."""
    left, right, top, bottom = 44, WIDTH - 40, 12, TALL - 30
    most = max((count for counts in unlocks.counts for count in counts), default=0)
    step = _choose_axis_step(most)
    high = step * -(-most // step) or 1
    start, span = unlocks.ends[0], unlocks.ends[-1] - unlocks.ends[0]

    def locate_count(period: int, count: int) -> tuple[float, float]:
        """Return the x and y in the chart of this count at the end of the period with this index."""
        share = (unlocks.ends[period] - start) / span
        return round(left + share * (right - left), 1), round(bottom - count / high * (bottom - top), 1)

    drawn = []
    for milestone, counts in zip(manifest.milestones, unlocks.counts, strict=True):
        if counts[-1]:
            points = [locate_count(index, count) for index, count in enumerate(counts)]
            path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
            drawn.append((milestone.id, path, points[-1]))
    labels = _spread_labels([end[1] for _, _, end in drawn], 18)
    lines = tuple(UnlockLine(id_, path, end, label) for (id_, path, end), label in zip(drawn, labels, strict=True))
    ends = ", ".join(
        f"milestone {m.id}: {counts[-1]}" for m, counts in zip(manifest.milestones, unlocks.counts, strict=True)
    )
    marks = tuple((locate_count(0, count)[1], count) for count in range(0, high + 1, step))
    return UnlockChart(
        f"The number of students who have each milestone, over time. At the end: {ends}.", lines, marks, right, bottom
    )


def _choose_axis_step(largest: int) -> int:
    """Choose the smallest step (1, 2 or 5 times a power of ten) that divides the axis into at most five parts."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if largest <= 5 * step:
                return step
        size *= 10


def _spread_labels(heights: list[float], distance: float) -> list[float]:
    """Return the labels' y positions in the same order, moved up so that they are at least ``distance`` apart."""
    moved = dict.fromkeys(range(len(heights)), 0.0)
    last = float("inf")
    for index in sorted(range(len(heights)), key=heights.__getitem__, reverse=True):
        last = moved[index] = round(min(heights[index], last - distance), 1)
    return list(moved.values())


@dataclass(frozen=True)
class ModuleBar:
    """One module in the front page's picture."""

    module: str
    title: str
    x: float
    y: float
    height: float
    number: int


@dataclass(frozen=True)
class MilestoneMark:
    """One milestone in the front page's picture, above the module that triggers it."""

    milestone: int
    x: float
    y: float
    reached: bool


@dataclass(frozen=True)
class ProgressPicture:
    """The front page's picture of how far the class has got."""

    said: str
    bars: tuple[ModuleBar, ...]
    marks: tuple[MilestoneMark, ...]
    wide: float
    top: float
    bottom: float


def draw_module_completion_bars(overview: ClassOverview, manifest: Manifest) -> ProgressPicture:
    """Draw a bar for each module, whose height is the share of the class that completed it, with milestones above."""
    top, bottom = PROGRESS_TOP, TALL - 26.0
    pitch = WIDTH / len(manifest.modules)
    bars = []
    for module, share in zip(manifest.modules, overview.completed, strict=True):
        height = round((bottom - top) * share.percent / 100, 1)
        x = round(pitch * (module.number - 1) + 3, 1)
        bars.append(
            ModuleBar(
                module.id,
                f"{module.title}: {share.count} of {len(overview.rows)}",
                x,
                bottom - height,
                height,
                module.number,
            )
        )
    at = {bar.module: bar for bar in bars}
    marks = tuple(
        MilestoneMark(m.id, round(at[m.trigger].x + pitch / 2 - 3, 1), round(at[m.trigger].y - 24, 1), share.count > 0)
        for m, share in zip(manifest.milestones, overview.unlocked, strict=True)
    )
    having = ", ".join(f"milestone {share.milestone} {share.count}" for share in overview.unlocked)
    first, last = overview.completed[0].count, overview.completed[-1].count
    students = format_count(len(overview.rows), "student")
    said = f"Of {students}, {first} completed the first module and {last} completed the last one."
    return ProgressPicture(f"{said} Unlocked: {having}.", tuple(bars), marks, round(pitch - 6, 1), top, bottom)
