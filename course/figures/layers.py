"""Pictures for module 04: a network learning XOR, and three learning rates in one valley."""

from __future__ import annotations

import numpy as np
from tinytorch.activations import Sigmoid, Tanh
from tinytorch.layers import BCELoss, Dense, MSELoss, Sequential, gradient_descent_step
from tinytorch.tensor import Tensor

from course.figures.canvas import Figure, draw_dot, draw_line, draw_pixels
from course.figures.charts import Chart, Scale, draw_axes, draw_curve, make_ticks
from grading.render.svg import draw_box, draw_text

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
LABELS = np.array([[0], [1], [1], [0]], np.float64)
STEPS = (0, 100, 300, 1000)
PIXELS = 40
LEVELS = 10


def draw_xor_training() -> Figure:
    """Train a network on XOR, and draw its output over the plane at four steps, and where its hidden units bend."""
    rng = np.random.default_rng(3)
    network, criterion = Sequential(Dense(2, 4, rng=rng), Tanh(), Dense(4, 1, rng=rng), Sigmoid()), BCELoss()
    for parameter in network.parameters():
        parameter.data = parameter.data.astype(np.float64)
    shapes: list[str] = []
    for step in range(STEPS[-1] + 1):
        if step in STEPS:
            at = STEPS.index(step)
            loss = criterion(network(Tensor(CORNERS)), Tensor(LABELS)).item()
            shapes += _draw_plane(network, 24 + 226 * (at % 2), 38 + 240 * (at // 2), f"step {step:,}: loss {loss:.3f}")
        gradient_descent_step(network, criterion, Tensor(CORNERS), Tensor(LABELS), lr=1.0)
    shapes.append(draw_text(24, 506, "blue: the network answers 1; orange: it answers 0", css_class="small"))
    return Figure("A network learning XOR at steps 0, 100, 300 and 1,000", 520, shapes)


def _draw_plane(network: Sequential, left: float, top: float, title: str) -> list[str]:
    """Draw the network's output over the plane, and the lines where its hidden units bend."""
    chart = Chart(left, top, 200, 200, Scale(-0.5, 1.5), Scale(-0.5, 1.5))
    middles = (np.arange(PIXELS) + 0.5) / PIXELS * 2 - 0.5
    points = np.stack(np.meshgrid(middles, middles[::-1]), axis=-1).reshape(-1, 2)
    answers = network(Tensor(points)).numpy().reshape(PIXELS, PIXELS)
    levels = np.clip((answers * LEVELS).astype(int), 0, LEVELS - 1)
    strengths = [abs(level - (LEVELS - 1) / 2) / (LEVELS - 1) * 1.3 for level in range(LEVELS)]
    looks = [
        f'class="pixel-{"ab"[level < LEVELS / 2]}" stroke-opacity="{strength:.2f}"'
        for level, strength in enumerate(strengths)
    ]
    shapes = [draw_text(left, top - 10, title), draw_pixels(levels, left, top, 200 / PIXELS, looks)]
    for (w1, w2), bias in zip(network[0].weight.numpy(), network[0].bias.numpy(), strict=True):
        ends = _find_line_ends_in_square(w1, w2, bias)
        if len(ends) == 2:
            (x1, y1), (x2, y2) = [(chart.map_x(x), chart.map_y(y)) for x, y in ends]
            shapes.append(draw_line(x1, y1, x2, y2, "line-ink dash thin"))
    for (x, y), label in zip(CORNERS, LABELS.ravel(), strict=True):
        at = chart.map_x(x), chart.map_y(y)
        shapes.append(draw_dot(*at, "fill-paper", 9))
        shapes.append(draw_dot(*at, "fill-ink", 8))
        shapes.append(draw_dot(*at, "fill-paper", 7) if label == 0 else "")
        kind = "small bold" + (" word-paper" if label else " word-ink")
        shapes.append(draw_text(at[0], at[1] + 4, f"{label:g}", "middle", css_class=kind))
    shapes.append(draw_box(left, top, 200, 200, 'fill="none" class="axis"'))
    return [shape for shape in shapes if shape]


def _find_line_ends_in_square(w1: float, w2: float, bias: float) -> list[tuple[float, float]]:
    """Return the two points where the line w1 x + w2 y + bias = 0 leaves the drawn square, or none if it misses it."""
    low, high = -0.5, 1.5
    ends = [(x, -(w1 * x + bias) / w2) for x in (low, high)] + [(-(w2 * y + bias) / w1, y) for y in (low, high)]
    return [(x, y) for x, y in ends if low - 1e-9 <= x <= high + 1e-9 and low - 1e-9 <= y <= high + 1e-9][:2]


def draw_learning_rate_effects() -> Figure:
    """Draw gradient descent on the parabola of task 4.7 with three learning rates: too small, good and too large."""
    inputs, targets = Tensor(np.array([[1.0], [2.0], [3.0]])), Tensor(np.array([[2.0], [4.0], [6.0]]))
    shapes = []
    panels = (
        (0.01, (-0.6, 4.6), 24.0, "crawls"),
        (0.1, (-0.6, 4.6), 24.0, "arrives"),
        (0.3, (-8, 12), 420.0, "flies off"),
    )
    for place, (lr, ends, most, said) in enumerate(panels):
        chart = Chart(42 + 152 * place, 52, 112, 150, Scale(*ends), Scale(0, most))
        line = Dense(1, 1, bias=False, rng=np.random.default_rng(0))
        line.weight.data = np.zeros((1, 1))
        places, losses = [], []
        for _ in range(7 if lr < 0.3 else 4):
            places.append(line.weight.item())
            losses.append(gradient_descent_step(line, MSELoss(), inputs, targets, lr))
        w = np.linspace(*ends, 60)
        shapes += draw_axes(chart, make_ticks(*ends), make_ticks(0, most), x_label="w")
        shapes.append(draw_text(chart.left - 26, 24, f"lr = {lr}", css_class="bold"))
        shapes.append(draw_text(chart.left + 112, 24, said, "end", css_class="word-b"))
        shapes.append(draw_curve(chart, w, 14 / 3 * (w - 2) ** 2, "axis"))
        shapes.append(draw_curve(chart, places, losses, "line-b"))
        shapes += [
            draw_dot(chart.map_x(x), chart.map_y(y), "fill-b", 4)
            for x, y in zip(places, losses, strict=True)
            if y <= most
        ]
    return Figure("Gradient descent on one parabola with three learning rates", 252, shapes)


FIGURES = {"xor": draw_xor_training, "rates": draw_learning_rate_effects}
