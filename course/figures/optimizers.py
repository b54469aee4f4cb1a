"""Pictures for module 10: four optimisers in one valley, and three schedules."""

from __future__ import annotations

import numpy as np
from tinytorch.autograd import Tape
from tinytorch.optimizers import SGD, Adam, CosineAnnealingLR, OneCycleLR, Optimizer, StepLR
from tinytorch.tensor import Tensor

from course.figures.canvas import WIDTH, Figure, draw_dot
from course.figures.charts import Chart, Scale, draw_axes, draw_curve
from grading.render.svg import draw_text

STEPS = 40
RATES = 100


def draw_optimizer_paths() -> Figure:
    """Draw the paths of four optimisers from (10, 1) in the valley ½ (a² + 25 b²)."""
    kinds = {
        "plain, lr 0.07": lambda place: Optimizer([place], lr=0.07),
        "momentum 0.8, lr 0.04": lambda place: SGD([place], lr=0.04, momentum=0.8),
        "Nesterov 0.8, lr 0.04": lambda place: SGD([place], lr=0.04, momentum=0.8, nesterov=True),
        "Adam, lr 0.5": lambda place: Adam([place], lr=0.5),
    }
    shapes, angle = [], np.linspace(0, 2 * np.pi, 49)
    for row, (name, make) in enumerate(kinds.items()):
        chart = Chart(40, 36 + 116 * row, WIDTH - 60, 74, Scale(-4, 11), Scale(-1.3, 1.3))
        path, losses = _record_path(make)
        shapes.append(draw_text(40, chart.top - 10, name, css_class="bold"))
        said = f"loss after {STEPS} steps: {losses[-1]:.1g}"
        shapes.append(draw_text(WIDTH - 20, chart.top - 10, said, "end", css_class="small"))
        for level in (1, 4, 12, 30, 60):
            radius = np.sqrt(2 * level)
            parts = _split_into_visible_runs(radius * np.cos(angle), radius / 5 * np.sin(angle), chart)
            shapes += [draw_curve(chart, *part, "grid") for part in parts]
        shapes += draw_axes(chart, [(a, f"{a}") for a in (-4, 0, 4, 8)], [(-1, "-1"), (0, "0"), (1, "1")], grid=False)
        shapes.append(draw_curve(chart, path[:, 0], path[:, 1], f"line-{'bacd'[row]}"))
        for a, b in path:
            shapes.append(draw_dot(chart.map_x(a), chart.map_y(np.clip(b, -1.3, 1.3)), f"fill-{'bacd'[row]}", 2.5))
        shapes.append(draw_dot(chart.map_x(0), chart.map_y(0), "fill-ink", 3))
    return Figure("Paths of four optimisers through one valley", 496, shapes)


def _record_path(make_optimizer) -> tuple[np.ndarray, list[float]]:
    """Return the positions of an optimiser before and after each of STEPS steps, and the loss after each step."""
    place, scale = Tensor(np.array([10.0, 1.0])), Tensor(np.array([1.0, 25.0]))
    optimizer = make_optimizer(place)
    path, losses = [place.numpy().copy()], []
    for _ in range(STEPS):
        with Tape():
            loss = 0.5 * (scale * place * place).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        path.append(place.numpy().copy())
        losses.append(float((place.numpy() ** 2 * [0.5, 12.5]).sum()))
    return np.array(path), losses


def _split_into_visible_runs(x: np.ndarray, y: np.ndarray, chart: Chart) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the runs of two or more successive points whose x lies between the chart's left and right ends."""
    inside = (x >= chart.x.low) & (x <= chart.x.high)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    return [(x[a:b], y[a:b]) for a, b in ends.reshape(-1, 2) if b - a > 1]


def draw_rate_schedules() -> Figure:
    """Draw the learning rates of three schedules over a hundred steps."""
    chart = Chart(52, 46, WIDTH - 72, 180, Scale(0, RATES), Scale(0, 1))
    x, y = [(k, f"{k}") for k in range(0, RATES + 1, 25)], [(k / 4, f"{k / 4:g}") for k in range(5)]
    shapes = draw_axes(chart, x, y, x_label="steps taken")
    shapes.append(draw_text(14, 24, "learning rate, as a share of its maximum", css_class="bold"))
    schedules = (
        ("StepLR", lambda optimizer: StepLR(optimizer, 30, 0.3), "c"),
        ("CosineAnnealingLR", lambda optimizer: CosineAnnealingLR(optimizer, RATES), "a"),
        ("OneCycleLR", lambda optimizer: OneCycleLR(optimizer, 1.0, RATES), "b"),
    )
    for place, (name, make, kind) in enumerate(schedules):
        optimizer = SGD([Tensor([0.0])], lr=1.0)
        schedule, rates = make(optimizer), []
        for step in range(RATES):
            rates.append(optimizer.lr)
            if step < RATES - 1:
                schedule.step()
        shapes.append(draw_curve(chart, range(RATES), rates, f"line-{kind}"))
        shapes.append(draw_text((52, 150, 320)[place], 282, name, css_class=f"bold word-{kind}"))
    return Figure("Learning rate of StepLR, CosineAnnealingLR and OneCycleLR over 100 steps", 298, shapes)


FIGURES = {"valley": draw_optimizer_paths, "schedules": draw_rate_schedules}
