"""Kernels in NumPy alone: convolution tap by tap, normalisation and pooling as arrays."""

# ruff: noqa: ARG001, ARG002, D101, D102

from __future__ import annotations

import math
import time
from concurrent import futures
from contextlib import ExitStack, contextmanager

import numpy as np
from tinytorch.activations import Activation, ReLU
from tinytorch.autograd import backward_of
from tinytorch.layers import Layer, Sequential
from tinytorch.spatial import BatchNorm2d, Conv2d, MaxPool2d, OpLayer, check_images, max_pool2d, output_sizes
from tinytorch.tensor import Op, apply, set_recorder

CACHE = 1 << 19


class Profile:
    def __init__(self, clock=time.perf_counter):
        self.clock, self.total = clock, {}

    @property
    def seconds(self):
        return {name: sum(parts) for name, parts in self.total.items()}

    def __enter__(self):
        self.outer = set_recorder(self.record)
        self.mark = self.clock()
        return self

    def __exit__(self, *_):
        set_recorder(self.outer)

    def record(self, op, inputs, attributes, output):
        now = self.clock()
        self.total.setdefault(op.name, []).append(now - self.mark)
        if self.outer is not None:
            rule = backward_of(op)
            self.outer(Op(op.name, op.forward, rule and self.watch(op.name, rule)), inputs, attributes, output)
        self.mark = self.clock()

    def watch(self, name, rule):
        def backward(*arrays, **attributes):
            start = self.clock()
            try:
                return rule(*arrays, **attributes)
            finally:
                self.total.setdefault(f"{name} backward", []).append(self.clock() - start)

        return backward


class Workspace:
    def __init__(self):
        self.idle = []

    @contextmanager
    def borrow(self, shape, dtype):
        count = math.prod(shape)
        size = count * np.dtype(dtype).itemsize
        memory = self.idle.pop(0) if self.idle else None
        if memory is None or len(memory) < size:
            memory = np.zeros(size, np.int8)
        with ExitStack() as stack:
            stack.callback(lambda: self.idle.append(memory))
            yield np.ndarray(shape, dtype, memory)


def row_blocks(rows, row_bytes, smallest=1):
    size = smallest
    while (size + 1) * row_bytes <= CACHE and size < rows:
        size += 1
    return [slice(i * size, min(rows, (i + 1) * size)) for i in range(-(-rows // size))]


def run_blocks(function, blocks, threads=1):
    pool = futures.ThreadPoolExecutor(max_workers=threads)
    try:
        return [task.result() for task in [pool.submit(function, block) for block in blocks]]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def padded(image, padding):
    return np.pad(image, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))


def under(image, kernel, stride, sizes):
    """Yield (i, j, the pixels under tap (i, j)) of padded images (C, H, W, N)."""
    for i, j in np.ndindex(*kernel):
        rows = slice(i, i + (sizes[0] - 1) * stride[0] + 1, stride[0])
        yield i, j, image[:, rows, j : j + (sizes[1] - 1) * stride[1] + 1 : stride[1]]


def gather_loop(x, n, first, last, stride, padding, columns):
    image = padded(x.reshape(*x.shape[:2], -1, n), padding)[:, first * stride[0] :]
    sizes = (last - first, (image.shape[2] - columns.shape[2]) // stride[1] + 1)
    for i, j, pixels in under(image, columns.shape[1:3], stride, sizes):
        columns[:, i, j, : sizes[0] * sizes[1] * n] = pixels.reshape(len(pixels), -1)


def scatter_loop(columns, n, first, last, stride, padding, grad_x):
    image = padded(np.zeros_like(grad_x).reshape(*grad_x.shape[:2], -1, n), padding)
    sizes = (last - first, (image.shape[2] - columns.shape[2]) // stride[1] + 1)
    for i, j, pixels in under(image[:, first * stride[0] :], columns.shape[1:3], stride, sizes):
        pixels += columns[:, i, j, : sizes[0] * sizes[1] * n].reshape(pixels.shape)
    height, width = grad_x.shape[1], grad_x.shape[2] // n
    grad_x += image[:, padding[0] :, padding[1] :][:, :height, :width].reshape(grad_x.shape)


def blocked_conv2d_forward(x, weight, bias=None, *, stride, padding, threads=1, needs_input_grad=True):
    check_images(x, weight.shape[1])
    sizes = output_sizes(x.shape[2:], weight.shape[2:], stride, padding)
    output = np.zeros((len(weight), *sizes, len(x)), x.dtype)
    for i, j, pixels in under(padded(np.moveaxis(x, 0, -1), padding), weight.shape[2:], stride, sizes):
        output += np.tensordot(weight[:, :, i, j], pixels, 1)
    if bias is not None:
        output += bias[:, None, None, None]
    return output.transpose(3, 0, 1, 2)


def blocked_conv2d_backward(grad, output, x, weight, bias=None, *, stride, padding, threads=1, needs_input_grad=True):
    image, grads = padded(np.moveaxis(x, 0, -1), padding), np.moveaxis(grad, 0, -1)
    grad_image, grad_weight = np.zeros_like(image), np.empty_like(weight)
    for i, j, pixels in under(image, weight.shape[2:], stride, grad.shape[2:]):
        grad_weight[:, :, i, j] = np.tensordot(grads, pixels, ((1, 2, 3), (1, 2, 3)))
    if needs_input_grad:
        for i, j, pixels in under(grad_image, weight.shape[2:], stride, grad.shape[2:]):
            pixels += np.tensordot(weight[:, :, i, j].T, grads, 1)
    inner = grad_image[:, padding[0] :, padding[1] :][:, : x.shape[2], : x.shape[3]]
    rest = () if bias is None else (grad.sum(axis=(0, 2, 3)),)
    return np.moveaxis(inner, -1, 0) if needs_input_grad else None, grad_weight, *rest


blocked_conv2d = Op("conv2d", blocked_conv2d_forward, blocked_conv2d_backward)


def moments_loop(x, mean, var):
    mean[...] = np.mean(x, axis=1, dtype=np.float64)
    var[...] = np.mean((x - mean[:, None]) ** 2, axis=1)


def along(vector):
    return vector[:, None, None]


def batch_norm_relu_forward(x, weight, bias, *, mean, std, count):
    check_images(x, len(weight))
    normal = (x - along(mean)) / along(std)
    return np.maximum(along(weight) * normal + along(bias), 0).astype(x.dtype)


def batch_norm_relu_backward(grad, output, x, weight, bias, *, mean, std, count):
    kept = np.where(output > 0, grad, 0)
    normal = (x - along(mean)) / along(std)
    for_weight, for_bias = np.einsum("nchw,nchw->c", kept, normal), np.einsum("nchw->c", kept)
    grad_x = along(weight / std) * (kept - along(for_bias) / count - normal * along(for_weight) / count)
    return grad_x.astype(x.dtype), for_weight.astype(x.dtype), for_bias.astype(x.dtype)


batch_norm_relu = Op("batch_norm_relu", batch_norm_relu_forward, batch_norm_relu_backward)
compiled_max_pool2d = Op("max_pool2d", max_pool2d.forward, max_pool2d.backward)


class BlockedConv2d(Conv2d):
    def __init__(self, conv, threads=1):
        OpLayer.__init__(self, blocked_conv2d, **conv.attributes)
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x):
        self.inputs = (x, *self.parameters())
        self.output = apply(self.op, *self.inputs, **self.attributes, needs_input_grad=x.requires_grad)
        return self.output


class BatchNormReLU(OpLayer):
    def __init__(self, norm):
        super().__init__(batch_norm_relu)
        self.norm, self.weight, self.bias, self.training = norm, norm.weight, norm.bias, norm.training
        self.running_mean, self.running_var = norm.running_mean, norm.running_var

    def buffers(self):
        return self.norm.buffers()

    def forward(self, x):
        check_images(x.data, len(self.weight.data))
        values = x.data.astype(np.float64)
        size = x.size // x.shape[1]
        mean, var = self.running_mean.data.astype(float), self.running_var.data.astype(float)
        if self.training:
            if size < 2:
                raise ValueError("a variance needs two values")
            mean, var = values.mean(axis=(0, 2, 3)), values.var(axis=(0, 2, 3))
            share = self.norm.momentum
            for tensor, new in ((self.running_mean, mean), (self.running_var, var * size / (size - 1))):
                tensor.data = (tensor.data + share * (new - tensor.data)).astype(np.float32)
        count = size if self.training else math.inf
        self.attributes = {"mean": mean, "std": np.sqrt(var + self.norm.eps), "count": count}
        return super().forward(x)


class Nothing(Layer):
    def forward(self, x):
        return x

    def backward(self, grad):
        return grad


def optimise(network, threads=1):
    found = []
    for before, layer in zip([None, *network.layers], network.layers, strict=False):
        if type(layer) is Conv2d:
            found.append(BlockedConv2d(layer, threads))
        elif type(layer) is MaxPool2d:
            found.append(Activation(compiled_max_pool2d, **layer.attributes))
        elif type(layer) is ReLU and type(before) is BatchNorm2d:
            found[-1:] = [BatchNormReLU(before), Nothing()]
        else:
            found.append(optimise(layer, threads) if type(layer) is Sequential else layer)
    return Sequential(*found)
