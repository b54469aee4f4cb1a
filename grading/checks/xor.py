"""Milestone 1: networks that learn XOR on a square drawn for each run, measured in a process that saw no training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grading.checks.draws import CORNERS, XOR, Square, draw_square
from grading.checks.network import RecipeError, StudentNetwork, differ_by, explain_broken_recipe
from grading.checks.seeds import own_draws
from grading.client import Worker
from grading.manifest.model import Milestone, XorExperiment
from grading.measured import Context, Measured, measure_nothing
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Curve, Failure

POINTS, LABELS = CORNERS, np.array(XOR, np.float32)[:, None]
"""The usual XOR, which the demonstration shows."""
CURVE_POINTS = 40
"""How often the grader measures the loss itself in one training run, between the student's steps."""


@dataclass(frozen=True, eq=False)
class Run:
    """One network: tested when fresh, trained, carried into another process, and measured there."""

    seed: int
    square: Square
    fresh_loss: float
    loss: float
    predictions: np.ndarray
    """For the four corners in their order, from the fresh process."""
    accuracy: float
    noisy_accuracy: float
    difference: float
    """Between the answers of the process that trained and those of the fresh one with the same weights."""
    numbers: int
    """How many numbers parameters and buffers hold."""
    curve: Curve


def xor(context: Context) -> Measured:
    """Train from every seed on XOR of a drawn square, then on other labels, and keep the worst of each figure."""
    milestone, experiment = _experiment(context)
    count = experiment.seeds + experiment.controls
    seeds = context.seeds("xor", count)
    context.watch.phase("Training XOR networks", count)
    workers = context.workers(2 * count)
    runs: list[Run] = []
    try:
        for seed in seeds:
            square = draw_square(own_draws(seed, "task"), xor=len(runs) < experiment.seeds)
            runs.append(_train_and_carry(context, next(workers), next(workers), seed, square))
            context.watch.advance(len(runs), f"seed {seed}: loss {runs[-1].loss:.3f}")
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        when_slow = "Is the number of steps moderate?"
        told = explain_broken_recipe(error, milestone, f"seed {seeds[len(runs)]}", when_slow)
        return measure_nothing("xor", told, how=_how(context))
    main, control = runs[: experiment.seeds], min(runs[experiment.seeds :], key=lambda run: run.accuracy)
    figures: dict[str, float | None] = {
        "fresh_loss": min(r.fresh_loss for r in main),
        "accuracy": min(r.accuracy for r in main),
        "noisy_accuracy": min(r.noisy_accuracy for r in main),
        "loss": max(r.loss for r in main),
        "control_accuracy": control.accuracy,
        "carried_difference": max(r.difference for r in runs),
        "numbers": max(r.numbers for r in runs),
    }
    return Measured(figures, _failures(main, control), how=_how(context), curves=tuple(r.curve for r in main))


def _experiment(context: Context) -> tuple[Milestone, XorExperiment]:
    assert context.milestone is not None
    assert isinstance(context.milestone.experiment, XorExperiment)
    return context.milestone, context.milestone.experiment


def _train_and_carry(context: Context, worker: Worker, elsewhere: Worker, seed: int, square: Square) -> Run:
    """Train in one process, carry the weights into another, and ask both. What counts is the second one's answers.

    The second process runs no student code before the first has ended, because two that run together can communicate.
    """
    milestone, experiment = _experiment(context)
    rng = own_draws(seed)
    corners, labels = square.corners, square.labels
    network = StudentNetwork(worker, milestone.trigger, seed)
    network.weights()  # check the contract before minutes are spent on training
    steps, losses = [0.0], [cross_entropy(network.predict(corners), labels)]

    def progress(step: float, total: float) -> None:
        if step >= len(losses) * total / CURVE_POINTS and len(losses) <= CURVE_POINTS:
            steps.append(step)
            losses.append(cross_entropy(network.predict(corners), labels))

    order = rng.permutation(4)
    network.train(corners[order], labels[order], seed, context.budget.train_seconds, progress)
    # Clean and noisy points share one shuffled request, so that they cannot be told apart.
    which = np.concatenate([np.arange(4), np.repeat(np.arange(4), experiment.copies)])
    noise = rng.normal(0, experiment.noise * square.side, (len(which), 2)) * (np.arange(len(which)) >= 4)[:, None]
    inputs = (corners[which] + noise).astype(np.float32)

    def ask(someone: StudentNetwork) -> np.ndarray:
        shuffled = rng.permutation(len(inputs))
        answered = np.empty((len(inputs), 1))
        answered[shuffled] = someone.predict(inputs[shuffled])
        return answered

    there, weights = ask(network), network.weights()
    worker.close()

    receiver = StudentNetwork(elsewhere, milestone.trigger, seed + 1)
    fresh_elsewhere = cross_entropy(receiver.predict(corners), labels)
    receiver.put(weights.with_noise(experiment.weight_noise, rng))
    answered = ask(receiver)
    elsewhere.close()
    right = (answered > 0.5) == (labels[which] > 0.5)
    return Run(
        seed=seed,
        square=square,
        fresh_loss=min(losses[0], fresh_elsewhere),
        loss=cross_entropy(answered[:4], labels),
        predictions=answered[:4, 0],
        accuracy=float(right[:4].mean()),
        noisy_accuracy=float(right[4:].mean()),
        difference=differ_by(answered, there),
        numbers=weights.numbers,
        curve=Curve(name="loss", seed=seed, steps=tuple(steps), values=tuple(round(v, 5) for v in losses)),
    )


def cross_entropy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Compute the mean binary cross-entropy in nats, with probabilities clipped at 1e-7 from 0 and 1."""
    p = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return float(-(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean())


def _failures(runs: list[Run], control: Run) -> dict[str, tuple[Failure, ...]]:
    """Describe a miss of each figure by the run that misses it most."""
    knowing = min(runs, key=lambda r: r.fresh_loss)
    wrong = min(runs, key=lambda r: (r.accuracy, -r.loss))
    shaky = min(runs, key=lambda r: r.noisy_accuracy)
    worst = max(runs, key=lambda r: r.loss)
    apart = max((*runs, control), key=lambda r: r.difference)
    failures = {
        "fresh_loss": Failure(
            title="A network that has not been trained answers by chance",
            got=f"loss {knowing.fresh_loss:.3f} before any training (seed {knowing.seed})",
            expected="about 0.69, the loss of a guess",
            hint="build must draw every weight at random from rng. Nothing in it may know the answers.",
        ),
        "accuracy": Failure(
            title="All four corners are right after training, from every seed",
            got=f"{_answers(wrong)} (seed {wrong.seed})",
            expected=_labels(wrong),
            hint="A hidden layer with a nonlinearity, wide enough and trained long enough, learns this from any seed.",
        ),
        "noisy_accuracy": Failure(
            title="Points near the four corners are right as well",
            got=f"{shaky.noisy_accuracy:.1%} of noisy points right (seed {shaky.seed})",
            expected="nearly all: the network must separate regions, not four single points",
            hint="Train until the loss is small, and try a wider hidden layer.",
        ),
        "loss": Failure(
            title="The loss after training is small, from every seed",
            got=f"binary cross-entropy {worst.loss:.3f} (seed {worst.seed})",
            expected="close to 0: the network is sure of every answer",
            hint="Take more steps or raise the learning rate. If the loss stays at 0.69, nothing is learned at all.",
        ),
        "control_accuracy": Failure(
            title="The network learns other labels as well",
            got=f"{_answers(control)} (seed {control.seed})",
            expected=f"{_labels(control)}: what it predicts comes from the labels it was trained on",
            hint="train must use the targets it is given. predict must use the network and know nothing of XOR.",
        ),
        "carried_difference": Failure(
            title="The weights alone give the same answers in another process",
            got=f"answers that differ by {apart.difference:.3f} on average (seed {apart.seed})",
            expected="the same answers from parameters() and buffers(), put into a network that was never trained",
            hint="Every array that training changes must be in parameters() or buffers(), used through its .data in "
            "every forward pass. A dict, a file or another attribute is not carried along.",
        ),
        "numbers": Failure(
            title="The network is of a sensible size",
            got=f"{max(r.numbers for r in (*runs, control)):,} numbers in parameters() and buffers()",
            expected="a few dozen are enough for XOR",
            hint="Make the hidden layers smaller.",
        ),
    }
    return {name: (failure,) for name, failure in failures.items()}


def _answers(run: Run) -> str:
    """Format the network's answer at each corner, as in (0.31, 1.20) → 0.97."""
    pairs = zip(run.square.corners, run.predictions, strict=True)
    return ", ".join(f"({a:.2f}, {b:.2f}) → {p:.2f}" for (a, b), p in pairs)


def _labels(run: Run) -> str:
    """Format the right answer for each corner, in the same order."""
    return ", ".join("above 0.5" if label > 0.5 else "below 0.5" for label in run.square.labels[:, 0])


def _how(context: Context) -> str:
    _, e = _experiment(context)
    return (
        f"{e.seeds} fresh networks from seed {context.seed}, each on its own square, of which the worst one counts; "
        f"{e.copies} copies of each corner with noise of {e.noise:.0%} of the side; {e.controls} on other labels; all "
        f"figures from a process that saw no training, with weights made noisy by {e.weight_noise:g}"
    )
