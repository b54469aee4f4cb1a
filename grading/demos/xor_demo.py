"""Demonstration 1: the XOR network's decision boundary, drawn while it learns."""

from __future__ import annotations

import numpy as np
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from grading.checks.student_network import StudentNetwork
from grading.checks.xor_training import LABELS, POINTS, compute_binary_cross_entropy
from grading.client import Worker
from grading.manifest.model import Milestone
from grading.render.screen import Screen

COLUMNS, ROWS = 32, 16
FRAMES = 40
LOW, HIGH = -0.25, 1.25
SHADES = " ·░▒▓█"


def play_xor_demo(worker: Worker, screen: Screen, milestone: Milestone, seed: int) -> None:
    """Train a network, and draw its decision boundary as it learns. Exceptions in student code are not caught."""
    network = StudentNetwork(worker, milestone.trigger, seed)
    losses = [compute_binary_cross_entropy(network.predict(POINTS), LABELS)]
    screen.show_frame(_render_boundary(network, "before training: fresh weights", losses))

    def measure_and_draw_if_due(step: float, steps: float) -> None:
        """Measure the loss and draw the boundary if the next frame is due."""
        if step >= len(losses) * steps / FRAMES and len(losses) < FRAMES:
            losses.append(compute_binary_cross_entropy(network.predict(POINTS), LABELS))
            screen.show_frame(_render_boundary(network, f"step {step:.0f} of {steps:.0f}", losses))

    network.train(POINTS, LABELS, seed, milestone.budget.train_seconds, measure_and_draw_if_due)
    losses.append(compute_binary_cross_entropy(network.predict(POINTS), LABELS))
    screen.show_frame(_render_boundary(network, "after training", losses))


def _render_boundary(network: StudentNetwork, title: str, losses: list[float]) -> Panel:
    """Draw a panel with the plane shaded by the network's answers, the answers at four points, and the last loss."""
    across, down = np.linspace(LOW, HIGH, COLUMNS), np.linspace(HIGH, LOW, ROWS)
    grid = np.stack(np.meshgrid(across, down), -1).reshape(-1, 2).astype(np.float32)
    shades = network.predict(grid).reshape(ROWS, COLUMNS)
    marks = {
        (int(np.abs(down - y).argmin()), int(np.abs(across - x).argmin())): f"{target[0]:.0f}"
        for (x, y), target in zip(POINTS, LABELS, strict=True)
    }
    picture = Text()
    for row in range(ROWS):
        for column in range(COLUMNS):
            p = float(shades[row, column])
            style = "bright_blue" if p > 0.5 else "red"
            if (row, column) in marks:
                picture.append(marks[row, column], style=f"bold reverse {style}")
            else:
                picture.append(SHADES[min(int(p * len(SHADES)), len(SHADES) - 1)], style=style)
        picture.append("\n")
    answers = Text()
    for (x, y), target, p in zip(POINTS, LABELS, network.predict(POINTS), strict=True):
        right = (p[0] > 0.5) == (target[0] > 0.5)
        answers.append(f"{x:.0f} xor {y:.0f} = {target[0]:.0f}   network: {p[0]:.3f}  {'✓' if right else '✗'}\n")
    answers.append(f"loss {losses[-1]:.4f}")
    return Panel(Group(picture, answers), title=title, width=COLUMNS + 4)
