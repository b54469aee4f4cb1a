"""Milestone 1: networks learn XOR on a square drawn for each run, and a process that saw no training measures them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grading.checks.drawn_tasks import CORNERS, XOR, XorSquare, draw_xor_square
from grading.checks.grader_seeds import make_grader_rng
from grading.checks.student_network import RecipeError, StudentNetwork, compute_mean_difference, explain_failed_recipe
from grading.client import Worker
from grading.manifest.model import XorExperiment
from grading.measurement import CheckContext, Measurement, build_failed_measurement, get_milestone_and_experiment
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Curve, Failure

POINTS, LABELS = CORNERS, np.array(XOR, np.float32)[:, None]
"""The corners and labels of standard XOR, which the demonstration shows."""
CURVE_POINTS = 40
"""The number of times that the grader measures the loss during one training run, between the student's steps."""


@dataclass(frozen=True, eq=False)
class XorRun:
    """One network: tested when fresh, trained, carried into another process, and measured there."""

    seed: int
    square: XorSquare
    fresh_loss: float
    loss: float
    predictions: np.ndarray
    """The fresh process's predictions for the four corners, in their order."""
    accuracy: float
    noisy_accuracy: float
    difference: float
    """The mean difference between the training process's answers and the fresh process's, with the same weights."""
    numbers: int
    """The number of values in all parameters and buffers."""
    curve: Curve


def measure_xor(context: CheckContext) -> Measurement:
    """Train on a square with XOR labels from each main seed and with other labels from each control seed, and measure.

    The worst value of each figure counts.
    """
    milestone, experiment = get_milestone_and_experiment(context, XorExperiment)
    count = experiment.seeds + experiment.controls
    seeds = context.derive_seeds("xor", count)
    context.watch.begin_phase("Training XOR networks", count)
    workers = context.start_workers(2 * count)
    runs: list[XorRun] = []
    try:
        for seed in seeds:
            square = draw_xor_square(make_grader_rng(seed, "task"), with_xor_labels=len(runs) < experiment.seeds)
            runs.append(_train_and_measure_network(context, next(workers), next(workers), seed, square))
            context.watch.report_steps_done(len(runs), f"seed {seed}: loss {runs[-1].loss:.3f}")
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        when_slow = "Is the number of steps moderate?"
        told = explain_failed_recipe(error, milestone, f"seed {seeds[len(runs)]}", when_slow)
        return build_failed_measurement("xor", told, how=_describe_xor_measurement(context))
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
    return Measurement(
        figures,
        _describe_xor_failures(main, control),
        how=_describe_xor_measurement(context),
        curves=tuple(r.curve for r in main),
    )


def _train_and_measure_network(
    context: CheckContext, training_worker: Worker, fresh_worker: Worker, seed: int, square: XorSquare
) -> XorRun:
    """Train a network in one process, test its weights (plus noise) in another, and close both workers.

    The trained network is judged only by the second process's answers. That process runs no student code before the
    first has ended, because processes that run at the same time could communicate.
    """
    milestone, experiment = get_milestone_and_experiment(context, XorExperiment)
    rng = make_grader_rng(seed)
    corners, labels = square.corners, square.labels
    network = StudentNetwork(training_worker, milestone.trigger, seed)
    network.copy_weights()  # check the contract before minutes are spent on training
    steps, losses = [0.0], [compute_binary_cross_entropy(network.predict(corners), labels)]

    def measure_loss_if_due(step: float, total: float) -> None:
        """Measure the loss if the next measurement is due."""
        if step >= len(losses) * total / CURVE_POINTS and len(losses) <= CURVE_POINTS:
            steps.append(step)
            losses.append(compute_binary_cross_entropy(network.predict(corners), labels))

    order = rng.permutation(4)
    network.train(corners[order], labels[order], seed, context.budget.train_seconds, measure_loss_if_due)
    # Clean and noisy points share one shuffled request, so that they cannot be told apart.
    which = np.concatenate([np.arange(4), np.repeat(np.arange(4), experiment.copies)])
    noise = rng.normal(0, experiment.noise * square.side, (len(which), 2)) * (np.arange(len(which)) >= 4)[:, None]
    inputs = (corners[which] + noise).astype(np.float32)

    def predict_points_shuffled(asked_network: StudentNetwork) -> np.ndarray:
        """Have a network predict all points, in random order."""
        shuffled = rng.permutation(len(inputs))
        answered = np.empty((len(inputs), 1))
        answered[shuffled] = asked_network.predict(inputs[shuffled])
        return answered

    there, weights = predict_points_shuffled(network), network.copy_weights()
    training_worker.close()

    receiver = StudentNetwork(fresh_worker, milestone.trigger, seed + 1)
    fresh_elsewhere = compute_binary_cross_entropy(receiver.predict(corners), labels)
    receiver.load_weights(weights.add_noise(experiment.weight_noise, rng))
    answered = predict_points_shuffled(receiver)
    fresh_worker.close()
    right = (answered > 0.5) == (labels[which] > 0.5)
    return XorRun(
        seed=seed,
        square=square,
        fresh_loss=min(losses[0], fresh_elsewhere),
        loss=compute_binary_cross_entropy(answered[:4], labels),
        predictions=answered[:4, 0],
        accuracy=float(right[:4].mean()),
        noisy_accuracy=float(right[4:].mean()),
        difference=compute_mean_difference(answered, there),
        numbers=weights.value_count,
        curve=Curve(name="loss", seed=seed, steps=tuple(steps), values=tuple(round(v, 5) for v in losses)),
    )


def compute_binary_cross_entropy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Compute the mean binary cross-entropy in nats, with probabilities clipped at 1e-7 from 0 and 1."""
    p = np.clip(probabilities, 1e-7, 1 - 1e-7)
    return float(-(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean())


def _describe_xor_failures(runs: list[XorRun], control_run: XorRun) -> dict[str, tuple[Failure, ...]]:
    """For each figure, describe the failure to report if it misses its threshold, from the run with the worst value."""
    knowing = min(runs, key=lambda r: r.fresh_loss)
    wrong = min(runs, key=lambda r: (r.accuracy, -r.loss))
    shaky = min(runs, key=lambda r: r.noisy_accuracy)
    worst = max(runs, key=lambda r: r.loss)
    apart = max((*runs, control_run), key=lambda r: r.difference)
    failures = {
        "fresh_loss": Failure(
            title="An untrained network is no better than chance",
            got=f"loss {knowing.fresh_loss:.3f} before any training (seed {knowing.seed})",
            expected="about 0.69, the loss of guessing",
            hint="build must draw every weight at random from rng. Nothing in it may depend on the answers.",
        ),
        "accuracy": Failure(
            title="All four corners are classified correctly after training, for every seed",
            got=f"{_format_answers(wrong)} (seed {wrong.seed})",
            expected=_format_expected_answers(wrong),
            hint="A hidden layer with a nonlinearity, wide enough and trained long enough, learns this from any seed.",
        ),
        "noisy_accuracy": Failure(
            title="Points near the four corners are classified correctly as well",
            got=f"{shaky.noisy_accuracy:.1%} of noisy points correct (seed {shaky.seed})",
            expected="nearly all: the network must separate regions, not four single points",
            hint="Train until the loss is small, and try a wider hidden layer.",
        ),
        "loss": Failure(
            title="The loss after training is small, for every seed",
            got=f"binary cross-entropy {worst.loss:.3f} (seed {worst.seed})",
            expected="close to 0: the network is sure of every answer",
            hint="Take more steps or raise the learning rate. If the loss stays at 0.69, the network learns nothing.",
        ),
        "control_accuracy": Failure(
            title="The network learns other labels as well",
            got=f"{_format_answers(control_run)} (seed {control_run.seed})",
            expected=f"{_format_expected_answers(control_run)}: what it predicts comes from the labels it was "
            "trained on",
            hint="train must use the targets it is given. predict must use the network and know nothing of XOR.",
        ),
        "carried_difference": Failure(
            title="The weights alone give the same answers in another process",
            got=f"answers that differ by {apart.difference:.3f} on average (seed {apart.seed})",
            expected="the same answers from parameters() and buffers(), loaded into a network that was never trained",
            hint="Every array that training changes must be in parameters() or buffers(), used through its .data in "
            "every forward pass. Dicts, files and other attributes are not copied.",
        ),
        "numbers": Failure(
            title="The network is of a sensible size",
            got=f"{max(r.numbers for r in (*runs, control_run)):,} numbers in parameters() and buffers()",
            expected="a few dozen are enough for XOR",
            hint="Make the hidden layers smaller.",
        ),
    }
    return {name: (failure,) for name, failure in failures.items()}


def _format_answers(run: XorRun) -> str:
    """Format the network's answer at each corner, as in (0.31, 1.20) → 0.97."""
    pairs = zip(run.square.corners, run.predictions, strict=True)
    return ", ".join(f"({a:.2f}, {b:.2f}) → {p:.2f}" for (a, b), p in pairs)


def _format_expected_answers(run: XorRun) -> str:
    """Format each corner's correct answer as “above 0.5” or “below 0.5”, in the order of the corners."""
    return ", ".join("above 0.5" if label > 0.5 else "below 0.5" for label in run.square.labels[:, 0])


def _describe_xor_measurement(context: CheckContext) -> str:
    """Describe how the networks were trained and measured."""
    _, e = get_milestone_and_experiment(context, XorExperiment)
    return (
        f"{e.seeds} fresh networks from seed {context.seed}, each on its own square, and the worst one counts; "
        f"{e.copies} copies of each corner with noise of {e.noise:.0%} of the side; {e.controls} on other labels; all "
        f"figures from a process that saw no training, with weight noise of {e.weight_noise:g}"
    )
