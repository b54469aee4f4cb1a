"""Layers that see: convolution, pooling and batch normalisation of images of shape (N, C, H, W).

Read it in this order: sizes, the naive convolution, im2col and its inverse, the fast convolution, pooling, flattening,
batch normalisation. Array functions take strides, paddings and kernel sizes as pairs (rows, columns). Layers also take
ints.
"""

# ruff: noqa: ARG001 - every backward function takes all that `Op` passes, even if it does not need all of it

from __future__ import annotations

import math
from functools import reduce

import numpy as np
from tinytorch.activations import Activation, check_backward, gate_gradient
from tinytorch.layers import Layer, accumulate_grad
from tinytorch.tensor import Op, Tensor, apply, as_floating, wrap

PER_CHANNEL = (0, 2, 3)  # the axes to reduce over: images, rows, columns


def output_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Return the number of positions of a kernel along an axis of `size` pixels, with `padding` pixels at each end.

    Raise ValueError, stating `kernel` and the padded size, if the kernel does not fit.

    >>> output_size(28, 3, 2, 1)
    14
    """
    # BEGIN SOLUTION 6.1
    if kernel > size + 2 * padding:
        raise ValueError(f"a kernel of size {kernel} does not fit in {size + 2 * padding} pixels, including padding")
    return (size + 2 * padding - kernel) // stride + 1
    # END SOLUTION


def output_sizes(image, kernel_size, stride, padding=(0, 0)) -> tuple[int, int]:
    """Return the `output_size` of rows and of columns for an `image` of shape (H, W)."""
    return tuple(map(output_size, image, kernel_size, stride, padding))


def pair(value) -> tuple[int, int]:
    """Return `value` as a pair (rows, columns); an int applies to both."""
    return (value, value) if isinstance(value, int) else tuple(value)


def as_rows(x):
    """Return (N, C, …) as a matrix (C, … · N): a row for each channel, with each pixel's N values side by side."""
    return np.moveaxis(x, 0, -1).reshape(x.shape[1], -1)


def as_images(rows, *sizes):
    """Turn a matrix made by `as_rows` back into images (N, C, *sizes): a view, so nothing moves in memory."""
    return np.moveaxis(rows.reshape(len(rows), *sizes, -1), -1, 0)


def pad(x, padding):
    """Return the images with zeros around them; `padding` is a pair: rows above and below, columns left and right."""
    rows, columns = padding
    return np.moveaxis(np.pad(np.moveaxis(x, 0, -1), ((0, 0), (rows, rows), (columns, columns), (0, 0))), -1, 0)


def check_images(x, channels=None) -> None:
    """Raise ValueError unless `x` has the axes (N, C, H, W), and C equals `channels` if a number is given."""
    if x.ndim != 4 or channels not in (None, x.shape[1]):
        raise ValueError(f"images have the shape (N, C, H, W){f' with C = {channels} here' if channels else ''}")


def conv2d_naive(x, weight, bias=None, *, stride=(1, 1), padding=(0, 0)):
    """Return the cross-correlation of images and kernels, computed one window after another.

    Shapes: (N, C, H, W), (out, C, kh, kw), (out,) → (N, out, out_h, out_w), all in one dtype. Each output is the sum of
    a window times a kernel, over all channels, plus the kernel's bias. Raise ValueError if the channels differ.
    """
    check_images(x, weight.shape[1])
    # BEGIN SOLUTION 6.2
    kh, kw = weight.shape[2:]
    output = np.empty((len(x), len(weight), *output_sizes(x.shape[2:], (kh, kw), stride, padding)), x.dtype)
    x = pad(x, padding)
    for image, channel, row, column in np.ndindex(output.shape):
        top, left = row * stride[0], column * stride[1]
        output[image, channel, row, column] = (x[image, :, top : top + kh, left : left + kw] * weight[channel]).sum()
    return output if bias is None else output + bias[:, None, None]
    # END SOLUTION


def taps(x, kernel_size, stride):
    """Yield, for each element of the kernel, the pixels it is multiplied by: views of `x`, (N, C, out_h, out_w)."""
    out_h, out_w = output_sizes(x.shape[2:], kernel_size, stride)
    for i, j in np.ndindex(kernel_size):
        yield x[:, :, i : i + stride[0] * out_h : stride[0], j : j + stride[1] * out_w : stride[1]]


def im2col(x, kernel_size, stride, padding):
    """Return every window as a column: (N, C, H, W) → (N, C · kh · kw, out_h · out_w), as PyTorch's `unfold` does.

    Windows follow each other row by row. A column has the first channel's pixels row by row, then the second's, etc.
    """
    check_images(x)
    # BEGIN SOLUTION 6.3
    windows = np.stack([pixels.transpose(1, 2, 3, 0) for pixels in taps(pad(x, padding), kernel_size, stride)], axis=1)
    channels, size, *out, n = windows.shape
    return np.moveaxis(windows.reshape(channels * size, math.prod(out), n), -1, 0)
    # END SOLUTION


def col2im(columns, shape, kernel_size, stride, padding):
    """Return images of `shape` in which every element of `columns` is added to the pixel it came from in `im2col`.

    Elements that came from the padding are dropped. This is the backward function of `im2col`: a pixel in several
    windows gets the sum.
    """
    # BEGIN SOLUTION 6.3
    n, channels, h, w = shape
    windows = columns.reshape(n, channels, math.prod(kernel_size), *output_sizes((h, w), kernel_size, stride, padding))
    padded = np.moveaxis(np.zeros((channels, h + 2 * padding[0], w + 2 * padding[1], n), columns.dtype), -1, 0)
    for k, pixels in enumerate(taps(padded, kernel_size, stride)):
        pixels += windows[:, :, k]
    return padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w]
    # END SOLUTION


def conv2d_forward(x, weight, bias=None, *, stride, padding):
    """Return what `conv2d_naive` does, computed as one matrix product: kernels are rows, windows are columns."""
    check_images(x, weight.shape[1])
    # BEGIN SOLUTION 6.4
    output = weight.reshape(len(weight), -1) @ as_rows(im2col(x, weight.shape[2:], stride, padding))
    if bias is not None:
        output += bias[:, None]
    return as_images(output, *output_sizes(x.shape[2:], weight.shape[2:], stride, padding))
    # END SOLUTION


def conv2d_backward(grad, output, x, weight, bias=None, *, stride, padding):
    """Return `(grad_x, grad_weight)`, and `grad_bias` if there is a bias; the last two are sums over all windows."""
    # BEGIN SOLUTION 6.4
    kernel_size, rows = weight.shape[2:], as_rows(grad)
    grad_weight = (rows @ as_rows(im2col(x, kernel_size, stride, padding)).T).reshape(weight.shape)
    columns = as_images(weight.reshape(len(weight), -1).T @ rows, *grad.shape[2:])
    grad_x = col2im(columns, x.shape, kernel_size, stride, padding)
    return (grad_x, grad_weight) if bias is None else (grad_x, grad_weight, rows.sum(axis=1))
    # END SOLUTION


conv2d = Op("conv2d", conv2d_forward, conv2d_backward)


class OpLayer(Layer):
    """A layer that runs one op, with `attributes`, on its input, its weight and, if it has one, its bias."""

    def __init__(self, op: Op, **attributes):
        self.op, self.attributes = op, attributes
        self.inputs = self.output = None

    def parameters(self) -> list[Tensor]:
        """Return [weight, bias], or [weight] when there is no bias."""
        return [self.weight] + ([] if self.bias is None else [self.bias])

    def forward(self, x: Tensor) -> Tensor:
        """Return the output, and remember what `backward` needs. Raise ValueError, with the shapes, for a wrong `x`."""
        # BEGIN SOLUTION 6.5
        self.inputs = (x, *self.parameters())
        self.output = apply(self.op, *self.inputs, **self.attributes)
        return self.output
        # END SOLUTION

    def backward(self, grad: Tensor) -> Tensor:
        """Add to the gradient of every parameter, and return the gradient with respect to the latest input."""
        check_backward(self, grad, self.output)
        # BEGIN SOLUTION 6.5
        arrays = [tensor.data.astype(self.output.dtype, copy=False) for tensor in self.inputs]
        grad_x, *grads = self.op.backward(grad.data, self.output.data, *arrays, **self.attributes)
        for parameter, its_grad in zip(self.inputs[1:], grads, strict=True):
            accumulate_grad(parameter, its_grad)
        return wrap(grad_x)
        # END SOLUTION


class Conv2d(OpLayer):
    """A layer that slides kernels over an image: (N, in_channels, H, W) → (N, out_channels, out_h, out_w).

    `weight`, float32 of (out_channels, in_channels, kh, kw), is drawn from `rng`: normal with mean 0 and variance
    2 / (in_channels · kh · kw) (He et al., 2015). `bias`, float32 of (out_channels,), is 0, or None with `bias=False`.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True, *, rng):
        super().__init__(conv2d, stride=pair(stride), padding=pair(padding))
        shape = (out_channels, in_channels, *pair(kernel_size))
        # BEGIN SOLUTION 6.5
        self.weight = Tensor(rng.normal(0, math.sqrt(2 / math.prod(shape[1:])), shape), dtype="float32")
        self.bias = Tensor(np.zeros(out_channels), dtype="float32") if bias else None
        # END SOLUTION


def max_pool2d_forward(x, *, kernel_size, stride):
    """Return the largest pixel of each window, channel by channel: (N, C, H, W) → (N, C, out_h, out_w)."""
    check_images(x)
    # BEGIN SOLUTION 6.6
    return reduce(np.maximum, taps(x, kernel_size, stride))
    # END SOLUTION


def max_pool2d_backward(grad, output, x, *, kernel_size, stride):
    """Return `(grad_x,)`: a window's gradient goes to its largest pixel (or NaN), or to the first of several."""
    # BEGIN SOLUTION 6.6
    grad_x = np.zeros_like(x, grad.dtype)
    unclaimed = np.ones_like(output, bool)
    for pixels, their_grad in zip(taps(x, kernel_size, stride), taps(grad_x, kernel_size, stride), strict=True):
        wins = unclaimed & ((pixels == output) | np.isnan(pixels))
        their_grad += gate_gradient(wins, grad)
        unclaimed &= ~wins
    return (grad_x,)
    # END SOLUTION


def avg_pool2d_forward(x, *, kernel_size, stride):
    """Return the mean of each window, channel by channel: (N, C, H, W) → (N, C, out_h, out_w)."""
    check_images(x)
    # BEGIN SOLUTION 6.6
    return sum(taps(as_floating(x), kernel_size, stride)) / math.prod(kernel_size)
    # END SOLUTION


def avg_pool2d_backward(grad, output, x, *, kernel_size, stride):
    """Return `(grad_x,)`: every pixel of a window gets an equal share of the window's gradient."""
    # BEGIN SOLUTION 6.6
    grad_x = np.zeros_like(x, grad.dtype)
    for their_grad in taps(grad_x, kernel_size, stride):
        their_grad += grad / math.prod(kernel_size)
    return (grad_x,)
    # END SOLUTION


max_pool2d = Op("max_pool2d", max_pool2d_forward, max_pool2d_backward)
avg_pool2d = Op("avg_pool2d", avg_pool2d_forward, avg_pool2d_backward)


class MaxPool2d(Activation):
    """The largest pixel of each window; without a `stride`, windows do not overlap."""

    def __init__(self, kernel_size, stride=None):
        super().__init__(max_pool2d, kernel_size=pair(kernel_size), stride=pair(stride or kernel_size))


class AvgPool2d(Activation):
    """The mean of each window; without a `stride`, windows do not overlap."""

    def __init__(self, kernel_size, stride=None):
        super().__init__(avg_pool2d, kernel_size=pair(kernel_size), stride=pair(stride or kernel_size))


def flatten_forward(x):
    """Return every example as one row: (N, C, H, W) → (N, C · H · W)."""
    # BEGIN SOLUTION 6.7
    return x.reshape(len(x), math.prod(x.shape[1:]))
    # END SOLUTION


def flatten_backward(grad, output, x):
    """Return `(grad_x,)`: the same numbers in the shape of `x`."""
    # BEGIN SOLUTION 6.7
    return (grad.reshape(x.shape),)
    # END SOLUTION


flatten = Op("flatten", flatten_forward, flatten_backward)


class Flatten(Activation):
    """A layer that turns images into rows, which `Dense` expects."""

    def __init__(self):
        super().__init__(flatten)


def normalise(x, eps, statistics):
    """Return `(x - mean) / std` and std = √(var + eps), shaped (C, 1, 1). For `statistics` see `batch_norm_forward`."""
    # BEGIN SOLUTION 6.8
    mean, var = (x.mean(axis=PER_CHANNEL), x.var(axis=PER_CHANNEL)) if statistics is None else statistics
    std = np.sqrt(var + eps)[:, None, None]
    return (x - mean[:, None, None]) / std, std
    # END SOLUTION


def batch_norm_forward(x, weight, bias, *, eps, statistics=None):
    """Return weight · (x - mean) / √(var + eps) + bias, channel by channel; weight and bias have the shape (C,).

    `statistics` is (mean, var), each (C,), or None for those of `x` itself, where the variance is the mean squared
    distance from the mean. Raise ValueError if it is None and a channel has fewer than two values.
    """
    check_images(x, len(weight))
    if statistics is None and x.size < 2 * len(weight):
        raise ValueError("a variance needs at least two values in each channel")
    # BEGIN SOLUTION 6.8
    normal, _ = normalise(x, eps, statistics)
    return weight[:, None, None] * normal + bias[:, None, None]
    # END SOLUTION


def batch_norm_backward(grad, output, x, weight, bias, *, eps, statistics=None):
    """Return `(grad_x, grad_weight, grad_bias)`. If `statistics` is None, mean and variance also depend on `x`."""
    # BEGIN SOLUTION 6.8
    normal, std = normalise(x, eps, statistics)
    grad_bias, grad_weight = grad.sum(axis=PER_CHANNEL), (grad * normal).sum(axis=PER_CHANNEL)
    if statistics is None:
        m = x.size // len(weight)
        grad = grad - (grad_bias / m)[:, None, None] - normal * (grad_weight / m)[:, None, None]
    return weight[:, None, None] / std * grad, grad_weight, grad_bias
    # END SOLUTION


batch_norm = Op("batch_norm", batch_norm_forward, batch_norm_backward)


class BatchNorm2d(OpLayer):
    """A layer that normalises every channel, then applies a learned scale and shift (Ioffe and Szegedy, 2015).

    While `training` is True, it uses batch statistics, and the running statistics move towards them by a fraction of
    `momentum` (the variance towards the unbiased one, divided by N·H·W - 1). While it is False, the running statistics
    are used and stay the same. They are float32 Tensors of shape (num_features,), as are weight and bias. Unlike these,
    they are buffers: no gradient changes them.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(batch_norm)
        self.eps, self.momentum, self.training = eps, momentum, True
        self.weight, self.running_var = (Tensor(np.ones(num_features), dtype="float32") for _ in range(2))
        self.bias, self.running_mean = (Tensor(np.zeros(num_features), dtype="float32") for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, scale and shift `x`; in training, move the running statistics. Raise ValueError for a wrong C."""
        # BEGIN SOLUTION 6.9
        fixed = None if self.training else (self.running_mean.data, self.running_var.data)
        self.attributes = {"eps": self.eps, "statistics": fixed}
        output = super().forward(x)
        if self.training:
            mean, var = x.data.mean(axis=PER_CHANNEL), x.data.var(axis=PER_CHANNEL, ddof=1)
            for running, new in ((self.running_mean, mean), (self.running_var, var)):
                running.data = ((1 - self.momentum) * running.data + self.momentum * new).astype("float32")
        return output
        # END SOLUTION

    def buffers(self) -> list[Tensor]:
        """Return a list of the running mean and the running variance: the tensors themselves, not copies."""
        # BEGIN SOLUTION 6.9
        return [self.running_mean, self.running_var]
        # END SOLUTION
