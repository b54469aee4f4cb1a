"""What a run leaves to be drawn: counts of answers, the first kernels, the time of a step."""

from __future__ import annotations

import numpy as np
import pytest

from grading.checks.network import Weights
from grading.checks.pictures import MOST_FILTERS, count_confusions, pick_filters, show_times

IMAGES = np.zeros((5, 3, 32, 32), np.uint8)


def weights(*shapes: tuple[int, ...], dtype: str = "float32") -> Weights:
    """Parameters of these shapes, all different from 0."""
    return Weights(tuple(np.full(shape, 0.5, dtype) for shape in shapes), ())


def test_a_row_counts_what_one_class_was_taken_for():
    """Two cats are named as such and one is named dog; the only dog is a cat."""
    shown = count_confusions(np.array([0, 0, 1, 0]), np.array([0, 1, 0, 0]), ("cat", "dog"), 7)
    assert (shown.shape, shown.labels, shown.values) == ((2, 2), ("cat", "dog"), (2, 1, 1, 0))


def test_kernels_are_told_in_127ths_of_their_largest():
    """Each for itself, so that a weak kernel is seen as well as a strong one; zeros stay zeros."""
    kernels = np.zeros((3, 3, 1, 2), np.float32)
    kernels[0, :, 0] = [[2, -1], [0, 0.5], [0, 0]]
    kernels[1] = kernels[0] / 1000
    (shown,) = pick_filters(Weights((kernels,), ()), IMAGES, 7)
    assert shown.shape == (3, 3, 1, 2)
    assert shown.values == 2 * (127, -64, 0, 32, 0, 0) + 6 * (0,)


@pytest.mark.parametrize(
    ("shape", "maps"),
    [((16, 3, 3, 3), 16), ((500, 3, 3, 3), MOST_FILTERS), ((64, 3, 7, 7), 12), ((9, 3, 16, 16), 2), ((4, 3, 1, 1), 4)],
)
def test_few_kernels_are_kept(shape, maps):
    """As many as a record of a size to be read has room for, whatever their size."""
    (shown,) = pick_filters(weights((10, 3), shape), IMAGES, 7)
    assert shown.shape == (maps, *shape[1:])


@pytest.mark.parametrize(
    "shape",
    [
        (16, 1, 3, 3),
        (16, 3, 3),
        (16, 3),
        (16, 3, 17, 1),
        (16, 3, 1, 300),
        (0, 3, 3, 3),
        (16, 3, 0, 3),
        (16, 3, 3, 3, 3),
    ],
)
def test_what_is_no_kernel_for_such_images_is_not_shown(shape):
    """Another number of channels or axes, an empty array or a huge window makes no picture and no error."""
    assert pick_filters(weights(shape), IMAGES, 7) == ()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 1e-7, 6e4])
def test_any_magnitude_is_shown(dtype, value):
    """The largest of a kernel is 127, unless all of it is 0."""
    kernels = np.full((2, 3, 3, 3), value, dtype)
    (shown,) = pick_filters(Weights((kernels,), ()), IMAGES, 7)
    assert set(shown.values) == ({127} if value else {0})


def test_times_are_whole_microseconds():
    """Rounded, in the order given; absurd ones are cut."""
    shown = show_times({"module 06": 0.0412345, "module 13": 1e9}, 7)
    assert (shown.labels, shown.values) == (("module 06", "module 13"), (41_234, 10**9))
