# /// script
# requires-python = ">=3.11"
# dependencies = ["scikit-learn>=1.5"]
# ///
"""Write grading/data/digits.idx.gz, the stand-in for MNIST, from scikit-learn's copy: `uv run course/write_digits.py`.

Each of its 1,797 rows is an image of 8×8 grey values from 0 to 16, then its class. The images are the test set of
E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licensed CC BY 4.0. They are shipped as a file because scikit-learn and SciPy, which
students would otherwise have to install, take up a hundred megabytes.
"""

import gzip
import struct
from pathlib import Path

import numpy as np

TARGET = Path(__file__).resolve().parent.parent / "grading" / "data" / "digits.idx.gz"


def main() -> None:
    """Write the course's file of small digits. The same images always produce the same bytes."""
    from sklearn.datasets import load_digits

    found = load_digits()
    rows = np.column_stack([found.data, found.target]).astype(np.uint8)
    assert rows.shape == (1797, 65)
    header = struct.pack(">BBBBII", 0, 0, 0x08, rows.ndim, *rows.shape)
    TARGET.write_bytes(gzip.compress(header + rows.tobytes(), mtime=0))


if __name__ == "__main__":
    main()
