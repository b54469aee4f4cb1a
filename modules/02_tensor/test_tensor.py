"""The tests of module 02: what a Tensor holds, how operations run, and what each of them computes."""

import operator

import numpy as np
import pytest

from grading.testing import expect, task, traced

ARITHMETIC = {
    "+": (operator.add, "add"),
    "-": (operator.sub, "subtract"),
    "*": (operator.mul, "multiply"),
    "/": (operator.truediv, "divide"),
    "**": (operator.pow, "power"),
}
COMPARISONS = {
    "==": (operator.eq, "equal"),
    "!=": (operator.ne, "not_equal"),
    "<": (operator.lt, "less"),
    "<=": (operator.le, "less_equal"),
    ">": (operator.gt, "greater"),
    ">=": (operator.ge, "greater_equal"),
}
OPERATORS = ARITHMETIC | COMPARISONS
DTYPES = ("bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64")

# 2.1: from values to an array


@task("2.1")
@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (2.5, "float32"),
        ([1.0, 2.0], "float32"),
        ([1, 2.5], "float32"),
        ([], "float32"),
        (7, "int64"),
        ([[1, 2], [3, 4]], "int64"),
        ([True, 2], "int64"),
        (True, "bool"),
        ([[True], [False]], "bool"),
    ],
)
def test_python_numbers_get_default_dtypes(student, values, dtype):
    """Python floats become float32, ints become int64, and bools remain bool."""
    expect.array(student.tensor.Tensor(values), np.array(values), dtype=dtype, call=f"Tensor({values})")


@task("2.1")
@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_keep_their_dtype(student, dtype):
    """A NumPy array keeps its dtype, values and shape."""
    for array in (np.array([[0, 1, 2], [3, 4, 5]], dtype), np.zeros((2, 0, 3), dtype), np.array(1, dtype)):
        call = f"Tensor(array of {dtype}, shape {array.shape})"
        expect.array(student.tensor.Tensor(array), array, dtype=dtype, call=call)


@task("2.1")
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "float16", "float64"])
def test_numpy_scalars_keep_their_dtype(student, dtype):
    """A NumPy scalar keeps its dtype: it is an array without axes, not a Python number."""
    got = student.tensor.Tensor(student.hold_result(student.tensor.np.max, np.ones(2, dtype)))
    hint = "np.generic is the type of NumPy's scalars"
    expect.array(got, np.array(1, dtype), dtype=dtype, call=f"Tensor(np.{dtype}(1))", dtype_hint=hint)


@task("2.1")
def test_float64_keeps_every_digit(student, rng):
    """A float64 array loses no digits on its way into a tensor."""
    array = rng.standard_normal((3, 5))
    expect.array(student.tensor.Tensor(array), array, rtol=0, atol=0, dtype="float64", call="Tensor(array of float64)")


@task("2.1")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_tensor_can_be_made_of_a_tensor(student, dtype):
    """Tensor(tensor) has the other tensor's values and dtype."""
    tensor = student.tensor.Tensor(np.array([[1, 0, 3]], dtype))
    call = f"Tensor(tensor of {dtype})"
    expect.array(student.tensor.Tensor(tensor), np.array([[1, 0, 3]], dtype), dtype=dtype, call=call)


@task("2.1")
@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "bool"])
def test_a_given_dtype_decides(student, dtype):
    """A given dtype overrides the rules for lists, arrays and tensors."""
    tensor_class = student.tensor.Tensor
    expected = np.array([0, 1, 7]).astype(dtype)
    hint = "a given dtype overrides every other rule"
    call = f'Tensor([0, 1, 7], dtype="{dtype}")'
    expect.array(tensor_class([0, 1, 7], dtype=dtype), expected, dtype=dtype, call=call, dtype_hint=hint)
    array = np.array([0.0, 1.0, 7.0])
    call = f'Tensor(array of float64, dtype="{dtype}")'
    expect.array(tensor_class(array, dtype=dtype), expected, dtype=dtype, call=call, dtype_hint=hint)
    call = f'Tensor(tensor of int64, dtype="{dtype}")'
    got = tensor_class(tensor_class([0, 1, 7]), dtype=dtype)
    expect.array(got, expected, dtype=dtype, call=call, dtype_hint=hint)


@task("2.1")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_tensor_shares_no_memory_with_an_array(student, dtype):
    """Changing an array afterwards does not change the tensor made from it."""
    array = make_shared_array(student, dtype)
    tensor = student.tensor.Tensor(array)
    same_dtype = student.tensor.Tensor(array, dtype=dtype)
    array.fill(9.0)
    hint = "a tensor is made from a copy of its data"
    call = "t = Tensor(array); array.fill(9); t"
    expect.array(tensor, [1.0, 1.0, 1.0], call=call, hint=hint)
    expect.array(same_dtype, [1.0, 1.0, 1.0], call=call.replace("array)", f'array, dtype="{dtype}")'), hint=hint)


@task("2.1")
def test_a_tensor_shares_no_memory_with_a_tensor(student):
    """Changing a tensor's array afterwards does not change another tensor made from it."""
    array, first = make_shared_array(student, "float32"), student.tensor.Tensor([0.0, 0.0, 0.0])
    first.data = array
    second = student.tensor.Tensor(first)
    array.fill(9.0)
    call = "second = Tensor(first); first.data.fill(9); second"
    expect.array(second, [1.0, 1.0, 1.0], call=call, hint="a tensor is made from a copy of its data")


@task("2.1")
@pytest.mark.parametrize("values", [[[1, 2], [3]], [[1, 2], 3], [[[1.0]], [[1.0, 2.0]]]])
def test_ragged_lists_are_refused(student, values):
    """Lists of unequal length raise a ValueError."""
    with expect.raises(ValueError, call=f"Tensor({values})"):
        student.tensor.Tensor(values)


@task("2.1")
@pytest.mark.parametrize("values", ["1.5", ["1.5", "2"], None, [None, 1.0], {"a": 1}, b"12", [2**70]])
def test_what_is_no_number_is_refused(student, values):
    """Strings, None and other objects raise a TypeError, even where NumPy could read a number from them."""
    hint = "look at the kind of the array's dtype: b, i, u and f are numbers"
    with expect.raises(TypeError, call=f"Tensor({values!r})", hint=hint):
        student.tensor.Tensor(values)
    with expect.raises(TypeError, call=f'Tensor({values!r}, dtype="float32")', hint=hint):
        student.tensor.Tensor(values, dtype="float32")


@task("2.1")
@pytest.mark.parametrize("dtype", ["object", "str", "complex64"])
def test_a_dtype_that_holds_no_numbers_is_refused(student, dtype):
    """A dtype that is not bool, integer or floating-point raises a TypeError."""
    with expect.raises(TypeError, call=f'Tensor([1.0, 2.0], dtype="{dtype}")'):
        student.tensor.Tensor([1.0, 2.0], dtype=dtype)
    with expect.raises(TypeError, call=f'Tensor(array, dtype="{dtype}")'):
        student.tensor.Tensor(np.ones(2), dtype=dtype)


@task("2.1")
def test_a_tensor_starts_without_gradient(student):
    """A new tensor has no gradient."""
    expect.equal(student.tensor.Tensor([1.0]).grad, None, call="Tensor([1.0]).grad")


@task("2.1")
@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (4, 1, 2), (3, 0)])
def test_a_tensor_tells_its_shape(student, rng, shape):
    """shape, ndim, size and dtype describe the array."""
    tensor, call = student.tensor.Tensor(rng.random(shape)), f"Tensor(array of shape {shape})"
    expect.equal(tensor.shape, shape, call=f"{call}.shape")
    expect.equal(tensor.ndim, len(shape), call=f"{call}.ndim")
    expect.equal(tensor.size, int(np.prod(shape)), call=f"{call}.size")
    expect.equal(str(tensor.dtype), "float64", call=f"{call}.dtype")


@task("2.1")
@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], "Tensor([[1., 2.],\n        [3., 4.]])"),
        (2.5, "Tensor(2.5)"),
        ([1, 2], "Tensor([1, 2], dtype=int64)"),
        ([True], "Tensor([ True], dtype=bool)"),
        ([1 / 3], "Tensor([0.3333])"),
        ([[], []], "Tensor([], shape=(2, 0))"),
        ([], "Tensor([])"),
    ],
)
def test_repr_shows_values_and_unusual_dtypes(student, values, text):
    """repr() shows the values, and the dtype when it is not float32."""
    expect.equal(repr(student.tensor.Tensor(values)), text, call=f"repr(Tensor({values}))")


@task("2.1")
def test_repr_abbreviates(student):
    """repr() of 100,000 elements is short."""
    text = repr(student.tensor.Tensor(np.arange(100_000.0)))
    expect.that(
        "..." in text and len(text) < 200,
        call="repr(Tensor(array of 100,000))",
        got=text,
        expected="a short string that contains ...",
    )


# 2.2: back to Python values


@task("2.2")
@pytest.mark.parametrize("shape", [(1,), (5,), (2, 3), (4, 1, 2), (3, 0), (0, 3)])
def test_length_is_the_size_of_the_first_axis(student, shape):
    """len() is the size of the first axis."""
    expect.equal(len(student.tensor.Tensor(np.zeros(shape))), shape[0], call=f"len(Tensor of shape {shape})")


@task("2.2")
def test_a_scalar_has_no_length(student):
    """len() of a tensor without axes raises a TypeError."""
    with expect.raises(TypeError, call="len(Tensor(3.0))"):
        len(student.tensor.Tensor(3.0))


@task("2.2")
@pytest.mark.parametrize(("values", "expected"), [(2.5, 2.5), ([[7]], 7), ([True], True), (0, 0), ([-0.5], -0.5)])
def test_item_is_a_python_number(student, values, expected):
    """item() returns a single element as a Python number, whatever the number of axes."""
    expect.equal(student.tensor.Tensor(values).item(), expected, call=f"Tensor({values}).item()")


@task("2.2")
@pytest.mark.parametrize("shape", [(2,), (3, 1), (0,), (2, 0)])
def test_item_needs_exactly_one_element(student, shape):
    """item() raises a ValueError that states the shape unless the tensor has exactly one element."""
    with expect.raises(ValueError, call=f"Tensor(array of shape {shape}).item()", mentions=(str(shape),)):
        student.tensor.Tensor(np.zeros(shape)).item()


@task("2.2")
@pytest.mark.parametrize("values", [[[1, 2], [3, 4]], [True, False], [[[0.5]], [[-2.0]]], 3, 1.5, [], [[], []]])
def test_tolist_gives_the_lists_back(student, values):
    """tolist() returns nested lists of Python numbers, or a plain number for a scalar."""
    expect.equal(student.tensor.Tensor(values).tolist(), values, call=f"Tensor({values}).tolist()")


@task("2.2")
def test_tolist_keeps_every_digit(student, rng):
    """tolist() of random float64 values is exact."""
    array = rng.standard_normal((2, 3))
    expect.equal(student.tensor.Tensor(array).tolist(), array.tolist(), call="Tensor(array of float64).tolist()")


@task("2.2")
@pytest.mark.parametrize(("value", "truth"), [(0.0, False), (-0.5, True), (0, False), (3, True), (False, False)])
def test_a_scalar_is_as_true_as_its_number(student, value, truth):
    """A tensor with a single element has the truth value of the number it holds."""
    tensor = student.tensor.Tensor(value)
    expect.equal(tensor.item(), value, call=f"Tensor({value}).item()")
    got = student.tensor.np.array(tensor, dtype="bool")  # computes the truth value in the student's process
    expect.array(got, truth, call=f"bool(Tensor({value}))")


# 2.3: which dtype a result has


@task("2.3")
@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (["float32"], "float32"),
        (["int64", "float32"], "float32"),
        (["float16", "int64"], "float16"),
        (["float32", "float64"], "float64"),
        (["float16", "float32", "int64"], "float32"),
        (["bool", "float64"], "float64"),
        (["int8", "int32"], "int32"),
        (["bool", "int8"], "int8"),
        (["uint8", "int8"], "int16"),
        (["uint64", "int64"], "float32"),
        (["bool", "bool"], "bool"),
    ],
)
def test_tensors_decide_the_dtype(student, dtypes, expected):
    """Floating-point beats integer beats bool, and within a kind the wider dtype wins, whatever the order."""
    for order in (dtypes, dtypes[::-1]):
        tensors = [student.tensor.Tensor(np.ones(2, dtype)) for dtype in order]
        call = f"result_dtype(tensors of {', '.join(order)})"
        floating = "a floating-point tensor overrules an integer tensor, however wide the integer dtype is"
        hint = floating if any("float" in dtype for dtype in dtypes) else None
        expect.equal(get_dtype_name(student.tensor.result_dtype(*tensors)), expected, call=call, hint=hint)


@task("2.3")
@pytest.mark.parametrize(
    ("dtype", "number", "expected"),
    [
        ("float32", 2.5, "float32"),
        ("float64", 2.5, "float64"),
        ("float16", 7, "float16"),
        ("float32", True, "float32"),
        ("int64", 2.5, "float32"),
        ("int8", 0.5, "float32"),
        ("int8", 3, "int8"),
        ("int32", True, "int32"),
        ("uint8", 3, "uint8"),
        ("uint8", 300, "int64"),
        ("uint8", -1, "int64"),
        ("uint8", 255, "uint8"),
        ("int8", -128, "int8"),
        ("int8", -200, "int64"),
        ("int32", 2**31, "int64"),
        ("float16", 70_000, "float16"),
        ("uint8", 300.0, "float32"),
        ("bool", 3, "int64"),
        ("bool", 2.5, "float32"),
        ("bool", True, "bool"),
    ],
)
def test_a_number_only_counts_with_a_higher_kind(student, dtype, number, expected):
    """A number takes the dtype of the tensor it is combined with, unless its kind ranks higher, or it does not fit."""
    tensor = student.tensor.Tensor(np.ones(2, dtype))
    call = f"result_dtype(tensor of {dtype}, {number})"
    expect.equal(get_dtype_name(student.tensor.result_dtype(tensor, number)), expected, call=call)
    call = f"result_dtype({number}, tensor of {dtype})"
    expect.equal(get_dtype_name(student.tensor.result_dtype(number, tensor)), expected, call=call)


@task("2.3")
@pytest.mark.parametrize(
    ("numbers", "expected"), [((1, 2.5), "float32"), ((1, 2), "int64"), ((True, 2), "int64"), ((True, False), "bool")]
)
def test_numbers_alone_have_default_dtypes(student, numbers, expected):
    """Numbers without a tensor count as float32, int64 or bool."""
    call = f"result_dtype{numbers}"
    expect.equal(get_dtype_name(student.tensor.result_dtype(*numbers)), expected, call=call)


@task("2.3")
@pytest.mark.parametrize("dtype", DTYPES)
def test_as_floating_converts_only_what_must_be(student, rng, dtype):
    """as_floating() leaves floating-point arrays as they are and turns all others into float32."""
    array = rng.integers(0, 2, (2, 3)).astype(dtype)
    wanted = dtype if dtype.startswith("float") else "float32"
    expect.array(student.tensor.as_floating(array), array, dtype=wanted, call=f"as_floating(array of {dtype})")


# 2.4: broadcasting


@task("2.4")
@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((2, 3), (2, 3), (2, 3)),
        ((2, 3), (3,), (2, 3)),
        ((2, 3), (), (2, 3)),
        ((), (), ()),
        ((2, 1), (1, 3), (2, 3)),
        ((2, 1, 4), (3, 1), (2, 3, 4)),
        ((5, 1, 1, 7), (6, 1), (5, 1, 6, 7)),
        ((1,), (0,), (0,)),
        ((3, 0), (1, 1), (3, 0)),
        ((0,), (0,), (0,)),
    ],
)
def test_shapes_stretch_together(student, a, b, expected):
    """broadcast_shape() aligns the shapes on the right and stretches axes of size 1."""
    hint = "fill the shorter shape with ones on its left; a 1 gives way to any size, even to 0"
    expect.equal(student.tensor.broadcast_shape(a, b), expected, call=f"broadcast_shape({a}, {b})", hint=hint)
    expect.equal(student.tensor.broadcast_shape(b, a), expected, call=f"broadcast_shape({b}, {a})", hint=hint)


@task("2.4")
def test_large_sizes_are_compared_by_value(student):
    """Equal sizes fit, however large, even if the number is a different object in each of the two shapes."""
    a, b = np.ones((1, 1000)), np.ones((3, 1000))
    call = "broadcast_shape((1, 1000), (3, 1000))"
    expect.equal(student.tensor.broadcast_shape(a.shape, b.shape), (3, 1000), call=call, hint="compare with == and !=")


@task("2.4")
def test_random_shapes_broadcast_as_in_numpy(student, rng):
    """broadcast_shape() agrees with NumPy for random shapes."""
    for _ in range(10):
        full = rng.integers(2, 6, size=4)
        a, b = (tuple(int(n) for n in np.where(rng.random(4) < 0.4, 1, full)[rng.integers(0, 4) :]) for _ in "ab")
        expected = np.broadcast_shapes(a, b)
        expect.equal(student.tensor.broadcast_shape(a, b), expected, call=f"broadcast_shape({a}, {b})")


@task("2.4")
@pytest.mark.parametrize(
    ("a", "b"),
    [((2, 3), (4,)), ((2, 3), (2,)), ((3,), (0,)), ((2, 3, 4), (5, 3, 4)), ((2, 1), (3, 1)), ((2, 5), (3, 1))],
)
def test_shapes_that_clash_are_named(student, a, b):
    """broadcast_shape() raises a ValueError that states both shapes if they do not fit."""
    for first, second in ((a, b), (b, a)):
        with expect.raises(ValueError, call=f"broadcast_shape({first}, {second})", mentions=(str(first), str(second))):
            student.tensor.broadcast_shape(first, second)


@task("2.4")
def test_a_clash_names_the_two_sizes(student):
    """The error of broadcast_shape() states the two sizes that clash."""
    call = "broadcast_shape((7, 11, 1), (13, 5))"
    with expect.raises(ValueError, call=call, mentions=("sizes 11 and 13",), hint='write "sizes 11 and 13"'):
        student.tensor.broadcast_shape((7, 11, 1), (13, 5))


@task("2.4")
@pytest.mark.parametrize(("name", "function"), [("add", np.add), ("divide", np.divide), ("less", np.less)])
def test_elementwise_functions_compute(student, rng, name, function):
    """An elementwise op's forward function accepts arrays whose shapes broadcast."""
    op = getattr(student.tensor, name)
    for shape_a, shape_b in (((2, 3), (2, 3)), ((2, 1), (3,)), ((), (4,)), ((0, 3), (1, 3))):
        a, b = rng.uniform(1, 2, shape_a), rng.uniform(1, 2, shape_b)
        call = f"{name}.forward(a, b) for shapes {shape_a} and {shape_b}"
        expect.array(op.forward(a, b), function(a, b), call=call, rtol=1e-12)


@task("2.4")
def test_elementwise_functions_explain_a_clash(student):
    """An elementwise op's forward function raises broadcast_shape()'s ValueError when shapes do not fit."""
    for a, b, sizes in (((7, 11), (13,), "sizes 11 and 13"), ((7, 13), (1, 11), "sizes 13 and 11")):
        call = f"multiply.forward(a, b) for shapes {a} and {b}"
        with expect.raises(ValueError, call=call, mentions=(str(a), str(b), sizes)):
            student.tensor.multiply.forward(np.ones(a), np.ones(b))


@task("2.4")
def test_elementwise_functions_pass_other_errors_on(student):
    """If shapes fit but NumPy still raises a ValueError, an elementwise op's forward function raises that error."""
    hint = "when broadcast_shape raises nothing, re-raise NumPy's error with a bare `raise`"
    with expect.raises(ValueError, call="power.forward(np.array([2]), np.array([-1]))", hint=hint):
        student.tensor.power.forward(np.array([2]), np.array([-1]))


# 2.5: one way to run an operation


@task("2.5")
def test_apply_runs_forward_on_the_arrays(student, rng):
    """apply(op, a, b) returns what op.forward computes from both arrays, in this order, as a tensor."""
    m = student.tensor
    a, b = rng.random((2, 3)), rng.random((2, 3))
    expect.array(m.apply(m.add, m.Tensor(a), m.Tensor(b)), a + b, dtype="float64", rtol=1e-12, call="apply(add, a, b)")
    result = m.apply(m.subtract, m.Tensor(a), m.Tensor(b))
    expect.array(result, a - b, dtype="float64", rtol=1e-12, call="apply(subtract, a, b)")
    expect.array(m.apply(m.negative, m.Tensor(a)), -a, rtol=1e-12, call="apply(negative, a)")
    expect.equal(result.grad, None, call="apply(subtract, a, b).grad")


@task("2.5")
def test_backward_needs_a_tape(student):
    """Before module 09 nothing records how a tensor was computed, so backward() raises a RuntimeError that says so."""
    m = student.tensor
    result = m.apply(m.add, m.Tensor([1.0]), m.Tensor([2.0]))
    expect.equal(result.requires_grad, False, call="apply(add, a, b).requires_grad")
    with expect.raises(RuntimeError, mentions=("tape",), call="apply(add, a, b).backward()"):
        result.backward()


@task("2.5")
def test_apply_gives_a_tensor_even_for_a_scalar(student):
    """apply() returns a tensor of shape () where NumPy returns a bare number."""
    m = student.tensor
    result = m.apply(m.reduce_sum, m.Tensor([1.0, 2.0]))
    expect.equal(result.shape, (), call="apply(reduce_sum, Tensor([1.0, 2.0])).shape")
    expect.array(result, 3.0, dtype="float32", call="apply(reduce_sum, Tensor([1.0, 2.0]))")


@task("2.5")
def test_apply_takes_numbers_arrays_and_lists(student):
    """apply() turns numbers, arrays and lists into tensors."""
    m = student.tensor
    expect.array(m.apply(m.add, 1, 2), 3, dtype="int64", call="apply(add, 1, 2)")
    expect.array(m.apply(m.add, 1, 0.5), 1.5, dtype="float32", call="apply(add, 1, 0.5)")
    expect.array(m.apply(m.add, m.Tensor([1.0, 2.0]), 5), [6, 7], dtype="float32", call="apply(add, Tensor, 5)")
    result = m.apply(m.add, np.array([1.0, 2.0]), m.Tensor([1, 1]))
    expect.array(result, [2, 3], dtype="float64", call="apply(add, array of float64, Tensor of int64)")
    expect.array(
        m.apply(m.add, [1.0, 2.0], m.Tensor([1, 1])), [2, 3], dtype="float32", call="apply(add, [1.0, 2.0], …)"
    )


@task("2.5")
def test_apply_computes_in_the_common_dtype(student):
    """apply() converts arrays before computing, so a narrow integer combined with a wide one does not overflow."""
    m = student.tensor
    small, wide = m.Tensor(np.array([100], "int8")), m.Tensor(np.array([100], "int64"))
    expect.array(m.apply(m.add, small, wide), [200], dtype="int64", call="apply(add, int8 [100], int64 [100])")
    half = m.Tensor(np.array([1.0], "float16"))
    call = "apply(divide, int64 [100], float16 [1.0])"
    expect.array(m.apply(m.divide, wide, half), [100], dtype="float16", call=call, dtype_hint="use result_dtype")
    call = "apply(multiply, int64 [100], 0.5)"
    expect.array(m.apply(m.multiply, wide, 0.5), [50.0], dtype="float32", call=call)


@task("2.5")
def test_a_number_keeps_its_digits_beside_float64(student):
    """apply() converts a number to the common dtype directly, not through float32."""
    m = student.tensor
    result = m.apply(m.multiply, m.Tensor(np.array([3.0])), 0.1)
    hint = "0.1 was rounded to float32 on the way"
    expect.array(result, [3.0 * 0.1], rtol=1e-14, atol=0, call="apply(multiply, float64 [3.0], 0.1)", hint=hint)


@task("2.5")
@pytest.mark.parametrize(("dtype", "number"), [("uint8", 300), ("uint8", -1), ("int8", 200), ("int32", 2**40)])
def test_a_number_that_does_not_fit_is_computed_with(student, dtype, number):
    """An int that the tensor's dtype cannot hold does not wrap around: sums, quotients and comparisons are correct."""
    m, array = student.tensor, np.array([1, 44], dtype)
    for name, function in (("add", np.add), ("multiply", np.multiply), ("divide", np.divide), ("equal", np.equal)):
        for call, got, wanted in (
            (f"{dtype} [1, 44], {number}", (array, number), function(array.astype("int64"), number)),
            (f"{number}, {dtype} [1, 44]", (number, array), function(number, array.astype("int64"))),
        ):
            tensors = [m.Tensor(x) if x is array else x for x in got]
            hint = "300 wraps around to 44 in uint8: let result_dtype return int64"
            expect.array(m.apply(getattr(m, name), *tensors), wanted, call=f"apply({name}, {call})", hint=hint)


@task("2.5")
def test_apply_hands_attributes_on(student, rng):
    """apply() passes attributes to op.forward as keyword arguments."""
    m = student.tensor
    array = rng.random((2, 3, 4))
    result = m.apply(m.reduce_sum, m.Tensor(array), axis=1, keepdims=True)
    expect.array(result, array.sum(axis=1, keepdims=True), call="apply(reduce_sum, x, axis=1, keepdims=True)")
    result = m.apply(m.transpose, m.Tensor(array), axes=(2, 0, 1))
    expect.array(result, array.transpose(2, 0, 1), call="apply(transpose, x, axes=(2, 0, 1))")


@task("2.5")
def test_apply_names_op_and_shapes_when_they_clash(student):
    """apply() re-raises a ValueError from forward with the op's name, the shapes and the reason."""
    m = student.tensor
    with expect.raises(
        ValueError,
        call="apply(add, a, b) for shapes (7, 11) and (13,)",
        mentions=("add", "(7, 11)", "(13,)", "sizes 11 and 13"),
    ):
        m.apply(m.add, m.Tensor(np.ones((7, 11))), m.Tensor(np.ones(13)))
    call = "apply(reshape, x, shape=(4, 4)) for shape (7, 11)"
    with expect.raises(ValueError, call=call, mentions=("reshape", "(7, 11)", "(4,4)", "77")):
        m.apply(m.reshape, m.Tensor(np.ones((7, 11))), shape=(4, 4))


@task("2.5")
def test_apply_refuses_what_is_no_number(student):
    """apply() raises a TypeError for an input that cannot become a tensor."""
    m = student.tensor
    for wrong in (None, "1", {"a": 1}):
        with expect.raises(TypeError, call=f"apply(add, Tensor([1.0]), {wrong!r})"):
            m.apply(m.add, m.Tensor([1.0]), wrong)


@task("2.5")
def test_apply_changes_no_input(student, rng):
    """apply() does not change the values or dtypes of its inputs."""
    m = student.tensor
    a, b = rng.integers(0, 9, 3), rng.random(3)
    first, second = m.Tensor(a), m.Tensor(b)
    m.apply(m.add, first, second)
    expect.array(first, a, dtype="int64", call="a after apply(add, a, b)")
    expect.array(second, b, dtype="float64", call="b after apply(add, a, b)")


@task("2.5")
def test_apply_tells_the_recorder(student):
    """apply() calls the recorder once, with the op, the inputs, the attributes and the output."""
    m = student.tensor
    a = m.Tensor([[1.0, 2.0]])
    with traced(m) as trace:
        out = m.apply(m.reduce_sum, a, axis=1, keepdims=True)
    call = "the entries of a Trace after apply(reduce_sum, a, axis=1, keepdims=True)"
    entries = trace.entries
    expect.equal(len(entries), 1, call=f"the number of {call}", hint="call the recorder once, after forward")
    name, inputs, attributes, output = entries[0]
    expect.equal(name, "sum", call=f"the op in {call}")
    expect.equal(attributes, {"axis": 1, "keepdims": True}, call=f"the attributes in {call}")
    expect.that(type(inputs) is tuple, call=f"the inputs in {call}", got=expect.name_type(inputs), expected="a tuple")
    expect.equal(len(inputs), 1, call=f"the number of inputs in {call}")
    a.grad, out.grad = m.Tensor([[5.0, 6.0]]), m.Tensor([[7.0]])
    hint = "pass the original tensors to the recorder, not copies: gradients will be stored on them"
    expect.array(inputs[0].grad, [[5.0, 6.0]], call=f"inputs[0].grad in {call}, once a.grad is set", hint=hint)
    expect.array(output.grad, [[7.0]], call=f"output.grad in {call}, once the result's is set", hint=hint)


@task("2.5")
def test_the_recorder_sees_the_tensors_handed_in(student):
    """The recorder receives tensors in their own dtype, and numbers as tensors in the common dtype."""
    m = student.tensor
    a, b = m.Tensor([1, 2]), m.Tensor(np.array([0.5, 0.5]))
    with traced(m) as trace:
        m.apply(m.add, a, b)
        m.apply(m.add, 3, b)
    (_, first, _, _), (_, second, _, _) = trace.entries
    hint = "the recorder gets the tensors that were passed in, not the converted arrays"
    call = "the first input the recorder sees from apply(add, "
    call_64 = f"{call}tensor of int64, tensor of float64)"
    expect.array(first[0], [1, 2], dtype="int64", call=call_64, hint=hint, dtype_hint=hint)
    expect.array(second[0], 3.0, dtype="float64", call=f"{call}3, tensor of float64)")


@task("2.5")
def test_only_finished_operations_are_recorded(student):
    """The recorder is not called for operations that fail or that run after its removal."""
    m = student.tensor
    with traced(m) as trace:
        with expect.raises(ValueError, call="apply(add, a, b) for shapes (2,) and (3,)"):
            m.apply(m.add, m.Tensor([1.0, 2.0]), m.Tensor([1.0, 2.0, 3.0]))
        m.apply(m.less, m.Tensor([1.0]), 2.0)
    m.apply(m.negative, m.Tensor([1.0]))
    names = [entry[0] for entry in trace.entries]
    expect.equal(
        names, ["less"], call="the ops of a Trace after add (which failed), less and, with the Trace removed, negative"
    )


@task("2.5")
def test_recorders_take_turns(student):
    """set_recorder() returns the recorder it replaces, and apply() then calls only the new one."""
    m = student.tensor
    with traced(m) as first:
        m.apply(m.negative, m.Tensor([1.0]))
        with traced(m) as second:
            m.apply(m.exp, m.Tensor([1.0]))
        m.apply(m.log, m.Tensor([1.0]))
    call = "the ops of a Trace during negative, exp and log, if another Trace replaces it for exp"
    expect.equal([entry[0] for entry in first.entries], ["negative", "log"], call=call)
    expect.equal([entry[0] for entry in second.entries], ["exp"], call="the ops of the Trace that replaced it")


# 2.6: arithmetic and comparison


@task("2.6")
@pytest.mark.parametrize("sign", OPERATORS)
def test_operators_on_tensors(student, rng, sign):
    """Every operator works element by element, with broadcasting."""
    function, _ = OPERATORS[sign]
    for shape_a, shape_b in (((2, 3), (2, 3)), ((2, 3), (3,)), ((4, 1), (1, 5)), ((), (3,)), ((2, 0), (1, 1))):
        a, b = draw_whole_numbers(rng, shape_a), draw_whole_numbers(rng, shape_b)
        got = function(student.tensor.Tensor(a), student.tensor.Tensor(b))
        call = f"Tensor({a.tolist()}) {sign} Tensor({b.tolist()})"
        expect.array(got, function(a, b), call=call, dtype="bool" if sign in COMPARISONS else "float64")


@task("2.6")
@pytest.mark.parametrize("sign", OPERATORS)
def test_operators_with_a_number(student, rng, sign):
    """Every operator takes a number on either side, keeps the operands in order, and stays in float32."""
    function, _ = OPERATORS[sign]
    array, dtype = draw_whole_numbers(rng, 3).astype("float32"), "bool" if sign in COMPARISONS else "float32"
    for number in (2, 2.0):
        hint = "for `number ∘ tensor` Python calls the reflected method, where self is the right operand"
        got = function(student.tensor.Tensor(array), number)
        expect.array(got, function(array, number), dtype=dtype, call=f"Tensor({array.tolist()}) {sign} {number}")
        got, call = function(number, student.tensor.Tensor(array)), f"{number} {sign} Tensor({array.tolist()})"
        expect.array(got, function(number, array), dtype=dtype, call=call, hint=hint)


@task("2.6")
@pytest.mark.parametrize("sign", OPERATORS)
def test_operators_with_an_array(student, rng, sign):
    """Every operator takes a NumPy array on either side, and the result is a tensor."""
    function, _ = OPERATORS[sign]
    a, b = draw_whole_numbers(rng, (2, 3)), draw_whole_numbers(rng, 3)
    for left, right in ((student.tensor.Tensor(a), b), (a, student.tensor.Tensor(b))):
        got = function(left, right)
        call = f"{'array' if left is a else 'Tensor'} {sign} {'array' if right is b else 'Tensor'}"
        expect.that(type(got) is not np.ndarray, call=call, got=got, expected="a Tensor")
        expect.array(got, function(a, b), call=call)


@task("2.6")
@pytest.mark.parametrize("sign", ARITHMETIC)
def test_operators_on_integers(student, sign):
    """Integers stay integers, except in a division, which gives float32."""
    function, _ = ARITHMETIC[sign]
    a, b = [7, -3, 2], [2, 4, 3]
    wanted = function(np.array(a), np.array(b))
    got = function(student.tensor.Tensor(a), student.tensor.Tensor(b))
    expect.array(got, wanted, dtype="float32" if sign == "/" else "int64", call=f"Tensor({a}) {sign} Tensor({b})")


@task("2.6")
@pytest.mark.parametrize("sign", OPERATORS)
def test_operators_run_through_apply(student, sign):
    """Every operator runs its own op through apply(), on either side."""
    function, name = OPERATORS[sign]
    mirrored = {"<": "greater", "<=": "greater_equal", ">": "less", ">=": "less_equal"}
    tensor = student.tensor.Tensor([1.0, 2.0])
    with traced(student.tensor) as trace:
        function(tensor, tensor)
        function(2.0, tensor)
    names = [entry[0] for entry in trace.entries]
    call = f"the ops that ran in tensor {sign} tensor and 2.0 {sign} tensor"
    expect.equal(names, [name, mirrored.get(sign, name)], call=call)


@task("2.6")
@pytest.mark.parametrize("sign", OPERATORS)
def test_operators_name_themselves_when_shapes_clash(student, sign):
    """An operator on shapes that do not broadcast raises a ValueError with the op's name, both shapes and the sizes."""
    function, name = OPERATORS[sign]
    a, b = student.tensor.Tensor(np.ones((2, 3))), student.tensor.Tensor(np.ones((4,)))
    call = f"Tensor of shape (2, 3) {sign} Tensor of shape (4,)"
    with expect.raises(ValueError, call=call, mentions=(name, "(2, 3)", "(4,)", "sizes 3 and 4")):
        function(a, b)


@task("2.6")
def test_negative(student, rng):
    """-tensor changes every sign and keeps the dtype."""
    array = rng.standard_normal((3, 2))
    expect.array(-student.tensor.Tensor(array), -array, dtype="float64", call="-Tensor(array of float64)")
    expect.array(-student.tensor.Tensor([1, -2]), [-1, 2], dtype="int64", call="-Tensor([1, -2])")


@task("2.6")
@pytest.mark.parametrize("name", ["exp", "log", "sqrt"])
def test_elementary_functions(student, rng, name):
    """exp(), log() and sqrt() work element by element, and return float32 for integers."""
    array = rng.uniform(0.5, 2, (2, 3))
    function = getattr(np, name)
    got = getattr(student.tensor.Tensor(array), name)()
    expect.array(got, function(array), dtype="float64", rtol=1e-12, call=f"Tensor(array of float64).{name}()")
    got = getattr(student.tensor.Tensor([1, 4]), name)()
    expect.array(got, function([1.0, 4.0]), dtype="float32", call=f"Tensor([1, 4]).{name}()")


@task("2.6")
def test_functions_run_through_apply(student):
    """-x, exp(), log() and sqrt() run through apply()."""
    tensor = student.tensor.Tensor([1.0, 2.0])
    with traced(student.tensor) as trace:
        operator.neg(tensor)
        tensor.exp()
        tensor.log()
        tensor.sqrt()
    names = [entry[0] for entry in trace.entries]
    expect.equal(names, ["negative", "exp", "log", "sqrt"], call="the ops that ran in -x, x.exp(), x.log(), x.sqrt()")


# 2.7: matrix product


@task("2.7")
@pytest.mark.parametrize(
    ("shape_a", "shape_b"),
    [
        ((2, 3), (3, 4)),
        ((1, 5), (5, 1)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((7, 2, 3), (7, 3, 4)),
        ((7, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((6, 1, 2, 3), (5, 3, 4)),
        ((3,), (5, 3, 4)),
        ((5, 2, 3), (3,)),
        ((2, 0), (0, 3)),
        ((0, 3), (3, 2)),
        ((2, 1000), (1000, 3)),
    ],
)
def test_matrix_products(student, rng, shape_a, shape_b):
    """@ multiplies matrices, vectors and stacks of matrices."""
    a, b = rng.standard_normal(shape_a), rng.standard_normal(shape_b)
    call = f"Tensor of shape {shape_a} @ Tensor of shape {shape_b}"
    got = student.tensor.Tensor(a) @ student.tensor.Tensor(b)
    expect.array(got, a @ b, dtype="float64", rtol=1e-9, call=call)


@task("2.7")
def test_matrix_product_by_hand(student):
    """[[1, 2], [3, 4]] @ [[5, 6], [7, 8]] is [[19, 22], [43, 50]], with an integer dtype."""
    got = student.tensor.Tensor([[1, 2], [3, 4]]) @ student.tensor.Tensor([[5, 6], [7, 8]])
    expect.array(got, [[19, 22], [43, 50]], dtype="int64", call="Tensor([[1, 2], [3, 4]]) @ Tensor([[5, 6], [7, 8]])")


@task("2.7")
def test_matrix_product_with_an_array(student, rng):
    """@ takes a NumPy array on either side."""
    a, b = rng.standard_normal((2, 3)), rng.standard_normal((3, 2))
    expect.array(student.tensor.Tensor(a) @ b, a @ b, call="Tensor @ array")
    got = a @ student.tensor.Tensor(b)
    expect.that(type(got) is not np.ndarray, call="array @ Tensor", got=got, expected="a Tensor")
    expect.array(got, a @ b, call="array @ Tensor")


@task("2.7")
@pytest.mark.parametrize(
    ("shape_a", "shape_b", "sizes"),
    [
        ((2, 13), (17, 4), "sizes 13 and 17"),
        ((13,), (17,), "sizes 13 and 17"),
        ((2, 13), (17,), "sizes 13 and 17"),
        ((2, 17), (13, 4), "sizes 17 and 13"),
        ((13,), (17, 13), "sizes 13 and 17"),
        ((5, 2, 13), (5, 17, 13), "sizes 13 and 17"),
        ((2, 1), (17, 4), "sizes 1 and 17"),
        ((19, 2, 3), (23, 3, 4), "sizes 19 and 23"),
    ],
)
def test_matrix_product_of_wrong_shapes(student, shape_a, shape_b, sizes):
    """@ on shapes that do not fit raises a ValueError with the op's name, both shapes and the sizes that clash."""
    a, b = np.ones(shape_a), np.ones(shape_b)
    hint = f'check before NumPy does, and write "{sizes}"'
    with expect.raises(ValueError, call=f"matmul_forward of {shape_a} and {shape_b}", mentions=(sizes,), hint=hint):
        student.tensor.matmul_forward(a, b)
    call = f"Tensor of shape {shape_a} @ Tensor of shape {shape_b}"
    with expect.raises(ValueError, call=call, mentions=("matmul", str(shape_a), str(shape_b), sizes)):
        student.tensor.Tensor(a) @ student.tensor.Tensor(b)


@task("2.7")
def test_matrix_product_of_a_scalar(student):
    """@ with a scalar raises a ValueError: scaling is what * is for."""
    with expect.raises(ValueError, call="Tensor([1.0, 2.0]) @ 3.0", mentions=("matmul", "(2,)", "()")):
        student.tensor.Tensor([1.0, 2.0]) @ 3.0
    with expect.raises(ValueError, call="3.0 @ Tensor([1.0, 2.0])", mentions=("matmul", "(2,)", "()")):
        3.0 @ student.tensor.Tensor([1.0, 2.0])


@task("2.7")
def test_matrix_product_runs_through_apply(student):
    """@ runs through apply(), on either side."""
    tensor = student.tensor.Tensor([1.0, 2.0])
    with traced(student.tensor) as trace:
        expect.array(tensor @ tensor, 5.0, dtype="float32", call="x @ x for x = Tensor([1.0, 2.0])")
        expect.array(np.ones((3, 2)) @ tensor, np.full(3, 3.0), call="array of ones (3, 2) @ x")
    expect.equal(
        [entry[0] for entry in trace.entries], ["matmul", "matmul"], call="the ops that ran in x @ x, array @ x"
    )


# 2.8: reductions


@task("2.8")
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -2, (0, 2), (-1, 0), (0, 1, 2), ()])
def test_reductions_over_axes(student, rng, name, axis):
    """A reduction removes the axes it runs over, or keeps them with size 1 if keepdims is True."""
    array = rng.uniform(-3, -1, (2, 3, 4))
    tensor = student.tensor.Tensor(array)
    for keepdims in (False, True):
        call = f"Tensor of shape (2, 3, 4).{name}(axis={axis}, keepdims={keepdims})"
        got = getattr(tensor, name)(axis=axis, keepdims=keepdims)
        expected = getattr(np, name)(array, axis=axis, keepdims=keepdims)
        expect.array(got, expected, dtype="float64", rtol=1e-10, call=call)


@task("2.8")
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_reductions_by_default(student, rng, name):
    """Without arguments, a reduction runs over all elements; the first argument is the axis."""
    array = rng.standard_normal((3, 5)).astype("float32")
    tensor = student.tensor.Tensor(array)
    expect.array(getattr(tensor, name)(), getattr(np, name)(array), dtype="float32", call=f"tensor.{name}()")
    expect.array(getattr(tensor, name)(1), getattr(np, name)(array, 1), dtype="float32", call=f"tensor.{name}(1)")


@task("2.8")
@pytest.mark.parametrize(
    ("name", "values", "expected", "dtype"),
    [
        ("sum", [1, 2, 4], 7, "int64"),
        ("mean", [1, 2, 4], 7 / 3, "float32"),
        ("max", [1, 4, 2], 4, "int64"),
        ("min", [3, 1, 2], 1, "int64"),
        ("sum", [True, True, False], 2, "int64"),
        ("mean", [True, True, False, False], 0.5, "float32"),
        ("max", [False, True], True, "bool"),
    ],
)
def test_reductions_of_integers(student, name, values, expected, dtype):
    """Integers stay integers, except in a mean, which is float32; a sum of bools counts the True values."""
    got = getattr(student.tensor.Tensor(values), name)()
    expect.array(got, expected, dtype=dtype, call=f"Tensor({values}).{name}()")


@task("2.8")
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int32", "uint64"])
def test_sums_of_integers_are_int64(student, dtype):
    """A sum of small or unsigned integers is int64: it does not overflow, and it does not wrap around below 0."""
    tensor = student.tensor.Tensor(np.full((3, 2), 1 if dtype == "bool" else 100).astype(dtype))
    one = 1 if dtype == "bool" else 100
    call = f"(Tensor of {dtype} holding {one} six times)"
    expect.array(tensor.sum(), 6 * one, dtype="int64", call=f"{call}.sum()")
    expect.array(tensor.sum(axis=0) - 1000, [3 * one - 1000] * 2, dtype="int64", call=f"{call}.sum(axis=0) - 1000")


@task("2.8")
def test_reductions_of_nothing(student):
    """The sum of no elements is 0; the maximum and minimum of no elements raise a ValueError."""
    empty = student.tensor.Tensor(np.zeros((0, 3)))
    expect.array(empty.sum(axis=0), np.zeros(3), dtype="float64", call="Tensor of shape (0, 3).sum(axis=0)")
    expect.array(empty.max(axis=1), np.zeros(0), call="Tensor of shape (0, 3).max(axis=1)")
    for name in ("max", "min"):
        with expect.raises(ValueError, call=f"Tensor of shape (0, 3).{name}(axis=0)", mentions=(name, "(0, 3)")):
            getattr(empty, name)(axis=0)


@task("2.8")
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_reductions_over_a_missing_axis(student, name):
    """A reduction over a missing axis raises a ValueError with the op's name and the shape."""
    with expect.raises(ValueError, call=f"Tensor of shape (2, 3).{name}(axis=2)", mentions=(name, "(2, 3)")):
        getattr(student.tensor.Tensor(np.ones((2, 3))), name)(axis=2)


@task("2.8")
def test_reductions_run_through_apply(student):
    """Every reduction runs its op through apply() with axis and keepdims as attributes."""
    tensor = student.tensor.Tensor([[1.0, 2.0]])
    with traced(student.tensor) as trace:
        for name in ("sum", "mean", "max", "min"):
            getattr(tensor, name)(axis=1, keepdims=True)
    got = [(entry[0], entry[2]) for entry in trace.entries]
    expected = [(name, {"axis": 1, "keepdims": True}) for name in ("sum", "mean", "max", "min")]
    expect.equal(got, expected, call="the ops and attributes that ran in sum, mean, max and min(axis=1, keepdims=True)")


# 2.9: reshape and transpose


@task("2.9")
@pytest.mark.parametrize("shape", [(4, 6), (24,), (-1,), (2, -1), (-1, 3, 2), (1, 24, 1), (2, 3, 4)])
def test_reshape(student, rng, shape):
    """reshape() keeps the elements and their order; one size may be -1."""
    array = rng.standard_normal((2, 3, 4))
    tensor, expected = student.tensor.Tensor(array), array.reshape(shape)
    sizes = ", ".join(map(str, shape))
    expect.array(tensor.reshape(*shape), expected, dtype="float64", call=f"Tensor of (2, 3, 4).reshape({sizes})")
    expect.array(tensor.reshape(shape), expected, dtype="float64", call=f"Tensor of (2, 3, 4).reshape({shape})")


@task("2.9")
def test_reshape_of_one_and_of_no_elements(student):
    """reshape() can turn a single element into a scalar, and can reshape an empty tensor."""
    expect.array(student.tensor.Tensor([[5.0]]).reshape(()), 5.0, call="Tensor([[5.0]]).reshape(())")
    got = student.tensor.Tensor(np.zeros((0, 3))).reshape(3, 0, 2)
    expect.array(got, np.zeros((3, 0, 2)), call="Tensor of shape (0, 3).reshape(3, 0, 2)")


@task("2.9")
@pytest.mark.parametrize("shape", [(4, 4), (5, -1), (-1, -1)])
def test_reshape_to_another_size(student, shape):
    """reshape() to a different number of elements raises a ValueError with the op's name and the tensor's shape."""
    call = f"Tensor of shape (2, 3).reshape{shape}"
    with expect.raises(ValueError, call=call, mentions=("reshape", "(2, 3)")):
        student.tensor.Tensor(np.ones((2, 3))).reshape(*shape)


@task("2.9")
@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 2, 0), (0, 2, 1), (-1, 0, 1), (0, 1, 2)])
def test_transpose_orders_axes(student, rng, axes):
    """transpose() puts the axes into the order given, as ints or as one tuple."""
    array = rng.standard_normal((2, 3, 4))
    tensor, expected = student.tensor.Tensor(array), array.transpose(axes)
    order = ", ".join(map(str, axes))
    expect.array(tensor.transpose(*axes), expected, dtype="float64", call=f"Tensor of (2, 3, 4).transpose({order})")
    expect.array(tensor.transpose(axes), expected, dtype="float64", call=f"Tensor of (2, 3, 4).transpose({axes})")


@task("2.9")
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4), (2, 0)])
def test_transpose_without_axes_reverses(student, rng, shape):
    """transpose() without axes, and .T, reverse all axes."""
    array = rng.standard_normal(shape)
    expect.array(student.tensor.Tensor(array).transpose(), array.T, call=f"Tensor of shape {shape}.transpose()")
    expect.array(student.tensor.Tensor(array).T, array.T, call=f"Tensor of shape {shape}.T")


@task("2.9")
@pytest.mark.parametrize("axes", [(0, 0), (0, 2), (0, 1, 2), (1,)])
def test_transpose_of_wrong_axes(student, axes):
    """transpose() needs every axis exactly once; anything else raises a ValueError with the op's name and the shape."""
    call = f"Tensor of shape (2, 3).transpose{axes}"
    with expect.raises(ValueError, call=call, mentions=("transpose", "(2, 3)")):
        student.tensor.Tensor(np.ones((2, 3))).transpose(*axes)


@task("2.9")
def test_shape_changes_run_through_apply(student):
    """reshape(), transpose() and .T run through apply()."""
    tensor = student.tensor.Tensor([[1.0, 2.0]])
    with traced(student.tensor) as trace:
        tensor.reshape(2, 1)
        tensor.transpose(1, 0)
        tensor.T  # noqa: B018 - the property runs an operation
    names = [entry[0] for entry in trace.entries]
    expect.equal(names, ["reshape", "transpose", "transpose"], call="the ops that ran in reshape, transpose and .T")


# 2.10: indexing


@task("2.10")
@pytest.mark.parametrize(
    "key",
    [
        1,
        -1,
        slice(1, 3),
        slice(None, None, -2),
        slice(3, 3),
        (1, 2),
        (slice(None), 0),
        (Ellipsis, -1),
        (slice(0, 2), None, 1),
        (1, slice(None), slice(1, None)),
        [2, 0, 0],
        ([0, 1], [2, 1]),
    ],
    ids=str,
)
def test_indexing_as_in_numpy(student, rng, key):
    """Ints, slices, ..., None, lists and tuples of them select as in NumPy."""
    array = rng.standard_normal((4, 3, 2))
    got = student.tensor.Tensor(array)[key]
    expect.array(got, array[key], dtype="float64", call=f"Tensor of shape (4, 3, 2)[{key}]")


@task("2.10")
def test_indexing_one_element_gives_a_tensor(student):
    """A single element is still a tensor, of shape ()."""
    got = student.tensor.Tensor([1.0, 2.0])[1]
    expect.equal(got.shape, (), call="Tensor([1.0, 2.0])[1].shape")
    expect.array(got, 2.0, dtype="float32", call="Tensor([1.0, 2.0])[1]")


@task("2.10")
def test_indexing_with_arrays_and_tensors(student, rng):
    """Integer arrays and tensors select rows, and boolean ones select where they are True, also inside a tuple."""
    tensor_class = student.tensor.Tensor
    array = rng.standard_normal((4, 3))
    rows, columns = rng.integers(0, 4, 5), rng.integers(-3, 3, 5)
    mask, row_mask = rng.random((4, 3)) < 0.5, np.array([True, False, False, True])
    keys = {
        "rows": rows,
        "rows, columns": (rows, columns),
        "mask": mask,
        "row_mask": row_mask,
        "row_mask, 1": (row_mask, 1),
        ":, columns": (slice(None), columns),
    }
    for text, key in keys.items():
        as_tensors = tuple(map(make_key_converter(tensor_class), key)) if isinstance(key, tuple) else tensor_class(key)
        hint = "replace each tensor with its array, even inside a tuple"
        expect.array(tensor_class(array)[key], array[key], call=f"tensor[{text}] with arrays")
        expect.array(tensor_class(array)[as_tensors], array[key], call=f"tensor[{text}] with tensors", hint=hint)


@task("2.10")
def test_indexing_with_a_comparison(student):
    """x[x > 0] selects the elements above zero."""
    x = student.tensor.Tensor([[1.0, -2.0], [-3.0, 4.0]])
    expect.array(x[x > 0], [1.0, 4.0], call="x[x > 0] for x = Tensor([[1, -2], [-3, 4]])")


@task("2.10")
@pytest.mark.parametrize("key", [4, -5, (0, 3), [0, 4], (0, 0, 0)], ids=str)
def test_indexing_out_of_range(student, key):
    """An out-of-range index raises an IndexError."""
    with expect.raises(IndexError, call=f"Tensor of shape (4, 3)[{key}]"):
        student.tensor.Tensor(np.zeros((4, 3)))[key]


@task("2.10")
def test_indexing_with_floats(student):
    """A tensor of floats used as an index raises an IndexError."""
    with expect.raises(IndexError, call="Tensor([1.0, 2.0])[Tensor([0.0])]"):
        student.tensor.Tensor([1.0, 2.0])[student.tensor.Tensor([0.0])]


@task("2.10")
def test_iterating_gives_rows(student, rng):
    """Iterating yields one tensor for each row; iterating over a scalar raises a TypeError."""
    array = rng.standard_normal((3, 2))
    rows = list(student.tensor.Tensor(array))
    expect.equal(len(rows), 3, call="len(list(Tensor of shape (3, 2)))")
    for i, row in enumerate(rows):
        expect.array(row, array[i], call=f"list(Tensor of shape (3, 2))[{i}]")
    with expect.raises(TypeError, call="list(Tensor(3.0))"):
        list(student.tensor.Tensor(3.0))


@task("2.10")
def test_indexing_runs_through_apply(student):
    """Indexing runs through apply()."""
    tensor = student.tensor.Tensor([1.0, 2.0])
    with traced(student.tensor) as trace:
        tensor[0]
        tensor[student.tensor.Tensor([1, 0])]
    expect.equal(
        [entry[0] for entry in trace.entries], ["index", "index"], call="the ops that ran in x[0] and x[tensor]"
    )


# Helpers for several tests


def make_shared_array(student, dtype):
    """Create three ones in the student's process, where the test can change them; plain arrays would be copies."""
    return student.tensor.np.ma.ones(3, dtype)


def make_key_converter(tensor_class):
    """Return a function that turns an array in a key into a tensor, and leaves slices and ints unchanged."""
    return lambda part: tensor_class(part) if isinstance(part, np.ndarray) else part


def draw_whole_numbers(rng, shape):
    """Draw whole numbers from 1 to 4 in float64: powers and quotients are exact, and some pairs are equal."""
    return rng.integers(1, 5, shape).astype("float64")


def get_dtype_name(dtype):
    """Return the name of a dtype, or the repr of anything that is not a dtype."""
    try:
        return np.dtype(dtype).name
    except TypeError:
        return repr(dtype)
