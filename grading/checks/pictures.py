"""Pictures for a run's record, in whole numbers: what was taken for what, the first kernels, how long a step takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from grading.checks.network import Weights
from grading.result import Picture

MOST_FILTERS, MOST_PIXELS, LONGEST_SIDE = 32, 600, 16
"""Of the first convolution's kernels: enough to see what it looks for, and few enough for a record."""
LARGEST = 127


def count_confusions(targets: np.ndarray, answers: np.ndarray, classes: Sequence[str], seed: int) -> Picture:
    """How many images of each class were taken for each class, the data set's own classes on both sides."""
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (targets, answers), 1)
    return Picture(
        name="confusions", seed=seed, shape=counts.shape, labels=tuple(classes), values=tuple(counts.ravel().tolist())
    )


def pick_filters(weights: Weights, images: np.ndarray, seed: int) -> tuple[Picture, ...]:
    """The first parameter that is kernels for such images, (maps, channels, height, width); none where none is."""
    for array in weights.parameters:
        if (
            array.ndim == 4
            and array.size
            and array.shape[1] == images.shape[1]
            and max(array.shape[2:]) <= LONGEST_SIDE
        ):
            kernels = array[: min(MOST_FILTERS, MOST_PIXELS // array[0, 0].size)].astype(np.float64)
            largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
            shown = np.rint(LARGEST * (kernels / np.where(largest > 0, largest, 1))).astype(int)
            values = tuple(shown.ravel().tolist())
            return (Picture(name="filters", seed=seed, shape=shown.shape, values=values),)
    return ()


def show_times(seconds: Mapping[str, float], seed: int) -> Picture:
    """What a training step takes, by who takes it."""
    values = tuple(min(round(one * 1e6), 10**9) for one in seconds.values())
    return Picture(name="step_microseconds", seed=seed, shape=(len(values),), labels=tuple(seconds), values=values)
