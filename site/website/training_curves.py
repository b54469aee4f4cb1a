"""Training curves as inline SVG: lines, two axes, and a description for those who cannot see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from grading.render.svg import find_round_step
from grading.render.text import to_one_line
from grading.result import Curve

WIDTH, HEIGHT = 640, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 32
POINTS = 80
"""The greatest number of points on a line; more would not be visible."""
SPARK_WIDTH, SPARK_HEIGHT = 80, 18


@dataclass(frozen=True)
class Tick:
    """A tick on an axis, with its position and text."""

    at: float
    text: str


@dataclass(frozen=True)
class Plot:
    """A plot of training curves, as numbers for the template."""

    name: str
    said: str
    """The description for those who cannot see the picture."""
    lines: tuple[str, ...]
    """The `d` attribute of each run's path."""
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    ends: tuple[tuple[float, float], ...]
    """The position at which each line ends."""


def build_curve_plot(curves: Sequence[Curve]) -> Plot | None:
    """Plot the runs with at least two finite points on the same axes, or return None if there are none.

    A line connects the points on either side of a value that is not finite.
    """
    runs = [run for curve in curves if len(run := _select_points_to_draw(curve)) > 1]
    if not runs:
        return None
    xs, ys = [x for run in runs for x, _ in run], [y for run in runs for _, y in run]
    left, right, low, high = min(xs), max(xs), min(0.0, *ys), max(ys)
    step = find_round_step(high - low)
    high = low + step * math.ceil((high - low) / step - 1e-9) if step else low + 1

    wide, tall = (WIDTH - LEFT - RIGHT) / ((right - left) or 1.0), (HEIGHT - TOP - BOTTOM) / (high - low)

    def locate_point(x: float, y: float) -> tuple[float, float]:
        """Return the picture's coordinates of a data point."""
        return round(LEFT + (x - left) * wide, 1), round(TOP + (high - y) * tall, 1)

    name = to_one_line(curves[0].name, 60).replace("_", " ")
    marks = [low + step * i for i in range(round((high - low) / step) + 1)] if step else [low, high]
    first, last = runs[0][0][1], runs[0][-1][1]
    of = f" This is the first of {len(runs)} runs." if len(runs) > 1 else ""
    return Plot(
        name=name,
        said=f"{name.capitalize()} during training, from {first:.3g} to {last:.3g}.{of}",
        lines=tuple("M" + "L".join(["%s %s" % locate_point(*point) for point in run]) for run in runs),  # noqa: UP031 - quick
        across=(Tick(locate_point(left, low)[0], f"{left:g}"), Tick(locate_point(right, low)[0], f"{right:g}")),
        up=tuple(Tick(locate_point(left, mark)[1], f"{mark:.3g}") for mark in marks),
        ends=tuple(locate_point(*run[-1]) for run in runs),
    )


@dataclass(frozen=True)
class Sparkline:
    """A curve as small as a word, SPARK_WIDTH wide and SPARK_HEIGHT high, with its text."""

    line: str
    """The `d` attribute of its path."""
    said: str


def build_sparkline(curves: Sequence[Curve]) -> Sparkline | None:
    """Draw the first curve as small as a word, or return None if it has fewer than two points to draw."""
    runs = [run for curve in curves[:1] if len(run := _select_points_to_draw(curve)) > 1]
    if not runs:
        return None
    (run,), name = runs, to_one_line(curves[0].name, 60).replace("_", " ")
    xs, ys = [x for x, _ in run], [y for _, y in run]
    wide, tall = SPARK_WIDTH / ((xs[-1] - xs[0]) or 1.0), (SPARK_HEIGHT - 2) / ((max(ys) - min(ys)) or 1.0)
    places = [f"{(x - xs[0]) * wide:.1f} {1 + (max(ys) - y) * tall:.1f}" for x, y in run]
    return Sparkline("M" + "L".join(places), f"{name} {ys[0]:.3g} to {ys[-1]:.3g}")


def _select_points_to_draw(curve: Curve) -> list[tuple[float, float]]:
    """Select at most `POINTS` finite points, including the last, in the order of their steps."""
    known = sorted(
        (step, value)
        for step, value in zip(curve.steps, curve.values, strict=False)
        if value is not None and math.isfinite(value) and math.isfinite(step) and max(abs(value), abs(step)) < 1e12
    )
    if len(known) <= POINTS:
        return known
    return [known[round(i * (len(known) - 1) / (POINTS - 1))] for i in range(POINTS)]
