"""Values in a message take little time and space, whatever a student's code gives."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from grading.testing import expect
from grading.testing.expect import MAX_SIZE
from grading.testing.gradients import check_gradient


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((2,) * 22, "uint8"),
        [np.zeros((2,) * 22, "uint8")] * 50,
        {"a": (np.zeros((6,) * 8, "uint8"), [[[["x" * 1_000_000]]]])},
        list(range(1_000_000)),
    ],
    ids=["array", "list", "dict", "long"],
)
def test_no_value_takes_long_to_show(value):
    """NumPy shortens long axes, and writes out whole what has many short ones."""
    started = time.process_time()
    assert len(expect.describe_value(value)) < 1000
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([1, 2.5, "x", None], "[1, 2.5, 'x', None] (list)"),
        ({"b": (1,), "a": np.arange(3)}, "{'a': array([0, 1, 2]), 'b': (1,)} (dict)"),
        (np.float32([[1, 2]]), "[[1., 2.]] (ndarray of shape (1, 2))"),
    ],
)
def test_short_values_are_shown_whole(value, shown):
    """What fits is not cut."""
    assert expect.describe_value(value) == shown


def test_an_output_out_of_all_proportion_is_not_multiplied():
    """The judge makes float64 arrays of an output's shape; a far too large shape gives a message instead."""
    op = SimpleNamespace(name="scale", forward=lambda _: np.zeros(MAX_SIZE + 1, bool))
    with pytest.raises(expect.Mismatch, match="an array of at most"):
        check_gradient(op, np.ones(3))
