"""Pictures for module 15: the largest distance between two curves, and false alarms among many features."""

from __future__ import annotations

import numpy as np
from tinytorch.mlops import ks_test

from course.figures.canvas import WIDTH, Figure, draw_dot, draw_line
from course.figures.charts import Chart, Scale, draw_axes, draw_curve
from grading.render.svg import draw_text

DAYS, FEATURES, VALUES = 100, 20, 200


def draw_sample_distance() -> Figure:
    """Draw two samples as curves of the share of values ≤ x, and D, the largest distance between them."""
    rng = np.random.default_rng(0)
    reference, current = rng.normal(size=40), rng.normal(0.8, 1, 40)
    distance, p = ks_test(reference, current)
    chart = Chart(46, 52, WIDTH - 66, 200, Scale(-3, 4), Scale(0, 1))
    shapes = draw_axes(
        chart, [(k, f"{k}") for k in range(-3, 5)], [(k / 4, f"{k / 4:g}") for k in range(5)], x_label="x"
    )
    shapes.append(draw_text(14, 24, "share of values ≤ x", css_class="bold"))
    for sample, kind in ((reference, "a"), (current, "b")):
        x, y = [-3.0], [0.0]
        for count, value in enumerate(np.sort(np.clip(sample, -3, 4))):
            x += [value, value]
            y += [count / len(sample), (count + 1) / len(sample)]
        shapes.append(draw_curve(chart, [*x, 4.0], [*y, 1.0], f"line-{kind}"))
    places = np.concatenate([reference, current])
    shares = [(sample[:, None] <= places).mean(axis=0) for sample in (reference, current)]
    at = int(np.abs(shares[0] - shares[1]).argmax())
    low, high = sorted(float(share[at]) for share in shares)
    across = chart.map_x(places[at])
    shapes.append(draw_line(across, chart.map_y(low), across, chart.map_y(high), "line-c"))
    shapes.append(draw_text(across + 8, chart.map_y(low) + 5, f"D = {distance:.3f}", css_class="bold word-c"))
    shapes.append(draw_text(chart.map_x(-2.8), chart.map_y(0.8), "last month", css_class="bold word-a"))
    shapes.append(draw_text(chart.map_x(2.2), chart.map_y(0.55), "today", css_class="bold word-b"))
    shapes.append(draw_text(WIDTH - 20, 24, f"p = {p:.2g}", "end", css_class="bold word-c"))
    return Figure("Shares of values below x for two samples, with their largest distance", 300, shapes)


def draw_false_alarms() -> Figure:
    """Draw the smallest of twenty p-values on each of a hundred days without drift, with two alarm limits."""
    rng = np.random.default_rng(0)
    smallest = []
    for _ in range(DAYS):
        before, now = rng.normal(size=(2, FEATURES, VALUES))
        smallest.append(min(ks_test(*pair)[1] for pair in zip(before, now, strict=True)))
    chart = Chart(62, 44, WIDTH - 82, 220, Scale(0, DAYS), Scale(3e-4, 1, log=True))
    y = [(10.0**-k, f"{10.0**-k:g}") for k in range(4)]
    shapes = draw_axes(chart, [(k, f"{k}") for k in range(0, DAYS + 1, 20)], y, x_label="days, all without drift")
    shapes.append(draw_text(14, 24, "smallest p of 20 features", css_class="bold"))
    for day, p in enumerate(smallest):
        kind = "c" if p > 0.05 else "e" if p > 0.05 / FEATURES else "b"
        shapes.append(draw_dot(chart.map_x(day + 0.5), chart.map_y(max(p, 3.2e-4)), f"fill-{kind}", 3))
    for place, (limit, name) in enumerate(((0.05, "5% for each"), (0.05 / FEATURES, "Holm: 5% for all"))):
        at = chart.map_y(limit)
        alarms = sum(p <= limit for p in smallest)
        shapes.append(draw_line(chart.left, at, chart.left + chart.width, at, f"line-{'eb'[place]} dash"))
        shapes.append(
            draw_text(62 + 200 * place, 318, f"{name}: {alarms} alarms", css_class=f"bold word-{'eb'[place]}")
        )
    return Figure("The smallest of twenty p-values on a hundred days without drift", 334, shapes)


FIGURES = {"distance": draw_sample_distance, "alarms": draw_false_alarms}
