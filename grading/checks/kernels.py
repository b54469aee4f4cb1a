"""Milestone 4: accuracy on CIFAR-10 with the student's own kernels, and how much of it remains in int8."""

from __future__ import annotations

from dataclasses import dataclass

from grading.checks.images import (
    CLASSES,
    Run,
    accuracy,
    ask,
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
from grading.checks.network import RecipeError, StudentNetwork
from grading.checks.seeds import own_draws
from grading.client import Worker
from grading.data.load import obtain
from grading.manifest.model import KernelsExperiment
from grading.measured import Context, Measured, measure_nothing
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Failure

FLOAT_BYTES = 4


@dataclass(frozen=True)
class Compressed:
    """The compressed network, carried into a third process and measured there by what its arrays hold."""

    accuracy: float
    """On all test images, perturbed as the float network saw them."""
    lost: float
    """How much lower its accuracy is than the float network's, never below 0."""
    share: float
    """Its bytes, divided by the bytes of the float network's numbers in float32."""


def cifar10_kernels(context: Context) -> Measured:
    """Train and carry a network as milestone 3 does, then compress it, carry it again and measure it once more."""
    milestone, experiment = experiment_of(context)
    assert isinstance(experiment, KernelsExperiment)
    data = obtain(experiment.data, context.watch)
    seeds = context.seeds("kernels", experiment.official_seeds if context.official else 1)
    how = how_trained(data, experiment, seeds)
    runs: list[Run] = []
    compressed: list[Compressed] = []
    try:
        workers = context.workers(3 * len(seeds))
        for seed in seeds:
            context.watch.phase(f"Training on {len(data.train_inputs):,} images (seed {seed})", 100)
            trainer, receiver = next(workers), next(workers)
            runs.append(train_and_carry(context, trainer, receiver, seed, data))
            context.watch.phase(f"Asking the network in int8 (seed {seed})", None)
            compressed.append(compress_and_carry(context, runs[-1], next(workers), seed))
            receiver.close()
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        failure = explain_broken_seed(error, milestone, seeds[len(compressed)])
        return measure_nothing("cifar10_kernels", failure, how=how, curves=curves_of(runs), data=data.record)
    figures = figures_of_all(runs) | {
        "int8_loss": max(small.lost for small in compressed),
        "int8_bytes": max(small.share for small in compressed),
    }
    worst = find_worst(runs)
    missed = failures_of_all(figures, worst) | _failures(figures, worst, min(small.accuracy for small in compressed))
    return measure_worst(runs, figures, missed, how, data)


def compress_and_carry(context: Context, run: Run, elsewhere: Worker, seed: int) -> Compressed:
    """Compress the carried network, and copy its arrays into an untrained network compressed in another process."""
    milestone, experiment = experiment_of(context)
    assert isinstance(experiment, KernelsExperiment)
    rng, carried = own_draws(seed, "compress"), run.carried
    few = carried.known[: experiment.calibration_images]
    carried.network.put(carried.weights)
    weights = carried.network.compress(few).weights()
    untrained = StudentNetwork(elsewhere, milestone.trigger, seed + 2, outputs=CLASSES)
    receiver = untrained.compress(few)
    receiver.put(weights)
    right = accuracy(ask(context, receiver, carried.inputs, rng), carried.targets)
    elsewhere.close()
    return Compressed(right, max(0.0, run.accuracy - right), weights.nbytes / (FLOAT_BYTES * carried.weights.floats))


def _failures(figures: dict[str, float | None], worst: Run, in_int8: float) -> dict[str, Failure]:
    """Describe a miss of each figure that only this milestone has."""
    return {
        "accuracy": Failure(
            title="Test images are classified correctly",
            got=f"{worst.accuracy:.1%} right{one_class(worst)} (seed {worst.seed})",
            expected="at least 75%",
            hint="Spend the time that your kernels save: more maps in the last layers, or one more epoch.",
        ),
        "int8_loss": Failure(
            title="The network in int8 answers nearly as well",
            got=f"{in_int8:.1%} right in int8, {worst.accuracy:.1%} in float32",
            expected="at most one point less",
            hint="Quantise weights per channel, and take activation ranges from all the images that compress is given.",
        ),
        "int8_bytes": Failure(
            title="The network in int8 takes about a quarter of the memory",
            got=f"{figures['int8_bytes']:.1%} of the bytes of the float network",
            expected="at most 27%",
            hint="Keep weights as int8 in buffers(), one scale for each channel, and no float copy of them.",
        ),
    }
