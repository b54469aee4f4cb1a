"""What milestones 2 and 3 share: a network that names images, trained in a worker, read on images it has never seen."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from grading.checks.measured import Context
from grading.checks.network import StudentNetwork, in_words
from grading.checks.seeds import own_draws
from grading.client import Worker
from grading.data.dataset import DataSet
from grading.manifest.model import ImageExperiment, Milestone
from grading.remote import DeadlineError
from grading.result import Curve, Failure

CLASSES = 10
REQUEST = 1000
"""Images in one request for predictions."""


@dataclass(frozen=True)
class Run:
    """One network: asked when fresh, trained, asked again, and once more with its first weights put back."""

    seed: int
    fresh_accuracy: float
    accuracy: float
    """Of test images, moved by up to the experiment's shift."""
    known_accuracy: float
    """Of training images."""
    forgotten_accuracy: float
    predicted: np.ndarray
    """How often it answered each class."""
    steps: tuple[float, ...]
    """How far training had come, from 0 to 1, whenever the grader measured."""
    losses: tuple[float, ...]
    """Of fixed training images, the first before training."""
    seconds: float
    """Of training, the grader's measurements in between included."""
    curves: tuple[Curve, ...]


def experiment_of(context: Context) -> tuple[Milestone, ImageExperiment]:
    """The milestone, and how it is measured."""
    assert context.milestone is not None
    assert isinstance(context.milestone.experiment, ImageExperiment)
    return context.milestone, context.milestone.experiment


def train_and_read(context: Context, worker: Worker, seed: int, data: DataSet, *, quick: bool) -> Run:
    """Build, train and read; ``quick`` counts on part of the test images."""
    milestone, experiment = experiment_of(context)
    rng = own_draws(seed)
    network = StudentNetwork(worker, milestone.trigger, seed, outputs=CLASSES)
    few = some_of(len(data.test_inputs), experiment.quick_images, rng)
    some, answers = shifted(data.test_inputs[few], experiment.shift, rng), data.test_targets[few]
    fresh_weights = network.weights()
    fresh = accuracy(ask(network, some, rng), answers)
    probe = some_of(len(data.train_inputs), experiment.probe_images, rng)
    probe_inputs, probe_targets = data.train_inputs[probe], data.train_targets[probe]
    steps: list[float] = []
    totals: list[float] = []
    losses: list[float] = []
    accuracies: list[float] = []

    def measure(step: float, total: float) -> None:
        probabilities = network.predict(probe_inputs)
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
    started = time.monotonic()
    network.train(data.train_inputs[order], data.train_targets[order], seed, context.budget.train_seconds, progress)
    seconds = time.monotonic() - started
    context.watch.advance(100, f"{seconds:.0f} s")
    if quick:
        probabilities, wanted = ask(network, some, rng), answers
    else:
        probabilities, wanted = ask(network, shifted(data.test_inputs, experiment.shift, rng), rng), data.test_targets
    known = some_of(len(data.train_inputs), experiment.quick_images, rng)
    known_accuracy = accuracy(ask(network, data.train_inputs[known], rng), data.train_targets[known])
    network.put(fresh_weights)
    forgotten = accuracy(ask(network, some, rng), answers)
    worker.close()
    return Run(
        seed=seed,
        fresh_accuracy=fresh,
        accuracy=accuracy(probabilities, wanted),
        known_accuracy=known_accuracy,
        forgotten_accuracy=forgotten,
        predicted=np.bincount(probabilities.argmax(axis=1), minlength=CLASSES),
        steps=tuple(min(step / total, 1.0) if total > 0 else 0.0 for step, total in zip(steps, totals, strict=True)),
        losses=tuple(losses),
        seconds=seconds,
        curves=(
            Curve(name="loss", seed=seed, steps=tuple(steps), values=tuple(round(v, 5) for v in losses)),
            Curve(name="accuracy", seed=seed, steps=tuple(steps), values=tuple(round(v, 5) for v in accuracies)),
        ),
    )


def ask(network: StudentNetwork, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Probabilities of all images, which the network is shown in random order and a thousand at a time."""
    order = rng.permutation(len(images))
    answered = np.empty((len(images), CLASSES))
    for start in range(0, len(order), REQUEST):
        part = order[start : start + REQUEST]
        answered[part] = network.predict(images[part])
    return answered


def some_of(count: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """Up to ``most`` different numbers below ``count``, in random order."""
    return rng.choice(count, min(most, count), replace=False)


def shifted(images: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by up to ``most`` pixels, in both directions; at the edge its last pixels are repeated."""
    height, width = images.shape[2:]
    framed = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(framed, (height, width), axis=(2, 3))
    rows, columns = rng.integers(0, 2 * most + 1, (2, len(images)))
    return np.ascontiguousarray(windows[np.arange(len(images)), :, rows, columns])


def cross_entropy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean cross-entropy in nats, by the grader; probabilities are kept 1e-7 away from 0."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-7)).mean())


def accuracy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """The share of rows whose largest probability stands at the target."""
    return float((probabilities.argmax(axis=1) == targets).mean())


def another_task(data: DataSet, count: int, seed: int) -> DataSet:
    """``count`` of the training images, turned by a quarter or three, with every label moved on by the same number."""
    rng = own_draws(seed, "another task")
    part = some_of(len(data.train_inputs), count, rng)
    quarters, moved = int(rng.choice((1, 3))), int(rng.integers(1, CLASSES))

    def turned(images: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(images, quarters, axes=(2, 3)))

    return DataSet(
        data.name,
        turned(data.train_inputs[part]),
        (data.train_targets[part] + moved) % CLASSES,
        turned(data.test_inputs),
        (data.test_targets + moved) % CLASSES,
        digest=data.digest,
        stand_in_for=data.stand_in_for,
    )


def broken(error: Exception, milestone: Milestone, seed: int) -> Failure:
    """The recipe did not come to its end."""
    return Failure(
        title=f"The recipe builds, trains and predicts (seed {seed})",
        hint=(
            f"Training has {milestone.budget.train_seconds:.0f} s of CPU time. Is the convolution one matrix "
            "product, and the number of epochs moderate?"
            if isinstance(error, DeadlineError)
            else f"Run the recipe's tests first: pytest modules/{milestone.trigger} -k recipe"
        ),
        **in_words(error),
    )


def failures_of_all(figures: dict[str, float | None]) -> dict[str, Failure]:
    """What a miss would say of the figures that every such milestone has."""
    return {
        "fresh_accuracy": Failure(
            title="A network that has not been trained answers by chance",
            got=f"{figures['fresh_accuracy']:.1%} of the test images right before any training",
            expected="about 10%, one in ten",
            hint="build must draw every weight at random from rng; nothing in it may know what an image shows.",
        ),
        "control_accuracy": Failure(
            title="Turned images with other labels are learned as well",
            got=f"{figures['control_accuracy']:.1%} right after training on them",
            expected="far more than chance: what it predicts comes from what it was trained on",
            hint="train must learn from the images and labels it is given, and predict must use the network.",
        ),
        "forgotten_accuracy": Failure(
            title="With the fresh weights put back, it answers by chance again",
            got=f"{figures['forgotten_accuracy']:.1%} right with the weights it had before training",
            expected="about 10%: all that was learned is in network.parameters()",
            hint="Every trained array must be in parameters(), and used through its .data in every forward pass.",
        ),
    }


def one_class(run: Run) -> str:
    """Words like `; 61% of the answers are 3` when one class is more than half of them, else none."""
    often = int(run.predicted.argmax())
    share = run.predicted[often] / run.predicted.sum()
    return f"; {share:.0%} of the answers are {often}" if share > 0.5 else ""


def how_trained(data: DataSet, experiment: ImageExperiment, seeds: tuple[int, ...]) -> str:
    """Data, seeds and control in words."""
    return (
        f"{data.name} (SHA-256 {data.digest[:12]}…): trained on {len(data.train_inputs):,} images from seed "
        f"{' and '.join(map(str, seeds))}, counted on {len(data.test_inputs):,} others, each moved by up to "
        f"{experiment.shift} px; control: {min(experiment.control_images, len(data.train_inputs)):,} images, turned, "
        "labels moved on"
    )
