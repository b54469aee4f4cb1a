"""Data on time: datasets, shuffled batches, augmentation, a thread that works ahead, and the MNIST and CIFAR-10 files.

Read it in this order: datasets, the order of an epoch, `DataLoader`, transforms, `prefetch`, the two file formats.
"""

from __future__ import annotations

import gzip
import io
import math
import pickle
import queue
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from tinytorch.spatial import check_images
from tinytorch.tensor import DEFAULT_FLOAT, Tensor, wrap


class Dataset:
    """A number of examples: `dataset[i]` is a pair (input, target). Subclasses define `__len__` and `__getitem__`."""

    def fetch(self, indices, rng=None):  # noqa: ARG002 - for datasets that draw at random
        """Return arrays (n, …) of the inputs and targets at n `indices`, fetched one by one (slow, but general)."""
        # BEGIN SOLUTION 8.1
        inputs, targets = zip(*(self[int(i)] for i in indices), strict=True)
        return np.stack(inputs), np.stack(targets)
        # END SOLUTION


class ListDataset(list, Dataset):
    """The simplest dataset, a list of pairs (input, target): a list already has both methods."""


class ArrayDataset(Dataset):
    """Examples in two arrays, `inputs` (n, …) and `targets` (n, …), with a transform for batches of inputs, or None.

    Raise ValueError, with both lengths, unless there are as many targets as inputs.
    """

    def __init__(self, inputs, targets, transform: Callable | None = None):
        self.inputs, self.targets, self.transform = np.asarray(inputs), np.asarray(targets), transform
        if len(self.inputs) != len(self.targets):
            raise ValueError(f"{len(self.inputs)} inputs and {len(self.targets)} targets: each input needs a target")

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        """Return the pair (inputs, targets) at `index`, an int, slice or index array, as stored and not transformed."""
        # BEGIN SOLUTION 8.1
        return self.inputs[index], self.targets[index]
        # END SOLUTION

    def fetch(self, indices, rng=None):
        """Return the batch as copies, with one indexing operation and one call to `transform(inputs, rng)`, if any."""
        # BEGIN SOLUTION 8.1
        inputs, targets = self[np.asarray(indices)]
        return (inputs if self.transform is None else self.transform(inputs, rng)), targets
        # END SOLUTION


def batch_indices(n: int, batch_size: int, rng=None, drop_last=False) -> list[np.ndarray]:
    """Return which of `n` examples form each batch of one epoch: a list of integer arrays.

    Every example is in exactly one batch, in random order if there is an `rng`, and otherwise in the given order:
    batch_indices(5, 2) → [0 1], [2 3], [4]. The last batch may be smaller; `drop_last` leaves such a batch out.
    """
    # BEGIN SOLUTION 8.2
    order = np.arange(n) if rng is None else rng.permutation(n)
    end = n - n % batch_size if drop_last else n
    return [order[start : min(start + batch_size, end)] for start in range(0, end, batch_size)]
    # END SOLUTION


def as_batch(inputs: np.ndarray, targets: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return inputs and targets as tensors, integer targets as int64, copying only what must be converted."""
    return wrap(inputs), wrap(targets.astype(np.int64, copy=False) if targets.dtype.kind in "iu" else targets)


class DataLoader:
    """A loader that yields a dataset's batches, epoch by epoch: `for inputs, targets in loader`, both Tensors.

    `shuffle` needs `rng`, as do random transforms. A thread prepares up to `prefetch` batches ahead. Raise ValueError
    for a `batch_size` below 1, a `prefetch` below 0, or `shuffle` without `rng`.
    """

    def __init__(self, dataset, batch_size, shuffle=False, *, rng=None, drop_last=False, prefetch=0):
        # BEGIN SOLUTION 8.3
        if batch_size < 1 or prefetch < 0 or (shuffle and rng is None):
            given = f"batch_size={batch_size}, prefetch={prefetch}, shuffle={shuffle}, rng={rng}"
            raise ValueError(f"batch_size must be at least 1, prefetch at least 0, and shuffle needs rng; got {given}")
        self.dataset, self.batch_size, self.shuffle, self.rng = dataset, batch_size, shuffle, rng
        self.drop_last, self.prefetch = drop_last, prefetch
        # END SOLUTION

    def __len__(self):
        # BEGIN SOLUTION 8.3
        return (len(self.dataset) + (0 if self.drop_last else self.batch_size - 1)) // self.batch_size
        # END SOLUTION

    def epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Return a generator of one epoch's batches, which fetches each as tensors (`as_batch`) when it is asked for.

        This call draws everything that it needs from `self.rng`: the order, and the seed of a generator for transforms.
        So it does not matter how far an epoch is read or in which thread. A state of `self.rng` that was saved
        between two epochs leads to the same epochs again.
        """
        # BEGIN SOLUTION 8.3
        parts = batch_indices(len(self.dataset), self.batch_size, self.rng if self.shuffle else None, self.drop_last)
        rng = None if self.rng is None else np.random.default_rng(self.rng.integers(2**63))
        return (as_batch(*self.dataset.fetch(part, rng)) for part in parts)
        # END SOLUTION

    def __iter__(self):
        batches = self.epoch()
        return prefetch(batches, self.prefetch) if self.prefetch else batches


def check_random(images, rng) -> None:
    """Raise ValueError unless `images` has the axes (N, C, H, W) and `rng` is not None."""
    check_images(images)
    if rng is None:
        raise ValueError("a random transform needs a generator: give the DataLoader an rng")


class RandomHorizontalFlip:
    """A transform that mirrors each image from left to right, independently of the others, with probability `p`."""

    def __init__(self, p: float = 0.5):
        self.p = p

    def __call__(self, images: np.ndarray, rng) -> np.ndarray:
        """Return images (N, C, H, W) of the same shape and dtype; the given images are left unchanged."""
        check_random(images, rng)
        # BEGIN SOLUTION 8.4
        chosen = rng.random(len(images)) < self.p
        flipped = images.copy()
        flipped[chosen] = images[chosen, ..., ::-1]
        return flipped
        # END SOLUTION


class RandomCrop:
    """A transform that puts each image into a frame of `padding` zeros, and cuts out a window of its size at random."""

    def __init__(self, padding: int):
        self.padding = padding

    def __call__(self, images: np.ndarray, rng) -> np.ndarray:
        """Return images (N, C, H, W) of the same shape and dtype; the given images are left unchanged.

        All (2 · padding + 1)² windows of a padded image are equally likely; its channels move together.
        """
        check_random(images, rng)
        # BEGIN SOLUTION 8.5
        p, (h, w) = self.padding, images.shape[2:]
        padded = np.pad(images, ((0, 0), (0, 0), (p, p), (p, p)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (h, w), axis=(2, 3))
        top, left = rng.integers(2 * p + 1, size=(2, len(images)))
        return windows[np.arange(len(images)), :, top, left]
        # END SOLUTION


class Normalize:
    """A transform that computes (x - mean) / std in each channel, after dividing uint8 pixels by 255."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        self.mean, self.std = (np.array(values, np.float64)[:, None, None] for values in (mean, std))

    def __call__(self, images, rng=None) -> np.ndarray:  # noqa: ARG002 - for transforms that draw at random
        """Return images (N, C, H, W) as float32 unless they are floating-point: 51 with mean 0.1, std 0.5 → 0.2.

        Raise ValueError unless there are as many channels as means.
        """
        check_images(images, len(self.mean))
        # BEGIN SOLUTION 8.6
        dtype = images.dtype if images.dtype.kind == "f" else DEFAULT_FLOAT
        scale = 1 / (255 * self.std if images.dtype == np.uint8 else self.std)
        pixels = np.multiply(images, scale, dtype=dtype)
        pixels -= (self.mean / self.std).astype(dtype)  # in place: new memory costs more than the arithmetic
        return pixels
        # END SOLUTION


class Compose:
    """A transform that runs other transforms one after another; all draw from the same generator."""

    def __init__(self, transforms: Iterable[Callable]):
        self.transforms = list(transforms)

    def __call__(self, images, rng=None):
        """Return the images after all transforms, in order; without transforms, return `images`."""
        # BEGIN SOLUTION 8.6
        for transform in self.transforms:
            images = transform(images, rng)
        return images
        # END SOLUTION


def prefetch(items: Iterable, depth: int) -> Iterator:
    """Yield what `items` yields, prepared ahead by a thread: at most `depth` items are waiting or being made.

    This is a generator. An error raised while an item is made is raised again here, after the items before it. The
    thread ends when the items run out or one raises an error. If the generator is closed or dropped before that, the
    thread ends after the item it is making.
    """
    # BEGIN SOLUTION 8.7
    permits, ready, stopped = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
    for _ in range(depth):
        permits.put(None)

    def make_items():
        try:
            iterator = iter(items)
            while permits.get() is None and not stopped.is_set():
                ready.put((next(iterator), None))
        except BaseException as error:  # StopIteration as well: every end is reported, so that nothing waits forever
            ready.put((None, error))

    thread = threading.Thread(target=make_items, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            permits.put(None)
            yield item
    finally:
        stopped.set()
        permits.put(None)
        if thread is not threading.current_thread():  # the garbage collector may run this in that very thread
            thread.join()
    # END SOLUTION


def read(path, parse: Callable):
    """Apply `parse` to a file's bytes, decompressed if they are gzipped; its ValueError also names the file."""
    data = Path(path).read_bytes()
    try:
        return parse(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from error


IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def parse_idx(data: bytes) -> np.ndarray:
    """Return the array in an IDX file's bytes, in this machine's byte order and writable.

    The header has two zero bytes, a type (a key of IDX_TYPES), the number of axes, and the size of each axis, as a
    big-endian uint32. Big-endian elements follow. 00 00 08 01 · 00 00 00 02 · 05 09 → [5 9]. Raise ValueError for a
    different beginning, an unknown type, or more or fewer bytes than the sizes promise (stating both numbers).
    """
    # BEGIN SOLUTION 8.8
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_TYPES:
        raise ValueError(f"not an IDX file: it begins with [{data[:4].hex(' ')}], not with 00 00 and a known type")
    dtype, ndim = np.dtype(IDX_TYPES[data[2]]), data[3]
    start = 4 + 4 * ndim
    if len(data) < start:
        raise ValueError(f"{ndim} axes need a header of {start} bytes, but the file has {len(data)}")
    shape = struct.unpack_from(f">{ndim}I", data, 4)
    expected = start + math.prod(shape) * dtype.itemsize
    if len(data) != expected:
        raise ValueError(f"{dtype.name} of shape {shape} needs {expected} bytes, but the file has {len(data)}")
    return np.ndarray(shape, dtype, data, offset=start).astype(dtype.newbyteorder("="))
    # END SOLUTION


def read_idx(path) -> np.ndarray:
    """Return the array of an IDX file, gzipped or not. Raise ValueError, naming the file and the problem."""
    return read(path, parse_idx)


def byte_type(code, *_) -> np.dtype:
    """Stand in for `numpy.dtype`: a batch only needs uint8. Raise ValueError for any other dtype."""
    if code not in ("u1", b"u1"):
        raise ValueError(f"it holds elements of type {code!r}, not unsigned bytes")
    return np.dtype(np.uint8)


# The stand-ins for NumPy's names. `_reconstruct` makes the array that a pickle then fills with its shape and its bytes.
ADMITTED = {f"numpy.{core}.multiarray._reconstruct": lambda *_: np.empty(0, np.uint8) for core in ("core", "_core")}
ADMITTED |= {"numpy.ndarray": np.ndarray, "numpy.dtype": byte_type}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler for plain values and arrays of bytes, which does not import anything."""

    def find_class(self, module: str, name: str):
        """Return the stand-in for `module.name` in ADMITTED. Raise UnpicklingError, with both names, for any other."""
        # BEGIN SOLUTION 8.9
        if f"{module}.{name}" not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")
        return ADMITTED[f"{module}.{name}"]
        # END SOLUTION


def parse_cifar_batch(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 (n, 3, 32, 32), and classes, int64 (n,), of an official CIFAR-10 batch's bytes.

    The bytes are a pickled dict, whose strings are read with encoding="bytes". Its b"data" is uint8 (n, 3072), where
    each row has the red, green and blue plane of 32×32 pixels. Its b"labels" is a list of n ints from 0 to 9. Raise
    ValueError for anything else, and for any error in the unpickler.
    """
    # BEGIN SOLUTION 8.9
    try:
        batch = ArrayUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # unpickling arbitrary bytes can fail in any way
        raise ValueError(f"not a CIFAR-10 batch: {error}") from error
    images, labels = (batch.get(key) if type(batch) is dict else None for key in (b"data", b"labels"))
    if type(labels) is not list or not all(type(label) is int and 0 <= label <= 9 for label in labels):
        raise ValueError("not a CIFAR-10 batch: its b'labels' is not a list of classes from 0 to 9")
    if type(images) is not np.ndarray or images.shape != (len(labels), 3 * 32 * 32):
        raise ValueError(f"not a CIFAR-10 batch: its b'data' is not an array of shape ({len(labels)}, 3072)")
    return images.reshape(-1, 3, 32, 32), np.array(labels, np.int64)
    # END SOLUTION


def read_cifar_batch(path) -> tuple[np.ndarray, np.ndarray]:
    """Return `(images, labels)` of a CIFAR-10 batch file. Raise ValueError, naming the file and the problem."""
    return read(path, parse_cifar_batch)
