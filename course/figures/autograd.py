"""Pictures for module 09: a graph with values and gradients, and the memory that a training step uses."""

from __future__ import annotations

from typing import Any

import numpy as np
from tinytorch.activations import ReLU
from tinytorch.autograd import Tape, require_grad
from tinytorch.dense import MLP, CrossEntropyLoss
from tinytorch.tensor import Tensor

from course.figures.canvas import WIDTH, Figure, draw_arrow, draw_dot
from course.figures.charts import Chart, Scale, draw_axes, draw_curve
from grading.render.svg import draw_text


def draw_computation_graph() -> Figure:
    """Draw the graph of (a · b + b)², with each value above its gradient, as the tape computes them."""
    a, b = Tensor(2.0), Tensor(3.0)
    require_grad([a, b])
    with Tape() as tape:
        v1 = a * b
        v2 = v1 + b
        loss = v2**2
    grads = _trace_gradients(tape, loss)
    nodes = {
        "a": (48, 66, a, a.grad), "b": (48, 196, b, b.grad), "a·b": (174, 66, v1, grads[0]),
        "+b": (300, 66, v2, grads[1]), "²": (426, 66, loss, grads[2]),
    }  # fmt: skip
    shapes = []
    for start, end in (("a", "a·b"), ("b", "a·b"), ("a·b", "+b"), ("b", "+b"), ("+b", "²")):
        (x1, y1), (x2, y2) = nodes[start][:2], nodes[end][:2]
        length = np.hypot(x2 - x1, y2 - y1)
        u, v = (x2 - x1) / length, (y2 - y1) / length
        shapes.append(draw_arrow(x1 + 34 * u, y1 + 34 * v, x2 - 34 * u, y2 - 34 * v, "axis"))
    for name, (x, y, value, grad) in nodes.items():
        shapes.append(draw_dot(x, y, "fill-paper", 31))
        shapes.append(f'<circle class="axis" fill="none" cx="{x}" cy="{y}" r="30"/>')
        shapes.append(draw_text(x, y - 8, name, "middle", css_class="small bold"))
        shapes.append(draw_text(x, y + 14, f"{value.item():g}", "middle", css_class="bold word-a"))
        shapes.append(draw_text(x, y + 50, f"{grad.item():g}", "middle", css_class="bold word-b"))
    shapes.append(draw_text(190, 202, "values, from left to right", css_class="bold word-a"))
    shapes.append(draw_text(190, 224, "gradients, from right to left", css_class="bold word-b"))
    shapes.append(draw_text(190, 246, "b has two arrows: 18 · 1 + 18 · 2 = 54", css_class="small"))
    return Figure("The graph of (a times b plus b) squared with values and gradients", 268, shapes)


def _trace_gradients(tape: Tape, loss: Tensor) -> dict[int, Tensor]:
    """Run backward, and map the number of each tape entry to the gradient that reached it."""
    seen: dict[int, Tensor] = {}
    entries, play = list(tape.entries), tape.play

    def record_entry_gradient(entry: tuple, grad: np.ndarray, grads: dict) -> Any:
        """Keep the gradient that reaches this entry."""
        seen[next(i for i, known in enumerate(entries) if known is entry)] = Tensor(grad)
        return play(entry, grad, grads)

    tape.play = record_entry_gradient
    loss.backward()
    return seen


def draw_tape_memory() -> Figure:
    """Draw the number of bytes in outputs that the tape holds after each op's forward and each rule's backward."""
    rng = np.random.default_rng(0)
    network, criterion = MLP((784, 256, 256, 256, 10), ReLU, rng=rng), CrossEntropyLoss()
    require_grad(network.parameters())
    images, labels = Tensor(rng.normal(size=(256, 784)).astype("float32")), Tensor(rng.integers(0, 10, 256))
    with Tape() as tape:
        loss = criterion(network(images), labels)
    sizes = [entry[3].nbytes for entry in tape.entries]
    held = np.cumsum([0, *sizes]) / 2**20
    weights = sum(parameter.data.nbytes for parameter in network.parameters()) / 2**20
    loss.backward()
    steps = len(sizes)
    most = float(np.ceil(held.max() * 2) / 2)
    chart = Chart(46, 60, WIDTH - 66, 170, Scale(0, 2 * steps), Scale(0, max(most, 1.5)))
    shapes = draw_axes(chart, [], [(v, f"{v:g}") for v in np.arange(0, chart.y.high + 0.1, 0.5)])
    shapes.append(draw_text(14, 24, "MiB of outputs that are needed later", css_class="bold"))
    x, y = [0.0], [0.0]
    for step in range(steps):
        x += [step, step + 1]
        y += [held[step], held[step + 1]]
    for step in range(steps):
        x += [steps + step, steps + step + 1]
        y += [held[steps - step], held[steps - step - 1]]
    shapes.append(draw_curve(chart, x, y, "line-a"))
    shapes.append(draw_curve(chart, [0, 2 * steps], [weights, weights], "line-b dash"))
    shapes.append(draw_text(chart.map_x(0) + 6, chart.map_y(weights) - 6, "all parameters", css_class="small word-b"))
    middle = chart.map_x(steps)
    shapes.append(
        draw_text((chart.left + middle) / 2, 250, "forward: every op adds its output", "middle", css_class="small")
    )
    shapes.append(draw_text((middle + WIDTH - 20) / 2, 250, "backward: used, then freed", "middle", css_class="small"))
    return Figure("Memory for outputs during the forward and the backward pass", 266, shapes)


FIGURES = {"graph": draw_computation_graph, "memory": draw_tape_memory}
