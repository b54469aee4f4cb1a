"""Layers, losses and one step of gradient descent: everything a network needs to learn.

Read it in this order: gradients that add up, the linear op, `Dense`, `Sequential`, the losses, the step.
"""

# ruff: noqa: ARG001 - every backward takes the arguments that `Op` promises, whether it needs all of them or not

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from tinytorch.activations import check_backward
from tinytorch.tensor import Op, Tensor, apply, as_floating, wrap


def accumulate_grad(parameter: Tensor, grad: np.ndarray) -> None:
    """Add the array `grad` to the parameter's gradient, in the parameter's dtype; a missing gradient counts as 0.

    `parameter.grad` becomes a Tensor that shares no memory with `grad`, and the array that it held before is unchanged.
    Raise ValueError, with both shapes, unless `grad` has the parameter's shape.
    """
    # BEGIN SOLUTION 4.1
    if grad.shape != parameter.shape:
        raise ValueError(f"a gradient of shape {grad.shape} does not fit a parameter of shape {parameter.shape}")
    total = grad if parameter.grad is None else parameter.grad.data + grad
    parameter.grad = Tensor(total, dtype=parameter.dtype)
    # END SOLUTION


def zero_grad(parameters: Iterable[Tensor]) -> None:
    """Clear the gradient of every parameter: `.grad` becomes None."""
    # BEGIN SOLUTION 4.1
    for parameter in parameters:
        parameter.grad = None
    # END SOLUTION


class Layer:
    """The base of every layer. A layer with nothing to learn inherits `parameters` as it is."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return `forward(x)`: a layer is used like a function."""
        return self.forward(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output, and remember what `backward` needs."""
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def backward(self, grad: Tensor) -> Tensor:
        """Return the gradient of the last input, given `grad`, that of the last output. Each layer defines its own.

        Add to the `.grad` of every parameter. Raise RuntimeError before the first forward pass, and ValueError, with
        both shapes, unless `grad` has the output's shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define backward")

    def parameters(self) -> list[Tensor]:
        """Return every tensor that learning may change, always in the same order."""
        return []

    def buffers(self) -> list[Tensor]:
        """Return every other tensor that training updates and outputs need, in a fixed order: none, unless overridden.

        Parameters and buffers together hold all that a network has learned. BatchNorm2d in module 06 is the first layer
        that has buffers.
        """
        return []


def linear_forward(x, weight, bias=None):
    """Return x @ weight.T + bias. Shapes: (..., n_in), (n_out, n_in), (n_out,) → (..., n_out).

    Raise ValueError unless the last size of `x` is n_in.
    """
    # BEGIN SOLUTION 4.2
    if x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"the input's last size must be {weight.shape[1]}, like the weight's second size")
    n = math.prod(x.shape[:-1])
    product = x.reshape(n, x.shape[-1]) @ weight.T  # as one matrix: for each leading index, a product costs more
    if bias is not None:
        product = product + bias
    return product.reshape(*x.shape[:-1], len(weight))
    # END SOLUTION


def linear_backward(grad, output, x, weight, bias=None):
    """Return `(grad_x, grad_weight)` or, with a bias, `(grad_x, grad_weight, grad_bias)`, each with its array's shape.

    Every row of `x` used the same weight and bias, so their gradients are sums over all rows, that is, over all axes
    of `grad` but the last.
    """
    # BEGIN SOLUTION 4.2
    n = math.prod(x.shape[:-1])  # not reshape's -1, which cannot be worked out when a size is 0
    rows = grad.reshape(n, grad.shape[-1])
    gradients = (grad @ weight, rows.T @ x.reshape(n, x.shape[-1]))
    return gradients if bias is None else (*gradients, rows.sum(axis=0))
    # END SOLUTION


linear = Op("linear", linear_forward, linear_backward)


class Dense(Layer):
    """y = x @ weight.T + bias: every output is a weighted sum of all inputs (PyTorch's Linear).

    `weight` has shape (out_features, in_features); `bias` has shape (out_features,), or is None with `bias=False`.
    Both are float32, drawn from `rng`, uniform between -b and b with b = 1 / sqrt(in_features), as in PyTorch.

    >>> layer = Dense(3, 2, rng=np.random.default_rng(0))
    >>> layer(Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).shape
    (2, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, *, rng: np.random.Generator):
        self.input = None
        self.output = None
        # BEGIN SOLUTION 4.3
        bound = 1 / math.sqrt(in_features)
        self.weight = Tensor(rng.uniform(-bound, bound, (out_features, in_features)), dtype="float32")
        self.bias = Tensor(rng.uniform(-bound, bound, out_features), dtype="float32") if bias else None
        # END SOLUTION

    def parameters(self) -> list[Tensor]:
        """Return [weight, bias], or [weight] when there is no bias: the tensors themselves, not copies."""
        # BEGIN SOLUTION 4.3
        return [self.weight] if self.bias is None else [self.weight, self.bias]
        # END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, and remember what `backward` needs: (..., in_features) → (..., out_features).

        Raise ValueError, with the shapes of input and weight, if the input's last size is not in_features.
        """
        # BEGIN SOLUTION 4.3
        self.input, self.output = x, apply(linear, x, *self.parameters())
        return self.output
        # END SOLUTION

    def backward(self, grad: Tensor) -> Tensor:
        """Add to the gradients of weight and bias, and return the gradient with respect to the last input."""
        check_backward(self, grad, self.output)
        # BEGIN SOLUTION 4.3
        arrays = [tensor.data for tensor in (self.output, self.input, *self.parameters())]
        grad_x, *grads = linear.backward(grad.data, *arrays)
        for parameter, its_grad in zip(self.parameters(), grads, strict=True):
            accumulate_grad(parameter, its_grad)
        return wrap(grad_x)
        # END SOLUTION


class Sequential(Layer):
    """A chain of layers, each of which takes the output of the one before: `len(network)` layers, each `network[i]`.

    >>> network = Sequential(Dense(2, 8, rng=np.random.default_rng(0)), Dense(8, 1, rng=np.random.default_rng(1)))
    >>> len(network), sum(parameter.size for parameter in network.parameters())
    (2, 33)
    """

    def __init__(self, *layers):
        self.layers = layers

    def __len__(self):
        return len(self.layers)

    def __getitem__(self, index):
        return self.layers[index]

    def forward(self, x: Tensor) -> Tensor:
        """Return the last layer's output, or `x` when there are no layers."""
        # BEGIN SOLUTION 4.4
        for layer in self.layers:
            x = layer(x)
        return x
        # END SOLUTION

    def backward(self, grad: Tensor) -> Tensor:
        """Add to the gradients of all parameters, and return the gradient with respect to the first layer's input."""
        # BEGIN SOLUTION 4.4
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad
        # END SOLUTION

    def parameters(self) -> list[Tensor]:
        """Return the parameters of all layers in one flat list, starting with those of the first layer."""
        # BEGIN SOLUTION 4.4
        return [parameter for layer in self.layers for parameter in layer.parameters()]
        # END SOLUTION

    def buffers(self) -> list[Tensor]:
        """Return the buffers of all layers in one flat list, starting with those of the first layer."""
        # BEGIN SOLUTION 4.4
        return [buffer for layer in self.layers for buffer in layer.buffers()]
        # END SOLUTION


class Loss:
    """A measure of how wrong a prediction is: `op` of prediction and target, both remembered for backward."""

    def __init__(self, op: Op):
        self.op = op
        self.inputs = None
        self.output = None

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return `forward(prediction, target)`."""
        return self.forward(prediction, target)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return and remember the loss, a scalar tensor. Raise ValueError, with both shapes, unless they are equal."""
        if prediction.shape != target.shape:
            raise ValueError(
                f"{type(self).__name__} compares element by element, so the prediction's shape {prediction.shape} "
                f"and the target's {target.shape} must be equal"
            )
        self.inputs, self.output = (prediction, target), apply(self.op, prediction, target)
        return self.output

    def backward(self) -> Tensor:
        """Return the gradient of the last loss with respect to its prediction. Raise RuntimeError if there is none."""
        if self.output is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs what forward remembers: compute a loss first")
        dtype = self.output.dtype
        arrays = [tensor.data.astype(dtype, copy=False) for tensor in self.inputs]
        return wrap(self.op.backward(np.ones((), dtype), self.output.data, *arrays)[0])


def mse_forward(prediction, target):
    """Return the mean, over all elements, of (prediction - target)²: [1.0, 2.0] and [0.0, 4.0] → 2.5.

    Integers count as float32.
    """
    # BEGIN SOLUTION 4.5
    return np.mean((as_floating(prediction) - as_floating(target)) ** 2)
    # END SOLUTION


def mse_backward(grad, output, prediction, target):
    """Return `(grad_prediction, None)`: each element contributes 1/n to the mean, and the target has no gradient."""
    # BEGIN SOLUTION 4.5
    return grad * 2 * (prediction - target) / prediction.size, None
    # END SOLUTION


mse = Op("mse", mse_forward, mse_backward)


class MSELoss(Loss):
    """The mean squared error.

    >>> MSELoss()(Tensor([1.0, 2.0]), Tensor([0.0, 4.0]))
    Tensor(2.5)
    """

    def __init__(self):
        super().__init__(mse)


EPSILON = 1e-7


def clip_probabilities(prediction):
    """Return `prediction` in floating point, kept EPSILON away from 0 and 1, or further if its dtype is too coarse.

    In float16 the largest number below 1 is 1 - 2⁻¹¹, so 1 - EPSILON would be 1 again.
    """
    prediction = as_floating(prediction)
    margin = max(EPSILON, float(np.finfo(prediction.dtype).epsneg))
    return np.clip(prediction, margin, 1 - margin)


def bce_forward(prediction, target):
    """Return the mean of -(target · log p + (1 - target) · log(1 - p)), with p = clip_probabilities(prediction)."""
    # BEGIN SOLUTION 4.6
    p, target = clip_probabilities(prediction), as_floating(target)
    return -np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))
    # END SOLUTION


def bce_backward(grad, output, prediction, target):
    """Return `(grad_prediction, None)`: grad · (p - target) / (p (1 - p)) / n for n elements, with the clipped p."""
    # BEGIN SOLUTION 4.6
    p = clip_probabilities(prediction)
    return grad * (p - target) / (p * (1 - p)) / prediction.size, None
    # END SOLUTION


bce = Op("bce", bce_forward, bce_backward)


class BCELoss(Loss):
    """The binary cross-entropy of probabilities, in nats: a guess of 0.5 has a loss of ln 2.

    >>> BCELoss()(Tensor([0.5, 0.5]), Tensor([0.0, 1.0]))
    Tensor(0.6931)
    """

    def __init__(self):
        super().__init__(bce)


def gradient_descent_step(network, criterion, inputs: Tensor, targets: Tensor, lr: float) -> float:
    """Move every parameter of `network` by -lr times its gradient, and return the loss before the move.

    Older gradients are cleared first; those of this step stay in `.grad`. The parameters remain the same tensors with
    the same dtype.
    """
    # BEGIN SOLUTION 4.7
    loss = criterion(network(inputs), targets)
    zero_grad(network.parameters())
    network.backward(criterion.backward())
    for parameter in network.parameters():
        parameter.data -= lr * parameter.grad.data
    return loss.item()
    # END SOLUTION
