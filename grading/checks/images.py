"""Shared by milestones 2 to 4: an image classifier, trained in one process and measured in a fresh one."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from grading.checks.draws import ImageTask, draw_image_task, perturb_images
from grading.checks.network import StudentNetwork, Weights, differ_by, explain_broken_recipe
from grading.checks.pictures import count_confusions, pick_filters, pick_named_images
from grading.checks.seeds import own_draws
from grading.client import Worker
from grading.data.dataset import DataSet
from grading.manifest.model import ImageExperiment, Milestone
from grading.measured import Context, Measured
from grading.result import Curve, Failure, NamedImage, Picture

CLASSES = 10
IMAGES_PER_CALL = 1000
"""This many images get the time limit of one call. More images get proportionally more time."""


@dataclass(frozen=True, eq=False)
class Carried:
    """A trained network where it is measured: in a process that saw no training."""

    network: StudentNetwork
    weights: Weights
    """The trained weights, made noisy."""
    inputs: np.ndarray
    """The test images, perturbed."""
    targets: np.ndarray
    known: np.ndarray
    """Some of the training images, perturbed the same way."""


@dataclass(frozen=True, eq=False)
class Run:
    """One network: tested when fresh, trained, carried into a process that saw no training, and measured there."""

    seed: int
    fresh_accuracy: float
    """With fresh weights: the larger of both processes' accuracies."""
    accuracy: float
    """On all test images, perturbed."""
    accuracy_there: float
    """In the process that trained, on some of the test images."""
    known_accuracy: float
    """On training images, perturbed the same way."""
    forgotten_accuracy: float
    """With fresh weights restored."""
    difference: float
    """Between the answers of the process that trained and those of the fresh one with the same weights."""
    numbers: int
    """How many numbers parameters and buffers hold."""
    predicted: np.ndarray
    """How often the network answered each class."""
    steps: tuple[float, ...]
    """How far training had come, from 0 to 1, at each of the grader's measurements."""
    losses: tuple[float, ...]
    """On fixed training images. The first loss is from before training."""
    seconds: float
    """Duration of training, including the grader's measurements in between."""
    cpu_seconds: float
    """CPU time of training alone, as the kernel counts it."""
    curves: tuple[Curve, ...]
    pictures: tuple[Picture, ...]
    named_images: tuple[NamedImage, ...]
    carried: Carried


@dataclass(frozen=True, eq=False)
class Training:
    """The grader's measurements between the steps of one training run."""

    steps: tuple[float, ...]
    totals: tuple[float, ...]
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    seconds: float
    cpu_seconds: float
    """Without the time for the grader's own requests in between."""


def experiment_of(context: Context) -> tuple[Milestone, ImageExperiment]:
    """Look up the context's milestone and its image experiment."""
    assert context.milestone is not None
    assert isinstance(context.milestone.experiment, ImageExperiment)
    return context.milestone, context.milestone.experiment


def train_and_carry(context: Context, worker: Worker, elsewhere: Worker, seed: int, data: DataSet) -> Run:
    """Train on a task drawn from the seed in one process; measure in another, by the weights alone.

    The first process is closed before the second does anything. The second stays open.
    """
    milestone, experiment = experiment_of(context)
    rng, task = own_draws(seed), draw_image_task(data, experiment.symmetry, own_draws(seed, "task"))
    inputs, targets = perturb_images(task.data.test_inputs, experiment, rng), task.data.test_targets
    few = some_of(len(inputs), experiment.quick_images, rng)
    some, answers = inputs[few], targets[few]
    known = some_of(len(task.data.train_inputs), experiment.quick_images, rng)
    known_inputs = perturb_images(task.data.train_inputs[known], experiment, rng)

    network = StudentNetwork(worker, milestone.trigger, seed, outputs=CLASSES)
    network.weights()  # check the contract before minutes are spent on training
    fresh = accuracy(ask(context, network, some, rng), answers)
    seen = _train(context, worker, network, seed, task, rng)
    there, weights = ask(context, network, some, rng), network.weights()
    worker.close()

    receiver = StudentNetwork(elsewhere, milestone.trigger, seed + 1, outputs=CLASSES)
    own = receiver.weights()
    fresh_elsewhere = accuracy(ask(context, receiver, some, rng), answers)
    carried = Carried(receiver, weights.with_noise(experiment.weight_noise, rng), inputs, targets, known_inputs)
    receiver.put(carried.weights)
    answered = ask(context, receiver, inputs, rng)
    known_accuracy = accuracy(ask(context, receiver, known_inputs, rng), task.data.train_targets[known])
    receiver.put(own)
    forgotten = accuracy(ask(context, receiver, some, rng), answers)
    probabilities = task.true_classes(answered)
    named = probabilities.argmax(axis=1)
    return Run(
        seed=seed,
        fresh_accuracy=max(fresh, fresh_elsewhere),
        accuracy=accuracy(answered, targets),
        accuracy_there=accuracy(there, answers),
        known_accuracy=known_accuracy,
        forgotten_accuracy=forgotten,
        difference=differ_by(answered[few], there),
        numbers=weights.numbers,
        predicted=np.bincount(named, minlength=CLASSES),
        steps=tuple(min(s / t, 1.0) if t > 0 else 0.0 for s, t in zip(seen.steps, seen.totals, strict=True)),
        losses=seen.losses,
        seconds=seen.seconds,
        cpu_seconds=seen.cpu_seconds,
        curves=(
            Curve(name="loss", seed=seed, steps=seen.steps, values=tuple(round(v, 5) for v in seen.losses)),
            Curve(name="accuracy", seed=seed, steps=seen.steps, values=tuple(round(v, 5) for v in seen.accuracies)),
        ),
        pictures=(count_confusions(data.test_targets, named, data.classes, seed), *pick_filters(weights, inputs, seed)),
        named_images=pick_named_images(
            task.turn_back(inputs), data.test_targets, probabilities, data.classes, own_draws(seed, "named images")
        ),
        carried=carried,
    )


def _train(
    context: Context, worker: Worker, network: StudentNetwork, seed: int, task: ImageTask, rng: np.random.Generator
) -> Training:
    """Run the recipe's training, and between its steps measure loss and accuracy on fixed training images."""
    _, experiment = experiment_of(context)
    data = task.data
    probe = some_of(len(data.train_inputs), experiment.probe_images, rng)
    probe_inputs, probe_targets = data.train_inputs[probe], data.train_targets[probe]
    steps: list[float] = []
    totals: list[float] = []
    losses: list[float] = []
    accuracies: list[float] = []
    asked: list[float] = []

    def measure(step: float, total: float) -> None:
        clock = worker.read_clock()
        probabilities = network.predict(probe_inputs)
        asked.append(worker.read_clock() - clock)
        steps.append(step)
        totals.append(total)
        losses.append(cross_entropy(probabilities, probe_targets))
        accuracies.append(accuracy(probabilities, probe_targets))

    def progress(step: float, total: float) -> None:
        points = experiment.curve_points
        if step >= len(steps) * total / points and len(steps) <= points:
            measure(step, total)
        note = f"loss {losses[-1]:.3f}, accuracy {accuracies[-1]:.1%}"
        context.watch.advance(int(100 * step / total) if 0 < step <= total else 0, note)

    measure(0, 1)
    order = rng.permutation(len(data.train_inputs))
    started, clock, before = time.monotonic(), worker.read_clock(), sum(asked)
    network.train(data.train_inputs[order], data.train_targets[order], seed, context.budget.train_seconds, progress)
    seconds = time.monotonic() - started
    cpu_seconds = worker.read_clock() - clock - (sum(asked) - before)
    context.watch.advance(100, f"{seconds:.0f} s")
    return Training(tuple(steps), tuple(totals), tuple(losses), tuple(accuracies), seconds, cpu_seconds)


def ask(context: Context, network: StudentNetwork, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Ask for all images' probabilities in one shuffled request, so that no group can be told from another."""
    order = rng.permutation(len(images))
    answered = np.empty((len(images), CLASSES))
    answered[order] = network.predict(
        images[order], context.budget.call_seconds * max(1, len(images) / IMAGES_PER_CALL)
    )
    return answered


def some_of(count: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Draw up to ``most`` different indices below ``count``, in random order."""
    return rng.choice(count, min(most, count), replace=False)


def cross_entropy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Compute the mean cross-entropy in nats, with probabilities clipped at 1e-7."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-7)).mean())


def accuracy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Compute the share of rows whose largest probability is the target's."""
    return float((probabilities.argmax(axis=1) == targets).mean())


def explain_broken_seed(error: Exception, milestone: Milestone, seed: int) -> Failure:
    """Describe the failure of a recipe that did not run to its end with this seed."""
    when_slow = "Is the convolution one matrix product, and the number of epochs moderate?"
    return explain_broken_recipe(error, milestone, f"seed {seed}", when_slow)


def failures_of_all(figures: dict[str, float | None], worst: Run) -> dict[str, Failure]:
    """Describe a miss of each figure that milestones 2 to 4 have in common."""
    return {
        "fresh_accuracy": Failure(
            title="A network that has not been trained answers by chance",
            got=f"{figures['fresh_accuracy']:.1%} of the test images right before any training",
            expected="about 10%, the accuracy of a guess",
            hint="build must draw every weight at random from rng. Nothing in it may know what an image shows.",
        ),
        "forgotten_accuracy": Failure(
            title="With fresh weights restored, it answers by chance again",
            got=f"{figures['forgotten_accuracy']:.1%} right with weights that were never trained",
            expected="about 10%: all that was learned is in parameters() and buffers()",
            hint="predict must compute from the current weights, through their .data, in every forward pass.",
        ),
        "carried_difference": Failure(
            title="The weights alone give the same answers in another process",
            got=f"{worst.accuracy_there:.1%} right in the process that trained, {worst.accuracy:.1%} with its weights "
            f"in a fresh process; answers differ by {figures['carried_difference']:.3f}",
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


def figures_of_all(runs: list[Run]) -> dict[str, float | None]:
    """Collect the figures that milestones 2 to 4 have in common, each from the run where it is worst."""
    return {
        "fresh_accuracy": max(run.fresh_accuracy for run in runs),
        "accuracy": min(run.accuracy for run in runs),
        "forgotten_accuracy": max(run.forgotten_accuracy for run in runs),
        "carried_difference": max(run.difference for run in runs),
        "numbers": max(run.numbers for run in runs),
    }


def one_class(run: Run) -> str:
    """Return words like `; 61% of the answers are 3` if one class is more than half of the answers, else none."""
    often = int(run.predicted.argmax())
    share = run.predicted[often] / run.predicted.sum()
    return f"; {share:.0%} of the answers are {often}" if share > 0.5 else ""


def measure_worst(
    runs: list[Run], figures: dict[str, float | None], missed: dict[str, Failure], how: str, data: DataSet
) -> Measured:
    """Assemble a check's measurement of several runs: all curves, and pictures of the run with the lowest accuracy."""
    return Measured(
        figures,
        {name: (failure,) for name, failure in missed.items()},
        how=f"{how}; trained in {' and '.join(f'{run.seconds:.0f} s' for run in runs)}",
        curves=curves_of(runs),
        pictures=find_worst(runs).pictures,
        named_images=find_worst(runs).named_images,
        training_seconds=tuple(run.cpu_seconds for run in runs),
        data=data.record,
    )


def curves_of(runs: list[Run]) -> tuple[Curve, ...]:
    """Collect the curves of all runs, one run after another."""
    return tuple(curve for run in runs for curve in run.curves)


def find_worst(runs: list[Run]) -> Run:
    """Find the run with the lowest accuracy."""
    return min(runs, key=lambda run: run.accuracy)


def how_trained(data: DataSet, experiment: ImageExperiment, seeds: list[int]) -> str:
    """Say which data and seeds were used, and how the images were transformed."""
    trained = f"{len(data.train_inputs):,} images from seed {' and '.join(map(str, seeds))}"
    return (
        f"{data.name} (SHA-256 {data.digest[:12]}…): trained on {trained}, rotated or mirrored and with classes "
        f"renumbered as the seed says; measured in a process that saw no training, with weights made noisy by "
        f"{experiment.weight_noise:g}, on {len(data.test_inputs):,} other images, each shifted by up to "
        f"{experiment.shift:g} px, its gain changed by up to {experiment.gain:.0%}, "
        f"with noise of σ = {experiment.noise:g}"
    )
