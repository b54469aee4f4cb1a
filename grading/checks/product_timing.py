"""Time the minimum work of a training step on this machine: its matrix products and a few passes over activations.

The grader runs this file as a separate process with one thread: `python product_timing.py JSON`. For each convolution,
JSON lists the number of kernels, the number of values in a window, and the number of windows in a batch. For each line
of input, the process takes one step and prints its CPU time in nanoseconds. No student code runs here.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

PASSES = 6
"""The number of passes over each activation, about as many as batch normalisation, ReLU and pooling make, forward and
backward.
"""


def allocate_step_arrays(conv_sizes: list[list[int]]) -> list[tuple[np.ndarray, ...]]:
    """For each convolution, draw random kernels and columns, and allocate a gradient and two output buffers."""
    rng, layers = np.random.default_rng(0), []
    for kernels, window, count in conv_sizes:
        weight, columns = (rng.standard_normal(shape, np.float32) for shape in ((kernels, window), (window, count)))
        layers.append((weight, columns, np.empty_like(columns), *np.zeros((2, kernels, count), np.float32)))
    return layers


def run_step_products(step_arrays: list[tuple[np.ndarray, ...]]) -> None:
    """Compute each convolution's forward and backward products and make PASSES over its output, in these buffers."""
    for weight, columns, gradient, output, other in step_arrays:
        np.matmul(weight, columns, out=output)
        np.matmul(output, columns.T)
        np.matmul(weight.T, output, out=gradient)
        for _ in range(PASSES // 2):
            np.maximum(output, 0, out=other)
            np.multiply(other, np.float32(0.5), out=output)


if __name__ == "__main__":
    arrays = allocate_step_arrays(json.loads(sys.argv[1]))
    run_step_products(arrays)  # this first step only touches the memory
    for _ in sys.stdin:
        before = time.process_time_ns()
        run_step_products(arrays)
        print(time.process_time_ns() - before, flush=True)
