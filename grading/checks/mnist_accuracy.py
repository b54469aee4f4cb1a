"""Milestone 2: a network that reads digits, trained in a worker that never receives the labels of the test images."""

from __future__ import annotations

from grading.checks.image_training import (
    ImageRun,
    collect_shared_image_figures,
    describe_image_measurement,
    explain_failed_training,
    explain_shared_image_failures,
    format_dominance_suffix,
    train_and_measure_network,
)
from grading.checks.student_network import RecipeError
from grading.data.load import load_or_fetch_images
from grading.manifest.model import ImageExperiment
from grading.measurement import CheckContext, Measurement, build_failed_measurement, get_milestone_and_experiment
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Failure


def measure_mnist(context: CheckContext) -> Measurement:
    """Train once on a randomly altered data set (downloaded if missing), and measure the weights in a fresh process."""
    milestone, experiment = get_milestone_and_experiment(context, ImageExperiment)
    data = load_or_fetch_images(experiment.data, context.watch)
    (seed,) = context.derive_seeds("mnist", 1)
    how = describe_image_measurement(data, experiment, [seed])
    context.watch.begin_phase(f"Training on {len(data.train_inputs):,} images", 100)
    try:
        workers = context.start_workers(2)
        run = train_and_measure_network(context, next(workers), next(workers), seed, data)
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        return build_failed_measurement(
            "mnist", explain_failed_training(error, milestone, seed), how=how, data=data.record
        )
    figures = collect_shared_image_figures([run])
    told = explain_shared_image_failures(figures, run) | {"accuracy": _explain_low_accuracy(run)}
    return Measurement(
        figures,
        {name: (failure,) for name, failure in told.items()},
        how=f"{how}; trained in {run.seconds:.0f} s",
        curves=run.curves,
        pictures=run.pictures,
        named_images=run.named_images,
        training_seconds=(run.cpu_seconds,),
        data=data.record,
    )


def _explain_low_accuracy(run: ImageRun) -> Failure:
    """Describe an accuracy below the threshold, with a hint that depends on whether anything was learned."""
    hint = (
        "The network has learned next to nothing. Watch the loss over the first hundred steps: it must fall below "
        "2.3, the loss of guessing."
        if format_dominance_suffix(run)
        else "Train on all images for several epochs, with the learning rate falling towards the end. Shift some "
        "training images by a pixel in each epoch."
    )
    return Failure(
        title="Slightly shifted test images are read correctly",
        got=f"{run.accuracy:.2%} correct{format_dominance_suffix(run)}",
        expected="at least 95%",
        hint=hint,
    )
