"""Milestone 4: accuracy on CIFAR-10 with the student's own kernels, and how much of it remains in int8."""

from __future__ import annotations

from dataclasses import dataclass

from grading.checks.grader_seeds import make_grader_rng
from grading.checks.image_training import (
    CLASSES,
    ImageRun,
    build_image_measurement,
    collect_curves,
    collect_shared_image_figures,
    compute_accuracy,
    describe_image_measurement,
    explain_failed_training,
    explain_shared_image_failures,
    find_least_accurate_run,
    format_dominance_suffix,
    predict_images_shuffled,
    train_and_measure_network,
)
from grading.checks.student_network import RecipeError, StudentNetwork
from grading.client import Worker
from grading.data.load import load_or_fetch_images
from grading.manifest.model import KernelsExperiment
from grading.measurement import CheckContext, Measurement, build_failed_measurement, get_milestone_and_experiment
from grading.remote import RemoteError, WorkerFailureError
from grading.result import Failure

FLOAT_BYTES = 4


@dataclass(frozen=True)
class CompressedNetwork:
    """The results of the compressed network, whose arrays are copied into a third process and tested there."""

    accuracy: float
    """The accuracy on all test images, perturbed exactly as for the float network."""
    lost: float
    """The accuracy lost compared with the float network, never below 0."""
    share: float
    """The network's size in bytes, divided by the size of the float network's values in float32."""


def measure_cifar10_kernels(context: CheckContext) -> Measurement:
    """Train, copy and measure a network as in milestone 3, then compress, copy and measure it. The worst run counts."""
    milestone, experiment = get_milestone_and_experiment(context, KernelsExperiment)
    data = load_or_fetch_images(experiment.data, context.watch)
    seeds = context.derive_seeds("kernels", experiment.official_seeds if context.official else 1)
    how = describe_image_measurement(data, experiment, seeds)
    runs: list[ImageRun] = []
    compressed: list[CompressedNetwork] = []
    try:
        workers = context.start_workers(3 * len(seeds))
        for seed in seeds:
            context.watch.begin_phase(f"Training on {len(data.train_inputs):,} images (seed {seed})", 100)
            trainer, receiver = next(workers), next(workers)
            runs.append(train_and_measure_network(context, trainer, receiver, seed, data))
            context.watch.begin_phase(f"Testing the int8 network (seed {seed})", None)
            compressed.append(measure_compressed_network(context, runs[-1], next(workers), seed))
            receiver.close()
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        failure = explain_failed_training(error, milestone, seeds[len(compressed)])
        return build_failed_measurement(
            "cifar10_kernels", failure, how=how, curves=collect_curves(runs), data=data.record
        )
    figures = collect_shared_image_figures(runs) | {
        "int8_loss": max(small.lost for small in compressed),
        "int8_bytes": max(small.share for small in compressed),
    }
    worst = find_least_accurate_run(runs)
    missed = explain_shared_image_failures(figures, worst) | _describe_kernel_failures(
        figures, worst, min(small.accuracy for small in compressed)
    )
    return build_image_measurement(runs, figures, missed, how, data)


def measure_compressed_network(
    context: CheckContext, run: ImageRun, fresh_worker: Worker, seed: int
) -> CompressedNetwork:
    """Compress the trained network, copy its arrays to one in ``fresh_worker``, measure that, and close the worker."""
    milestone, experiment = get_milestone_and_experiment(context, KernelsExperiment)
    rng, carried = make_grader_rng(seed, "compress"), run.carried
    few = carried.known[: experiment.calibration_images]
    carried.network.load_weights(carried.weights)
    weights = carried.network.compress(few).copy_weights()
    untrained = StudentNetwork(fresh_worker, milestone.trigger, seed + 2, outputs=CLASSES)
    receiver = untrained.compress(few)
    receiver.load_weights(weights)
    right = compute_accuracy(predict_images_shuffled(context, receiver, carried.inputs, rng), carried.targets)
    fresh_worker.close()
    return CompressedNetwork(
        right, max(0.0, run.accuracy - right), weights.nbytes / (FLOAT_BYTES * carried.weights.float_count)
    )


def _describe_kernel_failures(
    figures: dict[str, float | None], worst_run: ImageRun, int8_accuracy: float
) -> dict[str, Failure]:
    """Describe the failures to report if accuracy or an int8 figure misses its threshold, without comparing them."""
    return {
        "accuracy": Failure(
            title="Test images are classified correctly",
            got=f"{worst_run.accuracy:.1%} correct{format_dominance_suffix(worst_run)} (seed {worst_run.seed})",
            expected="at least 75%",
            hint="Spend the time that your kernels save on more channels in the last layers, or on one more epoch.",
        ),
        "int8_loss": Failure(
            title="The int8 network is nearly as accurate",
            got=f"{int8_accuracy:.1%} correct in int8, {worst_run.accuracy:.1%} in float32",
            expected="at most one point less",
            hint="Quantise weights per channel, and take activation ranges from all the images that are passed to "
            "compress.",
        ),
        "int8_bytes": Failure(
            title="The int8 network takes about a quarter of the memory",
            got=f"{figures['int8_bytes']:.1%} of the float network's bytes",
            expected="at most 27%",
            hint="Keep weights as int8 in buffers(), one scale for each channel, and no float copy of them.",
        ),
    }
