"""Drawings become images like MNIST's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from grading.demos.digit_canvas import BOX, MAX_POINTS, MAX_STROKES, PIXELS, draw_mnist_image, parse_strokes

ZERO = [[(round(500 + 200 * math.sin(t / 5)), round(500 - 320 * math.cos(t / 5))) for t in range(32)]]
ONE = [[(520, 150), (480, 850)]]
SEVEN = [[(280, 200), (700, 200), (450, 850)]]
FOUR = [[(550, 150), (250, 600), (750, 600)], [(560, 400), (560, 850)]]
DIGITS = {"0": ZERO, "1": ONE, "7": SEVEN, "4": FOUR}


def measure_extent(picture: np.ndarray) -> tuple[int, int]:
    """Measure how many rows and columns lie between the first and the last that are more than half inked."""
    rows, columns = (np.flatnonzero(picture.max(axis) > 140) for axis in (1, 0))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def move_strokes(strokes: list, scale: float, right: int, down: int) -> list:
    """Return a drawing that was moved and scaled."""
    return [[(round(x * scale) + right, round(y * scale) + down) for x, y in stroke] for stroke in strokes]


@pytest.mark.parametrize("name", DIGITS)
def test_a_digit_fills_the_box(name: str) -> None:
    """Its longer side is 20 pixels, apart from the soft edge."""
    picture = draw_mnist_image(DIGITS[name])
    assert (picture.shape, picture.dtype) == ((PIXELS, PIXELS), np.uint8)
    assert BOX - 1 <= max(measure_extent(picture)) <= BOX


@pytest.mark.parametrize("name", DIGITS)
def test_its_centre_of_mass_is_in_the_middle(name: str) -> None:
    """It is there to a fraction of a pixel."""
    picture = draw_mnist_image(DIGITS[name]).astype(float)
    rows, columns = np.mgrid[:PIXELS, :PIXELS] + 0.5
    assert (rows * picture).sum() / picture.sum() == pytest.approx(PIXELS / 2, abs=0.25)
    assert (columns * picture).sum() / picture.sum() == pytest.approx(PIXELS / 2, abs=0.25)


@pytest.mark.parametrize(("scale", "right", "down"), [(0.3, 0, 0), (0.3, 650, 500), (0.7, 150, 20)])
@pytest.mark.parametrize("name", DIGITS)
def test_place_and_size_make_no_difference(name: str, scale: float, right: int, down: int) -> None:
    """A small digit in a corner becomes the same image as a large one in the middle, with the same line width."""
    one, other = (
        draw_mnist_image(d).astype(int) for d in (DIGITS[name], move_strokes(DIGITS[name], scale, right, down))
    )
    assert np.abs(one - other).mean() < 2


def test_proportions_are_kept() -> None:
    """A one stays thin."""
    height, width = measure_extent(draw_mnist_image(ONE))
    assert height >= BOX - 1
    assert width <= 5


def test_there_is_as_much_ink_as_in_mnist() -> None:
    """MNIST's images have 100 pixels of full ink on average, ones about 40, thick zeros about 200."""
    ink = {name: draw_mnist_image(strokes).sum() / 255 for name, strokes in DIGITS.items()}
    assert 35 < ink["1"] < 70
    assert all(70 < ink[name] < 200 for name in ("0", "4", "7"))


@pytest.mark.parametrize("point", [(0, 0), (500, 500), (1000, 1000)])
def test_a_dot_stays_a_dot(point: tuple[int, int]) -> None:
    """A tap anywhere becomes a spot in the middle, as wide as the line."""
    picture = draw_mnist_image([[point]])
    assert max(measure_extent(picture)) <= 4
    assert picture[13:15, 13:15].min() > 250


def test_ink_stays_in_the_picture() -> None:
    """A drawing with all its mass at one end is shifted only as far as its other end stays inside."""
    heavy = [[(0, 0), (1000, 0)]] + [[(x, y) for y in range(0, 200, 10)] for x in range(0, 200, 10)]
    picture = draw_mnist_image(heavy)
    assert measure_extent(picture)[1] >= BOX - 1
    assert picture[:, [0, -1]].max() < 255


def test_nothing_is_drawn_from_nothing() -> None:
    """Without strokes there is no ink."""
    assert not draw_mnist_image([]).any()


def test_the_longest_drawing_is_taken() -> None:
    """It has the maximum number of points, from edge to edge."""
    rng = np.random.default_rng(0)
    strokes = rng.integers(0, 1001, (MAX_STROKES, MAX_POINTS // MAX_STROKES, 2)).tolist()
    assert draw_mnist_image(parse_strokes(strokes)).max() == 255


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "[[[1, 2]]]",
        [],
        [[]],
        [[[1, 2]], []],
        [[1, 2]],
        [[[1, 2, 3]]],
        [[[1]]],
        [[[1.5, 2]]],
        [[[True, 2]]],
        [[["1", 2]]],
        [[[1, None]]],
        [[[-1, 2]]],
        [[[1, 1001]]],
        [[[1, 10**400]]],
        [[[float("nan"), 1]]],
        [[[1, 2]]] * (MAX_STROKES + 1),
        [[[1, 2]] * (MAX_POINTS + 1)],
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_drawing_is_refused(value: object) -> None:
    """Only lists of pairs of whole numbers within the paper are accepted, and not too many."""
    with pytest.raises(ValueError, match=r"strokes|point|digit"):
        parse_strokes(value)
