"""Deep networks: initial weights, dropout, classes as targets, and gradient descent in mini-batches.

Read it in this order: initialisation, `MLP`, dropout and its two modes, cross-entropy, mini-batches, accuracy, epochs.
"""

# ruff: noqa: ARG001 - every backward takes the arguments that `Op` promises, whether it needs all of them or not

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
from tinytorch.activations import ReLU, check_backward, softmax
from tinytorch.layers import Dense, Layer, Loss, Sequential, gradient_descent_step
from tinytorch.tensor import Op, Tensor, apply, as_floating, wrap


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return `(fan_in, fan_out)` of a weight: how many inputs feed one output, and how many outputs one input feeds.

    The first two sizes are outputs and inputs; any further sizes (a convolution's window) multiply both. (256, 784) →
    (784, 256), and (16, 3, 5, 5) → (75, 400). Raise ValueError, with the shape, if it has fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"a weight of shape {shape} has no fans: it needs two axes or more, outputs first")
    # BEGIN SOLUTION 5.1
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window
    # END SOLUTION


def xavier_uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 weights for tanh and sigmoid, uniform between -b and b, with b = √(6 / (fan_in + fan_out)).

    Their variance is 2 / (fan_in + fan_out) (Glorot and Bengio, 2010, equation 16).
    """
    # BEGIN SOLUTION 5.1
    bound = math.sqrt(6 / sum(fans(shape)))
    return rng.uniform(-bound, bound, shape).astype("float32")
    # END SOLUTION


def he_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 weights for ReLU, normal with mean 0 and variance 2 / fan_in (He et al., 2015, equation 10).

    PyTorch calls this initialisation `kaiming_normal_`, after the first author's first name.
    """
    # BEGIN SOLUTION 5.2
    fan_in, _ = fans(shape)
    return rng.normal(0, math.sqrt(2 / fan_in), shape).astype("float32")
    # END SOLUTION


class MLP(Sequential):
    """A multi-layer perceptron: Dense layers of these sizes, with a new `activation()` after each but the last.

    Every weight is `init(rng, its shape)`, and every bias is 0. Raise ValueError for fewer than two sizes.

    >>> network = MLP((784, 128, 10), rng=np.random.default_rng(0))
    >>> len(network), sum(parameter.size for parameter in network.parameters())
    (3, 101770)
    """

    def __init__(
        self, sizes: Sequence[int], activation: Callable = ReLU, init: Callable = he_normal, *, rng: np.random.Generator
    ):
        if len(sizes) < 2:
            raise ValueError(f"an MLP needs at least the sizes of its input and its output, but was given {sizes}")
        # BEGIN SOLUTION 5.3
        layers = []
        for n_in, n_out in pairwise(sizes):
            dense = Dense(n_in, n_out, rng=rng)
            dense.weight.data = init(rng, dense.weight.shape)
            dense.bias.data[:] = 0
            layers += [dense, activation()]
        super().__init__(*layers[:-1])
        # END SOLUTION


def dropout_forward(x, mask, p):
    """Return x / (1 - p) where `mask`, bools of x's shape, is True, otherwise 0; integers count as float32.

    [1.0, 2.0, 3.0] with mask [True, False, True] and p = 0.5 → [2.0, 0.0, 6.0].
    """
    # BEGIN SOLUTION 5.4
    return np.where(mask, as_floating(x) / (1 - p), 0)
    # END SOLUTION


def dropout_backward(grad, output, x, mask, p):
    """Return `(grad_x,)`, which is `grad` with the same mask and the same scale applied."""
    # BEGIN SOLUTION 5.4
    return (np.where(mask, grad / (1 - p), 0),)
    # END SOLUTION


dropout = Op("dropout", dropout_forward, dropout_backward)


class Dropout(Layer):
    """A layer that, only in training, sets each element to 0 with probability `p` and divides the others by 1 - p.

    Each forward pass draws a new mask from `rng` (Srivastava et al., 2014). Raise ValueError unless 0 ≤ p < 1.

    >>> Dropout(0.5, rng=np.random.default_rng(0))(Tensor([1.0, 1.0, 1.0, 1.0]))
    Tensor([2., 0., 0., 0.])
    """

    def __init__(self, p: float = 0.5, *, rng: np.random.Generator):
        if not 0 <= p < 1:
            raise ValueError(f"p is the fraction of dropped elements and must be from 0 to below 1, not {p}")
        self.p = p
        self.rng = rng
        self.training = True
        self.input = None
        self.output = None
        self.mask = None

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` itself or, while training, `x` with random elements 0 and the others divided by 1 - p."""
        # BEGIN SOLUTION 5.5
        self.input, self.output, self.mask = x, x, None
        if self.training:
            self.mask = self.rng.random(x.shape) >= self.p
            self.output = apply(dropout, x, mask=self.mask, p=self.p)
        return self.output
        # END SOLUTION

    def backward(self, grad: Tensor) -> Tensor:
        """Return the gradient with respect to the last input: `grad` with the mask and scale of that pass, if any."""
        check_backward(self, grad, self.output)
        # BEGIN SOLUTION 5.5
        if self.mask is None:
            return grad
        (grad_x,) = dropout.backward(grad.data, self.output.data, self.input.data, mask=self.mask, p=self.p)
        return wrap(grad_x)
        # END SOLUTION


def set_training(layer, training: bool) -> None:
    """Set `.training` of the layer and of all layers inside it, at any depth, wherever there is such an attribute.

    `layer` is anything with a `forward`; the layers inside it, if there are any, are in its `.layers`. PyTorch has
    `network.train()` and `network.eval()` for this.
    """
    # BEGIN SOLUTION 5.5
    if hasattr(layer, "training"):
        layer.training = training
    for inner in getattr(layer, "layers", ()):
        set_training(inner, training)
    # END SOLUTION


def check_classes(logits, target) -> None:
    """Raise ValueError unless the arrays are logits (n, k) and target (n,), n > 0, of integers from 0 to k - 1."""
    if logits.ndim != 2 or target.shape != logits.shape[:1] or not target.size:
        raise ValueError(f"logits of (n, k) need targets of (n,), n > 0; these are {logits.shape} and {target.shape}")
    if target.dtype.kind not in "iu":
        raise ValueError(f"targets are class numbers, which are integers, not {target.dtype}")
    if target.min() < 0 or target.max() >= logits.shape[1]:
        raise ValueError(
            f"targets range from {target.min()} to {target.max()}, but {logits.shape[1]} classes are numbered "
            f"from 0 to {logits.shape[1] - 1}"
        )


def log_softmax(logits):
    """Return the logarithm of the softmax over the last axis, without overflow in exp: [0, ln 3] → [ln ¼, ln ¾].

    The result has the same shape, and is finite where the dtype can hold the differences between `logits`. For
    integers it is float32.
    """
    # BEGIN SOLUTION 5.6
    shifted = as_floating(logits)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)  # the largest becomes 0
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted
    # END SOLUTION


def cross_entropy_forward(logits, target):
    """Return the mean, over all rows, of the negative log-probability that a row of `logits` assigns to its target."""
    check_classes(logits, target)
    # BEGIN SOLUTION 5.7
    return -np.mean(log_softmax(logits)[np.arange(len(target)), target])
    # END SOLUTION


def cross_entropy_backward(grad, output, logits, target):
    """Return `(grad_logits,)`: for each of n rows, its softmax, minus 1 at its target, times `grad` / n."""
    # BEGIN SOLUTION 5.7
    difference = softmax.forward(logits, axis=1)
    difference[np.arange(len(target)), target] -= 1
    difference *= grad / len(target)
    return (difference,)
    # END SOLUTION


cross_entropy = Op("cross_entropy", cross_entropy_forward, cross_entropy_backward)


class CrossEntropyLoss(Loss):
    """Softmax and negative log-likelihood in one, in nats, for logits (n, k) and the correct class numbers (n,).

    A blind guess among k classes has a loss of ln k, which is ln 2 here.

    >>> CrossEntropyLoss()(Tensor([[0.0, 0.0], [5.0, 5.0]]), Tensor([0, 1]))
    Tensor(0.6931)
    """

    def __init__(self):
        super().__init__(cross_entropy)
        self.target = None

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a scalar tensor. Raise ValueError, saying what is wrong, for targets that do not fit.

        The target is an attribute of the op: `apply` would turn the integers of an input into floats.
        """
        # BEGIN SOLUTION 5.7
        self.inputs, self.target = (logits,), target.data
        self.output = apply(cross_entropy, logits, target=self.target)
        return self.output
        # END SOLUTION

    def backward(self) -> Tensor:
        """Return the gradient of the last loss with respect to its logits. Raise RuntimeError if there is none."""
        if self.output is None:
            raise RuntimeError("CrossEntropyLoss.backward needs what forward remembers: compute a loss first")
        # BEGIN SOLUTION 5.7
        (logits,) = self.inputs
        one = np.ones((), self.output.dtype)
        (grad_logits,) = cross_entropy.backward(one, self.output.data, logits.data, target=self.target)
        return wrap(grad_logits)
        # END SOLUTION


def minibatches(
    inputs: Tensor, targets: Tensor, batch_size: int, rng: np.random.Generator
) -> Iterable[tuple[Tensor, Tensor]]:
    """Return the batches (inputs, targets) of one epoch: every example once, in random order, `batch_size` at a time.

    The last batch holds what is left. Raise ValueError if `batch_size` is below 1, if there are no examples, or if the
    numbers of inputs and targets differ.
    """
    if batch_size < 1 or len(inputs) != len(targets) or not len(inputs):
        counts = f"{len(inputs)} inputs, {len(targets)} targets and a batch_size of {batch_size}"
        raise ValueError(f"{counts}: there must be as many targets as inputs, and none of the three may be below 1")
    # BEGIN SOLUTION 5.8
    order = rng.permutation(len(inputs))
    parts = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    return ((inputs[part], targets[part]) for part in parts)
    # END SOLUTION


def accuracy(logits: Tensor, targets: Tensor) -> float:
    """Return the fraction of rows whose largest logit is at the target: (n, k) and (n,) → a float from 0 to 1.

    Raise ValueError for targets that do not fit.
    """
    check_classes(logits.data, targets.data)
    # BEGIN SOLUTION 5.9
    return float(np.mean(logits.data.argmax(axis=1) == targets.data))
    # END SOLUTION


def train_epoch(
    network, criterion, inputs: Tensor, targets: Tensor, lr: float, batch_size: int, rng: np.random.Generator
) -> float:
    """Take one step per mini-batch in training mode, and return the mean loss over all examples as a Python float.

    For each example, the loss of its batch before the step counts. The network stays in training mode.
    """
    # BEGIN SOLUTION 5.9
    set_training(network, True)
    total = 0.0
    for some, their_targets in minibatches(inputs, targets, batch_size, rng):
        total += len(some) * gradient_descent_step(network, criterion, some, their_targets, lr)
    return total / len(inputs)
    # END SOLUTION
