"""The tests of module 16: tokens, the ops and layers of a transformer, its cache, and what it writes.

Expected values are computed here by loops and in float64, or come from PyTorch through reference.json.
"""

import itertools
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from grading.testing import check_gradient, expect, task, traced, values
from grading.testing.reports import Reports

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))
CODE = b"""
def larger_divided(time, second):
    \"\"\"Return the larger of time and second, divided by 47.\"\"\"
    return max(time, second) / 47


def negated_sum(time,  first):
\treturn -(time + first)  \x20
"""
EXACT = {"rtol": 0, "atol": 0}
CONTEXT = 96  # from the recipe, as it is given

# 16.1: one merge


@task("16.1")
def test_a_merge_of_the_worked_examples(student):
    """Each pair becomes one token, from left to right; of three equal tokens the first two are merged."""
    for tokens, pair, wanted in (
        ([1, 2, 3, 1, 2], (1, 2), [9, 3, 9]),
        ([5, 5, 5], (5, 5), [9, 5]),
        ([5, 5, 5, 5, 1, 5, 5], (5, 5), [9, 9, 1, 9]),
        ([5, 5, 5, 5, 5, 1, 5, 5, 5], (5, 5), [9, 9, 5, 1, 9, 5]),
        ([2, 1], (1, 2), [2, 1]),
        ([7], (7, 7), [7]),
        ([], (1, 2), []),
    ):
        got = student.tinygpt.merge_pair(np.array(tokens, np.int64), pair, 9)
        expect.array(got, np.array(wanted, np.int64), dtype="int64", call=f"merge_pair({tokens}, {pair}, 9)")


@task("16.1")
def test_merges_are_found_from_left_to_right(student, rng):
    """For any tokens and pairs, even equal tokens, and with -1 between pieces, the result equals that of a loop."""
    for length in (*range(12), 200):
        for pair in ((0, 1), (1, 0), (1, 1)):
            tokens = rng.choice([-1, 0, 1, 1], length)
            before = tokens.copy()
            got = student.tinygpt.merge_pair(tokens, pair, 300)
            wanted = np.array(merge_list(tokens.tolist(), pair, 300), np.int64)
            hint = "a token belongs to one pair: if tokens are equal, merge the 1st and 2nd, the 3rd and 4th, …"
            call = f"merge_pair({before.tolist() if length < 12 else '200 tokens'}, {pair}, 300)"
            expect.array(got, wanted, dtype="int64", call=call, hint=hint)
            expect.array(tokens, before, call=f"the tokens after {call}", **EXACT)


# 16.2: learning merges


@task("16.2")
def test_each_round_counts_pairs(student):
    """The most frequent pair is merged, in the pieces and as often as they occur; then the new token counts as well."""
    for data, wanted, hint in (
        (b"xyzxy", [(120, 121)], "x y, tokens 120 and 121, occurs twice, each other pair once: one merge"),
        (b"yx\nyx\nyx\nab\nab", [(121, 120), (97, 98)], "the piece yx occurs 3 times and ab twice: y x counts 3"),
        (b"bca\nbca\nbcd", [(98, 99), (256, 97)], "b c counts 3; once it is token 256, the pair (256, 97) counts 2"),
    ):
        expect.equal(student.tinygpt.train_bpe(data, 300), wanted, call=f"train_bpe({data}, 300)", hint=hint)


@task("16.2")
def test_merges_of_the_worked_example(student):
    """In b"low lower lowest" the first merge joins l and o, and the second joins lo and w."""
    got = student.tinygpt.train_bpe(b"low lower lowest", 258)
    hint = "l o and o w both occur three times: the smallest pair is merged, and 108 is below 111"
    expect.equal(got, [(108, 111), (256, 119)], call='train_bpe(b"low lower lowest", 258)', hint=hint)


@task("16.2")
def test_of_equally_frequent_pairs_the_smallest_is_merged(student):
    """For equal counts, the smaller left token decides, then the smaller right one, and not the first to occur."""
    train = student.tinygpt.train_bpe
    hint = "of the pairs with the largest count, take the smallest: (97, 98) before (97, 99) before (98, 97)"
    for data, wanted in (
        (b"zy.ab zy.ab", [(97, 98), (122, 121)]),
        (b"ba\nba\nac\nac", [(97, 99), (98, 97)]),
        (b"cb\ncb\nca\nca", [(99, 97), (99, 98)]),
        (b"xyz\nxyz\nab\nab\nab", [(97, 98), (120, 121), (257, 122)]),
    ):
        size = 256 + len(wanted)
        expect.equal(train(data, size), wanted, call=f"train_bpe({data}, {size})", hint=hint)


@task("16.2")
def test_merges_are_those_of_a_plain_count(student, rng):
    """On text, code and random bytes, each merge is the most frequent pair, counted again in every round."""
    alphabets = [np.frombuffer(letters, np.uint8) for letters in (b"ab", b"abc  \n", b"\xff\x00 a1")]
    drawn = [bytes(rng.choice(letters, 400)) for letters in alphabets]
    for data in (CODE, *drawn, bytes(rng.integers(0, 256, 500, np.uint8))):
        got = student.tinygpt.train_bpe(data, 296)
        hint = "count again after each merge, each piece as often as it occurs; for equal counts take the smallest pair"
        expect.equal(got, learn_merges_naively(data, 296), call=f"train_bpe({data[:40]!r}…, 296)", hint=hint)


@task("16.2")
def test_every_position_counts(student):
    """b"aaa" holds the pair (97, 97) twice, although only one of the two can be merged."""
    train = student.tinygpt.train_bpe
    expect.equal(train(b"aaa", 300), [(97, 97)], call='train_bpe(b"aaa", 300)')
    hint = "(97, 97) occurs at 3 positions, (98, 99) at 2 and (99, 97) at 1"
    expect.equal(train(b"aaaa.bcbc", 257), [(97, 97)], call='train_bpe(b"aaaa.bcbc", 257)', hint=hint)


@task("16.2")
def test_no_token_reaches_from_one_piece_into_the_next(student):
    """Pairs are counted within pieces: a word with the space before it, a digit, a run of symbols, white space."""
    train = student.tinygpt.train_bpe
    for data, wanted in (
        (b"a b a b a b a b", [(32, 98), (32, 97)]),
        (b"1212121212", []),
        (b"\n\n\n\n\n\n", []),
        (b"x\ny\nx\ny\nx\ny", []),
        (b"a(a(a(a(", []),
        (b"!\0!\0!\0!\0", []),
        (b"a    b", [(32, 32)]),
    ):
        hint = "count within what PIECES finds, never across the -1 between two pieces"
        expect.equal(train(data, 300), wanted, call=f"train_bpe({data}, 300)", hint=hint)


@task("16.2")
def test_training_ends_when_no_pair_occurs_twice(student):
    """A pair that occurs only once is not merged; 256 tokens need no merges, and fewer raise a ValueError."""
    train = student.tinygpt.train_bpe
    for data, size, wanted in ((b"", 300, []), (b"abcdefg", 300, []), (b"ab ab", 256, []), (b"abab", 400, [(97, 98)])):
        expect.equal(train(data, size), wanted, call=f"train_bpe({data}, {size})", hint="stop below a count of 2")
    with expect.raises(ValueError, mentions=("255",), call='train_bpe(b"ab", 255)'):
        train(b"ab", 255)


@task("16.2")
def test_more_merges_than_bytes(student, rng):
    """Tokens continue beyond 512: of 289 pairs that occur twice each, the last one becomes token 544."""
    letters = b"ijklmnopqrstuvwxy"
    words = [bytes(pair) for pair in itertools.product(letters, letters)]
    wanted = [tuple(word) for word in words] + [(544, 122)]
    words = [*words[:-1], b"yyz"] * 2
    data = b"\n".join(words[index] for index in rng.permutation(len(words)))
    got = student.tinygpt.train_bpe(data, 546)
    expect.equal(got, wanted, call='train_bpe(b"ii", b"ij", … b"yyz" twice each, 546)', hint="merge i is token 256 + i")


# 16.3: tokens and bytes


@task("16.3")
def test_vocabulary_holds_the_bytes_of_each_token(student):
    """The vocabulary has the bytes, then what each merge produces; merges may be lists, as read from a file."""
    tokenizer = student.tinygpt.Tokenizer([[108, 111], [256, 119], [257, 257]])
    wanted = [bytes([byte]) for byte in range(256)] + [b"lo", b"low", b"lowlow"]
    expect.equal(list(tokenizer.vocab), wanted, call="Tokenizer([[108, 111], [256, 119], [257, 257]]).vocab")


@task("16.3")
def test_encoding_makes_the_merges_in_their_order(student, rng):
    """In each piece, the earliest merge is applied first, not the longest token or the first position."""
    make = student.tinygpt.Tokenizer
    for merges, data, wanted in (
        ([(97, 98), (99, 100)], b"cdab", [257, 256]),
        ([(98, 99), (97, 98)], b"abc", [97, 256]),
        ([(97, 98), (98, 99)], b"abc", [256, 99]),
        ([(97, 98), (99, 100), (98, 257)], b"abcd", [256, 257]),
        ([(97, 97)], b"aaaaa", [256, 256, 97]),
        ([(97, 32), (32, 97)], b"a a", [97, 257]),
        ([], b"", []),
    ):
        got = make(merges).encode(data)
        call = f"Tokenizer({merges}).encode({data})"
        hint = "within a piece, apply the first merge everywhere, which makes token 256, then the second, and so on"
        expect.array(got, np.array(wanted, np.int64), dtype="int64", call=call, hint=hint)
    merges = learn_merges_naively(CODE, 300)
    tokenizer = make(merges)
    drawn = bytes(rng.choice(np.frombuffer(b"aeinrst (_.\n7", np.uint8), 300))
    for data in (CODE, CODE[5:77], drawn, b"a new name, never seen", b"    return  x\n\n  \t"):
        wanted = np.array([token for piece in cut_pieces(data) for token in encode_naively(piece, merges)], np.int64)
        expect.array(tokenizer.encode(data), wanted, dtype="int64", call=f"encode({data[:40]!r}…) with 44 merges")


@task("16.3")
def test_any_bytes_come_back(student, rng):
    """Decoding undoes encoding for all bytes: text, invalid UTF-8, zeros, nothing."""
    tokenizer = student.tinygpt.Tokenizer(learn_merges_naively(CODE, 290))
    for data in (
        CODE,
        b"",
        b" ",
        bytes(range(256)) * 2,
        "Zwölf Boxkämpfer 🥊 日本".encode(),
        b"\xff\xfe\x80 \xc3(\x00 \xf0\x9f",
        bytes(rng.integers(0, 256, 2000, np.uint8)),
    ):
        got = tokenizer.decode(tokenizer.encode(data))
        expect.equal(got, data, call=f"decode(encode({data[:30]!r}))", hint="do not decode the bytes as UTF-8")


@task("16.3")
def test_decoding_takes_lists_and_arrays(student):
    """Tokens may be a list or an array; a part of a text decodes to a part of its bytes."""
    tokenizer = student.tinygpt.Tokenizer([(195, 182), (119, 256)])
    for tokens, wanted in (([122, 257], b"zw\xc3\xb6"), ([195], b"\xc3"), ([], b"")):
        expect.equal(tokenizer.decode(tokens), wanted, call=f"decode({tokens})")
        expect.equal(tokenizer.decode(np.array(tokens, np.int64)), wanted, call=f"decode(array of {tokens})")
    for tokens in ([-1], [258], [0, 300]):
        with expect.raises(ValueError, call=f"decode({tokens}) with 258 tokens", hint="check_tokens"):
            tokenizer.decode(tokens)
    with expect.raises(TypeError, call="decode([1.0])"):
        tokenizer.decode([1.0])


@task("16.3")
def test_encoding_takes_time_in_proportion_to_the_text(student, rng):
    """Texts of 100,000 bytes are encoded, whether they are one piece, many equal ones, or all different."""
    merges = [(97, 97)] + [(255 + n, 255 + n) for n in range(1, 12)] + [(98, 99), (32, 98), (268, 99)]
    tokenizer = student.tinygpt.Tokenizer(merges)
    words = rng.choice(np.frombuffer(b"bcd ", np.uint8), 100_000).tobytes()
    for data in (b"a" * 100_001, b"bc bc" * 20_000, words):
        encoded = {piece: encode_naively(piece, merges) for piece in set(cut_pieces(data))}
        wanted = np.array([token for piece in cut_pieces(data) for token in encoded[piece]], np.int64)
        call = f"encode({data[:10]!r}…, {len(data):,} bytes) with {len(merges)} merges"
        hint = "make one pass over the text for each merge, not for each pair that is found, which would take hours"
        expect.array(tokenizer.encode(data), wanted, dtype="int64", call=call, hint=hint)


# 16.4: embedding


@task("16.4")
def test_embedding_looks_rows_up(student, rng):
    """Indices of any shape and integer dtype select one row each, in the dtype of the table."""
    for dtype in ("float32", "float64"):
        weight = rng.normal(size=(200, 5)).astype(dtype)
        for shape in ((), (4,), (2, 3), (2, 0), (2, 2, 2)):
            for kind in ("int64", "uint8", "int32"):
                indices = rng.integers(0, 200, shape).astype(kind)
                call = f"embedding.forward(weight (200, 5) of {dtype}, indices of {kind} {shape})"
                wanted = np.array([weight[i] for i in indices.ravel()], dtype).reshape(*shape, 5)
                got = student.tinygpt.embedding.forward(weight, indices=indices)
                expect.array(got, wanted, dtype=dtype, call=call, **EXACT)


@task("16.4")
def test_embedding_adds_the_gradients_of_repeated_rows(student, rng):
    """A row that was used three times gets the sum of three gradients, and an unused row gets 0."""
    op, weight = student.tinygpt.embedding, np.zeros((3, 2))
    got = op.backward(np.array([[1.0, 2], [10, 20], [100, 200]]), weight, weight, indices=np.array([2, 0, 2]))
    hint = "`grad_weight[indices] += grad` adds only once if a row occurs twice"
    expect.equal(len(got), 1, call="the number of gradients of embedding.backward")
    expect.array(got[0], [[10, 20], [0, 0], [101, 202]], call="embedding.backward, indices [2, 0, 2]", hint=hint)
    for dtype in ("float32", "float64"):
        for kind in ("int64", "uint8", "int32"):
            indices = rng.integers(0, 200, (6, 50)).astype(kind) // 3
            weight, grad = rng.normal(size=(200, 7)).astype(dtype), rng.normal(size=(6, 50, 7)).astype(dtype)
            wanted = np.zeros((200, 7))
            for place in np.ndindex(6, 50):
                wanted[indices[place]] += grad[place]
            kept = indices.copy()
            (got,) = op.backward(grad, weight[indices], weight, indices=indices)
            call = f"embedding.backward of (200, 7), 300 indices of {kind}, {dtype}"
            hint = "positions in the flattened table need int64: a uint8 index times 7 wraps around"
            expect.array(got, wanted, dtype=dtype, rtol=1e-4, atol=1e-5, call=call, hint=hint)
            expect.array(indices, kept, dtype=kind, call=f"the indices after {call}", **EXACT)


@task("16.4")
def test_embedding_gradient(student, rng):
    """Backward agrees with finite differences, even for one index and for none."""
    for indices in (np.array([[0, 3, 3], [1, 3, 0]]), np.array(2), np.zeros((0,), np.int64), np.array([[[1]]])):
        weight = rng.normal(size=(4, 3))
        call = f"embedding.backward, weight (4, 3), indices of {indices.shape}"
        check_gradient(student.tinygpt.embedding, weight, indices=indices, call=call)


@task("16.4")
def test_embedding_refuses_what_is_no_token(student):
    """An index outside the table raises a ValueError, and one that is not an integer raises a TypeError."""
    op, weight = student.tinygpt.embedding, np.ones((4, 2))
    for indices in ([-1], [0, 4], [[1], [-4]]):
        with expect.raises(ValueError, call=f"embedding.forward(weight (4, 2), {indices})", hint="check_tokens"):
            op.forward(weight, indices=np.array(indices))
    with expect.raises(TypeError, call="embedding.forward with indices of float64"):
        op.forward(weight, indices=np.array([1.0]))
    expect.array(op.forward(weight, indices=np.array([0, 3])), np.ones((2, 2)), call="embedding.forward, [0, 3] of 4")


@task("16.4")
def test_an_embedding_layer_is_drawn_and_learns(student, rng):
    """An Embedding's weight is normal with standard deviation 0.02, and through a tape it gets the op's gradient."""
    layer = student.tinygpt.Embedding(500, 60, rng=student.rng(4))
    weight = values(layer.weight)
    call = "Embedding(500, 60).weight"
    expect.array(weight, weight, dtype="float32", call=call)
    expect.equal(weight.shape, (500, 60), call=f"{call}.shape")
    inside = [float((np.abs(weight) < 0.02 * k).mean()) for k in (1, 2, 3)]
    hint = "rng.normal(0, 0.02, …)"
    spread = f"shares of {call} within 1, 2, 3 × 0.02"
    expect.array(inside, [0.6827, 0.9545, 0.9973], rtol=0, atol=0.012, call=spread, hint=hint)
    expect.array(weight.mean(), 0, atol=1e-3, call=f"the mean of {call}", hint=hint)
    again = student.tinygpt.Embedding(500, 60, rng=student.rng(4))
    expect.array(again.weight, weight, call=f"{call} of the same rng", hint="draw only from rng", **EXACT)
    other = values(student.tinygpt.Embedding(500, 60, rng=student.rng(5)).weight)
    expect.that(
        not np.array_equal(other, weight), call=f"{call} of another rng", got="the same", expected="different values"
    )
    layer.weight.data = rng.normal(size=(9, 3))
    tokens, grad = rng.integers(0, 9, (2, 5)), rng.normal(size=(2, 5, 3))
    output, (got,) = run_backward(student, layer, student.tensor.Tensor(tokens), grad)
    expect.array(output, values(layer.weight)[tokens], dtype="float64", call="Embedding(9, 3) of tokens (2, 5)")
    wanted = np.zeros((9, 3))
    for place in np.ndindex(2, 5):
        wanted[tokens[place]] += grad[place]
    expect.array(got, wanted, call="the gradient of Embedding(9, 3).weight from a tape", hint="apply(embedding, …)")


# 16.5: layer normalisation


@task("16.5")
@pytest.mark.parametrize("number", range(len(REFERENCE["layer_norm"])))
def test_layer_norm_has_the_values_of_pytorch(student, number):
    """Output and all three gradients agree with PyTorch for several shapes, eps, scales and means."""
    case = {name: np.array(value) for name, value in REFERENCE["layer_norm"][number].items()}
    eps, op = float(case["eps"]), student.tinygpt.layer_norm
    inputs = case["x"], case["weight"], case["bias"]
    call = f"layer_norm of {case['x'].shape}, eps {eps}"
    output = op.forward(*inputs, eps=eps)
    hint = "(x - mean) / √(variance + eps) · weight + bias; the variance divides by E, and eps is under the root"
    expect.array(output, case["output"], dtype="float64", rtol=1e-7, atol=1e-8, call=call, hint=hint)
    gradients = op.backward(case["grad"], case["output"], *inputs, eps=eps)
    expect.equal(len(gradients), 3, call=f"the number of gradients of {call}")
    for name, got in zip(("grad_x", "grad_weight", "grad_bias"), gradients, strict=True):
        hint = "sum over all axes but the last"
        if name == "grad_x":
            hint = "the mean and the variance also depend on x. From g = grad · weight subtract its mean, and subtract "
            hint += "normal times the mean of g · normal. Then divide by std"
        expect.array(got, case[name], dtype="float64", rtol=1e-7, atol=1e-8, call=f"{call}: {name}", hint=hint)


@task("16.5")
def test_layer_norm_by_its_definition(student, rng):
    """Each row on its own has mean 0 and variance 1 before weight and bias, in the dtype of x."""
    for shape in ((6,), (3, 5), (2, 3, 4), (2, 0, 4), (7, 1)):
        for dtype, tolerance in (("float64", {}), ("float32", {"rtol": 1e-4, "atol": 1e-4})):
            for scale, mean in ((1, 0), (1e-3, 0.5), (30, -1000)):
                x = (rng.normal(size=shape) * scale + mean).astype(dtype)
                weight, bias = (rng.normal(size=shape[-1]).astype(dtype) for _ in range(2))
                wanted = apply_layer_norm(x.astype(float), weight, bias, 1e-5)
                call = f"layer_norm of {dtype} {shape}, scale {scale}, mean {mean}"
                hint = "subtract the mean before you square"
                got = student.tinygpt.layer_norm.forward(x, weight, bias, eps=1e-5)
                slack = tolerance if scale < 30 and mean == 0 else {"rtol": 1e-3, "atol": 2e-2} if tolerance else {}
                expect.array(got, wanted, dtype=dtype, call=call, hint=hint, **slack)


@task("16.5")
def test_layer_norm_gradient(student, rng):
    """Backward agrees with finite differences; a row of equal numbers has a finite gradient."""
    for shape, eps in (((5,), 1e-5), ((3, 4), 1e-3), ((2, 2, 3), 0.5), ((2, 1), 0.1)):
        weight, bias = rng.normal(size=shape[-1]), rng.normal(size=shape[-1])
        check_gradient(student.tinygpt.layer_norm, rng.normal(size=shape), weight, bias, eps=eps)
    x, grad = np.full((2, 4), 3.0, "float32"), rng.normal(size=(2, 4)).astype("float32")
    ones, zeros = np.ones(4, "float32"), np.zeros(4, "float32")
    output = student.tinygpt.layer_norm.forward(x, ones, zeros, eps=1e-5)
    expect.array(output, np.zeros((2, 4)), dtype="float32", call="layer_norm of rows of equal numbers", hint="eps")
    got = student.tinygpt.layer_norm.backward(grad, np.zeros((2, 4), "float32"), x, ones, zeros, eps=1e-5)
    wanted = (grad - grad.mean(axis=1, keepdims=True)) / math.sqrt(1e-5)
    expect.array(
        got[0],
        wanted,
        dtype="float32",
        rtol=1e-3,
        atol=1e-2,
        call="the gradient of layer_norm for rows of equal numbers",
    )


@task("16.5")
def test_layer_norm_as_a_layer(student, rng):
    """Weight and bias begin as ones and zeros, eps is 1e-5, and a tape differentiates the layer."""
    layer = student.tinygpt.LayerNorm(6)
    hint = "the weight starts as ones and the bias as zeros"
    expect.array(layer.weight, np.ones(6), dtype="float32", call="LayerNorm(6).weight", hint=hint, **EXACT)
    expect.array(layer.bias, np.zeros(6), dtype="float32", call="LayerNorm(6).bias", hint=hint, **EXACT)
    x = 1e-3 * rng.normal(size=(3, 6))
    got = layer(student.tensor.Tensor(x))
    expect.array(
        got, apply_layer_norm(x, 1, 0, 1e-5), call="LayerNorm(6) of small numbers", hint="eps is 1e-5 by default"
    )
    got = student.tinygpt.LayerNorm(6, eps=0.1)(student.tensor.Tensor(x))
    expect.array(got, apply_layer_norm(x, 1, 0, 0.1), call="LayerNorm(6, eps=0.1) of small numbers")
    weight, bias = draw_parameters(layer, rng)
    tensor, grad = student.tensor.Tensor(rng.normal(size=(2, 3, 6))), rng.normal(size=(2, 3, 6))
    student.autograd.require_grad([tensor])
    _, gradients = run_backward(student, layer, tensor, grad)

    def weigh_output(x, weight, bias):
        return float((apply_layer_norm(x, weight, bias, 1e-5) * grad).sum())

    for number, slopes in enumerate(difference_slopes(weigh_output, [values(tensor), weight, bias])):
        got = tensor.grad if number == 0 else gradients[number - 1]
        call = f"the gradient of LayerNorm(6)'s {('input', 'weight', 'bias')[number]} from a tape"
        expect.array(got, slopes, rtol=1e-4, atol=1e-5, call=call)
    for shape in ((2, 5), (6, 1), (7,)):
        with expect.raises(ValueError, mentions=("6",), call=f"LayerNorm(6) of {shape}"):
            layer(student.tensor.Tensor(np.ones(shape)))


# 16.6: the cache


@task("16.6")
def test_a_cache_returns_all_keys_and_values_so_far(student, rng):
    """New keys and values are returned after the old ones, separately and in their dtype."""
    tensor = student.tensor.Tensor
    for dtype in ("float32", "float64"):
        keys, values_ = (rng.normal(size=(2, 3, 9, 4)).astype(dtype) for _ in range(2))
        cache, end = student.tinygpt.KVCache(9), 0
        for count in (4, 1, 3, 1):
            part = slice(end, end + count)
            end += count
            got = cache.append(tensor(keys[:, :, part]), tensor(values_[:, :, part]))
            call = f"KVCache(9) after {end} tokens in {dtype}, the last {count} new"
            expect.equal(len(got), 2, call=f"what append returns, {call}", hint="(keys, values)")
            for name, tensor_got, wanted in zip(("keys", "values"), got, (keys, values_), strict=True):
                expect.array(tensor_got, wanted[:, :, :end], dtype=dtype, call=f"{name} of {call}", **EXACT)
            expect.equal(cache.length, end, call=f"the length of {call}")


@task("16.6")
def test_a_full_cache_refuses_and_keeps_what_it_has(student, rng):
    """More tokens than the cache has room for raise a ValueError that states the capacity, and nothing changes."""
    tensor, keys = student.tensor.Tensor, rng.normal(size=(1, 2, 6, 3))
    cache = student.tinygpt.KVCache(5)
    with expect.raises(ValueError, mentions=("5",), call="KVCache(5).append(6 tokens)"):
        cache.append(tensor(keys), tensor(-keys))
    cache.append(tensor(keys[:, :, :3]), tensor(-keys[:, :, :3]))
    with expect.raises(ValueError, mentions=("5",), call="KVCache(5).append(3 tokens) with 3 in it"):
        cache.append(tensor(keys[:, :, :3]), tensor(keys[:, :, :3]))
    expect.equal(cache.length, 3, call="the length after a rejected append", hint="check before you change anything")
    got = cache.append(tensor(keys[:, :, 3:5]), tensor(-keys[:, :, 3:5]))
    expect.array(got[0], keys[:, :, :5], call="the keys of 5 tokens in KVCache(5)", **EXACT)
    expect.array(got[1], -keys[:, :, :5], call="the values of 5 tokens in KVCache(5)", **EXACT)


@task("16.6")
def test_two_caches_share_nothing(student, rng):
    """Caches share nothing with each other, and a cache keeps copies of its arguments."""
    tensor, first, second = student.tensor.Tensor, student.tinygpt.KVCache(4), student.tinygpt.KVCache(4)
    keys, other = rng.normal(size=(2, 1, 2, 3)), rng.normal(size=(3, 1, 2, 3))
    given = tensor(keys)
    first.append(given, tensor(keys))
    second.append(tensor(other), tensor(other))
    given[0]  # a view changes nothing
    given.data = np.zeros((2, 1, 2, 3))
    got, _ = first.append(tensor(keys), tensor(keys))
    wanted = np.concatenate([keys, keys], axis=2)
    expect.array(got, wanted, call="the keys of the first of two caches", hint="share nothing", **EXACT)


# 16.7: attention


@task("16.7")
def test_causal_attention_is_module_07s_with_a_causal_mask(student, rng):
    """Output and weights agree with loops in which each token sees itself and the tokens before it."""
    for embed, heads, length in ((4, 2, 5), (6, 1, 1), (6, 3, 7)):
        layer = student.tinygpt.CausalSelfAttention(embed, heads, rng=student.rng(1))
        arrays, x = draw_parameters(layer, rng), rng.normal(size=(2, length, embed))
        wanted, weights = apply_attention(x, arrays, heads)
        call = f"CausalSelfAttention({embed}, {heads}) of (2, {length}, {embed})"
        hint = "use q_proj, k_proj and v_proj, heads, a mask that is True up to the token itself, and out_proj"
        expect.array(layer(student.tensor.Tensor(x)), wanted, dtype="float64", call=call, hint=hint)
        expect.array(layer.weights, weights, call=f"the weights of {call}", hint="store self.weights")
        forbidden = values(layer.weights)[..., ~np.tri(length).astype(bool)]
        expect.array(forbidden, 0 * forbidden, call=f"the weights of later tokens in {call}", **EXACT)


@task("16.7")
def test_a_later_token_changes_nothing_before_it(student, rng):
    """Outputs before a changed token stay bit for bit the same; outputs from that token on change."""
    layer, tensor = student.tinygpt.CausalSelfAttention(8, 2, rng=student.rng(2)), student.tensor.Tensor
    x = rng.normal(size=(2, 6, 8)).astype("float32")
    before = values(layer(tensor(x)))
    for t in range(1, 6):
        changed = x.copy()
        changed[:, t] = 10 * rng.normal(size=(2, 8))
        now = values(layer(tensor(changed)))
        call = f"the outputs before token {t} when token {t} was changed"
        expect.array(now[:, :t], before[:, :t], call=call, hint="row i of the mask is True up to column i", **EXACT)
        moved = np.abs(now[:, t:] - before[:, t:]).max(axis=(0, 2))
        expect.that(
            bool((moved > 1e-4).all()), call=f"outputs from token {t} on", got="the same", expected="different values"
        )


@task("16.7")
def test_attention_with_a_cache_gives_the_same(student, rng):
    """If fed one token or several at a time, the layer returns the same outputs as for all tokens together."""
    layer, tensor = student.tinygpt.CausalSelfAttention(6, 2, rng=student.rng(3)), student.tensor.Tensor
    arrays, x = draw_parameters(layer, rng), rng.normal(size=(3, 8, 6))
    wanted, _ = apply_attention(x, arrays, 2)
    for counts in ((8,), (1,) * 8, (3, 1, 4), (5, 3)):
        cache, end = student.tinygpt.KVCache(8), 0
        for count in counts:
            part = slice(end, end + count)
            end += count
            got = layer(tensor(x[:, part]), cache)
            call = f"CausalSelfAttention with a cache, tokens {part.start} to {end - 1} of parts {counts}"
            hint = "new token i of L sees all S - L earlier tokens, and those of its part up to itself"
            expect.array(got, wanted[:, part], dtype="float64", call=call, hint=hint)
        expect.equal(cache.length, 8, call="the cache's length after 8 tokens")


@task("16.7")
def test_attention_is_differentiated_by_a_tape(student, rng):
    """The gradients of input and parameters agree with finite differences."""
    layer = student.tinygpt.CausalSelfAttention(4, 2, rng=student.rng(4))
    arrays, x, grad = draw_parameters(layer, rng), rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4))

    def weigh_output(x, *arrays):
        return float((apply_attention(x, arrays, 2)[0] * grad).sum())

    check_tape(student, layer, x, arrays, grad, weigh_output, call="CausalSelfAttention(4, 2)")


# 16.8: the block

ORDER = ("norm1", "self_attn", "norm2", "mlp")
PYTORCH = (
    *("norm1.weight", "norm1.bias", "self_attn.in_proj_weight", "self_attn.in_proj_bias"),
    *("self_attn.out_proj.weight", "self_attn.out_proj.bias", "norm2.weight", "norm2.bias"),
    *("linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"),
)


@task("16.8")
def test_a_block_lists_and_draws_its_layers_in_order(student):
    """A block has norm1, self_attn, norm2 and mlp; its dense layers widen to 4E and back; it has no buffers."""
    gpt, dense = student.tinygpt, student.layers.Dense
    block, generator = gpt.Block(6, 3, rng=student.rng(7)), student.rng(7)
    attention_layer = gpt.CausalSelfAttention(6, 3, rng=generator)
    parts = {"norm1": gpt.LayerNorm(6), "self_attn": attention_layer, "norm2": gpt.LayerNorm(6)}
    dense_layers = [dense(6, 24, rng=generator), dense(24, 6, rng=generator)]
    wanted = [values(p) for name in ORDER[:3] for p in parts[name].parameters()]
    wanted += [values(p) for layer in dense_layers for p in layer.parameters()]
    check_parameters(block.parameters(), wanted, call="Block(6, 3, rng=…).parameters()")
    held = [values(p).shape for name in ORDER for p in getattr(block, name).parameters()]
    expect.equal(held, [array.shape for array in wanted], call="the shapes of norm1, self_attn, norm2 and mlp")
    expect.equal(len(block.buffers()), 0, call="the number of Block(6, 3).buffers()")
    for embed, heads in ((6, 4), (6, 0)):
        with expect.raises(ValueError, call=f"Block({embed}, {heads})"):
            gpt.Block(embed, heads, rng=student.rng(0))


@task("16.8")
def test_a_block_has_the_values_of_pytorch(student):
    """Output and gradients agree with a TransformerEncoderLayer with norm_first, ReLU and a causal mask."""
    case = REFERENCE["block"]
    x, grad = np.array(case["x"]), np.array(case["grad"])
    layer = student.tinygpt.Block(x.shape[-1], case["num_heads"], rng=student.rng(0))
    for parameter, array in zip(layer.parameters(), order_pytorch_arrays(case["parameters"]), strict=True):
        parameter.data = array
    tensor = student.tensor.Tensor(x)
    student.autograd.require_grad([tensor])
    output, gradients = run_backward(student, layer, tensor, grad)
    hint = (
        "compute x + self_attn(norm1(x)), call it x again, and add mlp(norm2(x)); a ReLU is between mlp's dense layers"
    )
    expect.array(output, case["output"], dtype="float64", rtol=1e-7, atol=1e-8, call="Block(4, 2) of x", hint=hint)
    expect.array(tensor.grad, case["grad_x"], rtol=1e-6, atol=1e-7, call="the gradient of a Block's input", hint=hint)
    for number, (got, wanted) in enumerate(zip(gradients, order_pytorch_arrays(case["grads"]), strict=True)):
        expect.array(got, wanted, rtol=1e-6, atol=1e-7, call=f"the gradient of Block(4, 2).parameters()[{number}]")


@task("16.8")
def test_a_block_hands_its_cache_to_the_attention(student, rng):
    """If fed token by token with a cache, a block returns the same outputs as for all tokens together."""
    layer, tensor = student.tinygpt.Block(4, 2, rng=student.rng(1)), student.tensor.Tensor
    arrays, x = draw_parameters(layer, rng), rng.normal(size=(2, 6, 4))
    wanted, cache = apply_block(x, arrays, 2), student.tinygpt.KVCache(6)
    expect.array(layer(tensor(x)), wanted, dtype="float64", call="Block(4, 2) of (2, 6, 4)")
    for t in range(6):
        got = layer(tensor(x[:, t : t + 1]), cache)
        expect.array(got, wanted[:, t : t + 1], call=f"Block(4, 2) with a cache, token {t}", hint="self_attn(…, cache)")


# 16.9: the network


@task("16.9")
def test_parameters_list_the_tied_weight_once(student):
    """Token and position embeddings, blocks and norm are drawn in this order, each tensor once; no buffers."""
    gpt = student.tinygpt
    model, generator = gpt.GPT(20, 8, 6, 2, 2, rng=student.rng(3)), student.rng(3)
    parts = [gpt.Embedding(20, 6, rng=generator), gpt.Embedding(8, 6, rng=generator)]
    parts += [gpt.Block(6, 2, rng=generator) for _ in range(2)] + [gpt.LayerNorm(6)]
    wanted = [values(p) for part in parts for p in part.parameters()]
    call = "GPT(20, 8, 6, 2, 2, rng=…).parameters()"
    check_parameters(model.parameters(), wanted, call=call)
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = student.tensor.Tensor(float(number))
    marks = [int(parameter.grad.item()) for parameter in model.parameters()]
    expect.equal(
        marks, list(range(len(wanted))), call=f"marks left at {call}", hint="the head has no weight of its own"
    )
    held = [model.token_embedding, model.position_embedding, *model.blocks, model.norm]
    marks = [int(p.grad.item()) for part in held for p in part.parameters()]
    hint = "the order is token_embedding, position_embedding, blocks, norm"
    expect.equal(marks, list(range(len(wanted))), call=f"marks left at {call}, by part", hint=hint)
    expect.equal(len(model.buffers()), 0, call="the number of GPT(…).buffers()")
    expect.equal(len(model.new_caches()), 2, call="the number of GPT(20, 8, 6, 2, 2).new_caches()")


@task("16.9")
def test_logits_of_the_network(student, rng):
    """Logits agree with token rows plus position rows, blocks, normalisation, and the token table as the head."""
    for size, context, embed, heads, depth in ((11, 6, 4, 2, 1), (7, 5, 6, 3, 2)):
        model = student.tinygpt.GPT(size, context, embed, heads, depth, rng=student.rng(1))
        arrays = draw_parameters(model, rng)
        for length in (1, 3, context):
            tokens = rng.integers(0, size, (2, length))
            call = f"GPT({size}, {context}, {embed}, {heads}, {depth}) of tokens (2, {length})"
            hint = "add rows of tokens and positions, then blocks, norm, and linear with token_embedding.weight"
            wanted = apply_network(tokens, arrays, heads)
            expect.array(model(student.tensor.Tensor(tokens)), wanted, dtype="float64", call=call, hint=hint)


@task("16.9")
def test_the_first_loss_is_that_of_a_guess(student, rng):
    """With fresh weights the loss is within 3% of ln V, whatever the network's size."""
    for size, embed, heads, depth in ((64, 32, 4, 2), (512, 64, 4, 3), (300, 16, 2, 4)):
        model = student.tinygpt.GPT(size, 16, embed, heads, depth, rng=student.rng(int(rng.integers(1000))))
        tokens = rng.integers(0, size, (8, 17))
        logits = values(model(student.tensor.Tensor(tokens[:, :-1])))
        ratio = compute_mean_loss(logits.astype(float), tokens[:, 1:]) / math.log(size)
        call = f"the loss of a fresh GPT({size}, 16, {embed}, {heads}, {depth}), divided by ln {size}"
        hint = "both tables have a standard deviation of 0.02; norm comes before the head"
        expect.array(ratio, 1, rtol=0, atol=0.03, call=call, hint=hint)


@task("16.9")
def test_the_tied_weight_has_the_gradient_of_both_uses(student, rng):
    """All gradients agree with finite differences, even the token table's if a token is only predicted."""
    model = student.tinygpt.GPT(6, 4, 4, 2, 1, rng=student.rng(2))
    arrays, tokens, grad = (
        draw_parameters(model, rng, 0.5),
        np.array([[1, 2, 2], [0, 1, 3]]),
        rng.normal(size=(2, 3, 6)),
    )
    _, gradients = run_backward(student, model, student.tensor.Tensor(tokens), grad)

    def weigh_output(*arrays):
        return float((apply_network(tokens, arrays, 2) * grad).sum())

    hint = "the head uses token_embedding.weight itself, not a copy of it: the tape adds up both gradients"
    for number, (got, wanted) in enumerate(zip(gradients, difference_slopes(weigh_output, arrays), strict=True)):
        call = f"the gradient of GPT(6, 4, 4, 2, 1).parameters()[{number}]"
        expect.array(got, wanted, rtol=1e-4, atol=1e-5, call=call, hint=hint if number == 0 else None)


@task("16.9")
def test_a_later_token_changes_no_earlier_logit(student, rng):
    """Logits do not depend on later tokens, bit for bit, in float32 and through all blocks."""
    model, tensor = student.tinygpt.GPT(30, 8, 8, 2, 3, rng=student.rng(5)), student.tensor.Tensor
    tokens = rng.integers(0, 30, (2, 8))
    before = values(model(tensor(tokens)))
    for t in range(1, 8):
        changed = tokens.copy()
        changed[:, t:] = (tokens[:, t:] + rng.integers(1, 30, (2, 8 - t))) % 30
        now = values(model(tensor(changed)))
        expect.array(
            now[:, :t], before[:, :t], call=f"logits before position {t} when tokens from {t} on change", **EXACT
        )


@task("16.9")
def test_logits_with_caches_are_the_same(student, rng):
    """For chunks of any size, up to the full context, logits are within 1e-4 of those for all tokens together."""
    model, tensor = student.tinygpt.GPT(40, 24, 16, 4, 3, rng=student.rng(6)), student.tensor.Tensor
    draw_parameters(model, rng, 0.3, "float32")
    tokens = rng.integers(0, 40, (3, 24))
    wanted = values(model(tensor(tokens)))
    for counts in ((1,) * 24, (23, 1), (5, 1, 1, 10, 7)):
        caches, end = model.new_caches(), 0
        for count in counts:
            part = slice(end, end + count)
            end += count
            got = model(tensor(tokens[:, part]), caches)
            call = f"GPT with caches, tokens {part.start} to {end - 1} of parts {counts[:5]}"
            hint = "positions continue where the caches end: the first new token has the position caches[0].length"
            expect.array(got, wanted[:, part], rtol=1e-4, atol=1e-4, dtype="float32", call=call, hint=hint)


@task("16.9")
def test_more_tokens_than_positions_are_refused(student, rng):
    """Too many tokens raise a ValueError that states the context length, even with caches; a full context is fine."""
    model, tensor = student.tinygpt.GPT(9, 5, 4, 2, 1, rng=student.rng(0)), student.tensor.Tensor
    tokens = rng.integers(0, 9, (1, 6))
    hint = "compare the tokens in the caches plus the new ones with context_length before anything else"
    with expect.raises(ValueError, mentions=("5",), call="GPT with context_length 5 of 6 tokens", hint=hint):
        model(tensor(tokens))
    caches = model.new_caches()
    model(tensor(tokens[:, :3]), caches)
    call = "GPT with context_length 5 of 3 tokens after 3 in its caches"
    with expect.raises(ValueError, mentions=("5",), call=call, hint=hint):
        model(tensor(tokens[:, :3]), caches)
    got = model(tensor(tokens[:, 3:5]), caches)
    wanted = values(model(tensor(tokens[:, :5])))[:, 3:]
    expect.array(got, wanted, rtol=1e-4, atol=1e-5, call="the last 2 tokens of a full context")


@task("16.9")
def test_with_a_cache_a_token_costs_one_token(student, rng):
    """With 32 tokens in the caches, one more token sends one row through every dense layer, not 33."""
    model, tensor = student.tinygpt.GPT(12, 40, 8, 2, 2, rng=student.rng(1)), student.tensor.Tensor
    tokens, caches = rng.integers(0, 12, (1, 33)), model.new_caches()
    model(tensor(tokens[:, :32]), caches)
    with traced(student.tensor) as trace:
        model(tensor(tokens[:, 32:]), caches)
    rows = [math.prod(output.shape[:-1]) for name, _, _, output in trace.entries if name == "linear"]
    expect.that(len(rows) >= 12, call="the dense layers that ran", got=len(rows), expected="12 linear ops or more")
    hint = "only the new token goes through the layers; keys and values of the others are in the caches"
    expect.equal(sorted(set(rows)), [1], call="the rows that went through each linear op", hint=hint)


# 16.10: loss and bits


@task("16.10")
def test_next_token_loss_is_a_mean_cross_entropy(student, rng):
    """The loss is the mean over all positions of all sequences, in nats; equal logits give ln V."""
    loss, tensor = student.tinygpt.next_token_loss, student.tensor.Tensor
    got = loss(tensor(np.zeros((2, 3, 8))), tensor(rng.integers(0, 8, (2, 3))))
    expect.array(got, math.log(8), call="next_token_loss(zeros of (2, 3, 8), targets)")
    for shape in ((1, 1, 3), (2, 5, 7), (4, 3, 2)):
        logits, targets = rng.normal(size=shape), rng.integers(0, shape[-1], shape[:2])
        call = f"next_token_loss(logits {shape}, targets {shape[:2]})"
        got = loss(tensor(logits), tensor(targets))
        expect.array(
            got, compute_mean_loss(logits, targets), dtype="float64", call=call, hint="flatten both, then cross_entropy"
        )


@task("16.10")
def test_next_token_loss_is_differentiated(student, rng):
    """The gradient of the logits is (softmax - 1 at the target) / (N · L)."""
    logits, targets = rng.normal(size=(2, 3, 5)), rng.integers(0, 5, (2, 3))
    tensor = student.tensor.Tensor(logits)
    student.autograd.require_grad([tensor])
    with student.autograd.Tape():
        loss = student.tinygpt.next_token_loss(tensor, student.tensor.Tensor(targets))
    loss.backward()
    (wanted,) = difference_slopes(lambda logits: compute_mean_loss(logits, targets), [logits])
    expect.array(tensor.grad, wanted, rtol=1e-4, atol=1e-6, call="the gradient of next_token_loss", hint="use apply")


@task("16.10")
def test_a_text_is_evaluated_in_windows(student, rng):
    """Each token but the first is predicted once; a window begins with the last target of the previous one."""
    merges = learn_merges_naively(CODE, 264)
    tokenizer = student.tinygpt.Tokenizer(merges)
    model = student.tinygpt.GPT(264, 7, 4, 2, 1, rng=student.rng(1))
    arrays = draw_parameters(model, rng, 0.6)
    tokens = [token for piece in cut_pieces(CODE) for token in encode_naively(piece, merges)]
    pieces = spell_tokens(merges)
    hints = {
        "loss": "windows begin at tokens 0, 7, 14, …. Inputs are all but a window's last token, and targets are all "
        "but its first. Add up each mean times its number of targets, and divide by the number of all targets",
        "perplexity": "e to the loss",
        "bits_per_byte": "all nats divided by ln 2, and by the bytes of all tokens but the first",
    }
    for count in (2, 7, 8, 9, 15, 16, 22, 23, 30):
        some = tokens[:count]
        data = b"".join(pieces[token] for token in some)
        if [token for piece in cut_pieces(data) for token in encode_naively(piece, merges)] != some:
            continue  # cut within a piece, so that it has other tokens
        nats = 0.0
        for start in range(0, count - 1, 7):
            window = np.array([some[start : start + 8]])
            nats += compute_mean_loss(apply_network(window[:, :-1], arrays, 2), window[:, 1:]) * (window.size - 1)
        loss, size = nats / (count - 1), len(data) - len(pieces[some[0]])
        wanted = {"loss": loss, "perplexity": math.exp(loss), "bits_per_byte": nats / size / math.log(2)}
        got = student.tinygpt.evaluate_text(model, tokenizer, data)
        expect.equal(sorted(got), sorted(wanted), call="the names in evaluate_text(…)")
        for name, value in wanted.items():
            call = f'evaluate_text(model of context 7, tokenizer, text of {count} tokens)["{name}"]'
            expect.array(got[name], value, rtol=1e-6, call=call, hint=hints[name])


@task("16.10")
def test_evaluating_a_text_records_nothing(student):
    """evaluate_text records nothing, and a text of one token or none raises a ValueError."""
    tokenizer = student.tinygpt.Tokenizer([])
    model = student.tinygpt.GPT(256, 4, 4, 2, 1, rng=student.rng(1))
    with traced(student.tensor) as trace:
        got = student.tinygpt.evaluate_text(model, tokenizer, b"a text")
    expect.equal(len(trace.entries), 0, call="the number of ops recorded by evaluate_text", hint="with no_grad():")
    expect.array(got["perplexity"], 256, rtol=0.2, call="the perplexity of fresh weights with 256 tokens")
    for data in (b"", b"a"):
        with expect.raises(ValueError, call=f"evaluate_text(model, tokenizer, {data})"):
            student.tinygpt.evaluate_text(model, tokenizer, data)


# 16.11: probabilities


@task("16.11")
def test_probabilities_of_the_worked_example(student):
    """For 0.5, 0.3, 0.15 and 0.05, three tokens reach 0.9, two reach 0.7, and one reaches 0.4."""
    logits = np.log([0.15, 0.5, 0.05, 0.3])
    for options, wanted in (
        ({}, [0.15, 0.5, 0.05, 0.3]),
        ({"top_k": 2}, [0, 0.625, 0, 0.375]),
        ({"top_p": 0.9}, [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
        ({"top_p": 0.7}, [0, 0.625, 0, 0.375]),
        ({"top_p": 0.4}, [0, 1, 0, 0]),
        ({"top_k": 2, "top_p": 0.6}, [0, 1, 0, 0]),
        ({"temperature": 0}, [0, 1, 0, 0]),
        ({"temperature": 0.5}, np.square([0.15, 0.5, 0.05, 0.3]) / 0.365),
    ):
        got = student.tinygpt.sampling_probabilities(logits, **options)
        call = f"sampling_probabilities(log of [0.15, 0.5, 0.05, 0.3], {options})"
        hints = {
            "temperature": "divide the logits by the temperature before the softmax; at 0 only the likeliest stays",
            "top_k": "only the top_k likeliest stay, scaled to a sum of 1, and each keeps its own place",
            "top_p": "a token stays while the sum of the likelier ones is below top_p: the one that reaches it stays "
            "as well",
        }
        told = [hints[name] for name in options] or ["softmax(logits), in the order of the tokens"]
        expect.array(got, wanted, dtype="float64", call=call, hint="; then ".join(told))


@task("16.11")
def test_probabilities_for_any_logits(student, rng):
    """Temperature comes first, then top_k, then top_p of the rest; removed tokens have probability 0 exactly."""
    shapes = ((9,), (3, 9), (2, 2, 5), (1, 1))
    for shape, dtype, _ in itertools.product(shapes, ("float32", "float64"), range(3)):
        logits = (3 * rng.normal(size=shape)).astype(dtype)
        before = logits.copy()
        temperature, top_k, top_p = float(rng.uniform(0.3, 2)), int(rng.integers(1, 12)), float(rng.uniform(0.05, 1))
        for options in (
            {"temperature": temperature},
            {"top_k": top_k},
            {"top_p": top_p},
            {"temperature": temperature, "top_k": top_k, "top_p": top_p},
        ):
            wanted = np.array(
                [compute_sampling_probabilities(row, **options) for row in logits.reshape(-1, shape[-1])]
            ).reshape(shape)
            got = student.tinygpt.sampling_probabilities(logits, **options)
            call = f"sampling_probabilities(logits {shape} of {dtype}, {options})"
            hint = "softmax(logits / temperature); top_k; scale to 1; top_p; scale to 1"
            expect.array(got, wanted, dtype="float64", rtol=1e-6, atol=1e-9, call=call, hint=hint)
            gone = values(got)[wanted == 0]
            expect.array(gone, 0 * gone, call=f"the removed tokens of {call}", **EXACT)
        expect.array(logits, before, call="the logits after sampling_probabilities", **EXACT)


@task("16.11")
def test_of_equal_logits_the_smaller_token_counts_as_likelier(student):
    """Exactly top_k tokens remain, and exactly as many as top_p needs."""
    for logits, options, wanted in (
        ([1.0, 1, 1, 1], {"top_k": 2}, [0.5, 0.5, 0, 0]),
        ([0.0, 2, 1, 2, 2], {"top_k": 2}, [0, 0.5, 0, 0.5, 0]),
        ([1.0, 1, 1, 1], {"top_p": 0.5}, [0.5, 0.5, 0, 0]),
        ([1.0, 1, 1, 1], {"top_p": 0.51}, [1 / 3, 1 / 3, 1 / 3, 0]),
        ([0.0, 7, 7], {"temperature": 0}, [0, 1, 0]),
        ([0.0, 7, 7], {"temperature": 0, "top_k": 3, "top_p": 1.0}, [0, 1, 0]),
        ([3.0, 3], {"top_k": 9, "top_p": 1.0}, [0.5, 0.5]),
        ([3.0, 3], {"top_k": 1}, [1, 0]),
    ):
        got = student.tinygpt.sampling_probabilities(np.array(logits), **options)
        call = f"sampling_probabilities({logits}, {options})"
        expect.array(got, wanted, call=call, hint="sort descending, with kind='stable'")
        logits = np.resize([1.0, 2.0, 0.0], 500)  # long enough for an unstable sort to mix up equal values
    got = student.tinygpt.sampling_probabilities(logits, top_k=90)
    call = "sampling_probabilities([1, 2, 0, 1, 2, 0, …], top_k=90) of 500 tokens"
    expect.array(
        got,
        compute_sampling_probabilities(logits, top_k=90),
        call=call,
        hint="sort descending, with kind='stable'",
    )


@task("16.11")
def test_probabilities_of_extreme_logits(student):
    """Logits of any size cause no NaN and no warning; -inf is never chosen."""
    for logits, options, wanted in (
        ([1000.0, 1000, -1000], {}, [0.5, 0.5, 0]),
        ([-1e9, -1e9], {"temperature": 0.1}, [0.5, 0.5]),
        ([0.0, -math.inf, 0], {"top_p": 0.99}, [0.5, 0, 0.5]),
        ([5.0, 4, 3], {"temperature": 1e-6}, [1, 0, 0]),
        ([5.0, 4, 3], {"temperature": 1e6}, [1 / 3, 1 / 3, 1 / 3]),
    ):
        got = student.tinygpt.sampling_probabilities(np.array(logits), **options)
        call = f"sampling_probabilities({logits}, {options})"
        expect.array(got, wanted, atol=1e-5, call=call, hint="subtract the largest before exp")


@task("16.11")
def test_options_out_of_range_are_refused(student):
    """A negative temperature, a top_k of 0, and a top_p of 0 or above 1 raise a ValueError."""
    for options in ({"temperature": -0.1}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}, {"top_p": -0.5}):
        (name,) = options
        with expect.raises(ValueError, mentions=(name,), call=f"sampling_probabilities(logits, {options})"):
            student.tinygpt.sampling_probabilities(np.zeros(3), **options)
    got = student.tinygpt.sampling_probabilities(np.zeros(4), 1.0, 4, 1.0)
    expect.array(got, [0.25] * 4, call="sampling_probabilities(zeros, 1.0, 4, 1.0)")


# 16.12: drawing and generating


@task("16.12")
def test_draws_follow_the_probabilities(student, rng):
    """In 20,000 draws, each token is as frequent as its probability says, and one with probability 0 is never drawn."""
    p = np.array([0, 0.02, 0.3, 0, 0.08, 0.25, 0.05, 0.3, 0])
    got = values(student.tinygpt.sample(np.tile(p, (20_000, 1)), student.rng(int(rng.integers(1 << 30)))))
    call = "sample(20,000 equal rows, rng)"
    expect.array(got, got, dtype="int64", call=call)
    expect.equal(got.shape, (20_000,), call=f"the shape of {call}")
    check_frequencies(got, p, call=call)
    pairs = got[:-1] * 9 + got[1:]
    hint = "draw a separate number for each row"
    check_frequencies(pairs, np.outer(p, p).ravel(), call="pairs of neighbours among the draws", hint=hint)


@task("16.12")
def test_each_row_is_drawn_from_its_own(student, rng):
    """If a row has one possible token, that token is drawn, even the first or last; equal rngs draw equal tokens."""
    places = rng.integers(0, 6, 300)
    places[:2] = 0, 5
    rows = np.eye(6)[places]
    got = student.tinygpt.sample(rows, student.rng(0))
    expect.array(got, places, dtype="int64", call="sample(rows with one 1 each, rng)", **EXACT)
    rows = rng.dirichlet(np.ones(6), 300)
    first, second = (values(student.tinygpt.sample(rows, student.rng(5))) for _ in range(2))
    expect.array(second, first, call="sample with the same rng", hint="draw only from rng", **EXACT)
    third = values(student.tinygpt.sample(rows, student.rng(6)))
    expect.that(
        not np.array_equal(third, first), call="sample with another rng", got="the same", expected="different values"
    )


@task("16.12")
def test_greedy_generation_takes_the_likeliest_each_time(student, rng):
    """At temperature 0, each new token is the likeliest after all tokens before it, up to the full context."""
    model = student.tinygpt.GPT(13, 12, 8, 2, 2, rng=student.rng(1))
    arrays, prompt = draw_parameters(model, rng, 0.7), rng.integers(0, 13, (3, 4))
    got = student.tinygpt.generate(model, prompt, 8, rng=student.rng(0), temperature=0)
    wanted = prompt
    for _ in range(8):
        best = apply_network(wanted, arrays, 2)[:, -1].argmax(axis=-1)
        wanted = np.concatenate([wanted, best[:, None]], axis=1)
    call = "generate(model, prompts (3, 4), 8, temperature=0)"
    hint = "feed the prompt, then only the newest token, with the same caches; read the logits at the last position"
    expect.array(got, wanted, dtype="int64", call=call, hint=hint, **EXACT)
    for number in range(2):
        shape = values(model.blocks[number].self_attn.weights).shape
        asked = f"the attention weights of block {number} in the last step, after {call}"
        told = "(3, 2, 1, 11): one query, 11 keys"
        expect.that(shape in ((3, 2, 1, 11), (3, 2, 1, 12)), call=asked, got=str(shape), expected=told, hint=hint)
    nothing = student.tinygpt.generate(model, prompt, 0, rng=student.rng(0))
    expect.array(nothing, prompt, dtype="int64", call="generate(model, prompts, 0)", **EXACT)


@task("16.12")
def test_generation_samples_with_its_options(student, rng):
    """The first new token after 20,000 equal prompts follows temperature, top_k and top_p; the prompt is kept."""
    model = student.tinygpt.GPT(9, 4, 4, 2, 1, rng=student.rng(2))
    arrays, prompt = draw_parameters(model, rng, 0.7), rng.integers(0, 9, (1, 2))
    logits = apply_network(prompt, arrays, 2)[0, -1]
    for options in ({}, {"temperature": 1.7}, {"top_k": 3}, {"top_p": 0.8}):
        got = values(student.tinygpt.generate(model, np.tile(prompt, (20_000, 1)), 1, rng=student.rng(3), **options))
        call = f"generate(model, 20,000 equal prompts, 1, {options})"
        expect.equal(got.shape, (20_000, 3), call=f"the shape of {call}")
        expect.array(got[:, :2], np.tile(prompt, (20_000, 1)), call=f"the prompts in {call}", **EXACT)
        hint = "pass all three options to sampling_probabilities"
        check_frequencies(
            got[:, 2], compute_sampling_probabilities(logits, **options), call=f"the new tokens of {call}", hint=hint
        )


@task("16.12")
def test_generation_records_nothing_and_ends_at_the_context(student):
    """Nothing is recorded, more tokens than positions raise a ValueError, and the same rng writes the same text."""
    model = student.tinygpt.GPT(9, 6, 4, 2, 1, rng=student.rng(2))
    generate, prompt = student.tinygpt.generate, np.array([[1, 2]])
    with traced(student.tensor) as trace:
        first = generate(model, prompt, 4, rng=student.rng(1))
    expect.equal(len(trace.entries), 0, call="the number of ops recorded by generate", hint="with no_grad():")
    second = generate(model, prompt, 4, rng=student.rng(1))
    expect.array(
        second, values(first), call="generate with the same rng", hint="make new caches for each call", **EXACT
    )
    with expect.raises(ValueError, call="generate(model of context 6, prompt of 2, 6)"):
        generate(model, prompt, 6, rng=student.rng(1))


# 16.13 to 16.15: the recipe of milestone 5


def build_recipe(student, text=CODE * 20, seed=3):
    """Return the recipe, the merges it learns from a text, and the network it builds for them."""
    ours = student.recipe("16_tinygpt")
    merges = ours.learn_merges(np.frombuffer(text, np.uint8))
    return ours, merges, ours.build(merges, student.rng(seed))


@pytest.fixture
def one_block(student):
    """Let the recipe build networks of one block during the test, which train twice as fast, if it has DEPTH."""
    ours = student.recipe("16_tinygpt")
    if (depth := getattr(ours, "DEPTH", None)) is None:
        yield
    else:
        ours.DEPTH = 1
        yield
        ours.DEPTH = depth


@task("16.13")
def test_recipe_learns_merges_of_the_text_it_is_given(student):
    """Merges are int64 (m, 2), each of two earlier tokens; the first one is the text's most frequent pair."""
    ours = student.recipe("16_tinygpt")
    for text in (CODE * 20, b"zqzq zqzq. " * 40):
        got = expect.pull(ours.learn_merges(np.frombuffer(text, np.uint8)), call="learn_merges(text)")
        fits = got.dtype == np.int64 and got.ndim == 2 and got.shape[1] == 2 and len(got) > 0
        expect.that(
            fits, call="learn_merges(text)", got=expect.describe_value(got), expected="an int64 array of shape (m, 2)"
        )
        later = (got >= 256 + np.arange(len(got))[:, None]).any()
        expect.that(
            not later, call="learn_merges(text)", got="a merge of later tokens", expected="merges of earlier tokens"
        )
    expect.equal(tuple(got[0].tolist()), (122, 113), call="the first merge of b'zqzq zqzq. ' repeated many times")


@task("16.13")
def test_recipe_learns_no_merges_of_a_text_without_pairs(student):
    """If no pair occurs twice, there are no merges, and their array has the shape (0, 2)."""
    got = expect.pull(
        student.recipe("16_tinygpt").learn_merges(np.frombuffer(b"a b\nc", np.uint8)), call="learn_merges"
    )
    expect.equal((got.shape, str(got.dtype)), ((0, 2), "int64"), call="shape and dtype of learn_merges(b'a b\\nc')")


@task("16.13")
def test_recipe_encodes_any_bytes(student, rng):
    """The tokens' bytes, joined, are the original bytes, and there are fewer tokens than bytes."""
    ours, merges, _ = build_recipe(student)
    table = spell_tokens(np.asarray(expect.pull(merges, call="learn_merges")).tolist())
    for data in (CODE, b"", bytes(rng.integers(0, 256, 200).tolist()), "größer \0".encode()):
        tokens = expect.pull(ours.encode(merges, data), call="encode(merges, data)")
        expect.equal(str(tokens.dtype), "int64", call="the dtype of encode(merges, data)")
        expect.equal(b"".join(table[token] for token in tokens), data, call="the bytes of encode(merges, data)")
    shorter = len(expect.pull(ours.encode(merges, CODE), call="encode")) < len(CODE) / 2
    expect.that(shorter, call="encode(merges, code)", got="as many tokens as bytes", expected="less than half as many")


@task("16.13")
def test_recipe_builds_its_network_from_the_generator_alone(student):
    """The same seed builds the same network, and a different seed builds a different one; all weights are float32."""
    ours, merges, _ = build_recipe(student)
    one, same, other = ([values(p) for p in ours.build(merges, student.rng(seed)).parameters()] for seed in (1, 1, 2))
    for a, b in zip(one, same, strict=True):
        expect.array(b, a, dtype="float32", call="a parameter of build(merges, rng), from the same seed again", **EXACT)
    differs = any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    expect.that(
        differs, call="the parameters of build(merges, rng) from another seed", got="the same", expected="others"
    )


@task("16.13")
def test_recipe_begins_with_large_tokens_and_waves(student):
    """Token embeddings are five times as large as Embedding's 0.02, and positions are a tenth of module 07's waves."""
    ours, merges, network = build_recipe(student)
    spread = float(values(network.token_embedding.weight).std())
    call = "the standard deviation of the token embeddings of build(merges, rng)"
    expect.that(
        0.09 <= spread <= 0.11, call=call, got=spread, expected="0.1", hint="multiply Embedding's table by five"
    )
    places = np.arange(CONTEXT)[:, None] / 10000 ** (np.arange(0, 64, 2) / 64)
    wanted = 0.1 * np.stack([np.sin(places), np.cos(places)], axis=-1).reshape(CONTEXT, 64)
    call = "the position embeddings of build(merges, rng)"
    hint = "0.1 * sinusoidal_positions(CONTEXT, WIDTH)"
    expect.array(network.position_embedding.weight, wanted, call=call, rtol=1e-3, atol=1e-4, hint=hint)
    tokens = values(ours.encode(merges, CODE))
    call = "build(merges, rng).tokenizer.encode(code)"
    expect.array(network.tokenizer.encode(CODE), tokens, call=call, hint="network.tokenizer = Tokenizer(merges)")


@task("16.13")
def test_recipe_gives_logits_for_rows_of_any_length(student, rng):
    """next_logits is the last position of logits; rows are independent; a row may be longer than the context."""
    ours, merges, network = build_recipe(student)
    size = 256 + len(expect.pull(merges, call="learn_merges"))
    tokens = rng.integers(0, size, (3, 20))
    every = expect.pull(ours.logits(network, tokens), call="logits(network, 3 rows of 20 tokens)")
    expect.equal(every.shape, (3, 20, size), call="logits(network, 3 rows of 20 tokens).shape")
    for length in (1, 7, 20):
        call = f"next_logits(network, 3 rows of {length} tokens)"
        got = ours.next_logits(network, tokens[:, :length])
        expect.array(
            got, every[:, length - 1], call=call, rtol=1e-3, atol=1e-4, hint="return the logits at the last position"
        )
    alone = ours.next_logits(network, tokens[1:2])
    expect.array(alone, every[1:2, -1], call="next_logits(network, only the second row)", rtol=1e-3, atol=1e-4)
    long = rng.integers(0, size, (2, 700))
    hint = "use the last tokens of a long row: tokens[:, -CONTEXT:]"
    got = expect.pull(ours.next_logits(network, long), call="next_logits(network, 2 rows of 700 tokens)")
    expect.equal(got.shape, (2, size), call="next_logits(network, 2 rows of 700 tokens).shape", hint=hint)
    last = ours.logits(network, long[:, -CONTEXT:])[:, -1]
    expect.array(got, last, call="next_logits(network, 2 rows of 700 tokens)", rtol=1e-3, atol=1e-4, hint=hint)


@task("16.13")
def test_recipe_sees_no_future(student, rng):
    """Later tokens do not change any logit."""
    ours, merges, network = build_recipe(student)
    size = 256 + len(expect.pull(merges, call="learn_merges"))
    tokens = rng.integers(0, size, (2, 16))
    before = expect.pull(ours.logits(network, tokens), call="logits(network, tokens)")[:, :8].copy()
    tokens[:, 8:] = rng.integers(0, size, (2, 8))
    expect.array(ours.logits(network, tokens)[:, :8], before, call="logits before a changed token", rtol=0, atol=1e-5)


@task("16.13")
def test_recipe_expects_every_token_alike_at_first(student, rng):
    """A fresh network's loss is near ln V: at most a tenth below it, and not far above."""
    ours, merges, network = build_recipe(student)
    size = 256 + len(expect.pull(merges, call="learn_merges"))
    tokens = rng.integers(0, size, (8, 41))
    logits = values(ours.logits(network, tokens[:, :-1])).astype("float64").reshape(-1, size)
    shifted = logits - logits.max(axis=1, keepdims=True)
    nats = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(shifted)), tokens[:, 1:].ravel()]
    share = float(nats.mean() / np.log(size))
    hint = "draw every weight from rng, and keep it small"
    call = "the loss of a fresh network on random tokens, divided by ln V"
    expect.that(0.9 <= share <= 1.3, call=call, got=share, expected="from 0.9 to 1.3", hint=hint)


@task("16.13")
def test_recipe_shows_where_attention_looks(student, rng):
    """attention_maps returns one map per row, layer and head; rows sum to 1, with 0 for later tokens."""
    ours, merges, network = build_recipe(student)
    size = 256 + len(expect.pull(merges, call="learn_merges"))
    tokens = rng.integers(0, size, (2, 9))
    call = "attention_maps(network, 2 rows of 9 tokens)"
    got = expect.pull(ours.attention_maps(network, tokens), call=call)
    fits = got.ndim == 5 and got.shape[0] == 2 and got.shape[3:] == (9, 9) and min(got.shape) > 0
    expect.that(fits, call=f"{call}.shape", got=got.shape, expected="(2, layers, heads, 9, 9)")
    expect.array(got.sum(axis=-1), np.ones(got.shape[:-1]), call=f"the sums of rows of {call}", rtol=1e-3)
    expect.array(np.triu(got, 1), np.zeros_like(got), call=f"the weights of later tokens in {call}", atol=1e-6)
    expect.that(
        got.shape[1] > 1, call=f"layers of {call}", got=got.shape[1], expected="one for each block: two or more"
    )
    expect.array(
        ours.attention_maps(network, tokens[1:])[0], got[1], call="the map of the second row on its own", rtol=1e-3
    )


@task("16.14")
def test_windows_begin_with_a_document(student):
    """With a hundred documents or more, each begins a window, whose length fits all but two in a hundred of them."""
    ours = student.recipe("16_tinygpt")
    for sizes in ([5] * 100, [*[4] * 97, 9, 9, 9], [*range(2, 12)] * 15, [3] * 200):
        documents = [[*range(1, size), 0] for size in sizes]
        tokens = np.array([token for document in documents for token in document])
        call = f"find_windows(tokens of {len(sizes)} documents of {min(sizes)} to {max(sizes)} tokens)"
        starts, length = ours.find_windows(tokens)
        ends = np.cumsum(sizes)
        wanted = sorted(sizes)[0] if max(sizes) == min(sizes) else int(np.quantile(sizes, 0.98))
        hint = "ends are where tokens == END; a document includes its END, and the next one begins after it"
        expect.equal(int(length), wanted, call=f"the length of {call}", hint=hint)
        begin = np.append(0, ends[:-1])
        begin = begin[begin + wanted < len(tokens)]
        expect.array(starts, begin, dtype="int64", call=f"the starts of {call}", hint="a window needs one more token")


@task("16.14")
def test_windows_of_a_text_without_documents_begin_anywhere(student):
    """With fewer than a hundred ENDs, a window begins at every position with enough tokens after it."""
    ours = student.recipe("16_tinygpt")
    for count, ends in ((CONTEXT + 40, 0), (CONTEXT + 40, 3), (20, 0), (CONTEXT + 1, 0), (3 * CONTEXT + 99, 99)):
        tokens = np.arange(1, count + 1) % 200 + 1
        tokens[len(tokens) - 2 * ends :: 2] = 0
        starts, length = ours.find_windows(tokens)
        call = f"find_windows({count} tokens, {ends} of them END)"
        wanted = min(CONTEXT, count - 1)
        expect.equal(
            int(length), wanted, call=f"the length of {call}", hint=f"CONTEXT, {CONTEXT}, unless the text is shorter"
        )
        expect.array(starts, np.arange(count - wanted), dtype="int64", call=f"the starts of {call}")


@task("16.14")
def test_windows_of_long_documents_begin_anywhere(student):
    """Documents that do not fit in the context are read like one long text; those that just fit begin a window."""
    ours = student.recipe("16_tinygpt")
    for size in (CONTEXT, CONTEXT + 1):
        tokens = np.array([*[1] * (size - 1), 0] * 120)
        wanted = np.arange(119) * size if size == CONTEXT else np.arange(len(tokens) - CONTEXT)
        starts, length = ours.find_windows(tokens)
        call = f"find_windows(tokens of 120 documents of {size} tokens, where CONTEXT is {CONTEXT})"
        expect.equal(int(length), CONTEXT, call=f"the length of {call}")
        expect.array(starts, wanted, dtype="int64", call=f"the starts of {call}")


@task("16.15")
@pytest.mark.usefixtures("one_block")
def test_recipe_reports_its_training(student, rng):
    """Steps passed to progress increase to the last, losses fall from about ln V, and parameters change."""
    text = draw_echoes(rng, 120)
    ours, _, network = build_recipe(student, text)
    before = [values(parameter) for parameter in network.parameters()]
    heard = Reports("step", "steps", "loss")
    ours.train(network, np.frombuffer(text, np.uint8), rng=student.rng(1), progress=heard)
    heard.check_types(int, int, float)
    steps, losses = ([report[name] for report in heard.calls] for name in ("step", "loss"))
    call = "progress(step, steps, loss) while training"
    rises = all(a < b for a, b in itertools.pairwise(steps)) and steps[-1] == heard.calls[-1]["steps"]
    expect.that(rises, call=call, got=heard.calls[-3:], expected="increasing steps, including the last")
    expect.that(5 <= len(steps) <= 500, call=f"the number of calls to {call}", got=len(steps), expected="about 50")
    expect.that(losses[-1] < losses[0] / 2, call=call, got=losses[::10], expected="a loss that falls to less than half")
    for number, (parameter, old) in enumerate(zip(network.parameters(), before, strict=True)):
        still = np.array_equal(values(parameter), old)
        expect.that(not still, call=f"parameters()[{number}] after training", got="unchanged", expected="changed")


@task("16.15")
@pytest.mark.usefixtures("one_block")
def test_recipe_trains_on_a_text_without_documents(student):
    """A short text without any END is learned as well."""
    text = CODE * 20
    ours, _, network = build_recipe(student, text)
    heard = Reports("step", "steps", "loss")
    ours.train(network, np.frombuffer(text, np.uint8), rng=student.rng(1), progress=heard)
    losses = [report["loss"] for report in heard.calls]
    call = "the loss that progress gets, on one text of 5 KB"
    expect.that(losses[-1] < losses[0] / 3, call=call, got=losses[::10], expected="a fall to less than a third")


@task("16.15")
@pytest.mark.usefixtures("one_block")
def test_recipe_hides_a_falling_share_of_inputs(student, rng):
    """If HIDDEN is 1, the network hardly sees a digit at first and cannot learn what follows; in the end it can."""
    digits = 48 + (rng.integers(0, 10, (120, 1)) + np.arange(8)) % 10
    text = b"".join(bytes(row) + b"\0" for row in digits.tolist())
    ours, _, network = build_recipe(student, text)
    heard, share = Reports("step", "steps", "loss"), ours.HIDDEN
    ours.HIDDEN = 1.0
    try:
        ours.train(network, np.frombuffer(text, np.uint8), rng=student.rng(1), progress=heard)
    finally:
        ours.HIDDEN = share
    early = [report["loss"] for report in heard.calls if report["step"] <= report["steps"] / 7][-1]
    last = heard.calls[-1]["loss"]
    call = "the loss {} on texts such as 45678901, with HIDDEN = 1"
    hint = "hide each input with probability HIDDEN · (1 - step / steps), not its target"
    expect.that(
        early > 1.2, call=call.format("after a seventh of the steps"), got=early, expected="about 2, a guess", hint=hint
    )
    hint = "the share that is hidden falls to 0 in the last step"
    expect.that(last < 0.7, call=call.format("in the last step"), got=last, expected="about 0.25", hint=hint)


# Helpers that compute expected values in the grader's process


def spell_tokens(merges):
    """Return the bytes of each token."""
    table = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        table.append(table[left] + table[right])
    return table


def draw_echoes(rng, count):
    """Draw documents that contain a three-letter word twice: "say tok: tok"."""
    words = rng.choice(list(b"aeiklmnorstu"), (count, 3)).tolist()
    return b"".join(b"say " + bytes(word) + b": " + bytes(word) + b"\0" for word in words)


def cut_pieces(data):
    """Cut a text into pieces: a word, a digit or a run of symbols with a space before it, or white space."""
    pieces, place = [], 0
    while place < len(data):
        begin = place + (data[place] == 32 and place + 1 < len(data) and classify_byte(data[place + 1]) != "white")
        end, kind = begin + 1, classify_byte(data[begin])
        if kind in ("letter", "sign"):
            while end < len(data) and classify_byte(data[end]) == kind:
                end += 1
        elif data[begin] == 32:  # spaces: all but the last, which may belong to the next piece
            while end < len(data) and data[end] == 32:
                end += 1
            end = max(end - 1, begin + 1)
        pieces.append(data[place:end])
        place = end
    return pieces


def classify_byte(byte):
    """Return the kind of a byte for `cut_pieces`."""
    letter = bytes([byte])
    if letter.isalpha() or letter.isdigit():
        return "letter" if letter.isalpha() else "digit"
    return "white" if letter.isspace() or byte == 0 else "sign"


def merge_list(tokens, pair, new):
    """Merge one pair in a list of tokens."""
    merged, place = [], 0
    while place < len(tokens):
        found = tuple(tokens[place : place + 2]) == pair
        merged.append(new if found else tokens[place])
        place += 2 if found else 1
    return merged


def learn_merges_naively(data, size):
    """Learn merges by the definition: count everything again in every round."""
    pieces, merges = [list(piece) for piece in cut_pieces(data)], []
    while 256 + len(merges) < size:
        counts = Counter(pair for piece in pieces for pair in itertools.pairwise(piece))
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        pieces = [merge_list(piece, best, 256 + len(merges)) for piece in pieces]
        merges.append(best)
    return merges


def encode_naively(piece, merges):
    """Encode one piece: while a pair has a merge, apply the earliest one."""
    tokens, ranks = list(piece), {pair: rank for rank, pair in enumerate(merges)}
    while found := [ranks[pair] for pair in itertools.pairwise(tokens) if pair in ranks]:
        tokens = merge_list(tokens, merges[min(found)], 256 + min(found))
    return tokens


def apply_layer_norm(x, weight, bias, eps):
    """Normalise along the last axis in float64, as a LayerNorm should."""
    mean = x.sum(axis=-1, keepdims=True) / max(x.shape[-1], 1)
    variance = ((x - mean) ** 2).sum(axis=-1, keepdims=True) / max(x.shape[-1], 1)
    return weight * (x - mean) / np.sqrt(variance + eps) + bias


def apply_attention(x, arrays, heads):
    """Compute causal attention with weights and biases of q, k, v and out: (output, weights)."""
    q, k, v = (x @ arrays[i].T + arrays[i + 1] for i in (0, 2, 4))
    size, length = x.shape[-1] // heads, x.shape[1]
    output, weights = np.zeros_like(x), np.zeros((len(x), heads, length, length))
    for n, h, i in np.ndindex(len(x), heads, length):
        part = slice(h * size, (h + 1) * size)
        scores = np.array([q[n, i, part] @ k[n, j, part] / math.sqrt(size) for j in range(i + 1)])
        powers = np.exp(scores - scores.max())
        weights[n, h, i, : i + 1] = powers / powers.sum()
        output[n, i, part] = weights[n, h, i, : i + 1] @ v[n, : i + 1, part]
    return output @ arrays[6].T + arrays[7], weights


def apply_block(x, arrays, heads):
    """Compute the output of a pre-norm block with its sixteen arrays."""
    x = x + apply_attention(apply_layer_norm(x, *arrays[:2], 1e-5), arrays[2:10], heads)[0]
    hidden = np.maximum(apply_layer_norm(x, *arrays[10:12], 1e-5) @ arrays[12].T + arrays[13], 0)
    return x + hidden @ arrays[14].T + arrays[15]


def apply_network(tokens, arrays, heads):
    """Compute the logits of a GPT with all its arrays."""
    x = arrays[0][tokens] + arrays[1][: tokens.shape[1]]
    for start in range(2, len(arrays) - 2, 16):
        x = apply_block(x, arrays[start : start + 16], heads)
    return apply_layer_norm(x, *arrays[-2:], 1e-5) @ arrays[0].T


def compute_mean_loss(logits, targets):
    """Compute the mean cross-entropy in nats."""
    flat = logits.reshape(-1, logits.shape[-1])
    terms = [math.log(np.exp(row - row[t]).sum()) for row, t in zip(flat, targets.ravel(), strict=True)]
    return sum(terms) / len(terms)


def compute_sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """Compute the sampling probabilities of one row of logits, token by token."""
    order = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    order = order[: 1 if temperature == 0 else top_k]
    powers = [math.exp((float(logits[t]) - float(logits[order[0]])) / (temperature or 1.0)) for t in order]
    kept, total = [], 0.0
    for token, power in zip(order, powers, strict=True):
        if top_p is None or total / sum(powers) < top_p:
            kept.append((token, power))
            total += power
    probabilities = np.zeros(len(logits))
    for token, power in kept:
        probabilities[token] = power / total
    return probabilities


def difference_slopes(function, arrays, step=1e-5):
    """Yield the slopes of a function with respect to each element of its arrays, by central differences."""
    for number, array in enumerate(arrays):
        slopes = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = array.copy()
                moved[index] += sign * step
                ends.append(function(*arrays[:number], moved, *arrays[number + 1 :]))
            slopes[index] = (ends[0] - ends[1]) / (2 * step)
        yield slopes


def draw_parameters(layer, rng, scale=0.5, dtype="float64"):
    """Set a student's layer's parameters to new random values, and return them as arrays."""
    arrays = []
    for parameter in layer.parameters():
        arrays.append(scale * rng.normal(size=values(parameter).shape))
        parameter.data = arrays[-1].astype(dtype)
    return arrays


def run_backward(student, layer, x, grad):
    """Return the layer's output, and the gradients of its parameters if the output has the gradient `grad`."""
    parameters = layer.parameters()
    student.autograd.require_grad(parameters)
    with student.autograd.Tape():
        output = layer(x)
    output.backward(student.tensor.Tensor(grad))
    missing = [number for number, parameter in enumerate(parameters) if parameter.grad is None]
    told = "every parameter has a gradient"
    expect.that(not missing, call="the gradients from a tape", got=f"none for parameters {missing}", expected=told)
    return output, [parameter.grad for parameter in parameters]


def check_tape(student, layer, x, arrays, grad, weigh_output, *, call):
    """Compare the gradients of input and parameters with finite differences of `weigh_output(x, *arrays)`."""
    tensor = student.tensor.Tensor(x)
    student.autograd.require_grad([tensor])
    _, gradients = run_backward(student, layer, tensor, grad)
    for number, wanted in enumerate(difference_slopes(weigh_output, [x, *arrays])):
        got = tensor.grad if number == 0 else gradients[number - 1]
        which = "its input" if number == 0 else f"parameters()[{number - 1}]"
        hint = "use layers, apply and Tensor methods: making a new Tensor from an array cuts the gradient"
        expect.array(got, wanted, rtol=1e-4, atol=1e-5, call=f"the gradient of {which}, {call}", hint=hint)


def check_parameters(parameters, wanted, *, call):
    """Compare a list of parameters, in order and to the last bit."""
    expect.equal(len(parameters), len(wanted), call=f"the number of {call}")
    for number, (got, array) in enumerate(zip(parameters, wanted, strict=True)):
        expect.array(
            got, array, dtype="float32", call=f"{call}[{number}]", hint="draw in this order, from rng", **EXACT
        )


def check_frequencies(draws, p, *, call, hint=None):
    """Require draws with the frequencies `p` (chi-squared), none where p is 0. Correct code fails once in a million."""
    counts = np.bincount(draws, minlength=len(p))
    expect.equal(int(counts[p == 0].sum()) + int((draws >= len(p)).sum()), 0, call=f"impossible tokens in {call}")
    possible = p > 0
    expected = len(draws) * p[possible]
    statistic = float(((counts[possible] - expected) ** 2 / expected).sum())
    freedom = int(possible.sum()) - 1
    most = freedom + 7 * math.sqrt(2 * freedom) + 15  # beyond the 1 - 1e-6 quantile for 1 to 100 degrees of freedom
    told = f"at most {most:.0f}, with {freedom} degrees of freedom"
    expect.that(statistic <= most, call=f"chi-squared of {call}", got=f"{statistic:.1f}", expected=told, hint=hint)


def order_pytorch_arrays(by_name):
    """Put the parameters of PyTorch's TransformerEncoderLayer, or their gradients, in the order that a Block uses."""
    arrays = []
    for name in PYTORCH:
        array = np.array(by_name[name])
        arrays += np.split(array, 3) if "in_proj" in name else [array]
    weights, biases = arrays[2:5], arrays[5:8]  # of query, key and value
    arrays[2:8] = [array for pair in zip(weights, biases, strict=True) for array in pair]
    return arrays
