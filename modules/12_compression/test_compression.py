"""The tests of module 12: size, pruning, channels, quantisation, integer products, int8 networks, distillation.

Expected values are computed here, in float64 or in 64-bit integers, in a different way from the lesson's.
"""

import math
from contextlib import contextmanager

import numpy as np
import pytest

from grading.testing import expect, task, values

# 12.1: what a network weighs


@task("12.1")
def test_size_counts_numbers_bytes_and_zeros(student, rng):
    """Parameters are counted by element, bytes depend on the dtype, and sparsity is the fraction of zeros."""
    dense, conv = student.layers.Dense(7, 5, rng=student.rng(1)), student.spatial.Conv2d(2, 3, 3, rng=student.rng(2))
    weight = rng.normal(size=(5, 7))
    gone = rng.random(weight.shape) < 0.4
    weight[gone], weight[0, 0] = 0, -0.0
    dense.weight.data, dense.bias.data = weight, np.ones(5, "float32")
    got = student.compression.measure_size(student.layers.Sequential(dense, student.activations.ReLU(), conv))
    call, count = "measure_size(Sequential(Dense(7, 5), ReLU(), Conv2d(2, 3, 3)))", 97
    zeros = int((weight == 0).sum()) + 3  # 3 for the convolution's bias
    expect.equal(sorted(got), ["bytes", "parameters", "sparsity"], call=f"the names in {call}")
    expect.equal(got["parameters"], count, call=f'{call}["parameters"]', hint="35 + 5 + 54 + 3")
    its_call, hint = f'{call}["bytes"], with the first weight in float64', "35 · 8 + 62 · 4"
    expect.equal(got["bytes"], 35 * 8 + 62 * 4, call=its_call, hint=hint)
    hint = "zeros of all parameters, divided by all their elements; -0.0 is a zero"
    its_call, is_float = f'{call}["sparsity"]', type(got["sparsity"]) is float
    expect.that(is_float, call=its_call, got=got["sparsity"], expected="a float", hint=hint)
    expect.array(got["sparsity"], zeros / count, rtol=1e-9, call=f'{call}["sparsity"]', hint=hint)


@task("12.1")
def test_buffers_weigh_and_are_no_parameters(student):
    """Running statistics count as bytes but not as parameters; without parameters the sparsity is 0."""
    net = student.layers.Sequential(student.spatial.BatchNorm2d(6), student.activations.ReLU())
    wanted = {"parameters": 12, "bytes": 96, "sparsity": 0.5}
    call = "measure_size(Sequential(BatchNorm2d(6), ReLU()))"
    expect.equal(student.compression.measure_size(net), wanted, call=call, hint="parameters() and buffers()")
    call, hint = "measure_size(ReLU())", "without parameters there is nothing to divide by: the sparsity is 0.0"
    with expect.explain_errors(call, hint):
        got = student.compression.measure_size(student.activations.ReLU())
    expect.equal(got, {"parameters": 0, "bytes": 0, "sparsity": 0.0}, call=call, hint=hint)


@task("12.1")
def test_a_tensor_used_twice_counts_once(student):
    """A layer that a network uses twice is stored only once."""
    dense = student.layers.Dense(4, 4, rng=student.rng(3))
    norm = student.spatial.BatchNorm2d(2)
    net = student.layers.Sequential(dense, dense, norm, norm)
    got = student.compression.measure_size(net)
    wanted = (24, 112)
    hint = "collect the tensors themselves, each of them once; a tensor can be a key of a dict"
    call = "parameters and bytes of a network with the same Dense(4, 4) twice and the same BatchNorm2d(2) twice"
    expect.equal((got["parameters"], got["bytes"]), wanted, call=call, hint=hint)


# 12.2: which weights go


CUT_HINT = (
    "join all arrays, flat, and compute one mask. Cut it at the running sums of their sizes, without the last sum, and "
    "give each part its array's shape"
)


@task("12.2")
def test_a_mask_drops_the_smallest_magnitudes(student, rng):
    """The mask is False at the round(sparsity · size) smallest magnitudes and True elsewhere, in the array's shape."""
    for shape in ((11,), (4, 6), (3, 2, 3, 3)):
        weight = rng.normal(size=shape).astype("float32")
        before = weight.copy()
        for sparsity in (0.0, 0.13, 0.5, float(rng.uniform(0.2, 0.9)), 1.0):
            call = f"magnitude_mask(weight of {shape}, {sparsity:.3g})"
            hint = "rank all elements by absolute value, axis=None; the first round(sparsity · size) of them are pruned"
            with expect.explain_errors(call, hint):
                got = student.compression.magnitude_mask(weight, sparsity)
            expect.array(got, mask_smallest(weight, sparsity), dtype="bool", call=call, hint=hint)
        expect.array(weight, before, rtol=0, atol=0, call="the weight after magnitude_mask")


@task("12.2")
def test_of_equal_magnitudes_the_first_goes(student, rng):
    """Where magnitudes are equal, the position decides: the weight that comes first in row order is pruned first."""
    weight = np.array([3.0, -1.0, 1.0, 2.0])
    got = student.compression.magnitude_mask(weight, 0.25)
    hint = "of equal magnitudes the first in row order goes: a stable sort of the absolute values keeps their order"
    expect.array(got, [True, False, True, True], call="magnitude_mask([3, -1, 1, 2], 0.25)", hint=hint)
    weight = rng.choice([-2.0, -1.0, 1.0, 2.0], (20, 30))
    for sparsity in (0.1, 0.5, 0.75):
        got = student.compression.magnitude_mask(weight, sparsity)
        call, hint = f"magnitude_mask(600 numbers ±1 and ±2, {sparsity})", "a stable sort keeps equal ones in order"
        expect.array(got, mask_smallest(weight, sparsity), dtype="bool", call=call, hint=hint)
    call = "global_masks([four ones, three], 3 / 7)"
    with expect.explain_errors(call, CUT_HINT):
        masks = student.compression.global_masks([np.ones((2, 2)), np.ones(3)], 3 / 7)
    expect.array(masks[0], [[False, False], [False, True]], call=f"the first of {call}", hint=CUT_HINT)
    expect.array(masks[1], [True, True, True], call=f"the second of {call}", hint=CUT_HINT)


@task("12.2")
def test_global_masks_rank_all_weights_together(student, rng):
    """All arrays share one ranking, so a layer with small weights loses more of them than one with large weights."""
    sizes = {(5, 4): 1, (3, 2, 2, 2): 0.3, (1, 7): 3}
    weights = [rng.normal(scale=scale, size=size).astype("float32") for size, scale in sizes.items()]
    for sparsity in (0.0, 0.3, float(rng.uniform(0.4, 0.8)), 1.0):
        with expect.explain_errors(f"global_masks(arrays of {list(sizes)}, {sparsity:.3g})", CUT_HINT):
            got = student.compression.global_masks(weights, sparsity)
        flat = mask_smallest(np.concatenate([weight.ravel() for weight in weights]), sparsity)
        call = f"global_masks(arrays of {list(sizes)}, {sparsity:.3g})"
        expect.equal(len(got), 3, call=f"the number of masks of {call}", hint=CUT_HINT)
        for place, (mask, weight) in enumerate(zip(got, weights, strict=True)):
            wanted, flat = flat[: weight.size].reshape(weight.shape), flat[weight.size :]
            expect.array(mask, wanted, dtype="bool", call=f"mask {place} of {call}", hint=CUT_HINT)


@task("12.2")
def test_a_sparsity_is_from_0_to_1(student):
    """A sparsity below 0, above 1 or nan raises a ValueError."""
    for sparsity in (-0.1, 1.1, float("nan")):
        with expect.raises(ValueError, call=f"magnitude_mask(weight, {sparsity})", mentions=("sparsity",)):
            student.compression.magnitude_mask(np.ones(4), sparsity)
        with expect.raises(ValueError, call=f"global_masks([weight], {sparsity})"):
            student.compression.global_masks([np.ones(4)], sparsity)
    expect.array(student.compression.magnitude_mask(np.ones(4), 0), np.ones(4, bool), call="magnitude_mask(ones, 0)")


# 12.3: masks that hold


@task("12.3")
def test_masks_set_weights_to_zero(student, rng):
    """A weight becomes 0 where its mask is False; all others stay the same to the last bit, in the same tensors."""
    arrays = [rng.normal(size=(4, 5)).astype("float32"), rng.normal(size=(2, 3, 2, 2))]
    weights = [student.tensor.Tensor(array) for array in arrays]
    masks = [rng.random(array.shape) < 0.5 for array in arrays]
    arrays[1][0, 0, 0, :], masks[1][0, 0, 0, :] = (np.inf, np.nan), False
    weights[1].data = arrays[1].copy()
    hint = "assign 0 where the mask is False: inf or nan times 0 is nan"
    with fail_on_warning(call="apply_masks(weights with inf and nan, masks)", hint=hint):
        student.compression.apply_masks(weights, masks)
    for weight, array, mask in zip(weights, arrays, masks, strict=True):
        wanted, call = np.where(mask, array, 0), f"a weight of {array.shape} after apply_masks"
        expect.array(weight, wanted, dtype=array.dtype, rtol=0, atol=0, call=call, hint=hint)


@task("12.3")
def test_the_schedule_is_a_cubic(student, rng):
    """Sparsity is 0 up to `begin`, final · (1 - (1 - t)³) at a fraction t of the way, and `final` from `end` on."""
    schedule = student.compression.cubic_sparsity
    for step, wanted in ((0, 0.0), (100, 0.0), (150, 0.7), (200, 0.8), (201, 0.8), (10**6, 0.8)):
        call, hint = f"cubic_sparsity({step}, begin=100, end=200, final=0.8)", explain_schedule(step, 100, 200)
        with expect.explain_errors(call, hint):
            got = schedule(step, 100, 200, 0.8)
        expect.array(got, wanted, rtol=1e-9, atol=1e-12, call=call, hint=hint)
    for _ in range(20):
        begin, length, final = int(rng.integers(0, 50)), int(rng.integers(1, 60)), float(rng.uniform(0.1, 0.9))
        step = begin + int(rng.integers(0, length + 1))
        left = (begin + length - step) / length
        call = f"cubic_sparsity({step}, {begin}, {begin + length}, {final:.3f})"
        got, hint = schedule(step, begin, begin + length, final), explain_schedule(step, begin, begin + length)
        expect.array(got, final - final * left * left * left, rtol=1e-9, atol=1e-12, call=call, hint=hint)
    for step, wanted in ((6, 0.0), (699, 0.0), (700, 0.8), (701, 0.8)):
        call = f"cubic_sparsity({step}, begin=700, end=700, final=0.8)"
        hint = explain_schedule(step, 700, 700)
        with expect.explain_errors(call, f"{hint}: nothing is divided by 0"):
            got = schedule(step, 700, 700, 0.8)
        expect.array(got, wanted, rtol=1e-9, atol=1e-12, call=call, hint=hint)


def explain_schedule(step, begin, end):
    """Return a hint for the part of the schedule that this step belongs to."""
    if step >= end:
        return "it is `final` from `end` on, even if begin = end"
    if step <= begin:
        return "it is 0 up to `begin`, even if begin = end"
    return f"t = ({step} - {begin}) / ({end} - {begin}), and the sparsity is final · (1 - (1 - t)³)"


@task("12.3")
@pytest.mark.parametrize("nesterov", [False, True])
def test_pruned_weights_stay_zero_under_momentum_and_decay(student, rng, nesterov):
    """After the optimiser's step, zeros are 0 again, and the smallest weights are pruned to meet the schedule."""
    lr, momentum, decay = 0.5, 0.9, 0.1  # so large that pruned weights would soon be among the largest
    weight, x, y = rng.normal(size=(4, 6)), rng.normal(size=(7, 6)), rng.normal(size=(7, 4))
    weight[0, :3] = 0
    layer = student.layers.Dense(6, 4, bias=False, rng=student.rng(0))
    layer.weight.data = weight.copy()  # here, without a worker, the array would be shared
    optimizer = student.optimizers.SGD(layer.parameters(), lr, momentum, nesterov, decay)
    trainer = make_pruning_trainer(student, layer, optimizer, begin=1, end=4, final=0.75)
    velocity = np.zeros_like(weight)
    for step, zeros in enumerate((3, 13, 17, 18, 18, 18), start=1):
        with expect.explain_errors(
            f"train_step {step} of PruningTrainer(…)", "note which weights are != 0, then super's step"
        ):
            figures = trainer.train_step(student.tensor.Tensor(x), student.tensor.Tensor(y))
        was_zero, error = weight == 0, x @ weight.T - y
        grad = 2 / error.size * error.T @ x + decay * weight
        velocity = momentum * velocity + grad
        weight = weight - lr * (grad + momentum * velocity if nesterov else velocity)
        weight[was_zero] = 0
        weight[~mask_smallest(weight, zeros / 24)] = 0
        call = f"the weight after train_step {step} of PruningTrainer(…, begin=1, end=4, final=0.75)"
        hint = "a weight that was 0 before the step is 0 after it: mask after every step, then prune by the schedule"
        now = values(layer.weight)
        if now.shape == weight.shape and not now[was_zero].any() and (now == 0).sum() != zeros:
            hint = f"after the step, prune to cubic_sparsity(self.step, …): {zeros} of 24 weights must be 0"
        expect.array(layer.weight, weight, rtol=1e-9, atol=1e-12, call=call, hint=hint)
        expect.array(figures["loss"], float((error**2).mean()), call=f"the loss of train_step {step}")
        expect.equal(trainer.step, step, call=f"trainer.step after train_step {step}")


@task("12.3")
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_zeros_are_the_mask(student, rng, name):
    """A weight that is 0 before a step is 0 after it, with any optimiser, and all other weights keep moving."""
    first, second = (student.layers.Dense(*sizes, rng=student.rng(5)) for sizes in ((5, 8), (8, 3)))
    net = student.layers.Sequential(first, student.activations.Tanh(), second)
    for layer, shape, scale in ((first, (8, 5), 0.05), (second, (3, 8), 1.0)):
        array = rng.choice([-1, 1], shape) * rng.uniform(1, 2, shape) * scale
        array.flat[:4] = 0
        layer.weight.data = array.astype("float32")
    options = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(student.optimizers, name)(net.parameters(), lr=0.01, weight_decay=0.1, **options)
    trainer = make_pruning_trainer(student, net, optimizer, begin=2, end=3, final=0.5)
    before, zeros = join_matrices(net), join_matrices(net) == 0
    bias = values(first.bias)
    for step, count in enumerate((8, 8, 32, 32, 32), start=1):
        batch = (student.tensor.Tensor(rng.normal(size=size).astype("float32")) for size in ((6, 5), (6, 3)))
        trainer.train_step(*batch)
        now = join_matrices(net)
        call = f"the zeros among 64 weights, 8 at first, after step {step} of {name}, begin=2, end=3, final=0.5"
        hint, got = "a weight that was 0 before the step is 0 after it: mask after every step", "one is no longer 0"
        expect.that(bool((now[zeros] == 0).all()), call=call, got=got, expected="all stay 0", hint=hint)
        expect.equal(int((now == 0).sum()), count, call=call, hint="count all weights together, but no biases")
        hint = "rank all weights together: none of the second layer's weights is among the smallest"
        expect.equal(int((now[40:] == 0).sum()), 4, call=f"zeros of the second layer: {call}", hint=hint)
        moved = bool((now != before)[now != 0].all())
        expect.that(moved, call=f"the others: {call}", got="some did not move", expected="all move")
        before, zeros = now, now == 0
    expect.that(bool((values(first.bias) != bias).all()), call="the bias", got="some did not move", expected="all move")


# 12.4: whole channels


CHANNEL_HINT = (
    "the layer at `place` keeps some outputs (weight and bias), a BatchNorm2d keeps the same of its four tensors, and "
    "the next Conv2d or Dense, after `place`, keeps the same inputs: its weight seen as (outputs, channels, the rest)"
)


@task("12.4")
@pytest.mark.parametrize("normalised", [True, False])
def test_a_channel_less_is_a_channel_of_zeros(student, rng, normalised):
    """Without some channels of a convolution, the network computes the same as with those channels set to 0."""
    spatial = student.spatial
    first = spatial.Conv2d(2, 6, 3, padding=1, bias=not normalised, rng=student.rng(1))
    second = spatial.Conv2d(6, 3, (3, 2), stride=2, rng=student.rng(2))
    middle = [spatial.BatchNorm2d(6, eps=0.1)] if normalised else []
    net = student.layers.Sequential(first, *middle, student.activations.ReLU(), spatial.MaxPool2d(2), second)
    randomize_layers(rng, net)
    x, keep = rng.normal(size=(3, 2, 9, 8)), sorted(int(c) for c in rng.choice(6, 4, replace=False))
    with expect.explain_errors(f"remove_channels(network, 0, {keep})", CHANNEL_HINT):
        small = student.compression.remove_channels(net, 0, keep)
    maps = apply_conv(x, first, (1, 1), (1, 1))
    maps = np.maximum(apply_batch_norm(maps, middle[0]) if normalised else maps, 0)
    maps[:, [c for c in range(6) if c not in keep]] = 0
    wanted = apply_conv(maps[:, :, :8].reshape(3, 6, 4, 2, 4, 2).max(axis=(3, 5)), second, (2, 2), (0, 0))
    call = f"remove_channels(conv, {'norm, ' if normalised else ''}ReLU, pool, conv; 0, {keep}), for images"
    hint = "keep the same channels of weight, bias and running statistics, and of the next layer's inputs"
    sizes = [(4, 2, 3, 3)] + ([(4,), (4,)] if normalised else [(4,)]) + [(3, 4, 3, 2), (3,)]
    shapes = [p.shape for p in small.parameters()]
    expect.equal(shapes, sizes, call=f"the shapes of the parameters of {call}", hint=hint)
    sizes, shapes = [(4,), (4,)] if normalised else [], [b.shape for b in small.buffers()]
    expect.equal(shapes, sizes, call=f"the shapes of the buffers of {call}", hint=hint)
    with expect.explain_errors(call, hint):
        got = predict_array(student, small, x)
    expect.array(got, wanted, rtol=1e-4, atol=1e-5, call=call, hint=hint)


@task("12.4")
def test_a_flattened_channel_has_many_columns(student, rng):
    """For each removed channel, a Dense after Flatten loses its pixels' columns; after a Dense it loses one column."""
    spatial, layers, relu = student.spatial, student.layers, student.activations.ReLU
    conv, hidden = spatial.Conv2d(1, 5, 3, rng=student.rng(1)), layers.Dense(5 * 6, 7, rng=student.rng(2))
    last = layers.Dense(7, 3, bias=False, rng=student.rng(3))
    net = layers.Sequential(conv, relu(), spatial.Flatten(), hidden, relu(), last)
    randomize_layers(rng, net)
    x, channels, units = rng.normal(size=(4, 1, 4, 5)), [3, 0], [6, 1, 2]
    maps = np.maximum(apply_conv(x, conv, (1, 1), (0, 0)), 0)
    maps[:, [1, 2, 4]] = 0
    remove = student.compression.remove_channels
    with expect.explain_errors(
        f"remove_channels(conv, ReLU, Flatten, Dense, ReLU, Dense; 0, {channels})", CHANNEL_HINT
    ):
        narrow = remove(net, 0, channels)
        narrower = remove(narrow, 3, units)
    hint = "after Flatten, channel c owns columns c·h·w to (c+1)·h·w; after a Dense, unit c owns column c"
    for small, off, sizes in (
        (narrow, [], [(2, 1, 3, 3), (2,), (7, 12), (7,), (3, 7)]),
        (narrower, [0, 3, 4, 5], [(2, 1, 3, 3), (2,), (3, 12), (3,), (3, 3)]),
    ):
        inner = np.maximum(maps.reshape(4, 30) @ values(hidden.weight).T + values(hidden.bias), 0)
        inner[:, off] = 0
        units_gone = f" and units {off} of the first Dense" if off else ""
        call = f"conv, ReLU, Flatten, Dense, ReLU, Dense; without channels [1, 2, 4]{units_gone}"
        shapes = [p.shape for p in small.parameters()]
        expect.equal(shapes, sizes, call=f"the shapes of the parameters of {call}", hint=hint)
        with expect.explain_errors(call, hint):
            got = predict_array(student, small, x)
        expect.array(got, inner @ values(last.weight).T, rtol=1e-4, atol=1e-5, call=call, hint=hint)


@task("12.4")
def test_the_larger_network_stays(student, rng):
    """The network from which channels are removed keeps its parameters, its buffers and its outputs."""
    spatial = student.spatial
    convs = [spatial.Conv2d(2, 4, 1, rng=student.rng(1)), spatial.Conv2d(4, 2, 1, rng=student.rng(2))]
    net = student.layers.Sequential(convs[0], spatial.BatchNorm2d(4), student.activations.ReLU(), convs[1])
    randomize_layers(rng, net)
    x = rng.normal(size=(2, 2, 3, 3))
    before, tensors = predict_array(student, net, x), [values(t) for t in [*net.parameters(), *net.buffers()]]
    with expect.explain_errors("remove_channels(network, 0, [2])", CHANNEL_HINT):
        small = student.compression.remove_channels(net, 0, [2])
    expect.equal(predict_array(student, small, x).shape, (2, 2, 3, 3), call="the shape of the smaller network's answer")
    hint = "make new layers with new tensors (with_arrays), in a new list"
    for tensor, wanted in zip([*net.parameters(), *net.buffers()], tensors, strict=True):
        call = "a tensor of the larger network after remove_channels"
        expect.array(tensor, wanted, rtol=0, atol=0, call=call, hint=hint)
    call = "the larger network's answer after remove_channels"
    expect.array(predict_array(student, net, x), before, call=call, hint=hint)


@task("12.4")
def test_channels_that_cannot_go_are_refused(student):
    """No channels, unknown or duplicate channels, a last layer, or a layer without kernels raises a ValueError."""
    layers, remove = student.layers, student.compression.remove_channels
    net = layers.Sequential(layers.Dense(2, 4, rng=student.rng(1)), layers.Dense(4, 3, rng=student.rng(2)))
    for place, keep in ((0, []), (0, [0, 4]), (0, [-1, 0]), (0, [1, 1]), (1, [0, 1])):
        call = f"remove_channels(Sequential(Dense(2, 4), Dense(4, 3)), {place}, {keep})"
        hint = "no Conv2d or Dense follows the layer: after the loop, raise a ValueError" if place else None
        with expect.raises(ValueError, call=call, hint=hint):
            remove(net, place, keep)
    expect.equal([p.shape for p in remove(net, 0, [0, 3]).parameters()], [(2, 2), (2,), (3, 2), (3,)], call="[0, 3]")
    last = layers.Dense(4, 3, rng=student.rng(2))
    for between in (student.spatial.BatchNorm2d(4), student.activations.ReLU(), student.spatial.Flatten()):
        net = layers.Sequential(student.spatial.Conv2d(2, 4, 1, rng=student.rng(1)), between, last)
        with expect.raises(ValueError, call="remove_channels(network, 1, [0]), layer 1 neither a Conv2d nor a Dense"):
            remove(net, 1, [0])


# 12.5: eight bits and back


@task("12.5")
def test_quantizing_rounds_halves_to_even(student):
    """The quotient x / scale is rounded, halves to the even integer; the zero point is added afterwards."""
    halves = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5], "float32")
    for scale in (1.0, 0.25, 8.0):
        for zero in (0, 1, -7):
            call = f"quantize({(halves * scale).tolist()}, scale={scale}, zero_point={zero})"
            got = student.compression.quantize(halves * np.float32(scale), scale, zero)
            hint = (
                "divide by the scale, round with np.rint (halves to even), add the zero point, and clip to -127 … 127"
            )
            expect.array(got, np.array([-2, -2, 0, 0, 2, 2, 4]) + zero, dtype="int8", call=call, hint=hint)
    got = student.compression.quantize(halves * 4, 4.0)
    expect.array(got, [-2, -2, 0, 0, 2, 2, 4], dtype="int8", call="quantize(x, 4.0): the zero point is 0 by default")


@task("12.5")
def test_quantizing_stays_within_127(student, rng):
    """Numbers outside the range become -127 or 127, however far away: -128 is not used, and nothing wraps around."""
    clip, wrap = "clip to -127 … 127: -128 is left out", "clip first, then convert to int8: the conversion wraps around"
    for far, hint in (([-128.0, -127.4, 127.4], clip), ([-300.0, 128.0, 300.0], wrap), ([-1e30, 1e30, np.inf], wrap)):
        call = f"quantize({far}, 1.0)"
        with fail_on_warning(call=call, hint=hint):
            got = student.compression.quantize(np.array(far, "float32"), 1.0)
        expect.array(got, 127 * np.sign(far), dtype="int8", call=call, hint=hint)
    zero, scale = int(rng.integers(-120, 120)), float(rng.uniform(0.01, 3))
    steps = rng.integers(-300, 300, 200)
    x = ((steps + rng.uniform(-0.45, 0.45, 200)) * scale).astype("float32")
    got = student.compression.quantize(x, scale, zero)
    call = f"quantize(200 numbers, scale={scale:.4f}, zero_point={zero})"
    expect.array(got, np.clip(steps + zero, -127, 127), dtype="int8", call=call, hint="add the zero point, then clip")


@task("12.5")
def test_dequantizing_does_not_wrap_round(student, rng):
    """Dequantising returns (q - zero_point) · scale in float32: 127 - (-127) is 254 steps, which int8 cannot hold."""
    q = np.arange(-127, 128).astype("int8")
    for zero in (np.int8(-127), np.int8(127), 0, -5):
        scale = float(rng.uniform(0.01, 2))
        got = student.compression.dequantize(q, scale, zero)
        call, hint = (
            f"dequantize(-127 … 127, scale={scale:.4f}, zero_point={zero})",
            "(q - zero_point) · scale: convert to float32 before you subtract; the result is also float32",
        )
        expect.array(got, (np.arange(-127, 128) - int(zero)) * scale, dtype="float32", call=call, hint=hint)
        back = student.compression.quantize(got, scale, zero)
        expect.array(back, q, dtype="int8", call=f"quantize of {call}", hint="quantising again is exact")
    expect.array(student.compression.dequantize(q[:3], 2.0), [-254, -252, -250], call="dequantize([-127, …], 2.0)")


@task("12.5")
def test_a_scale_for_each_channel(student, rng):
    """Scales and zero points of shape (C,) apply to the entries of the first axis, however many axes there are."""
    for shape in ((5,), (5, 5), (3, 4, 2, 5)):
        scales, zeros = rng.uniform(0.01, 2, shape[0]).astype("float32"), rng.integers(-100, 100, shape[0])
        zeros = zeros.astype("int8")
        steps = rng.integers(-127, 128, shape)
        x = np.empty(shape, "float32")
        for c in range(shape[0]):
            x[c] = (steps[c] - float(zeros[c]) + rng.uniform(-0.4, 0.4, shape[1:])) * scales[c]
        call = f"quantize(x of {shape}, scales ({shape[0]},), zero points ({shape[0]},))"
        got = student.compression.quantize(x, scales, zeros)
        expect.array(got, steps, dtype="int8", call=call, hint="give both the shape (C, 1, …)")
        got = student.compression.dequantize(steps.astype("int8"), scales, zeros)
        wanted = np.stack([(steps[c] - float(zeros[c])) * float(scales[c]) for c in range(shape[0])])
        hint = "the result is also float32; give both the shape (C, 1, …)"
        expect.array(got, wanted, dtype="float32", call=f"de{call}", hint=hint)


# 12.6: choosing the scale


SCALE_HINT = (
    "scale = (high - low) / 254, where 254 is 2 · LARGEST and the range is widened only to include 0; scale = 1 is "
    "only for a range below 1e-30"
)
ZERO_HINT = "zero_point = -127 - low / scale, rounded to an integer, so that `low` becomes -127"


@task("12.6")
def test_the_range_fills_255_steps(student, rng):
    """The scale is (high - low) / 254; low becomes -127 and high 127, to within the rounding of the zero point."""
    for low, high, scale, zero in ((-1.0, 1.0, 1 / 127, 0), (0.0, 254.0, 1.0, -127), (-254.0, 0.0, 1.0, 127)):
        call = f"choose_scale({low}, {high})"
        with expect.explain_errors(call, f"{SCALE_HINT}; {ZERO_HINT}"):
            got = student.compression.choose_scale(low, high)
        expect.equal(len(got), 2, call=f"the length of {call}")
        expect.array(got[0], scale, call=f"the scale of {call}", hint=SCALE_HINT)
        expect.array(got[1], zero, call=f"the zero point of {call}", hint=ZERO_HINT)
    for _ in range(20):
        low, high = -float(rng.uniform(0, 5)), float(rng.uniform(0.1, 5))
        scale, zero = student.compression.choose_scale(low, high)
        call = f"choose_scale({low:.4f}, {high:.4f})"
        expect.array(scale, (high - low) / 254, call=f"the scale of {call}", hint=SCALE_HINT)
        whole = zero == int(zero)
        expect.that(whole, call=f"the zero point of {call}", got=zero, expected="a whole number", hint=ZERO_HINT)
        expect.array(zero, -127 - low / scale, atol=0.5001, rtol=0, call=f"the zero point of {call}", hint=ZERO_HINT)


@task("12.6")
def test_the_range_includes_zero(student):
    """A range on one side of 0 is widened to include 0, so that 0.0 is a step: padding and ReLU produce many zeros."""
    for low, high, scale, zero in ((3.0, 127.0, 0.5, -127), (-508.0, -100.0, 2.0, 127), (5.0, 5.0, 5 / 254, -127)):
        got = student.compression.choose_scale(low, high)
        call, hint = f"choose_scale({low}, {high})", "the range goes from min(low, 0) to max(high, 0)"
        expect.array(got[0], scale, call=f"the scale of {call}", hint=hint)
        expect.array(got[1], zero, call=f"the zero point of {call}", hint=hint)


@task("12.6")
def test_a_range_without_width_has_scale_1(student):
    """If everything is 0, or nearly 0, the scale is 1; nan and infinity raise a ValueError."""
    for low, high in ((0.0, 0.0), (-1e-36, 1e-37)):
        call, hint = f"choose_scale({low}, {high})", "where the range, high - low, is below 1e-30 the scale is 1"
        with expect.explain_errors(call, hint):
            got = student.compression.choose_scale(low, high)
        scale, _ = got
        expect.array(scale, 1.0, call=f"the scale of {call}", hint=hint)
    for low, high in ((0.0, math.nan), (math.nan, 1.0), (0.0, math.inf), (-math.inf, 0.0)):
        with expect.raises(ValueError, call=f"choose_scale({low}, {high})"):
            student.compression.choose_scale(low, high)


@task("12.6")
def test_each_output_of_a_weight_has_its_scale(student, rng):
    """The largest magnitude of each output becomes ±127, the zero point is 0, and no error exceeds half a step."""
    for shape in ((4, 9), (5, 2, 3, 3), (1, 3)):
        spread = 10.0 ** rng.uniform(-3, 2, (shape[0],) + (1,) * (len(shape) - 1))
        weight = (rng.normal(size=shape) * spread).astype("float32")
        if shape[0] > 1:
            weight[1] = 0
        before = weight.copy()
        hint = "reshape to (outputs, the rest), and take each row's largest magnitude, axis=1; its range is ± that"
        with expect.explain_errors(f"quantize_weight(weight of {shape})", hint):
            got = student.compression.quantize_weight(weight)
        q, scales = got
        rows, call = np.abs(weight.reshape(shape[0], -1)).max(axis=1), f"quantize_weight(weight of {shape})"
        scale = np.where(rows > 0, rows / 127, 1)
        hint = "one scale per output: the largest magnitude of all its own weights / 127, or 1 if all are 0"
        expect.array(scales, scale, dtype="float32", rtol=1e-5, atol=0, call=f"the scales of {call}", hint=hint)
        expect.equal((q.shape, str(q.dtype)), (shape, "int8"), call=f"shape and dtype of the weight of {call}")
        tops = np.abs(q.reshape(shape[0], -1).astype(int)).max(axis=1)
        hint = "quantize the weight with the scale of its output"
        expect.array(tops, np.where(rows > 0, 127, 0), call=f"the largest magnitudes in {call}", hint=hint)
        error = np.abs(q * scale.reshape(spread.shape) - weight) / scale.reshape(spread.shape)
        got = f"an error of {error.max():.3f} steps"
        expect.that(bool((error < 0.501).all()), call=call, got=got, expected="at most half a step", hint=hint)
        expect.array(weight, before, rtol=0, atol=0, call=f"the weight after {call}")
    with expect.raises(ValueError, call="quantize_weight of a weight with a nan"):
        student.compression.quantize_weight(np.array([[1.0, math.nan], [1.0, 2.0]], "float32"))


# 12.7: exact products


@task("12.7")
@pytest.mark.parametrize("inner", [1, 7, 288, 1040, 1041, 2080, 2081, 5000])
def test_products_are_those_of_integers(student, rng, inner):
    """The product is exact for all integers from -127 to 127, whatever the inner size."""
    a, b = (rng.integers(-127, 128, shape).astype("int8") for shape in ((6, inner), (inner, 5)))
    call = f"integer_matmul of (6, {inner}) and ({inner}, 5)"
    hint = f"the pieces of at most 1040 inner positions cover 0 to {inner - 1} without a gap, and their products add up"
    with expect.explain_errors(
        call, f"cut a's last axis and b's first axis at the same places; the result is (6, 5): {hint}"
    ):
        got = student.compression.integer_matmul(a, b)
    expect.array(got, multiply_integers(a, b), dtype="int64", rtol=0, atol=0, call=call, hint=hint)


@task("12.7")
def test_products_are_exact_at_the_extremes(student, rng):
    """1041 times 127 · 127 is above 2²⁴ and odd. float32 cannot hold it, so such a sum is computed in pieces."""
    for inner in (1040, 1041, 2080, 2081, 3001):
        a, b = np.full((3, inner), 127, "int8"), np.full((inner, 2), 127, "int8")
        a[1] = -127
        a[2] = 127 - 2 * rng.integers(0, 2, inner)
        b[:, 1] = np.where(np.arange(inner) % 2, 127, -126)
        got = student.compression.integer_matmul(a, b)
        call = f"integer_matmul of (3, {inner}) and ({inner}, 2), numbers near ±127"
        hint = "float32 is exact up to 2²⁴: take at most 1040 inner positions at a time, and sum the pieces as integers"
        expect.array(got, multiply_integers(a, b), dtype="int64", rtol=0, atol=0, call=call, hint=hint)


@task("12.7")
def test_products_of_stacks_and_rows(student, rng):
    """The left side may be one row, (k,), or a stack of matrices, (…, n, k), and the inner size may be 0."""
    for shape in ((4,), (2, 3, 4), (2, 1, 5, 1500), (3, 0), (0, 4)):
        a = rng.integers(-127, 128, shape).astype("int8")
        b = rng.integers(-127, 128, (shape[-1], 3)).astype("int8")
        call, wanted = f"integer_matmul of {shape} and {b.shape}", multiply_integers(a, b)
        hint = f"the result has a's shape without its last axis, and b's columns: {wanted.shape}"
        with expect.explain_errors(call, hint):
            got = student.compression.integer_matmul(a, b)
        expect.array(got, wanted, dtype="int64", rtol=0, atol=0, call=call, hint=hint)


@task("12.7")
def test_other_numbers_are_refused(student):
    """Floats, wider integers, -128 and unequal inner sizes raise a ValueError."""
    good, matmul = np.ones((2, 2), "int8"), student.compression.integer_matmul
    for name, bad in (
        ("float32", good.astype("float32")),
        ("int32", good.astype("int32")),
        ("uint8", good.astype("uint8")),
        ("-128", good * np.int8(-128)),
        ("(3, 3)", np.ones((3, 3), "int8")),
    ):
        for a, b in ((bad, good), (good, bad)):
            with expect.raises(ValueError, call=f"integer_matmul with {name} and int8 of (2, 2)"):
                matmul(a, b)
    expect.array(matmul(good * 127, good * -127), np.full((2, 2), -32258), call="integer_matmul of 127 and -127")


# 12.8: layers of integers


@task("12.8")
@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 5), (3, 1100)])
def test_the_linear_op(student, rng, shape):
    """Inputs are quantised and multiplied as integers; both scales are applied, and then the bias is added."""
    case, steps = draw_int8_case(rng, (4, shape[-1])), rng.integers(-127, 128, shape)
    x = draw_inputs_near_steps(rng, steps, case)
    told = "Σ w sums each row of the weight (out, k), axis=1: one number for each output, as in the product (…, out)"
    with expect.explain_errors(f"linear_int8 of x {shape}, weight (4, {shape[-1]})", told):
        got = student.tensor.apply(student.compression.linear_int8, x, **case)
    wanted = (steps - int(case["zero_point"])) @ case["weight"].T.astype(np.int64) * compute_unit(case) + case["bias"]
    call, hint = (
        f"linear_int8 of x {shape}, weight (4, {shape[-1]})",
        "scale · weight_scale · (Σ q w - zero_point Σ w) + bias",
    )
    expect.array(got, wanted, dtype="float32", rtol=1e-5, atol=1e-4, call=call, hint=hint)


@task("12.8")
def test_the_zero_point_comes_off_exactly(student):
    """The difference of products that nearly cancel is exact, even with 1041 inputs of which only one is not 0."""
    for inner, zero in ((1041, 127), (1041, -127), (4001, 125)):
        case = {
            "weight": np.full((2, inner), 127, "int8"),
            "weight_scale": np.ones(2, "float32"),
            "bias": np.array([0.0, 0.5], "float32"),
            "scale": np.float32(1),
            "zero_point": np.int8(zero),
        }
        x = np.zeros((1, inner), "float32")
        x[0, inner // 2] = -np.sign(zero)
        got = student.tensor.apply(student.compression.linear_int8, x, **case)
        call = f"linear_int8 of {inner - 1} zeros and {x.sum():.0f}, zero_point={zero}, weights of 127, bias (0, 0.5)"
        hint = "subtract zero_point · Σ w from the product while both are integers"
        expect.array(got, x.sum() * 127 + [[0.0, 0.5]], rtol=0, atol=0, call=call, hint=hint)


CONVOLUTIONS = {
    "plain": ((2, 1, 5, 5), (3, 1, 3, 3), (1, 1), (0, 0)),
    "padded": ((1, 3, 6, 7), (2, 3, 3, 2), (1, 1), (1, 2)),
    "strided": ((2, 2, 7, 5), (4, 2, 3, 3), (2, 1), (1, 1)),
    "many channels": ((1, 130, 4, 4), (3, 130, 3, 3), (1, 1), (1, 0)),
}


@task("12.8")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_the_convolution_op(student, rng, name):
    """The convolution computes with integers; padding represents 0.0, which is the zero point in int8."""
    shape, kernels, stride, padding = CONVOLUTIONS[name]
    case, steps = draw_int8_case(rng, kernels), rng.integers(-127, 128, shape)
    x = draw_inputs_near_steps(rng, steps, case)
    told = (
        "each kernel is a row of (out, C · kh · kw), each window of the padded, quantised images a column; im2col pads "
        "no more; the product, transposed, is (pixels, out); output_sizes takes the sizes of x, kernel, stride, padding"
    )
    op = student.compression.conv2d_int8
    with expect.explain_errors(f"conv2d_int8 of x {shape}, weight {kernels}, stride {stride}, padding {padding}", told):
        got = student.tensor.apply(op, x, **case, stride=stride, padding=padding)
    sums = cross_correlate(steps - int(case["zero_point"]), case["weight"].astype(np.int64), stride, padding)
    wanted = sums * compute_unit(case)[:, None, None] + case["bias"][:, None, None]
    call = f"conv2d_int8 of x {shape}, weight {kernels}, stride {stride}, padding {padding}"
    hint = "as in the linear op: each kernel is a row, each window a column, and the transposed product is rescaled"
    hint = "pad before quantising, or with the zero point" if any(padding) else hint
    expect.array(got, wanted, dtype="float32", rtol=1e-5, atol=1e-4, call=call, hint=hint)


@task("12.8")
def test_the_ops_refuse_what_does_not_fit(student, rng):
    """Inputs that do not fit the weight raise a ValueError that states their shape; the arguments are not changed."""
    linear, conv = student.compression.linear_int8, student.compression.conv2d_int8
    case, window = draw_int8_case(rng, (4, 3)), {"stride": (1, 1), "padding": (0, 0)}
    for shape in ((2, 4), (3, 1), ()):
        with expect.raises(ValueError, call=f"linear_int8 of x {shape}, weight (4, 3)", mentions=(str(shape),)):
            student.tensor.apply(linear, np.ones(shape, "float32"), **case)
    kernels = draw_int8_case(rng, (2, 3, 2, 2))
    for shape in ((1, 2, 4, 4), (3, 4, 4), (1, 3, 1, 4)):
        with expect.raises(ValueError, call=f"conv2d_int8 of x {shape}, weight (2, 3, 2, 2)", mentions=(str(shape),)):
            student.tensor.apply(conv, np.ones(shape, "float32"), **kernels, **window)
    x = student.tensor.Tensor(rng.normal(size=(2, 3)).astype("float32"))
    before = values(x)
    expect.equal(student.tensor.apply(linear, x, **case).shape, (2, 4), call="the shape of linear_int8 of x (2, 3)")
    expect.array(x, before, rtol=0, atol=0, call="x after linear_int8")


# 12.9: an int8 layer


@task("12.9")
def test_a_quantized_layer_has_buffers_only(student, rng):
    """The five buffers are weight, weight_scale, bias, scale and zero_point; there are no parameters."""
    for bias in (True, False):
        layer = student.spatial.Conv2d(3, 4, (2, 3), bias=bias, rng=student.rng(4))
        if bias:
            layer.bias.data = rng.normal(size=4).astype("float32")
        call = f"QuantizedLayer(Conv2d(3, 4, (2, 3), bias={bias}), -1.0, 3.0)"
        hint = (
            "without a bias, the buffer is one 0 per output, and with one its data; the others come from two functions"
        )
        with expect.explain_errors(call, hint):
            small = student.compression.QuantizedLayer(layer, -1.0, 3.0)
        expect.equal(small.parameters(), [], call=f"{call}.parameters()")
        got = [(str(buffer.dtype), buffer.shape) for buffer in small.buffers()]
        wanted = [("int8", (4, 3, 2, 3)), ("float32", (4,)), ("float32", (4,)), ("float32", ()), ("int8", ())]
        hint = (
            "quantize_weight returns weight and weight_scale; bias is float32; zero_point, int8, is single like scale"
        )
        expect.equal(got, wanted, call=f"dtypes and shapes of {call}.buffers()", hint=hint)
        weight, scales, its_bias, scale, zero = (values(buffer) for buffer in small.buffers())
        rows = np.abs(values(layer.weight).reshape(4, -1)).max(axis=1)
        expect.array(scales, rows / 127, call=f"weight_scale of {call}", hint="quantize_weight(the layer's weight)")
        error = np.abs(weight * scales[:, None, None, None] - values(layer.weight)).max(axis=(1, 2, 3))
        expect.that(bool((error < 0.501 * scales).all()), call=f"weight of {call}", got=error, expected="half a step")
        hint = "the layer's own bias, or zeros if it is None"
        expect.array(its_bias, values(layer.bias) if bias else np.zeros(4), call=f"bias of {call}", hint=hint)
        hint = "choose_scale(low, high) returns (scale, zero_point)"
        expect.array(scale, 4 / 254, call=f"scale of {call}", hint=hint)
        expect.array(zero, -64, atol=1, call=f"zero_point of {call}", hint=hint)


@task("12.9")
def test_a_quantized_layer_answers_as_its_ops(student, rng):
    """A layer returns, to within a step, what a Dense or Conv2d with its weights, strides and padding returns."""
    dense = student.layers.Dense(6, 4, rng=student.rng(1))
    conv = student.spatial.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), rng=student.rng(2))
    for layer, shape in ((dense, (5, 6)), (dense, (2, 3, 6)), (conv, (2, 2, 6, 5))):
        x = rng.uniform(-1, 2, shape).astype("float32")
        small = student.compression.QuantizedLayer(layer, -1.0, 2.0)
        weight, scales, bias, scale, zero = (values(buffer) for buffer in small.buffers())
        steps = np.clip(np.rint(x / scale) + zero, -127, 127).astype(int) - int(zero)
        if layer is conv:
            sums = cross_correlate(steps, weight.astype(np.int64), (2, 1), (1, 0))
            wanted = sums * (scale * scales)[:, None, None] + bias[:, None, None]
        else:
            wanted = steps @ weight.T.astype(np.int64) * (scale * scales) + bias
        call = f"QuantizedLayer of a {'Conv2d' if layer is conv else 'Dense'} for x {shape}"
        hint = (
            "a Conv2d's op is conv2d_int8, with layer.attributes too, and a Dense's is linear_int8; it gets all buffers"
        )
        with expect.explain_errors(call, hint):
            got = small(student.tensor.Tensor(x))
        tolerance = 1e-5 + 1.01 * float(scale) * float((np.abs(weight).max() * scales).max())  # one step of one input
        expect.array(got, wanted, dtype="float32", rtol=0, atol=tolerance, call=call, hint=hint)
        off = np.abs(values(got) - wanted) > 1e-4
        expect.that(off.mean() < 0.05, call=call, got=f"{off.sum()} of {off.size} differ", expected="nearly none")


@task("12.9")
def test_what_a_layer_knows_is_in_its_buffers(student, rng):
    """Copying all buffers into a layer with different weights makes the two equal: nothing is stored elsewhere."""
    x = student.tensor.Tensor(rng.normal(size=(4, 6)).astype("float32"))
    made = [
        student.compression.QuantizedLayer(student.layers.Dense(6, 3, rng=student.rng(seed)), -high, high)
        for seed, high in ((1, 3.0), (2, 9.0))
    ]
    wanted, other = (values(layer(x)) for layer in made)
    expect.that(
        not np.allclose(wanted, other),
        call="layers with different weights",
        got=other,
        expected="different outputs",
    )
    for mine, its in zip(made[1].buffers(), made[0].buffers(), strict=True):
        mine.data = values(its)
    call, hint = (
        "a QuantizedLayer with another one's buffers",
        "compute from the buffers in forward, and keep no copies",
    )
    expect.array(made[1](x), wanted, rtol=1e-6, call=call, hint=hint)


# 12.10: an entire network


@task("12.10")
@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_convolution_normalises(student, rng, bias):
    """One convolution with a new weight and bias computes what both layers computed in evaluation mode."""
    conv = student.spatial.Conv2d(2, 5, 3, stride=2, padding=1, bias=bias, rng=student.rng(1))
    norm = student.spatial.BatchNorm2d(5, eps=0.01)
    randomize_layers(rng, student.layers.Sequential(conv, norm))
    tensors = [*conv.parameters(), *norm.parameters(), norm.running_mean, norm.running_var]
    before = [values(tensor) for tensor in tensors]
    x = rng.normal(size=(2, 2, 7, 6))
    told = "one factor for each output channel, `spread` along the kernels' first axis; without an old bias, it is 0"
    with expect.explain_errors(f"fold_batch_norm(Conv2d(2, 5, 3, …, bias={bias}), BatchNorm2d(5))", told):
        folded = student.compression.fold_batch_norm(conv, norm)
    wanted = apply_batch_norm(apply_conv(x, conv, (2, 2), (1, 1)), norm)
    call = f"fold_batch_norm(Conv2d(2, 5, 3, stride=2, padding=1, bias={bias}), BatchNorm2d(5)) for images"
    hint = "with f = norm weight / √(var + eps): kernel · f, and norm bias + (old bias - mean) · f"
    expect.array(predict_array(student, folded, x), wanted, rtol=1e-4, atol=1e-4, call=call, hint=hint)
    expect.equal([p.shape for p in folded.parameters()], [(5, 2, 3, 3), (5,)], call="the shapes of its parameters")
    for tensor, value in zip(tensors, before, strict=True):
        expect.array(tensor, value, rtol=0, atol=0, call="the two layers after folding", hint="make a new layer")


FOLD_HINT = (
    "fold a BatchNorm2d only if there is a layer right before it, the last one in the list, and that is a Conv2d; the "
    "folded layer takes its place. Each Conv2d and Dense, and no other layer, becomes a QuantizedLayer"
)


@task("12.10")
def test_each_layer_is_calibrated_on_its_own_inputs(student, rng):
    """A layer's range is the range of its inputs when the images go through the float network in evaluation mode."""
    net, x = make_image_network(student, rng), rng.normal(1, 2, size=(16, 3, 12, 12))
    student.dense.set_training(net, True)
    with expect.explain_errors("quantize_network(a network of 3 convolutions and a Dense, 16 images)", FOLD_HINT):
        small = student.compression.quantize_network(net, student.tensor.Tensor(x.astype("float32")))
    student.dense.set_training(net, False)
    _, inputs = compute_logits(net, x)
    buffers = [values(buffer) for buffer in small.buffers()]
    hint = "every Conv2d and Dense became a QuantizedLayer with 5 buffers, and every norm was folded"
    expect.equal(len(buffers), 20, call="the number of buffers of 4 quantised layers", hint=hint)
    for place, its in enumerate(inputs):
        low, high = min(its.min(), 0), max(its.max(), 0)
        call = f"of quantised layer {place}, whose inputs go from {its.min():.3f} to {its.max():.3f}"
        hint = "use the range before a layer, not after it; send the images through the folded float layers one by one"
        scale, zero = buffers[5 * place + 3], buffers[5 * place + 4]
        expect.array(scale, (high - low) / 254, rtol=1e-3, call=f"the scale {call}", hint=hint)
        expect.array(zero, -127 - 254 * low / (high - low), rtol=0, atol=1, call=f"the zero point {call}", hint=hint)


@task("12.10")
def test_a_network_in_int8_is_small_and_agrees(student, rng):
    """An int8 network has at most 0.27 of the bytes, and its logits are within a few per cent of the original's."""
    net, x = make_image_network(student, rng), rng.normal(size=(24, 3, 12, 12))
    exact, _ = compute_logits(net, x)
    small = student.compression.quantize_network(net, student.tensor.Tensor(x.astype("float32")))
    size = [sum(values(t).nbytes for t in [*one.parameters(), *one.buffers()]) for one in (net, small)]
    call = "quantize_network(a network of 3 convolutions and a Dense, 24 images)"
    got = f"{size[1]:,} of {size[0]:,} bytes: {size[1] / size[0]:.3f}"
    expect.that(size[1] <= 0.27 * size[0], call=call, got=got, expected="at most 0.27", hint="fold, and keep int8")
    for images in (x, rng.normal(size=(24, 3, 12, 12))):
        exact, _ = compute_logits(net, images)
        error = np.abs(predict_array(student, small, images) - exact)
        got = f"a mean error of {error.mean() / exact.std():.3f} standard deviations of the exact logits"
        close, hint = (
            bool(error.mean() < 0.05 * exact.std()),
            "calibrate each layer on its inputs, not on its outputs",
        )
        expect.that(close, call=f"the logits of {call}", got=got, expected="below 0.05", hint=hint)


@task("12.10")
def test_the_float_network_stays_as_it_is(student, rng):
    """Quantising changes no parameters, running statistics or layer modes, and records nothing."""
    net, x = make_image_network(student, rng), rng.normal(size=(6, 3, 12, 12)).astype("float32")
    net[1].training = True
    tensors = [*net.parameters(), *net.buffers()]
    before = [values(tensor) for tensor in tensors]
    student.autograd.require_grad(net.parameters())
    with student.autograd.Tape():
        small = student.compression.quantize_network(net, student.tensor.Tensor(x))
        got = small(student.tensor.Tensor(x))
    expect.equal(got.shape, (6, 4), call="the shape of a quantised network's logits")
    expect.equal(got.requires_grad, False, call="requires_grad of what a quantised network returns")
    for tensor, value in zip(tensors, before, strict=True):
        expect.array(tensor, value, rtol=0, atol=0, call="a tensor of the network after quantize_network")
    modes = (net[1].training, net[4][1].training)
    expect.equal(modes, (True, False), call="the modes of two norms after it", hint="change the mode of copies")


@task("12.10")
@pytest.mark.parametrize("first", [True, False], ids=["norm first", "conv first"])
def test_a_norm_that_follows_no_convolution_stays(student, rng, first):
    """A BatchNorm2d at the beginning or after a pooling layer is kept, in evaluation mode, and so is Dropout."""
    spatial = student.spatial
    conv, last = spatial.Conv2d(2, 4, 3, rng=student.rng(1)), spatial.Conv2d(4, 3, 1, rng=student.rng(2))
    norms = [spatial.BatchNorm2d(2), spatial.BatchNorm2d(4)]
    dropout = student.dense.Dropout(0.5, rng=student.rng(3))
    net = student.layers.Sequential(*norms[: int(first)], conv, spatial.MaxPool2d(2), norms[1], dropout, last)
    randomize_layers(rng, net)
    x = rng.normal(size=(8, 2, 8, 8))
    maps = apply_conv(apply_batch_norm(x, norms[0]) if first else x, conv, (1, 1), (0, 0))
    maps = maps.reshape(8, 4, 3, 2, 3, 2).max(axis=(3, 5))
    wanted = apply_conv(apply_batch_norm(maps, norms[1]), last, (1, 1), (0, 0))
    student.dense.set_training(net, True)
    with expect.explain_errors(f"quantize_network({'norm, ' * first}conv, pool, norm, dropout, conv)", FOLD_HINT):
        small = student.compression.quantize_network(net, student.tensor.Tensor(x.astype("float32")))
    error = np.abs(predict_array(student, small, x) - wanted).mean() / wanted.std()
    got = f"a mean error of {error:.3f} standard deviations of the exact output"
    call = f"{'norm, ' * first}conv, pool, norm, dropout, conv in int8: its output"
    expect.that(error < 0.05, call=call, got=got, expected="below 0.05", hint="fold only right after a Conv2d")
    wanted = [(2,), (2,)] * first + [(4,), (4,)]
    expect.equal([p.shape for p in small.parameters()], wanted, call="the parameters of the norms that stay")


# 12.11: learning from a teacher


DIVERGENCE = (
    "alpha · T² · the mean over rows (not elements) of Σ p · log(p / q), with no T² elsewhere; p, the teacher's, and q "
    "are softmaxes of logits / T"
)
SUM = f"{DIVERGENCE}; plus (1 - alpha) · cross-entropy"


@task("12.11")
def test_the_distillation_loss_at_its_ends(student, rng):
    """With alpha 0 the loss is the cross-entropy; with alpha 1 and equal distributions it is 0; logits may be huge."""
    logits, targets = rng.normal(size=(6, 3)).astype("float32"), rng.integers(0, 3, 6)
    rows = (
        "each row is a distribution: largest, sum of exponentials and sum over classes are along axis 1; the first two "
    )
    rows += "keep it (keepdims), so that they broadcast"
    with expect.explain_errors("distillation_loss with alpha=0", rows):
        got = run_distillation_loss(student, logits, -logits, targets, alpha=0.0)
    wanted = derive_distillation_loss(logits, logits, targets, 1.0, 0.0)
    hint = "only (1 - alpha) · cross-entropy remains, of the logits themselves: no temperature"
    expect.array(got, wanted, call="distillation_loss with alpha=0", hint=hint)
    got = run_distillation_loss(student, logits, -logits, targets, temperature=2.0, alpha=1.0)
    wanted = derive_distillation_loss(logits, -logits, targets, 2.0, 1.0)
    call, hint = "distillation_loss with alpha=1, temperature=2", f"only the divergence remains: {DIVERGENCE}"
    expect.array(got, wanted, rtol=1e-4, call=call, hint=hint)
    got = run_distillation_loss(student, logits + 5, logits, targets, alpha=1.0)
    expect.array(got, 0.0, atol=1e-5, call="distillation_loss of logits that differ by a constant, alpha=1")
    huge = np.array([[2000.0, 0.0, -2000.0], [-5000.0, -5000.0, -5000.0]], "float32")
    call, hint = "distillation_loss of huge logits", "subtract each row's largest before exp, as log_softmax does"
    with fail_on_warning(call=call, hint=hint):
        got = run_distillation_loss(student, huge, huge[:, ::-1].copy(), np.array([0, 1]), temperature=2.0, alpha=0.5)
    expect.that(math.isfinite(float(values(got))), call=call, got=float(values(got)), expected="a number", hint=hint)
    expect.array(got, (0.5 * 4 * 2000 + 0.5 * math.log(3)) / 2, rtol=1e-4, call=call, hint=DIVERGENCE)


@task("12.11")
def test_the_distillation_loss(student, rng):
    """The loss is alpha · T² · KL(teacher, student) at T plus (1 - alpha) · cross-entropy, as means over rows."""
    for dtype in ("float32", "float64"):
        mine, its = (rng.normal(scale=3, size=(5, 4)).astype(dtype) for _ in range(2))
        targets, heat, alpha = rng.integers(0, 4, 5), float(rng.uniform(0.5, 6)), float(rng.uniform(0.1, 0.9))
        got = run_distillation_loss(student, mine, its, targets, temperature=heat, alpha=alpha)
        call = f"distillation_loss({dtype} logits of (5, 4), temperature={heat:.3f}, alpha={alpha:.3f})"
        wanted = derive_distillation_loss(mine, its, targets, heat, alpha)
        expect.array(got, wanted, dtype=dtype, rtol=1e-4, call=call, hint=SUM)
    got = run_distillation_loss(student, mine, its, targets)
    wanted, call = (
        derive_distillation_loss(mine, its, targets, 4.0, 0.9),
        "distillation_loss with T and alpha by default",
    )
    expect.array(got, wanted, call=call, hint=SUM)


@task("12.11")
def test_only_the_student_learns(student, rng):
    """The gradient is T · alpha · (q - p) / n plus that of the cross-entropy; the teacher gets none."""
    mine, its = (student.tensor.Tensor(rng.normal(scale=2, size=(5, 4))) for _ in range(2))
    targets, heat, alpha = rng.integers(0, 4, 5), 3.0, 0.7
    student.autograd.require_grad([mine, its])
    with student.autograd.Tape():
        loss = student.compression.distillation_loss(mine, its, student.tensor.Tensor(targets), heat, alpha)
    loss.backward()
    p, q, hard = (softmax_rows(logits) for logits in (values(its) / heat, values(mine) / heat, values(mine)))
    wanted = alpha * heat * (q - p) / 5 + (1 - alpha) * (hard - np.eye(4)[targets]) / 5
    call = "the gradient of the logits in distillation_loss, T=3, alpha=0.7"
    expect.that(mine.grad is not None, call=call, got="None", expected="a gradient", hint="compute with the tensors")
    hint = "alpha · T · (q - p) / n + (1 - alpha) · (softmax - one-hot) / n; use tensors for what depends on them"
    expect.array(mine.grad, wanted, rtol=1e-6, atol=1e-9, call=call, hint=hint)
    expect.that(its.grad is None, call="the teacher's gradient", got="one", expected="None", hint="use its .data")


@task("12.11")
def test_temperatures_and_shares_out_of_range(student):
    """A temperature that is not above 0, or an alpha outside 0 to 1, raises a ValueError that names the argument."""
    logits, targets = np.zeros((2, 3), "float32"), np.array([0, 1])
    for options, name in (
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"alpha": -0.1}, "alpha"),
        ({"alpha": 1.1}, "alpha"),
    ):
        with expect.raises(ValueError, call=f"distillation_loss(…, {options})", mentions=(name,)):
            run_distillation_loss(student, logits, logits, targets, **options)
    got = run_distillation_loss(student, logits, logits, targets, temperature=0.01, alpha=0.5)
    expect.array(got, 0.5 * math.log(3), call="distillation_loss of zeros, temperature=0.01, alpha=0.5")


# helpers of the tests above


@contextmanager
def fail_on_warning(*, call, hint):
    """Turn a NumPy warning, which is an error here, into a failure with a hint."""
    try:
        yield
    except Exception as error:
        if expect.get_exception_type_name(error) != "RuntimeWarning":
            raise
        got = f"RuntimeWarning: {error}"
        raise expect.Mismatch(call=call, got=got, expected="no warning", hint=hint) from error


def mask_smallest(weight, sparsity):
    """Return a mask that is False at the smallest magnitudes, using Python's sort; in a tie the earlier one goes."""
    flat = [abs(float(value)) for value in weight.ravel()]
    mask = np.ones(len(flat), bool)
    for place in sorted(range(len(flat)), key=lambda i: (flat[i], i))[: round(sparsity * len(flat))]:
        mask[place] = False
    return mask.reshape(weight.shape)


def make_pruning_trainer(student, network, optimizer, **schedule):
    """Make a PruningTrainer with the mean squared error, which prunes all matrices of a network."""
    weights = student.compression.list_weights(network)
    trainer, criterion = student.compression.PruningTrainer, student.layers.MSELoss()
    return trainer(network, criterion, optimizer, weights=weights, metrics={}, **schedule)


def join_matrices(network):
    """Join all matrices of a network into one row of numbers."""
    return np.concatenate([values(p).ravel() for p in network.parameters() if len(p.shape) > 1])


def randomize_layers(rng, network):
    """Set evaluation mode, and set every parameter and running statistic to random values, as after training."""
    for layer in network:
        if hasattr(layer, "running_var"):
            layer.training, shape = False, values(layer.running_var).shape
            layer.running_var.data = rng.uniform(0.3, 3, shape).astype("float32")
            layer.running_mean.data = rng.normal(size=shape).astype("float32")
            layer.weight.data = rng.uniform(0.5, 1.5, shape).astype("float32")
        if getattr(layer, "bias", None) is not None:
            layer.bias.data = rng.normal(size=values(layer.bias).shape).astype("float32")


def predict_array(student, network, x):
    """Run a student's network on an array and return its output as an array."""
    return values(network(student.tensor.Tensor(x.astype("float32"))))


def cross_correlate(x, weight, stride, padding):
    """Return the cross-correlation of images and kernels, position by position, in their own number type."""
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    rows, columns = ((x.shape[2 + i] - weight.shape[2 + i]) // stride[i] + 1 for i in (0, 1))
    total = np.zeros((len(x), len(weight), rows, columns), x.dtype)
    for i, j in np.ndindex(*weight.shape[2:]):
        seen = x[:, :, i : i + stride[0] * rows : stride[0], j : j + stride[1] * columns : stride[1]]
        total += np.einsum("nchw,oc->nohw", seen, weight[:, :, i, j])
    return total


def apply_conv(x, conv, stride, padding):
    """Compute in float64 what a student's Conv2d should return."""
    maps = cross_correlate(np.asarray(x, "float64"), values(conv.weight).astype("float64"), stride, padding)
    return maps if conv.bias is None else maps + values(conv.bias).astype("float64")[:, None, None]


def apply_batch_norm(x, norm):
    """Compute in float64 what a student's BatchNorm2d should return in evaluation mode."""
    weight, bias, mean, var = (
        values(tensor).astype("float64")[:, None, None]
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    return (x - mean) / np.sqrt(var + float(norm.eps)) * weight + bias


def make_image_network(student, rng):
    """Make a network of convolutions with norms in nested Sequentials, pooling and a Dense, as if it were trained."""
    spatial, relu = student.spatial, student.activations.ReLU
    conv = [
        spatial.Conv2d(n, m, 3, padding=1, bias=n == 16, rng=student.rng(n)) for n, m in ((3, 16), (16, 32), (32, 32))
    ]
    inner = student.layers.Sequential(conv[1], spatial.BatchNorm2d(32), relu(), spatial.MaxPool2d(2))
    deep = student.layers.Sequential(conv[2], spatial.BatchNorm2d(32), relu())
    head = student.layers.Dense(32 * 9, 4, rng=student.rng(9))
    first = (conv[0], spatial.BatchNorm2d(16), relu(), spatial.MaxPool2d(2))
    for part in (student.layers.Sequential(*first), inner, deep):
        randomize_layers(rng, part)
    return student.layers.Sequential(*first, inner, deep, spatial.Flatten(), head)


def compute_logits(net, x):
    """Return in float64 the logits of `make_image_network`, and the inputs of its four layers."""
    inputs = []
    for part in ((net[0], net[1]), (net[4][0], net[4][1]), (net[5][0], net[5][1])):
        inputs.append(x)
        x = np.maximum(apply_batch_norm(apply_conv(x, part[0], (1, 1), (1, 1)), part[1]), 0)
        if x.shape[2] > 3:
            x = x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).max(axis=(3, 5))
    inputs.append(x.reshape(len(x), -1))
    return inputs[-1] @ values(net[7].weight).astype("float64").T + values(net[7].bias), inputs


def multiply_integers(a, b):
    """Multiply matrices as 64-bit integers."""
    return a.astype(np.int64) @ b.astype(np.int64)


def draw_int8_case(rng, shape):
    """Draw the attributes of an int8 op for a weight of this shape."""
    return {
        "weight": rng.integers(-127, 128, shape).astype("int8"),
        "weight_scale": rng.uniform(0.001, 0.02, shape[0]).astype("float32"),
        "bias": rng.normal(size=shape[0]).astype("float32"),
        "scale": np.float32(rng.uniform(0.001, 0.02)),
        "zero_point": np.int8(rng.choice([-1, 1]) * rng.integers(20, 120)),
    }


def draw_inputs_near_steps(rng, steps, case):
    """Draw inputs that are quantised to these steps; none is near the midpoint between two steps."""
    exact = (steps - float(case["zero_point"]) + rng.uniform(-0.4, 0.4, steps.shape)) * float(case["scale"])
    return exact.astype("float32")


def compute_unit(case):
    """Return, in float64, the value of one step of an input times one step of each output's weights."""
    return float(case["scale"]) * case["weight_scale"].astype("float64")


def run_distillation_loss(student, mine, its, targets, **options):
    """Call the student's distillation_loss with tensors made from arrays."""
    return student.compression.distillation_loss(*(student.tensor.Tensor(x) for x in (mine, its, targets)), **options)


def softmax_rows(logits):
    """Return the softmax of each row in float64."""
    powers = np.exp(logits.astype("float64") - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def derive_distillation_loss(mine, its, targets, heat, alpha):
    """Compute the distillation loss from its formula in float64."""
    p, q = softmax_rows(its / heat), softmax_rows(mine / heat)
    hard = -np.log(softmax_rows(mine)[np.arange(len(targets)), targets]).mean()
    return alpha * heat**2 * (p * np.log(p / q)).sum(axis=1).mean() + (1 - alpha) * hard
