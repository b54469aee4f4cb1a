"""The stand-in for MNIST: 1,797 real handwritten digits of 8×8, shipped with the grader and enlarged to 28×28.

The images are those of scikit-learn's `load_digits`, the test set of E. Alpaydin and C. Kaynak, "Optical Recognition
of Handwritten Digits", UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0.
course/write_digits.py writes the file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from grading.data.dataset import DataSet
from grading.data.files import read_data_file
from grading.data.idx import read_idx
from grading.data.sources import DataFile

FILE = DataFile("digits.idx", 116_817, "sha256:4af6f3417d7865cd8b5dbd03a9e4f16e8ef14c0f4c336c712afa1421a4f382a9")
GREYS = 16
BOX, MARGIN = 20, 4
"""MNIST's layout: a digit fills 20×20 pixels in the middle of 28×28."""


def load_digits() -> DataSet:
    """Load 1,442 training and 355 test images of shape (1, 28, 28); raise DamagedError if the file is damaged.

    Every fifth image of each class is a test image. The file is ordered by writer, so both parts contain every writer.
    If some writers were held out for testing, the test would be harder than MNIST's, and 95% would be out of reach.
    """
    rows = read_idx(read_data_file(Path(__file__).parent, FILE))
    images, targets = enlarge_digits(rows[:, :-1].reshape(-1, 1, 8, 8)), rows[:, -1].astype(np.int64)
    test = np.zeros(len(targets), bool)
    for digit in range(10):
        test[np.flatnonzero(targets == digit)[4::5]] = True
    return DataSet(
        name="digits",
        train_inputs=images[~test],
        train_targets=targets[~test],
        test_inputs=images[test],
        test_targets=targets[test],
        digest=hashlib.sha256(images.tobytes() + targets.tobytes()).hexdigest(),
        stand_in_for="mnist",
    )


def enlarge_digits(images: np.ndarray) -> np.ndarray:
    """Enlarge (n, 1, 8, 8) images with greys 0 to 16 to (n, 1, 28, 28) with 0 to 255, bilinearly, in a black frame."""
    weights = _make_resampling_matrix(images.shape[-1], BOX)
    grey = np.rint(weights @ (images * (255 / GREYS)) @ weights.T).astype(np.uint8)
    return np.pad(grey, ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))


def _make_resampling_matrix(old_size: int, new_size: int) -> np.ndarray:
    """Make the matrix (new, old) that resamples a row of pixels by weighting the two nearest old pixels.

    Centres are at half pixels, and the outermost pixels extend to the edge, as in PyTorch's `interpolate`.
    """
    centres = np.clip((np.arange(new_size) + 0.5) * old_size / new_size - 0.5, 0, old_size - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(old_size)))
