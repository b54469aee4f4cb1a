"""Milestone 1: networks that learn XOR, measured on the grader's side from fresh weights at several seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grading.checks.measured import Context, Measured
from grading.checks.network import RecipeError, StudentNetwork, in_words
from grading.checks.seeds import own_draws
from grading.client import Worker
from grading.manifest.model import Milestone, XorExperiment
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Curve, Failure

POINTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
XOR = np.array([[0], [1], [1], [0]], dtype=np.float32)
CURVE_POINTS = 40
"""So often in one training run the grader measures the loss itself, between the student's steps."""


@dataclass(frozen=True)
class Run:
    """One network: built, read, trained, read again, and read once more with its first weights put back."""

    seed: int
    fresh_loss: float
    loss: float
    predictions: np.ndarray
    """Of the four points, in their order."""
    accuracy: float
    noisy_accuracy: float
    depends_on_weights: bool
    curve: Curve


def xor(context: Context) -> Measured:
    """Train from every seed on XOR, once more on inverted labels, and keep the worst of each figure."""
    _, experiment = _experiment(context)
    *seeds, control_seed = context.seeds("xor", experiment.seeds + 1)
    names = ("fresh_loss", "accuracy", "noisy_accuracy", "loss", "control_accuracy", "depends_on_weights")
    context.watch.phase("Training XOR networks", len(seeds) + 1)
    workers = context.workers(len(seeds) + 1)
    runs: list[Run] = []
    try:
        for done, seed in enumerate(seeds):
            runs.append(_run(context, next(workers), seed, XOR))
            context.watch.advance(done + 1, f"seed {seed}: loss {runs[-1].loss:.3f}")
        control = _run(context, next(workers), control_seed, 1 - XOR)
        context.watch.advance(len(seeds) + 1, "inverted labels")
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        seed = seeds[len(runs)] if len(runs) < len(seeds) else control_seed
        told = Failure(
            title=f"The recipe builds, trains and predicts (seed {seed})",
            hint="Run the recipe's tests first: pytest modules/04_layers -k recipe",
            **in_words(error),
        )
        return Measured(dict.fromkeys(names), dict.fromkeys(names, (told,)), how=_how(context))
    figures: dict[str, float | None] = {
        "fresh_loss": min(r.fresh_loss for r in runs),
        "accuracy": min(r.accuracy for r in runs),
        "noisy_accuracy": min(r.noisy_accuracy for r in runs),
        "loss": max(r.loss for r in runs),
        "control_accuracy": control.accuracy,
        "depends_on_weights": sum(r.depends_on_weights for r in (*runs, control)) / (len(runs) + 1),
    }
    return Measured(figures, _failures(runs, control), how=_how(context), curves=tuple(r.curve for r in runs))


def _experiment(context: Context) -> tuple[Milestone, XorExperiment]:
    assert context.milestone is not None
    assert isinstance(context.milestone.experiment, XorExperiment)
    return context.milestone, context.milestone.experiment


def _run(context: Context, worker: Worker, seed: int, targets: np.ndarray) -> Run:
    milestone, experiment = _experiment(context)
    rng = own_draws(seed)
    network = StudentNetwork(worker, milestone.trigger, seed)
    fresh_weights = network.weights()
    fresh = network.predict(POINTS)
    steps, losses = [0.0], [cross_entropy(fresh, targets)]

    def progress(step: float, total: float) -> None:
        if step >= len(losses) * total / CURVE_POINTS and len(losses) <= CURVE_POINTS:
            steps.append(step)
            losses.append(cross_entropy(network.predict(POINTS), targets))

    order = rng.permutation(4)
    network.train(POINTS[order], targets[order], seed, context.budget.train_seconds, progress)
    # Clean and noisy points in one shuffled request: nothing tells which they are.
    which = np.concatenate([np.arange(4), np.repeat(np.arange(4), experiment.copies)])
    noise = rng.normal(0, experiment.noise, (len(which), 2)) * (np.arange(len(which)) >= 4)[:, None]
    shuffled = rng.permutation(len(which))
    inputs = (POINTS[which] + noise).astype(np.float32)
    answered = np.empty((len(which), 1))
    answered[shuffled] = network.predict(inputs[shuffled])
    right = (answered > 0.5) == (targets[which] > 0.5)
    trained_weights = network.weights()
    network.put(fresh_weights)
    back = network.predict(POINTS)
    changed = any(not np.array_equal(a, b) for a, b in zip(fresh_weights, trained_weights, strict=True))
    returned = np.allclose(back, fresh, atol=1e-5) and not np.allclose(back, answered[:4], atol=1e-3)
    worker.close()
    loss = cross_entropy(answered[:4], targets)
    return Run(
        seed=seed,
        fresh_loss=losses[0],
        loss=loss,
        predictions=answered[:4, 0],
        accuracy=float(right[:4].mean()),
        noisy_accuracy=float(right[4:].mean()),
        depends_on_weights=bool(changed and returned),
        curve=Curve(name="loss", seed=seed, steps=tuple(steps), values=tuple(round(v, 5) for v in losses)),
    )


def cross_entropy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean binary cross-entropy in nats, by the grader; probabilities are kept 1e-7 away from 0 and 1."""
    p = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return float(-(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean())


def _failures(runs: list[Run], control: Run) -> dict[str, tuple[Failure, ...]]:
    """For every figure, the run that missed it most, in words."""
    knowing = min(runs, key=lambda r: r.fresh_loss)
    wrong = min(runs, key=lambda r: (r.accuracy, -r.loss))
    shaky = min(runs, key=lambda r: r.noisy_accuracy)
    worst = max(runs, key=lambda r: r.loss)
    stuck = next((r for r in (*runs, control) if not r.depends_on_weights), None)
    shown = ", ".join(f"({a:.0f}, {b:.0f}) → {p:.2f}" for (a, b), p in zip(POINTS, wrong.predictions, strict=True))
    failures = {
        "fresh_loss": Failure(
            title="A network that has not been trained answers by chance",
            got=f"loss {knowing.fresh_loss:.3f} before any training (seed {knowing.seed})",
            expected="about 0.69, the loss of a guess",
            hint="build must draw every weight at random from rng; nothing in it may know the answers.",
        ),
        "accuracy": Failure(
            title="All four points are right after training, from every seed",
            got=f"{shown} (seed {wrong.seed})",
            expected="(0, 0) → below 0.5, (0, 1) → above, (1, 0) → above, (1, 1) → below",
            hint="A hidden layer with a nonlinearity, wide enough and trained long enough, learns this from any seed.",
        ),
        "noisy_accuracy": Failure(
            title="Points near the four are right too",
            got=f"{shaky.noisy_accuracy:.1%} of noisy points right (seed {shaky.seed})",
            expected="nearly all: the network separates regions, not four single points",
            hint="Train until the loss is small, and try a wider hidden layer.",
        ),
        "loss": Failure(
            title="The loss after training is small, from every seed",
            got=f"binary cross-entropy {worst.loss:.3f} (seed {worst.seed})",
            expected="close to 0: sure of every answer",
            hint="More steps or a livelier learning rate; if it stays at 0.69, something does not learn at all.",
        ),
        "control_accuracy": Failure(
            title="With inverted labels the network learns the inverse",
            got=f"{control.accuracy:.0%} of the inverted labels learned (seed {control.seed})",
            expected="all four: what it predicts comes from the labels it was trained on",
            hint="train must use the targets it is given; predict must use the network.",
        ),
    }
    if stuck is not None:
        failures["depends_on_weights"] = Failure(
            title="Predictions come from the weights, and training changes them",
            got=f"the first weights, put back, did not bring back the first predictions (seed {stuck.seed})",
            expected="predict computed from network.parameters() alone, and weights that training moved",
            hint="Every trained array must be in parameters(), and used through its .data in every forward pass.",
        )
    return {name: (failure,) for name, failure in failures.items()}


def _how(context: Context) -> str:
    _, e = _experiment(context)
    return (
        f"{e.seeds} fresh networks from seed {context.seed}, the worst one counts; "
        f"{e.copies} copies of each point with noise of standard deviation {e.noise}; labels inverted in one more run"
    )
