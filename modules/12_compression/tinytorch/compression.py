"""Smaller networks: pruned weights, removed channels, eight-bit numbers, and a small network with a teacher.

Read it in this order: size, pruning weights, removing channels, quantisation, exact products, int8, distillation.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import numpy as np
from tinytorch.autograd import no_grad
from tinytorch.dense import CrossEntropyLoss, log_softmax
from tinytorch.layers import Dense, Layer, Sequential
from tinytorch.optimizers import check_range
from tinytorch.spatial import BatchNorm2d, Conv2d, as_images, as_rows, check_images, im2col, output_sizes, pad
from tinytorch.tensor import Op, Tensor, apply
from tinytorch.training import Trainer

LARGEST = 127  # quantised numbers go from -127 to 127; -128 has no positive counterpart and is left out
EXACT = 2**24 // LARGEST**2  # a float32 sum of this many of their products is exact: 1040


def measure_size(network) -> dict[str, int | float]:
    """Return {"parameters": …, "bytes": …, "sparsity": …} for anything with `parameters()` and `buffers()`.

    "parameters" is how many numbers training may change, and "sparsity" is the fraction that are 0 (0.0 if there
    are none). "bytes" is the size of all parameters and buffers. A tensor that is used twice counts once.

    >>> measure_size(Dense(3, 2, rng=np.random.default_rng(0)))
    {'parameters': 8, 'bytes': 32, 'sparsity': 0.0}
    """
    # BEGIN SOLUTION 12.1
    parameters = list(dict.fromkeys(network.parameters()))
    count = sum(parameter.size for parameter in parameters)
    zeros = sum(int(np.count_nonzero(parameter.data == 0)) for parameter in parameters)
    size = sum(tensor.data.nbytes for tensor in dict.fromkeys([*parameters, *network.buffers()]))
    return {"parameters": count, "bytes": size, "sparsity": zeros / count if count else 0.0}
    # END SOLUTION


def list_weights(network) -> list[Tensor]:
    """Return the parameters worth pruning: matrices and kernels, not biases or the scales of a normalisation."""
    return [parameter for parameter in network.parameters() if parameter.ndim > 1]


def magnitude_mask(weight: np.ndarray, sparsity: float) -> np.ndarray:
    """Return bools of the array's shape: False for its round(sparsity · size) smallest magnitudes, True for the others.

    Among equal magnitudes, the first one in row order is dropped first: [3, -1, 1, 2], 0.25 → [True, False, True,
    True]. Raise ValueError unless 0 ≤ sparsity ≤ 1.
    """
    check_range("sparsity", sparsity, 0, 1)
    # BEGIN SOLUTION 12.2
    mask = np.ones(weight.size, bool)
    mask[np.argsort(np.abs(weight), axis=None, kind="stable")[: round(sparsity * weight.size)]] = False
    return mask.reshape(weight.shape)
    # END SOLUTION


def global_masks(weights: Sequence[np.ndarray], sparsity: float) -> list[np.ndarray]:
    """Return a mask for each array, as if all of them were one long array: some arrays may lose more than others."""
    # BEGIN SOLUTION 12.2
    together = magnitude_mask(np.concatenate([weight.ravel() for weight in weights]), sparsity)
    parts = np.split(together, np.cumsum([weight.size for weight in weights])[:-1])
    return [part.reshape(weight.shape) for part, weight in zip(parts, weights, strict=True)]
    # END SOLUTION


def apply_masks(weights: Iterable[Tensor], masks: Iterable[np.ndarray]) -> None:
    """Set every weight to 0 where its mask is False, even if it is inf or nan, whose product with 0 would be nan.

    The tensors stay the same objects, since the optimiser and the network share them.
    """
    # BEGIN SOLUTION 12.3
    for weight, mask in zip(weights, masks, strict=True):
        weight.data[~mask] = 0
    # END SOLUTION


def cubic_sparsity(step: int, begin: int, end: int, final: float) -> float:
    """Return the sparsity after `step` steps: 0 up to `begin`, and `final` from `end` on, even if begin = end.

    Between them, at a fraction t of the way, it is final · (1 - (1 - t)³): fast, then slow (Zhu and Gupta, 2017).
    """
    # BEGIN SOLUTION 12.3
    if step >= end:
        return final
    share = max(step - begin, 0) / (end - begin) if end > begin else 0.0
    return final * (1 - (1 - share) ** 3)
    # END SOLUTION


class PruningTrainer(Trainer):
    """A Trainer that prunes: after step s, a fraction cubic_sparsity(s, begin, end, final) of `weights` is 0.

    A weight that was 0 before a step is 0 after it. The zeros themselves are the mask, so a checkpoint holds
    everything.
    """

    def __init__(self, *parts, weights: Iterable[Tensor], begin: int, end: int, final: float, **options):
        super().__init__(*parts, **options)
        self.weights, self.schedule = list(weights), (begin, end, final)

    def train_step(self, inputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Take a Trainer's step, restore the previous zeros, and prune all weights together up to the schedule."""
        # BEGIN SOLUTION 12.3
        kept = [weight.data != 0 for weight in self.weights]
        figures = super().train_step(inputs, targets)
        apply_masks(self.weights, kept)
        sparsity = cubic_sparsity(self.step, *self.schedule)
        apply_masks(self.weights, global_masks([w.data for w in self.weights], sparsity))
        return figures
        # END SOLUTION


def with_arrays(layer, **arrays):
    """Return a copy of the layer in which the named tensors are replaced by new ones with these arrays, in float32."""
    changed = copy.copy(layer)
    vars(changed).update({name: Tensor(array, dtype="float32") for name, array in arrays.items()})
    return changed


def remove_channels(network: Sequential, place: int, keep: Sequence[int]) -> Sequential:
    """Return a smaller network, in which layer number `place`, a Conv2d or Dense, has only the outputs in `keep`.

    It computes what `network` would compute if the next Conv2d or Dense received 0 in the other channels. The layers in
    between (normalisation, activation, pooling, Flatten) treat each channel separately. `network` stays as it is, and
    the two networks share the unchanged layers. Raise ValueError if the layer is not a Conv2d or Dense, if none
    follows, or if `keep` is empty, has duplicates, or lists a channel that does not exist.
    """
    layers, first = list(network.layers), network.layers[place]
    if not isinstance(first, Conv2d | Dense):
        raise ValueError(f"layer {place} must be a Conv2d or Dense, but is a {type(first).__name__}")
    channels, keep = len(first.weight), list(keep)
    if not keep or len(set(keep)) < len(keep) or not set(keep) <= set(range(channels)):
        raise ValueError(f"keep must list distinct channels from 0 to {channels - 1}, at least one; got {keep}")
    # BEGIN SOLUTION 12.4
    for i, layer in enumerate(layers[place:], start=place):
        if i > place and isinstance(layer, Conv2d | Dense):
            weight = layer.weight.data.reshape(len(layer.weight), channels, -1)[:, keep]
            kernel = layer.weight.shape[2:]  # for a Dense it is (), and each channel has one column per pixel
            layers[i] = with_arrays(layer, weight=weight.reshape(len(weight), -1, *kernel))
            return Sequential(*layers)
        if i == place or isinstance(layer, BatchNorm2d):
            tensors = {name: getattr(layer, name, None) for name in ("weight", "bias", "running_mean", "running_var")}
            layers[i] = with_arrays(layer, **{name: t.data[keep] for name, t in tensors.items() if t is not None})
    raise ValueError(f"after layer {place}, no Conv2d or Dense reads its channels")
    # END SOLUTION


def spread(per_channel, x):
    """Return a number unchanged, or an array (C,) reshaped to (C, 1, …), which broadcasts along x's first axis."""
    return np.reshape(per_channel, (-1,) + (1,) * (x.ndim - 1)) if np.ndim(per_channel) else per_channel


def quantize(x, scale, zero_point=0):
    """Return round(x / scale) + zero_point as int8, clipped to ±127; halves round to the even neighbour.

    `scale` and `zero_point` are numbers, or arrays (C,) with one value for each entry of x's first axis.
    [-0.5, 0.5, 1.5, 400.0] with scale 1 → [0, 0, 2, 127].
    """
    # BEGIN SOLUTION 12.5
    steps = np.rint(x / spread(scale, x)) + spread(zero_point, x)
    return np.clip(steps, -LARGEST, LARGEST).astype(np.int8)
    # END SOLUTION


def dequantize(q, scale, zero_point=0):
    """Return (q - zero_point) · scale in float32; the arguments are those of `quantize`."""
    # BEGIN SOLUTION 12.5
    steps = q.astype(np.float32) - spread(zero_point, q)  # in int8 it would wrap around
    return (steps * spread(scale, q)).astype(np.float32)
    # END SOLUTION


def choose_scale(low: float, high: float) -> tuple[float, int]:
    """Return (scale, zero_point) such that 255 levels cover `low` to `high`, and 0.0 is exactly one of them.

    The range is widened to include 0. Then scale = (high - low) / 254, and zero_point is -127 - low / scale, rounded.
    (-1, 1) → (1/127, 0); (0, 254) → (1, -127). If the range is narrower than 1e-30, the scale is 1. Raise ValueError if
    an end is not finite.
    """
    if not np.isfinite([low, high]).all():
        raise ValueError(f"a range must have finite ends, but goes from {low} to {high}")
    # BEGIN SOLUTION 12.6
    low, width = min(float(low), 0.0), max(float(high), 0.0) - min(float(low), 0.0)
    scale = width / (2 * LARGEST) if width > 1e-30 else 1.0
    return scale, round(-LARGEST - low / scale)
    # END SOLUTION


def quantize_weight(weight) -> tuple[np.ndarray, np.ndarray]:
    """Return (int8 weight, scales (out,)): each output has its own scale, and its largest magnitude becomes ±127.

    The zero point is 0. Raise ValueError if a weight is nan or infinite.
    """
    # BEGIN SOLUTION 12.6
    tops = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    scales = np.array([choose_scale(-top, top)[0] for top in tops], np.float32)
    return quantize(weight, scales), scales
    # END SOLUTION


def integer_matmul(a, b):
    """Return the exact product of int8 matrices, (…, n, k) by (k, m) → (…, n, m), as int64; `a` may be one row, (k,).

    float32, which BLAS multiplies fast, holds every integer up to 2²⁴, so a float32 product is exact while k is at most
    EXACT. Raise ValueError if a matrix is not int8 from -127 to 127, or if the inner sizes differ.
    """
    if any(x.dtype != np.int8 or x.min(initial=0) < -LARGEST for x in (a, b)) or a.shape[-1] != len(b):
        raise ValueError("an integer product needs int8 values from -127 to 127 and equal inner sizes")
    # BEGIN SOLUTION 12.7
    total = np.zeros((*a.shape[:-1], b.shape[1]), np.int64)
    for start in range(0, len(b), EXACT):
        left, right = a[..., start : start + EXACT], b[start : start + EXACT]
        total += (left.astype(np.float32) @ right.astype(np.float32)).astype(np.int64)
    return total
    # END SOLUTION


def rescale(product, weight, weight_scale, bias, scale, zero_point):
    """Return a product (…, out) of quantised inputs and `weight`, int8 (out, k), as real numbers in float32, plus bias.

    The inputs are scale · (q - zero_point), so zero_point times the sum of each row of `weight` is subtracted before
    scaling. A convolution passes its kernels as rows, (out, C · kh · kw), and the product transposed, (pixels, out).
    """
    # BEGIN SOLUTION 12.8
    exact = product - int(zero_point) * weight.sum(axis=1)  # which NumPy sums in int64
    return exact.astype(np.float32) * (scale * weight_scale) + bias
    # END SOLUTION


def linear_int8_forward(x, *, weight, weight_scale, bias, scale, zero_point):
    """Return what `linear` computes for x quantised with (scale, zero_point) and weight · weight_scale, plus bias.

    Shapes: (…, n_in), int8 (n_out, n_in), (n_out,), (n_out,) → float32 (…, n_out). Raise ValueError if n_in differs.
    """
    if x.shape[-1:] != weight.shape[1:]:
        raise ValueError(f"a weight of shape {weight.shape} needs inputs whose last size is {weight.shape[1]}")
    # BEGIN SOLUTION 12.8
    product = integer_matmul(quantize(x, scale, zero_point), weight.T)
    return rescale(product, weight, weight_scale, bias, scale, zero_point)
    # END SOLUTION


def conv2d_int8_forward(x, *, weight, weight_scale, bias, scale, zero_point, stride, padding):
    """Return what `conv2d` computes for x quantised with (scale, zero_point) and weight · weight_scale, plus bias.

    Shapes: (N, C, H, W), int8 (out, C, kh, kw), (out,), (out,) → float32 (N, out, out_h, out_w). Raise ValueError
    if C differs.
    """
    check_images(x, weight.shape[1])
    # BEGIN SOLUTION 12.8
    q = quantize(pad(x, padding), scale, zero_point)  # the padding's 0.0 becomes zero_point, like every 0.0
    rows, columns = weight.reshape(len(weight), -1), as_rows(im2col(q, weight.shape[2:], stride, (0, 0)))
    product = integer_matmul(rows, columns).T
    output = rescale(product, rows, weight_scale, bias, scale, zero_point)
    return as_images(output.T, *output_sizes(x.shape[2:], weight.shape[2:], stride, padding))
    # END SOLUTION


linear_int8 = Op("linear_int8", linear_int8_forward)
conv2d_int8 = Op("conv2d_int8", conv2d_int8_forward)


class QuantizedLayer(Layer):
    """An int8 Dense or Conv2d, for inputs from `low` to `high`. It is never trained, so it has no parameters."""

    def __init__(self, layer: Dense | Conv2d, low: float, high: float):
        # BEGIN SOLUTION 12.9
        self.op, self.attributes = (conv2d_int8, layer.attributes) if isinstance(layer, Conv2d) else (linear_int8, {})
        self.weight, self.weight_scale = map(Tensor, quantize_weight(layer.weight.data))
        self.bias = Tensor(np.zeros(len(layer.weight)) if layer.bias is None else layer.bias.data, dtype="float32")
        scale, zero_point = choose_scale(low, high)
        self.scale, self.zero_point = Tensor(scale), Tensor(zero_point, dtype="int8")
        # END SOLUTION

    def buffers(self) -> list[Tensor]:
        """Return [weight, weight_scale, bias, scale, zero_point]: int8, float32, float32, float32, int8."""
        return [self.weight, self.weight_scale, self.bias, self.scale, self.zero_point]

    def forward(self, x: Tensor) -> Tensor:
        """Return the op's output in float32, computed from the current contents of the buffers."""
        # BEGIN SOLUTION 12.9
        held = {name: getattr(self, name).data for name in ("weight", "weight_scale", "bias", "scale", "zero_point")}
        return apply(self.op, x, **held, **self.attributes)
        # END SOLUTION


def fold_batch_norm(conv: Conv2d, norm: BatchNorm2d) -> Conv2d:
    """Return one convolution with a bias that computes what `conv` and then `norm` compute in evaluation mode."""
    # BEGIN SOLUTION 12.10
    factor = norm.weight.data / np.sqrt(norm.running_var.data + norm.eps)
    bias = 0 if conv.bias is None else conv.bias.data
    bias = norm.bias.data + (bias - norm.running_mean.data) * factor
    return with_arrays(conv, weight=conv.weight.data * spread(factor, conv.weight), bias=bias)
    # END SOLUTION


def list_layers(network) -> list:
    """Return copies, in evaluation mode, of the layers inside a Sequential and inside any Sequential within it."""
    if isinstance(network, Sequential):
        return [layer for inner in network.layers for layer in list_layers(inner)]
    layer = copy.copy(network)
    if hasattr(layer, "training"):
        layer.training = False
    return [layer]


def quantize_network(network: Sequential, images: Tensor) -> Sequential:
    """Return the int8 version of `network`, for prediction; `network` stays as it is.

    A BatchNorm2d immediately after a Conv2d is folded into it. Then `images`, a few hundred that resemble later inputs,
    go through the float layers, and each Conv2d and Dense becomes a QuantizedLayer for the range of its inputs. All
    other layers stay as they are, in evaluation mode.
    """
    # BEGIN SOLUTION 12.10
    folded: list = []
    for layer in list_layers(network):
        if isinstance(layer, BatchNorm2d) and folded and isinstance(folded[-1], Conv2d):
            folded[-1] = fold_batch_norm(folded[-1], layer)
        else:
            folded.append(layer)
    quantized = []
    with no_grad():
        for layer in folded:
            fits = isinstance(layer, Conv2d | Dense)
            quantized.append(QuantizedLayer(layer, images.data.min(), images.data.max()) if fits else layer)
            images = layer(images)
    return Sequential(*quantized)
    # END SOLUTION


def distillation_loss(
    logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float = 4.0, alpha: float = 0.9
) -> Tensor:
    """Return alpha · T² · KL(teacher, student) + (1 - alpha) · cross-entropy, a scalar (Hinton et al., 2015).

    p and q are the softmaxes of teacher_logits / T and logits / T, both (n, k), and KL is the mean over rows of Σ p ·
    log(p / q). The teacher gets no gradient. Raise ValueError unless T ≥ 0.001 and 0 ≤ alpha ≤ 1.
    """
    check_range("temperature", temperature, 1e-3)
    check_range("alpha", alpha, 0, 1)
    # BEGIN SOLUTION 12.11
    log_p = log_softmax(teacher_logits.data / temperature)
    soft = logits / temperature
    soft = soft - soft.data.max(axis=1, keepdims=True)
    log_q = soft - soft.exp().sum(axis=1, keepdims=True).log()
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
    return alpha * temperature**2 * divergence + (1 - alpha) * CrossEntropyLoss()(logits, targets)
    # END SOLUTION
