"""IDX files are read, and nothing else is."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.data.idx import read_idx
from tests.data.samples import encode_idx


def test_the_example_of_the_docstring() -> None:
    """Two dimensions, 1 and 2, then two bytes."""
    assert read_idx(bytes.fromhex("00000802 00000001 00000002 0709")).tolist() == [[7, 9]]


@pytest.mark.parametrize("shape", [(0,), (5,), (2, 3), (3, 4, 5), (1, 2, 3, 4)])
def test_arrays_of_any_shape_come_back(shape: tuple[int, ...]) -> None:
    """Shape and elements are those that were written."""
    array = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    assert np.array_equal(read_idx(encode_idx(array)), array)


@pytest.mark.parametrize("length", range(14))
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    """No shorter piece of a file is a file."""
    with pytest.raises(ValueError, match=r"begin|header|promises"):
        read_idx(bytes.fromhex("00000802 00000001 00000002 0709")[:length])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("00000d01 00000001 00000000", "type 0x0d"),
        ("1f8b0801 00000001 07", "does not begin"),
        ("00000801 00000001 0708", "promises 1 bytes, but 2 follow"),
        ("00000803 ffffffff ffffffff ffffffff", "promises"),
    ],
)
def test_what_is_no_idx_file_of_bytes_is_refused(data: str, reason: str) -> None:
    """The reason says what is wrong, also for sizes larger than any memory."""
    with pytest.raises(ValueError, match=reason):
        read_idx(bytes.fromhex(data))


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail))
def test_any_bytes_are_an_array_or_a_value_error(data: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    with contextlib.suppress(ValueError):
        assert read_idx(data).dtype == np.uint8
