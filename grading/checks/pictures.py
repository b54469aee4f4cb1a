"""Pictures for a run's record, in whole numbers.

What was taken for what, the first kernels, how long a step takes; what rivals reach, and what a writer looks at.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np

from grading.checks.network import Weights
from grading.result import RIVAL_SETS, NamedImage, Picture

MOST_FILTERS, MOST_PIXELS, LONGEST_SIDE = 32, 600, 16
"""Of the first convolution's kernels: enough to see what it looks for, and few enough for a record."""
LARGEST = 127
MOST_LAYERS, MOST_ROWS, MOST_TOKENS, MOST_CELLS = 4, 20, 56, 2000
"""Of attention: the first layers, the first tokens that were written, all tokens with those before, and all numbers."""
NETWORK = "this network"
MOST_NAMED, MOST_BYTES = 10, 16_384
"""Images that were named correctly, and as many that were not: how many, and their bytes."""


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


def pick_named_images(
    images: np.ndarray, targets: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], rng: np.random.Generator
) -> tuple[NamedImage, ...]:
    """A few images that were named correctly, each of another class, then those named wrongly with most certainty.

    ``images`` are uint8, (n, channels, height, width), ``probabilities`` (n, classes), both in the data set's own order
    of classes.
    """
    count = min(MOST_NAMED, MOST_BYTES // images[0].size)
    answers, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right, wrong = rng.permutation(np.flatnonzero(answers == targets)), np.flatnonzero(answers != targets)
    _, first_of_class = np.unique(targets[right], return_index=True)  # by class
    some = np.sort(rng.permutation(len(first_of_class))[:count])
    confused = wrong[np.argsort(-sure[wrong], kind="stable")][:count]
    kept = [*right[first_of_class[some]], *confused]
    return tuple(
        NamedImage(
            shows=classes[targets[image]],
            named=classes[answers[image]],
            percent=round(100 * float(np.clip(sure[image], 0, 1))),
            shape=images[image].shape,
            pixels=base64.b64encode(images[image].tobytes()).decode(),
        )
        for image in map(int, kept)
    )


def show_times(seconds: Mapping[str, float], seed: int) -> Picture:
    """What a training step takes, by who takes it."""
    values = tuple(min(round(one * 1e6), 10**9) for one in seconds.values())
    return Picture(name="step_microseconds", seed=seed, shape=(len(values),), labels=tuple(seconds), values=values)


def compare_rivals(
    shares: Mapping[str, float | None], ladders: Mapping[str, Mapping[str, float]], seed: int
) -> Picture:
    """What of functions and stories is right: the network's share, then that of each rival, on each of RIVAL_SETS."""
    rivals = list(ladders[RIVAL_SETS[0]])
    rows = [[shares[figure] or 0.0 for figure in RIVAL_SETS]]
    rows += [[ladders[figure][rival] for figure in RIVAL_SETS] for rival in rivals]
    values = tuple(round(1000 * share) for row in rows for share in row)
    shape = (len(rows), len(RIVAL_SETS))
    return Picture(name="rivals", seed=seed, shape=shape, labels=(NETWORK, *rivals), values=values)


def compare_bits(bits: float, ladder: Mapping[str, float], seed: int) -> Picture:
    """Bits for each byte of real text: the network's, then those of each rival."""
    values = tuple(min(round(1000 * one), 10**6) for one in (bits, *ladder.values()))
    return Picture(name="rivals_on_text", seed=seed, shape=(len(values),), labels=(NETWORK, *ladder), values=values)


def show_attention(maps: np.ndarray, tokens: Sequence[bytes], written: int, seed: int) -> Picture:
    """Where each layer looks when it writes each of the last ``written`` tokens.

    ``maps`` is (layers, heads, t, t), of all tokens but the last, which nothing looks at. A token is written by what
    the one before it looks at.
    """
    largest = 100 * maps[:MOST_LAYERS].max(axis=1)
    layers, size = largest.shape[:2]
    first = size - written
    rows = min(written, MOST_ROWS, MOST_CELLS // (layers * size))
    end = first + rows
    shown = np.rint(largest[:, first:end, :end]).astype(int)
    labels = tuple(token.decode(errors="replace") for token in tokens[: end + 1])
    return Picture(name="attention", seed=seed, shape=shown.shape, labels=labels, values=tuple(shown.ravel().tolist()))
