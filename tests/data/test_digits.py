"""The stand-in for MNIST: real digits, in MNIST's frame, the same every time."""

from __future__ import annotations

import numpy as np

from grading.data.digits import enlarge_digits, load_digits


def test_the_digits_are_in_the_form_of_mnist() -> None:
    """uint8 images of (1, 28, 28) over the whole range of greys, int64 classes, named as a stand-in."""
    found = load_digits()
    assert found.train_inputs.shape == (1442, 1, 28, 28)
    assert found.test_inputs.shape == (355, 1, 28, 28)
    assert found.train_inputs.dtype == found.test_inputs.dtype == np.uint8
    assert found.train_targets.dtype == found.test_targets.dtype == np.int64
    assert (found.train_inputs.min(), found.train_inputs.max()) == (0, 255)
    assert found.record.model_dump() == {"name": "digits", "digest": found.digest, "stand_in_for": "mnist"}


def test_every_digit_has_its_share_in_both_parts() -> None:
    """The counts are those of the UCI test set, and a fifth of each class is held out."""
    found = load_digits()
    train, test = np.bincount(found.train_targets), np.bincount(found.test_targets)
    assert (train + test).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (test == (train + test) // 5).all()


def test_no_test_image_is_a_training_image() -> None:
    """No image occurs in both parts."""
    found = load_digits()
    train = {image.tobytes() for image in found.train_inputs}
    assert not [n for n, image in enumerate(found.test_inputs) if image.tobytes() in train]


def test_the_split_never_changes() -> None:
    """The digest covers images, classes and split, and is written down."""
    assert load_digits().digest == load_digits().digest == DIGEST


def test_the_labels_belong_to_the_images() -> None:
    """The class of the nearest training image is right for 97 of 100 test images and more."""
    found = load_digits()
    train = found.train_inputs.reshape(-1, 784).astype(np.float32)
    test = found.test_inputs.reshape(-1, 784).astype(np.float32)
    distance = (train**2).sum(1) - 2 * test @ train.T
    assert (found.train_targets[distance.argmin(1)] == found.test_targets).mean() > 0.97


def test_images_are_enlarged_linearly_within_a_black_margin() -> None:
    """Each pixel is what `numpy.interp` gives, along rows and then along columns."""
    image = np.random.default_rng(4).integers(0, 17, (8, 8))
    old, new = np.arange(8) + 0.5, (np.arange(20) + 0.5) * 8 / 20
    rows = np.array([np.interp(new, old, row) for row in image])
    expected = np.array([np.interp(new, old, column) for column in rows.T]).T * 255 / 16
    got = enlarge_digits(image[None, None].astype(np.uint8))[0, 0]
    assert np.abs(got[4:24, 4:24] - expected).max() <= 0.5 + 1e-9
    assert got.sum() == got[4:24, 4:24].sum(dtype=int)


def test_greys_keep_their_range() -> None:
    """White stays 255 and black 0."""
    assert (enlarge_digits(np.full((1, 1, 8, 8), 16, np.uint8))[..., 4:24, 4:24] == 255).all()
    assert not enlarge_digits(np.zeros((1, 1, 8, 8), np.uint8)).any()


DIGEST = "3b77abc2add70d5b8f45d6b97e8ae10cf37389f5b3e8b90d7d582037dbb839bc"
