"""Milestone 2: a network that reads digits, trained in the worker, and measured by labels that never go there."""

from __future__ import annotations

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
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Curve, Failure


def mnist(context: Context) -> Measured:
    """Train once on all images, once more on turned images with other labels, and count what is read correctly."""
    milestone, experiment = experiment_of(context)
    data = obtain(experiment.data, context.watch)
    seed, control_seed = context.seeds("mnist", 2)
    figures: dict[str, float | None] = dict.fromkeys(FIGURES["mnist"])
    failures: dict[str, tuple[Failure, ...]] = {}
    curves: tuple[Curve, ...] = ()
    how, at_work = how_trained(data, experiment, (seed,)), seed
    try:
        workers = context.workers(2)
        context.watch.phase(f"Training on {len(data.train_inputs):,} images", 100)
        run = train_and_read(context, next(workers), seed, data, quick=False)
        how, curves, at_work = f"{how}; trained in {run.seconds:.0f} s", run.curves, control_seed
        context.watch.phase("Training anew on turned images with other labels", 100)
        other = another_task(data, experiment.control_images, control_seed)
        control = train_and_read(context, next(workers), control_seed, other, quick=True)
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        failures = dict.fromkeys(figures, (broken(error, milestone, at_work),))
    else:
        figures = {
            "fresh_accuracy": max(run.fresh_accuracy, control.fresh_accuracy),
            "accuracy": run.accuracy,
            "control_accuracy": control.accuracy,
            "forgotten_accuracy": max(run.forgotten_accuracy, control.forgotten_accuracy),
        }
        told = failures_of_all(figures) | {"accuracy": _too_few(run)}
        failures = {name: (failure,) for name, failure in told.items()}
    return Measured(figures, failures, how=how, curves=curves, data=data.record)


def _too_few(run: Run) -> Failure:
    """What a low accuracy says, and whether anything was learned."""
    hint = (
        "The network has learned next to nothing: watch the loss of the first hundred steps; it must fall from 2.3, "
        "the loss of a guess."
        if one_class(run)
        else "Train on all images, for several epochs, with the learning rate falling towards the end; move training "
        "images by a pixel now and then."
    )
    return Failure(
        title="Test images, moved by up to a pixel, are read correctly",
        got=f"{run.accuracy:.2%} right{one_class(run)}",
        expected="at least 95%",
        hint=hint,
    )
