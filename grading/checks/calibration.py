"""What a training step costs at least on this machine: its matrix products and a few passes over its activations.

Run as a process of its own with one thread: `python calibration.py JSON`, where JSON lists, for each convolution, the
kernels, the numbers in a window, and the windows of a batch. For each line on its input it takes one step and prints
the CPU time in nanoseconds. Nothing of a student's runs here.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

PASSES = 6
"""Over each activation: batch normalisation, ReLU and pooling, forward and backward, do about as many."""


def make_arrays(sizes: list[list[int]]) -> list[tuple[np.ndarray, ...]]:
    """For each convolution its matrix of kernels, its columns, room for their gradient, and its output twice."""
    rng, layers = np.random.default_rng(0), []
    for kernels, window, count in sizes:
        weight, columns = (rng.standard_normal(shape, np.float32) for shape in ((kernels, window), (window, count)))
        layers.append((weight, columns, np.empty_like(columns), *np.zeros((2, kernels, count), np.float32)))
    return layers


def take_step(layers: list[tuple[np.ndarray, ...]]) -> None:
    """The three products of each convolution, forward and backward, and PASSES over its output."""
    for weight, columns, gradient, output, other in layers:
        np.matmul(weight, columns, out=output)
        np.matmul(output, columns.T)
        np.matmul(weight.T, output, out=gradient)
        for _ in range(PASSES // 2):
            np.maximum(output, 0, out=other)
            np.multiply(other, np.float32(0.5), out=output)


if __name__ == "__main__":
    arrays = make_arrays(json.loads(sys.argv[1]))
    take_step(arrays)  # the first touches memory for the first time
    for _ in sys.stdin:
        before = time.process_time_ns()
        take_step(arrays)
        print(time.process_time_ns() - before, flush=True)
