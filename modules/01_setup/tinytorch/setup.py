"""Measure before you build: the machine, the size of an array, a stopwatch, and a loop compared with NumPy."""

from __future__ import annotations

import math
import os
import platform
import time

import numpy as np


def system_info() -> dict[str, str | int]:
    """Return a description of this machine as plain values. No measurement means anything without one.

    Keys: `python` and `numpy`, their versions as strings; `machine`, the processor family ("x86_64", "arm64");
    `processors`, how many there are, as an int (1 if the system does not report it); `blas`, the name of the library
    that NumPy multiplies matrices with ("unknown" if NumPy does not report it).
    """
    # BEGIN SOLUTION 1.1
    built_with = np.show_config(mode="dicts").get("Build Dependencies", {})
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "processors": os.cpu_count() or 1,
        "blas": built_with.get("blas", {}).get("name", "unknown"),
    }
    # END SOLUTION


def array_bytes(shape: tuple[int, ...], dtype="float32") -> int:
    """Return how many bytes the elements of an array of this shape and dtype take, without creating the array.

    Raise ValueError, stating the shape, when a size is negative.

    >>> array_bytes((1000, 1000))
    4000000
    >>> array_bytes((), "float64")
    8
    """
    # BEGIN SOLUTION 1.2
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {shape} has a negative size")
    return math.prod(shape) * np.dtype(dtype).itemsize
    # END SOLUTION


def dot_loop(a, b) -> float:
    """Return the dot product a[0]*b[0] + a[1]*b[1] + … of two vectors as a Python float, computed in a Python loop.

    Raise ValueError, stating both lengths, when they differ.

    >>> dot_loop([1, 2, 3], [10, 20, 30])
    140.0
    """
    # BEGIN SOLUTION 1.3
    if len(a) != len(b):
        raise ValueError(f"a dot product needs vectors of equal length, but these have {len(a)} and {len(b)} elements")
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += float(x) * float(y)
    return total
    # END SOLUTION


def benchmark(function, *arguments, repeats: int = 5) -> float:
    """Return the shortest of `repeats` times, in seconds, of `function(*arguments)`, after one call that is not timed.

    The first call pays for cold caches and lazy imports. The shortest time counts because everything that disturbs a
    measurement makes it longer. Raise ValueError, before any call, when `repeats` is below 1.
    """
    # BEGIN SOLUTION 1.4
    if repeats < 1:
        raise ValueError(f"a benchmark needs at least one repeat, not {repeats}")
    function(*arguments)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
    # END SOLUTION


def dot_vectorised(a, b) -> float:
    """Return the same number as `dot_loop`, computed by NumPy. Raise the same ValueError when the lengths differ.

    >>> dot_vectorised([1, 2, 3], [10, 20, 30])
    140.0
    """
    # BEGIN SOLUTION 1.5
    if len(a) != len(b):
        raise ValueError(f"a dot product needs vectors of equal length, but these have {len(a)} and {len(b)} elements")
    return float(np.dot(a, b))
    # END SOLUTION


def compare_dots(size: int, rng: np.random.Generator) -> dict[str, float]:
    """Return `loop_seconds` and `vectorised_seconds` for two random float64 vectors of `size`, and their `speedup`.

    They are the times of `dot_loop` and `dot_vectorised` by `benchmark`. The speedup is their ratio, the loop's first.
    """
    # BEGIN SOLUTION 1.5
    a, b = rng.standard_normal(size), rng.standard_normal(size)
    loop_seconds = benchmark(dot_loop, a, b)
    vectorised_seconds = benchmark(dot_vectorised, a, b)
    return {
        "loop_seconds": loop_seconds,
        "vectorised_seconds": vectorised_seconds,
        "speedup": loop_seconds / vectorised_seconds,
    }
    # END SOLUTION
