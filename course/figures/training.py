"""Pictures of module 11: three kinds of training runs, when to stop, and what a resumed run needs."""

from __future__ import annotations

import numpy as np
from tinytorch.activations import ReLU
from tinytorch.dataloader import ArrayDataset, DataLoader
from tinytorch.dense import MLP, CrossEntropyLoss
from tinytorch.optimizers import SGD, Adam
from tinytorch.training import EarlyStopping, Trainer, has_converged, since_best

from course.figures.canvas import WIDTH, Figure, draw_dot, draw_line
from course.figures.charts import Chart, Scale, draw_curve, draw_frame, make_ticks
from grading.render.svg import draw_box, write_word

WINDOW, TOLERANCE = 4, 0.02


def _make_data(seed: int, n: int, noise: float) -> ArrayDataset:
    """Make points on a checkerboard of four fields, some with the wrong label."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2))
    wrong = rng.random(n) < noise
    return ArrayDataset(points, ((points[:, 0] * points[:, 1] > 0) ^ wrong).astype(int))


def _build(optimizer, hidden: int, callbacks=()) -> Trainer:
    """Build a trainer for such points in float64, so that rounding shows nowhere."""
    network = MLP((2, hidden, hidden, 2), ReLU, rng=np.random.default_rng(1))
    for parameter in network.parameters():
        parameter.data = parameter.data.astype(np.float64)
    return Trainer(network, CrossEntropyLoss(), optimizer(network.parameters()), callbacks=callbacks)


def draw_runs() -> Figure:
    """Draw a run that converges, one that overfits, and one whose learning rate is too large."""
    panels = (
        ("converged", 600, 0.0, lambda p: SGD(p, lr=0.02, momentum=0.9), 40, 32),
        ("overfitting", 60, 0.2, lambda p: Adam(p, lr=0.01), 60, 64),
        ("diverging", 300, 0.0, lambda p: SGD(p, lr=0.7, momentum=0.97), 12, 32),
    )
    shapes = []
    for place, (name, n, noise, optimizer, epochs, hidden) in enumerate(panels):
        trainer = _build(optimizer, hidden)
        loader = DataLoader(_make_data(0, n, noise), 30, shuffle=True, rng=np.random.default_rng(2))
        history = trainer.fit(loader, epochs, validation=DataLoader(_make_data(5, 300, noise), 100))
        chart = Chart(38 + 154 * place, 48, 116, 160, Scale(1, epochs), Scale(0, 2 if place else 1))
        shapes += draw_frame(chart, [(1, "1"), (epochs, f"{epochs}")], make_ticks(0, chart.y.high), below="epochs")
        shapes.append(write_word(chart.left, 26, name, kind="bold"))
        steps = [row["epoch"] for row in history]
        for key, kind in (("loss", "a"), ("val_loss", "b")):
            shapes.append(draw_curve(chart, steps, [row[key] for row in history], f"line-{kind}"))
    shapes.append(write_word(38, 264, "training loss", kind="bold word-a"))
    shapes.append(write_word(150, 264, "validation loss", kind="bold word-b"))
    return Figure("A converged, an overfitting and a diverging run", 280, shapes)


def draw_stopping() -> Figure:
    """Draw one run's losses with its best epoch, the end by early stopping, and the windows of has_converged."""
    trainer = _build(lambda p: Adam(p, lr=0.002), 48, [EarlyStopping(patience=8)])
    loader = DataLoader(_make_data(0, 120, 0.15), 30, shuffle=True, rng=np.random.default_rng(2))
    history = trainer.fit(loader, 60, validation=DataLoader(_make_data(5, 300, 0.15), 100))
    losses, checks = ([row[key] for row in history] for key in ("loss", "val_loss"))
    epochs, most = len(history), np.ceil(max(losses + checks) * 10) / 10
    best = epochs - since_best(checks)
    chart = Chart(46, 56, WIDTH - 66, 190, Scale(1, epochs), Scale(0, float(most)))
    x = [(k, f"{k}") for k in range(5, epochs + 1, 5)]
    shapes = [write_word(14, 24, "loss", kind="bold")]
    for number, name in ((2, "A"), (1, "B")):
        start, end = epochs - number * WINDOW + 0.5, epochs - (number - 1) * WINDOW + 0.5
        left, right = chart.across(start), min(chart.across(end), chart.left + chart.width)
        look = f'class="fill-a" fill-opacity="{0.1 * (3 - number):.1f}"'
        shapes.append(draw_box(left, chart.top, right - left, chart.height, look))
        shapes.append(write_word((left + right) / 2, chart.top + chart.height - 8, name, "middle", kind="bold"))
    shapes += draw_frame(chart, x, make_ticks(0, float(most)), below="epochs")
    shapes.append(draw_curve(chart, range(1, epochs + 1), losses, "line-a"))
    shapes.append(draw_curve(chart, range(1, epochs + 1), checks, "line-b"))
    shapes.append(draw_line(chart.across(best), chart.top, chart.across(best), chart.top + chart.height, "line-c dash"))
    shapes.append(draw_dot(chart.across(best), chart.up(checks[best - 1]), "fill-c", 5))
    shapes.append(write_word(chart.across(best), chart.top - 8, f"best: epoch {best}", "middle", kind="small word-c"))
    said = f"stopped at epoch {epochs}, after 8 without a better one"
    shapes.append(write_word(WIDTH - 20, 24, said, "end", kind="small"))
    done = "it has converged" if has_converged(losses, WINDOW, TOLERANCE) else "it still falls"
    a, b = (float(np.mean(losses[-2 * WINDOW : -WINDOW])), float(np.mean(losses[-WINDOW:])))
    said = f"training: A = {a:.3f}, B = {b:.3f}, {(a - b) / (losses[0] - b):.1%} of the fall: {done}"
    shapes.append(write_word(46, 300, said, kind="small word-a"))
    shapes.append(write_word(46, 320, "validation", kind="small word-b"))
    return Figure("Training and validation loss with the best epoch and the end by early stopping", 334, shapes)


def draw_resume() -> Figure:
    """Draw losses of the steps around an interruption, resumed with the whole state and with parts of it lost."""
    before, after, data = 60, 16, _make_data(0, 120, 0.0)

    def start() -> tuple[Trainer, DataLoader]:
        """Build a trainer and a loader from the same seeds."""
        trainer, loader = (
            _build(lambda p: Adam(p, lr=0.02), 24),
            DataLoader(data, 60, True, rng=np.random.default_rng(2)),
        )
        trainer.loader = loader
        return trainer, loader

    runs = {}
    for lost in ("", "optimizer.", "loader."):
        losses: list[float] = []
        first, loader = start()
        first.fit(loader, before, progress=lambda *_, loss, losses=losses, **__: losses.append(loss))
        second, loader = start()
        fresh = {name: value for name, value in second.state_dict().items() if lost and name.startswith(lost)}
        second.load_state_dict(first.state_dict() | fresh, loader)
        second.fit(loader, before + after, progress=lambda *_, loss, losses=losses, **__: losses.append(loss))
        runs[lost] = losses
    never: list[float] = []
    trainer, loader = start()
    trainer.fit(loader, before + after, progress=lambda *_, loss, **__: never.append(loss))
    shown = range(before * 2 - 16, len(losses))
    chart = Chart(46, 44, WIDTH - 66, 180, Scale(shown[0], shown[-1]), Scale(0, 0.3))
    shapes = draw_frame(chart, [(k, f"{k}") for k in range(105, 152, 15)], make_ticks(0, 0.3), below="steps")
    shapes.append(write_word(14, 24, "loss of each batch", kind="bold"))
    cut = chart.across(before * 2 - 0.5)
    shapes.append(draw_line(cut, chart.top, cut, chart.top + chart.height, "axis dash"))
    shapes.append(write_word(cut - 5, chart.top + 12, "resumed here", "end", kind="small"))
    shapes += [draw_dot(chart.across(k), chart.up(never[k]), "fill-ink", 3) for k in shown]
    names = {
        "optimizer.": "without the optimiser's state",
        "loader.": "without the loader's generator",
        "": "with the whole state (dots: never stopped)",
    }
    for place, (lost, name) in enumerate(names.items()):
        kind = "bca"[place]
        shapes.append(draw_curve(chart, shown, runs[lost][shown[0] :], f"line-{kind}"))
        shapes.append(write_word(46, 286 + 20 * place, name, kind=f"bold word-{kind}"))
    return Figure("Losses around an interruption, with the whole state and with parts of it lost", 342, shapes)


FIGURES = {"runs": draw_runs, "stopping": draw_stopping, "resume": draw_resume}
