"""The official CIFAR-10 batches: pickles, read without running anything a pickle could name.

A batch is a dict whose ``b"data"`` is a uint8 array of shape (n, 3072), a row being the red, green and blue plane of
32×32 each, and whose ``b"labels"`` is a list of n classes. Source: A. Krizhevsky, "Learning Multiple Layers of
Features from Tiny Images", 2009.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from typing import Any, NoReturn

import numpy as np

CLASSES = 10


def read_batch(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The images (n, 3, 32, 32), uint8, and classes (n,), int64, of one batch. Raises ValueError for anything else."""
    try:
        found = _unpickle(data)
    except Exception as error:  # a hostile pickle may raise whatever it likes
        raise ValueError(f"it is no CIFAR-10 batch ({type(error).__name__}: {str(error)[:200]})") from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, not a dict")
    images, labels = found.get(b"data"), found.get(b"labels")
    if type(images) is not _Array or images.shape[1] != 3 * 32 * 32:
        raise ValueError("its b'data' is not an array of rows of 3072 bytes")
    if type(labels) is not list or not all(type(label) is int and 0 <= label < CLASSES for label in labels):
        raise ValueError(f"its b'labels' is not a list of classes from 0 to {CLASSES - 1}")
    if len(labels) != images.shape[0]:
        raise ValueError(f"it has {images.shape[0]} images and {len(labels)} labels")
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
    """Stands for an array that is being put together: its shape and bytes, in C order."""

    def __init__(self, *_empty: object) -> None:
        self.shape: tuple[int, ...] = (0, 0)
        self.content = b""

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, content = state
        if type(shape) is not tuple or type(dtype) is not _Dtype or fortran or type(content) is not bytes:
            raise pickle.UnpicklingError("it has an array of another form")
        # Sizes are compared before they are multiplied: a product of hostile ones could take hours.
        if not all(type(size) is int and 0 <= size <= len(content) for size in shape):
            raise pickle.UnpicklingError("the shape of its array does not fit its bytes")
        if len(shape) != 2 or math.prod(shape) != len(content):
            raise pickle.UnpicklingError("the shape of its array does not fit its bytes")
        self.shape, self.content = shape, content


_KNOWN: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,  # as the official files name it
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # as NumPy 2 names it
    ("numpy", "ndarray"): _Type,
    ("numpy", "dtype"): _Dtype,
}
