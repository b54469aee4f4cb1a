"""CIFAR-10 batches are read, and no pickle does anything else."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.data import batches
from grading.data.batches import parse_cifar_pickle
from tests.data.samples import pickle_like_python2

ROWS = np.random.default_rng(3).integers(0, 256, (2, 3072), np.uint8)
GOOD = {b"data": ROWS, b"labels": [3, 9], b"batch_label": b"training batch 1 of 5", b"filenames": [b"a.png", b"b.png"]}


@pytest.mark.parametrize(
    "data", [pickle_like_python2(GOOD), pickle.dumps(GOOD, protocol=3), pickle.dumps(GOOD, protocol=4)]
)
def test_batches_of_old_and_new_python_are_read(data: bytes) -> None:
    """Rows become planes of 32×32, red first; labels become int64."""
    images, labels = parse_cifar_pickle(data)
    assert images.shape == (2, 3, 32, 32)
    assert images.dtype == np.uint8
    assert images[1, 2, 31, 30] == ROWS[1, 2 * 1024 + 31 * 32 + 30]
    assert np.array_equal(images.reshape(2, 3072), ROWS)
    assert labels.tolist() == [3, 9]
    assert labels.dtype == np.int64


def test_the_sample_is_written_as_the_official_files_are() -> None:
    """Python 2's string opcode and NumPy 1's name, without which the test above would be about something else."""
    data = pickle_like_python2(GOOD)
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in data
    assert pickle.BINSTRING + struct.pack("<i", 4) + b"data" in data


class Runs:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def build_pickle(name: str, state: bytes) -> bytes:
    """Build a pickle that itself sets attributes of a global."""
    return b"\x80\x02c" + name.encode() + b"\n" + state + b"b."


HUGE_MEMO = b"\x80\x02]r\xff\xff\xff\x7f."
HOSTILE = {
    "a command": pickle.dumps(Runs(os.system, "touch hacked")),
    "a process": pickle.dumps(Runs(subprocess.Popen, ["touch", "hacked"])),
    "eval": pickle.dumps(Runs(eval, "open('hacked', 'w')")),
    "a file": pickle.dumps(Runs(open, "hacked", "w")),
    "a call within a good batch": pickle.dumps(GOOD | {b"more": Runs(os.system, "touch hacked")}),
    "an attribute": pickle.dumps(Runs(getattr, np.ndarray, "tofile")),
    "another of NumPy": pickle.dumps(Runs(np.fromfile, "/etc/passwd")),
    "NumPy by a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x13ndarray.__class__  \x93.",
    "an old-style instance": b"(ios\nsystem\n.",
    "an extension code": b"\x80\x02\x82\x01.",
    "something outside the file": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "an array of objects": pickle.dumps(GOOD | {b"data": np.array([[None] * 3072] * 2)}),
    "an array of floats": pickle.dumps(GOOD | {b"data": ROWS.astype(np.float32)}),
    "an array in columns": pickle.dumps(GOOD | {b"data": np.asfortranarray(ROWS)}),
    "an array of another shape": pickle.dumps(GOOD | {b"data": ROWS.reshape(1, 2, 3072)}),
    "a shape that does not fit": pickle.dumps(GOOD, protocol=3).replace(b"K\x02M\x00\x0c", b"K\x03M\x00\x0c"),
    "a class that is built": build_pickle("numpy\ndtype", b"}X\x01\x00\x00\x00aK\x01s"),
    "the array type, built": build_pickle("numpy\nndarray", b"}X\x08\x00\x00\x00__init__K\x01s"),
    "slots of a class": build_pickle("numpy.core.multiarray\n_reconstruct", b"N}X\x08\x00\x00\x00__init__K\x01s\x86"),
    "a huge memo": HUGE_MEMO,
    "a huge string": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"a.",
    "a string longer than the file": b"\x80\x02T\xff\xff\xff\x7fa.",
    "a deep nest": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "an endless loop of itself": b"\x80\x02]q\x00h\x00a.",
    "no end": pickle.dumps(GOOD, protocol=3)[:-1],
    "cut short": pickle.dumps(GOOD, protocol=3)[:1000],
    "nothing": b"",
    "text": b"<html>",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_pickle_is_refused_and_does_nothing(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as a ValueError; no file appears, and a good batch is read as before."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^it "):
        parse_cifar_pickle(HOSTILE[case])
    assert list(tmp_path.iterdir()) == []
    assert parse_cifar_pickle(pickle.dumps(GOOD, protocol=3))[1].tolist() == [3, 9]


def test_the_hostile_pickles_are_hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own unpickler does what they ask."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(HOSTILE["a command"])  # noqa: S301 - ours, and the point
    assert (tmp_path / "hacked").exists()


def test_nothing_of_numpy_is_handed_to_a_pickle() -> None:
    """What stands for the known names are this project's classes, which a pickle cannot change."""
    for known in batches._KNOWN.values():
        assert known.__module__ == batches.__name__
        assert "__setstate__" in vars(known)


WRONG = {
    "no dict": [1, 2],
    "no data": {b"labels": [1]},
    "data of one dimension": {b"data": ROWS[0], b"labels": [1]},
    "rows of another length": {b"data": ROWS[:, :-1].copy(), b"labels": [3, 9]},
    "no labels": {b"data": ROWS},
    "too few labels": {b"data": ROWS, b"labels": [3]},
    "a label too large": {b"data": ROWS, b"labels": [3, 10]},
    "a label below zero": {b"data": ROWS, b"labels": [3, -1]},
    "a label that is true": {b"data": ROWS, b"labels": [3, True]},
    "labels in an array": {b"data": ROWS, b"labels": np.array([3, 9], np.uint8)},
    "text as keys": {"data": ROWS, "labels": [3, 9]},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_harmless_pickle_of_another_form_is_refused(case: str) -> None:
    """Keys, shapes and labels are those of CIFAR-10."""
    with pytest.raises(ValueError, match=r"^it"):
        parse_cifar_pickle(pickle.dumps(WRONG[case], protocol=3))


@given(st.data())
def test_changed_bytes_end_as_a_batch_or_a_value_error(data: st.DataObject) -> None:
    """Whatever is changed in a batch, nothing else is raised."""
    content = bytearray(pickle.dumps({b"data": ROWS[:1], b"labels": [1]}, protocol=3))
    places = [n for n in range(len(content)) if n < 150 or n > len(content) - 60]
    for place in data.draw(st.lists(st.sampled_from(places), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        images, labels = parse_cifar_pickle(bytes(content))
        assert len(images) == len(labels)
    except ValueError:
        pass
