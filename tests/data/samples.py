"""Small data sets in the forms of the real ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
from typing import Any, ClassVar

import numpy as np

from grading.data.sources import DataFile, DataSource, Download


def encode_idx(array: np.ndarray) -> bytes:
    """Encode an array as an IDX file."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 0x08, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def make_mnist_files() -> dict[str, bytes]:
    """Make a tiny MNIST of 6 training and 4 test images: unpacked files, keyed by name."""
    rng = np.random.default_rng(1)
    return {
        "train-images-idx3-ubyte": encode_idx(rng.integers(0, 256, (6, 28, 28))),
        "train-labels-idx1-ubyte": encode_idx(np.array([5, 0, 4, 1, 9, 2])),
        "t10k-images-idx3-ubyte": encode_idx(rng.integers(0, 256, (4, 28, 28))),
        "t10k-labels-idx1-ubyte": encode_idx(np.array([7, 2, 1, 0])),
    }


def gzip_files(files: dict[str, bytes]) -> dict[str, bytes]:
    """Compress each file, and return name.gz → bytes."""
    return {f"{name}.gz": gzip.compress(data) for name, data in files.items()}


def make_mnist_source(*mirrors: str) -> DataSource:
    """Make the catalogue's entry for the tiny MNIST on these mirrors."""
    downloads = [
        Download(
            f"{name}.gz",
            tuple(f"{mirror}{name}.gz" for mirror in mirrors),
            (DataFile(name, len(data), f"sha256:{hashlib.sha256(data).hexdigest()}"),),
            limit=len(data) + 1000,
        )
        for name, data in make_mnist_files().items()
    ]
    return DataSource("mnist", "a tiny MNIST", "mnist", tuple(downloads), 9_000, 20_000, "digits", fixed=True)


def make_cifar_arrays() -> dict[str, tuple[np.ndarray, list[int]]]:
    """Make a tiny CIFAR-10: 3 images in each batch, as rows, with their classes."""
    rng = np.random.default_rng(2)
    names = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
    return {name: (rng.integers(0, 256, (3, 3072), np.uint8), rng.integers(0, 10, 3).tolist()) for name in names}


def make_cifar_files() -> dict[str, bytes]:
    """Make the files of the tiny CIFAR-10, keyed by name."""
    return {
        name: pickle_like_python2({b"data": rows, b"labels": labels, b"batch_label": b"a batch"})
        for name, (rows, labels) in make_cifar_arrays().items()
    }


def build_tar(members: dict[str, bytes]) -> bytes:
    """Build a .tar.gz of plain files with these paths and contents."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path, data in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def make_cifar_source(url: str, archive: bytes, files: dict[str, bytes]) -> DataSource:
    """Make the catalogue's entry for the tiny CIFAR-10 in this archive."""
    gives = tuple(DataFile(name, None, f"md5:{hashlib.md5(d).hexdigest()}") for name, d in files.items())  # noqa: S324 - the published kind
    checksum = f"sha256:{hashlib.sha256(archive).hexdigest()}"
    download = Download("cifar.tar.gz", (f"{url}cifar.tar.gz",), gives, limit=len(archive), checksum=checksum)
    return DataSource(
        "cifar10", "a tiny CIFAR-10", "cifar-10-batches-py", (download,), 9_000, 20_000, None, fixed=False
    )


class _Python2Pickler(pickle._Pickler):
    """Writes what Python 2 and NumPy 1 wrote: byte strings as strings, `numpy.core`, protocol 2."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, data: bytes) -> None:
        """Write bytes as the string that Python 2 would have written."""
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(data)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Write a global's name as NumPy had it under Python 2."""
        module = "numpy.core.multiarray" if obj.__name__ == "_reconstruct" else obj.__module__
        self.write(pickle.GLOBAL + f"{module}\n{name or obj.__name__}\n".encode())
        self.memoize(obj)

    dispatch[bytes] = save_bytes
    dispatch[type(lambda: None)] = save_global
    dispatch[type(len)] = save_global
    dispatch[type] = save_global


def pickle_like_python2(value: Any) -> bytes:
    """Pickle a value as the official batches are pickled."""
    stream = io.BytesIO()
    _Python2Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def make_text_source(url: str, text: bytes) -> DataSource:
    """Make the catalogue's entry for a short text, which is sent uncompressed."""
    file = DataFile("plays.txt", len(text), f"sha256:{hashlib.sha256(text).hexdigest()}")
    download = Download("plays.txt", (f"{url}plays.txt",), (file,), limit=len(text))
    return DataSource(
        "shakespeare", "some plays", "text", (download,), 9_000, 20_000, "Python's own documentation", True
    )
