"""The pictures in a run's record: confusions, the first kernels, step times, rivals and attention."""

from __future__ import annotations

import numpy as np
import pytest

from grading.checks.run_pictures import (
    MOST_CELLS,
    MOST_FILTERS,
    MOST_ROWS,
    MOST_TOKENS,
    make_attention_picture,
    make_confusion_picture,
    make_filter_pictures,
    make_rival_picture,
    make_step_time_picture,
    make_text_rival_picture,
    select_named_images,
)
from grading.checks.student_network import Weights

IMAGES = np.zeros((5, 3, 32, 32), np.uint8)


def make_weights(*shapes: tuple[int, ...], dtype: str = "float32") -> Weights:
    """Make parameters of these shapes, with no zero in them."""
    return Weights(tuple(np.full(shape, 0.5, dtype) for shape in shapes), ())


def test_a_row_counts_what_one_class_was_taken_for():
    """Two cats are called cats and one is called a dog. The only dog is called a cat."""
    shown = make_confusion_picture(np.array([0, 0, 1, 0]), np.array([0, 1, 0, 0]), ("cat", "dog"), 7)
    assert (shown.shape, shown.labels, shown.values) == ((2, 2), ("cat", "dog"), (2, 1, 1, 0))


def test_kernels_are_told_in_127ths_of_their_largest():
    """Each kernel is scaled separately, so that weak ones are visible as well. Zeros stay zeros."""
    kernels = np.zeros((3, 3, 1, 2), np.float32)
    kernels[0, :, 0] = [[2, -1], [0, 0.5], [0, 0]]
    kernels[1] = kernels[0] / 1000
    (shown,) = make_filter_pictures(Weights((kernels,), ()), IMAGES, 7)
    assert shown.shape == (3, 3, 1, 2)
    assert shown.values == 2 * (127, -64, 0, 32, 0, 0) + 6 * (0,)


@pytest.mark.parametrize(
    ("shape", "maps"),
    [((16, 3, 3, 3), 16), ((500, 3, 3, 3), MOST_FILTERS), ((64, 3, 7, 7), 12), ((9, 3, 16, 16), 2), ((4, 3, 1, 1), 4)],
)
def test_few_kernels_are_kept(shape, maps):
    """There are as many as a small record has room for, whatever their size."""
    (shown,) = make_filter_pictures(make_weights((10, 3), shape), IMAGES, 7)
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
    """A different number of channels or axes, an empty array or a huge window makes no picture and no error."""
    assert make_filter_pictures(make_weights(shape), IMAGES, 7) == ()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 1e-7, 6e4])
def test_any_magnitude_is_shown(dtype, value):
    """A kernel's largest value is 127, unless the whole kernel is 0."""
    kernels = np.full((2, 3, 3, 3), value, dtype)
    (shown,) = make_filter_pictures(Weights((kernels,), ()), IMAGES, 7)
    assert set(shown.values) == ({127} if value else {0})


def test_times_are_whole_microseconds():
    """They are rounded, in the given order, and absurd ones are cut."""
    shown = make_step_time_picture({"module 06": 0.0412345, "module 13": 1e9}, 7)
    assert (shown.labels, shown.values) == (("module 06", "module 13"), (41_234, 10**9))


def test_rivals_stand_below_the_network_in_thousandths():
    """Each has a row and each set a column. A figure that could not be measured is 0."""
    shares = {"compositions": 0.6254, "made_up": 0.5, "names": None, "claims": 1.0, "copied": 0.1}
    ladders = {figure: {"counts": 0.1, "copies": 0.25} for figure in ("claims", "names", "made_up", "compositions")}
    shown = make_rival_picture(shares, ladders, 7)
    assert (shown.shape, shown.labels) == ((3, 4), ("this network", "counts", "copies"))
    assert shown.values == (625, 500, 0, 1000) + 4 * (100,) + 4 * (250,)


def test_bits_are_told_in_thousandths():
    """The network's come first, and absurd ones are cut."""
    shown = make_text_rival_picture(2.2149, {"counts": 2.06, "lies": 1e9}, 7)
    assert (shown.labels, shown.values) == (("this network", "counts", "lies"), (2215, 2060, 10**6))


def test_attention_shows_the_rows_that_wrote():
    """The last of three tokens is written, so the second's row is shown, with the largest share of all heads."""
    maps = np.array([[[[1, 0], [0.3, 0.7]], [[1, 0], [0.6, 0.4]]]])
    shown = make_attention_picture(maps, [b"a", b" b", b"\xff"], 1, 7)
    assert (shown.shape, shown.labels, shown.values) == ((1, 1, 2), ("a", " b", "\ufffd"), (60, 70))


@pytest.mark.parametrize(
    ("layers", "size", "written"), [(1, MOST_TOKENS, MOST_TOKENS), (12, MOST_TOKENS, 30), (3, 40, 14), (2, 1, 1)]
)
def test_attention_is_small_however_much_there_is(layers, size, written):
    """There are as many layers, rows and tokens as a record has room for, starting with the first written."""
    maps = np.full((layers, 2, size, size), 1 / size)
    tokens = [bytes([number]) for number in range(size + 1)]
    shown = make_attention_picture(maps, tokens, written, 7)
    assert len(shown.values) <= MOST_CELLS
    assert shown.shape[1] <= MOST_ROWS
    assert len(shown.labels) == shown.shape[2] + 1
    assert shown.labels[shown.shape[2] - shown.shape[1]] == tokens[size - written].decode()


def test_images_named_correctly_and_the_surest_mistakes_are_kept():
    """They are one correctly classified image of each class, then the mistakes, surest first, with their pixels."""
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2)
    targets = np.array([0, 0, 1, 1, 1, 0])
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3], [0.99, 0.01], [0.6, 0.4]])
    kept = select_named_images(images, targets, probabilities, ("cat", "dog"), np.random.default_rng(0))
    assert [(one.shows, one.named) for one in kept] == [("cat", "cat"), ("dog", "dog"), ("dog", "cat"), ("dog", "cat")]
    assert [one.percent for one in kept[2:]] == [99, 70]
    assert kept[2].content == images[4].tobytes()
    assert kept[0].content in {images[n].tobytes() for n in (0, 1, 5)}


@pytest.mark.parametrize(("shape", "most"), [((1, 28, 28), 20), ((3, 32, 32), 10)])
@pytest.mark.parametrize("right", [0, 50, 100])
def test_few_images_are_kept(shape, most, right):
    """There are few of any number, also with all or none classified correctly. Rotated views are kept as they look."""
    images = np.rot90(np.zeros((100, *shape), np.uint8), axes=(2, 3))
    targets = np.arange(100) % 10
    probabilities = np.eye(10)[np.where(np.arange(100) < right, targets, (targets + 1) % 10)]
    kept = select_named_images(images, targets, probabilities, tuple("0123456789"), np.random.default_rng(0))
    correct = [one for one in kept if one.shows == one.named]
    assert len(correct) == (most // 2 if right else 0)
    assert len(kept) - len(correct) == (most // 2 if right < 100 else 0)
    assert len({one.shows for one in correct}) == len(correct)
