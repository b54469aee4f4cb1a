"""The tests of module 09: every backward rule, what a tape records, how it is played back, and the errors it raises."""

from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pytest

from grading.testing import check_gradient, expect, task, values

BROADCASTS = (
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (3, 4)),
    ((), (2, 3)),
    ((2, 3), ()),
    ((2, 1, 4), (3, 1)),
    ((1, 1), (1,)),
    ((1, 3), (2, 1, 1, 3)),
)
broadcasts = pytest.mark.parametrize("shapes", BROADCASTS, ids=[f"{a} {b}" for a, b in BROADCASTS])
PRODUCTS = (
    ((3, 4), (4, 2)),
    ((1, 1), (1, 1)),
    ((4,), (4,)),
    ((4,), (4, 2)),
    ((3, 4), (4,)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 3)),
    ((2, 3, 4), (4, 2)),
    ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((1, 3, 4), (2, 4, 1)),
    ((2, 3, 4), (2, 4, 2)),
)
AXES = (None, 0, -1, (0, 2), (-2, 0))
REDUCTIONS = ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min")


class OpWithRule(NamedTuple):
    """An op from module 02 together with its rule from module 09."""

    name: str
    forward: Any
    backward: Any


def find_op_with_rule(student, name):
    """Return the forward function of `tinytorch.tensor.<name>` and its backward rule."""
    op = getattr(student.tensor, name)
    return OpWithRule(name, op.forward, student.autograd.backward_of(op))


def draw_spread_numbers(rng, shape, low=0.3, high=0.9):
    """Return numbers in random order, with no two close together, and none close to 0 if the limits are symmetric."""
    size = int(np.prod(shape))
    places = (rng.permutation(size) + rng.uniform(0.2, 0.4)) / max(size, 1)
    return (low + (high - low) * places).reshape(shape)


def make_leaf_tensors(student, *arrays):
    """Return tensors of these arrays that require a gradient."""
    tensors = [student.tensor.Tensor(np.asarray(array)) for array in arrays]
    student.autograd.require_grad(tensors)
    return tensors


def expect_grad(tensor, wanted, *, call, hint=None, dtype=None, **tolerance):
    """Check that the tensor has this gradient."""
    grad = tensor.grad
    missing = "a tensor: the gradient must reach this leaf"
    expect.that(grad is not None, call=f"the .grad of {call}", got="None", expected=missing, hint=hint)
    expect.array(grad, wanted, call=f"the .grad of {call}", hint=hint, dtype=dtype, **tolerance)


def check_rule_in_float32(op_with_rule, *arrays, **attributes):
    """Check that a rule returns float32 for float32, in the shapes of the inputs, and does not change its arguments."""
    arrays = [array.astype("float32") for array in arrays]
    output = expect.pull(op_with_rule.forward(*arrays, **attributes), call=f"{op_with_rule.name}.forward")
    grad = np.ones_like(output)
    handed = [grad, np.array(output), *(array.copy() for array in arrays)]
    shares = op_with_rule.backward(*handed, **attributes)
    call = f"the backward rule of {op_with_rule.name}, all float32"
    for share, array in zip(shares, arrays, strict=True):
        expect.equal(share.shape, array.shape, call=f"{call}: a gradient's shape")
        expect.equal(
            str(share.dtype),
            "float32",
            call=f"{call}: a gradient's dtype",
            hint="np.float64 scalars and integer arrays promote to float64",
        )
    for got, wanted in zip(handed, (np.ones_like(output), output, *arrays), strict=True):
        expect.array(got, wanted, call=f"{call}: its arguments", hint="compute new arrays")


# 9.1: undoing broadcasting


@task("9.1")
@broadcasts
def test_unbroadcast_sums_what_was_stretched(student, rng, shapes):
    """Each element gets the sum of the gradients of all the copies that broadcasting made of it."""
    stretched = np.broadcast_shapes(*shapes)
    for shape in shapes:
        grad = rng.normal(size=stretched)
        wanted = np.zeros(shape)
        origin = np.broadcast_to(np.arange(wanted.size).reshape(shape), stretched)
        np.add.at(wanted.reshape(-1), origin.reshape(-1), grad.reshape(-1))
        call = f"unbroadcast(grad of {stretched}, {shape})"
        expect.array(student.autograd.unbroadcast(grad, shape), wanted, dtype="float64", call=call)
        narrow = student.autograd.unbroadcast(grad.astype("float32"), shape)
        expect.array(narrow, wanted, dtype="float32", call=f"{call} in float32", rtol=1e-4, atol=1e-5)


@task("9.1")
def test_unbroadcast_of_nothing(student):
    """If an axis was stretched from size 1 to size 0, the empty sum is 0; an axis of size 0 keeps its size."""
    for shape in ((1, 3), (0, 3)):
        got = student.autograd.unbroadcast(np.ones((2, 0, 3)), shape)
        expect.array(got, np.zeros(shape), call=f"unbroadcast(grad of (2, 0, 3), {shape})")


@task("9.1")
def test_unbroadcast_leaves_its_input(student, rng):
    """The gradient passed to unbroadcast does not change."""
    grad = rng.normal(size=(2, 3))
    kept = grad.copy()
    student.autograd.unbroadcast(grad, (3,))
    expect.array(grad, kept, call="grad after unbroadcast(grad, (3,))")


# 9.2: rules for sums, products and quotients


@task("9.2")
def test_arithmetic_rules_by_hand(student):
    """With grad 6 at a = 3 and b = 2 the gradients are (6, 6), (6, -6), (12, 18) and (3, -4.5)."""
    a, b, grad = np.array([3.0]), np.array([2.0]), np.array([6.0])
    wanted = {"add": (6, 6), "subtract": (6, -6), "multiply": (12, 18), "divide": (3, -4.5)}
    for name, pairs in wanted.items():
        op_with_rule = find_op_with_rule(student, name)
        got = op_with_rule.backward(grad, op_with_rule.forward(a, b), a, b)
        call = f"the backward rule of {name} for grad 6 at a = 3, b = 2"
        traps = {"the gradient of b has the wrong sign": (pairs[0], -pairs[1])}
        expect.array([got[0][0], got[1][0]], pairs, call=call, traps=traps)


@task("9.2")
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
@broadcasts
def test_arithmetic_rules(student, rng, name, shapes):
    """The gradients of +, -, · and / agree with finite differences for every kind of broadcasting."""
    op_with_rule = find_op_with_rule(student, name)
    arrays = [rng.choice([-1, 1], shape) * rng.uniform(0.5, 2, shape) for shape in shapes]
    hint = "differentiate by hand, multiply by `grad`, and use `unbroadcast` for the shape of each input"
    check_gradient(op_with_rule, *arrays, hint=hint)
    check_rule_in_float32(op_with_rule, *arrays)


# 9.3: rules for powers, exponentials and logarithms


@task("9.3")
@pytest.mark.parametrize("name", ["exp", "log", "sqrt"])
def test_rules_of_functions(student, rng, name):
    """The gradients of exp, log and sqrt agree with finite differences."""
    op_with_rule = find_op_with_rule(student, name)
    for shape in ((), (4,), (2, 3)):
        check_gradient(op_with_rule, rng.uniform(0.5, 3, shape))
        check_rule_in_float32(op_with_rule, rng.uniform(0.5, 3, shape))


@task("9.3")
@broadcasts
def test_power_rule(student, rng, shapes):
    """The gradients of base and exponent in a ** b agree with finite differences for bases above 0."""
    op_with_rule = find_op_with_rule(student, "power")
    arrays = rng.uniform(0.5, 2, shapes[0]), rng.uniform(-2, 3, shapes[1])
    check_gradient(op_with_rule, *arrays)
    check_rule_in_float32(op_with_rule, *arrays)


@task("9.3")
def test_power_rule_at_and_below_zero(student):
    """Bases of 0 and below get the gradient b · a ** (b - 1) without a warning, and their exponents get 0."""
    op_with_rule = find_op_with_rule(student, "power")
    a = np.array([-2.0, -2.0, -1.5, 0.0, 0.0, 0.0, -3.0, -2.0])
    b = np.array([2.0, 3.0, -1.0, 1.0, 2.0, 3.0, 0.0, 1.0])
    grad = np.array([1.0, 2, 9, 5, 6, 7, 8, 4])
    grad_a, grad_b = op_with_rule.backward(grad, a**b, a, b)
    wanted = [-4, 2 * 12, 9 * -1 / 2.25, 5, 0, 0, 0, 4]
    call = f"the backward rule of power for a = {a.tolist()}, b = {b.tolist()}"
    expect.array(grad_a, wanted, call=call)
    expect.array(
        grad_b,
        np.zeros(8),
        call=f"{call}: the exponents' gradient",
        hint="the gradient is 0 for a ≤ 0, which has no logarithm",
    )


@task("9.3")
def test_power_rule_with_exponent_zero(student):
    """Anything to the power of 0 is 1, whose slope is 0, even at a base of 0."""
    op_with_rule = find_op_with_rule(student, "power")
    a = np.array([0.0, 2.0, -2.0])
    grad_a, _ = op_with_rule.backward(np.ones(3), np.ones(3), a, np.zeros(3))
    expect.array(grad_a, np.zeros(3), call="the backward rule of power for a = [0, 2, -2], b = 0")


@task("9.3")
def test_power_rule_where_the_power_is_not_finite(student):
    """Where a power is infinite or NaN, the exponent's gradient is still 0, and there is no warning."""
    op_with_rule = find_op_with_rule(student, "power")
    a, b = np.array([0.0, -8.0, 0.0, 0.0, 4.0]), np.array([-1.0, 1 / 3, -0.5, 0.5, 0.5])
    output = np.array([np.inf, np.nan, np.inf, 0.0, 2.0])
    grad_a, grad_b = op_with_rule.backward(np.ones(5), output, a, b)
    call = "the backward rule of power for a = [0, -8, 0, 0, 4], b = [-1, 1/3, -1/2, 1/2, 1/2]"
    hint = "select 0 with np.where after the product: inf · 0 and NaN · 0 are NaN"
    expect.array(grad_b, [0, 0, 0, 0, 2 * np.log(4)], call=f"{call}: the exponents' gradient", hint=hint)
    expect.array(grad_a, [-np.inf, np.nan, -np.inf, np.inf, 0.25], call=call, hint="b · a ** (b - 1)")


@task("9.3")
def test_power_rule_with_infinite_gradients(student):
    """An infinite incoming gradient does not turn a slope of 0 into NaN."""
    op_with_rule, inf = find_op_with_rule(student, "power"), np.inf
    a, b = np.array([0.0, 2.0, -2.0, -2.0]), np.array([0.0, 0.0, 0.0, 2.0])
    grad_a, grad_b = op_with_rule.backward(np.full(4, inf), a**b, a, b)
    call = "the backward rule of power for a = [0, 2, -2, -2], b = [0, 0, 0, 2], grad inf"
    hint = "select, do not multiply by 0"
    expect.array(grad_a, [0, 0, 0, -inf], call=call, hint=hint)
    expect.array(grad_b, [0, inf, 0, 0], call=f"{call}: the exponents' gradient", hint=hint)


@task("9.3")
def test_power_rule_of_large_numbers(student):
    """A slope that float32 cannot hold becomes infinite, without a warning."""
    op_with_rule = find_op_with_rule(student, "power")
    a, b = np.array([1e19], "float32"), np.array([4.0], "float32")
    grad_a, grad_b = op_with_rule.backward(np.ones(1, "float32"), np.array([np.inf], "float32"), a, b)
    for name, got in (("a", grad_a), ("b", grad_b)):
        call = f"the backward rule of power for a = 1e19, b = 4 in float32: the gradient of {name}"
        expect.array(got, [np.inf], dtype="float32", call=call, hint='np.errstate(all="ignore")')


@task("9.3")
def test_sqrt_rule_at_zero(student):
    """At 0 the square root's slope is infinite, without a warning even where the gradient is 0."""
    op_with_rule = find_op_with_rule(student, "sqrt")
    (got,) = op_with_rule.backward(np.array([1.0, 1.0, 0.0]), np.array([0.0, 2.0, 0.0]), np.array([0.0, 4.0, 0.0]))
    hint = "np.errstate silences what is intended: dividing by 0, and multiplying 0 by infinity, which is NaN"
    expect.array(got, [np.inf, 0.25, np.nan], call="backward of sqrt at [0, 4, 0] for grad [1, 1, 0]", hint=hint)


# 9.4: the rule for the matrix product


@task("9.4")
@pytest.mark.parametrize("shapes", PRODUCTS, ids=[f"{a} {b}" for a, b in PRODUCTS])
def test_matmul_rule(student, rng, shapes):
    """The gradients of a @ b agree with finite differences, for vectors, matrices and stacks of them."""
    op_with_rule = find_op_with_rule(student, "matmul")
    arrays = [rng.normal(size=shape) for shape in shapes]
    check_gradient(op_with_rule, *arrays)
    check_rule_in_float32(op_with_rule, *arrays)


@task("9.4")
def test_matmul_rule_by_hand(student):
    """If a and b are vectors, the gradient of a in a @ b is b · grad."""
    op_with_rule = find_op_with_rule(student, "matmul")
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    grad_a, grad_b = op_with_rule.backward(np.array(10.0), np.array(11.0), a, b)
    expect.array(grad_a, [30, 40], call="the backward rule of matmul for a = [1, 2], b = [3, 4], grad 10: of a")
    expect.array(grad_b, [10, 20], call="the backward rule of matmul for a = [1, 2], b = [3, 4], grad 10: of b")


# 9.5: rules for reductions


@task("9.5")
@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_reduction_rules(student, rng, name, axis, keepdims):
    """The gradients of sum, mean, max and min agree with finite differences over any axes."""
    op_with_rule, x = find_op_with_rule(student, name), draw_spread_numbers(rng, (2, 3, 2), -1, 1)
    check_gradient(op_with_rule, x, axis=axis, keepdims=keepdims)
    check_rule_in_float32(op_with_rule, x, axis=axis, keepdims=keepdims)


@task("9.5")
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction_rules_of_a_scalar(student, name):
    """The sum, mean or extremum of one number passes the gradient through."""
    op_with_rule = find_op_with_rule(student, name)
    (got,) = op_with_rule.backward(np.array(3.0), np.array(2.0), np.array(2.0), axis=None, keepdims=False)
    expect.array(got, 3.0, call=f"the backward rule of {name} for a scalar and grad 3")


@task("9.5")
def test_mean_rule_of_nothing(student):
    """The means of zero rows have no elements, so there is no gradient to pass on."""
    op_with_rule = find_op_with_rule(student, "reduce_mean")
    (got,) = op_with_rule.backward(np.ones(0), np.ones(0), np.ones((0, 3)), axis=1, keepdims=False)
    expect.array(got, np.ones((0, 3)), call="the backward rule of reduce_mean for a of shape (0, 3), axis=1")


@task("9.5")
@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_equal_extremes_share(student, name):
    """Where several elements are the largest (or smallest), each gets an equal share."""
    op_with_rule, sign = find_op_with_rule(student, name), 1 if name == "reduce_max" else -1
    a = sign * np.array([[1.0, 3, 3], [5, 5, 5], [7, 2, 2]])
    (got,) = op_with_rule.backward(np.array([6.0, 6, 6]), a.max(1) if sign > 0 else a.min(1), a, axis=1, keepdims=False)
    wanted = [[0, 3, 3], [2, 2, 2], [6, 0, 0]]
    expect.array(got, wanted, call=f"the backward rule of {name} for {a.tolist()}, axis=1, grad [6, 6, 6]")
    (got,) = op_with_rule.backward(np.array(6.0), a.max() if sign > 0 else a.min(), a, axis=None, keepdims=False)
    expect.array(got, [[0, 0, 0], [0, 0, 0], [6, 0, 0]], call=f"backward of {name} for {a.tolist()}, all axes, grad 6")


@task("9.5")
@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_nan_is_an_extreme(student, name):
    """If the maximum (or minimum) is NaN, the NaN gets the gradient; the others get 0, even for infinite gradients."""
    op_with_rule, nan, inf = find_op_with_rule(student, name), np.nan, np.inf
    a, sign = np.array([[1.0, nan, 3.0], [nan, 5.0, nan], [7.0, 7.0, 7.0]]), 1 if name == "reduce_max" else -1
    a[2, 2] -= sign
    output, grad = np.array([nan, nan, 7.0]), np.array([6.0, 8.0, inf])
    (got,) = op_with_rule.backward(grad, output, a, axis=1, keepdims=False)
    hint = "NaN == NaN is False, so use np.isnan as well; select with np.where, since inf · 0 is NaN"
    wanted = [[0, 6, 0], [4, 0, 4], [inf, inf, 0]]
    expect.array(got, wanted, call=f"the backward rule of {name} for {a.tolist()}, axis=1, grad [6, 8, inf]", hint=hint)


# 9.6: rules for transposing and indexing


@task("9.6")
@pytest.mark.parametrize("axes", [None, (0, 1, 2), (2, 0, 1), (1, 2, 0), (-1, 0, 1), (1, -1, -3), (0, -1, 1)], ids=str)
def test_transpose_rule(student, rng, axes):
    """The gradient's axes move back to where they were."""
    op_with_rule, x = find_op_with_rule(student, "transpose"), rng.normal(size=(2, 3, 4))
    check_gradient(op_with_rule, x, axes=axes)
    check_rule_in_float32(op_with_rule, x, axes=axes)


@task("9.6")
@pytest.mark.parametrize(
    "key",
    [
        (1,),
        (-1, 2),
        (slice(1, None), slice(None, None, -2)),
        (None, slice(0, 2), ..., None),
        (np.array([0, 2, 2, 0, 2]),),
        (np.array([[1, 1], [0, 1]]), slice(1, 3)),
        (np.array([0, 2, 0]), np.array([3, 1, 3])),
        (slice(None), np.array([-1, 3, 3])),
        (np.arange(12).reshape(3, 4) % 3 == 0,),
        (np.array([True, False, True]), 1),
        (2, 3),
    ],
    ids=str,
)
def test_index_rule(student, rng, key):
    """The gradient of indexing goes to the selected elements, once for each time an element was selected."""
    op_with_rule, x = find_op_with_rule(student, "index"), rng.normal(size=(3, 4))
    check_gradient(op_with_rule, x, key=key)
    check_rule_in_float32(op_with_rule, x, key=key)


@task("9.6")
def test_index_rule_by_hand(student):
    """An element that was selected three times gets the sum of three gradients."""
    op_with_rule, a = find_op_with_rule(student, "index"), np.array([10.0, 20, 30])
    key = (np.array([0, 2, 2, 2]),)
    (got,) = op_with_rule.backward(np.array([1.0, 2, 3, 4]), a[key], a, key=key)
    expect.array(got, [1, 0, 9], call="the backward rule of index for a[[0, 2, 2, 2]], grad [1, 2, 3, 4]")


# 9.7: recording


@task("9.7")
def test_what_comes_from_a_marked_tensor_is_recorded(student):
    """Inside a tape, results computed from a tensor that requires a gradient also require one and have a tape."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    c = student.tensor.Tensor([3.0, 4.0])
    with student.autograd.Tape():
        y = c * x
        z = y + 1.0
        constant = c * 2.0
    for name, tensor, wanted in (("c * x", y, True), ("c * x + 1.0", z, True), ("c * 2.0", constant, False)):
        call = f"with Tape(): {name}, where only x requires a gradient"
        expect.equal(tensor.requires_grad, wanted, call=f"{call}: .requires_grad")
        expect.equal(tensor.tape is not None, wanted, call=f"{call}: .tape is not None")
    expect.array(z, [4, 9], call="with Tape(): c * x + 1.0")
    tensors = student.define(count_tensors_in_entries)(z.tape)
    hint = "append x.data and output.data, not the tensors: an entry refers to other entries by number"
    call = "the number of Tensors among the inputs' and outputs' arrays in tape.entries"
    expect.equal(tensors, 0, call=call, hint=hint)
    expect.equal((x.tape, x.grad, c.requires_grad), (None, None, False), call="x.tape, x.grad, c.requires_grad")


def count_tensors_in_entries(tape):
    """Count the tensors in the places of entries that are meant for arrays, if entries are as in the lesson."""
    entries = getattr(tape, "entries", None)
    if not isinstance(entries, list) or any(not isinstance(entry, tuple) or len(entry) != 5 for entry in entries):
        return 0
    held = [x for _, arrays, _, output, _ in entries for x in (*arrays, output)]
    return sum(type(x).__name__ == "Tensor" for x in held)


@task("9.7")
def test_outside_a_tape_nothing_is_recorded(student):
    """Before and after the block, nothing is recorded, even if an input requires a gradient."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    before = x * 2.0
    with student.autograd.Tape():
        pass
    after = x * 2.0
    for name, tensor in (("before", before), ("after", after)):
        got = (tensor.requires_grad, tensor.tape)
        expect.equal(got, (False, None), call=f"(x * 2.0).requires_grad and .tape {name} the block")
    expect.equal(student.tensor.set_recorder(None), None, call="the recorder after the block")


@task("9.7")
def test_what_has_no_slope_is_not_recorded(student):
    """Comparisons return bools, which have no gradient."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    with student.autograd.Tape():
        tests = {"x > 1.0": x > 1.0, "x == x": x == x, "x <= 2.0": x <= 2.0}
    for call, tensor in tests.items():
        expect.equal((tensor.requires_grad, tensor.tape), (False, None), call=f"({call}).requires_grad and .tape")


@task("9.7")
@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8"])
def test_only_floating_tensors_have_gradients(student, dtype):
    """For integers and bools, require_grad raises a TypeError that states the dtype."""
    x = student.tensor.Tensor(np.ones(3, dtype))
    with expect.raises(TypeError, mentions=(dtype,), call=f"require_grad([tensor of {dtype}])"):
        student.autograd.require_grad([x])
    expect.equal(x.requires_grad, False, call=f"requires_grad of a tensor of {dtype}, after it was rejected")


@task("9.7")
def test_all_floating_dtypes_are_marked(student):
    """require_grad marks every tensor it is given, and no other."""
    tensors = [student.tensor.Tensor(np.ones(2, dtype)) for dtype in ("float16", "float32", "float64", "float32")]
    student.autograd.require_grad(tensors[:3])
    got = [tensor.requires_grad for tensor in tensors]
    expect.equal(got, [True, True, True, False], call="requires_grad of four tensors, three of them marked")


@task("9.7")
def test_another_recorder_is_restored(student):
    """A recorder that was active before the block records ops again afterwards, even if the block raises an error."""
    (x,) = make_leaf_tensors(student, [1.0])
    with record_with_trace(student) as trace:
        with student.autograd.Tape():
            x * 2.0
        heard = len(trace.entries)
        x * 2.0
        expect.equal(len(trace.entries) - heard, 1, call="the ops that a Trace records after the block")
        heard = len(trace.entries)
        with expect.raises(ValueError, call="an error inside the block"), student.autograd.Tape():
            x + student.tensor.Tensor(np.ones((2, 3))) @ student.tensor.Tensor(np.ones((2, 3)))
        x * 2.0
        expect.equal(len(trace.entries) - heard, 1, call="the ops that a Trace records after a block that failed")


def expect_change_noticed(student, tensor, result, what):
    """Check that the array of `tensor` cannot be changed (then return True), or that `result.backward` detects it."""
    call = f"{what} is changed in place, then backward"
    try:
        student.hold(tensor, "data")[...] = 7.0
    except ValueError:
        return True
    hint = "record must hold inputs and output, and backward call check_held, or a wrong gradient goes unnoticed"
    with expect.raises(RuntimeError, call=call, hint=hint):
        result.backward(student.tensor.Tensor(np.ones(values(result).shape)))
    return False


@task("9.7")
@pytest.mark.parametrize("name", ["exp", "sqrt"])
def test_an_output_that_changes_is_noticed(student, name):
    """The rules for exp and sqrt read the output, so changing it in place raises immediately, or in backward."""
    (x,) = make_leaf_tensors(student, np.array([1.0, 2.0]))
    with student.autograd.Tape():
        y = getattr(x, name)()
    expect_change_noticed(student, y, y, f"the output of x.{name}(), which nothing else has used,")


@task("9.7")
@pytest.mark.parametrize("recorded", ["owner", "view", "view of it"])
def test_a_change_through_an_older_view_is_noticed(student, recorded):
    """A change to an array is detected if an older view, which shares its memory, was recorded, and vice versa."""
    owner = student.tensor.Tensor(np.array([1.0, 2.0, 3.0, 4.0]))
    view = owner.reshape(2, 2)
    x, changed = (owner, view) if recorded == "owner" else (view, owner)
    student.autograd.require_grad([x])
    with student.autograd.Tape():
        y = x.reshape(4) if recorded == "view of it" else x
        loss = (y * y).sum()
    expect_change_noticed(
        student, changed, loss, f"{'a view' if x is owner else 'the owner'} of a recorded array's memory"
    )


@contextmanager
def record_with_trace(student):
    """Record ops with a Trace of module 02 inside the block."""
    trace = student.tensor.Trace()
    student.tensor.set_recorder(trace)
    try:
        yield trace
    finally:
        student.tensor.set_recorder(None)


# 9.8: playing back

SKIP = "an entry that has no gradient did not contribute to the loss: skip it"


@contextmanager
def expect_no(*kinds, call, hint):
    """Expect the block to raise none of these exceptions, which come from a frequent mistake."""
    try:
        yield
    except NotImplementedError:
        raise
    except kinds as error:
        if isinstance(error, expect.NO_ANSWER):
            raise
        got = f"{expect.get_exception_type_name(error)}: {error}"
        raise expect.Mismatch(call=call, got=got, expected="no exception", hint=hint) from error


@task("9.8")
def test_the_lessons_example(student):
    """For loss = (a · b + b)² at a = 2, b = 3 the gradients are 54 and 54."""
    a, b = make_leaf_tensors(student, 2.0, 3.0)
    with student.autograd.Tape():
        loss = (a * b + b) ** 2
    expect.equal(loss.backward(), None, call="loss.backward()")
    expect_grad(a, 54.0, call="a in loss = (a · b + b)², a = 2, b = 3")
    expect_grad(b, 54.0, call="b in loss = (a · b + b)², a = 2, b = 3", hint="b is used twice: its shares add up")


@task("9.8")
def test_the_tape_itself_plays_back(student):
    """`tape.backward(loss)` is what `loss.backward()` calls."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    with student.autograd.Tape():
        loss = (x * x).sum()
    loss.tape.backward(loss)
    expect_grad(x, [2, 4], call="x after loss.tape.backward(loss), loss = (x * x).sum()")


class GradientCase(NamedTuple):
    """The inputs at which to differentiate an op; those numbered in `fixed` have no gradient by design."""

    shapes: tuple
    attributes: dict = {}  # noqa: RUF012 - never changed
    limits: tuple = (0.3, 0.9)
    fixed: tuple = ()


AROUND = (-1, 1)
STEPS = {"kernel_size": (2, 2), "stride": (1, 2)}
EVERY_OP = {
    "tensor.add": GradientCase(((3, 4), (4,))),
    "tensor.subtract": GradientCase(((3, 1), (2, 1, 4))),
    "tensor.multiply": GradientCase(((), (2, 3)), limits=AROUND),
    "tensor.divide": GradientCase(((2, 3), (3,))),
    "tensor.power": GradientCase(((2, 3), (3,))),
    "tensor.negative": GradientCase(((2, 3),), limits=AROUND),
    "tensor.exp": GradientCase(((2, 3),), limits=AROUND),
    "tensor.log": GradientCase(((2, 3),)),
    "tensor.sqrt": GradientCase(((2, 3),)),
    "tensor.matmul": GradientCase(((2, 1, 2, 3), (2, 3, 2)), limits=AROUND),
    "tensor.reduce_sum": GradientCase(((2, 3, 2),), {"axis": (0, -1), "keepdims": False}, AROUND),
    "tensor.reduce_mean": GradientCase(((2, 3, 2),), {"axis": 1, "keepdims": True}, AROUND),
    "tensor.reduce_max": GradientCase(((2, 3, 2),), {"axis": (2, 0), "keepdims": False}, AROUND),
    "tensor.reduce_min": GradientCase(((2, 3, 2),), {"axis": None, "keepdims": False}, AROUND),
    "tensor.reshape": GradientCase(((2, 6),), {"shape": (3, -1)}, AROUND),
    "tensor.transpose": GradientCase(((2, 3, 2),), {"axes": (1, -1, 0)}, AROUND),
    "tensor.index": GradientCase(((3, 4),), {"key": (np.array([0, 2, 2]), slice(None, None, 2))}, AROUND),
    "activations.relu": GradientCase(((3, 4),), {}, AROUND),
    "activations.leaky_relu": GradientCase(((3, 4),), {"negative_slope": 0.1}, AROUND),
    "activations.sigmoid": GradientCase(((3, 4),), {}, AROUND),
    "activations.tanh": GradientCase(((3, 4),), {}, AROUND),
    "activations.softmax": GradientCase(((3, 4),), {"axis": -1}, AROUND),
    "activations.gelu": GradientCase(((3, 4),), {}, AROUND),
    "layers.linear": GradientCase(((2, 2, 3), (4, 3), (4,)), limits=AROUND),
    "layers.mse": GradientCase(((3, 2), (3, 2)), fixed=(1,)),
    "layers.bce": GradientCase(((3, 2), (3, 2)), fixed=(1,)),
    "dense.dropout": GradientCase(
        ((2, 3),), {"mask": np.array([[True, False, True], [False, True, True]]), "p": 0.4}, AROUND
    ),
    "dense.cross_entropy": GradientCase(((3, 4),), {"target": np.array([0, 3, 3])}, AROUND),
    "spatial.conv2d": GradientCase(((1, 2, 5, 4), (2, 2, 3, 2), (2,)), {"stride": (2, 1), "padding": (1, 0)}, AROUND),
    "spatial.max_pool2d": GradientCase(((1, 2, 4, 5),), STEPS, AROUND),
    "spatial.avg_pool2d": GradientCase(((1, 2, 4, 5),), STEPS, AROUND),
    "spatial.flatten": GradientCase(((2, 3, 2),), {}, AROUND),
    "spatial.batch_norm": GradientCase(((3, 2, 2, 2), (2,), (2,)), {"eps": 1e-5}, AROUND),
    "attention.masked_fill": GradientCase(((2, 3),), {"mask": np.array([True, False, True]), "value": -5.0}, AROUND),
}
NOT_DIFFERENTIABLE = {f"tensor.{name}" for name in "equal not_equal less less_equal greater greater_equal".split()}


@task("9.8")
@pytest.mark.parametrize("name", EVERY_OP)
def test_every_op_is_differentiated(student, rng, name):
    """The tape's gradients for each op of modules 02 to 07 agree with finite differences."""
    case, (module, attribute) = EVERY_OP[name], name.split(".")
    op = getattr(getattr(student, module), attribute)
    arrays = [draw_spread_numbers(rng, shape, *case.limits) for shape in case.shapes]
    tensors = make_leaf_tensors(student, *arrays)
    with student.autograd.Tape():
        output = student.tensor.apply(op, *tensors, **case.attributes)
    weight = rng.uniform(0.5, 1.5, values(output).shape)
    output.backward(student.tensor.Tensor(weight))
    for number, (tensor, array) in enumerate(zip(tensors, arrays, strict=True)):
        if number in case.fixed:
            expect.equal(tensor.grad, None, call=f"the .grad of input {number} of {name}, which has none by design")
            continue
        grad = tensor.grad
        expect.that(grad is not None, call=f"the .grad of input {number} of {name}", got="None", expected="a tensor")
        got, places = values(grad), list(np.ndindex(array.shape))
        expect.equal(got.shape, array.shape, call=f"the shape of the .grad of input {number} of {name}")
        for index in rng.permutation(len(places))[:6]:
            place, ends = places[index], []
            for step in (1e-6, -1e-6):
                moved = [a.copy() for a in arrays]
                moved[number][place] += step
                ends.append(float((expect.pull(op.forward(*moved, **case.attributes), call=name) * weight).sum()))
            slope, call = (ends[0] - ends[1]) / 2e-6, f"the .grad of input {number} of {name}, at {place}"
            expect.array(got[place], slope, call=call, rtol=1e-4)


def build_small_network(student):
    """Return a small network with every kind of layer from modules 04 to 06."""
    layers, dense, spatial, relu = student.layers, student.dense, student.spatial, student.activations
    return layers.Sequential(
        spatial.Conv2d(2, 4, 3, padding=1, rng=student.rng(1)),
        spatial.BatchNorm2d(4),
        relu.ReLU(),
        spatial.MaxPool2d(2),
        spatial.Flatten(),
        dense.Dropout(0.25, rng=student.rng(2)),
        layers.Dense(16, 8, rng=student.rng(3)),
        relu.Tanh(),
        layers.Dense(8, 3, rng=student.rng(4)),
    )


@task("9.8")
def test_the_layers_of_earlier_modules_are_differentiated_as_they_are(student, rng):
    """A network's gradients through the tape equal those that its own `backward` computes."""
    network, criterion = build_small_network(student), student.dense.CrossEntropyLoss()
    images = student.tensor.Tensor(rng.normal(size=(5, 2, 4, 4)).astype("float32"))
    target = student.tensor.Tensor(rng.integers(0, 3, 5))
    parameters = list(network.parameters())
    student.autograd.require_grad([images, *parameters])
    with student.autograd.Tape():
        loss = criterion(network(images), target)
    loss.backward()
    taped = [values(tensor.grad) for tensor in (images, *parameters)]
    student.layers.zero_grad(parameters)
    by_hand = [values(network.backward(criterion.backward())), *(values(p.grad) for p in parameters)]
    for number, (got, wanted) in enumerate(zip(taped, by_hand, strict=True)):
        call = "the images' gradient" if number == 0 else f"the gradient of parameter {number - 1}, {wanted.shape}"
        expect.array(got, wanted, dtype="float32", call=call, rtol=1e-4, atol=1e-6)


@task("9.8")
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "mask"])
def test_attention_is_differentiated_exactly(student, rng, masked):
    """Gradients of multi-head attention agree with finite differences for all inputs and parameters."""
    layer = student.attention.MultiHeadAttention(4, 2, rng=student.rng(0))
    parameters = list(layer.parameters())
    for parameter in parameters:
        parameter.data = rng.uniform(-1, 1, values(parameter).shape)
    inputs = [student.tensor.Tensor(rng.uniform(-1, 1, shape)) for shape in ((2, 3, 4), (2, 5, 4), (2, 5, 4))]
    mask = rng.uniform(size=(2, 3, 5)) < 0.6 if masked else None
    student.autograd.require_grad([*inputs, *parameters])
    with student.autograd.Tape():
        output = layer(*inputs, mask=mask)
    weight = rng.uniform(0.5, 1.5, (2, 3, 4))
    output.backward(student.tensor.Tensor(weight))
    names = "query key value".split() + [f"parameter {number}" for number, _ in enumerate(parameters)]
    for name, tensor in zip(names, (*inputs, *parameters), strict=True):
        start = values(tensor)
        expect.that(tensor.grad is not None, call=f"the .grad of {name} of attention", got="None", expected="a tensor")
        got = values(tensor.grad)
        expect.equal(got.shape, start.shape, call=f"the shape of the .grad of {name} of attention")
        for _ in range(3):
            place, ends = tuple(int(rng.integers(size)) for size in start.shape), []
            for step in (1e-6, -1e-6):
                moved = start.copy()
                moved[place] += step
                tensor.data = moved
                ends.append(float((values(layer(*inputs, mask=mask)) * weight).sum()))
            tensor.data = start
            slope = (ends[0] - ends[1]) / 2e-6
            expect.array(got[place], slope, call=f"the .grad of {name} of attention, at {place}", rtol=1e-4)


@task("9.8")
def test_a_network_is_trained_through_the_tape(student, rng):
    """Fifteen steps with gradients from the tape lower the loss of a convolutional network."""
    network, criterion = build_small_network(student), student.dense.CrossEntropyLoss()
    network[5].training = False  # without the noise of dropout, the loss cannot fall merely by chance
    images = student.tensor.Tensor(rng.normal(size=(12, 2, 4, 4)).astype("float32"))
    target = student.tensor.Tensor(np.arange(12) % 3)
    parameters = list(network.parameters())
    student.autograd.require_grad(parameters)
    losses = []
    for _ in range(15):
        with student.autograd.Tape():
            loss = criterion(network(images), target)
        student.layers.zero_grad(parameters)
        loss.backward()
        for parameter in parameters:
            parameter.data = values(parameter) - np.float32(0.3) * values(parameter.grad)
        losses.append(loss.item())
    fell = float(np.mean(losses[-4:])) < 0.9 * float(np.mean(losses[:3]))
    expect.that(fell, call="the losses of 15 steps", got=losses[::7], expected="a fall from first to last")


@task("9.8")
def test_dropout_in_evaluation_passes_everything(student):
    """A layer that returns its input does not change the gradient."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    layer = student.dense.Dropout(0.5, rng=student.rng(0))
    layer.training = False
    with student.autograd.Tape():
        loss = (layer(x) * layer(x * 3.0)).sum()
    loss.backward()
    expect_grad(x, [6, 12], call="x in (dropout(x) * dropout(3 x)).sum(), in evaluation")


@task("9.8")
def test_a_tensor_used_twice_gets_both_shares(student, rng):
    """Both uses of x in x · x, x @ x.T and x + x count, in one op or in several."""
    array = rng.normal(size=(3, 3))
    (x,) = make_leaf_tensors(student, array)
    with student.autograd.Tape():
        loss = (x * x).sum() + (x @ x.T).sum() + (x + x).sum() - (x - x).sum() + x.sum() * x.mean()
    loss.backward()
    wanted = 2 * array + 2 * array.sum(axis=0) + 2 + array.sum() / 9 + array.mean()
    expect_grad(x, wanted, call="x in (x·x).sum() + (x @ x.T).sum() + (x + x).sum() - (x - x).sum() + x.sum()·x.mean()")


@task("9.8")
def test_paths_of_different_length_meet(student, rng):
    """A result that is used early and again much later passes its gradient on only when the gradient is complete."""
    array = rng.uniform(0.5, 1.5, 4)
    (x,) = make_leaf_tensors(student, array)
    with student.autograd.Tape():
        early = x * x
        late = early
        for _ in range(5):
            late = late * early
        loss = (early + late).sum()
    loss.backward()
    expect_grad(x, 2 * array + 12 * array**11, call="x in (x² + x¹²).sum(), all from one x²", rtol=1e-4)


@task("9.8")
def test_gradients_add_up_until_they_are_cleared(student):
    """A second backward pass adds to the gradient of the first, and does not change the array that held it."""
    (x,) = make_leaf_tensors(student, np.array([1.0, 2.0]))
    kept = None
    for round_ in (1, 2):
        with student.autograd.Tape():
            loss = (x * x).sum()
        loss.backward()
        expect_grad(x, [2 * round_, 4 * round_], call=f"x after call {round_} to backward of (x * x).sum()")
        kept = kept if kept is not None else x.grad
    expect.array(kept, [2, 4], call="the first gradient tensor after the second backward", hint="add into a new array")


@task("9.8")
def test_leaves_share_no_gradient_array(student):
    """The gradients of two leaves, and the grad that is passed in, are separate arrays."""
    a, b = make_leaf_tensors(student, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    grad = student.tensor.Tensor(np.array([5.0, 6.0]))
    with student.autograd.Tape():
        total = a + b
    total.backward(grad)
    student.hold(a.grad, "data")[...] = 0.0
    expect_grad(b, [5, 6], call="b in a + b, after the array of a.grad was changed")
    expect.array(grad, [5, 6], call="the grad argument, after the array of a.grad was changed")


@task("9.8")
def test_a_gradient_has_its_tensors_dtype_and_shape(student, rng):
    """A float32 leaf that is combined with float64 still gets a float32 gradient, of its own shape."""
    wide, narrow = rng.normal(size=(2, 3)), rng.normal(size=3).astype("float32")
    a, b = make_leaf_tensors(student, wide, narrow)
    with student.autograd.Tape():
        loss = (a * b).sum()
    loss.backward()
    expect_grad(a, np.broadcast_to(narrow, (2, 3)), dtype="float64", call="a, float64, in (a * b).sum()")
    expect_grad(b, wide.sum(axis=0), dtype="float32", call="b, float32, in (a * b).sum()", rtol=1e-4)


@task("9.8")
def test_precision_is_lost_only_at_the_leaf(student):
    """A float32 leaf that was used in float64 is differentiated in float64, at the values it held."""
    (x,) = make_leaf_tensors(student, np.array([1.0 + 2**-20], "float32"))
    one = student.tensor.Tensor(np.array([2**-40], "float64"))
    with student.autograd.Tape():
        y = x * one
        loss = (y * (2.0**60)).sum()
    loss.backward()
    expect_grad(x, [2.0**20], dtype="float32", call="x, float32, in (x * 2⁻⁴⁰ * 2⁶⁰).sum() in float64")


@task("9.8")
def test_integers_and_bools_get_none(student):
    """Integers and bools combined with floating-point tensors are constants."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0, 3.0])
    numbers, gate = student.tensor.Tensor([2, 3, 4]), student.tensor.Tensor([True, False, True])
    with student.autograd.Tape():
        loss = (x * numbers * gate).sum()
    loss.backward()
    expect_grad(x, [2, 0, 4], dtype="float64", call="x in (x * [2, 3, 4] * [True, False, True]).sum()")
    expect.equal((numbers.grad, gate.grad), (None, None), call="the .grad of integers and bools")


@task("9.8")
def test_a_constant_tensor_gets_none(student):
    """Neither a tensor that does not require a gradient nor an intermediate result gets a .grad."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    c = student.tensor.Tensor([3.0, 4.0])
    with student.autograd.Tape():
        y = x * c
        unused = x * 5.0
        loss = y.sum()
    with expect_no(KeyError, call="loss.backward() for loss = (x * c).sum(), next to an unused x * 5.0", hint=SKIP):
        loss.backward()
    got = (c.grad, y.grad, unused.grad, loss.grad)
    expect.equal(
        got, (None, None, None, None), call="the .grad of a constant, of intermediate results, and of the loss"
    )
    expect_grad(x, [3, 4], call="x in (x * c).sum()", hint="skip entries that do not contribute to the loss")


@task("9.8")
def test_what_does_not_lead_to_the_loss_gets_nothing(student):
    """A leaf that is used only in another branch has no gradient."""
    x, other = make_leaf_tensors(student, [1.0], [2.0])
    with student.autograd.Tape():
        loss = (x * 2.0).sum()
        (other * x).sum()
    with expect_no(KeyError, call="loss.backward() for loss = (x * 2.0).sum(), next to another branch", hint=SKIP):
        loss.backward()
    expect.equal(other.grad, None, call="the .grad of a leaf that the loss does not depend on")
    expect_grad(x, [2], call="x in loss = (2 x).sum(), also used in another branch")


@task("9.8")
def test_backward_of_many_elements_needs_a_grad(student):
    """`grad`, a weight for each element, may be left out only if the tensor has one element."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0, 3.0])
    with student.autograd.Tape():
        y = x * x
    with expect.raises(RuntimeError, mentions=("(3,)",), call="(x * x).backward() for x of (3,)"):
        y.backward()
    with expect.raises(ValueError, mentions=("(3,)", "(2,)"), call="(x * x).backward(grad of (2,)) for x of (3,)"):
        y.backward(student.tensor.Tensor([1.0, 2.0]))
    with expect.raises(ValueError, mentions=("(3,)", "(3, 1)"), call="(x * x).backward(grad of (3, 1)) for x of (3,)"):
        y.backward(student.tensor.Tensor([[1.0], [2.0], [3.0]]))
    expect.equal(x.grad, None, call="x.grad after a backward pass that was rejected")
    y.backward(student.tensor.Tensor([1.0, 0.0, -1.0]))
    expect_grad(x, [2, 0, -6], call="x after (x * x).backward([1, 0, -1]), after other grads were rejected")


@task("9.8")
def test_backward_of_no_element_needs_a_grad(student):
    """A tensor without elements does not have a default grad of 1."""
    (x,) = make_leaf_tensors(student, np.ones(0))
    with student.autograd.Tape():
        y = x * 2.0
    with expect.raises(RuntimeError, mentions=("(0,)",), call="(x * 2.0).backward() for x of (0,)"):
        y.backward()


@task("9.8")
def test_one_element_in_any_shape_is_enough(student):
    """A tensor of shape (1, 1) does not need a grad, but accepts a grad of its own shape."""
    for grad, wanted in ((None, [3]), (student.tensor.Tensor([[2.0]]), [6])):
        (x,) = make_leaf_tensors(student, [4.0])
        with student.autograd.Tape():
            y = (x * 3.0).reshape(1, 1)
        y.backward(grad)
        expect_grad(x, wanted, call=f"x after (3 x).reshape(1, 1).backward({'' if grad is None else '[[2.0]]'})")


@task("9.8")
def test_backward_runs_once(student):
    """After backward, the record is gone; a second call raises a RuntimeError and does not add anything."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    with student.autograd.Tape():
        loss = (x * x).sum()
    loss.backward()
    with expect.raises(RuntimeError, call="loss.backward() for the second time"):
        loss.backward()
    expect_grad(x, [2, 4], call="x after loss.backward() and a second call that was rejected")


@task("9.8")
def test_a_result_from_before_leads_no_further(student):
    """Using a result whose record has been freed raises a RuntimeError and does not give an incomplete gradient."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    with student.autograd.Tape():
        y = x * x
        y.sum().backward()
    with expect.raises(RuntimeError, call="y from before the last backward, used in (y * x).sum() and its backward"):
        with student.autograd.Tape():
            loss = (y * x).sum()
        loss.backward()


@task("9.8")
def test_several_steps_in_one_block(student):
    """Calling backward inside the block is allowed, and the tape continues to record."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    hint = "positions count from the first entry that the tape ever had: first + len(entries)"
    with student.autograd.Tape():
        for step in (1, 2, 3):
            call = f"step {step} inside one block"
            with expect_no(RuntimeError, IndexError, KeyError, call=call, hint=hint):
                y = x * float(step)
                loss = (y + y * 1.0).sum() * 1.0  # five entries, since sums of powers of two could hide a mistake
                loss.backward()
            expect_grad(x, [step * (step + 1)] * 2, call=f"x after {step} steps inside one block", hint=hint)


@task("9.8")
def test_shares_are_summed_into_a_new_array(student):
    """Arrays that a rule returned are not changed: they may be read-only views, or another entry may need them."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    with student.autograd.Tape():
        y = x * 2.0
        loss = (y * y).sum() + y.sum()
    loss.backward()
    expect_grad(x, [10, 18], call="x in (y * y).sum() + y.sum() for y = 2 x", hint="grads[source] + share, not +=")


@task("9.8")
def test_a_backward_that_fails_frees_its_tape(student):
    """After an op without a rule has stopped a backward pass, arrays can be changed again."""
    (x,) = make_leaf_tensors(student, np.array([1.0, 2.0]))
    mystery = student.tensor.Op("mystery", student.tensor.exp.forward)
    with expect.raises(RuntimeError, mentions=("mystery",), call="backward through an op without a rule"):
        with student.autograd.Tape():
            loss = (student.tensor.apply(mystery, x) * 2.0).sum()
        loss.backward()
    student.hold(x, "data")[...] = 5.0
    expect.array(x, [5, 5], call="x, changed in place after a backward that failed", hint="free in a finally")


@task("9.8")
def test_a_rule_computes_in_the_outputs_dtype(student):
    """A float32 weight combined with float64 data is promoted to float64, and so is its gradient, up to the leaf."""
    third = np.array([1 / 3])
    x, weight = make_leaf_tensors(student, third, third.astype("float32"))
    with student.autograd.Tape():
        loss = (x / weight * 1e8).sum()
    loss.backward()
    wide = float(third.astype("float32")[0])
    expect_grad(x, [1e8 / wide], call="x (float64) in (x / weight).sum() · 1e8, weight of float32", rtol=1e-12)
    weight, x = make_leaf_tensors(student, third.astype("float32"), third)
    with student.autograd.Tape():
        loss = (weight**x).sum()
    loss.backward()
    call = "x (float64) in (weight ** x).sum(), weight of float32"
    hint = "pass the rule all arrays in the output's dtype: the logarithm of a float32 has too few digits"
    expect_grad(x, wide**third * np.log(wide), call=call, hint=hint, rtol=1e-12, atol=0)


@task("9.8")
def test_two_tapes_do_not_disturb_each_other(student):
    """Inside a second tape's block, and after it, each tape differentiates what it recorded."""
    x, z = make_leaf_tensors(student, [1.0, 2.0], [5.0])
    with student.autograd.Tape():
        first = x * x
        with student.autograd.Tape():
            inner = (z * z).sum()
        outer = (first * x).sum()
    inner.backward()
    expect_grad(z, [10], call="z in the inner tape's (z * z).sum()")
    outer.backward()
    expect_grad(x, [3, 12], call="x in the outer tape's (x * x * x).sum()")


@task("9.8")
def test_two_records_are_joined_or_refused(student):
    """A result of one tape used on another yields the complete gradient or a RuntimeError, never part of a gradient."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    with student.autograd.Tape():
        y = x * x
    try:
        with student.autograd.Tape():
            loss = (y * x).sum()
        loss.backward()
    except NotImplementedError:
        raise
    except RuntimeError:
        (z,) = make_leaf_tensors(student, [3.0])
        with student.autograd.Tape():
            loss = (z * z).sum()
        loss.backward()
        expect_grad(z, [6], call="z in (z * z).sum(), after another tape rejected a result")
        return
    expect_grad(x, [3, 12], call="x in (y * x).sum(), y = x * x from another tape")


@task("9.8")
def test_an_op_without_a_rule_is_named(student):
    """An op that cannot be differentiated raises a RuntimeError with its name; no gradient is silently lost."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    mystery = student.tensor.Op("mystery", student.tensor.exp.forward)
    with expect.raises(RuntimeError, mentions=("mystery",), call="backward through an op without a rule"):
        with student.autograd.Tape():
            loss = student.tensor.apply(mystery, x).sum()
        loss.backward()


@task("9.8")
def test_a_new_op_brings_its_own_backward(student):
    """An op that module 09 does not know is differentiated with its own backward function."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    own = student.tensor.Op("own", student.tensor.exp.forward, student.activations.relu.backward)
    with student.autograd.Tape():
        loss = (student.tensor.apply(own, x) * 3.0).sum()
    loss.backward()
    expect_grad(x, [3, 3], call="x through an op whose backward passes grad on for x above 0")


@task("9.8")
def test_a_backward_of_the_wrong_shape_is_named(student):
    """A rule that returns a shape different from its input's raises a ValueError that states both shapes."""
    (x,) = make_leaf_tensors(student, np.ones((2, 3, 4)))
    flat = student.tensor.Op("flat", student.spatial.flatten.forward, student.activations.sigmoid.backward)
    total = student.tensor.Op("total", student.tensor.reduce_sum.forward, student.activations.sigmoid.backward)
    for op, shape in ((flat, "(2, 12)"), (total, "()")):
        for before in (lambda x: x, lambda x: x * 2.0):
            call = f"backward through a rule that returns shape {shape} for an input of (2, 3, 4)"
            with expect.raises(ValueError, mentions=(shape, "(2, 3, 4)"), call=call):
                with student.autograd.Tape():
                    loss = student.tensor.apply(op, before(x)).sum()
                loss.backward()


@task("9.8")
def test_ten_thousand_ops_in_a_chain(student):
    """A chain of 10,000 ops is recorded, dropped, recorded again and played back, all without recursion."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    chain = student.layers.Sequential(*[student.activations.ReLU()] * 10_000)
    with student.autograd.Tape():
        y = chain(x)
    del y
    with student.autograd.Tape():
        loss = (chain(x) * 3.0).sum()
    loss.backward()
    expect_grad(x, [3, 3], call="x through 10,000 ReLUs, times 3")


@task("9.8")
def test_a_deep_diamond(student):
    """Repeating y = y + y a thousand times makes 2 ** 1000 paths, but each op is played back only once."""
    (x,) = make_leaf_tensors(student, np.array([1.0, -2.0]))
    with student.autograd.Tape():
        y = x
        for _ in range(1000):
            y = y + y
        loss = y.sum()
    loss.backward()
    expect_grad(x, [2.0**1000] * 2, call="x through y + y, repeated 1,000 times")


@task("9.8")
def test_memory_is_freed_by_backward(student):
    """Intermediate arrays are freed after backward, although the loss still exists."""
    (x,) = make_leaf_tensors(student, np.ones(1000))
    with student.autograd.Tape():
        hidden = x * x
        loss = (hidden * hidden).sum()
    lives = student.lives(hidden, "data")
    del hidden
    loss.backward()
    hint = "empty the record after playing it back, and do not let a tensor and a tape keep each other alive"
    expect.that(not lives(), call="an intermediate array after backward", got="kept", expected="freed", hint=hint)


@task("9.8")
def test_memory_is_freed_without_backward(student):
    """Intermediate arrays are freed immediately when the loss is dropped, without the garbage collector."""
    (x,) = make_leaf_tensors(student, np.ones(1000))
    with student.autograd.Tape():
        hidden = x * x
        loss = (hidden * hidden).sum()
    lives = student.lives(hidden, "data")
    del hidden, loss
    hint = "if the record keeps its outputs, and each output its record, only the garbage collector frees both"
    expect.that(
        not lives(), call="an intermediate array after the loss was dropped", got="kept", expected="freed", hint=hint
    )
    student.hold(x, "data")[...] = 2.0
    with student.autograd.Tape():
        loss = (x * x).sum()
    loss.backward()
    expect_grad(x, np.full(1000, 4.0), call="x in (x * x).sum(), changed to 2 after an earlier record was dropped")


@task("9.8")
@pytest.mark.parametrize("which", ["leaf", "intermediate result", "constant"])
def test_a_saved_array_that_changes_is_noticed(student, which):
    """Changing a saved array in place raises a ValueError immediately, or a RuntimeError in backward."""
    (x,) = make_leaf_tensors(student, np.array([1.0, 2.0]))
    c = student.tensor.Tensor(np.array([3.0, 4.0]))
    with student.autograd.Tape():
        y = (x * c).exp()
        loss = (y * y * x).sum()
    tensor = {"leaf": x, "intermediate result": y, "constant": c}[which]
    if expect_change_noticed(student, tensor, loss, f"the saved array ({which})"):
        loss.backward()
        expect.that(x.grad is not None, call="x.grad after a change that was rejected", got="None", expected="a tensor")


@task("9.8")
def test_a_change_is_noticed_after_another_tape_ended(student):
    """As long as either of two records needs an array, a change to the array is detected."""
    (x,) = make_leaf_tensors(student, np.array([1.0, 2.0]))
    losses = []
    for _ in range(2):
        with student.autograd.Tape():
            losses.append((x * x).sum())
    losses[0].backward()
    expect_change_noticed(student, x, losses[1], "an array that a second tape saved")


@task("9.8")
def test_after_backward_arrays_may_change(student):
    """An in-place gradient descent step is allowed once backward has finished."""
    (x,) = make_leaf_tensors(student, np.array([1.0, 2.0]))
    with student.autograd.Tape():
        y = x.reshape(2, 1)
        part = y[0]
        loss = (part * x).sum()
    loss.backward()
    for name, tensor in (("leaf", x), ("view of it", y), ("result", part), ("loss", loss)):
        student.hold(tensor, "data")[...] = 5.0
        got = np.array(expect.pull(tensor, call=f"the values of the {name}"))
        expect.array(got, np.full(got.shape, 5.0), call=f"the {name} after its array was changed in place")


@task("9.8")
def test_a_new_array_does_not_change_the_gradient(student):
    """If a tensor's array is replaced between forward and backward, an error is raised or the old values are used."""
    (x,) = make_leaf_tensors(student, np.array([1.0, 2.0]))
    with student.autograd.Tape():
        loss = (x * x).sum()
    x.data = np.array([100.0, 100.0])
    try:
        loss.backward()
    except NotImplementedError:
        raise
    except RuntimeError:
        return
    expect_grad(x, [2, 4], call="x in (x * x).sum(), with x.data replaced before backward")


@task("9.8")
def test_what_was_read_only_stays_so(student):
    """An array that was read-only before it was recorded stays read-only after backward."""
    (x,) = make_leaf_tensors(student, np.array([1.0, 2.0]))
    student.hold(x, "data").setflags(write=False)
    with student.autograd.Tape():
        loss = (x * x).sum()
    loss.backward()
    expect_grad(x, [2, 4], call="x in (x * x).sum(), x read-only")
    with expect.raises(ValueError, call="a change to an array that was read-only before it was recorded"):
        student.hold(x, "data")[...] = 5.0


# 9.9: pausing


@task("9.9")
def test_no_grad_records_nothing(student):
    """Inside no_grad, nothing is recorded; after it, recording continues."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    with student.autograd.Tape():
        y = x * 2.0
        with student.autograd.no_grad():
            quiet = y * x
        loss = (y * quiet).sum()
    expect.equal((quiet.requires_grad, quiet.tape), (False, None), call="what was computed inside no_grad")
    expect.array(quiet, [2, 8], call="the values computed inside no_grad")
    loss.backward()
    expect_grad(x, [4, 16], call="x in (2 x * quiet).sum(), quiet = 2 x² under no_grad", hint="quiet is a constant")


@task("9.9")
def test_no_grad_nests_and_survives_errors(student):
    """The previous recorder records again after the block, even if the block raised an error."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    with student.autograd.Tape():
        with student.autograd.no_grad():
            with student.autograd.no_grad():
                pass
            still = x * 2.0
        with expect.raises(ValueError, call="an error inside no_grad"), student.autograd.no_grad():
            x + student.tensor.Tensor(np.ones(3))
        again = x * 2.0
    expect.equal(still.requires_grad, False, call="requires_grad after an inner no_grad, still inside an outer one")
    expect.equal(again.requires_grad, True, call="requires_grad after a no_grad that ended with an error")
    expect.equal(student.tensor.set_recorder(None), None, call="the recorder after all blocks")


@task("9.9")
def test_no_grad_outside_a_tape(student):
    """Without a tape no_grad has no effect, and a tape inside it records."""
    (x,) = make_leaf_tensors(student, [1.0, 2.0])
    with student.autograd.no_grad():
        quiet = x * 2.0
        with student.autograd.Tape():
            loss = (x * x).sum()
    expect.equal(quiet.requires_grad, False, call="requires_grad inside no_grad, without a tape")
    loss.backward()
    expect_grad(x, [2, 4], call="x on a tape inside no_grad")


# 9.10: checking any gradient


def make_op_function(student, forward, backward=None):
    """Return a function in the student's process that applies one op's forward with another op's backward."""
    op = forward if backward is None else student.tensor.Op("odd", forward.forward, backward.backward)
    return student.tensor.operator(op)


def draw_float64_tensors(student, rng, *shapes):
    """Return float64 tensors at which to check gradients."""
    return [student.tensor.Tensor(draw_spread_numbers(rng, shape)) for shape in shapes]


@task("9.10")
def test_gradcheck_passes_what_is_right(student, rng):
    """`gradcheck` returns True for correct gradients of one input or several, and for any output shape."""
    check, tensor, act = student.autograd.gradcheck, student.tensor, student.activations
    cases = {
        "matmul": (make_op_function(student, tensor.matmul), draw_float64_tensors(student, rng, (2, 3), (3, 4))),
        "multiply": (make_op_function(student, tensor.multiply), draw_float64_tensors(student, rng, (2, 1), (3,))),
        "exp": (make_op_function(student, tensor.exp), draw_float64_tensors(student, rng, ())),
        "Tanh()": (act.Tanh(), draw_float64_tensors(student, rng, (2, 3))),
        "MLP": (student.dense.MLP((3, 4, 2), act.Tanh, rng=student.rng(0)), draw_float64_tensors(student, rng, (5, 3))),
        "Tensor.sum": (tensor.Tensor.sum, draw_float64_tensors(student, rng, (2, 3))),
    }
    for name, (applied, tensors) in cases.items():
        expect.equal(check(applied, tensors), True, call=f"gradcheck({name}, …)")


@task("9.10")
@pytest.mark.parametrize("names", [("tanh", "sigmoid"), ("sigmoid", "tanh"), ("gelu", "relu")])
def test_gradcheck_refuses_what_is_wrong(student, rng, names):
    """A backward function that belongs to another op raises a RuntimeError."""
    forward, backward = (getattr(student.activations, name) for name in names)
    wrong = make_op_function(student, forward, backward)
    with expect.raises(RuntimeError, call=f"gradcheck of {names[0]} with the backward of {names[1]}"):
        student.autograd.gradcheck(wrong, draw_float64_tensors(student, rng, (2, 3)))


@task("9.10")
def test_gradcheck_weighs_the_outputs_elements(student):
    """Errors that cancel in a plain sum are found, and so are small errors in small slopes."""
    op = student.tensor.Op("odd", student.activations.tanh.forward, student.activations.sigmoid.backward)
    layer = student.layers.Dense(2, 2, rng=student.rng(0))
    wrong = student.layers.Sequential(student.activations.Activation(op), layer)
    layer.bias.data = np.zeros(2)
    for weight, what in (([[1.0, 2.0], [-1.0, -2.0]], "whose outputs add up to 0"), ([[0.01, 0], [0, 0.01]], "· 0.01")):
        layer.weight.data = np.array(weight)
        with expect.raises(RuntimeError, call=f"gradcheck of tanh with the backward of sigmoid, {what}"):
            student.autograd.gradcheck(wrong, [student.tensor.Tensor(np.array([[0.5, -0.8]]))])


@task("9.10")
@pytest.mark.parametrize("numbers", [[0.5, 1.0, -0.8], [[0.5, 1.0], [0.7, -0.8]], [[0.5], [-0.8]]], ids=str)
def test_gradcheck_looks_at_every_element(student, numbers):
    """A backward rule that is wrong only at the last element, where x is below 0, raises a RuntimeError."""
    check = student.autograd.gradcheck
    op = student.tensor.Op("odd", student.activations.relu.forward, student.spatial.flatten.backward)
    straight, x = student.tensor.operator(op), np.array(numbers)
    call = "gradcheck of ReLU with a backward rule that passes everything through, at "
    expect.equal(check(straight, [student.tensor.Tensor(abs(x))]), True, call=f"{call}{abs(x).tolist()}")
    with expect.raises(RuntimeError, call=f"{call}{numbers}", hint="np.ndindex(x.shape) visits every element"):
        check(straight, [student.tensor.Tensor(x)])


@task("9.10")
def test_gradcheck_takes_central_differences(student, rng):
    """The central difference of a square is exact, however large eps is; a one-sided difference is not."""
    (x,) = draw_float64_tensors(student, rng, (2, 3))
    for eps in (0.5, 1e-3):
        call, hint = f"gradcheck of x ** 2, eps={eps}", "move in both directions: (f(x + eps) - f(x - eps)) / (2 eps)"
        try:
            got = student.autograd.gradcheck(
                make_op_function(student, student.tensor.power), [x, student.tensor.Tensor(2)], eps
            )
        except NotImplementedError:
            raise
        except RuntimeError as error:
            got = f"RuntimeError: {error}"
        expect.equal(got, True, call=call, hint=hint)


@task("9.10")
def test_gradcheck_refuses_nan(student):
    """A gradient or a difference that is NaN does not agree with anything, not even with another NaN."""
    multiply, hint = make_op_function(student, student.tensor.multiply), "nan > 1 is False: raise if not a <= b"
    for numbers in ([0.5, np.nan], [np.nan, 0.5]):
        x, one = student.tensor.Tensor(np.array(numbers)), student.tensor.Tensor(np.ones(2))
        with expect.raises(RuntimeError, call=f"gradcheck of x * one, x = {numbers}", hint=hint):
            student.autograd.gradcheck(multiply, [x, one])


@task("9.10")
def test_gradcheck_finds_one_wrong_input_of_two(student, rng):
    """The second input's gradient is also checked, and the message names the input that is wrong."""
    add, subtract = student.tensor.add, student.autograd.backward_of(student.tensor.subtract)
    wrong = student.tensor.operator(student.tensor.Op("odd", add.forward, subtract))
    with expect.raises(RuntimeError, mentions=("1",), call="gradcheck of a + b with the rule of a - b"):
        student.autograd.gradcheck(wrong, draw_float64_tensors(student, rng, (3,), (3,)))


@task("9.10")
def test_gradcheck_finds_a_gradient_that_is_lost(student, rng):
    """A function that loses its gradient by creating a new tensor raises a RuntimeError."""
    with expect.raises(RuntimeError, call="gradcheck(Tensor, [x]), which copies x into a fresh tensor"):
        student.autograd.gradcheck(student.tensor.Tensor, draw_float64_tensors(student, rng, (2, 3)))


@task("9.10")
def test_gradcheck_accepts_what_does_not_depend_on_its_input(student):
    """If the function does not depend on its input, a missing gradient is correct."""
    x = student.tensor.Tensor(np.array([0.5, 1.5]))
    got = student.autograd.gradcheck(make_op_function(student, student.tensor.greater), [x, student.tensor.Tensor(1)])
    expect.equal(got, True, call="gradcheck of x > 1")


@task("9.10")
def test_gradcheck_wants_float64(student):
    """Float32 inputs raise a TypeError; integers are left as they are."""
    multiply = make_op_function(student, student.tensor.multiply)
    x = student.tensor.Tensor(np.array([0.5, 1.5]))
    with expect.raises(TypeError, mentions=("float64",), call="gradcheck(…, [tensor of float32])"):
        student.autograd.gradcheck(multiply, [x, student.tensor.Tensor(np.ones(2, "float32"))])
    for other in (np.array([2, 3]), np.array([True, False])):
        got = student.autograd.gradcheck(multiply, [x, student.tensor.Tensor(other)])
        expect.equal(got, True, call=f"gradcheck of x * a tensor of {other.dtype}")


@task("9.10")
def test_gradcheck_leaves_its_inputs(student, rng):
    """The inputs' values, gradients and requires_grad do not change, and no recorder stays active."""
    x, y = draw_float64_tensors(student, rng, (2, 3), (3,))
    student.autograd.require_grad([y])
    before = values(x), values(y)
    student.autograd.gradcheck(make_op_function(student, student.tensor.multiply), [x, y])
    for name, tensor, wanted in (("x", x, before[0]), ("y", y, before[1])):
        expect.array(tensor, wanted, call=f"{name} after gradcheck", rtol=0, atol=0)
    got = (x.grad, y.grad, x.requires_grad, y.requires_grad)
    expect.equal(got, (None, None, False, True), call="the inputs' .grad and .requires_grad after gradcheck")
    expect.equal(student.tensor.set_recorder(None), None, call="the recorder after gradcheck")


@task("9.10")
def test_gradchecks_tolerances_count(student, rng):
    """The arguments atol and rtol limit the difference between the two slopes, and eps is how far an element moves."""
    check = student.autograd.gradcheck
    wrong = make_op_function(student, student.activations.tanh, student.activations.sigmoid)
    x = draw_float64_tensors(student, rng, (2, 3))
    expect.equal(check(wrong, x, atol=10.0), True, call="gradcheck of a wrong function with atol=10")
    expect.equal(check(wrong, x, rtol=10.0), True, call="gradcheck of a wrong function with rtol=10")
    with expect.raises(RuntimeError, call="gradcheck of exp with eps=1, where differences are far from slopes"):
        check(make_op_function(student, student.tensor.exp), x, eps=1.0)
