"""The stand-in for CIFAR-10: ten kinds of shapes and patterns, drawn by arithmetic on whole numbers alone.

A class is a form, whatever its place, size, direction and colours, on a background that changes: no pixel says which
one it is, so a linear model does little better than a guess, and a network of convolutions does well.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

from grading.data.dataset import DataSet

NAMES = ("disc", "ring", "square", "frame", "triangle", "plus", "saltire", "stripes", "checks", "pair")
SIZE, CHANNELS = 32, 3
TRAIN, TEST = 8000, 2000
SEED = 20
NOISE = 40
"""Each channel of each pixel is moved by half of this at most, up or down."""


class Dice:
    """Random whole numbers, the same everywhere: a bit generator's raw output never changes with NumPy (NEP 19)."""

    def __init__(self, seed: int) -> None:
        self.bits = np.random.PCG64(seed)

    def below(self, limit: int, *shape: int) -> np.ndarray:
        """An int64 array of numbers from 0 to ``limit`` - 1, for a limit of at most 2³²."""
        raw = self.bits.random_raw(math.prod(shape)) >> np.uint64(32)
        return (raw * np.uint64(limit) >> np.uint64(32)).astype(np.int64).reshape(shape)

    def between(self, low: int, high: int, *shape: int) -> np.ndarray:
        """An int16 array of numbers from ``low`` to ``high``, both included."""
        return (low + self.below(high - low + 1, *shape)).astype(np.int16)

    def bytes(self, *shape: int) -> np.ndarray:
        """A uint8 array of any numbers."""
        count = math.prod(shape)
        return self.bits.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count].reshape(shape)


def load_shapes() -> DataSet:
    """8,000 training and 2,000 test images of shape (3, 32, 32), each class equally often, the same every time."""
    images, targets = draw(TRAIN + TEST, Dice(SEED))
    return DataSet(
        name="shapes",
        train_inputs=images[:TRAIN],
        train_targets=targets[:TRAIN],
        test_inputs=images[TRAIN:],
        test_targets=targets[TRAIN:],
        digest=hashlib.sha256(images.tobytes() + targets.astype("<i8").tobytes()).hexdigest(),
        stand_in_for="cifar10",
        classes=NAMES,
    )


def draw(n: int, dice: Dice) -> tuple[np.ndarray, np.ndarray]:
    """``n`` images, uint8 (n, 3, 32, 32), and their classes, int64 (n,), equally many of each in every thousand."""
    targets = np.concatenate([_mixed(dice, min(1000, n - start)) for start in range(0, n, 1000)])
    images = _backgrounds(n, dice)
    for _ in range(3):
        _paint(images, _squares(n, dice), dice)
    masks = np.empty((n, SIZE, SIZE), bool)
    for number, name in enumerate(NAMES):
        chosen = targets == number
        masks[chosen] = _forms(name, int(chosen.sum()), dice)
    _paint(images, masks, dice)
    images += dice.bytes(*images.shape).astype(np.int16) * (NOISE + 1) // 256 - NOISE // 2
    return np.clip(images, 0, 255).astype(np.uint8), targets


def _mixed(dice: Dice, n: int) -> np.ndarray:
    """Every class equally often, in random order."""
    return np.argsort(dice.below(2**32, n), kind="stable").astype(np.int64) % len(NAMES)


def _backgrounds(n: int, dice: Dice) -> np.ndarray:
    """A colour for each image that changes evenly from one side to the other: int16 (n, 3, 32, 32)."""
    across = np.arange(SIZE, dtype=np.int16) - SIZE // 2
    slope_x, slope_y = dice.between(-12, 12, 2, n, CHANNELS, 1, 1)
    return dice.between(0, 255, n, CHANNELS, 1, 1) + (slope_x * across) // 4 + (slope_y * across[:, None]) // 4


def _paint(images: np.ndarray, masks: np.ndarray, dice: Dice) -> None:
    """Give what is under each mask one new colour, which is brighter or darker by a good deal in every channel."""
    middle = images[:, :, SIZE // 2, SIZE // 2, None, None]
    colours = middle + np.where(middle < 128, 1, -1) * dice.between(40, 128, len(images), CHANNELS, 1, 1)
    np.copyto(images, colours, where=masks[:, None])


def _squares(n: int, dice: Dice) -> np.ndarray:
    """A small square anywhere, to distract: bool (n, 32, 32)."""
    dx, dy = _offsets(*dice.between(0, SIZE - 1, 2, n))
    return np.maximum(abs(dx), abs(dy)) <= dice.between(1, 2, n, 1, 1)


def _offsets(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each column and row of an image lies from (x, y): (n, 1, 32) and (n, 32, 1)."""
    across = np.arange(SIZE, dtype=np.int16)
    return across - x[:, None, None], across[:, None] - y[:, None, None]


def _forms(name: str, n: int, dice: Dice) -> np.ndarray:
    """``n`` masks of one class: bool (n, 32, 32). The radius is 6 to 11 pixels, and all of it is in the image."""
    radius = dice.between(6, 11, n)
    across, down = _offsets(*(radius + dice.below(2**16, 2, n) * (SIZE - 2 * radius) // 2**16).astype(np.int16))
    turned, mirrored = (dice.below(2, n, 1, 1) == 1 for _ in range(2))
    u, v = np.where(turned, down, across), np.where(turned, across, down)
    v = np.where(mirrored, -v, v)
    return _FORMS[name](u, v, radius[:, None, None], dice.between(2, 3, n, 1, 1))


def _disc(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return u * u + v * v <= radius * radius


def _square(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) <= radius


_FORMS = {
    "disc": lambda u, v, r, _w: _disc(u, v, r),
    "ring": lambda u, v, r, w: _disc(u, v, r) & ~_disc(u, v, r - w),
    "square": lambda u, v, r, _w: _square(u, v, r - 1),
    "frame": lambda u, v, r, w: _square(u, v, r - 1) & ~_square(u, v, r - 1 - w),
    "triangle": lambda u, v, r, _w: _square(u, v, r) & (2 * abs(u) <= v + r),
    "plus": lambda u, v, r, w: _square(u, v, r) & (np.minimum(abs(u), abs(v)) <= w // 2),
    "saltire": lambda u, v, r, w: _square(u, v, r - 1) & (abs(abs(u) - abs(v)) <= w // 2),
    "stripes": lambda u, v, r, w: _square(u, v, r) & (u // w % 2 == 0),
    "checks": lambda u, v, r, w: _square(u, v, r) & ((u // w + v // w) % 2 == 0),
    "pair": lambda u, v, r, _w: _disc(u, abs(v) - r // 2 - 1, r // 2),
}
"""By name: which pixels belong to the form, from their offsets (u, v), its radius and the width of its lines."""
