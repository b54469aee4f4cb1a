"""The tests of module 03: each activation's values and slopes against independent formulas, even for huge inputs."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from grading.testing import check_gradient, expect, task, traced


def make_bent_line(slope):
    """Return a function that returns x above 0 and slope · x below 0, without using a condition."""
    return lambda x: (1 + slope) / 2 * x + (1 - slope) / 2 * abs(x)


def compute_sigmoid(x):
    """Compute the sigmoid from tanh."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def compute_softmax(x, axis=-1):
    """Compute the softmax straight from its definition, for small numbers only."""
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def compute_gelu(x):
    """Compute the tanh form of GELU with a sigmoid: (1 + tanh(u)) / 2 is the sigmoid of 2u."""
    return x * compute_sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


REDUCE = "each group along `axis` adds up to 1: reduce along `axis`, with keepdims=True"


class Case(NamedTuple):
    """An activation under test: the call that creates it, its op, the op's attributes, and its formula."""

    call: str
    op: str
    attributes: dict
    formula: Callable

    @property
    def hint(self):
        """The hint for wrong values, if the task's own hint covers more than values."""
        return REDUCE if self.op == "softmax" else None

    def make_layer(self, student):
        """Create the activation in the student's process, with its own defaults if the call has no arguments."""
        name, _, given = self.call.partition("(")
        return getattr(student.activations, name)(**(self.attributes if given != ")" else {}))


CASES = {
    "relu": ("3.1", "ReLU()", "relu", {}, make_bent_line(0)),
    "leaky_relu": ("3.2", "LeakyReLU()", "leaky_relu", {"negative_slope": 0.01}, make_bent_line(0.01)),
    "leaky_relu_steep": ("3.2", "LeakyReLU(negative_slope=2)", "leaky_relu", {"negative_slope": 2}, make_bent_line(2)),
    "sigmoid": ("3.3", "Sigmoid()", "sigmoid", {}, compute_sigmoid),
    "tanh": ("3.4", "Tanh()", "tanh", {}, lambda x: 1 - 2 / (np.exp(2 * x) + 1)),
    "softmax": ("3.5", "Softmax()", "softmax", {"axis": -1}, compute_softmax),
    "softmax_axis_0": ("3.5", "Softmax(axis=0)", "softmax", {"axis": 0}, lambda x: compute_softmax(x, 0)),
    "gelu": ("3.6", "GELU()", "gelu", {}, compute_gelu),
}
every_activation = pytest.mark.parametrize(
    "case", [pytest.param(Case(*case), id=key, marks=task(number)) for key, (number, *case) in CASES.items()]
)
SHAPES = ((7,), (1, 4), (3, 5), (2, 3, 4))


@every_activation
def test_values(student, rng, case):
    """Every element of the output agrees with the formula, for any shape, in the input's dtype."""
    layer, call = case.make_layer(student), case.call
    for shape in SHAPES:
        x = rng.normal(0, 2, shape)
        got = layer(student.tensor.Tensor(x))
        expect.array(got, case.formula(x), dtype="float64", call=f"{call}(x), x of shape {shape}", hint=case.hint)
        narrow = x.astype(np.float32)
        got = layer.forward(student.tensor.Tensor(narrow))
        hint = "a Python number does not change float32, but np.float64(…) and arrays of float64 do"
        call_32 = f"{call}.forward(x), x of float32 and shape {shape}"
        expect.array(got, case.formula(narrow.astype(float)), dtype="float32", call=call_32, dtype_hint=hint)


@every_activation
def test_integers_are_computed_in_float32(student, rng, case):
    """For a tensor of integers, output and gradient are computed in float32."""
    x = rng.integers(-3, 4, (3, 4))
    layer, call = case.make_layer(student), f"{case.call}(tensor of int64)"
    hint = "as_floating(x) gives float32 for integers"
    got, wanted = layer(student.tensor.Tensor(x)), case.formula(x.astype(float))
    expect.array(got, wanted, dtype="float32", call=call, hint=case.hint, dtype_hint=hint)
    grad = layer.backward(student.tensor.Tensor(np.ones((3, 4), np.float32)))
    expect.equal(str(grad.dtype), "float32", call=f"the dtype of .backward(float32) after {call}", hint=hint)


@every_activation
def test_backward_agrees_with_finite_differences(student, rng, case):
    """The op's backward function agrees with finite differences."""
    for shape in ((5,), (3, 4), (2, 3, 2)):
        x = rng.choice([-1, 1], shape) * rng.uniform(0.1, 3, shape)  # away from the bend at 0
        check_gradient(getattr(student.activations, case.op), x, **case.attributes)


@every_activation
def test_the_layer_passes_a_gradient_back(student, rng, case):
    """backward(grad) uses the last forward pass, and keeps float32."""
    layer = case.make_layer(student)
    tensor = student.tensor.Tensor
    first, x = (rng.choice([-1, 1], (3, 4)) * rng.uniform(0.1, 3, (3, 4)) for _ in range(2))
    grad = rng.normal(size=(3, 4))
    layer(tensor(first))
    layer(tensor(x))
    call = f"layer = {case.call}; layer(first); layer(x); layer.backward(grad)"
    expect.array(
        layer.backward(tensor(grad)), estimate_gradient(case.formula, x, grad), dtype="float64", call=call, rtol=1e-4
    )
    layer(tensor(x.astype(np.float32)))
    got = layer.backward(tensor(grad.astype(np.float32)))
    expect.array(
        got,
        estimate_gradient(case.formula, x, grad),
        dtype="float32",
        call=f"{call}, all float32",
        rtol=1e-3,
        atol=1e-5,
    )


@every_activation
def test_nothing_is_changed_in_place(student, rng, case):
    """Neither the input nor the incoming gradient is changed."""
    x, grad = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    its_x, its_grad = student.tensor.Tensor(x), student.tensor.Tensor(grad)
    layer = case.make_layer(student)
    output = layer(its_x)
    before = np.array(output.numpy())
    layer.backward(its_grad)
    call = f"layer = {case.call}; y = layer(x); layer.backward(grad)"
    hint = "compute new arrays; +=, *= and out= change the arrays of the caller"
    expect.array(its_x, x, call=f"{call}; x", hint=hint)
    expect.array(its_grad, grad, call=f"{call}; grad", hint=hint)
    expect.array(output, before, call=f"{call}; y", hint=hint)


@every_activation
def test_every_activation_is_one_recorded_op(student, rng, case):
    """A recorder is called for exactly one op, which is the activation's own."""
    with traced(student.tensor) as trace:
        case.make_layer(student)(student.tensor.Tensor(rng.normal(size=(2, 3))))
    expect.equal([entry[0] for entry in trace.entries], [case.op], call=f"the ops a Trace records in {case.call}(x)")


@every_activation
def test_there_is_nothing_to_learn(student, rng, case):
    """parameters() is empty, even after a forward pass."""
    layer = case.make_layer(student)
    layer(student.tensor.Tensor(rng.normal(size=(2, 3))))
    expect.equal(layer.parameters(), [], call=f"{case.call}.parameters()")


@every_activation
def test_backward_says_what_it_misses(student, rng, case):
    """Backward before forward raises a RuntimeError; a wrong gradient shape raises a ValueError with both shapes."""
    layer, call = case.make_layer(student), case.call
    with expect.raises(RuntimeError, mentions=("forward",), call=f"{call}.backward(grad) without forward"):
        layer.backward(student.tensor.Tensor(rng.normal(size=(2, 3))))
    layer(student.tensor.Tensor(rng.normal(size=(2, 3))))
    with expect.raises(ValueError, mentions=("(2, 3)", "(3,)"), call=f"{call}: x of (2, 3), grad of (3,)"):
        layer.backward(student.tensor.Tensor(rng.normal(size=3)))


# 3.1: ReLU


@task("3.1")
def test_relu_at_its_bend(student):
    """ReLU gives 0 for 0 and for negative numbers, and its slope at exactly 0 is 0."""
    x, grad = np.array([-2.0, -0.0, 0.0, 3.0]), np.array([5.0, 6.0, 7.0, -8.0])
    layer = student.activations.ReLU()
    expect.array(layer(student.tensor.Tensor(x)), [0, 0, 0, 3], call="ReLU()([-2, -0, 0, 3])")
    got = layer.backward(student.tensor.Tensor(grad))
    hint = "the sign of x opens the gate, which is closed at exactly 0"
    expect.array(got, [0, 0, 0, -8], call="the gradient at [-2, -0, 0, 3] for grad [5, 6, 7, -8]", hint=hint)


@task("3.1")
def test_relu_of_large_numbers(student):
    """ReLU leaves 1e4 and infinity as they are, and gives 0 for their negatives."""
    x = np.array([-np.inf, -1e4, 1e-4, 1e4, np.inf], np.float32)
    got = student.activations.ReLU()(student.tensor.Tensor(x))
    expect.array(got, [0, 0, 1e-4, 1e4, np.inf], dtype="float32", call="ReLU()([-inf, -1e4, 1e-4, 1e4, inf])")


@task("3.1")
def test_relu_stops_an_infinite_gradient(student):
    """The gradient passes through where x is above 0; everywhere else it becomes 0, however large it was."""
    layer = student.activations.ReLU()
    layer(student.tensor.Tensor([-2.0, 0.0, 3.0, -1.0]))
    got = layer.backward(student.tensor.Tensor([math.inf, -math.inf, math.inf, 1.0]))
    call, hint = "the gradient of ReLU at [-2, 0, 3, -1] for grad [inf, -inf, inf, 1]", "inf · 0 is nan: choose instead"
    expect.array(got, [0, 0, math.inf, 0], dtype="float32", call=call, hint=hint)


# 3.2: LeakyReLU


@task("3.2")
@pytest.mark.parametrize("slope", [0.2, 0.0, 1.0, 3.0, -0.5])
def test_leaky_relu_with_any_slope(student, slope):
    """LeakyReLU multiplies negative numbers by any negative_slope, and scales their gradients in the same way."""
    layer, call = student.activations.LeakyReLU(negative_slope=slope), f"LeakyReLU(negative_slope={slope})"
    hint = "choose by the sign of x; the larger of two values is correct only for slopes from 0 to 1"
    got = layer(student.tensor.Tensor([-2.0, -1.0, 0.0, 0.5, 4.0]))
    expect.array(got, [-2 * slope, -slope, 0, 0.5, 4], dtype="float32", call=f"{call}([-2, -1, 0, 0.5, 4])", hint=hint)
    got = layer.backward(student.tensor.Tensor([1.0, -2.0, 3.0, -4.0, 5.0]))
    wanted = [slope, -2 * slope, 3 * slope, -4, 5]
    call = f"{call}: the gradient at [-2, -1, 0, 0.5, 4] for grad [1, -2, 3, -4, 5]"
    expect.array(got, wanted, dtype="float32", call=call, hint="0 itself counts as negative here")


@task("3.2")
def test_leaky_relu_slope_by_position(student):
    """LeakyReLU's slope is 0.01 by default, and may be passed by position."""
    x = student.tensor.Tensor([-100.0])
    expect.array(student.activations.LeakyReLU()(x), [-1.0], call="LeakyReLU()([-100])")
    expect.array(student.activations.LeakyReLU(0.5)(x), [-50.0], call="LeakyReLU(0.5)([-100])")


# 3.3: Sigmoid


@task("3.3")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_sigmoid_is_stable(student, dtype):
    """Sigmoid of ±1e4 is exactly 0 or 1 without an overflow, and the gradient there is 0."""
    x = np.array([-1e4, -800, -100, 0, 100, 800, 1e4], dtype)
    layer, call = student.activations.Sigmoid(), f"Sigmoid()([-1e4, -800, -100, 0, 100, 800, 1e4]) in {dtype}"
    hint = "exp must never see a large positive number: use exp(-|x|) on both sides"
    got = layer(student.tensor.Tensor(x))
    expect.array(got, [0, 0, 0, 0.5, 1, 1, 1], dtype=dtype, call=call, hint=hint)
    ends = np.array(got.numpy())[[0, 1, -2, -1]].tolist()
    expect.equal(ends, [0.0, 0.0, 1.0, 1.0], call=f"the outer values of {call}", hint=hint)
    got = layer.backward(student.tensor.Tensor(np.ones(7, dtype)))
    expect.array(got, [0, 0, 0, 0.25, 0, 0, 0], dtype=dtype, call=f"the gradient of {call} for grad 1")


@task("3.3")
def test_sigmoid_by_hand(student, rng):
    """Sigmoid of ln 3 is 3/4, sigmoid of -ln 3 is 1/4, and sigmoid(-x) is always 1 - sigmoid(x)."""
    layer, tensor = student.activations.Sigmoid(), student.tensor.Tensor
    got = layer(tensor(np.log([3, 1 / 3, 1, 9])))
    expect.array(got, [0.75, 0.25, 0.5, 0.9], call="Sigmoid()([ln 3, -ln 3, 0, ln 9])")
    got = layer.backward(tensor([4.0, 4.0, 4.0, -10.0]))
    expect.array(got, [0.75, 0.75, 1, -0.9], call="the gradient there for grad [4, 4, 4, -10]", rtol=1e-4)
    x = rng.normal(0, 10, 50)
    expect.array(
        layer(tensor(-x)), 1 - np.array(layer(tensor(x)).numpy()), call="Sigmoid()(-x), against 1 - Sigmoid()(x)"
    )


# 3.4: Tanh


@task("3.4")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_tanh_is_stable(student, dtype):
    """Tanh of ±1e4 is exactly ±1, and the gradient there is 0."""
    x = np.array([-1e4, -50, 0, 50, 1e4], dtype)
    layer, call = student.activations.Tanh(), f"Tanh()([-1e4, -50, 0, 50, 1e4]) in {dtype}"
    hint = "exp overflows here; np.tanh does not"
    expect.array(layer(student.tensor.Tensor(x)), [-1, -1, 0, 1, 1], dtype=dtype, call=call, hint=hint)
    got = layer.backward(student.tensor.Tensor(np.full(5, 3, dtype)))
    expect.array(got, [0, 0, 3, 0, 0], dtype=dtype, call=f"the gradient of {call} for grad 3", hint=hint)


@task("3.4")
def test_tanh_by_hand(student):
    """Tanh of ½ ln 3 is one half, where the slope is three quarters."""
    layer = student.activations.Tanh()
    x = np.array([0.5, -0.5]) * np.log(3)
    expect.array(layer(student.tensor.Tensor(x)), [0.5, -0.5], call="Tanh()([½ ln 3, -½ ln 3])")
    got = layer.backward(student.tensor.Tensor([4.0, -8.0]))
    expect.array(
        got, [3, -6], call="the gradient there for grad [4, -8]", hint="the slope is 1 - t², where t is the output"
    )


# 3.5: Softmax


@task("3.5")
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_softmax_along_any_axis(student, rng, axis):
    """Softmax outputs add up to 1 along any given axis, and their gradients add up to 0."""
    x, grad = rng.normal(0, 3, (2, 3, 4)), rng.normal(size=(2, 3, 4))
    layer, call = student.activations.Softmax(axis=axis), f"Softmax(axis={axis})(x) of shape (2, 3, 4)"
    hint = "reduce along `axis`, with keepdims=True"
    got = np.array(layer(student.tensor.Tensor(x)).numpy())
    expect.array(got, compute_softmax(x, axis), call=call, hint=hint)
    expect.array(got.sum(axis=axis), np.ones_like(x.sum(axis=axis)), call=f"{call}, summed along the axis", hint=hint)
    got = np.array(layer.backward(student.tensor.Tensor(grad)).numpy())
    expect.array(
        got, estimate_gradient(lambda x: compute_softmax(x, axis), x, grad), call=f"the gradient of {call}", rtol=1e-4
    )
    expect.array(got.sum(axis=axis), 0 * x.sum(axis=axis), call=f"the gradient of {call}, summed along the axis")


@task("3.5")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_is_stable(student, dtype):
    """Softmax of ±1e4 gives exact probabilities without an overflow, even in a row that holds only -1e4."""
    x = np.array([[-1e4, 0, 1e4], [1e4, 1e4, -1e4], [-1e4, -1e4, -1e4], [9999, 1e4, 9998]], dtype)
    wanted = [[0, 0, 1], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3], compute_softmax(np.array([1.0, 2, 0])).tolist()]
    layer = student.activations.Softmax()
    hint = "subtract the maximum of each group before exp, not the maximum of the entire array"
    got = layer(student.tensor.Tensor(x))
    expect.array(got, wanted, dtype=dtype, call=f"Softmax()({x.tolist()}) in {dtype}", hint=hint)
    got = layer.backward(student.tensor.Tensor(np.ones((4, 3), dtype)))
    call = f"the gradient of Softmax()({x.tolist()}) for grad 1"
    expect.array(got, np.zeros((4, 3)), dtype=dtype, call=call, hint="a sum that is always 1 has no slope")


@task("3.5")
def test_softmax_ignores_what_is_added_to_all(student, rng):
    """Softmax stays the same when the same number is added to all scores of a group."""
    x = rng.normal(size=(3, 5))
    shifted = x + rng.normal(0, 100, (3, 1))
    got = student.activations.Softmax()(student.tensor.Tensor(shifted))
    expect.array(got, compute_softmax(x), call="Softmax()(x + c), against the softmax of x")


@task("3.5")
def test_softmax_leaves_out_minus_infinity(student):
    """Softmax gives a score of -inf the probability 0, and it gives a single score the probability 1."""
    layer, tensor = student.activations.Softmax(), student.tensor.Tensor
    expect.array(layer(tensor([0.0, -np.inf, math.log(3)])), [0.25, 0, 0.75], call="Softmax()([0, -inf, ln 3])")
    expect.array(layer(tensor([[7.0], [-7.0]])), [[1], [1]], call="Softmax()([[7], [-7]])")


@task("3.5")
def test_softmax_of_nothing(student):
    """Softmax along an empty axis is empty, and so is its gradient."""
    layer, tensor = student.activations.Softmax(), student.tensor.Tensor
    for shape in ((2, 0), (0, 3), (0,)):
        call, hint = f"Softmax()(x of shape {shape})", "the maximum of no elements needs initial=-np.inf"
        expect.array(layer(tensor(np.zeros(shape))), np.zeros(shape), dtype="float64", call=call, hint=hint)
        expect.array(layer.backward(tensor(np.zeros(shape))), np.zeros(shape), call=f"the gradient of {call}")


# 3.6: GELU


@task("3.6")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_gelu_is_stable(student, dtype):
    """GELU of a number far from 0 is the number itself or 0, and the slope there is 1 or 0."""
    most = float(np.finfo(dtype).max) / 4
    x = np.array([-most, -1e4, -100, 0, 100, 1e4, most], dtype)
    layer, call = student.activations.GELU(), f"GELU()([-{most:.0e}, -1e4, -100, 0, 100, 1e4, {most:.0e}]) in {dtype}"
    hint = "x³ and x² overflow here, and inf · 0 is nan: beyond ±10 the tanh is ±1 anyway, so clip x for u"
    expect.array(layer(student.tensor.Tensor(x)), [0, 0, 0, 0, *x[4:]], dtype=dtype, call=call, hint=hint)
    got = layer.backward(student.tensor.Tensor(np.full(7, 2, dtype)))
    expect.array(got, [0, 0, 0, 1, 2, 2, 2], dtype=dtype, call=f"the gradient of {call} for grad 2", hint=hint)


@task("3.6")
def test_gelu_is_close_to_its_exact_form(student):
    """GELU stays within 0.0005 of x times the normal cumulative distribution function."""
    x = np.linspace(-6, 6, 97)
    exact = np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x])
    got = student.activations.GELU()(student.tensor.Tensor(x))
    expect.array(got, exact, rtol=0, atol=5e-4, call="GELU()(97 numbers from -6 to 6), against the exact form")


def estimate_gradient(formula, x, grad, step=1e-6):
    """Compute the gradient of the sum of formula(x) · grad with respect to x by central finite differences."""
    result = np.empty_like(x)
    for index in np.ndindex(x.shape):
        move = np.zeros_like(x)
        move[index] = step
        result[index] = ((formula(x + move) - formula(x - move)) * grad).sum() / (2 * step)
    return result
