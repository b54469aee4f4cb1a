"""The stand-in for CIFAR-10: ten kinds of shapes and patterns, drawn with integer arithmetic only.

A class is a shape in any position, size, orientation and colour on a varying background. No single pixel reveals the
class, so a linear model does little better than guessing, but a convolutional network does well.
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
"""The range of the noise. Each channel of each pixel changes by at most half of this, up or down."""


class RandomIntegers:
    """A source of reproducible random integers.

    A bit generator's raw output is the same in all NumPy versions (NEP 19).
    """

    def __init__(self, seed: int) -> None:
        self.bits = np.random.PCG64(seed)

    def draw_below(self, limit: int, *shape: int) -> np.ndarray:
        """Draw an int64 array of numbers from 0 to ``limit`` - 1, for a limit of at most 2³²."""
        raw = self.bits.random_raw(math.prod(shape)) >> np.uint64(32)
        return (raw * np.uint64(limit) >> np.uint64(32)).astype(np.int64).reshape(shape)

    def draw_between(self, low: int, high: int, *shape: int) -> np.ndarray:
        """Draw an int16 array of numbers from ``low`` to ``high``, inclusive."""
        return (low + self.draw_below(high - low + 1, *shape)).astype(np.int16)

    def draw_bytes(self, *shape: int) -> np.ndarray:
        """Draw a uint8 array of random bytes."""
        count = math.prod(shape)
        return self.bits.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count].reshape(shape)


def draw_shapes_data_set() -> DataSet:
    """Draw 8,000 training and 2,000 test images of shape (3, 32, 32), balanced by class and the same in every call."""
    images, targets = draw_images(TRAIN + TEST, RandomIntegers(SEED))
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


def draw_images(count: int, dice: RandomIntegers) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` uint8 images (n, 3, 32, 32) and their int64 classes (n,), balanced within every thousand."""
    targets = np.concatenate(
        [_draw_balanced_classes(dice, min(1000, count - start)) for start in range(0, count, 1000)]
    )
    images = _draw_backgrounds(count, dice)
    for _ in range(3):
        _paint_masks(images, _draw_square_masks(count, dice), dice)
    masks = np.empty((count, SIZE, SIZE), bool)
    for number, name in enumerate(NAMES):
        chosen = targets == number
        masks[chosen] = _draw_class_masks(name, int(chosen.sum()), dice)
    _paint_masks(images, masks, dice)
    images += dice.draw_bytes(*images.shape).astype(np.int16) * (NOISE + 1) // 256 - NOISE // 2
    return np.clip(images, 0, 255).astype(np.uint8), targets


def _draw_balanced_classes(dice: RandomIntegers, count: int) -> np.ndarray:
    """Draw `count` balanced classes in random order."""
    return np.argsort(dice.draw_below(2**32, count), kind="stable").astype(np.int64) % len(NAMES)


def _draw_backgrounds(count: int, dice: RandomIntegers) -> np.ndarray:
    """Draw a linear colour gradient for each image, int16 (count, 3, 32, 32); values may be outside 0 to 255."""
    across = np.arange(SIZE, dtype=np.int16) - SIZE // 2
    slope_x, slope_y = dice.draw_between(-12, 12, 2, count, CHANNELS, 1, 1)
    return dice.draw_between(0, 255, count, CHANNELS, 1, 1) + (slope_x * across) // 4 + (slope_y * across[:, None]) // 4


def _paint_masks(images: np.ndarray, masks: np.ndarray, dice: RandomIntegers) -> None:
    """Paint each image's masked pixels in place, in one colour, clearly unlike its central pixel in every channel."""
    middle = images[:, :, SIZE // 2, SIZE // 2, None, None]
    colours = middle + np.where(middle < 128, 1, -1) * dice.draw_between(40, 128, len(images), CHANNELS, 1, 1)
    np.copyto(images, colours, where=masks[:, None])


def _draw_square_masks(count: int, dice: RandomIntegers) -> np.ndarray:
    """Draw masks of a small distracting square at a random position: bool (count, 32, 32)."""
    dx, dy = _compute_offsets_from_centres(*dice.draw_between(0, SIZE - 1, 2, count))
    return np.maximum(abs(dx), abs(dy)) <= dice.draw_between(1, 2, count, 1, 1)


def _compute_offsets_from_centres(centre_x: np.ndarray, centre_y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute each column's and row's offset from n centres, one per image: (n, 1, 32) and (n, 32, 1)."""
    across = np.arange(SIZE, dtype=np.int16)
    return across - centre_x[:, None, None], across[:, None] - centre_y[:, None, None]


def _draw_class_masks(class_name: str, count: int, dice: RandomIntegers) -> np.ndarray:
    """Draw `count` masks of one class, bool (n, 32, 32), with a radius of 6 to 11 pixels and fully inside the image."""
    radius = dice.draw_between(6, 11, count)
    across, down = _compute_offsets_from_centres(
        *(radius + dice.draw_below(2**16, 2, count) * (SIZE - 2 * radius) // 2**16).astype(np.int16)
    )
    turned, mirrored = (dice.draw_below(2, count, 1, 1) == 1 for _ in range(2))
    u, v = np.where(turned, down, across), np.where(turned, across, down)
    v = np.where(mirrored, -v, v)
    return _FORMS[class_name](u, v, radius[:, None, None], dice.draw_between(2, 3, count, 1, 1))


def _is_in_disc(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return whether offsets (u, v) are in a disc of this radius."""
    return u * u + v * v <= radius * radius


def _is_in_square(u: np.ndarray, v: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return whether offsets (u, v) are in a square whose half side has this length."""
    return np.maximum(abs(u), abs(v)) <= radius


_FORMS = {
    "disc": lambda u, v, r, _w: _is_in_disc(u, v, r),
    "ring": lambda u, v, r, w: _is_in_disc(u, v, r) & ~_is_in_disc(u, v, r - w),
    "square": lambda u, v, r, _w: _is_in_square(u, v, r - 1),
    "frame": lambda u, v, r, w: _is_in_square(u, v, r - 1) & ~_is_in_square(u, v, r - 1 - w),
    "triangle": lambda u, v, r, _w: _is_in_square(u, v, r) & (2 * abs(u) <= v + r),
    "plus": lambda u, v, r, w: _is_in_square(u, v, r) & (np.minimum(abs(u), abs(v)) <= w // 2),
    "saltire": lambda u, v, r, w: _is_in_square(u, v, r - 1) & (abs(abs(u) - abs(v)) <= w // 2),
    "stripes": lambda u, v, r, w: _is_in_square(u, v, r) & (u // w % 2 == 0),
    "checks": lambda u, v, r, w: _is_in_square(u, v, r) & ((u // w + v // w) % 2 == 0),
    "pair": lambda u, v, r, _w: _is_in_disc(u, abs(v) - r // 2 - 1, r // 2),
}
"""For each shape's name, a function that returns which offsets (u, v) belong to it, given its radius and line width."""
