"""Pictures for module 03: the functions with their slopes, and how ten of them shrink a gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tinytorch.activations import GELU, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from tinytorch.dense import MLP, he_normal, xavier_uniform
from tinytorch.tensor import Tensor

from course.figures.canvas import WIDTH, Figure, draw_dot, draw_line
from course.figures.charts import Chart, Scale, draw_axes, draw_curve
from grading.render.svg import draw_text

LAYERS, UNITS = 10, 64


def draw_activations() -> Figure:
    """Draw six activations, each above its slope; for softmax, one of three scores varies and the others are 0."""
    x = np.linspace(-4, 4, 81)
    layers = {
        "ReLU": ReLU(),
        "LeakyReLU(0.1)": LeakyReLU(0.1),
        "Sigmoid": Sigmoid(),
        "Tanh": Tanh(),
        "Softmax (x, 0, 0)": Softmax(),
        "GELU": GELU(),
    }
    shapes = []
    for place, (name, layer) in enumerate(layers.items()):
        left, top = 34 + 154 * (place % 3), 40 + 216 * (place // 3)
        points = np.stack([x, 0 * x, 0 * x], axis=1) if name.startswith("Soft") else x[:, None]
        values = layer(Tensor(points)).numpy()[:, 0]
        grad = np.zeros_like(points)
        grad[:, 0] = 1
        slopes = layer.backward(Tensor(grad)).numpy()[:, 0]
        high = Chart(left, top, 118, 84, Scale(-4, 4), Scale(-1.2, 2.2))
        low = Chart(left, top + 98, 118, 58, Scale(-4, 4), Scale(-0.2, 1.2))
        shapes.append(draw_text(left, top - 12, name, css_class="bold"))
        shapes += draw_axes(high, [], [(-1.0, "-1"), (0.0, "0"), (1.0, "1"), (2.0, "2")])
        shapes += draw_axes(low, [(-4, "-4"), (0, "0"), (4, "4")], [(0.0, "0"), (1.0, "1")])
        shapes.append(draw_line(high.map_x(0), high.top, high.map_x(0), low.top + low.height, "grid"))
        shapes.append(draw_curve(high, x, values, "line-a"))
        shapes.append(draw_curve(low, x, slopes, "line-b"))
    shapes.append(draw_text(34, 470, "function", css_class="bold word-a"))
    shapes.append(draw_text(110, 470, "slope", css_class="bold word-b"))
    return Figure("Six activations with their slopes", 484, shapes)


def draw_vanishing_gradients() -> Figure:
    """Draw the size of the gradient on its way back through ten layers of sigmoids and of ReLUs."""
    chart = Chart(62, 44, WIDTH - 92, 210, Scale(10, 0), Scale(1e-8, 10, log=True))
    x = [(k, f"{k}") for k in range(LAYERS, -1, -2)]
    y = [(10.0**k, f"1e{k}" if k else "1") for k in range(-8, 2, 2)]
    shapes = draw_axes(chart, x, y, x_label="layers left on the way back")
    shapes.append(draw_text(14, 24, "size of the gradient, which is 1 where it starts"))
    for name, activation, init, kind in (("ReLU", ReLU, he_normal, "a"), ("sigmoid", Sigmoid, xavier_uniform, "b")):
        sizes = _measure_layer_gradients(activation, init)
        shapes.append(draw_curve(chart, range(LAYERS, -1, -1), sizes, f"line-{kind}"))
        for layer, size in zip(range(LAYERS, -1, -1), sizes, strict=True):
            shapes.append(draw_dot(chart.map_x(layer), chart.map_y(size), f"fill-{kind}", 3))
        middle = chart.map_x(4), chart.map_y(sizes[LAYERS - 4])
        anchor, shift = ("start", -14) if kind == "a" else ("end", 22)
        shapes.append(draw_text(middle[0], middle[1] + shift, name, anchor, css_class=f"bold word-{kind}"))
        shapes.append(
            draw_text(
                chart.map_x(0),
                chart.map_y(sizes[-1]) + (18 if kind == "b" else -10),
                f"{sizes[-1]:.2g}".replace("e-0", "e-"),
                "end",
                css_class="small",
            )
        )
    return Figure("Size of a gradient through ten layers of sigmoids and of ReLUs", 304, shapes)


def _measure_layer_gradients(activation: type, init: Callable) -> list[float]:
    """Return the gradient's root mean squares from the end to before the first layer, divided by the one at the end."""
    rng = np.random.default_rng(0)
    network = MLP([UNITS] * (LAYERS + 1), activation, init, rng=rng)
    for parameter in network.parameters():
        parameter.data = parameter.data.astype(np.float64)
    network(Tensor(rng.normal(size=(32, UNITS))))
    grad = Tensor(rng.normal(size=(32, UNITS)))
    sizes = [1.0]
    first = float(np.sqrt((grad.numpy() ** 2).mean()))
    for layer in reversed(network.layers):
        grad = layer.backward(grad)
        if hasattr(layer, "weight"):
            sizes.append(float(np.sqrt((grad.numpy() ** 2).mean())) / first)
    return sizes


FIGURES = {"functions": draw_activations, "vanishing": draw_vanishing_gradients}
