"""What every recipe for images has to do, whichever milestone it belongs to: one behaviour for each function."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from grading.testing import expect
from grading.testing.reports import Reports, ignore_reports

FIGURES = ("step", "steps", "loss", "accuracy")
"""The arguments of `progress` in a recipe for images."""
SQUARE, APART = 8, 12
"""Pixels: the side of the bright square, and how far its places are from each other."""


@dataclass(frozen=True)
class ImageRecipe:
    """A recipe.py whose `build`, `predict`, `feature_maps` and `train` are for images of ten classes."""

    module: str
    shape: tuple[int, int, int]
    """Of one image: channels, rows, columns."""
    sides: int = 4
    """In how many places the square of the simple task is told apart; 2 where training mirrors images."""
    reports_the_end: bool = False
    """Whether the last step of training must be reported."""

    def of(self, student: Any) -> Any:
        """The student's."""
        return student.recipe(self.module)

    def noise(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Random pixels."""
        return rng.integers(0, 256, (count, *self.shape)).astype("uint8")

    def squares(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Dark images with a bright square, and where it is: a task that a small network learns."""
        channels, height, width = self.shape
        corners = rng.integers(0, 4, count)
        images = rng.integers(0, 40, (count, channels, height, width))
        border = (np.array([height, width]) - SQUARE - APART) // 2
        for image, corner in zip(images, corners, strict=True):
            top, left = border + APART * np.array(divmod(corner, 2)) + rng.integers(-2, 3, 2)
            image[:, top : top + SQUARE, left : left + SQUARE] += 200
        return images.astype("uint8"), (corners // (4 // self.sides)).astype("int64")


def builds_from_the_generator_alone(student: Any, recipe: ImageRecipe) -> None:
    """The same seed builds the same network, another seed another one."""
    ours = recipe.of(student)
    one, same, other = ([expect.values(p) for p in ours.build(student.rng(seed)).parameters()] for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        expect.array(b, a, call="a parameter of build(rng), built again from the same seed")
    differs = any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    expect.that(differs, call="the parameters of build(rng) from another seed", got="the same", expected="others")


def predicts_probabilities(student: Any, rng: np.random.Generator, recipe: ImageRecipe) -> None:
    """Ten probabilities for each image, which counts for itself, however many there are."""
    ours, images = recipe.of(student), recipe.noise(rng, 450)
    network = ours.build(student.rng(3))
    got = expect.pull(ours.predict(network, images), call="predict(network, 450 images)")
    expect.equal(got.shape, (450, 10), call="predict(network, 450 images).shape")
    expect.array(got.sum(axis=1), np.ones(450), call="the sums of the rows of predict(…)", rtol=1e-4)
    hint = "parts of a few hundred images, joined in their order; evaluation mode"
    for part in (slice(0, 1), slice(201, 208)):
        call = f"predict(network, images[{part.start}:{part.stop}])"
        expect.array(ours.predict(network, images[part]), got[part], call=call, rtol=1e-3, atol=1e-5, hint=hint)


def shows_its_feature_maps(student: Any, rng: np.random.Generator, recipe: ImageRecipe) -> None:
    """One map for each kernel of the first convolution, and other maps for another image."""
    ours, call = recipe.of(student), "feature_maps(network, 2 images)"
    got = expect.pull(ours.feature_maps(ours.build(student.rng(3)), recipe.noise(rng, 2)), call=call)
    fits = got.ndim == 4 and len(got) == 2 and min(got.shape[1:]) > 1
    expect.that(fits, call=call, got=f"shape {got.shape}", expected="(2, maps, rows, columns)")
    differs = not np.allclose(got[0], got[1])
    expect.that(differs, call="the maps of two images", got="the same", expected="maps that depend on the image")


def is_at_chance_before_training(student: Any, rng: np.random.Generator, recipe: ImageRecipe) -> None:
    """A fresh network is not sure of anything: its mean loss is near that of a guess, ln 10."""
    ours, images, labels = recipe.of(student), recipe.noise(rng, 200), rng.integers(0, 10, 200)
    p = expect.pull(ours.predict(ours.build(student.rng(4)), images), call="predict(fresh network, 200 images)")
    loss = float(-np.log(np.maximum(p[np.arange(200), labels], 1e-7)).mean())
    expect.that(loss > 0.5 * math.log(10), call="the loss of a fresh network", got=loss, expected="about 2.3, or more")


def trains_on_dark_and_bright(student: Any, rng: np.random.Generator, recipe: ImageRecipe, count: int) -> None:
    """The loss falls on so many dark and bright images, every parameter moves, and progress is told."""
    ours, told = recipe.of(student), Reports(*FIGURES)
    labels = rng.permutation(np.arange(count) % 2)
    images = np.where(labels[:, None, None, None], 200, 20) + rng.integers(0, 50, (count, *recipe.shape))
    network = ours.build(student.rng(5))
    before = [expect.values(parameter) for parameter in network.parameters()]
    ours.train(network, images.astype("uint8"), labels, rng=student.rng(5), progress=told)
    _is_progress(told)
    losses = [report["loss"] for report in told.calls]
    call = f"the loss that progress is told, on {count} dark and bright images"
    hint = _suggest_more_steps(told)
    expect.that(losses[-1] < losses[0] / 2, call=call, got=losses, expected="a fall to less than half", hint=hint)
    for number, (parameter, old) in enumerate(zip(network.parameters(), before, strict=True)):
        still = np.array_equal(expect.values(parameter), old)
        expect.that(not still, call=f"parameter {number} after training", got="unchanged", expected="moved")


def learns_where_a_square_is(student: Any, rng: np.random.Generator, recipe: ImageRecipe) -> None:
    """From 256 images it learns a simple task well enough for 120 new ones, and tells how far it is."""
    ours, told = recipe.of(student), Reports(*FIGURES)
    images, labels = recipe.squares(rng, 376)
    network = ours.build(student.rng(5))
    ours.train(network, images[:256], labels[:256], rng=student.rng(5), progress=told)
    _is_progress(told)
    hint = _suggest_more_steps(told)
    p = expect.pull(ours.predict(network, images[256:]), call="predict(network, 120 new images)")
    right = float((p.argmax(axis=1) == labels[256:]).mean())
    call = "the share of 120 new images named correctly"
    expect.that(right >= 0.9, call=call, got=right, expected="at least 0.9", hint=hint)
    last = told.calls[-1]
    at_the_end = last["step"] == last["steps"] if recipe.reports_the_end else last["step"] <= last["steps"]
    fits = 5 <= len(told.calls) <= 500 and at_the_end
    end = "the last step included" if recipe.reports_the_end else "at most as many steps as there are"
    call = "progress(step, steps, loss, accuracy) while training"
    expect.that(fits, call=call, got=told.calls[-3:], expected=f"about 50 calls, {end}", hint=hint)


def may_be_asked_while_it_trains(student: Any, rng: np.random.Generator, recipe: ImageRecipe, count: int) -> None:
    """Asking for predictions from inside progress changes nothing in what is learned."""
    ours, results = recipe.of(student), []
    images, labels = recipe.squares(rng, count)
    for asks in (False, True):
        network = ours.build(student.rng(6))

        def ask(*_values: Any, network: Any = network, **_named: Any) -> None:
            ours.predict(network, images[:3])

        ours.train(network, images, labels, rng=student.rng(6), progress=ask if asks else ignore_reports)
        results.append(expect.pull(ours.predict(network, images[:20]), call="predict"))
    hint = "predict sets evaluation mode: set training mode again after each call of progress"
    call = "predict after training that was watched"
    expect.array(results[1], results[0], call=call, hint=hint, rtol=1e-3, atol=1e-4)


def leaves_what_it_was_given(student: Any, rng: np.random.Generator, recipe: ImageRecipe, count: int) -> None:
    """Training changes neither the images nor another network."""
    ours = recipe.of(student)
    images, labels = recipe.squares(rng, count)
    held, held_labels = student.tensor.Tensor(images), student.tensor.Tensor(labels)
    trained, other = ours.build(student.rng(7)), ours.build(student.rng(7))
    fresh = np.array(expect.pull(ours.predict(other, images[:5]), call="predict"))
    ours.train(trained, held.data, held_labels.data, rng=student.rng(7), progress=ignore_reports)
    expect.array(held, images, call="the images after training")
    expect.array(held_labels, labels, call="the labels after training")
    expect.array(ours.predict(other, images[:5]), fresh, call="predict of another network, after training one")


def _is_progress(told: Reports) -> None:
    """What `progress` was told has the right types, rising steps and accuracies that are shares."""
    told.check_types(int, int, float, float)
    steps, accuracies = ([report[name] for report in told.calls] for name in ("step", "accuracy"))
    rises = all(a < b for a, b in pairwise(steps)) and all(0 <= share <= 1 for share in accuracies)
    call = "progress(step, steps, loss, accuracy)"
    expect.that(rises, call=call, got=told.calls[-3:], expected="rising steps, and accuracies from 0 to 1")


def _suggest_more_steps(told: Reports) -> str | None:
    """A hint for training on few images that took too few steps to learn or to report."""
    steps = told.calls[-1]["steps"]
    return f"you took {steps} steps in all: with few images use smaller batches and more epochs" if steps < 50 else None
