"""Make the pictures for a run's record, as arrays of integers.

They show confused classes, the first kernels, step times, the rivals' results, and the attention of a language network.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np

from grading.checks.student_network import Weights
from grading.result import RIVAL_SETS, NamedImage, Picture

MOST_FILTERS, MOST_PIXELS, LONGEST_SIDE = 32, 600, 16
"""The limits on the first convolution's kernels: enough to show what it detects, and small enough for a record."""
LARGEST = 127
MOST_LAYERS, MOST_ROWS, MOST_TOKENS, MOST_CELLS = 4, 20, 56, 2000
"""The limits on attention: how many layers, written tokens, tokens in total and numbers a picture may hold."""
NETWORK = "this network"
MOST_NAMED, MOST_BYTES = 10, 16_384
"""The limits on the number and the bytes of correctly classified images, and of misclassified ones."""


def make_confusion_picture(targets: np.ndarray, answers: np.ndarray, classes: Sequence[str], seed: int) -> Picture:
    """Return a picture of how many images of each class were classified as each class."""
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (targets, answers), 1)
    return Picture(
        name="confusions", seed=seed, shape=counts.shape, labels=tuple(classes), values=tuple(counts.ravel().tolist())
    )


def make_filter_pictures(weights: Weights, images: np.ndarray, seed: int) -> tuple[Picture, ...]:
    """Return a picture of up to 32 kernels of the first parameter with kernels for these images, or () without one."""
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


def select_named_images(
    images: np.ndarray, targets: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], rng: np.random.Generator
) -> tuple[NamedImage, ...]:
    """Pick a few correctly classified images of different classes, then the most confidently misclassified ones.

    ``images`` is uint8 of shape (n, channels, height, width) and ``probabilities`` is (n, classes). Classes are in the
    data set's own order.
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


def make_step_time_picture(seconds: Mapping[str, float], seed: int) -> Picture:
    """Return a picture of how long a training step takes in each module, in microseconds."""
    values = tuple(min(round(one * 1e6), 10**9) for one in seconds.values())
    return Picture(name="step_microseconds", seed=seed, shape=(len(values),), labels=tuple(seconds), values=values)


def make_rival_picture(
    shares: Mapping[str, float | None], rival_shares: Mapping[str, Mapping[str, float]], seed: int
) -> Picture:
    """Return a picture of the share (‰, 0 if unknown) the network and each rival get right in each of RIVAL_SETS."""
    rivals = list(rival_shares[RIVAL_SETS[0]])
    rows = [[shares[figure] or 0.0 for figure in RIVAL_SETS]]
    rows += [[rival_shares[figure][rival] for figure in RIVAL_SETS] for rival in rivals]
    values = tuple(round(1000 * share) for row in rows for share in row)
    shape = (len(rows), len(RIVAL_SETS))
    return Picture(name="rivals", seed=seed, shape=shape, labels=(NETWORK, *rivals), values=values)


def make_text_rival_picture(network_bits: float, rival_bits: Mapping[str, float], seed: int) -> Picture:
    """Return a picture of the bits per byte of real text, in thousandths, for the network and then for each rival."""
    values = tuple(min(round(1000 * one), 10**6) for one in (network_bits, *rival_bits.values()))
    return Picture(name="rivals_on_text", seed=seed, shape=(len(values),), labels=(NETWORK, *rival_bits), values=values)


def make_attention_picture(maps: np.ndarray, tokens: Sequence[bytes], written_count: int, seed: int) -> Picture:
    """Return a picture of the attention (in %, largest of a layer's heads) to each token by the last ``written_count``.

    If there are too many layers or written tokens, only the first are shown.

    ``maps`` has shape (layers, heads, t, t). It covers all tokens but the last, to which nothing attends. The row of a
    token's predecessor shows what that token was computed from.
    """
    largest = 100 * maps[:MOST_LAYERS].max(axis=1)
    layers, size = largest.shape[:2]
    first = size - written_count
    rows = min(written_count, MOST_ROWS, MOST_CELLS // (layers * size))
    end = first + rows
    shown = np.rint(largest[:, first:end, :end]).astype(int)
    labels = tuple(token.decode(errors="replace") for token in tokens[: end + 1])
    return Picture(name="attention", seed=seed, shape=shown.shape, labels=labels, values=tuple(shown.ravel().tolist()))
