"""Pictures for module 12: how rounding changes numbers, and which weights are pruned."""

from __future__ import annotations

import numpy as np
from tinytorch.compression import dequantize, global_masks, quantize, remove_channels
from tinytorch.layers import Dense, Sequential
from tinytorch.spatial import Conv2d, Flatten

from course.figures.canvas import WIDTH, Figure
from course.figures.charts import Chart, Scale, draw_axes, draw_curve, draw_signed_heatmap
from grading.render.svg import draw_box, draw_text


def draw_rounding_errors() -> Figure:
    """Draw numbers rounded to steps of 0.2, and their rounding errors."""
    scale = 0.2
    x = np.linspace(-1.1, 1.1, 441)
    back = dequantize(quantize(x, scale), scale).astype(np.float64)
    high = Chart(52, 40, WIDTH - 72, 190, Scale(-1.1, 1.1), Scale(-1.1, 1.1))
    low = Chart(52, 278, WIDTH - 72, 80, Scale(-1.1, 1.1), Scale(-0.15, 0.15))
    ticks = [(v / 5, f"{v / 5:g}") for v in range(-5, 6)]
    shapes = draw_axes(high, ticks[::2], ticks[::2])
    shapes.append(draw_text(14, 24, "dequantize(quantize(x, 0.2), 0.2)", css_class="bold"))
    shapes.append(draw_curve(high, [-1.1, 1.1], [-1.1, 1.1], "axis dash"))
    shapes.append(draw_curve(high, x, back, "line-a"))
    shapes.append(draw_text(14, 266, "error: at most half a step", css_class="bold"))
    shapes += draw_axes(low, ticks[::2], [(-0.1, "-0.1"), (0.0, "0"), (0.1, "0.1")], x_label="x")
    jumps = np.flatnonzero(np.diff(back)) + 1
    for part in np.split(np.arange(len(x)), jumps):
        if len(part) > 1:
            shapes.append(draw_curve(low, x[part], (back - x)[part], "line-b"))
    return Figure("Numbers rounded to steps of 0.2, and their errors", 404, shapes)


def draw_pruned_weights() -> Figure:
    """Draw one layer's weights: all of them, with half set to 0, and with a quarter of the channels removed."""
    rng = np.random.default_rng(0)
    conv, head = Conv2d(4, 16, 3, rng=rng), Dense(16, 4, rng=rng)
    conv.weight.data *= rng.uniform(0.3, 1.2, size=(16, 1, 1, 1)).astype("float32")
    weight = conv.weight.numpy().reshape(16, 36)
    masked = np.where(global_masks([conv.weight.numpy()], 0.5)[0].reshape(16, 36), weight, 0)
    strength = np.abs(weight).sum(axis=1)
    keep = sorted(strength.argsort()[4:].tolist())
    small = remove_channels(Sequential(conv, Flatten(), head), 0, keep)[0].weight.numpy().reshape(12, 36)
    shapes, most, top = [], np.abs(weight).max(), 36.0
    for name, values in (
        ("all 16 × 36 weights", weight),
        ("half of them 0, still 2,304 bytes", masked),
        ("4 channels removed, 1,728 bytes", small),
    ):
        shapes.append(draw_text(14, top - 10, f"{name}", css_class="bold"))
        shapes.append(draw_signed_heatmap(values, 14, top, 12.4, most, pixel_height=7))
        shapes.append(draw_box(14, top, 446.4, 7 * len(values), 'fill="none" class="axis"'))
        top += 7 * len(values) + 38
    assert weight.nbytes == 2304
    assert small.nbytes == 1728
    return Figure(
        "Weights of a layer: all, half set to zero, and with a quarter of the channels removed", top - 22, shapes
    )


FIGURES = {"rounding": draw_rounding_errors, "pruning": draw_pruned_weights}
