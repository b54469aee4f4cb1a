"""The tests of module 04: gradients that add up, Dense and Sequential, the two losses, one step, and the recipe."""

import math

import numpy as np
import pytest

from grading.testing import Reports, check_gradient, draw_parameters, expect, ignore_reports, task, traced, values

POINTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR = np.array([[0], [1], [1], [0]], np.float32)

# 4.1: gradients add up


@task("4.1")
def test_accumulate_adds_gradients_up(student, rng):
    """The first gradient is stored as is, and each later one is added to it."""
    for shape in ((3,), (2, 4), (2, 3, 2)):
        parameter, grads = student.tensor.Tensor(np.zeros(shape)), rng.normal(size=(3, *shape))
        for count in (1, 2, 3):
            student.layers.accumulate_grad(parameter, grads[count - 1])
            call = f"parameter.grad after {count} of accumulate_grad(parameter, grad), shape {shape}"
            expect.array(parameter.grad, grads[:count].sum(axis=0), call=call, hint="add to the existing gradient")


@task("4.1")
def test_accumulate_keeps_the_parameters_dtype(student, rng):
    """Every gradient, even the second, takes the dtype of its parameter."""
    for dtype in ("float32", "float64"):
        parameter, grad = student.tensor.Tensor(np.zeros(3, dtype)), rng.normal(size=3)
        for count in (1, 2):
            student.layers.accumulate_grad(parameter, grad)
            call = f"parameter.grad after {count} gradients of float64, for a parameter of {dtype}"
            expect.array(parameter.grad, count * grad, dtype=dtype, call=call)


@task("4.1")
def test_accumulate_shares_no_memory(student):
    """A gradient has its own memory: it shares none with the array that was added or with the gradient before it."""
    parameter, array = student.tensor.Tensor([0.0, 0.0]), make_shared_array(student)
    student.layers.accumulate_grad(parameter, array)
    first = parameter.grad
    student.layers.accumulate_grad(parameter, array)
    hint = "create a new Tensor for the sum; += on an array changes it for all code that holds it"
    expect.array(first, [1, 1], call="the first gradient, after a second was added", hint=hint)
    array.fill(9.0)
    expect.array(first, [1, 1], call="the first gradient, after the array it came from was changed", hint=hint)
    expect.array(parameter.grad, [2, 2], call="the gradient, after the array that was added was changed", hint=hint)


@task("4.1")
def test_accumulate_refuses_another_shape(student):
    """A gradient of a different shape raises a ValueError with both shapes, even where it would broadcast."""
    for wrong in ((3,), (1, 3), (3, 2), ()):
        parameter = student.tensor.Tensor(np.zeros((2, 3)))
        call = f"accumulate_grad(parameter of (2, 3), grad of {wrong})"
        with expect.raises(ValueError, mentions=("(2, 3)", str(wrong)), call=call):
            student.layers.accumulate_grad(parameter, np.ones(wrong))
        expect.equal(parameter.grad, None, call=f"parameter.grad after {call}")


@task("4.1")
def test_zero_grad_forgets(student, rng):
    """zero_grad clears the gradients of all parameters, so that only later ones count."""
    parameters = [student.tensor.Tensor(np.zeros(3)) for _ in range(3)]
    for parameter in parameters[:2]:
        student.layers.accumulate_grad(parameter, rng.normal(size=3))
    student.layers.zero_grad(parameters)
    for parameter in parameters:
        expect.equal(parameter.grad, None, call="parameter.grad after zero_grad(parameters)")
    student.layers.accumulate_grad(parameters[0], np.array([1.0, 2.0, 3.0]))
    expect.array(parameters[0].grad, [1, 2, 3], call="parameter.grad after zero_grad and one gradient")


# 4.2: the linear op


@task("4.2")
@pytest.mark.parametrize("shape", [(3,), (1, 3), (5, 3), (2, 4, 3), (0, 3)])
def test_linear_values(student, rng, shape):
    """Output j is the sum of all inputs times weight[j], plus bias[j], for an input with any number of leading axes."""
    x, weight, bias = rng.normal(size=shape), rng.normal(size=(4, 3)), rng.normal(size=4)
    op, call = student.layers.linear, f"linear.forward of shapes {shape} and (4, 3)"
    plain = (x[..., None, :] * weight).sum(axis=-1)
    expect.array(op.forward(x, weight), plain, call=call, hint="weight[j] belongs to output j: x @ weight.T")
    expect.array(op.forward(x, weight, bias), plain + bias, call=f"{call}, with a bias of (4,)")


@task("4.2")
@pytest.mark.parametrize("shape", [(3,), (1, 3), (4, 3), (2, 3, 3)])
def test_linear_gradients(student, rng, shape):
    """The gradients of input, weight and bias agree with finite differences."""
    x, weight, bias = rng.normal(size=shape), rng.normal(size=(2, 3)), rng.normal(size=2)
    hint = "every row used the same weight and bias, so their gradients are sums over all rows"
    check_gradient(student.layers.linear, x, weight, bias, hint=hint)
    check_gradient(student.layers.linear, x, weight, hint=hint)


@task("4.2")
def test_linear_keeps_float32(student, rng):
    """In float32, output and all gradients are float32."""
    x, weight, bias, grad = (rng.normal(size=s).astype("float32") for s in ((5, 3), (2, 3), (2,), (5, 2)))
    output = student.layers.linear.forward(x, weight, bias)
    expect.array(output, x @ weight.T + bias, dtype="float32", call="linear.forward in float32")
    gradients = student.layers.linear.backward(grad, output, x, weight, bias)
    wanted = {"x": grad @ weight, "weight": grad.T @ x, "bias": grad.sum(axis=0)}
    for got, (name, its_grad) in zip(gradients, wanted.items(), strict=True):
        expect.array(got, its_grad, dtype="float32", call=f"linear.backward in float32: the gradient of {name}")


@task("4.2")
def test_linear_refuses_other_sizes(student):
    """An input whose last size is not n_in raises a ValueError, which states both shapes if apply raises it."""
    weight = np.ones((4, 3))
    for shape in ((2,), (3, 4), (3, 1), (2, 3, 2)):
        call = f"linear of shapes {shape} and (4, 3)"
        with expect.raises(ValueError, call=call):
            student.layers.linear.forward(np.ones(shape), weight)
        with expect.raises(ValueError, mentions=(str(shape), "(4, 3)"), call=f"apply: {call}"):
            student.tensor.apply(student.layers.linear, np.ones(shape), weight)
    with expect.raises(ValueError, call="linear of shapes () and (4, 1)"):
        student.layers.linear.forward(np.ones(()), np.ones((4, 1)))


# 4.3: Dense


@task("4.3")
def test_dense_has_parameters_of_the_right_shape(student):
    """Dense(3, 5) has a weight of shape (5, 3) and a bias of shape (5,), both float32, and no gradient yet."""
    layer = student.layers.Dense(3, 5, rng=student.rng(1))
    expect.equal(layer.weight.shape, (5, 3), call="Dense(3, 5).weight.shape", hint="(out_features, in_features)")
    expect.equal(layer.bias.shape, (5,), call="Dense(3, 5).bias.shape")
    parameters = layer.parameters()
    expect.equal([p.shape for p in parameters], [(5, 3), (5,)], call="the shapes of Dense(3, 5).parameters()")
    for parameter in parameters:
        expect.equal(str(parameter.dtype), "float32", call="the dtype of each of Dense(3, 5).parameters()")
        expect.equal(parameter.grad, None, call="the .grad of each of Dense(3, 5).parameters()")


@task("4.3")
def test_dense_without_bias(student, rng):
    """Dense(3, 2, bias=False) has only a weight, which receives a gradient."""
    layer = student.layers.Dense(3, 2, bias=False, rng=student.rng(1))
    x, grad = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    expect.equal(layer.bias, None, call="Dense(3, 2, bias=False).bias")
    expect.equal([p.shape for p in layer.parameters()], [(2, 3)], call="the shapes of its parameters()")
    weight = values(layer.weight)
    expect.array(layer(student.tensor.Tensor(x)), x @ weight.T, call="Dense(3, 2, bias=False)(x)")
    got = layer.backward(student.tensor.Tensor(grad))
    expect.array(got, grad @ weight, call="its backward(grad)")
    expect.array(layer.weight.grad, grad.T @ x, call="its weight.grad after backward(grad)")


@task("4.3")
@pytest.mark.parametrize("n_in", [4, 100])
def test_dense_starts_uniform_within_its_bound(student, n_in):
    """Weights and biases are spread evenly over the range from -b to b, where b is 1 / sqrt(in_features)."""
    layer, bound = student.layers.Dense(n_in, 4000, rng=student.rng(7)), 1 / math.sqrt(n_in)
    for name in ("weight", "bias"):
        drawn, call = values(getattr(layer, name)).ravel(), f"Dense({n_in}, 4000).{name}"
        largest, hint = float(abs(drawn).max()), "uniform between -b and b, b = 1 / sqrt(in_features)"
        inside, wanted = 0.98 * bound < largest <= bound * 1.000001, f"just under {bound}"
        expect.that(inside, call=f"the largest |value| of {call}", got=largest, expected=wanted, hint=hint)
        counts = np.histogram(drawn, bins=4, range=(-bound, bound))[0] / len(drawn)
        call = f"the fractions of {call} in the four quarters of its range"
        expect.array(counts, np.full(4, 0.25), call=call, atol=0.04, hint=hint)


@task("4.3")
def test_dense_draws_from_its_generator(student):
    """Weights depend only on the generator: a fresh generator gives equal weights only if it has the same seed."""
    make, generator = student.layers.Dense, student.rng(3)
    first, second = make(6, 5, rng=generator), make(6, 5, rng=generator)
    again, other = make(6, 5, rng=student.rng(3)), make(6, 5, rng=student.rng(4))
    for name in ("weight", "bias"):
        drawn = values(getattr(first, name))
        expect.array(getattr(again, name), drawn, rtol=0, atol=0, call=f"the {name} drawn from the same seed again")
        for what, layer in (("a different seed", other), ("the same generator again", second)):
            differs = not np.allclose(values(getattr(layer, name)), drawn)
            call, hint = f"the {name} drawn from {what}", "draw from rng and from nothing else"
            expect.that(differs, call=call, got="the same values", expected="different values", hint=hint)


@task("4.3")
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3)])
def test_dense_forward(student, rng, shape):
    """Dense computes x @ weight.T + bias with the current values of its parameters."""
    layer, x = student.layers.Dense(3, 2, rng=student.rng(2)), rng.normal(size=shape).astype("float32")
    hint = None
    for _ in range(2):
        wanted = x @ values(layer.weight).T + values(layer.bias)
        got = layer(student.tensor.Tensor(x))
        expect.array(got, wanted, dtype="float32", call=f"Dense(3, 2)(x), x of shape {shape}", hint=hint)
        hint = "use self.weight and self.bias in every forward pass, not copies made before"
        layer.weight.data = rng.normal(size=(2, 3)).astype("float32")
        layer.bias.data = rng.normal(size=2).astype("float32")


@task("4.2")
@pytest.mark.parametrize(
    ("rows", "n_in", "n_out"), [((5,), 0, 2), ((5,), 3, 0), ((0,), 3, 2), ((2, 0), 0, 0), ((), 0, 2)]
)
def test_linear_op_of_nothing(student, rows, n_in, n_out):
    """Without rows, inputs or outputs, every array still has the correct shape, and empty sums are 0."""
    x, weight, bias = np.ones((*rows, n_in)), np.ones((n_out, n_in)), np.full(n_out, 7.0)
    call = f"linear.forward(x of {x.shape}, weight of {weight.shape}, bias)"
    output = expect.pull(student.layers.linear.forward(x, weight, bias), call=call)
    expect.array(output, np.full((*rows, n_out), 7.0 if not n_in else n_in + 7.0), call=call)
    got = student.layers.linear.backward(np.ones((*rows, n_out)), output, x, weight, bias)
    call, hint = (
        call.replace("forward(x", "backward(grad, output, x"),
        "reshape cannot work out a -1 when another size is 0",
    )
    wanted = np.full(x.shape, float(n_out)), np.full(weight.shape, float(np.prod(rows))), np.full(n_out, np.prod(rows))
    for name, gradient, its in zip(("x", "weight", "bias"), got, wanted, strict=True):
        expect.array(gradient, its, call=f"{call}: the gradient of {name}", hint=hint)


@task("4.3")
def test_dense_takes_many_features(student, rng):
    """Sizes are compared by value: a size of 784 fits even though it is a different object in each shape."""
    layer, x = student.layers.Dense(784, 2, rng=student.rng(2)), rng.normal(size=(3, 784)).astype("float32")
    wanted = x @ values(layer.weight).T + values(layer.bias)
    call = "Dense(784, 2)(x), x of shape (3, 784)"
    expect.array(
        layer(student.tensor.Tensor(x)), wanted, rtol=1e-3, atol=1e-5, call=call, hint="compare with == and !="
    )


@task("4.3")
def test_dense_is_one_recorded_op(student, rng):
    """A recorder is called for one op, linear, with the input and the parameter tensors themselves."""
    layer, x = student.layers.Dense(3, 2, rng=student.rng(2)), student.tensor.Tensor(rng.normal(size=(4, 3)))
    with traced(student.tensor) as trace:
        layer(x)
    expect.equal([entry[0] for entry in trace.entries], ["linear"], call="the ops a Trace records in Dense(3, 2)(x)")
    for tensor, number in zip(trace.entries[0][1], (5.0, 6.0, 7.0), strict=True):
        tensor.grad = student.tensor.Tensor(number)
    hint = "pass the tensors themselves to apply, so that gradients reach them"
    marks = [x.grad.item(), layer.weight.grad.item(), layer.bias.grad.item()]
    expect.equal(
        marks, [5.0, 6.0, 7.0], call="marks set on the op's inputs, as read from x, weight and bias", hint=hint
    )


@task("4.3")
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3)])
def test_dense_backward(student, rng, shape):
    """Dense passes the gradient on to its input, and gives weight and bias their gradients, summed over all rows."""
    layer, tensor = draw_parameters(student.layers.Dense(3, 2, rng=student.rng(2)), rng), student.tensor.Tensor
    x, grad = rng.normal(size=shape), rng.normal(size=(*shape[:-1], 2))
    layer(tensor(rng.normal(size=(7, 3))))
    layer(tensor(x))
    got, call = layer.backward(tensor(grad)), f"layer = Dense(3, 2); layer(x) of shape {shape}; layer.backward(grad)"
    expect.array(got, grad @ values(layer.weight), call=call)
    rows_x, rows_grad = x.reshape(-1, 3), grad.reshape(-1, 2)
    expect.array(layer.weight.grad, np.einsum("nj,ni->ji", rows_grad, rows_x), call=f"{call}; layer.weight.grad")
    expect.array(layer.bias.grad, np.einsum("nj->j", rows_grad), call=f"{call}; layer.bias.grad")


@task("4.3")
def test_dense_adds_to_gradients(student, rng):
    """A second call to backward adds to the parameters' gradients, and uses what the second forward pass remembered."""
    layer, tensor = draw_parameters(student.layers.Dense(3, 2, rng=student.rng(2)), rng), student.tensor.Tensor
    wanted_weight, wanted_bias = np.zeros((2, 3)), np.zeros(2)
    for rows in (4, 1, 6):
        x, grad = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))
        layer(tensor(x))
        layer.backward(tensor(grad))
        wanted_weight, wanted_bias = wanted_weight + grad.T @ x, wanted_bias + grad.sum(axis=0)
        hint = "backward adds to .grad; only zero_grad clears it"
        expect.array(layer.weight.grad, wanted_weight, call="weight.grad after one more backward", hint=hint)
        expect.array(layer.bias.grad, wanted_bias, call="bias.grad after one more backward", hint=hint)


@task("4.3")
def test_dense_gradients_are_float32(student):
    """The gradients of float32 parameters are float32, even for an input of integers."""
    layer = student.layers.Dense(2, 3, rng=student.rng(2))
    layer(student.tensor.Tensor([[0, 1], [1, 1]]))
    layer.backward(student.tensor.Tensor(np.ones((2, 3), "float32")))
    call = "after Dense(2, 3)(tensor of int64) and backward(ones of float32)"
    expect.array(layer.weight.grad, [[1, 2]] * 3, dtype="float32", call=f"weight.grad {call}")
    expect.array(layer.bias.grad, [2, 2, 2], dtype="float32", call=f"bias.grad {call}")


@task("4.3")
def test_dense_says_what_does_not_fit(student):
    """A wrong input, a wrong gradient, and backward before forward raise errors that say what was needed."""
    layer, tensor = student.layers.Dense(3, 2, rng=student.rng(2)), student.tensor.Tensor
    with expect.raises(RuntimeError, mentions=("forward",), call="Dense(3, 2).backward(grad) without forward"):
        layer.backward(tensor(np.ones((4, 2))))
    with expect.raises(ValueError, mentions=("(4, 2)", "(2, 3)"), call="Dense(3, 2)(x), x of shape (4, 2)"):
        layer(tensor(np.ones((4, 2))))
    layer(tensor(np.ones((4, 3))))
    with expect.raises(ValueError, mentions=("(4, 2)", "(4, 3)"), call="Dense(3, 2).backward(grad of (4, 3))"):
        layer.backward(tensor(np.ones((4, 3))))


# 4.4: Sequential


@task("4.4")
def test_sequential_forward(student, rng):
    """Sequential passes the output of each layer to the next, in order."""
    network, x = build_chain(student, rng), rng.normal(size=(5, 3))
    hidden = np.tanh(x @ values(network[0].weight).T + values(network[0].bias))
    wanted = hidden @ values(network[2].weight).T + values(network[2].bias)
    got = network(student.tensor.Tensor(x))
    expect.array(got, wanted, call="Sequential(Dense(3, 4), Tanh(), Dense(4, 2))(x)")
    expect.equal(len(network), 3, call="len(Sequential(Dense(3, 4), Tanh(), Dense(4, 2)))")


@task("4.4")
def test_sequential_backward(student, rng):
    """Sequential passes the gradient from the last layer to the first; the input and every parameter get a gradient."""
    network, x, grad = build_chain(student, rng), rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    hidden = np.tanh(x @ values(network[0].weight).T + values(network[0].bias))
    network(student.tensor.Tensor(x))
    got = network.backward(student.tensor.Tensor(grad))
    call = "after backward(grad) of Sequential(Dense(3, 4), Tanh(), Dense(4, 2))"
    inner = grad @ values(network[2].weight) * (1 - hidden**2)
    expect.array(got, inner @ values(network[0].weight), call=f"the gradient of the input {call}")
    for dense, its_input, its_grad in ((network[0], x, inner), (network[2], hidden, grad)):
        expect.array(dense.weight.grad, its_grad.T @ its_input, call=f"a weight's gradient {call}")
        expect.array(dense.bias.grad, its_grad.sum(axis=0), call=f"a bias's gradient {call}")


@task("4.4")
def test_sequential_parameters(student, rng):
    """parameters() is one flat list of the layers' own tensors in order, even for a Sequential inside a Sequential."""
    dense = student.layers.Dense
    inner = student.layers.Sequential(dense(4, 5, bias=False, rng=student.rng(1)), student.activations.ReLU())
    network = student.layers.Sequential(dense(3, 4, rng=student.rng(2)), inner, dense(5, 2, rng=student.rng(3)))
    parameters = network.parameters()
    call = "parameters() of Dense(3, 4), Sequential(Dense(4, 5, bias=False), ReLU()), Dense(5, 2)"
    expect.that(type(parameters) is list, call=call, got=expect.name_type(parameters), expected="a list")
    expect.equal([p.shape for p in parameters], [(4, 3), (4,), (5, 4), (2, 5), (2,)], call=f"the shapes of {call}")
    new = rng.normal(size=(5, 4))
    parameters[2].data = new
    expect.array(
        inner[0].weight,
        new,
        call="a layer's weight after parameters()[2].data = …",
        hint="return the tensors themselves, not copies",
    )
    expect.equal([p.shape for p in network.parameters()], [p.shape for p in parameters], call=f"again, {call}")


@task("4.4")
def test_sequential_buffers(student):
    """buffers() is one flat list of the layers' own buffers, even for a Sequential inside a Sequential."""
    sequential, dense = student.layers.Sequential, student.layers.Dense(2, 2, rng=student.rng(1))
    network = sequential(dense, student.activations.ReLU(), sequential(dense, dense))
    call = "Sequential(Dense(2, 2), ReLU(), Sequential(Dense(2, 2), Dense(2, 2))).buffers()"
    expect.equal(network.buffers(), [], call=call, hint="Dense and ReLU have no buffers")
    three = student.layers.Dense(3, 2, rng=student.rng(2))
    one = student.layers.Dense(4, 1, bias=False, rng=student.rng(3))
    keeping, deep = student.activations.ReLU(), student.activations.ReLU()
    keeping.buffers, deep.buffers = three.parameters, one.parameters  # layers with buffers, like those in module 06
    outer = sequential(keeping, dense, sequential(sequential(deep)))
    call = "the shapes of buffers(), for layers with two buffers, none, and one inside another Sequential"
    expect.equal(
        [b.shape for b in outer.buffers()], [(2, 3), (2,), (1, 4)], call=call, hint="collect each layer's buffers()"
    )


@task("4.4")
def test_sequential_of_no_layers(student, rng):
    """Sequential() without layers returns inputs and gradients unchanged, and has neither parameters nor buffers."""
    network, x = student.layers.Sequential(), rng.normal(size=(2, 3))
    expect.array(network(student.tensor.Tensor(x)), x, call="Sequential()(x)")
    expect.array(network.backward(student.tensor.Tensor(x)), x, call="Sequential().backward(grad)")
    expect.equal(network.parameters(), [], call="Sequential().parameters()")
    expect.equal(network.buffers(), [], call="Sequential().buffers()")


# 4.5 and 4.6: the losses


def compute_mse(prediction: np.ndarray, target: np.ndarray) -> float:
    """Compute the mean squared error, element by element."""
    pairs = zip(prediction.flat, target.flat, strict=True)
    return sum((p - t) ** 2 for p, t in pairs) / prediction.size


def compute_bce(prediction: np.ndarray, target: np.ndarray) -> float:
    """Compute the binary cross-entropy: the mean of -ln of the probability assigned to the true label."""
    pairs = zip(prediction.flat, target.flat, strict=True)
    return -sum(t * math.log(p) + (1 - t) * math.log1p(-p) for p, t in pairs) / prediction.size


every_loss = pytest.mark.parametrize(
    ("name", "formula"),
    [
        pytest.param("MSELoss", compute_mse, marks=task("4.5"), id="mse"),
        pytest.param("BCELoss", compute_bce, marks=task("4.6"), id="bce"),
    ],
)


@every_loss
@pytest.mark.parametrize("shape", [(7,), (5, 1), (3, 4), (2, 3, 2)])
def test_loss_values(student, rng, name, formula, shape):
    """The loss is the mean over all elements, a scalar tensor in the prediction's dtype."""
    p, t = rng.uniform(0.05, 0.95, shape), rng.uniform(0, 1, shape)
    for dtype in ("float64", "float32"):
        prediction, target = student.tensor.Tensor(p.astype(dtype)), student.tensor.Tensor(t.astype(dtype))
        loss = getattr(student.layers, name)()(prediction, target)
        call = f"{name}()(prediction, target) of shape {shape}"
        traps = {
            "the mean over all elements, not the sum": formula(p, t) * p.size,
            "a minus sign is missing, or there is one too many": -formula(p, t),
        }
        expect.array(loss, formula(p, t), dtype=dtype, call=call, traps=traps)


@every_loss
@pytest.mark.parametrize("shape", [(6,), (5, 1), (2, 3, 2)])
def test_loss_gradient(student, rng, name, formula, shape):
    """backward() returns the gradient of the last loss with respect to its prediction."""
    criterion, tensor = getattr(student.layers, name)(), student.tensor.Tensor
    p, t = rng.uniform(0.1, 0.9, shape), rng.uniform(0, 1, shape)
    criterion(tensor(rng.uniform(0.1, 0.9, (3, 2))), tensor(np.ones((3, 2))))
    criterion(tensor(p), tensor(t))
    call = f"criterion = {name}(); criterion(prediction, target) of shape {shape}; criterion.backward()"
    wanted = np.empty(shape)
    for index in np.ndindex(shape):
        move = np.zeros(shape)
        move[index] = 1e-6
        wanted[index] = (formula(p + move, t) - formula(p - move, t)) / 2e-6
    traps = {"in a mean over n elements, each element's gradient is divided by n": wanted * p.size}
    expect.array(criterion.backward(), wanted, dtype="float64", call=call, traps=traps, rtol=1e-4)
    criterion(tensor(p.astype("float32")), tensor(t.astype("float32")))
    expect.array(criterion.backward(), wanted, dtype="float32", call=f"{call}, in float32", rtol=1e-4)


@every_loss
def test_loss_op_uses_the_incoming_gradient(student, rng, name, formula):
    """The op's backward function multiplies by the gradient it is given, and returns None for the target."""
    op = getattr(student.layers, {"MSELoss": "mse", "BCELoss": "bce"}[name])
    p, t = rng.uniform(0.1, 0.9, (4, 1)), rng.integers(0, 2, (4, 1)).astype(float)
    output = np.array(formula(p, t))
    once, none = op.backward(np.array(1.0), output, p, t)
    scaled, _ = op.backward(np.array(-2.5), output, p, t)
    call = f"{op.name}.backward(grad, output, prediction, target)"
    expect.array(scaled, -2.5 * expect.pull(once, call=call), call=f"{call} for grad -2.5, compared with grad 1")
    expect.equal(none, None, call=f"{call}[1]", hint="the target has no gradient")


@every_loss
def test_loss_takes_labels_of_integers(student, rng, name, formula):
    """Labels may be integers when probabilities are float32; loss and gradient are float32."""
    p, t = rng.uniform(0.1, 0.9, (6, 1)).astype("float32"), rng.integers(0, 2, (6, 1))
    criterion = getattr(student.layers, name)()
    loss = criterion(student.tensor.Tensor(p), student.tensor.Tensor(t))
    expect.array(loss, formula(p.astype(float), t), dtype="float32", call=f"{name}()(float32, int64)")
    expect.equal(str(criterion.backward().dtype), "float32", call=f"the dtype of {name}'s backward() for int64 labels")


@every_loss
@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_loss_of_integers_is_float32(student, name, formula, dtype):
    """Where prediction and target are both integers or bools, loss and gradient are float32."""
    p, t = np.array([1, 0, 1], dtype), np.array([1, 1, 0], dtype)
    criterion, call = getattr(student.layers, name)(), f"{name}()(tensor of {dtype}, tensor of {dtype})"
    clipped = np.clip(p.astype("float32"), 1e-7, 1 - np.float32(1e-7)).astype(float) if name == "BCELoss" else p * 1.0
    loss = criterion(student.tensor.Tensor(p), student.tensor.Tensor(t))
    expect.array(loss, formula(clipped, t * 1.0), dtype="float32", call=call, rtol=0.02, dtype_hint="use as_floating")
    expect.equal(str(criterion.backward().dtype), "float32", call=f"the dtype of the gradient of {call}")


@every_loss
def test_loss_says_what_does_not_fit(student, name, formula):
    """Different shapes raise a ValueError that states both, even if they broadcast; backward needs a loss first."""
    criterion, tensor = getattr(student.layers, name)(), student.tensor.Tensor
    loss = criterion(tensor([0.5, 0.5]), tensor([1.0, 1.0]))
    expect.array(loss, formula(np.full(2, 0.5), np.ones(2)), call=f"{name}()([0.5, 0.5], [1, 1])")
    with expect.raises(ValueError, mentions=("(4, 1)", "(4,)"), call=f"{name}()(prediction of (4, 1), target of (4,))"):
        criterion(tensor(np.full((4, 1), 0.5)), tensor(np.ones(4)))
    with expect.raises(RuntimeError, mentions=("forward",), call=f"{name}().backward() before any loss"):
        getattr(student.layers, name)().backward()


@task("4.5")
def test_mse_by_hand(student):
    """Errors of 1, -2 and 3 have a mean square of 14/3 and the gradients 2/3, -4/3 and 2."""
    criterion = student.layers.MSELoss()
    loss = criterion(student.tensor.Tensor([2.0, 0.0, 5.0]), student.tensor.Tensor([1.0, 2.0, 2.0]))
    expect.array(loss, 14 / 3, call="MSELoss()([2, 0, 5], [1, 2, 2])")
    expect.array(criterion.backward(), [2 / 3, -4 / 3, 2], call="its backward()")


@task("4.6")
def test_bce_of_a_guess(student):
    """Predicting 0.5 for every example gives a loss of ln 2, whatever the labels are."""
    for labels in ([0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]):
        loss = student.layers.BCELoss()(student.tensor.Tensor([0.5] * 4), student.tensor.Tensor(labels))
        expect.array(
            loss, math.log(2), call=f"BCELoss()([0.5, 0.5, 0.5, 0.5], {labels})", hint="use the natural logarithm"
        )


@task("4.6")
def test_bce_of_certainty(student):
    """The loss of a confident answer is near 0 if it is correct and -ln(1e-7) if wrong, and its slope is finite."""
    criterion, tensor = student.layers.BCELoss(), student.tensor.Tensor
    hint = "keep the probabilities EPSILON away from 0 and from 1 before any logarithm or division"
    for p, t, wanted, slope in (
        (0.0, 1.0, -math.log(1e-7), -1e7),
        (1.0, 0.0, -math.log(1e-7), 1e7),
        (1e-9, 1.0, -math.log(1e-7), -1e7),
        (0.0, 0.0, 1e-7, 1.0),
        (1.0, 1.0, 1e-7, -1.0),
        (1e-5, 1.0, -math.log(1e-5), -1e5),
        (1 - 1e-5, 0.0, -math.log(1e-5), 1e5),
    ):
        call = f"BCELoss()([{p}], [{t}]) in float64"
        expect.array(criterion(tensor(np.array([p])), tensor(np.array([t]))), wanted, call=call, hint=hint, atol=1e-9)
        expect.array(criterion.backward(), [slope], call=f"{call}; backward()", hint=hint)


@task("4.6")
def test_bce_of_certainty_in_float32(student):
    """In float32, a confident but wrong answer has a loss of about 16, and a finite gradient of the correct sign."""
    criterion, tensor = student.layers.BCELoss(), student.tensor.Tensor
    for p, t, sign in ((0.0, 1.0, -1), (1.0, 0.0, 1)):
        call = f"BCELoss()([{p}], [{t}]) in float32"
        expect.array(criterion(tensor([p]), tensor([t])), 16, call=call, atol=0.3, rtol=0, dtype="float32")
        slope = float(values(criterion.backward())[0])
        fine = math.isfinite(slope) and 5e6 < sign * slope < 2e7
        expect.that(fine, call=f"{call}; backward()", got=slope, expected=f"about {sign * 1e7:.0e}")


@task("4.6")
def test_bce_of_certainty_in_float16(student):
    """In float16, where 1 - 1e-7 is 1, losses and gradients stay finite, and a correct answer has a loss near 0."""
    criterion, tensor = student.layers.BCELoss(), student.tensor.Tensor
    for p, t, least, most in (([1, 0], [1, 0], 0, 2e-3), ([1, 1], [0, 0], 5, 20), ([0, 0], [1, 1], 5, 20)):
        prediction, target = (tensor(np.array(numbers, "float16")) for numbers in (p, t))
        call, hint = f"BCELoss()({p}, {t}) in float16", "clip_probabilities knows how close to 1 the dtype can come"
        loss = float(expect.pull(criterion(prediction, target), call=call))
        expect.that(least <= loss <= most, call=call, got=loss, expected=f"from {least} to {most}", hint=hint)
        slopes = values(criterion.backward())
        fine = bool(np.isfinite(slopes).all() and (np.sign(slopes) == np.sign(0.5 - np.array(t))).all())
        expect.that(fine, call=f"{call}; backward()", got=slopes, expected="finite slopes towards the label", hint=hint)


# 4.7: one step of gradient descent


@task("4.7")
def test_step_moves_parameters_against_their_gradient(student, rng):
    """One step subtracts lr times the gradient from every parameter, and returns the loss before the step."""
    layer = draw_parameters(student.layers.Dense(3, 2, rng=student.rng(2)), rng)
    network, criterion = student.layers.Sequential(layer), student.layers.MSELoss()
    x, t, lr = rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), 0.3
    call = "gradient_descent_step(Sequential(Dense(3, 2)), MSELoss(), x, t, lr=0.3)"
    for _ in range(2):
        weight, bias = values(layer.weight), values(layer.bias)
        error = x @ weight.T + bias - t
        loss = take_step(student, network, criterion, x, t, lr)
        expect.that(type(loss) is float, call=call, got=loss, expected="a Python float", hint="loss.item()")
        expect.array(loss, (error**2).mean(), call=call, hint="return the loss before the parameters move")
        hint = "weight - lr * gradient, with the gradient of only this step"
        expect.array(layer.weight, weight - lr * 2 * error.T @ x / 10, call=f"the weight after {call}", hint=hint)
        expect.array(layer.bias, bias - lr * 2 * error.sum(axis=0) / 10, call=f"the bias after {call}", hint=hint)


@task("4.7")
def test_step_forgets_older_gradients(student, rng):
    """Older gradients are cleared; the step's own gradients can be read afterwards."""
    layer = draw_parameters(student.layers.Dense(3, 2, rng=student.rng(2)), rng)
    x, t = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    weight = values(layer.weight)
    wanted = 2 * (x @ weight.T + values(layer.bias) - t).T @ x / 10
    for parameter in layer.parameters():
        student.layers.accumulate_grad(parameter, np.full(values(parameter).shape, 100.0))
    take_step(student, student.layers.Sequential(layer), student.layers.MSELoss(), x, t, 0.1)
    call = "one step with lr=0.1 from gradients of 100"
    expect.array(
        layer.weight, weight - 0.1 * wanted, call=f"the weight after {call}", hint="call zero_grad before backward"
    )
    hint = "leave this step's gradients in .grad"
    expect.array(layer.weight.grad, wanted, call=f"weight.grad after {call}", hint=hint)


@task("4.7")
def test_step_keeps_tensors_and_dtype(student, rng):
    """Parameters stay the same tensors in float32, whatever kind of float lr is; lr = 0 changes nothing."""
    network = student.layers.Sequential(student.layers.Dense(3, 2, rng=student.rng(2)))
    parameters, before = network.parameters(), [values(p) for p in network.parameters()]
    x, t = rng.normal(size=(5, 3)).astype("float32"), rng.normal(size=(5, 2)).astype("float32")
    take_step(student, network, student.layers.MSELoss(), x, t, 0.0)
    for parameter, old in zip(parameters, before, strict=True):
        expect.array(parameter, old, rtol=0, atol=0, call="a parameter after a step with lr=0")
    take_step(student, network, student.layers.MSELoss(), x, t, 0.5)
    for parameter, now, old in zip(parameters, network.parameters(), before, strict=True):
        expect.array(parameter, values(now), dtype="float32", call="a tensor of parameters() from before the step")
        moved = not np.allclose(values(parameter), old)
        expect.that(moved, call="a parameter after a step with lr=0.5", got="no change", expected="a different value")


# 4.8: build the XOR network, and query it


@task("4.8")
def test_recipe_builds_from_its_generator(student):
    """build() draws every weight from rng: equal seeds give equal networks, and different seeds different ones."""
    recipe = student.recipe("04_layers")
    first, again, other = (recipe.build(student.rng(seed)).parameters() for seed in (1, 1, 2))
    expect.that(
        len(first) >= 4, call="len(build(rng).parameters())", got=len(first), expected="4 or more, for two Dense layers"
    )
    for mine, same in zip(first, again, strict=True):
        expect.array(same, values(mine), rtol=0, atol=0, call="a parameter of build(rng) with the same seed")
    differs = any(not np.array_equal(values(a), values(b)) for a, b in zip(first, other, strict=True))
    call = "all parameters of build(rng) with a different seed"
    hint = "draw from the rng that is passed to build, not from another generator"
    expect.that(differs, call=call, got="the same values", expected="different values", hint=hint)


@task("4.8")
def test_recipe_predicts_probabilities(student, rng):
    """predict() returns one probability for each point, row by row, as a float array of shape (n, 1)."""
    recipe = student.recipe("04_layers")
    network, points = recipe.build(student.rng(5)), rng.uniform(0, 1, (9, 2)).astype("float32")
    got = recipe.predict(network, points)
    call = "predict(build(rng), points of shape (9, 2))"
    expect.that(type(got) is np.ndarray, call=call, got=got, expected="an array", hint="return the tensor's .numpy()")
    expect.equal(got.shape, (9, 1), call=f"the shape of {call}")
    inside = bool(((got >= 0) & (got <= 1)).all())
    expect.that(inside, call=call, got=got, expected="probabilities: 0 to 1", hint="end the network with Sigmoid")
    expect.array(recipe.predict(network, points[3:4]), got[3:4], call="predict for only one of the points", atol=1e-5)


@task("4.8")
def test_recipe_predictions_come_from_the_parameters(student):
    """Different parameters give different predictions, and restoring the first ones restores the first predictions."""
    recipe = student.recipe("04_layers")
    network, other = recipe.build(student.rng(1)), recipe.build(student.rng(2))
    first, saved = np.array(recipe.predict(network, POINTS)), [values(p) for p in network.parameters()]
    for mine, its in zip(network.parameters(), other.parameters(), strict=True):
        mine.data = values(its)
    wanted = recipe.predict(other, POINTS)
    call = "predict after all parameters were replaced with those of another network"
    expect.array(recipe.predict(network, POINTS), wanted, call=call, hint="compute only from network.parameters()")
    for mine, values_before in zip(network.parameters(), saved, strict=True):
        mine.data = values_before
    expect.array(recipe.predict(network, POINTS), first, call="predict after restoring the first parameters")


@task("4.8")
def test_recipe_starts_without_knowledge(student):
    """A fresh network has a loss of about ln 2, not much less, because it knows nothing about XOR."""
    recipe = student.recipe("04_layers")
    for seed in range(3):
        loss = compute_bce(recipe.predict(recipe.build(student.rng(seed)), POINTS).astype(float), XOR)
        hint = "build draws every weight from rng, and nothing in it depends on XOR"
        call = f"the loss of build(rng({seed})) on XOR"
        expect.that(loss > 0.4, call=call, got=loss, expected="about 0.69", hint=hint)


# 4.9: train it


@task("4.9")
@pytest.mark.parametrize("labels", ["XOR", "its opposite", "one corner", "all but one", "one side"])
def test_recipe_learns(student, rng, labels):
    """After training, all corners of a rotated square are classified correctly, with a small loss, for any labels."""
    corner = np.eye(4, dtype=np.float32)[[int(rng.integers(4))]].T
    others = {"one corner": corner, "all but one": 1 - corner, "one side": POINTS[:, :1]}
    targets = ({"XOR": XOR, "its opposite": 1 - XOR} | others)[labels]
    angle, side, middle = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.25), rng.uniform(0, 1, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = (middle + side * (POINTS - 0.5) @ turn).astype(np.float32)
    recipe, seed, order = student.recipe("04_layers"), int(rng.integers(1000)), rng.permutation(4)
    network = recipe.build(student.rng(seed))
    recipe.train(network, corners[order], targets[order], rng=student.rng(seed), progress=ignore_reports)
    got = recipe.predict(network, corners).astype(float)
    shown = ", ".join(f"({x:.2f}, {y:.2f})" for x, y in corners)
    call = f"predict for {shown} after training on labels of {labels} from seed {seed}"
    loss = compute_bce(np.clip(got, 1e-7, 1 - 1e-7), targets)
    says, hint = interpret_loss(loss)
    shown = f"{got.ravel().round(3).tolist()}, a loss of {loss:.3f}: {says}"
    right = bool(((got > 0.5) == (targets > 0.5)).all()) and loss < 0.1
    wanted = f"near {targets.ravel().tolist()}, a loss below 0.1"
    expect.that(right, call=call, got=shown, expected=wanted, hint=hint)


@task("4.9")
def test_recipe_tells_its_progress(student):
    """train() calls progress about 50 times with the step, the number of steps, and a loss that falls."""
    told, recipe = Reports("step", "steps", "loss"), student.recipe("04_layers")
    network = recipe.build(student.rng(1))
    recipe.train(network, POINTS, XOR, rng=student.rng(1), progress=told)
    call, count = "the calls to progress(step, steps, loss) in one training run", len(told.calls)
    expect.that(20 <= count <= 200, call=call, got=f"called {count} times", expected="about 50 times")
    told.check_types(int, int, float)
    steps, totals, losses = ([report[name] for report in told.calls] for name in ("step", "steps", "loss"))
    ordered = steps == sorted(set(steps)) and len(set(totals)) == 1 and steps[-1] <= totals[0]
    got = f"{told.calls[0]} … {told.calls[-1]}"
    expect.that(ordered, call=call, got=got, expected="steps that increase towards one total, the same in each call")
    says, hint = interpret_loss(losses[-1])
    fell, got = losses[-1] < 0.1 < losses[0], f"from {losses[0]:.3f} to {losses[-1]:.3f}: {says}"
    expect.that(fell, call=f"the losses in {call}", got=got, expected="from about 0.69 to below 0.1", hint=hint)


def interpret_loss(loss: float) -> tuple[str, str]:
    """Return what a loss on four labelled corners means, as the troubleshooting page does, and where to look first."""
    if not math.isfinite(loss):
        return "NaN or infinity", "a logarithm of 0, an overflow in exp, or too large a learning rate"
    if loss > 0.8:
        return "worse than always answering 0.5", "train must use the targets it is given, in the inputs' order"
    if loss > 0.6:
        hint = "a nonlinearity between the layers, steps that change every weight, a learning rate that is not tiny"
        return "as good as always answering 0.5", hint
    return "better than always answering 0.5", "more steps, a larger learning rate, or a wider hidden layer"


def make_shared_array(student):
    """Create two ones in the student's process, where the test can change them; plain arrays would be copies."""
    return student.tensor.np.ma.ones(2, "float32")


def build_chain(student, rng):
    """Build Dense(3, 4), Tanh(), Dense(4, 2) with random float64 parameters."""
    dense = student.layers.Dense
    layers = dense(3, 4, rng=student.rng(1)), student.activations.Tanh(), dense(4, 2, rng=student.rng(2))
    return draw_parameters(student.layers.Sequential(*layers), rng)


def take_step(student, network, criterion, inputs: np.ndarray, targets: np.ndarray, lr: float):
    """Take one step of gradient descent on arrays, and return its loss."""
    tensor = student.tensor.Tensor
    return student.layers.gradient_descent_step(network, criterion, tensor(inputs), tensor(targets), lr)
