"""Milestone 3: a network trained to convergence on CIFAR-10, which the grader's own measurements decide."""

from __future__ import annotations

import statistics

from grading.checks.images import (
    Run,
    another_task,
    broken,
    experiment_of,
    failures_of_all,
    how_trained,
    one_class,
    train_and_read,
)
from grading.checks.measured import Context, Measured
from grading.checks.network import RecipeError
from grading.data.load import obtain
from grading.manifest.figures import FIGURES
from grading.manifest.model import Cifar10Experiment
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Failure

TINY = 1e-9
"""A first loss of 0, of who knew the answers, must not end in a division by it."""
LATE, LAST = (0.7, 0.8), (0.9, 1.0)
"""The parts of training that are compared: what is left to fall when four fifths are done."""


def cifar10_convergence(context: Context) -> Measured:
    """Train to the end, from two seeds when it is official, and once more on another task; the worst run counts."""
    milestone, experiment = experiment_of(context)
    assert isinstance(experiment, Cifar10Experiment)
    data = obtain(experiment.data, context.watch)
    *seeds, control_seed = context.seeds("cifar10", 1 + (experiment.official_seeds if context.official else 1))
    figures: dict[str, float | None] = dict.fromkeys(FIGURES["cifar10_convergence"])
    failures: dict[str, tuple[Failure, ...]] = {}
    how, at_work = how_trained(data, experiment, tuple(seeds)), seeds[0]
    runs: list[Run] = []
    try:
        workers = context.workers(len(seeds) + 1)
        for seed in seeds:
            at_work = seed
            context.watch.phase(f"Training on {len(data.train_inputs):,} images (seed {seed})", 100)
            runs.append(train_and_read(context, next(workers), seed, data, quick=False))
        at_work = control_seed
        context.watch.phase("Training anew on turned images with other labels", 100)
        other = another_task(data, experiment.control_images, control_seed)
        control = train_and_read(context, next(workers), control_seed, other, quick=True)
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        failures = dict.fromkeys(figures, (broken(error, milestone, at_work),))
    else:
        how += f"; trained in {' and '.join(f'{run.seconds:.0f} s' for run in runs)}"
        late = [late_fall(run.steps, run.losses) for run in runs]
        figures = {
            "fresh_accuracy": max(run.fresh_accuracy for run in (*runs, control)),
            "accuracy": min(run.accuracy for run in runs),
            "loss_ratio": max(run.losses[-1] / max(run.losses[0], TINY) for run in runs),
            "late_fall": max(fall for fall in late if fall is not None) if None not in late else None,
            "generalisation_gap": max(0.0, *(run.known_accuracy - run.accuracy for run in runs)),
            "control_accuracy": control.accuracy,
            "forgotten_accuracy": max(run.forgotten_accuracy for run in (*runs, control)),
        }
        told = failures_of_all(figures) | _failures(figures, runs)
        failures = {name: (failure,) for name, failure in told.items()}
    curves = tuple(curve for run in runs for curve in run.curves)
    return Measured(figures, failures, how=how, curves=curves, data=data.record)


def late_fall(steps: tuple[float, ...], losses: tuple[float, ...]) -> float | None:
    """How much of the whole fall of the loss is left when most of training is done.

    With F the first loss, A the mean from 70% to 80% of training and B that of the last tenth: (A - B) / (F - B), and
    0 when the loss does not fall any more. None when there is no measurement in one of the two, or no fall.
    """
    late, last = ([loss for step, loss in zip(steps, losses, strict=True) if a <= step <= b] for a, b in (LATE, LAST))
    if not late or not last or losses[0] <= statistics.mean(last):
        return None
    before, end = statistics.mean(late), statistics.mean(last)
    return max(0.0, (before - end) / (losses[0] - end))


def _failures(figures: dict[str, float | None], runs: list[Run]) -> dict[str, Failure]:
    """What a miss of each figure of this milestone says."""
    worst = min(runs, key=lambda run: run.accuracy)
    flat = "the loss was not measured late enough" if figures["late_fall"] is None else f"{figures['late_fall']:.1%}"
    return {
        "accuracy": Failure(
            title="Images never seen in training are named correctly",
            got=f"{worst.accuracy:.1%} right{one_class(worst)} (seed {worst.seed})",
            expected="at least 65%",
            hint="Normalise each channel, flip and shift the training images, and let the learning rate fall to 0.",
        ),
        "loss_ratio": Failure(
            title="The training loss falls",
            got=f"{worst.losses[0]:.2f} before training, {worst.losses[-1]:.2f} after it",
            expected="well below where it began, 2.3",
            hint="If it has not moved, the learning rate is far off: try factors of three.",
        ),
        "late_fall": Failure(
            title="The training loss has flattened",
            got=f"{flat} of the whole fall came after four fifths of training"
            if figures["late_fall"] is not None
            else f"{flat}: {len(worst.steps)} measurements; call progress about 50 times, to the last step",
            expected="little: the curve is nearly flat at its end",
            hint="Train longer, or let the schedule bring the learning rate down earlier.",
        ),
        "generalisation_gap": Failure(
            title="New images are named nearly as well as those of training",
            got=f"{worst.known_accuracy:.1%} of training images right, {worst.accuracy:.1%} of new ones",
            expected="a difference of at most 20 points",
            hint="Augment the images, add weight decay, or train for fewer epochs.",
        ),
    }
