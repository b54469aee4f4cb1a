"""Charts: two scales and a frame, lines, bars, and tables of numbers as shades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from course.figures.canvas import draw_line, draw_path, draw_pixels
from grading.render.svg import draw_box, find_round_step, write_word

Numbers = Sequence[float] | np.ndarray
SHADES = 16
"""Steps from empty to full."""


@dataclass(frozen=True)
class Scale:
    """The range of an axis, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value: 0 at the low end, 1 at the high end."""
        if self.log:
            value, low, high = math.log(value), math.log(self.low), math.log(self.high)
        else:
            low, high = self.low, self.high
        return (value - low) / (high - low)


@dataclass(frozen=True)
class Chart:
    """A rectangle in the picture with a horizontal and a vertical scale."""

    left: float
    top: float
    width: float
    height: float
    x: Scale
    y: Scale

    def across(self, value: float) -> float:
        """Return the horizontal position of a value of x in the picture."""
        return self.left + self.width * self.x.place(value)

    def up(self, value: float) -> float:
        """Return the vertical position of a value of y in the picture."""
        return self.top + self.height * (1 - self.y.place(value))

    def points(self, xs: Numbers, ys: Numbers) -> list[tuple[float, float]]:
        """Return the positions of points in the picture."""
        return [(self.across(float(x)), self.up(float(y))) for x, y in zip(xs, ys, strict=True)]


Ticks = Sequence[tuple[float, str]]


def draw_frame(chart: Chart, x: Ticks, y: Ticks, *, below: str = "", above: str = "", grid: bool = True) -> list[str]:
    """Draw both axes with their ticks; `below` labels x and `above` labels y."""
    bottom, right = chart.top + chart.height, chart.left + chart.width
    shapes = []
    for value, text in y:
        at = chart.up(value)
        if grid:
            shapes.append(draw_line(chart.left, at, right, at, "grid"))
        shapes.append(write_word(chart.left - 6, at + 4, text, "end", kind="small"))
    shapes += [write_word(chart.across(value), bottom + 16, text, "middle", kind="small") for value, text in x]
    shapes += [draw_line(chart.left, bottom, right, bottom), draw_line(chart.left, chart.top, chart.left, bottom)]
    if below:
        shapes.append(write_word(right, bottom + 32, below, "end", kind="small"))
    if above:
        shapes.append(write_word(chart.left - 6, chart.top - 10, above, kind="small"))
    return shapes


def make_ticks(low: float, high: float, form: str = "{:g}") -> list[tuple[float, str]]:
    """Make ticks at round values between two ends."""
    step = find_round_step(high - low)
    first = math.ceil(low / step - 1e-9)
    return [(step * i, form.format(step * i)) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def draw_curve(chart: Chart, xs: Numbers, ys: Numbers, kind: str) -> str:
    """Draw a line through points of the chart, cut off where it leaves the chart at the top or bottom."""
    low, high = chart.top, chart.top + chart.height
    parts: list[list[tuple[float, float]]] = [[]]
    points = chart.points(xs, ys)
    for one, other in pairwise(points):
        ends = _cut_line(one, other, low, high)
        if ends is None:
            continue
        if parts[-1] and parts[-1][-1] == ends[0]:
            parts[-1].append(ends[1])
        else:
            parts.append(list(ends))
    return "".join(draw_path(part, kind) for part in parts if part)


def _cut_line(
    one: tuple[float, float], other: tuple[float, float], low: float, high: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return the part of a line between two heights; None if there is none."""
    (x1, y1), (x2, y2) = one, other
    start, end = 0.0, 1.0
    if y1 == y2:
        return (one, other) if low <= y1 <= high else None
    for edge, inward in ((low, y2 > y1), (high, y2 < y1)):
        share = (edge - y1) / (y2 - y1)
        start, end = (max(start, share), end) if inward else (start, min(end, share))
    if start >= end:
        return None
    first = one if start == 0 else (x1 + start * (x2 - x1), y1 + start * (y2 - y1))
    return first, other if end == 1 else (x1 + end * (x2 - x1), y1 + end * (y2 - y1))


def draw_bars(chart: Chart, lefts: Numbers, rights: Numbers, tops: Numbers, look: str) -> str:
    """Draw bars that stand on the chart's floor."""
    floor = chart.top + chart.height
    shapes = []
    for left, right, top in zip(lefts, rights, tops, strict=True):
        x, y = chart.across(left), min(max(chart.up(top), chart.top), floor)
        if floor - y > 0.04:
            shapes.append(draw_box(x, y, chart.across(right) - x - 0.6, floor - y, look))
    return "".join(shapes)


def draw_shades(
    values: np.ndarray, x: float, y: float, size: float, most: float, *, tall: float | None = None, kinds: str = "ab"
) -> str:
    """Draw a table of numbers as pixels: fuller towards `most`, in the second colour below 0."""
    values = np.asarray(values, np.float64)
    steps = np.clip(np.rint(np.abs(values) / most * SHADES), 0, SHADES).astype(int)
    levels = np.where(steps == 0, -1, np.where(values > 0, steps, steps + SHADES))
    looks = [
        f'class="pixel-{kinds[0] if level <= SHADES else kinds[1]}" '
        f'stroke-opacity="{(level if level <= SHADES else level - SHADES) / SHADES:.3g}"'
        for level in range(2 * SHADES + 1)
    ]
    return draw_pixels(levels, x, y, size, looks, tall=tall)


def draw_table(
    values: np.ndarray,
    x: float,
    y: float,
    wide: float,
    tall: float,
    *,
    form: str = "{:g}",
    look: str = 'class="grid" fill="none"',
    words: str = "",
) -> list[str]:
    """Draw a table of numbers in boxes."""
    shapes = []
    for (row, column), value in np.ndenumerate(np.atleast_2d(values)):
        left, top = x + wide * column, y + tall * row
        shapes.append(draw_box(left, top, wide, tall, look))
        shapes.append(write_word(left + wide / 2, top + tall / 2 + 5, form.format(value), "middle", kind=words))
    return shapes
