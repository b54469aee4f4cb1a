"""Limit the memory of the grader itself, as a safety net in addition to the budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

LARGE = 32 << 20
"""The size, in bytes, of an array larger than any that a correct answer to a test needs."""


@contextmanager
def limit_memory(extra_bytes: int) -> Iterator[None]:
    """On Linux, limit this process to ``extra_bytes`` beyond its current memory while the block runs.

    Beyond the limit, Python raises MemoryError. The limit applies to the address space. On other systems nothing is
    limited. A worker sets its own limit.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        yield
        return
    import resource  # not on Windows, which `explain_unsupported_platform` reports

    before = soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + extra_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(limit, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def get_shape_too_large_for_memory(error: MemoryError) -> tuple[int, ...] | None:
    """Find the shape of an array that was too large to create. Return None if memory ran out for another reason."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)  # NumPy's own subclass has them
    if type(shape) is not tuple or not isinstance(dtype, np.dtype) or math.prod(shape) * dtype.itemsize < LARGE:
        return None
    return shape
