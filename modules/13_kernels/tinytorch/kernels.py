"""Kernels: faster versions of what modules 03 and 06 compute.

Read it in this order: a profile, scratch memory, blocks, threads, convolution, batch normalisation, pooling, networks.
"""

# ruff: noqa: ARG001 - every backward takes all the arguments that `Op` passes, even if it does not need them

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import numpy as np
from numba import njit
from tinytorch.activations import ReLU
from tinytorch.autograd import backward_of
from tinytorch.layers import Sequential
from tinytorch.spatial import BatchNorm2d, Conv2d, MaxPool2d, OpLayer, check_images, max_pool2d, output_sizes
from tinytorch.tensor import Op, Tensor, apply, set_recorder

CACHE = 1 << 19  # the bytes of scratch memory that stay in the cache: half of a common second-level cache
SPARE = 16  # numbers after each row of columns: rows a power of two apart would share a few lines of the cache


class Profile:
    """A recorder that adds up each op's run time in `seconds`, keyed by name: "conv2d", or "conv2d backward".

    An op's time is the time since the previous op, minus the time that the outer recorder, such as a tape, took.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock, self.seconds = clock, {}

    def __enter__(self) -> Profile:
        self.outer, self.last = set_recorder(self.record), self.clock()
        return self

    def __exit__(self, *_):
        set_recorder(self.outer)

    def record(self, op: Op, inputs: tuple, attributes: dict, output: Tensor) -> None:
        """Add the time of an op that has just run; pass the outer recorder an op whose backward adds its own time."""
        # BEGIN SOLUTION 13.1
        self.seconds[op.name] = self.seconds.get(op.name, 0.0) + self.clock() - self.last
        rule, name = backward_of(op), f"{op.name} backward"

        def backward(*arguments, **attributes):
            start = self.clock()
            gradients = rule(*arguments, **attributes)
            self.seconds[name] = self.seconds.get(name, 0.0) + self.clock() - start
            return gradients

        if self.outer is not None:
            self.outer(Op(op.name, op.forward, rule and backward), inputs, attributes, output)
        self.last = self.clock()
        # END SOLUTION


class Workspace:
    """Reusable memory for intermediate results. `idle` holds the buffers, plain bytes, that are not on loan."""

    def __init__(self):
        self.idle: list[np.ndarray] = []

    @contextmanager
    def borrow(self, shape: Sequence[int], dtype) -> Iterator[np.ndarray]:
        """Lend an array of arbitrary content, which nobody else gets until the block ends, even if an error ends it."""
        size = np.dtype(dtype).itemsize * math.prod(shape)
        # BEGIN SOLUTION 13.2
        buffer = np.empty(0, np.uint8)
        with suppress(IndexError):
            buffer = self.idle.pop()  # atomic, so no two threads get the same buffer
        buffer = buffer if buffer.size >= size else np.empty(size, np.uint8)
        try:
            yield buffer[:size].view(dtype).reshape(shape)
        finally:
            self.idle.append(buffer)
        # END SOLUTION


workspace = Workspace()


def row_blocks(rows: int, row_bytes: int, smallest: int = 1) -> list[slice]:
    """Return slices of as many rows as CACHE holds, but at least `smallest`; the last has the rest: 0:2, 2:4, 4:5."""
    # BEGIN SOLUTION 13.3
    size = max(smallest, CACHE // max(row_bytes, 1))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
    # END SOLUTION


def run_blocks(function: Callable, blocks: Sequence, threads: int = 1) -> list:
    """Return [function(block) for block in blocks], computed by `threads` threads, or raise the first block's error."""
    # BEGIN SOLUTION 13.4
    if threads == 1:
        return [function(block) for block in blocks]
    shares = [blocks[i * len(blocks) // threads : (i + 1) * len(blocks) // threads] for i in range(threads)]
    with ThreadPoolExecutor(threads) as pool:  # starts a thread for each call of `submit`: threads - 1
        others = [pool.submit(run_blocks, function, share) for share in shares[1:]]
        return sum((other.result() for other in others), start=run_blocks(function, shares[0]))
    # END SOLUTION


compiled = njit(nogil=True, fastmath={"reassoc"})  # sums in any order, for vector instructions; NaN and ∞ are kept


def runs(x):
    """Return images as read-only (C, H, W, N), no copy if memory has this layout; `np.moveaxis(…, -1, 0)` undoes it."""
    array = np.moveaxis(x, 0, -1)
    if not array.flags.c_contiguous:
        array = np.empty(array.shape, x.dtype)
        for first in range(0, len(x), 16):  # 16 images, for which a pixel's numbers fill one cache line
            array[..., first : first + 16] = np.moveaxis(x[first : first + 16], 0, -1)
    array = array.view()
    array.setflags(write=False)  # like a tape's arrays, since Numba compiles each kind of array separately
    return array


@compiled
def inside(place, stride, padding, size, count):
    """Return (first, end) of the `count` output positions that have a pixel under position `place` of the kernel."""
    start = min(count, max(0, -((place - padding) // stride)))
    return start, min(count, max(start, (size - 1 + padding - place) // stride + 1))


@compiled
def gather_loop(x, n, first, last, stride, padding, columns):
    """Copy windows of output rows first to last - 1 of x (C, H, W · n) to columns (C, kh, kw, ≥ rows · out_w · n)."""
    # BEGIN SOLUTION 13.5
    out_w = (x.shape[2] // n + 2 * padding[1] - columns.shape[2]) // stride[1] + 1
    for c, i, j, r in np.ndindex((*columns.shape[:3], last - first)):
        y, to = (first + r) * stride[0] + i - padding[0], columns[c, i, j, r * out_w * n : (r + 1) * out_w * n]
        start, end = inside(j, stride[1], padding[1], x.shape[2] // n, out_w) if 0 <= y < x.shape[1] else (0, 0)
        start, end = start * n, end * n
        to[:start].fill(0)
        to[end:].fill(0)
        size = end - start if stride[1] == 1 else n  # adjacent pixels are copied in one long run
        for at in range(start, end, max(1, size)):
            run, pixels = to[at : at + size], x[c, y, at * stride[1] + (j - padding[1]) * n :]
            for k in range(run.size):
                run[k] = pixels[k]
    # END SOLUTION


@compiled
def scatter_loop(columns, n, first, last, stride, padding, grad_x):
    """Add every element of `columns` to the pixel of `grad_x` from which `gather_loop` reads it."""
    # BEGIN SOLUTION 13.5
    out_w = (grad_x.shape[2] // n + 2 * padding[1] - columns.shape[2]) // stride[1] + 1
    for c, i, j, r in np.ndindex((*columns.shape[:3], last - first)):
        y, part = (first + r) * stride[0] + i - padding[0], columns[c, i, j, r * out_w * n :]
        start, end = inside(j, stride[1], padding[1], grad_x.shape[2] // n, out_w)
        start, end = start * n, end * n
        size = end - start if stride[1] == 1 else n
        for at in range(start, end if 0 <= y < grad_x.shape[1] else start, max(1, size)):
            run, pixels = part[at : at + size], grad_x[c, y, at * stride[1] + (j - padding[1]) * n :]
            for k in range(run.size):
                pixels[k] += run[k]
    # END SOLUTION


def blocked_conv2d_forward(x, weight, bias=None, *, stride, padding, threads=1, needs_input_grad=True):
    """Return what module 06's conv2d returns, or raise what it raises, with the columns of only one block at a time."""
    check_images(x, weight.shape[1])
    sizes = output_sizes(x.shape[2:], weight.shape[2:], stride, padding)
    # BEGIN SOLUTION 13.6
    image, matrix = runs(x).reshape(*x.shape[1:3], -1), weight.reshape(len(weight), -1)
    output = np.empty((len(weight), sizes[0], sizes[1] * len(x)), x.dtype)

    def compute(rows):
        part = output[:, rows].reshape(len(weight), -1)  # still a view: the product is written where it belongs
        with workspace.borrow((*weight.shape[1:], part.shape[1] + SPARE), x.dtype) as columns:
            gather_loop(image, max(len(x), 1), rows.start, rows.stop, stride, padding, columns)
            np.matmul(matrix, columns.reshape(matrix.shape[1], -1)[:, :-SPARE], out=part)
            if bias is not None:
                part += bias[:, None]

    run_blocks(compute, row_blocks(sizes[0], weight[0].nbytes * output.shape[2]), threads)
    return np.moveaxis(output.reshape(len(weight), *sizes, -1), -1, 0)
    # END SOLUTION


def blocked_conv2d_backward(grad, output, x, weight, bias=None, *, stride, padding, threads=1, needs_input_grad=True):
    """Return `(grad_x, grad_weight)` and, with a bias, `grad_bias`; grad_x is None unless `needs_input_grad`."""
    # BEGIN SOLUTION 13.7
    image, matrix = runs(x).reshape(*x.shape[1:3], -1), weight.reshape(len(weight), -1)
    grads = runs(grad).reshape(*grad.shape[1:3], -1)
    grad_x = np.zeros(image.shape, x.dtype) if needs_input_grad else None

    def compute(rows):
        part = grads[:, rows].reshape(len(weight), -1)
        with workspace.borrow((*weight.shape[1:], part.shape[1] + SPARE), x.dtype) as columns:
            gather_loop(image, max(len(x), 1), rows.start, rows.stop, stride, padding, columns)
            flat = columns.reshape(matrix.shape[1], -1)[:, :-SPARE]
            share = flat @ part.T  # BLAS is up to a tenth faster with the longer matrix first
            if needs_input_grad:
                np.matmul(matrix.T, part, out=flat)  # the gradient of the columns, in the same scratch memory
                scatter_loop(columns, max(len(x), 1), rows.start, rows.stop, stride, padding, grad_x)
        return share

    # If blocks have at least kh / stride rows, only neighbours add to the same pixels, and never at the same time.
    blocks = row_blocks(grad.shape[2], weight[0].nbytes * grads.shape[2], math.ceil(weight.shape[2] / stride[0]))
    shares = run_blocks(compute, blocks[::2], threads) + run_blocks(compute, blocks[1::2], threads)
    grad_x = np.moveaxis(grad_x.reshape(*x.shape[1:], -1), -1, 0) if needs_input_grad else None
    return grad_x, sum(shares).T.reshape(weight.shape), *([] if bias is None else [grads.sum(axis=(1, 2))])
    # END SOLUTION


@compiled
def moments_loop(x, mean, var):
    """Write the mean and variance of each row of x into `mean` and `var`, with sums in float64."""
    # BEGIN SOLUTION 13.8
    for c in range(len(x)):
        row, total, squares = x[c], 0.0, 0.0
        for i in range(row.size):
            total += row[i]
        mean[c] = total / row.size
        center = x.dtype.type(mean[c])
        for i in range(row.size):
            distance = row[i] - center
            squares += distance * distance
        var[c] = squares / row.size
    # END SOLUTION


@compiled
def norm_relu_loop(x, mean, scale, bias, output):
    """Write the larger of 0 and scale · (x - mean) + bias into `output`, row by row; NaN stays NaN."""
    # BEGIN SOLUTION 13.8
    for c in range(len(x)):
        row, out, zero = x[c], output[c], x.dtype.type(0)
        m, s, b = x.dtype.type(mean[c]), x.dtype.type(scale[c]), x.dtype.type(bias[c])
        for i in range(row.size):
            y = s * (row[i] - m) + b
            out[i] = zero if y < zero else y
    # END SOLUTION


@compiled
def norm_relu_backward_loop(grad, x, mean, std, weight, bias, count, grad_x, grad_weight, grad_bias):
    """Write the three gradients, row by row; `grad` counts as 0 where ReLU's input, recomputed, is not above 0."""
    # BEGIN SOLUTION 13.9
    for c in range(len(x)):
        m, s, b, zero = x.dtype.type(mean[c]), x.dtype.type(weight[c] / std[c]), x.dtype.type(bias[c]), x.dtype.type(0)
        sum_normal, sum_grad = 0.0, 0.0
        for start in range(0, x.shape[1], 1024):  # 1,024 numbers are added in x.dtype, and their sums in float64
            row, g, part_normal, part_grad = x[c, start : start + 1024], grad[c, start:], zero, zero
            for i in range(row.size):
                share, distance = g[i], row[i] - m  # a load behind a condition keeps the loop from using vectors
                share = share if s * distance + b > zero else zero
                part_grad += share
                part_normal += share * distance
            sum_grad += part_grad
            sum_normal += part_normal / std[c]
        grad_weight[c], grad_bias[c] = sum_normal, sum_grad
        row, g, to = x[c], grad[c], grad_x[c]
        k, a = x.dtype.type(sum_grad / count), x.dtype.type(sum_normal / count / std[c])
        for i in range(row.size):
            share, distance = g[i], row[i] - m
            share = share if s * distance + b > zero else zero
            to[i] = s * (share - k - distance * a)
    # END SOLUTION


def batch_norm_relu_forward(x, weight, bias, *, mean, std, count):
    """Return ReLU(weight · (x - mean) / std + bias), channel by channel; mean and std are float64 of shape (C,).

    `count`, for backward, is the number of values of x behind mean and std, or `math.inf` if they do not depend on x.
    """
    check_images(x, len(weight))
    # BEGIN SOLUTION 13.8
    output = np.empty(runs(x).shape, x.dtype)
    norm_relu_loop(runs(x).reshape(len(weight), -1), mean, weight / std, 1.0 * bias, output.reshape(len(weight), -1))
    return np.moveaxis(output, -1, 0)
    # END SOLUTION


def batch_norm_relu_backward(grad, output, x, weight, bias, *, mean, std, count):
    """Return `(grad_x, grad_weight, grad_bias)` of the batch normalisation and the ReLU after it."""
    # BEGIN SOLUTION 13.9
    grad_x, (grad_weight, grad_bias) = np.empty(runs(x).shape, x.dtype), np.empty((2, len(weight)), x.dtype)
    *rows, to = (images.reshape(len(weight), -1) for images in (runs(grad), runs(x), grad_x))
    norm_relu_backward_loop(*rows, mean, std, 1.0 * weight, 1.0 * bias, count, to, grad_weight, grad_bias)
    return np.moveaxis(grad_x, -1, 0), grad_weight, grad_bias
    # END SOLUTION


@compiled
def max_pool_backward_loop(grad, output, x, kh, kw, sh, sw, grad_x):
    """Add each window's gradient to its first pixel that is the largest, or is NaN; arrays are (C, H, W, N)."""
    # BEGIN SOLUTION 13.10
    left, zero = np.empty(x.shape[3], grad.dtype), grad.dtype.type(0)
    for c, r, q in np.ndindex(output.shape[:3]):
        top, g = output[c, r, q], grad[c, r, q]
        for n in range(left.size):
            left[n] = g[n]  # the part that no pixel has claimed yet
        for i, j in np.ndindex(kh, kw):
            pixels, to = x[c, r * sh + i, q * sw + j], grad_x[c, r * sh + i, q * sw + j]
            for n in range(left.size):
                share, wins = left[n], pixels[n] == top[n] or pixels[n] != pixels[n]
                to[n] += share if wins else zero
                left[n] = zero if wins else share
    # END SOLUTION


def compiled_max_pool2d_backward(grad, output, x, *, kernel_size, stride):
    """Return `(grad_x,)`, like the backward of module 06's max_pool2d."""
    # BEGIN SOLUTION 13.10
    grad_x = np.zeros(runs(x).shape, grad.dtype)
    max_pool_backward_loop(runs(grad), runs(output), runs(x), *kernel_size, *stride, grad_x)
    return (np.moveaxis(grad_x, -1, 0),)
    # END SOLUTION


blocked_conv2d = Op("conv2d", blocked_conv2d_forward, blocked_conv2d_backward)
batch_norm_relu = Op("batch_norm_relu", batch_norm_relu_forward, batch_norm_relu_backward)
compiled_max_pool2d = Op("max_pool2d", max_pool2d.forward, compiled_max_pool2d_backward)


class BlockedConv2d(OpLayer):
    """A `Conv2d` with the same parameters that uses blocked_conv2d."""

    def __init__(self, conv: Conv2d, threads: int = 1):
        super().__init__(blocked_conv2d, **conv.attributes, threads=threads)
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the output, and remember what `backward` needs. `apply` gets x.requires_grad as needs_input_grad."""
        # BEGIN SOLUTION 13.11
        self.inputs = (x, *self.parameters())
        self.output = apply(self.op, *self.inputs, needs_input_grad=x.requires_grad, **self.attributes)
        return self.output
        # END SOLUTION


class BatchNormReLU(BatchNorm2d):
    """A `BatchNorm2d` and the ReLU after it, with the same parameters and buffers."""

    def __init__(self, norm: BatchNorm2d):
        super().__init__(len(norm.weight), norm.eps, norm.momentum)
        self.op, self.weight, self.bias, self.training = batch_norm_relu, norm.weight, norm.bias, norm.training
        self.running_mean, self.running_var = norm.buffers()

    def forward(self, x: Tensor) -> Tensor:
        """Return the output. In training mode the batch statistics, computed once, update the running ones."""
        if self.training and x.size < 2 * len(self.weight):
            raise ValueError("a variance needs at least two values in each channel")
        # BEGIN SOLUTION 13.11
        count, (mean, var) = math.inf, (np.array(tensor.data, np.float64) for tensor in self.buffers())
        if self.training:
            count = x.size / len(mean)
            moments_loop(runs(x.data).reshape(len(mean), -1), mean, var)
        self.attributes = {"mean": mean, "std": np.sqrt(var + self.eps), "count": count}
        output = OpLayer.forward(self, x)  # before the running statistics change: it may reject x
        for tensor, new in zip(self.buffers(), (mean, var * count / (count - 1)), strict=True) if self.training else ():
            tensor.data = ((1 - self.momentum) * tensor.data + self.momentum * new).astype("float32")
        return output
        # END SOLUTION


def optimise(network: Sequential, threads: int = 1) -> Sequential:
    """Return a network that shares all parameters and buffers with `network` and computes the same values faster.

    Convolutions, max pools, and batch normalisations followed by a ReLU are replaced, at any depth. Every layer keeps
    its position, so a checkpoint fits both networks; an empty `Sequential()` replaces each such ReLU.
    """
    # BEGIN SOLUTION 13.12
    layers = list(network.layers)
    for i, layer in enumerate(layers):
        if type(layer) is Sequential:
            layers[i] = optimise(layer, threads)
        elif type(layer) is Conv2d:
            layers[i] = BlockedConv2d(layer, threads)
        elif type(layer) is MaxPool2d:
            layers[i] = copy.copy(layer)
            layers[i].op = compiled_max_pool2d
        elif type(layer) is BatchNorm2d and [type(after) for after in layers[i + 1 : i + 2]] == [ReLU]:
            layers[i : i + 2] = BatchNormReLU(layer), Sequential()
    return Sequential(*layers)
    # END SOLUTION
