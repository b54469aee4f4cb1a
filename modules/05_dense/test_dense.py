"""The tests of module 05: where weights start, MLP, dropout and its modes, cross-entropy, mini-batches and epochs."""

import math

import numpy as np
import pytest

from grading.testing import check_gradient, expect, task, traced, values

SHAPES = [(500, 300), (300, 500), (60, 20, 5, 5)]

# 5.1 and 5.2: where weights start


@task("5.1")
def test_fans(student, rng):
    """fan_in is the second size and fan_out the first, each times the product of any further sizes."""
    n_out, n_in, height, width = (int(size) for size in rng.integers(2, 9, 4))
    for shape, wanted in (
        ((n_out, n_in), (n_in, n_out)),
        ((n_out, n_in, height), (n_in * height, n_out * height)),
        ((n_out, n_in, height, width), (n_in * height * width, n_out * height * width)),
        ((1, 784), (784, 1)),
    ):
        expect.equal(student.dense.fans(shape), wanted, call=f"fans({shape})", hint="a weight's shape is (out, in, …)")


@task("5.1")
def test_fans_need_two_axes(student):
    """Two axes are enough; a shape with fewer axes raises a ValueError that states the shape."""
    expect.equal(student.dense.fans((2, 3)), (3, 2), call="fans((2, 3))")
    for shape in ((), (7,)):
        with expect.raises(ValueError, mentions=(str(shape),), call=f"fans({shape})"):
            student.dense.fans(shape)


@task("5.1")
@pytest.mark.parametrize("shape", SHAPES)
def test_xavier_is_uniform_within_its_bound(student, rng, shape):
    """Xavier's weights are spread evenly over the range from -b to b, where b is √(6 / (fan_in + fan_out))."""
    weight = draw_weights(student, "xavier_uniform", shape, rng)
    bound, call = math.sqrt(6 / sum(compute_fans(shape))), f"xavier_uniform(rng, {shape})"
    largest, hint = float(abs(weight).max()), "both fans count: uniform between -b and b, b = √(6 / (fan_in + fan_out))"
    inside = 0.99 * bound < largest <= bound * 1.000001
    expect.that(inside, call=f"the largest |value| of {call}", got=largest, expected=f"just under {bound}", hint=hint)
    shares = np.histogram(weight, bins=4, range=(-bound, bound))[0] / weight.size
    expect.array(shares, np.full(4, 0.25), call=f"the fractions of {call} in the quarters of its range", atol=0.02)
    call = f"the variance of {call}, times (fan_in + fan_out) / 2"
    expect.array(weight.var() * sum(compute_fans(shape)) / 2, 1.0, call=call, rtol=0.03)


@task("5.2")
@pytest.mark.parametrize("shape", SHAPES)
def test_he_is_normal_with_variance_2_over_fan_in(student, rng, shape):
    """He's weights come from a normal distribution with mean 0 and variance 2 / fan_in."""
    weight, call = draw_weights(student, "he_normal", shape, rng), f"he_normal(rng, {shape})"
    scaled = weight / math.sqrt(2 / compute_fans(shape)[0])
    expect.array(scaled.mean(), 0.0, call=f"the mean of {call}, in standard deviations", atol=0.03)
    hint = "the variance is 2 / fan_in, and rng.normal takes its square root"
    expect.array(scaled.var(), 1.0, call=f"the variance of {call}, times fan_in / 2", rtol=0.06, hint=hint)
    shares = [float((abs(scaled) > bound).mean()) for bound in (1, 2, 3)]
    wanted = [math.erfc(bound / math.sqrt(2)) for bound in (1, 2, 3)]
    expect.array(
        shares, wanted, call=f"the fractions of {call} beyond 1, 2 and 3 standard deviations", atol=0.015, hint=hint
    )
    beyond = shares[2] > 0.001
    call = f"the fraction of {call} beyond 3 standard deviations"
    expect.that(
        beyond, call=call, got=shares[2], expected="0.0027, as in a normal distribution", hint="draw with rng.normal"
    )


both_schemes = pytest.mark.parametrize(
    "name",
    [
        pytest.param("xavier_uniform", marks=task("5.1"), id="xavier"),
        pytest.param("he_normal", marks=task("5.2"), id="he"),
    ],
)


@both_schemes
def test_weights_come_from_the_generator_alone(student, name):
    """Equal seeds give equal float32 weights; a different seed, or a second draw from the generator, gives others."""
    draw, generator = getattr(student.dense, name), student.rng(3)
    first, second = (expect.pull(draw(generator, (4, 6)), call=f"{name}(rng, (4, 6))") for _ in range(2))
    again, other = draw(student.rng(3), (4, 6)), draw(student.rng(4), (4, 6))
    expect.array(again, first, rtol=0, atol=0, dtype="float32", call=f"{name}(rng, (4, 6)) from the same seed")
    for what, weight in (("the same generator again", second), ("a different seed", other)):
        differs = not np.allclose(expect.pull(weight, call=f"{name}(rng, (4, 6))"), first)
        call = f"{name}(rng, (4, 6)) from {what}"
        expect.that(differs, call=call, got="the same values", expected="different values", hint="draw only from rng")


# 5.3: MLP


@task("5.3")
def test_mlp_has_an_activation_between_its_layers(student, rng):
    """MLP((4, 5, 3, 2)) is Dense, ReLU, Dense, ReLU, Dense, with no ReLU at the end, and returns their output."""
    network, x = student.dense.MLP((4, 5, 3, 2), rng=student.rng(1)), rng.normal(size=(6, 4))
    count, hint = len(network), "no activation after the last layer"
    hint = "it contains a single item, a list: pass `*layers` to super().__init__" if count == 1 else hint
    expect.equal(count, 5, call="len(MLP((4, 5, 3, 2)))", hint=hint)
    shapes = [parameter.shape for parameter in network.parameters()]
    wanted = [(5, 4), (5,), (3, 5), (3,), (2, 3), (2,)]
    expect.equal(shapes, wanted, call="the shapes of MLP((4, 5, 3, 2)).parameters()")
    for parameter, shape in zip(network.parameters(), wanted, strict=True):
        expect.equal(str(parameter.dtype), "float32", call="the dtype of each of MLP((4, 5, 3, 2)).parameters()")
        parameter.data = rng.normal(size=shape)
    got = network(student.tensor.Tensor(x))
    for place in (0, 2, 4):
        x = x @ values(network[place].weight).T + values(network[place].bias)
        x = x if place == 4 else np.maximum(x, 0)
    expect.array(got, x, call="MLP((4, 5, 3, 2))(x), x of shape (6, 4)", hint="the activation is ReLU by default")


@task("5.3")
def test_mlp_takes_another_activation(student, rng):
    """MLP creates a new activation of the given kind for each hidden layer."""
    network = student.dense.MLP([3, 4, 4, 2], student.activations.Tanh, rng=student.rng(1))
    x, grad = rng.normal(size=(5, 3)).astype("float32"), rng.normal(size=(5, 2)).astype("float32")
    hidden = [x]
    for place in (0, 2):
        hidden.append(np.tanh(hidden[-1] @ values(network[place].weight).T))
    call = "MLP([3, 4, 4, 2], Tanh)"
    expect.array(network(student.tensor.Tensor(x)), hidden[2] @ values(network[4].weight).T, call=f"{call}(x)")
    got = network.backward(student.tensor.Tensor(grad))
    for place, output in ((4, hidden[2]), (2, hidden[1])):
        grad = grad @ values(network[place].weight) * (1 - output**2)
    hint = "call activation() for each layer: each object remembers its own input"
    expect.array(got, grad @ values(network[0].weight), call=f"{call}.backward(grad)", hint=hint, rtol=1e-4, atol=1e-5)


@task("5.3")
def test_mlp_starts_from_he_weights_and_no_bias(student):
    """By default each weight is he_normal(rng, its shape), with variance 2 / fan_in, and each bias is 0."""
    network = student.dense.MLP((200, 150, 100), rng=student.rng(5))
    for place, fan_in, fan_out in ((0, 200, 150), (2, 150, 100)):
        scaled = values(network[place].weight) / math.sqrt(2 / fan_in)
        call = f"the weight of layer {place} of MLP((200, 150, 100))"
        expect.array(scaled.var(), 1.0, call=f"the variance of {call}, times fan_in / 2", rtol=0.08)
        tail = float((abs(scaled) > 3).mean())
        expect.that(
            tail > 0.0008,
            call=f"the fraction of {call} beyond 3 standard deviations",
            got=tail,
            expected="about 0.0027",
        )
        wanted, call = np.zeros(fan_out), f"the bias of layer {place}"
        expect.array(network[place].bias, wanted, rtol=0, atol=0, call=call, dtype="float32")
    both = [values(network[place].weight).ravel()[:50] for place in (0, 2)]
    differ = abs(np.corrcoef(*both)[0, 1]) < 0.9
    expect.that(
        differ, call="the weights of both layers", got="the same numbers, scaled", expected="new weights for each layer"
    )


@task("5.3")
def test_mlp_takes_another_initialisation(student):
    """With init=xavier_uniform, each weight is within Xavier's bound, and only the generator determines it."""
    make, xavier = student.dense.MLP, student.dense.xavier_uniform
    first, again, other = (make((300, 200, 100), init=xavier, rng=student.rng(seed)) for seed in (1, 1, 2))
    for place, total in ((0, 500), (2, 300)):
        weight, call = values(first[place].weight), f"layer {place} of MLP((300, 200, 100), init=xavier_uniform)"
        largest, bound = float(abs(weight).max()), math.sqrt(6 / total)
        inside = 0.99 * bound < largest <= bound * 1.000001
        expect.that(inside, call=f"the largest |weight| of {call}", got=largest, expected=f"just under {bound}")
        expect.array(again[place].weight, weight, rtol=0, atol=0, call=f"{call}, from the same seed")
        differs = not np.allclose(values(other[place].weight), weight)
        expect.that(differs, call=f"{call}, from a different seed", got="the same weights", expected="different values")


@task("5.3")
def test_mlp_of_two_sizes_is_one_dense_layer(student, rng):
    """MLP((3, 2)) is a Dense layer without any activation; fewer than two sizes raise a ValueError."""
    network, x = student.dense.MLP((3, 2), rng=student.rng(1)), rng.normal(size=(9, 3)).astype("float32")
    expect.equal(len(network), 1, call="len(MLP((3, 2)))")
    expect.array(network(student.tensor.Tensor(x)), x @ values(network[0].weight).T, call="MLP((3, 2))(x)")
    with expect.raises(ValueError, call="MLP((3,))"):
        student.dense.MLP((3,), rng=student.rng(1))


@task("5.3")
@pytest.mark.parametrize(
    ("activation", "init"), [("ReLU", "he_normal"), ("Tanh", "xavier_uniform")], ids=["he", "xavier"]
)
def test_variance_is_kept_through_ten_layers(student, rng, activation, init):
    """Ten layers preserve the mean square of signals and gradients, with He and ReLU or with Xavier and tanh."""
    shares = []
    for seed in range(4):
        network = student.dense.MLP(
            [400] * 11, getattr(student.activations, activation), getattr(student.dense, init), rng=student.rng(seed)
        )
        x, grad = (rng.normal(0, 0.05, (50, 400)).astype("float32") for _ in range(2))
        output = values(network(student.tensor.Tensor(x)))
        got = values(network.backward(student.tensor.Tensor(grad)))
        first = values(network[0].output)
        shares.append([np.log(np.mean(output**2) / np.mean(first**2)), np.log(np.mean(got**2) / np.mean(grad**2))])
    kept = np.exp(np.mean(shares, axis=0))
    call = f"MLP([400] * 11, {activation}, {init}): mean squares, "
    # A variance that is off by a factor of 2 in each layer would be off by 500 here; chance stays within 1.5.
    for what, share in zip(
        ("last layer to first layer", "gradient of the input to that of the output"), kept, strict=True
    ):
        fine = 0.33 < share < 3.0
        expect.that(fine, call=call + what, got=float(share), expected="about 1", hint="check tasks 5.1 and 5.2")


# 5.4: the dropout op


@task("5.4")
def test_dropout_op_changes_no_argument(student, rng):
    """The op leaves its input and the gradient unchanged."""
    x, mask = rng.uniform(1, 2, (4, 3)), rng.random((4, 3)) < 0.5
    held, its_grad, op = student.tensor.Tensor(x), student.tensor.Tensor(-x), student.dense.dropout
    op.forward(student.hold(held, "data"), mask=mask, p=0.5)
    expect.unchanged(held, x, call="x after dropout.forward(x, mask, p=0.5)")
    output = student.hold(held, "data")
    op.backward(student.hold(its_grad, "data"), output, output, mask=mask, p=0.5)
    expect.unchanged(its_grad, -x, call="grad after dropout.backward(grad, …)")


@task("5.4")
@pytest.mark.parametrize("shape", [(7,), (4, 3), (2, 3, 2)])
def test_dropout_op_values(student, rng, shape):
    """Where the mask is True an element is divided by 1 - p, and everywhere else it becomes 0."""
    x, mask = rng.normal(size=shape), rng.random(shape) < 0.6
    for p in (0.0, 0.25, 0.8):
        for dtype in ("float32", "float64"):
            got = student.dense.dropout.forward(x.astype(dtype), mask=mask, p=p)
            call = f"dropout.forward(x, mask, p={p}), x of shape {shape}"
            expect.array(got, x * mask / (1 - p), dtype=dtype, call=call, hint="divide the kept elements by 1 - p")
    got = student.dense.dropout.forward(np.arange(4), mask=np.array([True, False, True, True]), p=0.5)
    expect.array(got, [0, 0, 4, 6], dtype="float32", call="dropout.forward of the integers 0 to 3")


@task("5.4")
@pytest.mark.parametrize("shape", [(7,), (4, 3), (2, 3, 2)])
def test_dropout_op_gradient(student, rng, shape):
    """The gradient goes through the same mask and scale, even where x is 0, and agrees with finite differences."""
    x, mask, grad = rng.normal(size=shape), rng.random(shape) < 0.6, rng.normal(size=shape)
    op = student.dense.dropout
    check_gradient(op, x, mask=mask, p=0.3)
    for zeros, dtype in ((np.zeros(shape), "float64"), (np.zeros(shape), "float32")):
        gradients = op.backward(grad.astype(dtype), zeros.astype(dtype), zeros.astype(dtype), mask=mask, p=0.3)
        call = "dropout.backward(grad, 0, 0, mask, p=0.3)"
        expect.equal(len(gradients), 1, call=f"len({call})", hint="a tuple of one array")
        expect.array(gradients[0], grad * mask / 0.7, dtype=dtype, call=call, hint="the mask decides, not x")


# 5.5: Dropout, and the two modes


@task("5.5")
@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_dropout_drops_a_share(student, rng, p):
    """In training each element is dropped independently with probability p, and the others are divided by 1 - p."""
    layer, x = student.dense.Dropout(p, rng=student.rng(int(rng.integers(1000)))), np.ones((200, 200), "float32")
    got, call = values(layer(student.tensor.Tensor(x))), f"Dropout({p})(ones of (200, 200))"
    kept = got != 0
    expect.array(got, kept / (1 - p), dtype="float32", call=call, hint="each element becomes 0 or 1 / (1 - p)")
    expect.array(1 - kept.mean(), p, call=f"the fraction of zeros in {call}", atol=0.0125, rtol=0)
    for axis, what in ((0, "column"), (1, "row")):
        far = abs(kept.mean(axis=axis) - (1 - p)).max() / math.sqrt(p * (1 - p) / 200)
        hint = "draw one random number for each element"
        expect.that(
            far < 8,
            call=f"{call}: each {what} alone",
            got=f"{far:.0f} standard deviations",
            expected="fewer than 8",
            hint=hint,
        )


@task("5.5")
def test_dropout_draws_a_new_mask_each_time(student):
    """Each forward pass drops different elements; equal seeds drop the same ones."""
    layer, again = (student.dense.Dropout(rng=student.rng(3)) for _ in range(2))
    x = student.tensor.Tensor(np.ones(100, "float32"))
    first, second = values(layer(x)), values(layer(x))
    expect.array(np.unique(first), [0, 2], call="the values of Dropout()(ones)", hint="p is 0.5 by default")
    differs = not np.array_equal(first, second)
    expect.that(
        differs,
        call="the second of two passes",
        got="the same mask",
        expected="a different mask",
        hint="draw the mask in forward",
    )
    expect.array(again(x), first, rtol=0, atol=0, call="the first pass of Dropout() from the same seed")
    other = values(student.dense.Dropout(rng=student.rng(4))(x))
    expect.that(not np.array_equal(first, other), call="a different seed", got="the same mask", expected="a new mask")


@task("5.5")
def test_dropout_backward_uses_the_same_mask(student, rng):
    """Backward passes on grad / (1 - p) where the last forward pass kept an element, and 0 everywhere else."""
    layer, tensor = student.dense.Dropout(0.3, rng=student.rng(5)), student.tensor.Tensor
    for shape in ((40, 10), (7, 30)):
        x, grad = rng.uniform(1, 2, shape), rng.normal(size=shape)
        output = values(layer(tensor(x)))
        got = layer.backward(tensor(grad))
        call = f"layer = Dropout(0.3); layer(x) of shape {shape}; layer.backward(grad)"
        expect.array(got, grad * output / x, dtype="float64", call=call, hint="use the mask of the last forward pass")
        expect.array(layer.backward(tensor(grad)), values(got), call=f"{call}, again")
    layer(tensor(np.zeros((100, 10))))
    got = values(layer.backward(tensor(np.ones((100, 10)))))
    share = float((got != 0).mean())
    call = "the fraction of elements that pass a gradient on, after Dropout(0.3)(zeros)"
    expect.array(share, 0.7, atol=0.08, call=call, hint="keep the mask; the output does not reveal what was dropped")


@task("5.5")
def test_dropout_does_nothing_in_evaluation(student, rng):
    """In evaluation, values and gradients pass through unchanged, even after a training pass that dropped some."""
    layer, tensor = student.dense.Dropout(0.5, rng=student.rng(1)), student.tensor.Tensor
    x, grad = rng.normal(size=(20, 5)).astype("float32"), rng.normal(size=(20, 5)).astype("float32")
    expect.equal(layer.training, True, call="Dropout(0.5).training", hint="a fresh layer is in training mode")
    layer(tensor(x))
    layer.training = False
    expect.array(layer(tensor(x)), x, rtol=0, atol=0, dtype="float32", call="Dropout(0.5)(x) with training False")
    got = layer.backward(tensor(grad))
    expect.array(got, grad, rtol=0, atol=0, dtype="float32", call="its backward(grad) with training False")
    layer.training = True
    expect.array(layer.backward(tensor(grad)), grad, call="backward in training mode, after forward in evaluation")
    output = values(layer(tensor(x)))
    layer.training = False
    hint = "backward uses the mode of the last forward pass, whatever the current mode"
    wanted = grad * (output != 0) * 2
    expect.array(layer.backward(tensor(grad)), wanted, call="backward in evaluation, forward in training", hint=hint)


@task("5.5")
def test_dropout_is_one_recorded_op(student, rng):
    """A recorder gets one dropout op with one input, and the attributes needed to compute output and gradient."""
    layer, x = student.dense.Dropout(0.4, rng=student.rng(2)), student.tensor.Tensor(rng.uniform(1, 2, (9, 8)))
    with traced(student.tensor) as trace:
        output = values(layer(x))
    call = "what a Trace records in Dropout(0.4)(x)"
    expect.equal([entry[0] for entry in trace.entries], ["dropout"], call=call)
    _, inputs, attributes, _ = trace.entries[0]
    expect.equal(len(inputs), 1, call=f"the number of inputs in {call}", hint="the mask is an attribute, not an input")
    op, grad = student.dense.dropout, rng.normal(size=(9, 8))
    expect.array(op.forward(values(x), **attributes), output, call=f"dropout.forward(x, **attributes), {call}")
    (got,) = op.backward(grad, output, values(x), **attributes)
    expect.array(got, grad * output / values(x), call=f"dropout.backward(grad, output, x, **attributes), {call}")


@task("5.5")
def test_dropout_says_what_does_not_fit(student):
    """Dropout needs p from 0 to below 1; backward needs an earlier forward pass and a gradient of equal shape."""
    dropout, tensor = student.dense.Dropout, student.tensor.Tensor
    for p in (-0.1, 1, 1.5):
        with expect.raises(ValueError, mentions=(str(p),), call=f"Dropout({p})"):
            dropout(p, rng=student.rng(1))
    layer = dropout(0.0, rng=student.rng(1))
    with expect.raises(RuntimeError, mentions=("forward",), call="Dropout(0.0).backward(grad) without forward"):
        layer.backward(tensor([1.0]))
    expect.array(layer(tensor([1.0, 2.0])), [1, 2], call="Dropout(0.0)([1, 2])")
    expect.equal(layer.parameters(), [], call="Dropout(0.0).parameters()")
    for training in (True, False):
        layer.training = training
        layer(tensor([1.0, 2.0]))
        call = f"Dropout(0.0)(x of (2,)), training {training}; backward(grad of (1,))"
        with expect.raises(ValueError, mentions=("(1,)", "(2,)"), call=call):
            layer.backward(tensor([1.0]))


@task("5.5")
def test_set_training_reaches_every_layer(student):
    """set_training sets the mode of Dropout layers at any depth, and adds no attribute to other layers."""
    dense, sequential = student.dense, student.layers.Sequential
    drops = [dense.Dropout(rng=student.rng(seed)) for seed in range(3)]
    inner = sequential(drops[1], sequential(drops[2]))
    network = sequential(drops[0], student.dense.MLP((3, 3), rng=student.rng(1)), inner, student.activations.ReLU())
    for training in (False, True, False):
        dense.set_training(network, training)
        got = [layer.training for layer in drops]
        expect.equal(got, [training] * 3, call=f".training of each Dropout after set_training(network, {training})")
    for layer in (network[1][0], network[3]):
        strange = hasattr(layer, "training")
        expect.that(not strange, call="a layer that has no .training", got="a new .training", expected="no .training")
    dense.set_training(drops[0], True)
    expect.equal(
        [layer.training for layer in drops], [True, False, False], call="after set_training(one Dropout, True)"
    )


# 5.6: log-softmax


@task("5.6")
def test_log_softmax_changes_no_argument(student, rng):
    """log_softmax leaves the logits unchanged."""
    x = rng.normal(size=(3, 4))
    logits = student.tensor.Tensor(x)
    student.dense.log_softmax(student.hold(logits, "data"))
    expect.unchanged(logits, x, call="logits after log_softmax(logits)")


@task("5.6")
@pytest.mark.parametrize("shape", [(5,), (4, 3), (2, 3, 4)])
def test_log_softmax_values(student, rng, shape):
    """log_softmax is the logarithm of exp(x) divided by the sum of exp(x) along the last axis."""
    x, call = rng.normal(0, 2, shape), f"log_softmax(x), x of shape {shape}"
    wanted = np.log(np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))
    for dtype in ("float64", "float32"):
        got = student.dense.log_softmax(x.astype(dtype))
        expect.array(got, wanted, dtype=dtype, call=call, hint="x - max - ln Σ exp(x - max)")
    whole = expect.pull(student.dense.log_softmax(np.array([[0, 0], [7, 7]])), call="log_softmax of integers")
    expect.array(whole, np.full((2, 2), -math.log(2)), dtype="float32", call="log_softmax([[0, 0], [7, 7]])")


@task("5.6")
def test_log_softmax_is_finite(student):
    """For logits of ±10,000, even in float32, log_softmax is correct and finite where log(softmax) would be -inf."""
    hint = "subtract the maximum, and take the logarithm only of the sum, never of a quotient"
    for dtype in ("float64", "float32"):
        for logits, wanted in (
            ([1e4, 0.0, -1e4], [0.0, -1e4, -2e4]),
            ([-1e4, -1e4], [-math.log(2)] * 2),
            ([200.0, 0.0], [0.0, -200.0]),
            ([1e4, 1e4 + 1], [-1 - math.log1p(math.exp(-1)), -math.log1p(math.exp(-1))]),
        ):
            got = student.dense.log_softmax(np.array([logits], dtype))
            # x - (m + ln Σ) is also correct; at 10,000 a float32 has steps of 0.001.
            expect.array(got, [wanted], dtype=dtype, atol=2e-3, call=f"log_softmax([{logits}]) in {dtype}", hint=hint)
        got = student.dense.log_softmax(np.array([[1e4, 1e4], [0, 0], [-1e4, -1e4]], dtype))
        call = f"log_softmax([[1e4, 1e4], [0, 0], [-1e4, -1e4]]) in {dtype}"
        hint = "each row has its own maximum"
        expect.array(got, np.full((3, 2), -math.log(2)), dtype=dtype, atol=2e-3, call=call, hint=hint)


# 5.7: cross-entropy


@task("5.7")
@pytest.mark.parametrize("shape", [(1, 3), (6, 4), (5, 1), (3, 10)])
def test_cross_entropy_values(student, rng, shape):
    """The loss is the mean negative log-probability of each row's target, in the dtype of the logits."""
    logits, target = rng.normal(0, 2, shape), rng.integers(0, shape[1], shape[0])
    for dtype in ("float64", "float32"):
        tensors = student.tensor.Tensor(logits.astype(dtype)), student.tensor.Tensor(target)
        call = f"CrossEntropyLoss()(logits of {shape}, targets {target.tolist()})"
        expect.array(
            student.dense.CrossEntropyLoss()(*tensors), compute_cross_entropy(logits, target), dtype=dtype, call=call
        )


@task("5.7")
def test_cross_entropy_by_hand(student):
    """Probabilities of 1/4 and 1/2 for the correct classes give a loss of (ln 4 + ln 2) / 2 and matching gradients."""
    logits = np.log(np.array([[1.0, 3.0], [2.0, 2.0]]))
    criterion, call = student.dense.CrossEntropyLoss(), "CrossEntropyLoss()([[ln 1, ln 3], [ln 2, ln 2]], [0, 1])"
    loss = criterion(student.tensor.Tensor(logits), student.tensor.Tensor([0, 1]))
    expect.array(loss, (math.log(4) + math.log(2)) / 2, call=call)
    wanted = [[-0.375, 0.375], [0.25, -0.25]]
    hint = "(softmax - 1 at the target) / n, with n the number of rows"
    entire_columns = [[-0.375, -0.125], [-0.25, -0.25]]
    entire = "`array[np.arange(n), target]` picks one element of each row; `array[:, target]` picks all rows."
    traps = {entire: entire_columns}
    got = criterion.backward()
    expect.array(got, wanted, dtype="float64", call=f"{call}; backward()", hint=hint, traps=traps)


@task("5.7")
@pytest.mark.parametrize("k", [2, 10, 1000])
def test_cross_entropy_of_a_guess(student, rng, k):
    """Equal logits give a loss of ln k, however large they are."""
    for level in (0.0, 5.0, 200.0, -200.0):
        logits, target = np.full((3, k), level, "float32"), rng.integers(0, k, 3)
        loss = student.dense.CrossEntropyLoss()(student.tensor.Tensor(logits), student.tensor.Tensor(target))
        expect.array(loss, math.log(k), call=f"CrossEntropyLoss()({k} logits of {level}, …)", atol=0.01)


@task("5.7")
@pytest.mark.parametrize("shape", [(1, 3), (5, 4), (4, 1)])
def test_cross_entropy_gradient(student, rng, shape):
    """The logits' gradient has their dtype, agrees with finite differences and is multiplied by grad."""
    logits, target = rng.normal(0, 2, shape), rng.integers(0, shape[1], shape[0])
    wanted = np.empty(shape)
    for index in np.ndindex(shape):
        move = np.zeros(shape)
        move[index] = 1e-6
        wanted[index] = (
            compute_cross_entropy(logits + move, target) - compute_cross_entropy(logits - move, target)
        ) / 2e-6
    criterion, hint = student.dense.CrossEntropyLoss(), "(softmax - 1 at the target) / n, times grad"
    for dtype in ("float64", "float32"):
        criterion(student.tensor.Tensor(logits.astype(dtype)), student.tensor.Tensor(target))
        call = f"criterion(logits of {shape}, targets); criterion.backward()"
        expect.array(criterion.backward(), wanted, dtype=dtype, call=call, hint=hint, rtol=1e-4, atol=1e-6)
    op, loss = student.dense.cross_entropy, np.array(compute_cross_entropy(logits, target))
    for grad in (1.0, -2.5):
        gradients = op.backward(np.array(grad), loss, logits, target=target)
        call = f"cross_entropy.backward({grad}, loss, logits, target)"
        expect.equal(len(gradients), 1, call=f"len({call})", hint="a tuple of one array")
        expect.array(gradients[0], grad * wanted, call=call, hint=hint, rtol=1e-4)


@task("5.7")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cross_entropy_of_certainty(student, dtype):
    """The loss of a confident answer is 0 if correct, and otherwise the logits' difference, with a finite slope."""
    criterion, tensor = student.dense.CrossEntropyLoss(), student.tensor.Tensor
    for logits, target, wanted, grad in (
        ([1e4, -1e4], 1, 2e4, [1, -1]),
        ([1e4, -1e4], 0, 0.0, [0, 0]),
        ([0.0, 300.0], 0, 300.0, [-1, 1]),
    ):
        call = f"CrossEntropyLoss()([{logits}], [{target}]) in {dtype}"
        loss = criterion(tensor(np.array([logits], dtype)), tensor([target]))
        expect.array(loss, wanted, dtype=dtype, call=call, hint="use log_softmax, not the logarithm of softmax")
        expect.array(criterion.backward(), [grad], dtype=dtype, call=f"{call}; backward()")


@task("5.7")
def test_cross_entropy_backward_belongs_to_the_last_loss(student, rng):
    """backward() returns the gradient of the last loss, can be called twice, and leaves the logits unchanged."""
    criterion, tensor = student.dense.CrossEntropyLoss(), student.tensor.Tensor
    criterion(tensor(rng.normal(size=(2, 5))), tensor([4, 4]))
    logits, target = rng.normal(size=(6, 3)), rng.integers(0, 3, 6)
    given = tensor(logits)
    criterion(given, tensor(target.astype("int32")))
    powers = np.exp(logits)
    wanted = (powers / powers.sum(axis=1, keepdims=True) - np.eye(3)[target]) / 6
    for which in ("first", "second"):
        expect.array(criterion.backward(), wanted, call=f"CrossEntropyLoss's backward(), called for the {which} time")
    expect.array(given, logits, rtol=0, atol=0, call="the logits after forward and backward", hint="create new arrays")
    integers = tensor([[0, 3], [1, 1]])
    loss = criterion(integers, tensor([0, 1]))
    expect.array(loss, (math.log1p(math.exp(3)) + math.log(2)) / 2, dtype="float32", call="the loss of integer logits")
    expect.equal(str(criterion.backward().dtype), "float32", call="the dtype of backward() for integer logits")


@task("5.7")
def test_cross_entropy_is_one_recorded_op(student, rng):
    """A recorder gets one cross_entropy op with only the logits; the integer target is the `target` attribute."""
    logits, target = student.tensor.Tensor(rng.normal(size=(4, 3))), rng.integers(0, 3, 4)
    with traced(student.tensor) as trace:
        loss = student.dense.CrossEntropyLoss()(logits, student.tensor.Tensor(target))
    call = "what a Trace records in CrossEntropyLoss()(logits, target)"
    expect.equal([entry[0] for entry in trace.entries], ["cross_entropy"], call=call)
    _, inputs, attributes, _ = trace.entries[0]
    expect.equal(len(inputs), 1, call=f"the number of inputs in {call}", hint="the target is an attribute")
    inputs[0].grad = student.tensor.Tensor(5.0)
    expect.that(logits.grad is not None, call=call, got="a copy", expected="the logits tensor itself")
    expect.array(attributes["target"], target, dtype="int64", call=f"the attribute target in {call}")
    again = student.tensor.apply(student.dense.cross_entropy, logits, **attributes)
    expect.array(again, values(loss), call="apply(cross_entropy, logits, **attributes)")


@task("5.7")
def test_cross_entropy_says_what_does_not_fit(student):
    """Shapes and classes that do not fit raise a ValueError that states them; backward needs a loss first."""
    criterion, tensor = student.dense.CrossEntropyLoss(), student.tensor.Tensor
    with expect.raises(RuntimeError, mentions=("forward",), call="CrossEntropyLoss().backward() before any loss"):
        criterion.backward()
    for shape, target, mentions in (
        ((2, 3), np.zeros((2, 1), int), ("(2, 3)", "(2, 1)")),
        ((2, 3), np.zeros(3, int), ("(2, 3)", "(3,)")),
        ((3,), np.zeros(3, int), ("(3,)",)),
        ((0, 3), np.zeros(0, int), ("(0, 3)",)),
        ((2, 3), np.array([0, 3]), ("3",)),
        ((2, 3), np.array([-1, 2]), ("-1",)),
        ((2, 3), np.array([0.0, 1.0]), ("float64",)),
    ):
        call = f"CrossEntropyLoss()(logits of {shape}, targets {target.tolist()})"
        with expect.raises(ValueError, mentions=mentions, call=call):
            criterion(tensor(np.zeros(shape)), tensor(target))
    with expect.raises(RuntimeError, mentions=("forward",), call=f"backward() after {call}, which failed"):
        criterion.backward()


# 5.8: mini-batches


@task("5.8")
@pytest.mark.parametrize(("n", "size"), [(12, 4), (10, 4), (5, 1), (3, 8), (1, 1)])
def test_minibatches_hold_each_example_once(student, rng, n, size):
    """One epoch contains every input once, with its own target; all batches but the last are full."""
    inputs, targets = rng.normal(size=(n, 2, 3)).astype("float32"), rng.permutation(n)
    batches = collect_batches(student, inputs, targets, size, student.rng(int(rng.integers(1000))))
    call = f"minibatches of {size} from {n} examples"
    sizes = [len(x) for x, _ in batches]
    wanted = [size] * (n // size) + [n % size] * (n % size > 0)
    expect.equal(sizes, wanted, call=f"the sizes of {call}", hint="the last batch holds the remaining examples")
    seen = np.concatenate([t for _, t in batches])
    expect.array(np.sort(seen), np.arange(n), dtype="int64", call=f"all targets of {call}, sorted")
    row_of = {int(target): row for row, target in enumerate(targets)}
    wanted = np.concatenate([inputs[[row_of[int(t)] for t in some]] for _, some in batches])
    hint = "take inputs and targets in the same order"
    got = np.concatenate([x for x, _ in batches])
    expect.array(got, wanted, dtype="float32", call=f"all inputs of {call}, compared with their targets", hint=hint)


@task("5.8")
def test_minibatches_are_shuffled_by_the_generator(student):
    """Each epoch puts all examples in a new order; equal seeds give the same orders."""
    numbers, generators = np.arange(60), [student.rng(3), student.rng(3)]
    runs = [[collect_batches(student, numbers, numbers, 10, generator) for _ in range(2)] for generator in generators]
    first, second = (np.concatenate([t for _, t in batches]) for batches in runs[0])
    again = np.concatenate([t for _, t in runs[1][0]])
    expect.array(
        again,
        first,
        rtol=0,
        atol=0,
        call="the order of an epoch from the same seed",
        hint="take the order only from rng",
    )
    for what, order in (("the given order", numbers), ("the previous epoch's order", second)):
        differs = int((order != first).sum()) > 30
        expect.that(
            differs,
            call="the order of an epoch",
            got=f"nearly {what}",
            expected="a new order",
            hint="shuffle the examples",
        )
    mixed = len({int(t) // 10 for t in first[:10]}) > 2
    call = "the first batch of 10 from the numbers 0 to 59"
    expect.that(
        mixed, call=call, got=first[:10], expected="numbers from the entire range", hint="shuffle examples, not batches"
    )


@task("5.8")
def test_minibatches_leave_the_data_alone(student, rng):
    """Inputs and targets are unchanged after an epoch."""
    x, t = rng.normal(size=(9, 2)), np.arange(9)
    inputs, targets = student.tensor.Tensor(x), student.tensor.Tensor(t)
    list(student.dense.minibatches(inputs, targets, 2, student.rng(1)))
    expect.array(inputs, x, rtol=0, atol=0, call="the inputs after an epoch of minibatches", hint="shuffle row numbers")
    expect.array(targets, t, call="the targets after an epoch of minibatches")


@task("5.8")
def test_minibatches_say_what_does_not_fit(student):
    """Unequal numbers of inputs and targets, no examples, and empty batches raise a ValueError with the counts."""
    for n, m, size in ((3, 4, 2), (3, 3, 0), (3, 3, -1), (0, 0, 2)):
        inputs, targets = student.tensor.Tensor(np.zeros((n, 2))), student.tensor.Tensor(np.zeros(m, int))
        call = f"minibatches({n} inputs, {m} targets, batch_size={size}, rng)"
        with expect.raises(ValueError, mentions=(str(n), str(m), str(size)), call=call):
            list(student.dense.minibatches(inputs, targets, size, student.rng(1)))
    one = student.tensor.Tensor(np.ones((3, 2))), student.tensor.Tensor(np.ones(3, int))
    batches = list(student.dense.minibatches(*one, 1, student.rng(1)))
    expect.equal(len(batches), 3, call="the number of minibatches of 1 from 3 examples")


# 5.9: accuracy, and an epoch


@task("5.9")
def test_accuracy_is_the_share_of_right_rows(student, rng):
    """Accuracy is the fraction of rows whose largest logit is at the target, as a Python float."""
    logits, tensor = rng.normal(size=(40, 5)), student.tensor.Tensor
    for right in (40, 27, 0):
        target = logits.argmax(axis=1)
        target[right:] = (target[right:] + 1 + rng.integers(0, 4, 40 - right)) % 5
        got = student.dense.accuracy(tensor(logits), tensor(target))
        call = f"accuracy(logits of (40, 5), targets), where {right} rows are correct"
        expect.that(type(got) is float, call=call, got=got, expected="a Python float")
        expect.array(got, right / 40, call=call, hint="argmax over the classes, then compare with the targets")
    for targets, mention in ((np.zeros((40, 1), int), "(40, 1)"), (np.zeros(40), "float64")):
        call = f"accuracy(logits of (40, 5), targets of shape {targets.shape}, {targets.dtype})"
        with expect.raises(ValueError, mentions=(mention,), call=call):
            student.dense.accuracy(tensor(logits), tensor(targets))


@task("5.9")
@pytest.mark.parametrize("size", [1, 4, 10, 30])
def test_epoch_returns_the_mean_loss_of_all_examples(student, rng, size):
    """With lr = 0, the loss of an epoch is that of all the data, whatever the batch size, and no weight changes."""
    network, (x, t) = student.dense.MLP((3, 6, 4), rng=student.rng(1)), draw_examples(rng, 10)
    weight = values(network[0].weight)
    wanted = compute_cross_entropy(values(network(student.tensor.Tensor(x))).astype(float), t)
    loss = train_one_epoch(student, network, x, t, lr=0.0, batch_size=size)
    call = f"train_epoch with lr=0, 10 examples in batches of {size}"
    expect.that(type(loss) is float, call=call, got=loss, expected="a Python float")
    expect.array(
        loss, wanted, call=call, hint="a short last batch counts less: weight each loss by the number of its examples"
    )
    expect.array(network[0].weight, weight, rtol=0, atol=0, call=f"the first weight after {call}")


@task("5.9")
def test_epoch_in_one_batch_is_one_step(student, rng):
    """If one batch holds all examples, an epoch is one step of gradient descent and returns its loss."""
    networks = [student.dense.MLP((3, 6, 4), rng=student.rng(1)) for _ in range(2)]
    x, t = draw_examples(rng, 10)
    tensors = student.tensor.Tensor(x), student.tensor.Tensor(t)
    for parameter in networks[0].parameters():
        student.layers.accumulate_grad(parameter, np.full(values(parameter).shape, 100.0, "float32"))
    got = train_one_epoch(student, networks[0], x, t, lr=0.3, batch_size=10)
    loss = student.layers.gradient_descent_step(networks[1], student.dense.CrossEntropyLoss(), *tensors, 0.3)
    expect.array(got, loss, call="the loss of train_epoch(…, lr=0.3, batch_size=10) on 10 examples")
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        call = f"a parameter of shape {one.shape} after train_epoch of one batch"
        expect.array(one, values(other), call=call, atol=1e-5, hint="one gradient_descent_step for each batch, with lr")


@task("5.9")
def test_epoch_takes_a_step_for_each_batch(student, rng):
    """An epoch shows each example once, in shuffled batches, and each step starts where the last one ended."""
    layer, (x, t) = student.layers.Dense(3, 4, rng=student.rng(2)), draw_examples(rng, 10)
    network = student.layers.Sequential(layer)
    weight = np.array(values(layer.weight), float)
    bias = np.array(values(layer.bias), float)
    with traced(student.tensor) as trace:
        loss = train_one_epoch(student, network, x, t, lr=0.5, batch_size=4)
    heard = [entry for entry in trace.entries if entry[0] == "linear"]
    batches = [values(inputs[0]) for _, inputs, _, _ in heard]
    call = "the batches of train_epoch, 10 examples, batch_size=4"
    expect.equal([len(batch) for batch in batches], [4, 4, 2], call=f"the sizes of {call}")
    rows = [int(abs(x - row).sum(axis=1).argmin()) for batch in batches for row in batch]
    expect.equal(sorted(rows), list(range(10)), call=f"the examples in {call}, sorted")
    expect.that(rows != list(range(10)), call=f"the order of {call}", got=rows, expected="a random order")
    total = 0.0
    for some in np.split(np.array(rows), [4, 8]):
        logits = x[some] @ weight.T + bias
        total += len(some) * compute_cross_entropy(logits, t[some])
        powers = np.exp(logits)
        grad = (powers / powers.sum(axis=1, keepdims=True) - np.eye(4)[t[some]]) / len(some)
        weight, bias = weight - 0.5 * grad.T @ x[some], bias - 0.5 * grad.sum(axis=0)
    expect.array(layer.weight, weight, call="the weight after three steps with lr=0.5", rtol=1e-4, atol=1e-5)
    expect.array(layer.bias, bias, call="the bias after three steps with lr=0.5", rtol=1e-4, atol=1e-5)
    expect.array(loss, total / 10, call="train_epoch(…), the mean of the losses before each step", rtol=1e-4)


@task("5.9")
def test_epoch_trains_in_training_mode(student, rng):
    """An epoch switches dropout on, even if it was off before, and the mask affects the loss."""
    drop = student.dense.Dropout(0.5, rng=student.rng(1))
    network = student.layers.Sequential(student.layers.Dense(3, 4, rng=student.rng(2)), drop)
    (x, t), losses = draw_examples(rng, 10), []
    student.dense.set_training(network, False)
    for _ in range(2):
        losses.append(train_one_epoch(student, network, x, t, lr=0.0, batch_size=10))
        call, hint = (
            ".training of a Dropout after train_epoch, if it was False before",
            "set_training(network, True) comes first",
        )
        expect.equal(drop.training, True, call=call, hint=hint)
    differ = losses[0] != losses[1]
    expect.that(
        differ, call="the losses of two epochs with lr=0 and dropout", got=losses, expected="two different numbers"
    )


@task("5.9")
def test_epochs_learn(student, rng):
    """A few epochs teach a deep network four classes, and it recognises new examples, with and without dropout."""
    seed = int(rng.integers(1000))
    for p in (0.0, 0.2):
        mlp, drop = (
            student.dense.MLP((3, 32, 32), rng=student.rng(seed)),
            student.dense.Dropout(p, rng=student.rng(seed)),
        )
        last = student.dense.MLP((32, 4), rng=student.rng(seed + 1))
        network = student.layers.Sequential(mlp, student.activations.ReLU(), drop, last)
        (x, t), (new_x, new_t) = draw_examples(rng, 400), draw_examples(rng, 200)
        losses = [train_one_epoch(student, network, x, t, lr=0.2, batch_size=20, seed=epoch) for epoch in range(8)]
        call = f"an MLP with Dropout({p}) after 8 epochs of 400 examples, seed {seed}"
        fell = losses[-1] < 0.5 * losses[0]
        expect.that(fell, call=f"the losses of {call}", got=losses, expected="a fall to less than half")
        student.dense.set_training(network, False)
        share = student.dense.accuracy(network(student.tensor.Tensor(new_x)), student.tensor.Tensor(new_t))
        expect.that(share > 0.7, call=f"the accuracy of {call}, on new examples", got=share, expected="above 0.7")


def compute_fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Compute how many inputs feed an output, and how many outputs an input feeds."""
    n_out, n_in, *window = shape
    return n_in * math.prod(window), n_out * math.prod(window)


def draw_weights(student, init_name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw weights with an initialisation from a random seed, and check their shape and dtype."""
    call = f"{init_name}(rng, {shape})"
    weight = expect.pull(getattr(student.dense, init_name)(student.rng(int(rng.integers(1000))), shape), call=call)
    expect.equal(weight.shape, shape, call=f"the shape of {call}")
    expect.equal(str(weight.dtype), "float32", call=f"the dtype of {call}")
    return weight.astype(float)


def compute_cross_entropy(logits: np.ndarray, target: np.ndarray) -> float:
    """Compute the cross-entropy: the mean, over rows, of -ln of the probability that softmax gives the target."""
    rows = zip(logits.tolist(), target.tolist(), strict=True)
    return sum(math.log(sum(math.exp(other - row[t]) for other in row)) for row, t in rows) / len(target)


def collect_batches(student, inputs, targets, batch_size, generator):
    """Collect all mini-batches of one epoch as pairs of arrays."""
    tensors = student.tensor.Tensor(inputs), student.tensor.Tensor(targets)
    return [(values(x), values(t)) for x, t in student.dense.minibatches(*tensors, batch_size, generator)]


def draw_examples(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw points in space, and compute the class of each, one of four, from the signs of two coordinates."""
    x = rng.normal(size=(n, 3)).astype("float32")
    return x, 2 * (x[:, 0] > 0) + (x[:, 1] + x[:, 2] > 0)


def train_one_epoch(student, network, inputs, targets, *, lr, batch_size, seed=1):
    """Train for one epoch with cross-entropy, and return its loss."""
    tensors = student.tensor.Tensor(inputs), student.tensor.Tensor(targets)
    criterion = student.dense.CrossEntropyLoss()
    return student.dense.train_epoch(network, criterion, *tensors, lr, batch_size, student.rng(seed))
