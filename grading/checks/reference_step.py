"""Compute one training step of the grader's own network, with random shapes and values, in float64.

The network has three blocks of 3×3 convolution, batch normalisation, ReLU and 2×2 pooling, followed by a dense layer.
Its loss is the mean cross-entropy. Convolutions are sums over kernel positions, a method that the course does not
teach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CLASSES = 10
EPS = 1e-5
"""The ε of batch normalisation. The course uses the same value, and it is PyTorch's default."""


@dataclass(frozen=True)
class StepShape:
    """The sizes of one network and its batch."""

    batch: int
    side: int
    """The height and width of the images, which pooling halves three times."""
    channels: tuple[int, int, int]

    @property
    def dense_input_count(self) -> int:
        """The number of values that the dense layer takes for each image."""
        return self.channels[-1] * (self.side // 8) ** 2

    @property
    def product_sizes(self) -> list[list[int]]:
        """For each convolution, the number of kernels, of values in a window, and of windows in a batch."""
        into, sides = (3, *self.channels), (self.side, self.side // 2, self.side // 4)
        return [
            [out, into[i] * 9, self.batch * sides[i] ** 2] for i, out in enumerate(self.channels)
        ]  # padding keeps the size

    def __str__(self) -> str:
        width = "-".join(map(str, self.channels))
        return f"a {width} network on {self.batch} images of {self.side}×{self.side}"


def draw_step_shape(rng: np.random.Generator) -> StepShape:
    """Draw sizes close to those of a 16-32-64 network on 128 images of 32×32 pixels. Nobody knows them beforehand."""
    first = int(rng.integers(14, 20))
    channels = (first, 2 * first + int(rng.integers(-4, 5)), 4 * first + int(rng.integers(-8, 9)))
    side = 8 * int(rng.integers(3, 6))
    return StepShape(max(24, round(131_072 / side**2) + int(rng.integers(-12, 13))), side, channels)


@dataclass(frozen=True, eq=False)
class StepValues:
    """The inputs of a step: images, labels and weights."""

    images: np.ndarray
    """The images as float32 of shape (batch, 3, side, side)."""
    labels: np.ndarray
    """The labels as int64 of shape (batch,)."""
    weights: tuple[np.ndarray, ...]
    """The weights as float32, in layer order: one array per convolution, two per batch normalisation, two for Dense."""


def draw_step_values(shape: StepShape, rng: np.random.Generator) -> StepValues:
    """Draw a batch of random images and labels, and random weights for every layer of a network of this shape."""
    weights: list[np.ndarray] = []
    into = 3
    for out in shape.channels:
        weights += [
            rng.normal(0, np.sqrt(2 / (9 * into)), (out, into, 3, 3)),
            rng.uniform(0.5, 1.5, out),
            rng.normal(0, 0.3, out),
        ]
        into = out
    weights += [
        rng.normal(0, shape.dense_input_count**-0.5, (CLASSES, shape.dense_input_count)),
        rng.normal(0, 0.1, CLASSES),
    ]
    images = rng.normal(size=(shape.batch, 3, shape.side, shape.side))
    return StepValues(
        images.astype(np.float32),
        rng.integers(0, CLASSES, shape.batch),
        tuple(weight.astype(np.float32) for weight in weights),
    )


@dataclass(frozen=True, eq=False)
class StepAnswer:
    """The results of a step."""

    logits: np.ndarray
    gradients: tuple[np.ndarray, ...]
    """The gradients of the mean cross-entropy with respect to each of the weights."""


def compute_reference_logits_and_gradients(values: StepValues) -> StepAnswer:
    """Compute a training step's logits and gradients in float64, without updating any weights."""
    x = np.moveaxis(values.images.astype(np.float64), 0, -1)  # images last, so that a channel is contiguous
    weights = [weight.astype(np.float64) for weight in values.weights]
    kept = []
    for first in range(0, len(weights) - 2, 3):
        weight, scale, shift = weights[first : first + 3]
        normal = _convolve(x, weight)  # in place from here on, because the grader's memory is limited
        normal -= normal.mean(axis=(1, 2, 3), keepdims=True)
        count = normal[0].size
        std = np.sqrt(np.einsum("chwn,chwn->c", normal, normal) / count + EPS)[:, None, None, None]
        normal /= std
        positive = normal * scale[:, None, None, None]
        positive += shift[:, None, None, None]
        np.maximum(positive, 0, out=positive)
        pooled, winners = _max_pool(positive)
        kept.append((x, weight, scale, std, normal, positive > 0, winners))
        x = pooled
    del normal, positive
    flat = np.moveaxis(x, -1, 0).reshape(len(values.images), -1)
    logits = flat @ weights[-2].T + weights[-1]
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(shares)), values.labels] -= 1
    grad_logits = shares / len(shares)
    gradients = [grad_logits.T @ flat, grad_logits.sum(axis=0)]
    grad = np.moveaxis((grad_logits @ weights[-2]).reshape(len(flat), *x.shape[:3]), 0, -1)
    while kept:
        x, weight, scale, std, normal, is_open, winners = kept.pop()
        grad = _max_pool_backward(grad, winners)
        grad *= is_open
        of_scale, of_shift = np.einsum("chwn,chwn->c", grad, normal), grad.sum(axis=(1, 2, 3))
        count = normal[0].size
        normal *= of_scale[:, None, None, None]
        normal += of_shift[:, None, None, None]
        normal /= count
        grad -= normal
        grad *= scale[:, None, None, None] / std
        grad, of_weight = _convolve_backward(grad, x, weight)
        gradients = [of_weight, of_scale, of_shift, *gradients]
    return StepAnswer(logits, tuple(gradients))


def _iterate_kernel_positions(inputs: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield each position (i, j) in a 3×3 kernel with the (C, H, W, N) values it meets, zeros outside the image."""
    height, width = inputs.shape[1:3]
    padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for i, j in np.ndindex(3, 3):
        yield i, j, padded[:, i : i + height, j : j + width]


def _convolve(inputs: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Convolve (C, H, W, N) with (out, C, 3, 3), padded by 1."""
    output = np.zeros((len(weight), *inputs.shape[1:]))
    for i, j, part in _iterate_kernel_positions(inputs):
        output += np.tensordot(weight[:, :, i, j], part, 1)
    return output


def _convolve_backward(
    output_gradient: np.ndarray, inputs: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the convolution's gradients with respect to its input and its weight."""
    of_weight = np.empty_like(weight)
    for i, j, part in _iterate_kernel_positions(inputs):
        of_weight[:, :, i, j] = np.tensordot(output_gradient, part, axes=((1, 2, 3), (1, 2, 3)))
    mirrored = weight[:, :, ::-1, ::-1].swapaxes(0, 1)
    return _convolve(output_gradient, mirrored), of_weight


def _max_pool(inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest value in each 2×2 window of (C, H, W, N), and its position among the four."""
    c, h, w, n = inputs.shape
    windows = inputs.reshape(c, h // 2, 2, w // 2, 2, n).swapaxes(2, 3).reshape(c, h // 2, w // 2, 4, n)
    winners = windows.argmax(axis=3, keepdims=True).astype(np.int8)
    return windows.max(axis=3), winners


def _max_pool_backward(output_gradient: np.ndarray, winners: np.ndarray) -> np.ndarray:
    """Put each window's gradient at the position of its largest value, with zeros everywhere else."""
    c, h, w, _, n = winners.shape
    windows = output_gradient[:, :, :, None] * (winners == np.arange(4)[:, None])
    return windows.reshape(c, h, w, 2, 2, n).swapaxes(2, 3).reshape(c, 2 * h, 2 * w, n)


def compute_relative_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Divide the norm of the difference by the norm of the expected array."""
    return float(np.linalg.norm(got.astype(np.float64) - expected) / max(float(np.linalg.norm(expected)), 1e-30))
