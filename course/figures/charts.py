"""Charts: two scales and a frame, lines, bars, and tables of numbers drawn as shades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from course.figures.canvas import draw_line, draw_path, draw_pixels
from grading.render.svg import draw_box, draw_text, find_round_step

Numbers = Sequence[float] | np.ndarray
SHADE_COUNT = 16
"""The number of shades from empty to full."""


@dataclass(frozen=True)
class Scale:
    """The range of an axis, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    def compute_position(self, value: float) -> float:
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

    def map_x(self, value: float) -> float:
        """Return the horizontal position of a value of x in the picture."""
        return self.left + self.width * self.x.compute_position(value)

    def map_y(self, value: float) -> float:
        """Return the vertical position of a value of y in the picture."""
        return self.top + self.height * (1 - self.y.compute_position(value))

    def map_points(self, xs: Numbers, ys: Numbers) -> list[tuple[float, float]]:
        """Return the positions of points in the picture."""
        return [(self.map_x(float(x)), self.map_y(float(y))) for x, y in zip(xs, ys, strict=True)]


Ticks = Sequence[tuple[float, str]]


def draw_axes(
    chart: Chart, x: Ticks, y: Ticks, *, x_label: str = "", y_label: str = "", grid: bool = True
) -> list[str]:
    """Return the SVG elements of both axes with ticks and labels and, with `grid`, of a line across at each y tick."""
    bottom, right = chart.top + chart.height, chart.left + chart.width
    shapes = []
    for value, text in y:
        at = chart.map_y(value)
        if grid:
            shapes.append(draw_line(chart.left, at, right, at, "grid"))
        shapes.append(draw_text(chart.left - 6, at + 4, text, "end", css_class="small"))
    shapes += [draw_text(chart.map_x(value), bottom + 16, text, "middle", css_class="small") for value, text in x]
    shapes += [draw_line(chart.left, bottom, right, bottom), draw_line(chart.left, chart.top, chart.left, bottom)]
    if x_label:
        shapes.append(draw_text(right, bottom + 32, x_label, "end", css_class="small"))
    if y_label:
        shapes.append(draw_text(chart.left - 6, chart.top - 10, y_label, css_class="small"))
    return shapes


def make_ticks(low: float, high: float, number_format: str = "{:g}") -> list[tuple[float, str]]:
    """Make ticks (value, label) at round values between two ends, including an end that is round."""
    step = find_round_step(high - low)
    first = math.ceil(low / step - 1e-9)
    return [(step * i, number_format.format(step * i)) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def draw_curve(chart: Chart, xs: Numbers, ys: Numbers, css_class: str) -> str:
    """Return the SVG elements of a line through points of the chart, cut off at the chart's top and bottom."""
    low, high = chart.top, chart.top + chart.height
    parts: list[list[tuple[float, float]]] = [[]]
    points = chart.map_points(xs, ys)
    for one, other in pairwise(points):
        ends = _clip_line_to_heights(one, other, low, high)
        if ends is None:
            continue
        if parts[-1] and parts[-1][-1] == ends[0]:
            parts[-1].append(ends[1])
        else:
            parts.append(list(ends))
    return "".join(draw_path(part, css_class) for part in parts if part)


def _clip_line_to_heights(
    start_point: tuple[float, float], end_point: tuple[float, float], low_y: float, high_y: float
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Return the part of a line between two heights, or None if there is no such part."""
    (x1, y1), (x2, y2) = start_point, end_point
    start, end = 0.0, 1.0
    if y1 == y2:
        return (start_point, end_point) if low_y <= y1 <= high_y else None
    for edge, inward in ((low_y, y2 > y1), (high_y, y2 < y1)):
        share = (edge - y1) / (y2 - y1)
        start, end = (max(start, share), end) if inward else (start, min(end, share))
    if start >= end:
        return None
    first = start_point if start == 0 else (x1 + start * (x2 - x1), y1 + start * (y2 - y1))
    return first, end_point if end == 1 else (x1 + end * (x2 - x1), y1 + end * (y2 - y1))


def draw_bars(chart: Chart, lefts: Numbers, rights: Numbers, tops: Numbers, attributes: str) -> str:
    """Return the SVG elements of bars that stand on the chart's floor, cut off at its top."""
    floor = chart.top + chart.height
    shapes = []
    for left, right, top in zip(lefts, rights, tops, strict=True):
        x, y = chart.map_x(left), min(max(chart.map_y(top), chart.top), floor)
        if floor - y > 0.04:
            shapes.append(draw_box(x, y, chart.map_x(right) - x - 0.6, floor - y, attributes))
    return "".join(shapes)


def draw_signed_heatmap(
    values: np.ndarray,
    x: float,
    y: float,
    pixel_width: float,
    full_value: float,
    *,
    pixel_height: float | None = None,
    colours: str = "ab",
) -> str:
    """Return the SVG of numbers as pixels: stronger towards `full_value`, and in the second colour below 0."""
    values = np.asarray(values, np.float64)
    steps = np.clip(np.rint(np.abs(values) / full_value * SHADE_COUNT), 0, SHADE_COUNT).astype(int)
    levels = np.where(steps == 0, -1, np.where(values > 0, steps, steps + SHADE_COUNT))
    looks = [
        f'class="pixel-{colours[0] if level <= SHADE_COUNT else colours[1]}" '
        f'stroke-opacity="{(level if level <= SHADE_COUNT else level - SHADE_COUNT) / SHADE_COUNT:.3g}"'
        for level in range(2 * SHADE_COUNT + 1)
    ]
    return draw_pixels(levels, x, y, pixel_width, looks, pixel_height=pixel_height)


def draw_table(
    values: np.ndarray,
    x: float,
    y: float,
    cell_width: float,
    cell_height: float,
    *,
    number_format: str = "{:g}",
    attributes: str = 'class="grid" fill="none"',
    text_class: str = "",
) -> list[str]:
    """Return the SVG elements of a table of numbers in boxes, whose upper left corner is at (x, y)."""
    shapes = []
    for (row, column), value in np.ndenumerate(np.atleast_2d(values)):
        left, top = x + cell_width * column, y + cell_height * row
        shapes.append(draw_box(left, top, cell_width, cell_height, attributes))
        shapes.append(
            draw_text(
                left + cell_width / 2,
                top + cell_height / 2 + 5,
                number_format.format(value),
                "middle",
                css_class=text_class,
            )
        )
    return shapes
