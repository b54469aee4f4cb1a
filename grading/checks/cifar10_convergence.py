"""Milestone 3: a network trained to convergence on CIFAR-10, and measured by the grader itself."""

from __future__ import annotations

import statistics

from grading.checks.image_training import (
    ImageRun,
    build_image_measurement,
    collect_curves,
    collect_shared_image_figures,
    describe_image_measurement,
    explain_failed_training,
    explain_shared_image_failures,
    find_least_accurate_run,
    format_dominance_suffix,
    train_and_measure_network,
)
from grading.checks.student_network import RecipeError
from grading.data.load import load_or_fetch_images
from grading.manifest.model import Cifar10Experiment
from grading.measurement import CheckContext, Measurement, build_failed_measurement, get_milestone_and_experiment
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Failure

TINY = 1e-9
"""The smallest allowed denominator, because a network that knew the answers would start with a loss of 0."""
LATE_SPAN, LAST_SPAN = (0.7, 0.8), (0.9, 1.0)
"""The two spans of training whose losses are compared, to measure how much the loss still falls late in training."""


def measure_cifar10_convergence(context: CheckContext) -> Measurement:
    """Train and test a student's network on transformed images, downloaded if missing. The worst run counts."""
    milestone, experiment = get_milestone_and_experiment(context, Cifar10Experiment)
    data = load_or_fetch_images(experiment.data, context.watch)
    seeds = context.derive_seeds("cifar10", experiment.official_seeds if context.official else 1)
    how = describe_image_measurement(data, experiment, seeds)
    runs: list[ImageRun] = []
    try:
        workers = context.start_workers(2 * len(seeds))
        for seed in seeds:
            context.watch.begin_phase(f"Training on {len(data.train_inputs):,} images (seed {seed})", 100)
            trainer, receiver = next(workers), next(workers)
            runs.append(train_and_measure_network(context, trainer, receiver, seed, data))
            receiver.close()
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        told = explain_failed_training(error, milestone, seeds[len(runs)])
        return build_failed_measurement(
            "cifar10_convergence", told, how=how, curves=collect_curves(runs), data=data.record
        )
    late = [measure_late_loss_fall(run.steps, run.losses) for run in runs]
    worst = find_least_accurate_run(runs)
    figures = collect_shared_image_figures(runs) | {
        "loss_ratio": max(run.losses[-1] / max(run.losses[0], TINY) for run in runs),
        "late_fall": max(fall for fall in late if fall is not None) if None not in late else None,
        "generalisation_gap": max(0.0, *(run.known_accuracy - run.accuracy for run in runs)),
    }
    missed = explain_shared_image_failures(figures, worst) | _describe_convergence_failures(figures, worst)
    return build_image_measurement(runs, figures, missed, how, data)


def measure_late_loss_fall(steps: tuple[float, ...], losses: tuple[float, ...]) -> float | None:
    """Measure what fraction of the loss's fall comes late in training; return None without a fall or late losses.

    Let F be the first loss, A the mean loss from 70% to 80% of training, and B the mean loss in the last tenth. The
    result is (A - B) / (F - B), or 0 if the loss no longer falls late. Return None if the loss does not fall at all,
    or if one of the two spans contains no measurement.
    """
    late, last = (
        [loss for step, loss in zip(steps, losses, strict=True) if a <= step <= b] for a, b in (LATE_SPAN, LAST_SPAN)
    )
    if not late or not last or losses[0] <= statistics.mean(last):
        return None
    before, end = statistics.mean(late), statistics.mean(last)
    return max(0.0, (before - end) / (losses[0] - end))


def _describe_convergence_failures(figures: dict[str, float | None], worst_run: ImageRun) -> dict[str, Failure]:
    """For accuracy and each figure of this milestone only, write the failure to show if its threshold is missed."""
    flat = "the loss was not measured late enough" if figures["late_fall"] is None else f"{figures['late_fall']:.1%}"
    return {
        "accuracy": Failure(
            title="Images never seen in training are classified correctly",
            got=f"{worst_run.accuracy:.1%} correct{format_dominance_suffix(worst_run)} (seed {worst_run.seed})",
            expected="at least 65%",
            hint="Normalise each channel, flip and shift the training images, and let the learning rate fall to 0.",
        ),
        "loss_ratio": Failure(
            title="The training loss falls",
            got=f"{worst_run.losses[0]:.2f} before training, {worst_run.losses[-1]:.2f} after it",
            expected="well below its starting value of 2.3",
            hint="If it has not moved, the learning rate is far off: change it by factors of three.",
        ),
        "late_fall": Failure(
            title="The training loss has flattened",
            got=f"{flat} of the total fall came in the last fifth of training"
            if figures["late_fall"] is not None
            else f"{flat}: {len(worst_run.steps)} measurements; call progress about 50 times, up to the last step",
            expected="a small part of the fall, so that the curve is nearly flat at its end",
            hint="Train longer, or let the schedule lower the learning rate earlier.",
        ),
        "generalisation_gap": Failure(
            title="New images are classified nearly as well as training images",
            got=f"{worst_run.known_accuracy:.1%} of training images correct, {worst_run.accuracy:.1%} of new ones",
            expected="a difference of at most 20 points",
            hint="Augment the images, add weight decay, or train for fewer epochs.",
        ),
    }
