"""The official CIFAR-10 batches: pickles, read without running anything a pickle could name.

A batch is a dict whose ``b"data"`` is a uint8 array of shape (n, 3072), a row being the red, green and blue plane of
32×32 each, and whose ``b"labels"`` is a list of n classes. Source: A. Krizhevsky, "Learning Multiple Layers of
Features from Tiny Images", 2009.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any, NoReturn

import numpy as np

CLASSES = 10
ROW = 3 * 32 * 32


def read_batch(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The images (n, 3, 32, 32), uint8, and classes (n,), int64, of one batch. Raises ValueError for anything else."""
    try:
        found = _unpickle(data)
    except Exception as error:  # a hostile pickle may raise whatever it likes
        raise ValueError(f"it is no CIFAR-10 batch ({type(error).__name__}: {str(error)[:200]})") from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, not a dict")
    images, labels = found.get(b"data"), found.get(b"labels")
    if type(images) is not _Array:
        raise ValueError("its b'data' is not an array")
    if type(labels) is not list or not all(type(label) is int and 0 <= label < CLASSES for label in labels):
        raise ValueError(f"its b'labels' is not a list of classes from 0 to {CLASSES - 1}")
    if len(labels) != images.rows:
        raise ValueError(f"it has {images.rows} images and {len(labels)} labels")
    pixels = np.frombuffer(images.content, np.uint8).reshape(-1, 3, 32, 32)
    return pixels, np.array(labels, np.int64)


def _unpickle(data: bytes) -> Any:
    for opcode, argument, _ in pickletools.genops(data):
        # CPython makes room for a memo of the size that is asked for: 64 GB for ten bytes of pickle.
        if "PUT" in opcode.name and isinstance(argument, int) and argument > len(data):
            raise pickle.UnpicklingError("its memo is larger than the file")
    return _Unpickler(io.BytesIO(data), encoding="bytes").load()


class _Unpickler(pickle.Unpickler):
    """Knows the three names in the pickle of an array, and answers with classes of this file, not with NumPy's.

    NumPy trusts the state it is given (item size, flags, fields), so even its own types are not let in.
    """

    def find_class(self, module: str, name: str) -> type:
        """What stands for a global name; UnpicklingError for every name an array does not need."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _KNOWN[module, name]

    def persistent_load(self, pid: object) -> NoReturn:
        """Refuse: nothing lies outside the file."""
        raise pickle.UnpicklingError(f"it refers to something outside the file, {pid!r:.80}")


# Each class has __setstate__, so that the pickle's BUILD can set no attribute of an object or of the class itself.


class _Type:
    """Stands for `numpy.ndarray`, which a pickled array only mentions."""

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("it builds an array in an unknown way")


class _Dtype:
    """Stands for `numpy.dtype`; only unsigned bytes are known."""

    def __init__(self, name: object, *_flags: object) -> None:
        if name not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"it holds elements of type {name!r:.80}, not unsigned bytes")

    def __setstate__(self, state: object) -> None:
        """Byte order and fields: a single byte has none."""


class _Array:
    """Stands for an array that is being put together: so many rows, and their bytes."""

    def __init__(self, *_empty: object) -> None:
        self.rows, self.content = 0, b""

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, content = state
        if type(dtype) is not _Dtype or fortran or type(content) is not bytes:
            raise pickle.UnpicklingError("its array is not one of bytes in C order")
        rows, left = divmod(len(content), ROW)
        if left or shape != (rows, ROW):
            raise pickle.UnpicklingError(f"its array is not one of rows of {ROW} bytes")
        self.rows, self.content = rows, content


_KNOWN: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,  # as the official files name it
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # as NumPy 2 names it
    ("numpy", "ndarray"): _Type,
    ("numpy", "dtype"): _Dtype,
}
