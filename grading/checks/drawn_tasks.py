"""Draw each run's task from its seed, so that nobody knows it beforehand and nothing identifies the test images.

A recipe that knew the task could store the answers in its source and learn only one bit. So XOR's square is rotated,
scaled and shifted, and its labels are drawn at random. Images are rotated or mirrored, and their classes renumbered.
Each test image is also shifted by a fraction of a pixel, and brightened or darkened, and noise is added. So no sum,
histogram or digest of its pixels identifies it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from grading.data.dataset import DataSet
from grading.manifest.model import ImageExperiment, Symmetry

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
XOR = (0, 1, 1, 0)
LABELINGS = tuple(tuple(number >> bit & 1 for bit in range(4)) for number in range(1, 15))
"""All non-constant labellings of four corners."""
OTHER_LABELINGS = tuple(labels for labels in LABELINGS if labels not in (XOR, tuple(1 - label for label in XOR)))
"""Labellings other than XOR and its inverse. A program that knows XOR gets at most three corners of each right.
"""
SMALLEST_SIDE, LARGEST_SIDE = 0.8, 1.25
"""The bounds of a drawn square's side length."""
MAX_CENTRE_SHIFT = 0.5
"""The largest distance from a drawn square's centre to the unit square's, along each axis."""


@dataclass(frozen=True, eq=False)
class XorSquare:
    """One run's four corners and their labels."""

    corners: np.ndarray
    """The corners as float32 of shape (4, 2), in the order of CORNERS."""
    labels: np.ndarray
    """The labels as float32 of shape (4, 1), each 0 or 1."""
    side: float


def draw_xor_square(rng: np.random.Generator, *, with_xor_labels: bool) -> XorSquare:
    """Draw a rotated, scaled and shifted square, labelled by XOR or its inverse, or by one of OTHER_LABELINGS."""
    angle, side = rng.uniform(0, 2 * math.pi), rng.uniform(SMALLEST_SIDE, LARGEST_SIDE)
    middle = 0.5 + rng.uniform(-MAX_CENTRE_SHIFT, MAX_CENTRE_SHIFT, 2)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    inverted = int(rng.integers(2))
    labels = (
        [label ^ inverted for label in XOR]
        if with_xor_labels
        else list(OTHER_LABELINGS[rng.integers(len(OTHER_LABELINGS))])
    )
    corners = middle + side * (CORNERS - 0.5) @ turn.T
    return XorSquare(corners.astype(np.float32), np.array(labels, np.float32)[:, None], side)


@dataclass(frozen=True, eq=False)
class ImageTask:
    """One run's version of a data set: all images rotated or mirrored in the same way, and classes renumbered."""

    data: DataSet
    class_numbers: np.ndarray
    """The run's number for each class."""
    quarter_turns: int
    """The number of quarter turns by which the images are rotated, before any mirroring."""
    mirrored: bool

    def restore_class_order(self, probabilities: np.ndarray) -> np.ndarray:
        """Reorder the columns of (n, 10) probabilities to match the data set's own classes."""
        return probabilities[:, self.class_numbers]

    def restore_orientation(self, images: np.ndarray) -> np.ndarray:
        """Restore the run's images to their orientation in the data set."""
        return np.rot90(images[..., ::-1] if self.mirrored else images, -self.quarter_turns, axes=(2, 3))


def draw_image_task(data: DataSet, symmetry: Symmetry, rng: np.random.Generator) -> ImageTask:
    """Draw a symmetry of the square and a permutation of the classes, and apply both to all training and test images.

    `square` draws from all eight symmetries. `mirrors` draws from the four that do not turn rows into columns. It is
    for images that may be mirrored, but not rotated by 90°.
    """
    quarters = int(rng.integers(4)) if symmetry is Symmetry.SQUARE else 2 * int(rng.integers(2))
    mirrored, renumbered = bool(rng.integers(2)), rng.permutation(10)

    def apply_drawn_symmetry(images: np.ndarray) -> np.ndarray:
        """Rotate the images by the drawn quarter turns, and mirror them if that was drawn."""
        turned = np.rot90(images, quarters, axes=(2, 3))
        return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)

    drawn = replace(
        data,
        train_inputs=apply_drawn_symmetry(data.train_inputs),
        train_targets=renumbered[data.train_targets],
        test_inputs=apply_drawn_symmetry(data.test_inputs),
        test_targets=renumbered[data.test_targets],
    )
    return ImageTask(drawn, renumbered, quarters, mirrored)


def perturb_images(images: np.ndarray, experiment: ImageExperiment, rng: np.random.Generator) -> np.ndarray:
    """Shift each uint8 image by up to `shift` pixels (bilinear), multiply it by 1 ± `gain`, and add noise σ = `noise`.

    Edge pixels are repeated. A shift by a whole number of pixels would leave the sum of most images' pixels unchanged.
    Together with the sums of their squares and cubes, that sum identifies 9,998 of MNIST's 10,000 test images.
    """
    count, _, height, width = images.shape
    most = math.ceil(experiment.shift)
    rows, columns = most + rng.uniform(-experiment.shift, experiment.shift, (2, count))
    framed = np.pad(images, ((0, 0), (0, 0), (most, most + 1), (most, most + 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(framed, (height, width), axis=(2, 3))
    moved = np.zeros(images.shape, np.float32)
    top, left, which = rows.astype(int), columns.astype(int), np.arange(count)
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - (rows - top)) * np.abs(1 - right - (columns - left))
            moved += share.astype(np.float32)[:, None, None, None] * windows[which, :, top + down, left + right]
    moved *= rng.uniform(1 - experiment.gain, 1 + experiment.gain, (count, 1, 1, 1)).astype(np.float32)
    moved += rng.standard_normal(images.shape, np.float32) * np.float32(experiment.noise)
    return np.clip(np.rint(moved), 0, 255).astype(np.uint8)
