"""Layers with another inside: every forward leaves a closure that knows its own backward."""

# ruff: noqa: ARG001, D101, D102

import numpy as np
from tinytorch.tensor import Op, Tensor, apply, as_floating


def accumulate_grad(parameter, grad):
    if tuple(grad.shape) != tuple(parameter.shape):
        raise ValueError(f"gradient {grad.shape}, parameter {parameter.shape}")
    old = np.zeros(parameter.shape, parameter.dtype) if parameter.grad is None else parameter.grad.numpy()
    parameter.grad = Tensor((old + grad).astype(parameter.dtype))


def zero_grad(parameters):
    for p in list(parameters):
        p.grad = None


class Layer:
    pull_back = None

    def __call__(self, x):
        return self.forward(x)

    def forward(self, x):
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def backward(self, grad):
        if self.pull_back is None:
            raise RuntimeError(f"{type(self).__name__}.backward: call forward first")
        return self.pull_back(grad)

    def parameters(self):
        return []

    def buffers(self):
        return []


def linear_forward(x, weight, bias=None):
    if x.ndim < 1 or x.shape[-1] != weight.shape[-1]:
        raise ValueError(f"the input's last size must be {weight.shape[-1]}")
    flat = np.moveaxis(x, -1, 0).reshape(x.shape[-1], int(np.prod(x.shape[:-1])))
    out = np.dot(weight, flat).T.reshape(*x.shape[:-1], weight.shape[0])
    return out if bias is None else np.add(out, bias)


def linear_backward(grad, output, x, weight, bias=None):
    rows = int(np.prod(x.shape[:-1]))
    columns = np.moveaxis(grad, -1, 0).reshape(weight.shape[0], rows)
    inputs = np.moveaxis(x, -1, 0).reshape(weight.shape[1], rows)
    answer = (np.tensordot(grad, weight, axes=([-1], [0])), columns.dot(inputs.T))
    return answer if bias is None else (*answer, columns.sum(axis=1))


linear = Op("linear", linear_forward, linear_backward)


class Dense(Layer):
    def __init__(self, in_features, out_features, bias=True, *, rng):
        limit = in_features**-0.5
        draw = (2 * limit) * rng.random((out_features, in_features + 1)) - limit
        self.weight = Tensor(draw[:, :-1].astype("float32"))
        self.bias = Tensor(draw[:, -1].astype("float32")) if bias else None

    def parameters(self):
        return [p for p in (self.weight, self.bias) if p is not None]

    def forward(self, x):
        output = apply(linear, x, *self.parameters())

        def pull_back(grad):
            if grad.shape != output.shape:
                raise ValueError(f"a gradient of shape {grad.shape} for an output of shape {output.shape}")
            arrays = [p.numpy() for p in self.parameters()]
            first, *rest = linear_backward(grad.numpy(), output.numpy(), x.numpy(), *arrays)
            for p, g in zip(self.parameters(), rest, strict=True):
                accumulate_grad(p, g)
            return Tensor(first)

        self.pull_back = pull_back
        return output


class Sequential(Layer):
    def __init__(self, *layers):
        self.chain = list(layers)

    def __len__(self):
        return len(self.chain)

    def __getitem__(self, index):
        return self.chain[index]

    def forward(self, x):
        stack = []
        for layer in self.chain:
            x = layer(x)
            stack.append(layer.backward)

        def pull_back(grad):
            for step in stack[::-1]:
                grad = step(grad)
            return grad

        self.pull_back = pull_back
        return x

    def parameters(self):
        found = []
        for layer in self.chain:
            found.extend(layer.parameters())
        return found

    def buffers(self):
        return [one for layer in self.chain for one in layer.buffers()]


class Loss:
    def __init__(self, op):
        self.op, self.seen = op, None

    def __call__(self, prediction, target):
        return self.forward(prediction, target)

    def forward(self, prediction, target):
        if prediction.shape != target.shape:
            raise ValueError(f"prediction {prediction.shape} and target {target.shape} must have one shape")
        value = apply(self.op, prediction, target)
        self.seen = (value, prediction, target)
        return value

    def backward(self):
        if self.seen is None:
            raise RuntimeError("compute a loss before its gradient: call forward first")
        value, prediction, target = (t.numpy().astype(self.seen[0].dtype) for t in self.seen)
        return Tensor(self.op.backward(np.ones((), value.dtype), value, prediction, target)[0])


def mse_forward(prediction, target):
    gap = (as_floating(prediction) - as_floating(target)).ravel()
    return np.asarray((gap * gap).sum() / gap.size, gap.dtype)


def mse_backward(grad, output, prediction, target):
    return (prediction - target) * (grad * 2 / prediction.size), None


mse = Op("mse", mse_forward, mse_backward)


class MSELoss(Loss):
    def __init__(self):
        super().__init__(mse)


EPSILON = 1e-7


def inside(prediction):
    prediction = as_floating(prediction)
    least = EPSILON if prediction.dtype != np.float16 else 2**-11
    return np.minimum(np.maximum(prediction, least), 1 - least)


def bce_forward(prediction, target):
    p = inside(prediction)
    return np.asarray(-(target * np.log(p) + (1.0 - target) * np.log1p(-p)).sum() / p.size, p.dtype)


def bce_backward(grad, output, prediction, target):
    p = inside(prediction)
    return grad * ((1 - target) / (1 - p) - target / p) / p.size, None


bce = Op("bce", bce_forward, bce_backward)


class BCELoss(Loss):
    def __init__(self):
        super().__init__(bce)


def gradient_descent_step(network, criterion, inputs, targets, lr):
    value = float(criterion(network(inputs), targets).item())
    zero_grad(network.parameters())
    network.backward(criterion.backward())
    for p in network.parameters():
        p.data = (p.data - lr * p.grad.data).astype(p.dtype)
    return value
