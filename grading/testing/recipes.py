"""Shared tests for the image recipes of all milestones. Each function tests one behaviour."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Any

import numpy as np

from grading.testing import expect
from grading.testing.reports import Reports, ignore_reports

FIGURES = ("step", "steps", "loss", "accuracy")
"""The arguments of `progress` in a recipe for images."""
FEW_STEPS = 10
"""Below this number of steps, nothing but the number of steps explains why a network has not learned."""
SQUARE, APART = 8, 12
"""The side of the bright square and the distance between its positions, in pixels."""


@dataclass(frozen=True)
class ImageRecipe:
    """An image recipe under test. Its `build`, `predict`, `feature_maps` and `train` are for ten classes."""

    module: str
    shape: tuple[int, int, int]
    """The shape of one image: channels, rows, columns."""
    sides: int = 4
    """The number of square positions that the simple task distinguishes; 2 if training mirrors images."""
    reports_the_end: bool = False
    """Whether the last step of training must be reported."""
    explain_failure: Callable[[Any, Any, np.ndarray], str | None] | None = None
    """Given the recipe, a network that has not learned its images, and these images, returns a hint, if it has one."""

    def load_recipe(self, student: Any) -> Any:
        """Load the student's recipe."""
        return student.recipe(self.module)

    def draw_noise(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw images with random pixels."""
        return rng.integers(0, 256, (count, *self.shape)).astype("uint8")

    def draw_squares(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw dark images with a bright square, labelled by its position; a small network can learn this."""
        channels, height, width = self.shape
        corners = rng.integers(0, 4, count)
        images = rng.integers(0, 40, (count, channels, height, width))
        border = (np.array([height, width]) - SQUARE - APART) // 2
        for image, corner in zip(images, corners, strict=True):
            top, left = border + APART * np.array(divmod(corner, 2)) + rng.integers(-2, 3, 2)
            image[:, top : top + SQUARE, left : left + SQUARE] += 200
        return images.astype("uint8"), (corners // (4 // self.sides)).astype("int64")


def check_build_is_seeded(student: Any, recipe: ImageRecipe) -> None:
    """The same seed builds the same network, and a different seed builds a different one."""
    ours = recipe.load_recipe(student)
    one, same, other = ([expect.values(p) for p in ours.build(student.rng(seed)).parameters()] for seed in (1, 1, 2))
    hint = "draw every weight from the `rng` that build receives, and from nothing else"
    for a, b in zip(one, same, strict=True):
        expect.array(b, a, call="a parameter of build(rng), built again from the same seed", hint=hint)
    differs = any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    call = "the parameters of build(rng) from a different seed"
    expect.that(differs, call=call, got="the same", expected="different ones", hint=hint)


def check_probabilities(student: Any, rng: np.random.Generator, recipe: ImageRecipe) -> None:
    """`predict` returns ten probabilities for each image. They do not depend on the other images."""
    ours, images = recipe.load_recipe(student), recipe.draw_noise(rng, 450)
    network = ours.build(student.rng(3))
    got = expect.pull(ours.predict(network, images), call="predict(network, 450 images)")
    hint = "a row of ten numbers for each image: join the chunks along axis 0"
    expect.equal(got.shape, (450, 10), call="predict(network, 450 images).shape", hint=hint)
    hint = "end with a softmax over the ten numbers of each image, which is axis 1"
    expect.array(got.sum(axis=1), np.ones(450), call="the sums of the rows of predict(…)", rtol=1e-4, hint=hint)
    hint = "use chunks of a few hundred images, joined in order, and evaluation mode"
    for part in (slice(0, 1), slice(201, 208)):
        call = f"predict(network, images[{part.start}:{part.stop}])"
        expect.array(ours.predict(network, images[part]), got[part], call=call, rtol=1e-3, atol=1e-5, hint=hint)


def check_feature_maps(student: Any, rng: np.random.Generator, recipe: ImageRecipe) -> None:
    """`feature_maps` returns several maps for each image, and different maps for different images."""
    ours, call = recipe.load_recipe(student), "feature_maps(network, 2 images)"
    got = expect.pull(ours.feature_maps(ours.build(student.rng(3)), recipe.draw_noise(rng, 2)), call=call)
    fits = got.ndim == 4 and len(got) == 2 and min(got.shape[1:]) > 1
    expect.that(fits, call=call, got=f"shape {got.shape}", expected="(2, maps, rows, columns)")
    differs = not np.allclose(got[0], got[1])
    expect.that(differs, call="the maps of two images", got="the same", expected="maps that depend on the image")


def check_untrained_loss(student: Any, rng: np.random.Generator, recipe: ImageRecipe) -> None:
    """An untrained network's mean loss is more than half of ln 10, which is the loss of guessing."""
    ours, images, labels = recipe.load_recipe(student), recipe.draw_noise(rng, 200), rng.integers(0, 10, 200)
    p = expect.pull(ours.predict(ours.build(student.rng(4)), images), call="predict(fresh network, 200 images)")
    loss = float(-np.log(np.maximum(p[np.arange(200), labels], 1e-7)).mean())
    expect.that(loss > 0.5 * math.log(10), call="the loss of a fresh network", got=loss, expected="about 2.3 or more")


def check_loss_falls(student: Any, rng: np.random.Generator, recipe: ImageRecipe, count: int) -> None:
    """Training on ``count`` dark and bright images halves the loss, moves every parameter and reports progress."""
    ours, told = recipe.load_recipe(student), Reports(*FIGURES)
    labels = rng.permutation(np.arange(count) % 2)
    images = np.where(labels[:, None, None, None], 200, 20) + rng.integers(0, 50, (count, *recipe.shape))
    network = ours.build(student.rng(5))
    before = [expect.values(parameter) for parameter in network.parameters()]
    with _explain_overflow():
        ours.train(network, images.astype("uint8"), labels, rng=student.rng(5), progress=told)
    _check_progress_reports(told)
    losses = [report["loss"] for report in told.calls]
    call = f"the loss that progress receives, on {count} dark and bright images"
    hint = _explain_loss(told, 2)
    if losses[-1] >= losses[0] / 2 and recipe.explain_failure is not None:
        hint = recipe.explain_failure(ours, network, images.astype("uint8")) or hint
    expect.that(losses[-1] < losses[0] / 2, call=call, got=losses, expected="less than half the first loss", hint=hint)
    hint = "every step must move all of `network.parameters()`, and the loss must depend on each of them"
    for number, (parameter, old) in enumerate(zip(network.parameters(), before, strict=True)):
        still, call = np.array_equal(expect.values(parameter), old), f"parameter {number} after training"
        if still and recipe.explain_failure is not None:
            hint = recipe.explain_failure(ours, network, images.astype("uint8")) or hint
        expect.that(not still, call=call, got="unchanged", expected="changed", hint=hint)


def check_simple_task_is_learned(student: Any, rng: np.random.Generator, recipe: ImageRecipe) -> None:
    """After training on 256 images of a simple task, 90% of 120 new ones are recognised. Training reports progress."""
    ours, told = recipe.load_recipe(student), Reports(*FIGURES)
    images, labels = recipe.draw_squares(rng, 376)
    network = ours.build(student.rng(5))
    with _explain_overflow():
        ours.train(network, images[:256], labels[:256], rng=student.rng(5), progress=told)
    _check_progress_reports(told)
    p = expect.pull(ours.predict(network, images), call="predict(network, 376 images)").argmax(axis=1)
    seen, right = (float((p[part] == labels[part]).mean()) for part in (slice(256), slice(256, None)))
    call, hint = "the share of 120 new images classified correctly", _explain_accuracy(told, recipe.sides, seen)
    expect.that(right >= 0.9, call=call, got=right, expected="at least 0.9", hint=hint)
    last = told.calls[-1]
    at_the_end = last["step"] == last["steps"] if recipe.reports_the_end else last["step"] <= last["steps"]
    fits = 5 <= len(told.calls) <= 500 and at_the_end
    end = "including the last step" if recipe.reports_the_end else "with no step beyond the last"
    call = "progress(step, steps, loss, accuracy) while training"
    hint = _suggest_more_training_steps(told) or f"{len(told.calls)} calls: report every (steps // 50)-th step"
    expect.that(fits, call=call, got=told.calls[-3:], expected=f"about 50 calls, {end}", hint=hint)


def check_predicting_while_training(student: Any, rng: np.random.Generator, recipe: ImageRecipe, count: int) -> None:
    """Calling `predict` from progress does not change what is learned."""
    ours, results = recipe.load_recipe(student), []
    images, labels = recipe.draw_squares(rng, count)
    for asks in (False, True):
        network = ours.build(student.rng(6))

        def predict_while_training(*_values: Any, network: Any = network, **_named: Any) -> None:
            """Call predict during training."""
            ours.predict(network, images[:3])

        ours.train(
            network, images, labels, rng=student.rng(6), progress=predict_while_training if asks else ignore_reports
        )
        results.append(expect.pull(ours.predict(network, images[:20]), call="predict"))
    hint = "predict sets evaluation mode, so set training mode again after each call to progress"
    call = "predictions after training in which progress called predict"
    expect.array(results[1], results[0], call=call, hint=hint, rtol=1e-3, atol=1e-4)


def check_inputs_are_unchanged(student: Any, rng: np.random.Generator, recipe: ImageRecipe, count: int) -> None:
    """Training changes neither its images and labels nor any other network."""
    ours = recipe.load_recipe(student)
    images, labels = recipe.draw_squares(rng, count)
    held, held_labels = student.tensor.Tensor(images), student.tensor.Tensor(labels)
    trained, other = ours.build(student.rng(7)), ours.build(student.rng(7))
    fresh = np.array(expect.pull(ours.predict(other, images[:5]), call="predict"))
    ours.train(trained, held.data, held_labels.data, rng=student.rng(7), progress=ignore_reports)
    hint = "training must not write into its arguments: augment and scale copies"
    expect.array(held, images, call="the images after training", hint=hint)
    expect.array(held_labels, labels, call="the labels after training", hint=hint)
    got, call = ours.predict(other, images[:5]), "predictions of another network after this one was trained"
    expect.array(got, fresh, call=call, hint="keep what is learned in the network only, not in a global variable")


def _check_progress_reports(told: Reports) -> None:
    """Check that progress reports have values of the correct types, increasing steps, and accuracies from 0 to 1."""
    told.check_types(int, int, float, float)
    steps, accuracies = ([report[name] for report in told.calls] for name in ("step", "accuracy"))
    rises = all(a < b for a, b in pairwise(steps)) and all(0 <= share <= 1 for share in accuracies)
    call = "progress(step, steps, loss, accuracy)"
    expect.that(rises, call=call, got=told.calls[-3:], expected="increasing steps, and accuracies from 0 to 1")


@contextmanager
def _explain_overflow() -> Iterator[None]:
    """Turn a NumPy warning about an overflow, which the block raises as an error, into a Mismatch with a hint."""
    try:
        yield
    except Exception as error:
        if expect.get_exception_type_name(error) != "RuntimeWarning" or "overflow" not in str(error):
            raise
        hint = "numbers grow without limit: the learning rate is too large, or the pixels are not scaled"
        call = "train(network, images, labels, …)"
        raise expect.Mismatch(call=call, got=f"RuntimeWarning: {error}", expected="no overflow", hint=hint) from error


def _explain_accuracy(told: Reports, classes: int, seen: float) -> str:
    """Explain why a network that recognises the share ``seen`` of its training images does not recognise new ones."""
    trained = float(np.mean([report["accuracy"] for report in told.calls[-5:]]))
    if seen >= 0.9:
        return (
            f"predict recognises {seen:.2f} of the training images: shift them differently in each epoch, so that the "
            "network cannot memorise them"
        )
    if trained >= 0.9:
        return (
            f"training reports an accuracy of {trained:.2f}, but predict recognises {seen:.2f} of the same images: "
            "does it scale the pixels as training does, and set evaluation mode?"
        )
    return _explain_loss(told, classes)


def _explain_loss(told: Reports, classes: int) -> str:
    """Explain why the reported losses of training on this many classes did not fall as far as they should."""
    losses = [report["loss"] for report in told.calls]
    end, guessing = median_low(losses[-5:]), math.log(classes)
    if not np.isfinite(losses).all() or end > max(1.2 * losses[0], math.log(10)):
        return "the loss grows: the learning rate is too large, or the pixels are not scaled"
    few = _suggest_more_training_steps(told)
    if few and told.calls[-1]["steps"] < FEW_STEPS:
        return few
    if end > 0.9 * losses[0] and abs(end - guessing) > 0.2:
        return (
            "the loss hardly changes: is the learning rate too small, or does a step leave the parameters as they were?"
        )
    if abs(end - guessing) < 0.2:
        own = f"ln {classes} = {guessing:.2f} is the loss of guessing: does each image still have its own label?"
        return f"{own} If the labels are right: {few}" if few else own
    return few or (
        "the loss falls too slowly: use a larger learning rate, momentum, or more steps if there are few images"
    )


def _suggest_more_training_steps(told: Reports) -> str | None:
    """Suggest more steps if training on few images took fewer than 50; otherwise return None."""
    steps = told.calls[-1]["steps"]
    return (
        f"training took only {steps} steps; for few images, use smaller batches and more epochs" if steps < 50 else None
    )
