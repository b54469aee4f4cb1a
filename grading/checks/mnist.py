"""Milestone 2: a network that reads digits, trained in the worker, and measured by labels that never go there."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from grading.checks.measured import Context, Measured
from grading.checks.network import RecipeError, StudentNetwork, in_words
from grading.client import Worker
from grading.data.dataset import DataSet
from grading.data.load import obtain
from grading.manifest.figures import FIGURES
from grading.manifest.model import Milestone, MnistExperiment
from grading.remote import DeadlineError, RemoteError, WorkerFailureError
from grading.result import Curve, Failure

CLASSES = 10
CURVE_POINTS = 40
"""So often in one training run the grader measures loss and accuracy itself, between the student's steps."""
REQUEST = 1000
"""Images in one request for predictions."""


@dataclass(frozen=True)
class Run:
    """One network: asked when fresh, trained, asked again, and once more with its first weights put back."""

    fresh_accuracy: float
    accuracy: float
    forgotten_accuracy: float
    predicted: np.ndarray
    """How often it answered each class."""
    seconds: float
    """Of training, the grader's measurements in between included."""
    curves: tuple[Curve, ...]


def mnist(context: Context) -> Measured:
    """Train once on all images, once more on turned images with other labels, and count what is read correctly."""
    milestone, experiment = _experiment(context)
    data = obtain(experiment.data, context.watch)
    seed, control_seed = context.seeds("mnist", 2)
    figures: dict[str, float | None] = dict.fromkeys(FIGURES["mnist"])
    failures: dict[str, tuple[Failure, ...]] = {}
    curves: tuple[Curve, ...] = ()
    how, at_work = _how(data, experiment, seed), seed
    try:
        workers = context.workers(2)
        context.watch.phase(f"Training on {len(data.train_inputs):,} images", 100)
        run = _run(context, next(workers), seed, data, quick=False)
        how, curves = f"{how}; trained in {run.seconds:.0f} s", run.curves
        at_work = control_seed
        context.watch.phase("Training anew on turned images with other labels", 100)
        control = _run(context, next(workers), control_seed, _another_task(data, experiment, control_seed), quick=True)
    except (RemoteError, WorkerFailureError, RecipeError) as error:
        failures = dict.fromkeys(figures, (_broken(error, milestone, at_work),))
    else:
        figures = {
            "fresh_accuracy": max(run.fresh_accuracy, control.fresh_accuracy),
            "accuracy": run.accuracy,
            "control_accuracy": control.accuracy,
            "forgotten_accuracy": max(run.forgotten_accuracy, control.forgotten_accuracy),
        }
        failures = _failures(figures, run)
    return Measured(figures, failures, how=how, curves=curves, data=data.record)


def _experiment(context: Context) -> tuple[Milestone, MnistExperiment]:
    assert context.milestone is not None
    assert isinstance(context.milestone.experiment, MnistExperiment)
    return context.milestone, context.milestone.experiment


def _run(context: Context, worker: Worker, seed: int, data: DataSet, *, quick: bool) -> Run:
    """Build, train and read; ``quick`` counts on part of the test images."""
    milestone, experiment = _experiment(context)
    rng = np.random.default_rng(seed)
    network = StudentNetwork(worker, milestone.trigger, seed, outputs=CLASSES)
    few = rng.choice(len(data.test_inputs), min(experiment.quick_images, len(data.test_inputs)), replace=False)
    some = shifted(data.test_inputs[few], experiment.shift, rng)
    answers = data.test_targets[few]
    fresh_weights = network.weights()
    fresh = _accuracy(ask(network, some, rng), answers)
    probe = rng.choice(len(data.train_inputs), min(experiment.probe_images, len(data.train_inputs)), replace=False)
    probe_inputs, probe_targets = data.train_inputs[probe], data.train_targets[probe]
    steps: list[float] = []
    losses: list[float] = []
    accuracies: list[float] = []

    def measure(step: float) -> None:
        probabilities = network.predict(probe_inputs)
        steps.append(step)
        losses.append(cross_entropy(probabilities, probe_targets))
        accuracies.append(_accuracy(probabilities, probe_targets))

    def progress(step: float, total: float, _claimed: float) -> None:
        if step >= len(steps) * total / CURVE_POINTS and len(steps) <= CURVE_POINTS:
            measure(step)
        note = f"loss {losses[-1]:.3f}, accuracy {accuracies[-1]:.1%}"
        context.watch.advance(int(100 * step / total) if 0 < step <= total else 0, note)

    measure(0)
    order = rng.permutation(len(data.train_inputs))
    started = time.monotonic()
    network.train(data.train_inputs[order], data.train_targets[order], seed, context.budget.train_seconds, progress)
    seconds = time.monotonic() - started
    context.watch.advance(100, f"{seconds:.0f} s")
    if quick:
        probabilities, wanted = ask(network, some, rng), answers
    else:
        probabilities, wanted = ask(network, shifted(data.test_inputs, experiment.shift, rng), rng), data.test_targets
    network.put(fresh_weights)
    forgotten = _accuracy(ask(network, some, rng), answers)
    worker.close()
    return Run(
        fresh_accuracy=fresh,
        accuracy=_accuracy(probabilities, wanted),
        forgotten_accuracy=forgotten,
        predicted=np.bincount(probabilities.argmax(axis=1), minlength=CLASSES),
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


def shifted(images: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by up to ``most`` pixels, in both directions; what comes in at the edge is empty."""
    height, width = images.shape[2:]
    framed = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)))
    windows = np.lib.stride_tricks.sliding_window_view(framed, (height, width), axis=(2, 3))
    rows, columns = rng.integers(0, 2 * most + 1, (2, len(images)))
    return np.ascontiguousarray(windows[np.arange(len(images)), :, rows, columns])


def cross_entropy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean cross-entropy in nats, by the grader; probabilities are kept 1e-7 away from 0."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(targets)), targets], 1e-7)).mean())


def _another_task(data: DataSet, experiment: MnistExperiment, seed: int) -> DataSet:
    """A part of the data, turned by a quarter or three, with every label moved on by the same number."""
    rng = np.random.default_rng([seed, 1])
    part = rng.choice(len(data.train_inputs), min(experiment.control_images, len(data.train_inputs)), replace=False)
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


def _accuracy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == targets).mean())


def _broken(error: Exception, milestone: Milestone, seed: int) -> Failure:
    """The recipe did not come to its end."""
    slow = isinstance(error, DeadlineError)
    return Failure(
        title=f"The recipe builds, trains and predicts (seed {seed})",
        hint=(
            f"Training has {milestone.budget.train_seconds:.0f} s. Is the convolution one matrix product, and the "
            "number of epochs moderate?"
            if slow
            else f"Run the recipe's tests first: pytest modules/{milestone.trigger} -k recipe"
        ),
        **in_words(error),
    )


def _failures(figures: dict[str, float | None], run: Run) -> dict[str, tuple[Failure, ...]]:
    """For every figure, what a miss would say."""
    often = int(run.predicted.argmax())
    share = run.predicted[often] / run.predicted.sum()
    one_class = share > 0.5
    failures = {
        "fresh_accuracy": Failure(
            title="A network that has not been trained answers by chance",
            got=f"{figures['fresh_accuracy']:.1%} of the test images right before any training",
            expected="about 10%, one in ten",
            hint="build must draw every weight at random from rng; nothing in it may know what a digit looks like.",
        ),
        "accuracy": Failure(
            title="Test images, moved by up to a pixel, are read correctly",
            got=f"{figures['accuracy']:.2%} right" + (f"; {share:.0%} of the answers are {often}" if one_class else ""),
            expected="at least 95%",
            hint=(
                "The network has learned next to nothing: watch the loss of the first hundred steps; it must fall from "
                "2.3, the loss of a guess."
                if one_class
                else "Train on all images, for several epochs, with the learning rate falling towards the end; move "
                "training images by a pixel now and then."
            ),
        ),
        "control_accuracy": Failure(
            title="Turned images with other labels are learned as well",
            got=f"{figures['control_accuracy']:.1%} right after training on them",
            expected="nearly as many as of the upright ones: what it predicts comes from what it was trained on",
            hint="train must learn from the images and labels it is given, and predict must use the network.",
        ),
        "forgotten_accuracy": Failure(
            title="With the fresh weights put back, it answers by chance again",
            got=f"{figures['forgotten_accuracy']:.1%} right with the weights it had before training",
            expected="about 10%: all that was learned is in network.parameters()",
            hint="Every trained array must be in parameters(), and used through its .data in every forward pass.",
        ),
    }
    return {name: (failure,) for name, failure in failures.items()}


def _how(data: DataSet, experiment: MnistExperiment, seed: int) -> str:
    return (
        f"{data.name} (SHA-256 {data.digest[:12]}…): trained on {len(data.train_inputs):,} images from seed {seed}, "
        f"counted on {len(data.test_inputs):,} others, each moved by up to {experiment.shift} px; control: "
        f"{min(experiment.control_images, len(data.train_inputs)):,} images, turned, labels moved on"
    )
