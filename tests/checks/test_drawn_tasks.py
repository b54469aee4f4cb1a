"""Each run's task is drawn, and its test images are shifted so that nothing identifies them."""

from __future__ import annotations

import numpy as np
import pytest

from grading.checks.drawn_tasks import (
    CORNERS,
    LABELINGS,
    OTHER_LABELINGS,
    XOR,
    draw_image_task,
    draw_xor_square,
    perturb_images,
)
from grading.data.dataset import DataSet
from grading.manifest.loader import load_manifest
from grading.manifest.model import ImageExperiment, Symmetry


@pytest.fixture
def experiment(root) -> ImageExperiment:
    """Load milestone 2's experiment, which says how far images are shifted."""
    found = load_manifest(root).milestone(2).experiment
    assert isinstance(found, ImageExperiment)
    return found


def draw_blobs(count: int, seed: int = 1) -> np.ndarray:
    """Draw smooth blobs on black with an empty frame, so that whole-pixel shifts keep every sum."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[:28, :28]
    middle = rng.uniform(10, 18, (count, 3, 2, 1, 1))
    wide = rng.uniform(3, 9, (count, 3, 1, 1))
    blobs = np.exp(-((down - middle[:, :, 0]) ** 2 + (right - middle[:, :, 1]) ** 2) / wide).max(axis=1)
    framed = np.where((np.minimum(down, right) < 3) | (np.maximum(down, right) > 24), 0, 255 * blobs)
    return framed.astype(np.uint8)[:, None]


def compute_power_sums(images: np.ndarray) -> np.ndarray:
    """Compute Σp, Σp² and Σp³ of each image, which identify 9,998 of MNIST's 10,000 test images."""
    pixels = images.reshape(len(images), -1).astype(float)
    return np.stack([(pixels**power).sum(axis=1) for power in (1, 2, 3)], axis=1)


def measure_identified_share(images: np.ndarray, moved: np.ndarray) -> float:
    """Measure the share of shifted images whose nearest neighbour, by sums, is the image they came from."""
    known, seen = (np.log(compute_power_sums(each)) for each in (images, moved))
    spread = known.std(axis=0)
    nearest = (((seen[:, None] - known[None]) / spread) ** 2).sum(axis=2).argmin(axis=1)
    return float((nearest == np.arange(len(images))).mean())


def test_a_square_is_turned_scaled_and_moved():
    """Sides of 0.8 to 1.25, right angles, any direction; labels are XOR or its inverse."""
    angles = []
    for seed in range(200):
        square = draw_xor_square(np.random.default_rng(seed), with_xor_labels=True)
        first, across, along = square.corners[0], square.corners[1] - square.corners[0], square.corners[2]
        along = along - first
        assert across @ along == pytest.approx(0, abs=1e-5)
        assert np.linalg.norm(across) == pytest.approx(square.side, rel=1e-5)
        assert 0.8 <= square.side <= 1.25
        assert np.abs(square.corners.mean(axis=0) - 0.5).max() <= 0.5 + 1e-6
        assert tuple(square.labels[:, 0].astype(int)) in (XOR, tuple(1 - label for label in XOR))
        angles.append(np.arctan2(across[1], across[0]))
    counts, _ = np.histogram(angles, bins=8, range=(-np.pi, np.pi))
    assert counts.min() > 8


def test_there_are_fourteen_labelings_and_every_other_one_is_drawn():
    """None is constant; the twelve that are neither XOR nor its inverse all come."""
    assert len(set(LABELINGS)) == 14
    assert len(OTHER_LABELINGS) == 12
    drawn = {
        tuple(draw_xor_square(np.random.default_rng(s), with_xor_labels=False).labels[:, 0].astype(int))
        for s in range(300)
    }
    assert drawn == set(OTHER_LABELINGS)


def test_a_program_with_xor_in_its_source_learns_no_other_labels():
    """It gets two or three corners of each other labeling, whichever sign it has learned."""
    for labels in OTHER_LABELINGS:
        right = sum(a == b for a, b in zip(labels, XOR, strict=True))
        assert max(right, 4 - right) in (2, 3)


def test_a_threshold_on_the_unit_square_is_at_chance_on_drawn_ones():
    """rint(x1) != rint(x2) with the better of two signs: right on all corners of hardly any square."""
    right = []
    for seed in range(300):
        square = draw_xor_square(np.random.default_rng(seed), with_xor_labels=True)
        wired = np.rint(square.corners[:, 0]) != np.rint(square.corners[:, 1])
        share = (wired == (square.labels[:, 0] > 0.5)).mean()
        right.append(max(share, 1 - share))
    assert np.mean(np.array(right) == 1) < 0.35  # so five of them in a row are one in two hundred, at most
    assert CORNERS.shape == (4, 2)


@pytest.mark.parametrize(("symmetry", "ways"), [(Symmetry.SQUARE, 8), (Symmetry.MIRRORS, 4)])
def test_images_are_turned_all_alike_and_classes_renumbered(symmetry, ways):
    """Every orientation comes up, a class keeps its images, and answers are read in the data's own numbering."""
    image = np.arange(4 * 6 * 6, dtype=np.uint8).reshape(4, 1, 6, 6)
    data = DataSet("d", image, np.array([0, 3, 3, 9]), image[:2], np.array([0, 3]), digest="0" * 64)
    seen = set()
    for seed in range(100):
        task = draw_image_task(data, symmetry, np.random.default_rng(seed))
        assert task.data.train_inputs.shape == image.shape
        assert np.array_equal(task.data.train_inputs[:2], task.data.test_inputs)
        assert np.array_equal(task.data.train_targets, task.class_numbers[data.train_targets])
        assert sorted(task.class_numbers) == list(range(10))
        seen.add(task.data.train_inputs[1].tobytes())
        assert np.array_equal(task.restore_orientation(task.data.train_inputs), image)
        perfect = np.eye(10)[task.data.test_targets]
        assert np.array_equal(task.restore_class_order(perfect).argmax(axis=1), data.test_targets)
    assert len(seen) == ways


def test_mirrors_keep_rows_rows():
    """A photograph is never laid on its side."""
    image = np.repeat(np.arange(6, dtype=np.uint8)[:, None], 6, axis=1)[None, None]
    data = DataSet("d", image, np.array([0]), image, np.array([0]), digest="0" * 64)
    for seed in range(30):
        turned = draw_image_task(data, Symmetry.MIRRORS, np.random.default_rng(seed)).data.test_inputs
        assert (turned == turned[..., :1]).all()


def test_no_sum_of_pixels_names_a_moved_image(experiment):
    """Whole-pixel shifts keep the sums, which identify nearly every image. The grader's shifts leave few."""
    images, rng = draw_blobs(1000), np.random.default_rng(2)
    shifted = np.stack([np.roll(p, rng.integers(-1, 2, 2), axis=(1, 2)) for p in images])
    assert measure_identified_share(images, shifted) > 0.95
    assert measure_identified_share(images, perturb_images(images, experiment, rng)) < 0.05


def test_what_is_moved_stays_an_image_like_it(experiment):
    """It is shifted by at most a pixel, no brighter than gain and noise allow, and uint8 of the same shape."""
    flat = np.full((200, 3, 16, 16), 100, np.uint8)
    moved = perturb_images(flat, experiment, np.random.default_rng(3))
    assert moved.shape == flat.shape
    assert moved.dtype == np.uint8
    means = moved.mean(axis=(1, 2, 3))
    assert means.min() > 88
    assert means.max() < 112
    assert means.std() > 3
    assert moved.std(axis=(1, 2, 3)).mean() == pytest.approx(experiment.noise, rel=0.1)
    point = np.zeros((400, 1, 16, 16), np.uint8)
    point[:, :, 8, 8] = 255
    quiet = experiment.model_copy(update={"noise": 1e-9, "gain": 1e-9})
    moved = perturb_images(point, quiet, np.random.default_rng(4)).astype(float)
    down = (moved * np.arange(16)[:, None]).sum(axis=(1, 2, 3)) / moved.sum(axis=(1, 2, 3))
    assert down.min() >= 7 - 0.02
    assert down.max() <= 9 + 0.02
    assert np.abs(down - np.rint(down)).mean() > 0.15, "most are moved by a part of a pixel"
