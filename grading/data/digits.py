"""The stand-in for MNIST: 1,797 real handwritten digits of 8×8, shipped with the grader and brought to 28×28.

The images are those of scikit-learn's `load_digits`, the test set of E. Alpaydin and C. Kaynak, "Optical Recognition
of Handwritten Digits", UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0.
course/digits.py writes the file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from grading.data.dataset import DataSet
from grading.data.files import read
from grading.data.idx import read_idx
from grading.data.sources import File

FILE = File("digits.idx", 116_817, "sha256:4af6f3417d7865cd8b5dbd03a9e4f16e8ef14c0f4c336c712afa1421a4f382a9")
GREYS = 16
BOX, MARGIN = 20, 4
"""MNIST's own frame: a digit fills 20×20 pixels, in the middle of 28×28."""


def load_digits() -> DataSet:
    """1,442 training and 355 test images of shape (1, 28, 28), the same every time. DamagedError when the file is.

    Every fifth image of each class is a test image. The file goes from writer to writer, so both parts know every
    hand: held-out writers would be the harder test, harder than MNIST's, and 95% would be out of reach.
    """
    rows = read_idx(read(Path(__file__).parent, FILE))
    images, targets = enlarge(rows[:, :-1].reshape(-1, 1, 8, 8)), rows[:, -1].astype(np.int64)
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


def enlarge(images: np.ndarray) -> np.ndarray:
    """Images (n, 1, 8, 8) of greys 0 to 16 → (n, 1, 28, 28) of 0 to 255: linear between pixels, then a black margin."""
    weights = _linear(images.shape[-1], BOX)
    grey = np.rint(weights @ (images * (255 / GREYS)) @ weights.T).astype(np.uint8)
    return np.pad(grey, ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))


def _linear(old: int, new: int) -> np.ndarray:
    """The matrix (new, old) that samples a line of pixels at new centres, weighting the two nearest old ones.

    Centres lie at half pixels, and the outermost pixels go on to the edge, as in PyTorch's `interpolate`.
    """
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(old)))
