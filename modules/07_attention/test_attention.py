"""The tests of module 07: attention compared with loops over queries and keys in float64, and what masks hide."""

import math

import numpy as np
import pytest

from grading.testing import check_gradient, draw_parameters, expect, task, traced, values

SHAPES = {
    "one query": ((1, 4), (3, 4), (3, 4)),
    "one key": ((3, 2), (1, 2), (1, 5)),
    "self-attention": ((6, 3), (6, 3), (6, 3)),
    "other lengths": ((4, 5), (7, 5), (7, 2)),
    "a batch": ((3, 4, 6), (3, 5, 6), (3, 5, 6)),
    "heads": ((2, 3, 5, 4), (2, 3, 4, 4), (2, 3, 4, 1)),
    "one feature": ((2, 3, 1), (2, 3, 1), (2, 3, 2)),
}
shapes = pytest.mark.parametrize("case", SHAPES.values(), ids=SHAPES.keys())
INVERTED = (
    "The mask is the wrong way round: it is True where attending is allowed, and masked_fill fills where it is True."
)
TOO_HIGH = "The fill value must be below every score: use np.finfo(dtype).min / 2, not a number such as -100."
FLOAT32 = {"dtype": "float32", "rtol": 1e-4, "atol": 1e-5}

# 7.1: scores


@task("7.1")
def test_scores_of_the_worked_example(student):
    """A query of (2, 0, 0, 2) scores 1 with the key (1, 0, 0, 0) and 6 with the key (3, 1, 1, 3)."""
    tensor = student.tensor.Tensor
    got = student.attention.attention_scores(tensor([[2.0, 0, 0, 2]]), tensor([[1.0, 0, 0, 0], [3.0, 1, 1, 3]]))
    expect.array(got, [[1, 6]], call="attention_scores([[2, 0, 0, 2]], [[1, 0, 0, 0], [3, 1, 1, 3]])")


@task("7.1")
@shapes
def test_scores_are_scaled_dot_products(student, rng, case):
    """Each score is the dot product of a query with a key, divided by the square root of the number of features."""
    query, key = rng.normal(size=case[0]), rng.normal(size=case[1])
    call = f"attention_scores(query of {case[0]}, key of {case[1]})"
    for dtype, tolerance in (("float64", {"dtype": "float64"}), ("float32", FLOAT32)):
        tensors = [student.tensor.Tensor(array.astype(dtype)) for array in (query, key)]
        got = student.attention.attention_scores(*tensors)
        expect.array(got, compute_scores(query, key), call=f"{call}, both {dtype}", hint="q · k / √d", **tolerance)


@task("7.1")
def test_scores_of_integers_are_float32(student, rng):
    """Integer queries and keys give float32, and are left unchanged."""
    query, key = rng.integers(-5, 6, (2, 3, 5)), rng.integers(-5, 6, (2, 4, 5))
    its_query, its_key = student.tensor.Tensor(query), student.tensor.Tensor(key)
    got = student.attention.attention_scores(its_query, its_key)
    expect.array(got, compute_scores(query, key), call="attention_scores of integers", **FLOAT32)
    for name, tensor, before in (("query", its_query, query), ("key", its_key, key)):
        expect.array(tensor, before, dtype="int64", call=f"{name} after attention_scores")


@task("7.1")
def test_scores_refuse_other_sizes(student):
    """A query and a key with different numbers of features raise a ValueError."""
    tensor, attention = student.tensor.Tensor, student.attention
    for query, key in (((3, 4), (3, 5)), ((3, 4), (4, 3)), ((2, 3, 4), (2, 3, 1))):
        with expect.raises(ValueError, call=f"attention_scores(query of {query}, key of {key})"):
            attention.attention_scores(tensor(np.ones(query)), tensor(np.ones(key)))


@task("7.1")
def test_scores_are_recorded(student, rng):
    """A recorder sees every step from the query and the key to the scores."""

    def make_run():
        inputs = [student.tensor.Tensor(rng.normal(size=s)) for s in ((2, 3, 4), (2, 5, 4))]
        return inputs, lambda: student.attention.attention_scores(*inputs)

    check_recorded(student, make_run, call="attention_scores(query, key)")


# 7.2: masks


@task("7.2")
def test_causal_mask_is_true_up_to_the_diagonal(student, rng):
    """The element in row i and column j is True unless j is after i."""
    for length in (0, 1, 2, 3, int(rng.integers(4, 30))):
        wanted = np.array([j <= i for i in range(length) for j in range(length)], bool).reshape(length, length)
        expect.array(student.attention.causal_mask(length), wanted, dtype=bool, call=f"causal_mask({length})")


@task("7.2")
def test_padding_mask_is_true_for_what_is_not_padding(student, rng):
    """Row n begins with one True for each token of sequence n; the shape is (N, 1, length)."""
    drawn = [int(n) for n in rng.integers(0, 10, 5)]
    for lengths, length in (([1, 3], 3), ([2], 4), ([0, 5, 3], 5), ([], 2), ([0, 0], 0), (drawn, 9)):
        wanted = np.zeros((len(lengths), 1, length), bool)
        for n, tokens in enumerate(lengths):
            wanted[n, 0, :tokens] = True
        for given, kind in ((lengths, "list"), (np.array(lengths, "int64"), "array")):
            got = student.attention.padding_mask(given, length)
            expect.array(got, wanted, dtype=bool, call=f"padding_mask({kind} {lengths}, {length})")


@task("7.2")
def test_padding_mask_refuses_what_does_not_fit(student):
    """A sequence longer than the padded length, or of negative length, raises a ValueError that states its length."""
    for lengths in ([1, 7, 2], [2, -7]):
        with expect.raises(ValueError, mentions=("7",), call=f"padding_mask({lengths}, 6)"):
            student.attention.padding_mask(lengths, 6)
    got = student.attention.padding_mask([6], 6)
    expect.array(got, np.ones((1, 1, 6), bool), dtype=bool, call="padding_mask([6], 6), where nothing is padding")


@task("7.2")
def test_masks_combine(student):
    """`causal_mask(3) & padding_mask([2, 3], 3)` has the shape (2, 3, 3), and is True where both masks are."""
    attention = student.attention
    got = expect.pull(attention.causal_mask(3), call="causal_mask(3)") & expect.pull(
        attention.padding_mask([2, 3], 3), call="padding_mask([2, 3], 3)"
    )
    wanted = [[[1, 0, 0], [1, 1, 0], [1, 1, 0]], [[1, 0, 0], [1, 1, 0], [1, 1, 1]]]
    expect.array(got, np.array(wanted, bool), call="causal_mask(3) & padding_mask([2, 3], 3)")


# 7.3: masked_fill

FILLS = [((3, 4), (3, 4)), ((2, 3, 4), (3, 4)), ((2, 3, 4), (2, 1, 4)), ((5,), (1,)), ((2, 2, 3, 3), (2, 1, 1, 3))]


@task("7.3")
@pytest.mark.parametrize(("shape", "its_mask"), FILLS)
def test_masked_fill_values(student, rng, shape, its_mask):
    """Where the mask is True, the value replaces whatever was there; everything else is unchanged."""
    x, mask = rng.normal(size=shape), rng.random(its_mask) < 0.5
    everywhere = np.broadcast_to(mask, shape)
    for value in (0.0, -2.5, -1e30, float("-inf")):
        for dtype in ("float32", "float64"):
            before = np.where(everywhere, rng.choice([np.nan, np.inf, 1.0], shape), x).astype(dtype)
            wanted = before.copy()
            wanted[everywhere] = value
            got = student.attention.masked_fill.forward(before, mask=mask, value=value)
            call = f"masked_fill.forward(x of {dtype} {shape}, mask of {its_mask}, value={value})"
            expect.array(got, wanted, dtype=dtype, call=call, hint="select x or value; do not compute with both")


@task("7.3")
def test_masked_fill_through_apply(student, rng):
    """Through apply, integers give float32, and the argument is not changed."""
    x, mask = rng.integers(1, 9, (4, 5)), rng.random((4, 5)) < 0.5
    tensor = student.tensor.Tensor(x)
    got = student.tensor.apply(student.attention.masked_fill, tensor, mask=mask, value=-0.5)
    expect.array(got, np.where(mask, -0.5, x), dtype="float32", call="apply(masked_fill, integers, value=-0.5)")
    expect.array(tensor, x, dtype="int64", call="the integers after masked_fill")
    tensor = student.tensor.Tensor(x.astype("float32"))
    student.tensor.apply(student.attention.masked_fill, tensor, mask=mask, value=-0.5)
    expect.array(tensor, x, dtype="float32", rtol=0, atol=0, call="x of float32 after masked_fill")


@task("7.3")
@pytest.mark.parametrize(("shape", "its_mask"), FILLS)
def test_masked_fill_gradient(student, rng, shape, its_mask):
    """The gradient is 0 where the mask is True and the output's gradient where it is False, in its dtype."""
    x, grad, mask = rng.normal(size=shape), rng.normal(size=shape), rng.random(its_mask) < 0.5
    op, call = student.attention.masked_fill, f"masked_fill.backward, x of {shape}, mask of {its_mask}"
    check_gradient(op, x, mask=mask, value=-3.0, call=call)
    for dtype in ("float32", "float64"):
        g, before = grad.astype(dtype), x.astype(dtype)
        got = op.backward(g, np.where(mask, -3.0, before).astype(dtype), before, mask=mask, value=-3.0)
        expect.equal(len(got), 1, call=f"the number of gradients of {call}")
        expect.array(got[0], np.where(mask, 0, g), dtype=dtype, call=f"{call}, {dtype}")


@task("7.3")
def test_masked_fill_refuses_other_masks(student):
    """A mask that does not hold bools raises a TypeError, and one that does not broadcast to x raises a ValueError."""
    op, x = student.attention.masked_fill, np.ones((3, 4))
    for mask in (np.ones((3, 4), "int64"), np.zeros((3, 4))):
        with expect.raises(TypeError, mentions=(str(mask.dtype),), call=f"masked_fill with a mask of {mask.dtype}"):
            op.forward(x, mask=mask, value=0.0)
    for shape in ((2, 3, 4), (4, 3), (3, 3), (1, 3, 4)):
        with expect.raises(ValueError, mentions=(str(shape), "(3, 4)"), call=f"masked_fill, x (3, 4), mask {shape}"):
            op.forward(x, mask=np.ones(shape, bool), value=0.0)
    got = op.forward(x, mask=np.ones((3, 1), bool), value=2.0)
    expect.array(got, np.full((3, 4), 2.0), call="masked_fill of x (3, 4) with a mask of (3, 1) that fits")


# 7.4: attention


@task("7.4")
@shapes
def test_attention_is_a_weighted_mean(student, rng, case):
    """Output and weights equal those of plain loops: softmax over the keys, then the weighted sum of the values."""
    arrays = [rng.normal(size=shape) for shape in case]
    for dtype, tolerance in (("float64", {"dtype": "float64"}), ("float32", FLOAT32)):
        call = f"scaled_dot_product_attention(query {case[0]}, key {case[1]}, value {case[2]}), {dtype}"
        check_attention(
            call_student_attention(student, *(array.astype(dtype) for array in arrays)), arrays, call=call, **tolerance
        )


@task("7.4")
@shapes
def test_attention_with_a_mask(student, rng, case):
    """Where the mask is False, the weight is exactly 0, and the other weights of the row add up to 1."""
    arrays = [rng.normal(size=shape) for shape in case]
    rows, columns = case[0][-2], case[1][-2]
    for its_shape in {(rows, columns), (1, columns), (*case[0][:-1], columns), (*case[0][:-2], 1, columns)}:
        mask = rng.random(its_shape) < 0.5
        mask[..., rng.integers(columns)] = True
        for dtype, tolerance in (("float64", {"dtype": "float64"}), ("float32", FLOAT32)):
            call = f"attention of {case} in {dtype} with a mask of {its_shape}"
            got = call_student_attention(student, *(array.astype(dtype) for array in arrays), mask)
            check_attention(got, arrays, mask, call=call, **tolerance)
            forbidden = expect.pull(got[1], call=call)[~np.broadcast_to(mask, (*case[0][:-1], columns))]
            zeros = np.zeros(forbidden.shape)
            expect.array(forbidden, zeros, rtol=0, atol=0, call=f"{call}: the weights where the mask is False")


@task("7.4")
def test_attention_to_nothing_is_zero(student, rng):
    """A query that may not attend to anything has weights of 0 and an output of 0; other queries are not affected."""
    arrays = [rng.normal(size=shape) for shape in ((2, 4, 3), (2, 5, 3), (2, 5, 6))]
    mask = rng.random((2, 4, 5)) < 0.6
    mask[..., 2], mask[0, 1], mask[1, 3] = True, False, False
    for scale in (1, 300):
        arrays[0] = arrays[0] * scale
        for dtype, tolerance in (("float64", {"dtype": "float64"}), ("float32", FLOAT32 | {"atol": 2e-3})):
            got = call_student_attention(student, *(array.astype(dtype) for array in arrays), mask)
            call = f"attention in {dtype} with a mask that is False in two rows, scores times {scale}"
            check_attention(got, arrays, mask, call=call, hint=TOO_HIGH if scale > 1 else None, **tolerance)
            for name, tensor in zip(("output", "weights"), got, strict=True):
                rows = expect.pull(tensor, call=call)[[0, 1], [1, 3]]
                expect.array(rows, np.zeros(rows.shape), rtol=0, atol=0, call=f"{call}: {name} of those two rows")
    nothing = call_student_attention(student, *arrays, np.zeros((4, 5), bool))
    expect.array(nothing[0], np.zeros((2, 4, 6)), rtol=0, atol=0, call="the output with a mask that is all False")


@task("7.4")
@pytest.mark.parametrize("mask", [None, np.ones((4, 0), bool)], ids=["no mask", "mask"])
def test_attention_to_no_keys_is_zero(student, rng, mask):
    """Without any keys (S = 0), the weights are an empty array and every output is 0, as in PyTorch."""
    query, key, value = (student.tensor.Tensor(rng.normal(size=(2, n, d))) for n, d in ((4, 3), (0, 3), (0, 5)))
    output, weights = student.attention.scaled_dot_product_attention(query, key, value, mask)
    call = "scaled_dot_product_attention(query of (2, 4, 3), key of (2, 0, 3), value of (2, 0, 5))"
    expect.array(weights, np.zeros((2, 4, 0)), dtype="float64", call=f"{call}[1]")
    expect.array(output, np.zeros((2, 4, 5)), dtype="float64", call=f"{call}[0]")


@task("7.4")
def test_mask_holds_against_large_scores(student):
    """A masked key that matches very well gets no weight, even when the others match very badly."""
    for size in (1.0, 1e3, 1e6):
        for dtype in ("float32", "float64"):
            query, key = np.array([[size], [size]], dtype), np.array([[1.0], [-1.0], [-1.0]], dtype)
            value, mask = np.array([[7.0], [2.0], [4.0]], dtype), np.array([[False, True, True], [True, False, True]])
            output, weights = call_student_attention(student, query, key, value, mask)
            call = f"attention in {dtype} with scores of ±{size:g}, the highest masked in the first row"
            row = expect.pull(weights, call=call)[0]
            expect.array(row, [0, 0.5, 0.5], call=f"{call}: that row's weights", traps={TOO_HIGH: np.zeros(3)})
            expect.array(expect.pull(output, call=call)[0], [3], call=f"{call}: that row's output")


@task("7.4")
def test_causal_attention_sees_nothing_of_the_future(student, rng):
    """With a causal mask, changing keys and values after position i does not change the outputs up to i."""
    query, key, value = (rng.normal(size=(2, 6, 4)) for _ in range(3))
    mask = np.tri(6, dtype=bool)
    before = pull_tensors(call_student_attention(student, query, key, value, mask))
    for i in reversed(range(5)):
        key[:, i + 1 :], value[:, i + 1 :] = 30 * rng.normal(size=(2, 2, 5 - i, 4))
        now = pull_tensors(call_student_attention(student, query, key, value, mask))
        for name, was, new in zip(("output", "weights"), before, now, strict=True):
            call = f"{name} up to position {i} after all later keys and values were changed"
            expect.array(new[:, : i + 1], was[:, : i + 1], rtol=1e-9, atol=1e-12, call=call)
        moved = np.abs(now[0][:, i + 1 :] - before[0][:, i + 1 :]).max()
        expect.that(moved > 1e-3, call=f"the output after position {i}", got="no change", expected="a change")


@task("7.4")
def test_padding_is_ignored(student, rng):
    """With a padding mask, each sequence gives the same output as on its own, whatever its padding contains."""
    query, key, value = (rng.normal(size=(3, 5, 4)) for _ in range(3))
    lengths = [2, 5, 3]
    mask = np.arange(5) < np.array(lengths)[:, None, None]
    for n, tokens in enumerate(lengths):
        key[n, tokens:], value[n, tokens:] = 100, -1e4
    output, weights = pull_tensors(call_student_attention(student, query, key, value, mask))
    for n, tokens in enumerate(lengths):
        wanted, its_weights = compute_attention(query[n], key[n, :tokens], value[n, :tokens])
        expect.array(output[n], wanted, call=f"the output of a sequence of {tokens} tokens, padded to 5")
        expect.array(weights[n, :, :tokens], its_weights, call=f"the weights of the {tokens} tokens, padded to 5")


@task("7.4")
def test_attention_does_not_know_order(student, rng):
    """Reordering keys and values together does not change the output; reordering queries reorders it."""
    query, key, value = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 6, 3)), rng.normal(size=(2, 6, 5))
    output, weights = pull_tensors(call_student_attention(student, query, key, value))
    rows, columns = rng.permutation(4), rng.permutation(6)
    moved = pull_tensors(call_student_attention(student, query[:, rows], key[:, columns], value[:, columns]))
    expect.array(moved[0], output[:, rows], call="the output after reordering queries, and keys with values")
    call = "the weights after reordering queries, and keys with values"
    expect.array(moved[1], weights[:, rows][:, :, columns], call=call)


@task("7.4")
def test_attention_refuses_what_does_not_fit(student):
    """A query, key, value or mask whose shape does not fit raises a ValueError."""
    for query, key, value, mask in (
        ((3, 4), (5, 3), (5, 4), None),
        ((3, 4), (5, 4), (3, 4), None),
        ((2, 3, 4), (2, 5, 4), (2, 1, 4), None),
        ((3, 4), (5, 4), (5, 4), (5, 3)),
        ((3, 4), (5, 4), (5, 4), (2, 3, 5)),
        ((2, 3, 4), (2, 5, 4), (2, 5, 4), (3, 3, 5)),
    ):
        call = f"attention of query {query}, key {key}, value {value}, mask {mask}"
        with expect.raises(ValueError, call=call):
            call_student_attention(
                student, *map(np.ones, (query, key, value)), None if mask is None else np.ones(mask, bool)
            )


@task("7.4")
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_attention_refuses_masks_of_numbers(student, dtype):
    """A mask that does not hold bools raises a TypeError that states its dtype."""
    ones, hint = np.ones((3, 4)), "call check_mask before you invert the mask"
    with expect.raises(TypeError, mentions=("bools", dtype), call=f"attention with a mask of {dtype}", hint=hint):
        call_student_attention(student, ones, ones, ones, np.ones((3, 3), dtype))


@task("7.4")
def test_attention_does_not_change_its_arguments(student, rng):
    """Query, key, value and mask are unchanged; attention over integers is computed in float32."""
    arrays = [rng.integers(-3, 4, shape) for shape in ((4, 3), (5, 3), (5, 2))]
    mask = np.array([[True, True, False, True, False]] * 4)
    tensors = [student.tensor.Tensor(array) for array in arrays]
    got = student.attention.scaled_dot_product_attention(*tensors, mask)
    check_attention(got, arrays, mask, call="attention of integers, with a mask", **FLOAT32)
    for tensor, before in zip(tensors, arrays, strict=True):
        expect.array(tensor, before, dtype="int64", call="an argument, afterwards")
    tensors = [student.tensor.Tensor(array.astype("float32")) for array in arrays]
    student.attention.scaled_dot_product_attention(*tensors, mask=mask)
    for tensor, before in zip(tensors, arrays, strict=True):
        expect.array(tensor, before, dtype="float32", rtol=0, atol=0, call="a float32 argument, afterwards")


@task("7.4")
@pytest.mark.parametrize("masked", [False, True], ids=["without a mask", "with a mask"])
def test_attention_is_recorded(student, rng, masked):
    """A recorder sees every step from query, key and value to the output, without any new tensor in between."""
    mask = np.tri(4, 5, dtype=bool) if masked else None

    def make_run():
        inputs = [student.tensor.Tensor(rng.normal(size=s)) for s in ((2, 4, 3), (2, 5, 3), (2, 5, 6))]
        return inputs, lambda: student.attention.scaled_dot_product_attention(*inputs, mask)[0]

    check_recorded(student, make_run, call="scaled_dot_product_attention(query, key, value, mask)")


# 7.5: heads


@task("7.5")
@pytest.mark.parametrize("case", [(2, 3, 8, 2), (1, 4, 6, 3), (3, 1, 5, 5), (2, 5, 4, 1), (4, 2, 12, 4)])
def test_heads_are_consecutive_features(student, rng, case):
    """Head h of a token is the h-th equal part of its features, and merging undoes splitting."""
    n, length, embed_dim, num_heads = case
    size = embed_dim // num_heads
    for dtype in ("float32", "float64"):
        x = rng.normal(size=(n, length, embed_dim)).astype(dtype)
        wanted = np.stack([x[:, :, h * size : (h + 1) * size] for h in range(num_heads)], axis=1)
        got = student.attention.split_heads(student.tensor.Tensor(x), num_heads)
        expect.array(got, wanted, dtype=dtype, rtol=0, atol=0, call=f"split_heads(x of {x.shape}, {num_heads})")
        back = student.attention.merge_heads(student.tensor.Tensor(wanted))
        expect.array(back, x, dtype=dtype, rtol=0, atol=0, call=f"merge_heads(heads of {wanted.shape})")


@task("7.5")
def test_split_heads_refuses_what_cannot_be_shared(student):
    """A number of axes other than three, or features that do not divide equally, raise a ValueError with the shape."""
    tensor, split = student.tensor.Tensor, student.attention.split_heads
    for shape, heads in (
        ((2, 3, 8), 3),
        ((2, 3, 8), 16),
        ((2, 3, 8), 0),
        ((2, 3, 8), -2),
        ((3, 8), 2),
        ((1, 2, 3, 8), 2),
    ):
        with expect.raises(ValueError, mentions=(str(shape),), call=f"split_heads(x of {shape}, {heads})"):
            split(tensor(np.ones(shape)), heads)
    got = split(tensor(np.ones((2, 3, 8))), 8)
    expect.array(got, np.ones((2, 8, 3, 1)), call="split_heads(ones of (2, 3, 8), 8), where each head has one feature")


@task("7.5")
def test_heads_are_recorded(student, rng):
    """A recorder sees how heads are split and merged."""
    attention = student.attention
    for name, shape, more in (("split_heads", (2, 3, 4), (2,)), ("merge_heads", (2, 2, 3, 4), ())):

        def make_run(name=name, shape=shape, more=more):
            x = student.tensor.Tensor(rng.normal(size=shape))
            return [x], lambda: getattr(attention, name)(x, *more)

        check_recorded(student, make_run, call=f"{name}(x of {shape})")


# 7.6: the layer

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")


@task("7.6")
def test_multi_head_attention_has_four_projections(student):
    """q_proj, k_proj, v_proj and out_proj are Dense layers, drawn in this order, and hold all parameters."""
    make, dense = student.attention.MultiHeadAttention, student.layers.Dense
    for bias in (True, False):
        layer, generator = make(6, 3, bias=bias, rng=student.rng(5)), student.rng(5)
        call = f"MultiHeadAttention(6, 3, bias={bias})"
        wanted = []
        for name in PROJECTIONS:
            parameters = [values(p) for p in dense(6, 6, bias=bias, rng=generator).parameters()]
            for got, expected in zip(getattr(layer, name).parameters(), parameters, strict=True):
                expect.array(got, expected, dtype="float32", rtol=0, atol=0, call=f"a parameter of {call}.{name}")
            wanted += parameters
        mine = layer.parameters()
        expect.equal(len(mine), 8 if bias else 4, call=f"the number of {call}.parameters()")
        for position, (got, expected) in enumerate(zip(mine, wanted, strict=True)):
            call_it = f"{call}.parameters()[{position}]"
            expect.array(got, expected, dtype="float32", rtol=0, atol=0, call=call_it)
            got.grad = student.tensor.Tensor(float(position))
        held = [parameter.grad.item() for name in PROJECTIONS for parameter in getattr(layer, name).parameters()]
        expect.equal(held, [float(n) for n in range(8 if bias else 4)], call=f"the marks put on {call}.parameters()")


@task("7.6")
def test_multi_head_attention_refuses_heads_that_do_not_divide(student):
    """Unless num_heads divides embed_dim, a ValueError states both."""
    make = student.attention.MultiHeadAttention
    for embed_dim, num_heads in ((7, 2), (10, 3), (12, 5), (4, 8), (13, 0), (12, -3)):
        call = f"MultiHeadAttention({embed_dim}, {num_heads})"
        with expect.raises(ValueError, mentions=(str(embed_dim), str(num_heads)), call=call):
            make(embed_dim, num_heads, rng=student.rng(1))
    for num_heads in (1, 2, 12):
        expect.equal(make(12, num_heads, rng=student.rng(1)).weights, None, call="weights before the first call")


LAYERS = {
    "one head": (6, 1, (2, 4), None, None),
    "two heads": (6, 2, (3, 5), None, None),
    "a head for each feature": (4, 4, (2, 3), None, None),
    "cross-attention of equal lengths": (6, 2, (2, 3), (2, 3), None),
    "cross-attention": (8, 2, (2, 3), (2, 7), None),
    "values of their own": (6, 3, (2, 5), (2, 4), (2, 4)),
    "one token": (4, 2, (1, 1), None, None),
}


@task("7.6")
@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_multi_head_attention_values(student, rng, case, bias):
    """The layer projects, attends head by head and projects again, with its current parameters."""
    embed_dim, num_heads, *its_shapes = case
    inputs = [None if shape is None else rng.normal(size=(*shape, embed_dim)) for shape in its_shapes]
    layer = student.attention.MultiHeadAttention(embed_dim, num_heads, bias=bias, rng=student.rng(2))
    sizes = ", ".join(str(shape) for shape in its_shapes if shape)
    call = f"MultiHeadAttention({embed_dim}, {num_heads}, bias={bias}) of (N, L) = {sizes}"
    for dtype, tolerance in (("float32", FLOAT32), ("float64", {"dtype": "float64"})):
        if dtype == "float64":
            draw_parameters(layer, rng)
        tensors = [None if x is None else student.tensor.Tensor(x.astype(dtype)) for x in inputs]
        while tensors and tensors[-1] is None:
            tensors.pop()
        wanted, weights = compute_multi_head_attention(layer, num_heads, *inputs)
        traps = None
        if len(tensors) == 2 and its_shapes[0] == its_shapes[1]:
            mistaken, _ = compute_multi_head_attention(layer, num_heads, *inputs[:2], inputs[0])
            traps = {"If no value is given, the keys are the values, not the query.": mistaken}
        expect.array(layer(*tensors), wanted, call=f"{call} in {dtype}", traps=traps, **tolerance)
        expect.array(layer.weights, weights, call=f"{call} in {dtype}: the attention weights", **tolerance)
        expect.array(layer.forward(*tensors), wanted, call=f"{call} in {dtype}: its forward", **tolerance)


@task("7.6")
def test_value_alone_may_differ(student, rng):
    """If only a value is given, the query also serves as the key."""
    layer = draw_parameters(student.attention.MultiHeadAttention(6, 2, rng=student.rng(2)), rng)
    query, value = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 4, 6))
    wanted, _ = compute_multi_head_attention(layer, 2, query, query, value)
    got = layer(student.tensor.Tensor(query), value=student.tensor.Tensor(value))
    expect.array(got, wanted, call="MultiHeadAttention(6, 2)(query, value=value)")


@task("7.6")
def test_multi_head_attention_with_masks(student, rng):
    """A mask (L, S) applies to all sequences, and one of (N, L, S) or (N, 1, S) to each; both apply to all heads."""
    layer = draw_parameters(student.attention.MultiHeadAttention(6, 3, rng=student.rng(2)), rng)
    query, key = rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 5, 6))
    for shape in ((4, 5), (1, 5), (2, 4, 5), (2, 1, 5), (1, 4, 5)):
        mask = rng.random(shape) < 0.5
        mask[..., rng.integers(5)] = True
        wanted, weights = compute_multi_head_attention(layer, 3, query, key, mask=mask)
        got = layer(student.tensor.Tensor(query), student.tensor.Tensor(key), mask=mask)
        call = f"MultiHeadAttention(6, 3)(query of (2, 4, 6), key of (2, 5, 6), mask of {shape})"
        expect.array(got, wanted, dtype="float64", call=call)
        expect.array(layer.weights, weights, dtype="float64", call=f"the weights after {call}")


@task("7.6")
def test_mask_of_as_many_sequences_as_heads(student, rng):
    """A mask for each sequence is not confused with a mask for each head when there are as many sequences as heads."""
    layer = draw_parameters(student.attention.MultiHeadAttention(6, 3, rng=student.rng(2)), rng)
    x, mask = rng.normal(size=(3, 4, 6)), np.arange(4) < np.array([1, 4, 2])[:, None, None]
    wanted, _ = compute_multi_head_attention(layer, 3, x, mask=mask)
    got = layer(student.tensor.Tensor(x), mask=mask)
    expect.array(got, wanted, call="MultiHeadAttention(6, 3) of 3 sequences with padding_mask([1, 4, 2], 4)")


@task("7.6")
def test_one_head_is_attention_between_projections(student, rng):
    """With one head, the layer computes attention from q_proj, k_proj and v_proj, and then applies out_proj."""
    layer = student.attention.MultiHeadAttention(5, 1, rng=student.rng(2))
    query, key = (student.tensor.Tensor(rng.normal(size=s).astype("float32")) for s in ((2, 3, 5), (2, 4, 5)))
    single = student.attention.scaled_dot_product_attention
    output, weights = single(layer.q_proj(query), layer.k_proj(key), layer.v_proj(key))
    wanted, its_weights = values(layer.out_proj(output)), values(weights)
    expect.array(layer(query, key), wanted, call="MultiHeadAttention(5, 1)(query, key)", **FLOAT32)
    expect.array(layer.weights, its_weights[:, None], call="its weights, with an axis for the one head", **FLOAT32)


@task("7.6")
def test_multi_head_attention_sees_nothing_of_the_future(student, rng):
    """With a causal mask, changing tokens after position i does not change the outputs up to i."""
    layer = draw_parameters(student.attention.MultiHeadAttention(6, 2, rng=student.rng(2)), rng)
    x, mask = rng.normal(size=(2, 5, 6)), np.tri(5, dtype=bool)
    before = values(layer(student.tensor.Tensor(x), mask=mask))
    for i in reversed(range(4)):
        x[:, i + 1 :] = 10 * rng.normal(size=(2, 4 - i, 6))
        now = values(layer(student.tensor.Tensor(x), mask=mask))
        call = f"the output up to position {i} after all later tokens were changed"
        expect.array(now[:, : i + 1], before[:, : i + 1], rtol=1e-9, atol=1e-9, call=call)


@task("7.6")
def test_multi_head_attention_does_not_know_order(student, rng):
    """Without positions and masks, reordered tokens give the same outputs in the new order."""
    layer = draw_parameters(student.attention.MultiHeadAttention(8, 4, rng=student.rng(2)), rng)
    x, order = rng.normal(size=(3, 6, 8)), rng.permutation(6)
    output = values(layer(student.tensor.Tensor(x)))
    moved = layer(student.tensor.Tensor(x[:, order]))
    expect.array(moved, output[:, order], call="MultiHeadAttention(8, 4) of reordered tokens")


@task("7.6")
def test_multi_head_attention_refuses_what_does_not_fit(student):
    """Features that differ from embed_dim, axes other than (N, L, E), and masks that do not fit raise a ValueError."""
    layer, tensor = student.attention.MultiHeadAttention(6, 2, rng=student.rng(2)), student.tensor.Tensor
    for query, key, value, mask in (
        ((2, 4, 5), None, None, None),
        ((2, 4, 6), (2, 4, 12), None, None),
        ((4, 6), None, None, None),
        ((2, 2, 4, 6), None, None, None),
        ((2, 4, 6), (3, 4, 6), None, None),
        ((2, 4, 6), (2, 5, 6), (2, 4, 6), None),
        ((2, 4, 6), None, None, (5, 4)),
        ((2, 4, 6), None, None, (3, 4, 4)),
    ):
        inputs = [None if shape is None else tensor(np.ones(shape, "float32")) for shape in (query, key, value)]
        with expect.raises(ValueError, call=f"MultiHeadAttention(6, 2) of {query}, {key}, {value}, mask {mask}"):
            layer(*inputs, None if mask is None else np.ones(mask, bool))


@task("7.6")
@pytest.mark.parametrize("masked", [False, True], ids=["without a mask", "with a mask"])
def test_multi_head_attention_is_recorded(student, rng, masked):
    """A recorder sees every step from the three inputs and all parameters to the output."""
    layer = student.attention.MultiHeadAttention(4, 2, rng=student.rng(2))
    mask = np.arange(5) < np.array([2, 5])[:, None, None] if masked else None

    def make_run():
        inputs = [student.tensor.Tensor(rng.normal(size=s)) for s in ((2, 3, 4), (2, 5, 4), (2, 5, 4))]
        return [*inputs, *layer.parameters()], lambda: layer(*inputs, mask)

    check_recorded(student, make_run, call="MultiHeadAttention(4, 2)(query, key, value, mask)")


# 7.7: positions


@task("7.7")
def test_positions_follow_the_formula(student, rng):
    """Columns 2i and 2i + 1 are the sine and the cosine of p / 10000^(2i/dim), in float32."""
    drawn = int(rng.integers(2, 40)), 2 * int(rng.integers(2, 20))
    for length, dim in ((3, 2), (1, 4), (10, 6), (0, 8), (50, 64), drawn):
        wanted = np.empty((length, dim))
        for p in range(length):
            for i in range(dim // 2):
                angle = p / math.pow(10000, 2 * i / dim)
                wanted[p, 2 * i], wanted[p, 2 * i + 1] = math.sin(angle), math.cos(angle)
        got = student.attention.sinusoidal_positions(length, dim)
        expect.array(got, wanted, dtype="float32", rtol=0, atol=1e-6, call=f"sinusoidal_positions({length}, {dim})")


@task("7.7")
def test_positions_far_away_are_exact(student, rng):
    """At positions in the thousands, the values are still within 1e-6 of the formula."""
    got = values(student.attention.sinusoidal_positions(9000, 6))
    expect.equal(got.shape, (9000, 6), call="sinusoidal_positions(9000, 6).shape")
    for p in (5000, 8999, int(rng.integers(3000, 9000))):
        angles = [p / math.pow(10000, 2 * i / 6) for i in range(3)]
        wanted = [f(angle) for angle in angles for f in (math.sin, math.cos)]
        call = f"sinusoidal_positions(9000, 6)[{p}]"
        expect.array(got[p], wanted, dtype="float32", rtol=0, atol=1e-6, call=call, hint="compute angles in float64")


@task("7.7")
def test_positions_refuse_an_odd_number(student):
    """An odd number of features raises a ValueError that states the number."""
    for length, dim in ((4, 1), (4, 7), (2, 33), (0, 5)):
        with expect.raises(ValueError, mentions=(str(dim),), call=f"sinusoidal_positions({length}, {dim})"):
            student.attention.sinusoidal_positions(length, dim)


# What the tests compute for themselves


def compute_scores(query, key):
    """Return every query's dot product with every key, divided by √d, computed in float64 one pair after another."""
    result = np.empty((*query.shape[:-1], key.shape[-2]))
    for *at, i, j in np.ndindex(result.shape):
        pair = zip(query[(*at, i)], key[(*at, j)], strict=True)
        result[(*at, i, j)] = sum(float(a) * float(b) for a, b in pair) / math.sqrt(query.shape[-1])
    return result


def compute_attention(query, key, value, mask=None):
    """Return output and weights, computed one query after another and only from keys that the mask allows."""
    each = compute_scores(query, key)
    allowed = np.ones(each.shape, bool) if mask is None else np.broadcast_to(mask, each.shape)
    weights, output = np.zeros(each.shape), np.zeros((*each.shape[:-1], value.shape[-1]))
    for *at, i in np.ndindex(each.shape[:-1]):
        seen = np.flatnonzero(allowed[(*at, i)])
        if len(seen):
            highest = max(each[(*at, i, j)] for j in seen)
            powers = [math.exp(each[(*at, i, j)] - highest) for j in seen]
            for j, power in zip(seen, powers, strict=True):
                weights[(*at, i, j)] = power / sum(powers)
                output[(*at, i)] += weights[(*at, i, j)] * value[(*at, j)]
    return output, weights


def compute_multi_head_attention(layer, num_heads, query, key=None, value=None, mask=None):
    """Return the output and weights that the layer should give with its current parameters, head by head."""
    key = query if key is None else key
    value = key if value is None else value
    q, k, v = (
        apply_dense_layer(getattr(layer, name), x) for name, x in zip(PROJECTIONS, (query, key, value), strict=False)
    )
    size = query.shape[-1] // num_heads
    outputs, weights = [], []
    for h in range(num_heads):
        part = slice(h * size, (h + 1) * size)
        output, its_weights = compute_attention(q[..., part], k[..., part], v[..., part], mask)
        outputs.append(output)
        weights.append(its_weights)
    return apply_dense_layer(layer.out_proj, np.concatenate(outputs, axis=-1)), np.stack(weights, axis=1)


def apply_dense_layer(dense, x):
    """Return the output of a Dense layer, computed in float64."""
    weight, *bias = (values(parameter).astype(float) for parameter in dense.parameters())
    return sum(bias, np.einsum("...i,oi->...o", x, weight))


def call_student_attention(student, query, key, value, mask=None):
    """Return the student's output and weights for arrays."""
    tensors = (student.tensor.Tensor(array) for array in (query, key, value))
    got = student.attention.scaled_dot_product_attention(*tensors, mask)
    is_pair = isinstance(got, tuple) and len(got) == 2
    call = "scaled_dot_product_attention(query, key, value, mask)"
    expect.that(is_pair, call=call, got=got, expected="a tuple of two tensors, (output, weights)")
    return got


def check_attention(got, arrays, mask=None, *, call, **tolerance):
    """Compare output and weights with those of plain loops."""
    wanted = compute_attention(*arrays, mask)
    inverted = wanted if mask is None else compute_attention(*arrays, ~mask)
    for name, tensor, ours, trap in zip(("output", "weights"), got, wanted, inverted, strict=True):
        traps = None if mask is None else {INVERTED: trap}
        expect.array(tensor, ours, call=f"{call}: {name}", traps=traps, **tolerance)


def check_recorded(student, make_run, *, call):
    """Check that only recorded ops lead from every leaf to the result.

    `make_run()` returns leaves with new values and the function that computes with them. Everything else that goes into
    the ops must be a constant, the same for different leaves. A new tensor made from an array in between would not be
    constant.
    """
    first, second = (find_unrecorded_constants(student, *make_run(), call=call) for _ in range(2))
    hint = "use Tensor methods, apply and layers: a new Tensor made from an array cuts the gradient"
    expect.equal(len(first), len(second), call=f"the number of tensors in {call} that no op computed", hint=hint)
    for one, other in zip(first, second, strict=True):
        same = one.shape == other.shape and np.array_equal(one, other, equal_nan=True)
        constant = f"a tensor in {call} that no recorded op computed, for two different inputs"
        expect.that(same, call=constant, got="different values", expected="a constant", hint=hint)


def find_unrecorded_constants(student, leaves, function, *, call):
    """Return the constants that recorded ops used: inputs that are not leaves and that no recorded op computed."""
    with traced(student.tensor) as trace:
        result = function()
    entries = list(trace.entries)
    reach = {}  # the number left as a mark in a tensor's `grad` → the leaves that it depends on
    for tensor in [tensor for _, inputs, _, output in entries for tensor in (*inputs, output)] + [result]:
        tensor.grad = None
    for number, leaf in enumerate(leaves):
        leaf.grad, reach[number] = student.tensor.Tensor(float(number)), {number}
    constants = []
    for number, (_, inputs, _, output) in enumerate(entries, start=len(leaves)):
        reach[number] = set()
        for tensor in inputs:
            if tensor.grad is None:
                constants.append(values(tensor))
            else:
                reach[number] |= reach[int(tensor.grad.item())]
        output.grad = student.tensor.Tensor(float(number))
    computed = result.grad is not None and reach[int(result.grad.item())] == set(range(len(leaves)))
    expected = "recorded ops from every input and parameter to the output"
    names = " → ".join(name for name, *_ in entries)
    expect.that(computed, call=f"the ops a recorder sees in {call}", got=names or "none", expected=expected)
    return constants


def pull_tensors(tensors):
    """Return the arrays of several tensors, copied to the grader's process."""
    return [values(tensor) for tensor in tensors]
