"""A data set in memory, images or a text: what every loader returns and every check reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grading.data.sources import DIGITS
from grading.result import DataRecord


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images and classes, in a training and a test part; the arrays cannot be written to.

    Inputs are uint8 of shape (images, channels, height, width), the order PyTorch's layers take; targets are int64 of
    shape (images,), classes from 0 to 9.
    """

    name: str
    train_inputs: np.ndarray
    train_targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray
    digest: str
    """SHA-256 of what was read: another digest, other data."""
    stand_in_for: str | None = None
    """The data set this one replaces; what is measured on it is provisional."""
    classes: tuple[str, ...] = DIGITS
    """What people call each class, in order."""

    def __post_init__(self) -> None:
        for array in (self.train_inputs, self.train_targets, self.test_inputs, self.test_targets):
            array.setflags(write=False)

    @property
    def record(self) -> DataRecord:
        """What a result says of it."""
        return DataRecord(name=self.name, digest=self.digest, stand_in_for=self.stand_in_for)

    @property
    def summary(self) -> str:
        """How much there is, in words."""
        return f"{len(self.train_inputs):,} training and {len(self.test_inputs):,} test images"


@dataclass(frozen=True)
class TextSet:
    """One long text, in bytes of UTF-8."""

    name: str
    data: bytes
    digest: str
    """SHA-256 of what was read."""
    stand_in_for: str | None = None
    """The data set this one replaces; what is measured on it is provisional."""

    @property
    def record(self) -> DataRecord:
        """What a result says of it."""
        return DataRecord(name=self.name, digest=self.digest, stand_in_for=self.stand_in_for)

    @property
    def summary(self) -> str:
        """How much there is, in words."""
        return f"{len(self.data):,} bytes of text"
