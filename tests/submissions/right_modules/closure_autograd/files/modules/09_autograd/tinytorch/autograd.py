"""Gradients from a graph of closures: each output keeps how its gradient reaches its inputs (as in micrograd)."""

# ruff: noqa: ARG001, ARG005, D102, N812 - rules take what `Op` promises; this is somebody's own style

from contextlib import contextmanager

import numpy as np
from tinytorch import tensor as T
from tinytorch.tensor import Tensor, set_recorder


def unbroadcast(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and grad.shape[axis] != 1:
            grad = grad.sum(axis=axis, keepdims=True)
    return np.asarray(grad)


def both(slope_a, slope_b):
    def backward(grad, output, a, b):
        return unbroadcast(slope_a(grad, output, a, b), a.shape), unbroadcast(slope_b(grad, output, a, b), b.shape)

    return backward


def one(slope):
    return lambda grad, output, a: (np.asarray(slope(grad, output, a)),)


def power_base(grad, _, a, b):
    result = np.zeros(grad.shape, grad.dtype)
    a, b = np.broadcast_arrays(a, b)
    with np.errstate(all="ignore"):
        result[b != 0] = grad[b != 0] * b[b != 0] * np.power(a[b != 0], b[b != 0] - 1)
    return result


def power_exponent(grad, output, a, b):
    base = np.broadcast_to(a, grad.shape)
    result = np.zeros(grad.shape, grad.dtype)
    with np.errstate(all="ignore"):
        np.multiply(grad * output, np.log(np.abs(base)), out=result, where=base > 0)
    return result


def root(grad, output, a):
    with np.errstate(all="ignore"):
        return grad / (2 * output)


def matmul(grad, output, a, b):
    if a.ndim == 1:
        grad_b = matmul(np.expand_dims(grad, -2 if b.ndim > 1 else -1), output, a.reshape(1, -1), b)[1]
        grad_a = grad * b if b.ndim == 1 else (np.expand_dims(grad, -2) * b).sum(axis=-1)
        return unbroadcast(grad_a, a.shape), grad_b
    if b.ndim == 1:
        grad_a = np.expand_dims(grad, -1) * b
        grad_b = np.expand_dims(grad, -1) * a
        return grad_a, unbroadcast(grad_b, b.shape)
    grad_a = np.einsum("...nm,...km->...nk", grad, b)
    grad_b = np.einsum("...nk,...nm->...km", a, grad)
    return unbroadcast(grad_a, a.shape), unbroadcast(grad_b, b.shape)


def kept_shape(shape, axis):
    axes = range(len(shape)) if axis is None else [k % len(shape) for k in np.atleast_1d(axis)]
    return tuple(1 if k in axes else size for k, size in enumerate(shape))


def reduce_with(share):
    def backward(grad, output, a, axis=None, keepdims=False):
        kept = kept_shape(a.shape, axis)
        shares = share(a, np.asarray(output).reshape(kept), kept).astype(grad.dtype)
        result = np.zeros(a.shape, grad.dtype)
        np.multiply(np.asarray(grad).reshape(kept), shares, out=result, where=shares > 0)
        return (result,)

    return backward


def of_extreme(a, output, kept):
    count = np.zeros(kept, int)
    equal = (a == output) | ((a != a) & (output != output))
    axes = tuple(k for k, size in enumerate(kept) if size != a.shape[k])
    count += equal.sum(axis=axes, keepdims=True)
    return equal / count


def transpose(grad, output, a, axes=None):
    if axes is None:
        return (grad.T,)
    return (np.moveaxis(grad, range(grad.ndim), axes),)


def index(grad, output, a, key):
    places = np.arange(a.size).reshape(a.shape)[key]
    sums = np.bincount(places.ravel(), np.broadcast_to(grad, places.shape).ravel(), minlength=a.size)
    return (sums.astype(grad.dtype).reshape(a.shape),)


TABLE = {
    T.add: both(lambda g, o, a, b: g, lambda g, o, a, b: g),
    T.subtract: both(lambda g, o, a, b: g, lambda g, o, a, b: -g),
    T.multiply: both(lambda g, o, a, b: g * b, lambda g, o, a, b: g * a),
    T.divide: both(lambda g, o, a, b: g / b, lambda g, o, a, b: -g * a / (b * b)),
    T.power: both(power_base, power_exponent),
    T.negative: one(lambda g, o, a: -g),
    T.exp: one(lambda g, o, a: g * o),
    T.log: one(lambda g, o, a: g / a),
    T.sqrt: one(root),
    T.matmul: matmul,
    T.reduce_sum: reduce_with(lambda a, o, kept: np.ones(a.shape)),
    T.reduce_mean: reduce_with(lambda a, o, kept: np.full(a.shape, max(o.size, 1) / max(a.size, 1))),
    T.reduce_max: reduce_with(of_extreme),
    T.reduce_min: reduce_with(of_extreme),
    T.reshape: lambda grad, output, a, shape: (grad.reshape(a.shape),),
    T.transpose: transpose,
    T.index: index,
}


def backward_of(op):
    return TABLE.get(op) or op.backward


def require_grad(tensors):
    for tensor in tensors:
        if not np.issubdtype(tensor.dtype, np.floating):
            raise TypeError(f"{tensor.dtype} is not floating")
        tensor.requires_grad = True


class Node:
    """What stands behind one output: its inputs, and a closure that turns its gradient into theirs."""

    def __init__(self, inputs, push):
        self.inputs, self.push = inputs, push

    def backward(self, tensor, grad=None):
        if self.push is None:
            raise RuntimeError("this part of the graph has been freed")
        if grad is None:
            if tensor.size != 1:
                raise RuntimeError(f"grad can be left out for one element only, not for {tensor.shape}")
            start = np.ones(tensor.shape, tensor.dtype)
        else:
            if grad.shape != tensor.shape:
                raise ValueError(f"grad of {grad.shape} for a tensor of {tensor.shape}")
            start = np.array(grad.data, dtype=tensor.dtype)
        order = self.sorted()
        grads = {id(self): start}
        try:
            for node in reversed(order):
                grad = grads.pop(id(node), None)
                for x, share in zip(node.inputs, node.push(grad), strict=True) if grad is not None else ():
                    if share is None or not x.requires_grad:
                        continue
                    if np.shape(share) != x.shape:
                        raise ValueError(f"a gradient of {np.shape(share)} for an input of {x.shape}")
                    if x.tape is None:
                        before = 0 if x.grad is None else x.grad.data
                        x.grad = Tensor(before + share, dtype=x.dtype)
                    else:
                        there = grads.get(id(x.tape))
                        grads[id(x.tape)] = share if there is None else there + share
        finally:
            for node in order:
                node.inputs, node.push = (), None

    def sorted(self):
        """All nodes below, inputs before outputs, without calling itself."""
        order, seen, stack = [], set(), [(self, False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                if node.push is None:
                    raise RuntimeError("a part of the graph has been freed by an earlier backward")
                stack.append((node, True))
                stack += [(x.tape, False) for x in node.inputs if x.tape is not None]
        return order


def fingerprint(array):
    return hash(array.tobytes())


def record(op, inputs, attributes, output):
    if not np.issubdtype(output.dtype, np.floating) or not any(x.requires_grad for x in inputs):
        return
    rule = backward_of(op)
    if rule is None:
        raise RuntimeError(f"{op.name} has no backward")
    arrays, result = [x.data for x in inputs], output.data
    before = [fingerprint(array) for array in (*arrays, result)]

    def push(grad):
        if before != [fingerprint(array) for array in (*arrays, result)]:
            raise RuntimeError(f"an array that {op.name} needs has been changed in place")
        return rule(np.asarray(grad, result.dtype), result, *(a.astype(result.dtype) for a in arrays), **attributes)

    output.requires_grad, output.tape = True, Node(inputs, push)


class Tape:
    """Has the graph built while it is entered."""

    def __enter__(self):
        self.before = set_recorder(record)
        return self

    def __exit__(self, *_):
        set_recorder(self.before)

    @staticmethod
    def backward(tensor, grad=None):
        tensor.backward(grad)


@contextmanager
def no_grad():
    before = set_recorder(None)
    try:
        yield
    finally:
        set_recorder(before)


def gradcheck(function, inputs, eps=1e-6, atol=1e-5, rtol=1e-3):
    """The whole Jacobian, one row of backward and one column of differences at a time."""
    copies = [Tensor(x) for x in inputs]
    varied = [x for x in copies if np.issubdtype(x.dtype, np.floating)]
    if not all(x.dtype == "float64" for x in varied):
        raise TypeError("gradcheck needs float64")
    require_grad(varied)
    with no_grad():
        size = function(*copies).size
    rows = []
    for place in range(size):
        with Tape():
            output = function(*copies)
        for x in varied:
            x.grad = None
        if output.requires_grad:
            seed = np.zeros(size)
            seed[place] = 1
            output.backward(Tensor(seed.reshape(output.shape)))
        rows.append([np.zeros(x.shape) if x.grad is None else x.grad.data for x in varied])
    numbers = [number for number, x in enumerate(copies) if x.requires_grad]
    for k, (number, x) in enumerate(zip(numbers, varied, strict=True)):
        for index in np.ndindex(x.shape):
            ends, start = [], x.data
            for step in (eps, -eps):
                x.data = start.copy()
                x.data[index] += step
                with no_grad():
                    ends.append(np.asarray(function(*copies).data, float).ravel())
            x.data = start
            slopes = (ends[0] - ends[1]) / (2 * eps)
            exact = np.array([row[k][index] for row in rows])
            if not np.allclose(exact, slopes, atol=atol, rtol=rtol):
                raise RuntimeError(f"input {number}, element {index}: {exact} against {slopes}")
    return True
