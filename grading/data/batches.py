"""Read the official CIFAR-10 batches, which are pickles, without running any code that a pickle names.

A batch is a dict. Its ``b"data"`` is a uint8 array of shape (n, 3072), and each row holds the red, green and blue
planes, each 32×32. Its ``b"labels"`` is a list of n classes. Source: A. Krizhevsky, "Learning Multiple Layers of
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


def parse_cifar_pickle(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Parse a CIFAR-10 batch into uint8 images (n, 3, 32, 32) and int64 classes (n,); raise ValueError if invalid."""
    try:
        found = _load_safe_pickle(data)
    except Exception as error:  # a hostile pickle may raise anything
        raise ValueError(f"it is not a CIFAR-10 batch ({type(error).__name__}: {str(error)[:200]})") from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, not a dict")
    images, labels = found.get(b"data"), found.get(b"labels")
    if type(images) is not _ArrayStub:
        raise ValueError("its b'data' is not an array")
    if type(labels) is not list or not all(type(label) is int and 0 <= label < CLASSES for label in labels):
        raise ValueError(f"its b'labels' is not a list of classes from 0 to {CLASSES - 1}")
    if len(labels) != images.rows:
        raise ValueError(f"it has {images.rows} images and {len(labels)} labels")
    pixels = np.frombuffer(images.content, np.uint8).reshape(-1, 3, 32, 32)
    return pixels, np.array(labels, np.int64)


def _load_safe_pickle(data: bytes) -> Any:
    """Load a pickle of plain values and arrays of bytes, which become stubs; raise an exception for anything else."""
    for opcode, argument, _ in pickletools.genops(data):
        # CPython allocates a memo of any requested size, so ten bytes of pickle could request 64 GB.
        if "PUT" in opcode.name and isinstance(argument, int) and argument > len(data):
            raise pickle.UnpicklingError("the size of its memo exceeds that of the file")
    return _Unpickler(io.BytesIO(data), encoding="bytes").load()


class _Unpickler(pickle.Unpickler):
    """An unpickler that accepts only the names in an array's pickle, and replaces them with the classes in this file.

    NumPy trusts the state that it receives (item size, flags, fields), so even NumPy's types are not allowed.
    """

    def find_class(self, module: str, name: str) -> type:
        """Find the replacement for a global name; raise UnpicklingError for a name that an array does not need."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _KNOWN[module, name]

    def persistent_load(self, pid: object) -> NoReturn:
        """Reject a reference to something outside the file."""
        raise pickle.UnpicklingError(f"it refers to something outside the file, {pid!r:.80}")


# Each class defines __setstate__, so that the pickle's BUILD cannot set attributes of an object or its class.


class _NdarrayStub:
    """A replacement for `numpy.ndarray`, which a pickled array only refers to."""

    def __setstate__(self, state: object) -> NoReturn:
        raise pickle.UnpicklingError("it builds an array in an unknown way")


class _DtypeStub:
    """A replacement for `numpy.dtype` that accepts only unsigned bytes."""

    def __init__(self, name: object, *_flags: object) -> None:
        if name not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"it holds elements of type {name!r:.80}, not unsigned bytes")

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and fields, since a single byte has neither."""


class _ArrayStub:
    """A replacement for an array, with the number of its rows and their bytes."""

    def __init__(self, *_empty: object) -> None:
        self.rows, self.content = 0, b""

    def __setstate__(self, state: Any) -> None:
        _version, shape, dtype, fortran, content = state
        if type(dtype) is not _DtypeStub or fortran or type(content) is not bytes:
            raise pickle.UnpicklingError("its array does not hold bytes in C order")
        rows, left = divmod(len(content), ROW)
        if left or shape != (rows, ROW):
            raise pickle.UnpicklingError(f"its array does not have rows of {ROW} bytes")
        self.rows, self.content = rows, content


_KNOWN: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _ArrayStub,  # as the official files name it
    ("numpy._core.multiarray", "_reconstruct"): _ArrayStub,  # as NumPy 2 names it
    ("numpy", "ndarray"): _NdarrayStub,
    ("numpy", "dtype"): _DtypeStub,
}
