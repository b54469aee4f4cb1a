"""The stand-in for CIFAR-10: drawn shapes, the same everywhere, which pixels one by one do not tell apart."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from grading.data.dataset import DataSet
from grading.data.shapes import NAMES, RandomIntegers, draw_images, draw_shapes_data_set


@pytest.fixture(scope="module")
def shapes() -> DataSet:
    """Draw the data set once for all tests."""
    return draw_shapes_data_set()


def test_the_shapes_are_in_the_form_of_cifar10(shapes: DataSet) -> None:
    """uint8 images of (3, 32, 32) over the whole range, int64 classes, named as a stand-in."""
    assert shapes.train_inputs.shape == (8000, 3, 32, 32)
    assert shapes.test_inputs.shape == (2000, 3, 32, 32)
    assert shapes.train_inputs.dtype == shapes.test_inputs.dtype == np.uint8
    assert shapes.train_targets.dtype == shapes.test_targets.dtype == np.int64
    assert (shapes.train_inputs.min(), shapes.train_inputs.max()) == (0, 255)
    assert shapes.record.model_dump() == {"name": "shapes", "digest": shapes.digest, "stand_in_for": "cifar10"}


def test_every_shape_has_its_share(shapes: DataSet) -> None:
    """Each class is a tenth of both parts, and of each thousand."""
    assert np.bincount(shapes.train_targets[:1000]).tolist() == [100] * 10
    assert np.bincount(shapes.train_targets).tolist() == [800] * 10
    assert np.bincount(shapes.test_targets).tolist() == [200] * 10


def test_the_shapes_never_change(shapes: DataSet) -> None:
    """The digest covers images, classes and split, and is written down."""
    assert shapes.digest == DIGEST


def test_dice_show_what_is_written_down() -> None:
    """The first numbers of a seed, within their limits."""
    assert RandomIntegers(7).draw_below(10, 2, 4).tolist() == DICE
    assert RandomIntegers(7).draw_bytes(5).tolist() == BYTES
    many = RandomIntegers(8).draw_between(-2, 3, 6000)
    assert np.unique(many).tolist() == [-2, -1, 0, 1, 2, 3]
    assert np.bincount(many + 2).min() > 900


def test_another_seed_draws_other_images() -> None:
    """And the same seed the same ones."""
    (one, _), (same, _), (other, _) = (draw_images(20, RandomIntegers(seed)) for seed in (1, 1, 2))
    assert (one == same).all()
    assert not (one == other).all()


def test_no_image_occurs_twice(shapes: DataSet) -> None:
    """Neither within a part nor in both."""
    images = [image for part in (shapes.train_inputs, shapes.test_inputs) for image in part]
    assert len({hashlib.sha256(image.tobytes()).digest() for image in images}) == 10_000


def test_a_linear_model_fails(shapes: DataSet) -> None:
    """Least squares on all pixels, with the ridge that suits it best, names fewer than 40 of 100 test images."""
    train = shapes.train_inputs.reshape(8000, -1).astype(np.float32) / 255
    test = shapes.test_inputs.reshape(2000, -1).astype(np.float32) / 255
    mean = train.mean(axis=0)
    train, test, wanted = train - mean, test - mean, np.eye(10, dtype=np.float32)[shapes.train_targets] - 0.1
    squares, products = train.T @ train, train.T @ wanted
    for ridge in (100, 1000):
        weights = np.linalg.solve(squares + ridge * np.eye(3072, dtype=np.float32), products)
        assert ((test @ weights).argmax(axis=1) == shapes.test_targets).mean() < 0.4


def test_colour_alone_says_nothing(shapes: DataSet) -> None:
    """The mean colour of a class is that of the others, up to what chance allows for 800 images."""
    means = shapes.train_inputs.mean(axis=(2, 3))
    spread = means.std(axis=0) / 800**0.5
    by_class = np.array([means[shapes.train_targets == number].mean(axis=0) for number in range(len(NAMES))])
    assert (abs(by_class - means.mean(axis=0)) < 5 * spread).all()


DIGEST = "d658a4e51e15a8191f4afd4eccbfdc4f879a9b1fb88f4a6fb7a78f504881b941"
DICE = [[6, 8, 7, 2], [3, 8, 0, 8]]
BYTES = [139, 74, 229, 241, 169]
