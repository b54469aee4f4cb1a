"""A limit on what the grader itself may take: its budgets come first, and this is the belt."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

LARGE = 32 << 20
"""Bytes of an array that no right answer makes a test need."""


@contextmanager
def limit_memory(more: int) -> Iterator[None]:
    """In the block this process may take so many bytes more than it has; MemoryError is raised for what goes beyond.

    Counted is its address space, on Linux; elsewhere there is no limit. A worker sets a limit of its own.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        yield
        return
    import resource  # not on Windows, where `explain_platform` is to say so

    before = soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def find_too_large_shape(error: MemoryError) -> tuple[int, ...] | None:
    """The shape of the array that could not be made, if that alone is why; None where memory was short anyhow."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)  # NumPy's own subclass has them
    if type(shape) is not tuple or not isinstance(dtype, np.dtype) or math.prod(shape) * dtype.itemsize < LARGE:
        return None
    return shape
