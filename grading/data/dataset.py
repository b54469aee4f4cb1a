"""Data sets in memory, each of images or a text. Every loader returns one, and every check uses one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grading.data.sources import DIGITS
from grading.result import DataRecord


@dataclass(frozen=True, eq=False)
class DataSet:
    """Images and classes, split into training and test data, in read-only arrays.

    Inputs are uint8 of shape (images, channels, height, width), PyTorch's order. Targets are int64 of shape (images,),
    with classes from 0 to 9.
    """

    name: str
    train_inputs: np.ndarray
    train_targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray
    digest: str
    """The SHA-256 that identifies the data."""
    stand_in_for: str | None = None
    """The data set that this one stands in for; results measured on a stand-in are provisional."""
    classes: tuple[str, ...] = DIGITS
    """The name of each class, in order."""

    def __post_init__(self) -> None:
        for array in (self.train_inputs, self.train_targets, self.test_inputs, self.test_targets):
            array.setflags(write=False)

    @property
    def record(self) -> DataRecord:
        """The name, the digest and what it stands in for, as results record them."""
        return DataRecord(name=self.name, digest=self.digest, stand_in_for=self.stand_in_for)

    @property
    def size_in_words(self) -> str:
        """The size as text, such as “60,000 training and 10,000 test images”."""
        return f"{len(self.train_inputs):,} training and {len(self.test_inputs):,} test images"


@dataclass(frozen=True)
class TextSet:
    """One long text, as UTF-8 bytes."""

    name: str
    data: bytes
    digest: str
    """The SHA-256 that identifies the text."""
    stand_in_for: str | None = None
    """The data set that this one stands in for; results measured on a stand-in are provisional."""

    @property
    def record(self) -> DataRecord:
        """The name, the digest and what it stands in for, as results record them."""
        return DataRecord(name=self.name, digest=self.digest, stand_in_for=self.stand_in_for)

    @property
    def size_in_words(self) -> str:
        """The size as text, such as “1,115,394 bytes of text”."""
        return f"{len(self.data):,} bytes of text"
