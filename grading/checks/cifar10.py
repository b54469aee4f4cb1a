"""Milestone 3: a network trained to convergence on CIFAR-10, judged by the grader's own measurements."""

from __future__ import annotations

import statistics

from grading.checks.images import (
    Run,
    curves_of,
    experiment_of,
    explain_broken_seed,
    failures_of_all,
    figures_of_all,
    find_worst,
    how_trained,
    measure_worst,
    one_class,
    train_and_carry,
)
from grading.checks.network import RecipeError
from grading.data.load import obtain
from grading.manifest.model import Cifar10Experiment
from grading.measured import Context, Measured, measure_nothing
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Failure

TINY = 1e-9
"""Keeps a first loss of 0, from a network that knew the answers, out of a denominator."""
LATE, LAST = (0.7, 0.8), (0.9, 1.0)
"""The spans of training that are compared: how much the loss still falls once four fifths are done."""


def cifar10_convergence(context: Context) -> Measured:
    """Train to convergence on a drawn task, from two seeds in an official grading. The worst run counts."""
    milestone, experiment = experiment_of(context)
    assert isinstance(experiment, Cifar10Experiment)
    data = obtain(experiment.data, context.watch)
    seeds = context.seeds("cifar10", experiment.official_seeds if context.official else 1)
    how = how_trained(data, experiment, seeds)
    runs: list[Run] = []
    try:
        workers = context.workers(2 * len(seeds))
        for seed in seeds:
            context.watch.phase(f"Training on {len(data.train_inputs):,} images (seed {seed})", 100)
            trainer, receiver = next(workers), next(workers)
            runs.append(train_and_carry(context, trainer, receiver, seed, data))
            receiver.close()
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        told = explain_broken_seed(error, milestone, seeds[len(runs)])
        return measure_nothing("cifar10_convergence", told, how=how, curves=curves_of(runs), data=data.record)
    late = [late_fall(run.steps, run.losses) for run in runs]
    worst = find_worst(runs)
    figures = figures_of_all(runs) | {
        "loss_ratio": max(run.losses[-1] / max(run.losses[0], TINY) for run in runs),
        "late_fall": max(fall for fall in late if fall is not None) if None not in late else None,
        "generalisation_gap": max(0.0, *(run.known_accuracy - run.accuracy for run in runs)),
    }
    missed = failures_of_all(figures, worst) | _failures(figures, worst)
    return measure_worst(runs, figures, missed, how, data)


def late_fall(steps: tuple[float, ...], losses: tuple[float, ...]) -> float | None:
    """Measure which share of the loss's whole fall comes after most of training is done.

    With F the first loss, A the mean from 70% to 80% of training and B the mean of the last tenth, it is
    (A - B) / (F - B), or 0 when the loss no longer falls. It is None when a span has no measurement, or without a fall.
    """
    late, last = ([loss for step, loss in zip(steps, losses, strict=True) if a <= step <= b] for a, b in (LATE, LAST))
    if not late or not last or losses[0] <= statistics.mean(last):
        return None
    before, end = statistics.mean(late), statistics.mean(last)
    return max(0.0, (before - end) / (losses[0] - end))


def _failures(figures: dict[str, float | None], worst: Run) -> dict[str, Failure]:
    """Describe a miss of each figure that only this milestone has."""
    flat = "the loss was not measured late enough" if figures["late_fall"] is None else f"{figures['late_fall']:.1%}"
    return {
        "accuracy": Failure(
            title="Images never seen in training are classified correctly",
            got=f"{worst.accuracy:.1%} right{one_class(worst)} (seed {worst.seed})",
            expected="at least 65%",
            hint="Normalise each channel, flip and shift the training images, and let the learning rate fall to 0.",
        ),
        "loss_ratio": Failure(
            title="The training loss falls",
            got=f"{worst.losses[0]:.2f} before training, {worst.losses[-1]:.2f} after it",
            expected="well below its starting value of 2.3",
            hint="If it has not moved, the learning rate is far off: try factors of three.",
        ),
        "late_fall": Failure(
            title="The training loss has flattened",
            got=f"{flat} of the whole fall came after four fifths of training"
            if figures["late_fall"] is not None
            else f"{flat}: {len(worst.steps)} measurements; call progress about 50 times, to the last step",
            expected="little of the fall: the curve is nearly flat at its end",
            hint="Train longer, or let the schedule bring the learning rate down earlier.",
        ),
        "generalisation_gap": Failure(
            title="New images are classified nearly as well as training images",
            got=f"{worst.known_accuracy:.1%} of training images right, {worst.accuracy:.1%} of new ones",
            expected="a difference of at most 20 points",
            hint="Augment the images, add weight decay, or train for fewer epochs.",
        ),
    }
