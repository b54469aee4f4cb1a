"""Pictures for module 05: how ten layers change a signal, and what training with small batches finds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tinytorch.activations import ReLU
from tinytorch.dense import MLP, CrossEntropyLoss, accuracy, he_normal, train_epoch, xavier_uniform
from tinytorch.tensor import Tensor

from course.figures.canvas import Figure, draw_dot, draw_pixels
from course.figures.charts import Chart, Scale, draw_axes, draw_bars
from grading.render.svg import draw_box, draw_text

PIXELS = 54


def draw_layer_outputs() -> Figure:
    """Draw histograms of the outputs of layers 1, 3 and 10 for three kinds of initial weights."""
    starts: dict[str, Callable] = {
        "deviation 0.01": lambda rng, shape: rng.normal(0, 0.01, shape).astype("float32"),
        "Xavier": xavier_uniform,
        "He": he_normal,
    }
    edges = np.linspace(-5, 5, 41)
    shapes = [draw_text(98 + 128 * k, 24, f"layer {n}", css_class="bold") for k, n in enumerate((1, 3, 10))]
    for row, (name, init) in enumerate(starts.items()):
        network = _convert_to_float64(MLP([256] * 11, ReLU, init, rng=np.random.default_rng(0)))
        network(Tensor(np.random.default_rng(1).normal(size=(40, 256))))
        top = 50 + 112 * row
        shapes.append(draw_text(14, top + 34, name.split()[0], css_class="bold"))
        shapes.append(draw_text(14, top + 52, "".join(name.split()[1:]), css_class="bold"))
        for column, place in enumerate((0, 4, 18)):
            values = network[place].output.numpy().ravel()
            shares = np.histogram(values, edges)[0] / len(values)
            chart = Chart(98 + 128 * column, top, 114, 66, Scale(-5, 5), Scale(0, 0.25))
            shapes += draw_axes(chart, [(-5, "-5"), (0, "0"), (5, "5")], [], grid=False)
            shapes.append(draw_bars(chart, edges[:-1], edges[1:], shares, f'class="fill-{"bea"[row]}"'))
            shapes.append(draw_text(chart.left + 114, top - 4, f"σ = {values.std():.2g}", "end", css_class="small"))
    return Figure("Outputs of layers 1, 3 and 10 for three kinds of initial weights", 380, shapes)


def draw_spiral_predictions() -> Figure:
    """Train on a spiral in batches of 600 and of 20, and draw the class that each network predicts in the plane."""
    inputs, targets = _sample_spiral(np.random.default_rng(0), 600)
    shapes = []
    for place, batch in enumerate((600, 20)):
        rng, criterion = np.random.default_rng(0), CrossEntropyLoss()
        network = _convert_to_float64(MLP([2, 64, 64, 3], ReLU, he_normal, rng=rng))
        for _ in range(10):
            train_epoch(network, criterion, inputs, targets, 0.1, batch, rng)
        chart = Chart(20 + 228 * place, 62, 212, 212, Scale(-1.05, 1.05), Scale(-1.05, 1.05))
        middles = ((np.arange(PIXELS) + 0.5) / PIXELS * 2 - 1) * 1.05
        plane = np.stack(np.meshgrid(middles, middles[::-1]), axis=-1).reshape(-1, 2)
        classes = network(Tensor(plane)).numpy().argmax(axis=1).reshape(PIXELS, PIXELS)
        looks = [f'class="pixel-{kind}" stroke-opacity="0.28"' for kind in "abc"]
        right = accuracy(network(inputs), targets)
        shapes.append(draw_text(chart.left, 28, f"batches of {batch}", css_class="bold"))
        shapes.append(draw_text(chart.left, 50, f"{10 * 600 // batch} steps: {right:.0%} right", css_class="small"))
        shapes.append(draw_pixels(classes, chart.left, chart.top, 212 / PIXELS, looks))
        for (x, y), kind in zip(inputs.numpy()[:200], targets.numpy(), strict=False):
            shapes.append(draw_dot(chart.map_x(x), chart.map_y(y), f"fill-{'abc'[kind]}", 2))
        shapes.append(draw_box(chart.left, chart.top, 212, 212, 'fill="none" class="axis"'))
    return Figure("A spiral of three arms, learned in batches of 600 and of 20", 290, shapes)


def _convert_to_float64(network):
    """Convert the network in place to float64, so that rounding never shows in a picture, and return it."""
    for parameter in network.parameters():
        parameter.data = parameter.data.astype(np.float64)
    return network


def _sample_spiral(rng: np.random.Generator, n: int) -> tuple[Tensor, Tensor]:
    """Sample n points of task 5.9's spiral, with their classes."""
    targets, radius = rng.integers(0, 3, n), rng.uniform(0, 1, n)
    angle = 4 * radius + targets * 2 * np.pi / 3 + rng.normal(0, 0.15, n)
    return Tensor(np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)), Tensor(targets)


FIGURES = {"signals": draw_layer_outputs, "spiral": draw_spiral_predictions}
