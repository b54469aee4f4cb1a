"""Pictures for module 11: three kinds of training runs, when to stop, and what a resumed run needs."""

from __future__ import annotations

import numpy as np
from tinytorch.activations import ReLU
from tinytorch.dataloader import ArrayDataset, DataLoader
from tinytorch.dense import MLP, CrossEntropyLoss
from tinytorch.optimizers import SGD, Adam
from tinytorch.training import EarlyStopping, Trainer, has_converged, since_best

from course.figures.canvas import WIDTH, Figure, draw_dot, draw_line
from course.figures.charts import Chart, Scale, draw_axes, draw_curve, make_ticks
from grading.render.svg import draw_box, draw_text

WINDOW, TOLERANCE = 4, 0.02


def _make_checkerboard(seed: int, count: int, noise: float) -> ArrayDataset:
    """Create points on a checkerboard of four squares; a share `noise` of them has the wrong label."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 2))
    wrong = rng.random(count) < noise
    return ArrayDataset(points, ((points[:, 0] * points[:, 1] > 0) ^ wrong).astype(int))


def _build_trainer(optimizer, hidden_units: int, callbacks=()) -> Trainer:
    """Build a float64 trainer for checkerboard points. ``optimizer`` is a function of the network's parameters.

    With float64, rounding does not show in any picture.
    """
    network = MLP((2, hidden_units, hidden_units, 2), ReLU, rng=np.random.default_rng(1))
    for parameter in network.parameters():
        parameter.data = parameter.data.astype(np.float64)
    return Trainer(network, CrossEntropyLoss(), optimizer(network.parameters()), callbacks=callbacks)


def draw_training_runs() -> Figure:
    """Train three networks, and draw their runs: one converges, one overfits, one has too large a learning rate."""
    panels = (
        ("converged", 600, 0.0, lambda p: SGD(p, lr=0.02, momentum=0.9), 40, 32),
        ("overfitting", 60, 0.2, lambda p: Adam(p, lr=0.01), 60, 64),
        ("diverging", 300, 0.0, lambda p: SGD(p, lr=0.7, momentum=0.97), 12, 32),
    )
    shapes = []
    for place, (name, n, noise, optimizer, epochs, hidden) in enumerate(panels):
        trainer = _build_trainer(optimizer, hidden)
        loader = DataLoader(_make_checkerboard(0, n, noise), 30, shuffle=True, rng=np.random.default_rng(2))
        history = trainer.fit(loader, epochs, validation=DataLoader(_make_checkerboard(5, 300, noise), 100))
        chart = Chart(38 + 154 * place, 48, 116, 160, Scale(1, epochs), Scale(0, 2 if place else 1))
        shapes += draw_axes(chart, [(1, "1"), (epochs, f"{epochs}")], make_ticks(0, chart.y.high), x_label="epochs")
        shapes.append(draw_text(chart.left, 26, name, css_class="bold"))
        steps = [row["epoch"] for row in history]
        for key, kind in (("loss", "a"), ("val_loss", "b")):
            shapes.append(draw_curve(chart, steps, [row[key] for row in history], f"line-{kind}"))
    shapes.append(draw_text(38, 264, "training loss", css_class="bold word-a"))
    shapes.append(draw_text(150, 264, "validation loss", css_class="bold word-b"))
    return Figure("Runs that converge, overfit and diverge", 280, shapes)


def draw_early_stopping() -> Figure:
    """Train a network, and draw its losses, its best epoch, where it stops early, and the windows of has_converged."""
    trainer = _build_trainer(lambda p: Adam(p, lr=0.002), 48, [EarlyStopping(patience=8)])
    loader = DataLoader(_make_checkerboard(0, 120, 0.15), 30, shuffle=True, rng=np.random.default_rng(2))
    history = trainer.fit(loader, 60, validation=DataLoader(_make_checkerboard(5, 300, 0.15), 100))
    losses, checks = ([row[key] for row in history] for key in ("loss", "val_loss"))
    epochs, most = len(history), np.ceil(max(losses + checks) * 10) / 10
    best = epochs - since_best(checks)
    chart = Chart(46, 56, WIDTH - 66, 190, Scale(1, epochs), Scale(0, float(most)))
    x = [(k, f"{k}") for k in range(5, epochs + 1, 5)]
    shapes = [draw_text(14, 24, "loss", css_class="bold")]
    for number, name in ((2, "A"), (1, "B")):
        start, end = epochs - number * WINDOW + 0.5, epochs - (number - 1) * WINDOW + 0.5
        left, right = chart.map_x(start), min(chart.map_x(end), chart.left + chart.width)
        look = f'class="fill-a" fill-opacity="{0.1 * (3 - number):.1f}"'
        shapes.append(draw_box(left, chart.top, right - left, chart.height, look))
        shapes.append(draw_text((left + right) / 2, chart.top + chart.height - 8, name, "middle", css_class="bold"))
    shapes += draw_axes(chart, x, make_ticks(0, float(most)), x_label="epochs")
    shapes.append(draw_curve(chart, range(1, epochs + 1), losses, "line-a"))
    shapes.append(draw_curve(chart, range(1, epochs + 1), checks, "line-b"))
    shapes.append(draw_line(chart.map_x(best), chart.top, chart.map_x(best), chart.top + chart.height, "line-c dash"))
    shapes.append(draw_dot(chart.map_x(best), chart.map_y(checks[best - 1]), "fill-c", 5))
    shapes.append(
        draw_text(chart.map_x(best), chart.top - 8, f"best: epoch {best}", "middle", css_class="small word-c")
    )
    said = f"stopped at epoch {epochs}, after 8 without a better one"
    shapes.append(draw_text(WIDTH - 20, 24, said, "end", css_class="small"))
    done = "it has converged" if has_converged(losses, WINDOW, TOLERANCE) else "it still falls"
    a, b = (float(np.mean(losses[-2 * WINDOW : -WINDOW])), float(np.mean(losses[-WINDOW:])))
    said = f"training: A = {a:.3f}, B = {b:.3f}, {(a - b) / (losses[0] - b):.1%} of the fall: {done}"
    shapes.append(draw_text(46, 300, said, css_class="small word-a"))
    shapes.append(draw_text(46, 320, "validation", css_class="small word-b"))
    return Figure("Training and validation loss with the best epoch and the epoch of early stopping", 334, shapes)


def draw_resumed_losses() -> Figure:
    """Train with an interruption, and draw the losses after resuming with the complete state or with parts lost."""
    before, after, data = 60, 16, _make_checkerboard(0, 120, 0.0)

    def build_seeded_training() -> tuple[Trainer, DataLoader]:
        """Build a trainer and a loader from the same seeds."""
        trainer, loader = (
            _build_trainer(lambda p: Adam(p, lr=0.02), 24),
            DataLoader(data, 60, True, rng=np.random.default_rng(2)),
        )
        trainer.loader = loader
        return trainer, loader

    runs = {}
    for lost in ("", "optimizer.", "loader."):
        losses: list[float] = []
        first, loader = build_seeded_training()
        first.fit(loader, before, progress=lambda *_, loss, losses=losses, **__: losses.append(loss))
        second, loader = build_seeded_training()
        fresh = {name: value for name, value in second.state_dict().items() if lost and name.startswith(lost)}
        second.load_state_dict(first.state_dict() | fresh, loader)
        second.fit(loader, before + after, progress=lambda *_, loss, losses=losses, **__: losses.append(loss))
        runs[lost] = losses
    never: list[float] = []
    trainer, loader = build_seeded_training()
    trainer.fit(loader, before + after, progress=lambda *_, loss, **__: never.append(loss))
    shown = range(before * 2 - 16, len(losses))
    chart = Chart(46, 44, WIDTH - 66, 180, Scale(shown[0], shown[-1]), Scale(0, 0.3))
    shapes = draw_axes(chart, [(k, f"{k}") for k in range(105, 152, 15)], make_ticks(0, 0.3), x_label="steps")
    shapes.append(draw_text(14, 24, "loss of each batch", css_class="bold"))
    cut = chart.map_x(before * 2 - 0.5)
    shapes.append(draw_line(cut, chart.top, cut, chart.top + chart.height, "axis dash"))
    shapes.append(draw_text(cut - 5, chart.top + 12, "resumed here", "end", css_class="small"))
    shapes += [draw_dot(chart.map_x(k), chart.map_y(never[k]), "fill-ink", 3) for k in shown]
    names = {
        "optimizer.": "without the optimiser's state",
        "loader.": "without the loader's generator",
        "": "with the complete state (dots: never stopped)",
    }
    for place, (lost, name) in enumerate(names.items()):
        kind = "bca"[place]
        shapes.append(draw_curve(chart, shown, runs[lost][shown[0] :], f"line-{kind}"))
        shapes.append(draw_text(46, 286 + 20 * place, name, css_class=f"bold word-{kind}"))
    return Figure("Losses around an interruption, with the complete state and with parts of it lost", 342, shapes)


FIGURES = {"runs": draw_training_runs, "stopping": draw_early_stopping, "resume": draw_resumed_losses}
