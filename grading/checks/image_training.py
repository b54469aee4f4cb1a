"""Train an image classifier in one process, and measure it in a fresh process, for milestones 2 to 4."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from grading.checks.drawn_tasks import ImageTask, draw_image_task, perturb_images
from grading.checks.grader_seeds import make_grader_rng
from grading.checks.run_pictures import make_confusion_picture, make_filter_pictures, select_named_images
from grading.checks.student_network import StudentNetwork, Weights, compute_mean_difference, explain_failed_recipe
from grading.client import Worker
from grading.data.dataset import DataSet
from grading.manifest.model import ImageExperiment, Milestone
from grading.measurement import CheckContext, Measurement, get_milestone_and_experiment
from grading.result import Curve, Failure, NamedImage, Picture

CLASSES = 10
IMAGES_PER_CALL = 1000
"""The number of images to which the time limit of one call applies. More images get proportionally more time."""


@dataclass(frozen=True, eq=False)
class CarriedNetwork:
    """A trained network in the process that measures it, which saw no training."""

    network: StudentNetwork
    weights: Weights
    """The trained weights, with noise added."""
    inputs: np.ndarray
    """The test images, perturbed."""
    targets: np.ndarray
    known: np.ndarray
    """Some of the training images, perturbed the same way."""


@dataclass(frozen=True, eq=False)
class ImageRun:
    """One network: tested when fresh, trained, carried into a process that saw no training, and measured there."""

    seed: int
    fresh_accuracy: float
    """The accuracy with fresh weights, in the process where it is higher."""
    accuracy: float
    """The accuracy on all test images, perturbed."""
    accuracy_there: float
    """The accuracy in the process that trained the network, on some of the test images."""
    known_accuracy: float
    """The accuracy on training images, perturbed the same way."""
    forgotten_accuracy: float
    """The accuracy once the fresh weights have been restored."""
    difference: float
    """The mean difference between the training process's answers and the fresh process's, with the same weights."""
    numbers: int
    """The number of values in all parameters and buffers."""
    predicted: np.ndarray
    """The number of images classified as each class."""
    steps: tuple[float, ...]
    """The fraction of training completed at each of the grader's measurements, from 0 to 1."""
    losses: tuple[float, ...]
    """The losses on fixed training images. The first loss is from before training."""
    seconds: float
    """The duration of training, including the grader's measurements in between."""
    cpu_seconds: float
    """The CPU time of the training itself, according to the operating system."""
    curves: tuple[Curve, ...]
    pictures: tuple[Picture, ...]
    named_images: tuple[NamedImage, ...]
    carried: CarriedNetwork


@dataclass(frozen=True, eq=False)
class TrainingTrace:
    """The grader's measurements between the steps of one training run."""

    steps: tuple[float, ...]
    totals: tuple[float, ...]
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    seconds: float
    cpu_seconds: float
    """The CPU time of training, excluding the grader's own requests in between."""


def train_and_measure_network(
    context: CheckContext, training_worker: Worker, fresh_worker: Worker, seed: int, data: DataSet
) -> ImageRun:
    """Train in one process on a task drawn from the seed, close it, and measure only its weights in another process.

    The first process is closed before the second does anything. The second process stays open.
    """
    milestone, experiment = get_milestone_and_experiment(context, ImageExperiment)
    rng, task = make_grader_rng(seed), draw_image_task(data, experiment.symmetry, make_grader_rng(seed, "task"))
    inputs, targets = perturb_images(task.data.test_inputs, experiment, rng), task.data.test_targets
    few = draw_distinct_indices(len(inputs), experiment.quick_images, rng)
    some, answers = inputs[few], targets[few]
    known = draw_distinct_indices(len(task.data.train_inputs), experiment.quick_images, rng)
    known_inputs = perturb_images(task.data.train_inputs[known], experiment, rng)

    network = StudentNetwork(training_worker, milestone.trigger, seed, outputs=CLASSES)
    network.copy_weights()  # check the contract before minutes are spent on training
    fresh = compute_accuracy(predict_images_shuffled(context, network, some, rng), answers)
    seen = _train_with_measurements(context, training_worker, network, seed, task, rng)
    there, weights = predict_images_shuffled(context, network, some, rng), network.copy_weights()
    training_worker.close()

    receiver = StudentNetwork(fresh_worker, milestone.trigger, seed + 1, outputs=CLASSES)
    own = receiver.copy_weights()
    fresh_elsewhere = compute_accuracy(predict_images_shuffled(context, receiver, some, rng), answers)
    carried = CarriedNetwork(receiver, weights.add_noise(experiment.weight_noise, rng), inputs, targets, known_inputs)
    receiver.load_weights(carried.weights)
    answered = predict_images_shuffled(context, receiver, inputs, rng)
    known_accuracy = compute_accuracy(
        predict_images_shuffled(context, receiver, known_inputs, rng), task.data.train_targets[known]
    )
    receiver.load_weights(own)
    forgotten = compute_accuracy(predict_images_shuffled(context, receiver, some, rng), answers)
    probabilities = task.restore_class_order(answered)
    named = probabilities.argmax(axis=1)
    return ImageRun(
        seed=seed,
        fresh_accuracy=max(fresh, fresh_elsewhere),
        accuracy=compute_accuracy(answered, targets),
        accuracy_there=compute_accuracy(there, answers),
        known_accuracy=known_accuracy,
        forgotten_accuracy=forgotten,
        difference=compute_mean_difference(answered[few], there),
        numbers=weights.value_count,
        predicted=np.bincount(named, minlength=CLASSES),
        steps=tuple(min(s / t, 1.0) if t > 0 else 0.0 for s, t in zip(seen.steps, seen.totals, strict=True)),
        losses=seen.losses,
        seconds=seen.seconds,
        cpu_seconds=seen.cpu_seconds,
        curves=(
            Curve(name="loss", seed=seed, steps=seen.steps, values=tuple(round(v, 5) for v in seen.losses)),
            Curve(name="accuracy", seed=seed, steps=seen.steps, values=tuple(round(v, 5) for v in seen.accuracies)),
        ),
        pictures=(
            make_confusion_picture(data.test_targets, named, data.classes, seed),
            *make_filter_pictures(weights, inputs, seed),
        ),
        named_images=select_named_images(
            task.restore_orientation(inputs),
            data.test_targets,
            probabilities,
            data.classes,
            make_grader_rng(seed, "named images"),
        ),
        carried=carried,
    )


def _train_with_measurements(
    context: CheckContext, worker: Worker, network: StudentNetwork, seed: int, task: ImageTask, rng: np.random.Generator
) -> TrainingTrace:
    """Run the recipe's training. Between its steps, measure loss and accuracy on fixed training images."""
    _, experiment = get_milestone_and_experiment(context, ImageExperiment)
    data = task.data
    probe = draw_distinct_indices(len(data.train_inputs), experiment.probe_images, rng)
    probe_inputs, probe_targets = data.train_inputs[probe], data.train_targets[probe]
    steps: list[float] = []
    totals: list[float] = []
    losses: list[float] = []
    accuracies: list[float] = []
    asked: list[float] = []

    def measure_probe(step: float, total: float) -> None:
        """Measure loss and accuracy on the fixed training images."""
        clock = worker.read_clock()
        probabilities = network.predict(probe_inputs)
        asked.append(worker.read_clock() - clock)
        steps.append(step)
        totals.append(total)
        losses.append(compute_cross_entropy(probabilities, probe_targets))
        accuracies.append(compute_accuracy(probabilities, probe_targets))

    def measure_if_due(step: float, total: float) -> None:
        """Measure the network if the next measurement is due, and show how far training has come."""
        points = experiment.curve_points
        if step >= len(steps) * total / points and len(steps) <= points:
            measure_probe(step, total)
        note = f"loss {losses[-1]:.3f}, accuracy {accuracies[-1]:.1%}"
        context.watch.report_steps_done(int(100 * step / total) if 0 < step <= total else 0, note)

    measure_probe(0, 1)
    order = rng.permutation(len(data.train_inputs))
    started, clock, before = time.monotonic(), worker.read_clock(), sum(asked)
    network.train(
        data.train_inputs[order], data.train_targets[order], seed, context.budget.train_seconds, measure_if_due
    )
    seconds = time.monotonic() - started
    cpu_seconds = worker.read_clock() - clock - (sum(asked) - before)
    context.watch.report_steps_done(100, f"{seconds:.0f} s")
    return TrainingTrace(tuple(steps), tuple(totals), tuple(losses), tuple(accuracies), seconds, cpu_seconds)


def predict_images_shuffled(
    context: CheckContext, network: StudentNetwork, images: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Predict with the images shuffled, so that groups cannot be told apart; return rows in the original order."""
    order = rng.permutation(len(images))
    answered = np.empty((len(images), CLASSES))
    answered[order] = network.predict(
        images[order], context.budget.call_seconds * max(1, len(images) / IMAGES_PER_CALL)
    )
    return answered


def draw_distinct_indices(total: int, at_most: int, rng: np.random.Generator) -> np.ndarray:
    """Draw up to ``at_most`` different indices below ``total``, in random order."""
    return rng.choice(total, min(at_most, total), replace=False)


def compute_cross_entropy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Compute the mean cross-entropy in nats, with probabilities clipped at 1e-7."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-7)).mean())


def compute_accuracy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Compute the share of rows in which the target has the largest probability."""
    return float((probabilities.argmax(axis=1) == targets).mean())


def explain_failed_training(error: Exception, milestone: Milestone, seed: int) -> Failure:
    """Describe the failure of a recipe that did not finish with this seed."""
    when_slow = "Is the convolution a single matrix product, and is the number of epochs moderate?"
    return explain_failed_recipe(error, milestone, f"seed {seed}", when_slow)


def explain_shared_image_failures(figures: dict[str, float | None], worst_run: ImageRun) -> dict[str, Failure]:
    """For each shared figure of milestones 2 to 4 except accuracy, describe the failure to report if it is missed."""
    return {
        "fresh_accuracy": Failure(
            title="An untrained network is no better than chance",
            got=f"{figures['fresh_accuracy']:.1%} of the test images correct before any training",
            expected="about 10%, the accuracy of guessing",
            hint="build must draw every weight at random from rng. Nothing in it may depend on what the images show.",
        ),
        "forgotten_accuracy": Failure(
            title="With fresh weights restored, it is no better than chance again",
            got=f"{figures['forgotten_accuracy']:.1%} correct with weights that were never trained",
            expected="about 10%: all that was learned is in parameters() and buffers()",
            hint="predict must compute from the current weights, through their .data, in every forward pass.",
        ),
        "carried_difference": Failure(
            title="The weights alone give the same answers in another process",
            got=f"{worst_run.accuracy_there:.1%} correct in the process that trained it, {worst_run.accuracy:.1%} with "
            f"its weights in a fresh process; answers differ by {figures['carried_difference']:.3f}",
            expected="the same answers from parameters() and buffers() alone",
            hint="Every array that training changes must be in parameters() or buffers(), used through its .data. A "
            "layer with running statistics returns them from buffers().",
        ),
        "numbers": Failure(
            title="The network is of a sensible size",
            got=f"{figures['numbers']:,.0f} numbers in parameters() and buffers()",
            expected="fewer: enough for what was learned, but not for a copy of the training data",
            hint="Make the layers narrower, or pool before the dense layer, which usually holds nearly all of them.",
        ),
    }


def collect_shared_image_figures(runs: list[ImageRun]) -> dict[str, float | None]:
    """Collect the figures that milestones 2 to 4 share, each from the run in which it is worst."""
    return {
        "fresh_accuracy": max(run.fresh_accuracy for run in runs),
        "accuracy": min(run.accuracy for run in runs),
        "forgotten_accuracy": max(run.forgotten_accuracy for run in runs),
        "carried_difference": max(run.difference for run in runs),
        "numbers": max(run.numbers for run in runs),
    }


def format_dominance_suffix(run: ImageRun) -> str:
    """Return text like `; 61% of the answers are 3` if more than half of the answers are one class, else ""."""
    often = int(run.predicted.argmax())
    share = run.predicted[often] / run.predicted.sum()
    return f"; {share:.0%} of the answers are {often}" if share > 0.5 else ""


def build_image_measurement(
    runs: list[ImageRun], figures: dict[str, float | None], failures: dict[str, Failure], method: str, data: DataSet
) -> Measurement:
    """Assemble a check's measurement from several runs, with all curves and the least accurate run's pictures."""
    return Measurement(
        figures,
        {name: (failure,) for name, failure in failures.items()},
        how=f"{method}; trained in {' and '.join(f'{run.seconds:.0f} s' for run in runs)}",
        curves=collect_curves(runs),
        pictures=find_least_accurate_run(runs).pictures,
        named_images=find_least_accurate_run(runs).named_images,
        training_seconds=tuple(run.cpu_seconds for run in runs),
        data=data.record,
    )


def collect_curves(runs: list[ImageRun]) -> tuple[Curve, ...]:
    """Collect the curves of all runs, in the order of the runs."""
    return tuple(curve for run in runs for curve in run.curves)


def find_least_accurate_run(runs: list[ImageRun]) -> ImageRun:
    """Find the run with the lowest accuracy."""
    return min(runs, key=lambda run: run.accuracy)


def describe_image_measurement(data: DataSet, experiment: ImageExperiment, seeds: list[int]) -> str:
    """Describe which data and seeds were used, and how the images were transformed."""
    trained = f"{len(data.train_inputs):,} images from seed {' and '.join(map(str, seeds))}"
    return (
        f"{data.name} (SHA-256 {data.digest[:12]}…): trained on {trained}, rotated or mirrored and with classes "
        f"renumbered according to the seed; measured in a process that saw no training, with weight noise of "
        f"{experiment.weight_noise:g}, on {len(data.test_inputs):,} other images, each shifted by up to "
        f"{experiment.shift:g} px, its gain changed by up to {experiment.gain:.0%}, "
        f"with noise of σ = {experiment.noise:g}"
    )
