"""Automatic differentiation: operations inside `with Tape():` are recorded and played back in reverse.

Read it in this order: undoing broadcasting, the backward rules of module 02's ops, the arrays a tape holds, the tape,
`no_grad`, and `gradcheck`, which compares any gradient with finite differences.
"""

# ruff: noqa: ARG001, ARG005 - every rule takes all the arguments that `Op` passes, even if it does not need them
# ruff: noqa: SIM105 - `suppress` would take as long as everything else that freeing an entry needs

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import contextmanager

import numpy as np
from tinytorch import tensor as ops
from tinytorch.layers import accumulate_grad
from tinytorch.tensor import Op, Tensor, set_recorder


def unbroadcast(grad, shape: tuple[int, ...]):
    """Return `grad` summed over every axis along which `shape` was stretched: ones of (2, 3) for (3,) → [2, 2, 2]."""
    # BEGIN SOLUTION 9.1
    extra = grad.ndim - len(shape)
    stretched = (extra + axis for axis, size in enumerate(shape) if size == 1)
    return grad.sum(axis=(*range(extra), *stretched)).reshape(shape)
    # END SOLUTION


def add_backward(grad, output, a, b):
    """Return `(grad_a, grad_b)` of a + b: both are `grad`, in the shapes of `a` and `b`."""
    # BEGIN SOLUTION 9.2
    return unbroadcast(grad, a.shape), unbroadcast(grad, b.shape)
    # END SOLUTION


def subtract_backward(grad, output, a, b):
    """Return `(grad_a, grad_b)` of a - b: `grad` and `-grad`, in the shapes of `a` and `b`."""
    # BEGIN SOLUTION 9.2
    return unbroadcast(grad, a.shape), unbroadcast(-grad, b.shape)
    # END SOLUTION


def multiply_backward(grad, output, a, b):
    """Return `(grad_a, grad_b)` of a · b: each is `grad` times the other input."""
    # BEGIN SOLUTION 9.2
    return unbroadcast(grad * b, a.shape), unbroadcast(grad * a, b.shape)
    # END SOLUTION


def divide_backward(grad, output, a, b):
    """Return `(grad_a, grad_b)` of a / b; the derivatives with respect to `a` and `b` are 1 / b and -a / b²."""
    # BEGIN SOLUTION 9.2
    return unbroadcast(grad / b, a.shape), unbroadcast(-grad * output / b, b.shape)
    # END SOLUTION


def exp_backward(grad, output, a):
    """Return `(grad_a,)` of exp, whose slope is its own output."""
    # BEGIN SOLUTION 9.3
    return (grad * output,)
    # END SOLUTION


def log_backward(grad, output, a):
    """Return `(grad_a,)` of the natural logarithm, whose slope is 1 / a."""
    # BEGIN SOLUTION 9.3
    return (grad / a,)
    # END SOLUTION


def sqrt_backward(grad, output, a):
    """Return `(grad_a,)` of the square root, whose slope is 1 / (2 · output): infinite at 0, without a warning."""
    # BEGIN SOLUTION 9.3
    with np.errstate(divide="ignore", invalid="ignore"):
        return (grad * (0.5 / output),)
    # END SOLUTION


def power_backward(grad, output, a, b):
    """Return `(grad_a, grad_b)` of a ** b without warnings: 0 for `a` where b is 0, and for `b` unless a is above 0."""
    # BEGIN SOLUTION 9.3
    with np.errstate(all="ignore"):  # both branches are computed, but bad numbers are never selected
        grad_a = np.where(b == 0, 0, grad * b * a ** (b - 1))
        grad_b = np.where(a > 0, grad * output * np.log(a), 0)
    return unbroadcast(grad_a, a.shape), unbroadcast(grad_b, b.shape)
    # END SOLUTION


def matmul_backward(grad, output, a, b):
    """Return `(grad_a, grad_b)` of a @ b: stretched leading axes are summed, and a vector is one row or one column."""
    # BEGIN SOLUTION 9.4
    rows, columns = a if a.ndim > 1 else a[None, :], b if b.ndim > 1 else b[:, None]
    grad = grad if b.ndim > 1 else grad[..., None]
    grad = grad if a.ndim > 1 else grad[..., None, :]
    grad_a = unbroadcast(grad @ columns.swapaxes(-1, -2), rows.shape)
    grad_b = unbroadcast(rows.swapaxes(-1, -2) @ grad, columns.shape)
    return grad_a.reshape(a.shape), grad_b.reshape(b.shape)
    # END SOLUTION


def restore_axes(reduced, axis, keepdims):
    """Return the result of a reduction over `axis`, with removed axes as size 1 so that it broadcasts; scalars stay."""
    return reduced if keepdims or axis is None else np.expand_dims(reduced, axis)


def sum_backward(grad, output, a, axis=None, keepdims=False):
    """Return `(grad_a,)` of a sum: every term gets the full gradient."""
    # BEGIN SOLUTION 9.5
    return (np.broadcast_to(restore_axes(grad, axis, keepdims), a.shape),)
    # END SOLUTION


def mean_backward(grad, output, a, axis=None, keepdims=False):
    """Return `(grad_a,)` of a mean: each of its n elements gets 1/n of the gradient."""
    # BEGIN SOLUTION 9.5
    n = a.size // max(output.size, 1)
    return (np.broadcast_to(restore_axes(grad / n, axis, keepdims), a.shape),)
    # END SOLUTION


def extremum_backward(grad, output, a, axis=None, keepdims=False):
    """Return `(grad_a,)` of max or min: equal elements, or NaNs, share the gradient. 6 at [1, 3, 3] → [0, 3, 3]."""
    # BEGIN SOLUTION 9.5
    wins = (a == restore_axes(output, axis, keepdims)) | np.isnan(a)
    count = wins.sum(axis=axis, keepdims=True, dtype=grad.dtype)
    return (np.where(wins, restore_axes(grad, axis, keepdims) / count, 0),)
    # END SOLUTION


def transpose_backward(grad, output, a, axes=None):
    """Return `(grad_a,)` of a transpose: the axes move back to where they were. `axes=None` reversed them."""
    # BEGIN SOLUTION 9.6
    places = None if axes is None else np.argsort(np.mod(axes, a.ndim))
    return (np.transpose(grad, places),)
    # END SOLUTION


def index_backward(grad, output, a, key):
    """Return `(grad_a,)` of indexing, summed where `key` repeats an index: [1, 2, 3] for [0, 2, 2] → [1, 0, 5]."""
    # BEGIN SOLUTION 9.6
    grad_a = np.zeros(a.shape, grad.dtype)
    np.add.at(grad_a, key, grad)
    return (grad_a,)
    # END SOLUTION


RULES: dict[Op, Callable] = {  # modules 03 to 06 gave their ops a `backward`; the rules for module 02's ops are here
    ops.add: add_backward, ops.subtract: subtract_backward, ops.multiply: multiply_backward,
    ops.divide: divide_backward, ops.negative: lambda grad, output, a: (-grad,), ops.power: power_backward,
    ops.exp: exp_backward, ops.log: log_backward, ops.sqrt: sqrt_backward, ops.matmul: matmul_backward,
    ops.reduce_sum: sum_backward, ops.reduce_mean: mean_backward, ops.reduce_max: extremum_backward,
    ops.reduce_min: extremum_backward, ops.reshape: lambda grad, output, a, shape: (grad.reshape(a.shape),),
    ops.transpose: transpose_backward, ops.index: index_backward,
}  # fmt: skip


def backward_of(op: Op) -> Callable | None:
    """Return the function that differentiates `op`: its rule in the table, or its own `backward`, or None."""
    return RULES.get(op, op.backward)


def require_grad(tensors: Iterable[Tensor]) -> None:
    """Mark these tensors to receive gradients. Raise TypeError, with its dtype, if one is not floating-point."""
    # BEGIN SOLUTION 9.7
    for tensor in tensors:
        if tensor.dtype.kind != "f":
            raise TypeError(
                f"a tensor of dtype {tensor.dtype} has no gradient: only floating-point numbers can change slightly"
            )
        tensor.requires_grad = True
    # END SOLUTION


class Tape:
    """Inside `with`, record every operation on a tensor that requires a gradient; `backward` plays the record back.

    The record is a Wengert list: an entry for each operation, in the order in which the operations ran. Entries refer
    to each other by number, never by tensor, so there are no reference cycles. A tensor computed by a recorded
    operation has `requires_grad`, `tape`, and its entry's number, `position`. Until `backward`, NumPy refuses to write
    into computed arrays (ValueError), and `backward` detects whether another recorded array has changed (RuntimeError).

    >>> x = Tensor([1.0, 2.0, 3.0])
    >>> require_grad([x])
    >>> with Tape():
    ...     loss = (x * x).sum()
    >>> loss.backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    def __init__(self):
        self.entries, self.held = [], {}  # held, by id: an array, and a copy of it, or None if it is locked
        self.first = 0  # the number of the first entry: all entries before it have been played back
        self.outer = []  # the recorders that were active before

    def __enter__(self) -> Tape:
        self.outer.append(set_recorder(self.record))
        return self

    def __exit__(self, *_):
        set_recorder(self.outer.pop())

    def hold(self, inputs, output) -> None:
        """Make the new `output` read-only, and keep copies of `inputs`, since an older view could bypass a lock."""
        for array in inputs:
            if id(array) not in self.held:
                self.held[id(array)] = array, array.copy("K")
        if id(output) not in self.held:
            output.setflags(write=False)
            self.held[id(output)] = output, None

    def check_held(self) -> None:
        """Raise RuntimeError if a recorded array has been changed in place since it was recorded."""
        for array, copy in self.held.values():
            if copy is not None and not (array == copy).all() and not np.array_equal(array, copy, equal_nan=True):
                raise RuntimeError(f"an array of shape {array.shape} was recorded, and then changed in place")

    def free(self) -> None:
        """Forget all entries and unlock the locked arrays, owners of memory before their views, as NumPy requires."""
        self.first, self.entries, held, self.held = self.first + len(self.entries), [], self.held, {}
        locked = (array for array, copy in held.values() if copy is None)
        for array in sorted(locked, key=lambda array: array.base is not None):
            try:
                array.setflags(write=True)
            except ValueError:  # a view of memory that other code keeps read-only
                pass

    __del__ = free  # even when a tape is dropped without a call to `backward`

    def source(self, tensor: Tensor) -> int | Tensor | None:
        """Return where an input's gradient goes: an entry, a leaf or None. RuntimeError if on another tape or freed."""
        if tensor.tape is None:
            return tensor if tensor.requires_grad else None
        if tensor.tape is not self or tensor.position < self.first:
            raise RuntimeError("this input was computed on another tape, or before a backward that freed its record")
        return tensor.position

    def record(self, op: Op, inputs: tuple[Tensor, ...], attributes: dict, output: Tensor) -> None:
        """Record an operation and lock its output, if an input requires a gradient and the output is floating-point."""
        # BEGIN SOLUTION 9.7
        if output.data.dtype.kind != "f" or True not in [x.requires_grad for x in inputs]:
            return
        arrays = [x.data for x in inputs]
        sources = [self.source(x) for x in inputs]
        output.requires_grad, output.tape, output.position = True, self, self.first + len(self.entries)
        self.entries.append((op, arrays, attributes, output.data, sources))
        self.hold(arrays, output.data)
        # END SOLUTION

    def backward(self, tensor: Tensor, grad: Tensor | None = None) -> None:
        """Add the gradient of `tensor` to the `.grad` of every leaf that requires one, and free the tape.

        `grad`, in the shape of `tensor`, is the gradient that arrives at it; if `tensor` has one element, `grad`
        defaults to 1. Raise RuntimeError if `grad` is missing (with the shape of `tensor`), if the tape has no record
        of `tensor` or has freed it, if a recorded array has changed (`check_held`), or if an op has no rule. Raise
        ValueError, with both shapes, if `grad` or a rule's result has the wrong shape. Inside the block, recording
        continues.
        """
        # BEGIN SOLUTION 9.8
        if tensor.tape is not self or tensor.position < self.first:
            raise RuntimeError("this tape has no record of that tensor: backward frees it, so it runs only once")
        if grad is None and tensor.size != 1:
            raise RuntimeError(f"a tensor of shape {tensor.shape} needs a grad; only a single element needs none")
        if grad is not None and grad.shape != tensor.shape:
            raise ValueError(f"a grad of shape {grad.shape} does not fit a tensor of shape {tensor.shape}")
        self.check_held()
        grads = {tensor.position: np.ones(tensor.shape, tensor.dtype) if grad is None else grad.data}
        try:
            for position in range(tensor.position, self.first - 1, -1):
                if position in grads:
                    self.play(self.entries[position - self.first], grads.pop(position), grads)
        finally:
            self.free()
        # END SOLUTION

    def play(self, entry, grad, grads: dict) -> None:
        """Pass `grad`, the gradient of one entry's output, to its inputs: to leaves, or into `grads` by number."""
        op, arrays, attributes, output, sources = entry
        # BEGIN SOLUTION 9.8
        rule = backward_of(op)
        if rule is None:
            raise RuntimeError(f"the op {op.name} has no backward rule")
        common = [array.astype(output.dtype, copy=False) for array in arrays]
        shares = rule(grad.astype(output.dtype, copy=False), output, *common, **attributes)
        for source, share, array in zip(sources, shares, arrays, strict=True):
            if source is None or share is None:
                continue
            if share.shape != array.shape:
                raise ValueError(f"{op.name}'s backward gave shape {share.shape} for an input of shape {array.shape}")
            if isinstance(source, Tensor):
                accumulate_grad(source, share)
            else:
                grads[source] = grads[source] + share if source in grads else share
        # END SOLUTION


@contextmanager
def no_grad():
    """Pause recording inside the block; afterwards, the recorder that was active before is restored."""
    # BEGIN SOLUTION 9.9
    recorder = set_recorder(None)
    try:
        yield
    finally:
        set_recorder(recorder)
    # END SOLUTION


def gradcheck(function: Callable, inputs: Iterable[Tensor], eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3):
    """Return True if a tape's gradients of `function(*inputs)` match central differences; else raise RuntimeError.

    A sum with fixed random weights turns the output, of any shape, into a scalar. `gradcheck` works on copies of
    `inputs`. It changes each element of floating-point inputs by `eps`, one at a time. Raise TypeError if they are not
    float64. Raise RuntimeError, with the input's number, unless the difference between the gradient and the difference
    quotient is at most atol + rtol · |difference quotient|.
    """
    # BEGIN SOLUTION 9.10
    copies = [Tensor(x) for x in inputs]
    floating = [x for x in copies if x.dtype.kind == "f"]
    if any(x.dtype != np.float64 for x in floating):
        raise TypeError(
            "finite differences need float64: in float32, rounding errors would be all that is left of them"
        )
    require_grad(floating)

    def compute_weighted_sum():
        output = function(*copies)
        return (output * Tensor(np.random.default_rng(0).uniform(0.5, 1.5, output.shape))).sum()

    with Tape():
        loss = compute_weighted_sum()
    if loss.requires_grad:
        loss.backward()
    for number, x in enumerate(copies):
        start = x.data
        for index in np.ndindex(x.shape) if x.requires_grad else ():
            ends = []
            for step in (eps, -eps):
                x.data = start.copy()
                x.data[index] += step
                with no_grad():
                    ends.append(compute_weighted_sum().item())
            slope, exact = (ends[0] - ends[1]) / (2 * eps), 0.0 if x.grad is None else x.grad.data[index]
            if not abs(exact - slope) <= atol + rtol * abs(slope):
                raise RuntimeError(f"input {number} at {index}: backward gives {exact}, differences {slope}")
        x.data = start
    return True
    # END SOLUTION
