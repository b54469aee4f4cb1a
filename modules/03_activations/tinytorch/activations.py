"""Activation functions make a network more than a straight line: they bend values and pass gradients back.

An activation is an `Op`, a pair of array functions that you write, in a small class that remembers what backward
needs. The activations are ordered from simple to hard: ReLU, LeakyReLU, Sigmoid, Tanh, Softmax, GELU.
"""

# ruff: noqa: ARG001 - every backward takes the arguments that `Op` promises, whether it needs all of them or not

from __future__ import annotations

import math

import numpy as np
from tinytorch.tensor import Op, Tensor, apply, as_floating, wrap


def check_backward(layer, grad: Tensor, output) -> None:
    """Raise RuntimeError if no forward pass has set an `output`, and ValueError unless `grad` has that shape."""
    name = type(layer).__name__
    if output is None:
        raise RuntimeError(f"{name}.backward needs what forward remembers: call forward first")
    if grad.shape != output.shape:
        raise ValueError(f"{name}.backward got a gradient of shape {grad.shape} for an output of shape {output.shape}")


class Activation:
    """A function of one tensor with nothing to learn: it runs `op` and remembers its input and output for backward.

    `attributes` are passed to the forward and backward functions of `op` by name.
    """

    def __init__(self, op: Op, **attributes):
        self.op = op
        self.attributes = attributes
        self.input = None
        self.output = None

    def __call__(self, x: Tensor) -> Tensor:
        """Return `forward(x)`: a layer is used like a function."""
        return self.forward(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of `x`, integers as float32, and remember both input and output for `backward`."""
        self.input, self.output = x, apply(self.op, x, **self.attributes)
        return self.output

    def backward(self, grad: Tensor) -> Tensor:
        """Return the gradient with respect to the last input, given `grad`, the gradient of the last output.

        Raise RuntimeError before the first forward pass, and ValueError unless `grad` has the output's shape.
        """
        check_backward(self, grad, self.output)
        (grad_x,) = self.op.backward(grad.data, self.output.data, self.input.data, **self.attributes)
        return wrap(grad_x)

    def parameters(self) -> list[Tensor]:
        """Return an empty list: an activation has nothing to learn."""
        return []

    def buffers(self) -> list[Tensor]:
        """Return an empty list: an activation keeps nothing on which its later outputs depend."""
        return []


def gate_gradient(is_open, grad):
    """Return `grad` where `is_open` is True, and 0 everywhere else, even where `grad` is infinite.

    Multiplying by the gate is about ten times as fast as `np.where`, whose branches no processor can predict. But
    inf · 0 is nan, so an infinite gradient needs `np.where`.
    """
    return grad * is_open if np.isfinite(grad).all() else np.where(is_open, grad, 0)


def relu_forward(x):
    """Return the larger of 0 and each element of the array `x`: [-2.0, 0.0, 3.0] → [0.0, 0.0, 3.0]."""
    # BEGIN SOLUTION 3.1
    return np.maximum(as_floating(x), 0)
    # END SOLUTION


def relu_backward(grad, output, x):
    """Return `(grad_x,)`: `grad` where `x` is above 0, and 0 everywhere else, even where `grad` is infinite."""
    # BEGIN SOLUTION 3.1
    return (gate_gradient(x > 0, grad),)
    # END SOLUTION


relu = Op("relu", relu_forward, relu_backward)


class ReLU(Activation):
    """max(0, x), the rectified linear unit (Nair and Hinton, 2010).

    >>> ReLU()(Tensor([-2.0, 0.0, 3.0]))
    Tensor([0., 0., 3.])
    """

    def __init__(self):
        super().__init__(relu)


def leaky_relu_forward(x, negative_slope):
    """Return `x` where it is above 0, else `negative_slope * x`: [-2.0, 3.0] with slope 0.1 → [-0.2, 3.0]."""
    # BEGIN SOLUTION 3.2
    x = as_floating(x)
    return np.where(x > 0, x, negative_slope * x)
    # END SOLUTION


def leaky_relu_backward(grad, output, x, negative_slope):
    """Return `(grad_x,)`: `grad` where `x` is above 0, else `negative_slope * grad`, including at exactly 0."""
    # BEGIN SOLUTION 3.2
    return (np.where(x > 0, grad, negative_slope * grad),)
    # END SOLUTION


leaky_relu = Op("leaky_relu", leaky_relu_forward, leaky_relu_backward)


class LeakyReLU(Activation):
    """ReLU with a gentle slope below 0, so that no unit is ever without a gradient (Maas et al., 2013).

    >>> LeakyReLU(negative_slope=0.1)(Tensor([-2.0, 0.0, 3.0]))
    Tensor([-0.2,  0. ,  3. ])
    """

    def __init__(self, negative_slope: float = 0.01):
        super().__init__(leaky_relu, negative_slope=negative_slope)


def sigmoid_forward(x):
    """Return 1 / (1 + exp(-x)), between 0 and 1, without overflow for any `x`: [-1e4, 0.0, 1e4] → [0.0, 0.5, 1.0]."""
    # BEGIN SOLUTION 3.3
    x = as_floating(x)
    small = np.exp(-np.abs(x))  # at most 1: the exponent is never positive
    return np.where(x >= 0, 1, small) / (1 + small)
    # END SOLUTION


def sigmoid_backward(grad, output, x):
    """Return `(grad_x,)`: `grad` times the slope, which is s (1 - s) in terms of the output s."""
    # BEGIN SOLUTION 3.3
    return (grad * output * (1 - output),)
    # END SOLUTION


sigmoid = Op("sigmoid", sigmoid_forward, sigmoid_backward)


class Sigmoid(Activation):
    """The logistic function, which turns any number into a probability.

    >>> Sigmoid()(Tensor([-1e4, 0.0, 1e4]))
    Tensor([0. , 0.5, 1. ])
    """

    def __init__(self):
        super().__init__(sigmoid)


def tanh_forward(x):
    """Return the hyperbolic tangent of each element, between -1 and 1: [-1e4, 0.0, 1.0] → [-1.0, 0.0, 0.7616]."""
    # BEGIN SOLUTION 3.4
    return np.tanh(as_floating(x))
    # END SOLUTION


def tanh_backward(grad, output, x):
    """Return `(grad_x,)`: `grad` times the slope, which is 1 - t² in terms of the output t."""
    # BEGIN SOLUTION 3.4
    return (grad * (1 - output * output),)
    # END SOLUTION


tanh = Op("tanh", tanh_forward, tanh_backward)


class Tanh(Activation):
    """The hyperbolic tangent: a sigmoid stretched to the range from -1 to 1, with 0 in the middle.

    >>> Tanh()(Tensor([-1e4, 0.0, 1.0]))
    Tensor([-1.    ,  0.    ,  0.7616])
    """

    def __init__(self):
        super().__init__(tanh)


def softmax_forward(x, axis):
    """Return exp(x) divided by its sum along `axis`, without overflow: [0.0, ln 3] → [0.25, 0.75].

    All values are from 0 to 1 and add up to 1 along `axis`. The shape stays the same, even if `axis` has no elements.
    """
    # BEGIN SOLUTION 3.5
    x = as_floating(x)
    powers = np.exp(x - x.max(axis=axis, keepdims=True, initial=-np.inf))  # the largest becomes exp(0) = 1
    powers /= powers.sum(axis=axis, keepdims=True)
    return powers
    # END SOLUTION


def softmax_backward(grad, output, x, axis):
    """Return `(grad_x,)`: output · (grad - the sum of grad · output along `axis`)."""
    # BEGIN SOLUTION 3.5
    return (output * (grad - (grad * output).sum(axis=axis, keepdims=True)),)
    # END SOLUTION


softmax = Op("softmax", softmax_forward, softmax_backward)


class Softmax(Activation):
    """Softmax turns scores into probabilities that add up to 1 along `axis`, PyTorch's `dim` (Bridle, 1990).

    >>> Softmax()(Tensor([[1.0, 1.0], [1e4, 0.0]]))
    Tensor([[0.5, 0.5],
            [1. , 0. ]])
    """

    def __init__(self, axis: int = -1):
        super().__init__(softmax, axis=axis)


GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715


def gelu_forward(x):
    """Return x/2 · (1 + tanh(u)), where u = GELU_SCALE · (x + GELU_CUBIC · x³): [-1.0, 1.0] → [-0.1588, 0.8412].

    Nothing overflows for any finite `x`: beyond ±10 the tanh is ±1 in every dtype.
    """
    # BEGIN SOLUTION 3.6
    x = as_floating(x)
    near = np.clip(x, -10, 10)
    return 0.5 * x * (1 + np.tanh(GELU_SCALE * (near + GELU_CUBIC * near * near * near)))
    # END SOLUTION


def gelu_backward(grad, output, x):
    """Return `(grad_x,)`: `grad` times (1 + t + x · (1 - t²) · u')/2, where t = tanh(u) and u' is the slope of u."""
    # BEGIN SOLUTION 3.6
    near = np.clip(as_floating(x), -10, 10)
    t = np.tanh(GELU_SCALE * (near + GELU_CUBIC * near * near * near))
    slope_of_u = GELU_SCALE * (1 + 3 * GELU_CUBIC * near * near)
    return (grad * 0.5 * (1 + t + near * (1 - t * t) * slope_of_u),)
    # END SOLUTION


gelu = Op("gelu", gelu_forward, gelu_backward)


class GELU(Activation):
    """The Gaussian error linear unit in its tanh form, as in GPT-2 (Hendrycks and Gimpel, 2016, section 2).

    PyTorch calls this form `GELU(approximate="tanh")`. It is within 0.0005 of the exact x · Φ(x), where Φ is the normal
    cumulative distribution function.

    >>> GELU()(Tensor([-1.0, 0.0, 1.0]))
    Tensor([-0.1588,  0.    ,  0.8412])
    """

    def __init__(self):
        super().__init__(gelu)
