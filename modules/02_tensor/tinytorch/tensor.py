"""Arrays with a framework's rules: values, dtypes, broadcasting, `apply`, operations, and the class `Tensor`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DEFAULT_FLOAT = np.dtype(np.float32)
DEFAULT_INT = np.dtype(np.int64)
NUMBER = (int, float, np.bool, np.integer, np.floating)  # Python's bool is an int


def to_array(data, dtype=None) -> np.ndarray:
    """Return `data` (a number, nested lists, an array or a Tensor) as a new array that shares no memory with it.

    Python floats become float32, ints become int64, and bools remain bool. NumPy arrays, NumPy scalars and tensors keep
    their dtype. A given `dtype` overrides these rules. Raise ValueError for ragged lists and TypeError for anything but
    real numbers.

    >>> to_array([1, 2.5]).dtype
    dtype('float32')
    """
    # BEGIN SOLUTION 2.1
    if isinstance(data, Tensor):
        data = data.data
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(f"a tensor needs lists of equal length at every depth: {error}") from error
    for held in (array.dtype, array.dtype if dtype is None else np.dtype(dtype)):
        if held.kind not in "biuf":
            raise TypeError(f"a tensor holds numbers or bools; {type(data).__name__} of dtype {held} is neither")
    if dtype is None and not isinstance(data, np.ndarray | np.generic):
        dtype = {"f": DEFAULT_FLOAT, "i": DEFAULT_INT}.get(array.dtype.kind)
    return array if dtype is None else array.astype(dtype, copy=False)
    # END SOLUTION


def result_dtype(*operands) -> np.dtype:
    """Return the dtype in which `operands`, tensors and numbers, combine: floating-point beats integer beats bool.

    Among tensors of the highest kind, the widest dtype decides, so int64 with float32 gives float32. A number counts
    only when its kind ranks above every tensor's, or when there is no tensor. It then counts as float32, int64 or bool.
    An int that an integer dtype cannot hold, such as 300 with uint8, gives int64.
    """
    # BEGIN SOLUTION 2.3
    dtypes = {x.data.dtype for x in operands if isinstance(x, Tensor)}
    floating = [dtype for dtype in dtypes if dtype.kind == "f"]
    if floating:
        return max(floating)  # NumPy orders dtypes by safe casting: float64 is above float32
    numbers = [to_array(x).item() for x in operands if not isinstance(x, Tensor)]
    dtype = np.result_type(*dtypes, *numbers)  # in NumPy too, Python's numbers adapt to a dtype of their kind
    if dtype.kind in "iu" and any(not np.iinfo(dtype).min <= number <= np.iinfo(dtype).max for number in numbers):
        return DEFAULT_INT
    return DEFAULT_FLOAT if dtype.kind == "f" else dtype
    # END SOLUTION


def as_floating(array):
    """Return a floating-point `array` unchanged and any other as float32, for division, mean, exp, log and sqrt."""
    # BEGIN SOLUTION 2.3
    return array if array.dtype.kind == "f" else array.astype(DEFAULT_FLOAT)
    # END SOLUTION


def broadcast_shape(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape to which the shapes `a` and `b` broadcast.

    Once the shapes are aligned on the right, each pair of sizes must be equal or contain a 1. The shorter shape is
    filled with ones on its left: (2, 1, 4) and (3, 1) → (2, 3, 4). Raise ValueError with both shapes and the clash
    ("sizes 3 and 4").
    """
    # BEGIN SOLUTION 2.4
    if a == b:
        return a
    ndim = max(len(a), len(b))
    padded = zip((1,) * (ndim - len(a)) + a, (1,) * (ndim - len(b)) + b, strict=True)
    shape = []
    for axis, (m, n) in enumerate(padded, start=-ndim):
        if m != n and 1 not in (m, n):
            raise ValueError(f"{a} and {b} do not broadcast: axis {axis} has sizes {m} and {n}, neither equal nor 1")
        shape.append(n if m == 1 else m)
    return tuple(shape)
    # END SOLUTION


def elementwise(function):
    """Return `function`, of two arrays, with a better error message: `broadcast_shape` explains why shapes clash."""

    def forward(a, b):
        # BEGIN SOLUTION 2.4
        try:
            return function(a, b)
        except ValueError:
            broadcast_shape(a.shape, b.shape)
            raise
        # END SOLUTION

    return forward


@dataclass(frozen=True)
class Op:
    """An operation: a pair of pure array functions.

    `forward(*arrays, **attributes)` returns an array. `backward(grad, output, *arrays, **attributes)` returns one
    gradient per input array, or `None` where there is none. Anything that is not differentiated (an axis, a shape,
    indices) is an attribute.
    """

    name: str
    forward: Callable
    backward: Callable | None = None


_recorder = None


def set_recorder(recorder):
    """Make `recorder(op, inputs, attributes, output)` run after every operation; return the previous recorder."""
    global _recorder  # the one place where a framework's operations can be watched
    previous, _recorder = _recorder, recorder
    return previous


class Trace:
    """The simplest recorder: it appends each operation to `entries`."""

    def __init__(self):
        self.entries = []

    def __call__(self, op, inputs, attributes, output):
        """Record one operation."""
        self.entries.append((op.name, inputs, attributes, output))


def wrap(array) -> Tensor:
    """Return a Tensor that wraps `array` itself, without the copy that `Tensor(array)` makes."""
    tensor = Tensor.__new__(Tensor)
    tensor.data = np.asarray(array)
    return tensor


def apply(op: Op, *inputs, **attributes) -> Tensor:
    """Run `op` on inputs, made tensors of a common dtype; tell the recorder; return a Tensor. All ops run through here.

    `op.forward` receives arrays in the inputs' common dtype. If it raises a ValueError, `apply` raises a new one with
    the op's name and the shapes in front of its message. The recorder, if there is one, receives `op`, a tuple of the
    input tensors (the originals, not copies in the common dtype), `attributes` and the output.
    """
    # BEGIN SOLUTION 2.5
    operands = [x if isinstance(x, (Tensor, NUMBER)) else Tensor(x) for x in inputs]
    dtype = result_dtype(*operands)
    tensors = [x if isinstance(x, Tensor) else wrap(np.asarray(x, dtype)) for x in operands]
    arrays = [x.data.astype(dtype, copy=False) for x in tensors]
    try:
        output = wrap(op.forward(*arrays, **attributes))
    except ValueError as error:
        shapes = " and ".join(str(array.shape) for array in arrays)
        raise ValueError(f"{op.name} of {shapes}: {error}") from error
    if _recorder is not None:
        _recorder(op, tuple(tensors), attributes, output)
    return output
    # END SOLUTION


def operator(op):
    """Return the method of Tensor for `self ∘ other`, where ∘ is `op`, or for `∘ self` if `op` takes one array."""

    def method(self, *others):
        # BEGIN SOLUTION 2.6
        return apply(op, self, *others)
        # END SOLUTION

    return method


def reflected(op):
    """Return the method of Tensor for `other ∘ self`, which Python calls when `other` is not a tensor: `1 - x`."""

    def method(self, other):
        # BEGIN SOLUTION 2.6
        return apply(op, other, self)
        # END SOLUTION

    return method


def reduction(op, doc):
    """Return the method of Tensor that runs `op` along `axis`: an int, a tuple of ints, or None for all axes."""

    def method(self, axis=None, keepdims=False):
        # BEGIN SOLUTION 2.8
        return apply(op, self, axis=axis, keepdims=keepdims)
        # END SOLUTION

    method.__doc__ = doc
    return method


def matmul_forward(a, b):
    """Return the matrix product: (..., n, k) by (..., k, m) gives (..., n, m); a vector counts as a row or a column.

    Leading axes broadcast. Raise ValueError when the inner sizes differ ("sizes 3 and 4"), the leading axes do not
    broadcast, or an input has no axis.
    """
    # BEGIN SOLUTION 2.7
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("a matrix product needs at least one axis on both sides; scale with * instead")
    inner_a, inner_b = a.shape[-1], b.shape[-2] if b.ndim > 1 else b.shape[0]
    if inner_a != inner_b:
        raise ValueError(f"inner sizes {inner_a} and {inner_b} differ: columns of the left, rows of the right")
    broadcast_shape(a.shape[:-2], b.shape[:-2])
    return np.matmul(a, b)
    # END SOLUTION


def mean_forward(a, axis, keepdims):
    """Return the mean over `axis`; the result is float32 for integers and bools."""
    # BEGIN SOLUTION 2.8
    return as_floating(a).mean(axis=axis, keepdims=keepdims)
    # END SOLUTION


add = Op("add", elementwise(np.add))
subtract = Op("subtract", elementwise(np.subtract))
multiply = Op("multiply", elementwise(np.multiply))
divide = Op("divide", elementwise(lambda a, b: as_floating(a) / as_floating(b)))
power = Op("power", elementwise(np.power))
negative = Op("negative", np.negative)
exp = Op("exp", lambda a: np.exp(as_floating(a)))
log = Op("log", lambda a: np.log(as_floating(a)))
sqrt = Op("sqrt", lambda a: np.sqrt(as_floating(a)))
comparisons = np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal
equal, not_equal, less, less_equal, greater, greater_equal = (Op(f.__name__, elementwise(f)) for f in comparisons)
matmul = Op("matmul", matmul_forward)
# Integers are summed in int64: NumPy's own sum of uint8 is unsigned, so `sum - 10` would wrap around below 0.
reduce_sum = Op("sum", lambda a, **how: a.sum(**how, dtype=a.dtype if a.dtype.kind == "f" else DEFAULT_INT))
reduce_mean = Op("mean", mean_forward)
reduce_max = Op("max", np.max)
reduce_min = Op("min", np.min)
reshape = Op("reshape", lambda a, shape: np.reshape(a, shape))
transpose = Op("transpose", lambda a, axes: np.transpose(a, axes))
index = Op("index", lambda a, key: a[key])


class Tensor:
    """An array (`data`) and, once it has been computed, its gradient (`grad`, a Tensor of the same shape)."""

    grad: Tensor | None = None
    requires_grad = False
    tape = None  # the recorder that saw how this tensor was computed: module 09 writes it
    # NumPy's own operators step aside, so that `array + tensor` reaches `Tensor.__radd__`.
    __array_ufunc__ = None

    def __init__(self, data, dtype=None):
        self.data = to_array(data, dtype)

    shape = property(lambda self: self.data.shape, doc="The size of every axis, as a tuple; `()` for a scalar.")
    ndim = property(lambda self: self.data.ndim, doc="The number of axes.")
    size = property(lambda self: self.data.size, doc="The number of elements.")
    dtype = property(lambda self: self.data.dtype, doc="The dtype of every element.")

    def numpy(self) -> np.ndarray:
        """Return the array itself, sharing memory."""
        return self.data

    def item(self) -> float | int | bool:
        """Return the one element as a Python number. Raise ValueError, with the shape, unless there is exactly one."""
        # BEGIN SOLUTION 2.2
        if self.size != 1:
            raise ValueError(f"item() needs a tensor of exactly one element, and shape {self.shape} has {self.size}")
        return self.data.item()
        # END SOLUTION

    def tolist(self):
        """Return nested lists of Python numbers, or a plain number for a scalar."""
        # BEGIN SOLUTION 2.2
        return self.data.tolist()
        # END SOLUTION

    def backward(self, grad: Tensor | None = None) -> None:
        """Add to the `grad` of inputs `require_grad` marked, and free the tape. Raise RuntimeError without one."""
        if self.tape is None:
            raise RuntimeError("no tape has recorded how this tensor was computed (see module 09)")
        self.tape.backward(self, grad)

    def __len__(self):
        # BEGIN SOLUTION 2.2
        return len(self.data)  # NumPy raises a TypeError for a scalar
        # END SOLUTION

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self.item())

    def __repr__(self):
        text = np.array2string(self.data, precision=4, separator=", ", prefix="Tensor(")
        shape = f", shape={self.shape}" if self.size == 0 and self.ndim > 1 else ""
        dtype = "" if self.dtype == DEFAULT_FLOAT else f", dtype={self.dtype}"
        return f"Tensor({text}{shape}{dtype})"

    __add__, __radd__ = operator(add), reflected(add)
    __sub__, __rsub__ = operator(subtract), reflected(subtract)
    __mul__, __rmul__ = operator(multiply), reflected(multiply)
    __truediv__, __rtruediv__ = operator(divide), reflected(divide)
    __pow__, __rpow__ = operator(power), reflected(power)
    __matmul__, __rmatmul__ = operator(matmul), reflected(matmul)
    __neg__ = operator(negative)
    exp, log, sqrt = operator(exp), operator(log), operator(sqrt)

    __eq__, __ne__ = operator(equal), operator(not_equal)
    __lt__, __le__ = operator(less), operator(less_equal)
    __gt__, __ge__ = operator(greater), operator(greater_equal)
    # Defining == removes the inherited hash; hashing by identity keeps tensors usable in sets and as keys.
    __hash__ = object.__hash__

    sum = reduction(reduce_sum, "Return the sum over `axis`, int64 for integers; `keepdims` leaves axes of size 1.")
    mean = reduction(reduce_mean, "Return the mean over `axis`; float32 for integers.")
    max = reduction(reduce_max, "Return the largest element over `axis`. Raise ValueError if there is none.")
    min = reduction(reduce_min, "Return the smallest element over `axis`. Raise ValueError if there is none.")

    def reshape(self, *shape) -> Tensor:
        """Return the same elements in a new shape, given as ints or one tuple; one size may be -1, for what is left."""
        # BEGIN SOLUTION 2.9
        return apply(reshape, self, shape=shape[0] if len(shape) == 1 else shape)
        # END SOLUTION

    def transpose(self, *axes) -> Tensor:
        """Return the tensor with its axes in the given order (ints or one tuple), or reversed when none is given."""
        # BEGIN SOLUTION 2.9
        return apply(transpose, self, axes=axes[0] if len(axes) == 1 else axes or None)
        # END SOLUTION

    T = property(transpose, doc="The tensor with its axes reversed.")

    def __getitem__(self, key):
        # BEGIN SOLUTION 2.10
        keys = key if isinstance(key, tuple) else (key,)
        return apply(index, self, key=tuple(k.data if isinstance(k, Tensor) else k for k in keys))
        # END SOLUTION
