"""Milestone 2: a network that reads digits, trained in the worker and judged with labels that never go there."""

from __future__ import annotations

from grading.checks.images import (
    Run,
    experiment_of,
    explain_broken_seed,
    failures_of_all,
    figures_of_all,
    how_trained,
    one_class,
    train_and_carry,
)
from grading.checks.network import RecipeError
from grading.data.load import obtain
from grading.measured import Context, Measured, measure_nothing
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Failure


def mnist(context: Context) -> Measured:
    """Train once on all images of a drawn task, and measure how many digits the weights alone read correctly."""
    milestone, experiment = experiment_of(context)
    data = obtain(experiment.data, context.watch)
    (seed,) = context.seeds("mnist", 1)
    how = how_trained(data, experiment, [seed])
    context.watch.phase(f"Training on {len(data.train_inputs):,} images", 100)
    try:
        workers = context.workers(2)
        run = train_and_carry(context, next(workers), next(workers), seed, data)
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        return measure_nothing("mnist", explain_broken_seed(error, milestone, seed), how=how, data=data.record)
    figures = figures_of_all([run])
    told = failures_of_all(figures, run) | {"accuracy": _too_few(run)}
    return Measured(
        figures,
        {name: (failure,) for name, failure in told.items()},
        how=f"{how}; trained in {run.seconds:.0f} s",
        curves=run.curves,
        pictures=run.pictures,
        named_images=run.named_images,
        training_seconds=(run.cpu_seconds,),
        data=data.record,
    )


def _too_few(run: Run) -> Failure:
    """Describe an accuracy below the threshold, with a hint that depends on whether anything was learned."""
    hint = (
        "The network has learned next to nothing. Watch the loss over the first hundred steps: it must fall from 2.3, "
        "the loss of a guess."
        if one_class(run)
        else "Train on all images for several epochs, with the learning rate falling towards the end. Shift some "
        "training images by a pixel in each epoch."
    )
    return Failure(
        title="Test images, shifted a little, are read correctly",
        got=f"{run.accuracy:.2%} right{one_class(run)}",
        expected="at least 95%",
        hint=hint,
    )
