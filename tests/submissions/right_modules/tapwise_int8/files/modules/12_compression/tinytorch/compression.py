"""Module 12 in another way: stored masks, float64 products, taps instead of im2col, an op for distillation."""

import math

import numpy as np
from tinytorch.autograd import no_grad
from tinytorch.dense import CrossEntropyLoss, Dropout
from tinytorch.layers import Dense, Layer, Sequential
from tinytorch.spatial import BatchNorm2d, Conv2d
from tinytorch.tensor import Op, Tensor, apply
from tinytorch.training import Trainer


def measure_size(network):
    """Walk over what it holds once; two sets of identities know what was seen."""
    seen, count, zeros, size = set(), 0, 0, 0
    for tensors, learned in ((network.parameters(), True), (network.buffers(), False)):
        for tensor in tensors:
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            size += tensor.size * tensor.dtype.itemsize
            if learned:
                count += tensor.size
                zeros += tensor.size - int(np.count_nonzero(tensor.data))
    return {"parameters": count, "bytes": size, "sparsity": float(zeros / count) if count else 0.0}


def list_weights(network):
    """Two axes or more."""
    return [p for p in network.parameters() if len(p.shape) >= 2]


def magnitude_mask(weight, sparsity):
    """Rank by (magnitude, position) with a lexicographic sort."""
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity must be from 0 to 1: {sparsity}")
    flat = np.abs(np.ravel(weight))
    order = np.lexsort((np.arange(flat.size), flat))
    rank = np.empty(flat.size, int)
    rank[order] = np.arange(flat.size)
    return (rank >= round(sparsity * flat.size)).reshape(np.shape(weight))


def global_masks(weights, sparsity):
    """A mask for all, cut by running offsets."""
    mask = magnitude_mask(np.hstack([np.ravel(w) for w in weights]), sparsity)
    masks, start = [], 0
    for weight in weights:
        masks.append(mask[start : start + weight.size].reshape(weight.shape))
        start += weight.size
    return masks


def apply_masks(weights, masks):
    """A new array for each tensor."""
    for weight, mask in zip(weights, masks, strict=True):
        kept = np.zeros_like(weight.data)
        np.copyto(kept, weight.data, where=mask)
        weight.data = kept


def cubic_sparsity(step, begin, end, final):
    """The cubic, with its two ends apart."""
    if step >= end:
        return float(final)
    if step <= begin:
        return 0.0
    return final - final * ((end - step) / (end - begin)) ** 3


class PruningTrainer(Trainer):
    """Keeps its masks, and begins with those that the weights' zeros make."""

    def __init__(self, *parts, weights, begin, end, final, **options):
        super().__init__(*parts, **options)
        self.weights, self.begin, self.end, self.final = tuple(weights), begin, end, final
        self.masks = [weight.data != 0 for weight in self.weights]

    def train_step(self, inputs, targets):
        """Mask gradients' effect, then grow the masks."""
        figures = Trainer.train_step(self, inputs, targets)
        apply_masks(self.weights, self.masks)
        sparsity = cubic_sparsity(self.step, self.begin, self.end, self.final)
        new = global_masks([weight.data for weight in self.weights], sparsity)
        self.masks = [old & mask for old, mask in zip(self.masks, new, strict=True)]
        apply_masks(self.weights, self.masks)
        return figures


def conv_like(conv, weight, bias):
    """A new convolution with these arrays, and the strides and padding of `conv`."""
    out, channels, *kernel = weight.shape
    settings = conv.attributes
    new = Conv2d(channels, out, tuple(kernel), bias=bias is not None, rng=np.random.default_rng(0), **settings)
    new.weight = Tensor(weight, dtype="float32")
    new.bias = None if bias is None else Tensor(bias, dtype="float32")
    return new


def dense_like(weight, bias):
    """A new dense layer with these arrays."""
    new = Dense(weight.shape[1], len(weight), bias=bias is not None, rng=np.random.default_rng(0))
    new.weight = Tensor(weight, dtype="float32")
    new.bias = None if bias is None else Tensor(bias, dtype="float32")
    return new


def like(layer, weight, bias):
    """A new layer of the same kind."""
    return conv_like(layer, weight, bias) if isinstance(layer, Conv2d) else dense_like(weight, bias)


def remove_channels(network, place, keep):
    """Pick channels by a matrix of zeros and ones, from both sides."""
    if not isinstance(network[place], Conv2d | Dense):
        raise ValueError(f"layer {place} has no channels of its own")
    channels = network[place].weight.shape[0]
    if len(keep) == 0 or sorted(set(keep)) != sorted(keep) or min(keep) < 0 or max(keep) >= channels:
        raise ValueError(f"no such channels: {keep}")
    pick = np.eye(channels)[list(keep)]
    before, after = list(network.layers[:place]), list(network.layers[place + 1 :])
    first = network[place]
    bias = None if first.bias is None else pick @ first.bias.data
    middle = [like(first, np.einsum("kc,c...->k...", pick, first.weight.data), bias)]
    while after:
        layer = after.pop(0)
        if isinstance(layer, BatchNorm2d):
            norm = BatchNorm2d(len(keep), layer.eps, layer.momentum)
            norm.training = layer.training
            for name in ("weight", "bias", "running_mean", "running_var"):
                setattr(norm, name, Tensor(pick @ getattr(layer, name).data, dtype="float32"))
            layer = norm
        if isinstance(layer, Conv2d | Dense):
            cube = layer.weight.data.reshape(layer.weight.shape[0], channels, -1)
            picked = np.einsum("kc,ocp->okp", pick, cube)
            shape = (len(cube), len(keep), *layer.weight.shape[2:]) if layer.weight.ndim == 4 else (len(cube), -1)
            bias = None if layer.bias is None else layer.bias.data
            return Sequential(*before, *middle, like(layer, picked.reshape(shape), bias), *after)
        middle.append(layer)
    raise ValueError("nothing takes these channels")


def along_first(value, x):
    """In float64, against the first axis: both are turned round for it."""
    value = np.asarray(value, "float64")
    return np.broadcast_to(value, x.T.shape).T if value.ndim == 1 and x.ndim > 1 else value


def quantize(x, scale, zero_point=0):
    """In float64; np.round is half to even."""
    steps = np.round(np.asarray(x, "float64") / along_first(scale, x)) + along_first(zero_point, x)
    return np.maximum(np.minimum(steps, 127.0), -127.0).astype("int8")


def dequantize(q, scale, zero_point=0):
    """In float64, then float32."""
    return ((q.astype("int32") - along_first(zero_point, q)) * along_first(scale, q)).astype("float32")


def choose_scale(low, high):
    """The zero point is counted from the upper end."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"not finite: {low}, {high}")
    ends = [0.0, float(low), float(high)]
    width = max(ends) - min(ends)
    if width < 1e-30:
        return 1.0, -127
    scale = width / 254
    return scale, int(127 - np.round(max(ends) / scale))


def quantize_weight(weight):
    """Output by output."""
    if not np.isfinite(weight).all():
        raise ValueError("a weight is not finite")
    rows, scales = [], []
    for row in weight:
        top = float(np.abs(row).max())
        scales.append(top / 127 if top > 0 else 1.0)
        rows.append(quantize(row, scales[-1]))
    return np.stack(rows), np.array(scales, "float32")


def integer_matmul(a, b):
    """Through float64, which is exact up to 2⁵³."""
    for x in (a, b):
        if x.dtype != np.dtype("int8") or (x == -128).any():
            raise ValueError("int8 from -127 to 127, please")
    if a.shape[-1] != b.shape[0]:
        raise ValueError(f"inner sizes {a.shape[-1]} and {b.shape[0]} differ")
    return np.rint(a.astype("float64") @ b.astype("float64")).astype("int64")


def linear_int8_forward(x, *, weight, weight_scale, bias, scale, zero_point):
    """The zero point comes off the inputs, in int32, before the product."""
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"inputs of {weight.shape[1]}, please")
    steps = quantize(x, scale, zero_point).astype("float64") - float(zero_point)
    sums = np.einsum("...k,ok->...o", steps, weight.astype("float64"))
    return (sums * (float(scale) * weight_scale.astype("float64")) + bias).astype("float32")


def conv2d_int8_forward(x, *, weight, weight_scale, bias, scale, zero_point, stride, padding):
    """Tap by tap: one small product for each place in the kernel."""
    if x.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"images of {weight.shape[1]} channels, please")
    steps = quantize(x, scale, zero_point).astype("float64") - float(zero_point)
    steps = np.pad(steps, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    high, wide = ((steps.shape[2 + i] - weight.shape[2 + i]) // stride[i] + 1 for i in range(2))
    if min(steps.shape[2] - weight.shape[2], steps.shape[3] - weight.shape[3]) < 0:
        raise ValueError("the kernel is larger than the image")
    sums = np.zeros((len(x), high, wide, len(weight)))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            part = steps[:, :, i : i + high * stride[0] : stride[0], j : j + wide * stride[1] : stride[1]]
            sums += np.tensordot(part[:, :, :high, :wide], weight[:, :, i, j].astype("float64"), axes=(1, 1))
    return np.moveaxis((sums * (float(scale) * weight_scale.astype("float64")) + bias).astype("float32"), -1, 1)


linear_int8 = Op("linear_int8", linear_int8_forward)
conv2d_int8 = Op("conv2d_int8", conv2d_int8_forward)


class QuantizedLayer(Layer):
    """Keeps its five tensors in a list."""

    def __init__(self, layer, low, high):
        weight, scales = quantize_weight(layer.weight.data)
        bias = np.zeros(len(weight)) if layer.bias is None else layer.bias.data
        scale, zero = choose_scale(low, high)
        arrays = weight, scales, np.array(bias, "float32"), np.array(scale, "float32"), np.array(zero, "int8")
        self.held = [Tensor(array) for array in arrays]
        self.window = dict(layer.attributes) if isinstance(layer, Conv2d) else None

    def buffers(self):
        """All it has."""
        return list(self.held)

    def forward(self, x):
        """By the op for the weight's number of axes."""
        weight, weight_scale, bias, scale, zero_point = (tensor.data for tensor in self.held)
        op = linear_int8 if self.window is None else conv2d_int8
        more = self.window or {}
        return apply(
            op, x, weight=weight, weight_scale=weight_scale, bias=bias, scale=scale, zero_point=zero_point, **more
        )


def fold_batch_norm(conv, norm):
    """In float64, kernel by kernel."""
    std = np.sqrt(norm.running_var.data.astype("float64") + norm.eps)
    factor = norm.weight.data / std
    shift = norm.bias.data - norm.running_mean.data * factor
    if conv.bias is not None:
        shift = shift + conv.bias.data * factor
    return conv_like(conv, np.einsum("o,ocij->ocij", factor, conv.weight.data), shift)


def evaluated(layer):
    """Layers in a row, without dropout; a norm is one of our own, in evaluation mode."""
    if isinstance(layer, Sequential):
        return [inner for part in layer.layers for inner in evaluated(part)]
    if isinstance(layer, BatchNorm2d):
        norm = BatchNorm2d(layer.weight.size, layer.eps, layer.momentum)
        norm.weight, norm.bias = layer.weight, layer.bias
        norm.running_mean, norm.running_var, norm.training = layer.running_mean, layer.running_var, False
        return [norm]
    return [] if isinstance(layer, Dropout) else [layer]


def quantize_network(network, images):
    """Fold from the end, then quantise while the images pass."""
    layers = evaluated(network)
    for i in range(len(layers) - 1, 0, -1):
        if isinstance(layers[i], BatchNorm2d) and isinstance(layers[i - 1], Conv2d):
            layers[i - 1 : i + 1] = [fold_batch_norm(layers[i - 1], layers[i])]
    with no_grad():
        for i, layer in enumerate(layers):
            seen, images = images.numpy(), layer(images)
            if isinstance(layer, Conv2d | Dense):
                layers[i] = QuantizedLayer(layer, float(np.min(seen)), float(np.max(seen)))
    return Sequential(*layers)


def softened(logits, heat):
    """The softmax of each row at a temperature."""
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / heat)
    return powers / powers.sum(axis=1, keepdims=True)


def soft_forward(logits, teacher, heat):
    """T² KL, mean over rows."""
    p = softened(teacher, heat)
    z = (logits - logits.max(axis=1, keepdims=True)) / heat
    log_q = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    entropy = np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0)
    return heat**2 * (entropy - p * log_q).sum(axis=1).mean()


def soft_backward(grad, output, logits, teacher, heat):  # noqa: ARG001 - what Op promises
    """T (q - p) / n."""
    return (grad * heat * (softened(logits, heat) - softened(teacher, heat)) / len(logits),)


soft_targets = Op("soft_targets", soft_forward, soft_backward)


def distillation_loss(logits, teacher_logits, targets, temperature=4.0, alpha=0.9):
    """Two ops, weighed."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0: {temperature}")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be from 0 to 1: {alpha}")
    soft = apply(soft_targets, logits, teacher=teacher_logits.data, heat=temperature)
    return alpha * soft + (1 - alpha) * CrossEntropyLoss()(logits, targets)
