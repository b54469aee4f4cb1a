"""The real data sets, where they are on this machine: in TINYTORCH_DATA, or in ../shared/data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from grading.data.files import VARIABLE, locate_data_set, read_data_file
from grading.data.load import load_images, load_text
from grading.data.sources import SOURCES

FOLDER = Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[3] / "shared" / "data").absolute()
"""Read before any test: the tests of this folder begin without the variable."""
PUBLISHED = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""MD5 of the unpacked MNIST files."""


@pytest.fixture
def real(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the name of each real data set in turn; skip those that are not on this machine."""
    name = request.param
    if FOLDER.is_dir():
        monkeypatch.setenv(VARIABLE, str(FOLDER))
        if locate_data_set(SOURCES[name]).is_complete:
            yield name
            return
    pytest.skip(f"{name} is not in {FOLDER}; name a folder that has it in {VARIABLE}")


@pytest.mark.parametrize("real", ["mnist"], indirect=True)
def test_the_real_mnist_is_read(real: str) -> None:
    """Sizes, class counts and first labels are those its authors describe; the digest is that of every result."""
    found = load_images(real)
    assert found.train_inputs.shape == (60_000, 1, 28, 28)
    assert found.test_inputs.shape == (10_000, 1, 28, 28)
    assert np.bincount(found.train_targets).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert found.train_targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert found.test_targets[:5].tolist() == [7, 2, 1, 0, 4]
    assert found.train_inputs.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert (found.name, found.stand_in_for) == ("mnist", None)
    assert found.digest == "5e5be9a3d38fb3b9ccaaaf1591dea794b4e7102adcdc0344096891a98fe52b24"


@pytest.mark.parametrize("real", ["mnist"], indirect=True)
def test_the_checksums_are_of_the_published_bytes(real: str) -> None:
    """What the catalogue knows by SHA-256 has the MD5 that is published."""
    place = locate_data_set(SOURCES[real])
    for file in SOURCES[real].files:
        data = read_data_file(place.folder, file)
        assert hashlib.md5(data).hexdigest() == PUBLISHED[file.name]  # noqa: S324 - the published kind


@pytest.mark.parametrize("real", ["cifar10"], indirect=True)
def test_the_real_cifar10_is_read(real: str) -> None:
    """Fifty and ten thousand colour images, each class as often; other bytes than the official ones are a variant."""
    found = load_images(real)
    assert found.train_inputs.shape == (50_000, 3, 32, 32)
    assert found.test_inputs.shape == (10_000, 3, 32, 32)
    assert set(np.bincount(found.train_targets)) == {5000}
    assert set(np.bincount(found.test_targets)) == {1000}
    means = found.train_inputs.mean((0, 2, 3)) / 255
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=2e-3)
    assert (found.name, found.stand_in_for) in [("cifar10", None), ("cifar10-variant", "cifar10")]


@pytest.mark.parametrize("real", ["shakespeare"], indirect=True)
def test_the_real_shakespeare_is_read(real: str) -> None:
    """The bytes that everybody's small language models learn from, and none of them is the end mark."""
    found = load_text(real)
    assert found.data.startswith(b"First Citizen:\nBefore we proceed")
    assert len(found.data) == 1_115_394
    assert b"\0" not in found.data
