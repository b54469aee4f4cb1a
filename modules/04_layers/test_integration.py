"""Modules 01 to 04 together: whole networks, their gradients, how they learn, and the recipe of milestone 1."""

import math
from itertools import pairwise

import numpy as np
import pytest

from grading.testing import expect, ignore_reports, task, values

POINTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
XOR = np.array([[0], [1], [1], [0]], np.float32)
HIDDEN = ("ReLU", "LeakyReLU", "Sigmoid", "Tanh", "Softmax", "GELU")


@task("4.4")
@pytest.mark.parametrize("activation", HIDDEN)
def test_a_networks_whole_gradient(student, rng, activation):
    """The gradient of a whole network agrees with finite differences, for its input and for every parameter."""
    network, criterion = build_network(student, (3, 4, 1), activation), student.layers.BCELoss()
    inputs, targets = (student.tensor.Tensor(rng.uniform(*limits)) for limits in ((-2, 2, (5, 3)), (0, 1, (5, 1))))
    for parameter in network.parameters():
        # Weights this small keep probabilities away from EPSILON, where the loss is flat but its gradient is not 0.
        parameter.data = rng.uniform(-0.5, 0.5, values(parameter).shape)
    criterion(network(inputs), targets)
    grad_inputs = network.backward(criterion.backward())
    gradients = [values(parameter.grad) for parameter in network.parameters()]
    for tensor, got in zip((inputs, *network.parameters()), (grad_inputs, *gradients), strict=True):
        start = values(tensor)
        index = tuple(int(rng.integers(size)) for size in start.shape)
        ends = []
        for move in (1e-6, -1e-6):
            moved = start.copy()
            moved[index] += move
            tensor.data = moved
            ends.append(criterion(network(inputs), targets).item())
        tensor.data = start
        call = f"Dense(3, 4), {activation}(), Dense(4, 1), Sigmoid(), BCELoss: [{index}] of a gradient of {start.shape}"
        slope = (ends[0] - ends[1]) / 2e-6
        expect.array(values(got)[index], slope, call=call, rtol=1e-4, hint="check each layer's backward separately")


@task("4.3")
def test_every_parameter_gets_a_gradient(student, rng):
    """After a backward pass, all parameters of a deep network have finite gradients with their own shape and dtype."""
    network, criterion = build_network(student, (3, 8, 7, 6, 2), "Tanh"), student.layers.MSELoss()
    inputs, targets = (student.tensor.Tensor(rng.uniform(size=s).astype("float32")) for s in ((9, 3), (9, 2)))
    criterion(network(inputs), targets)
    network.backward(criterion.backward())
    parameters = network.parameters()
    expect.equal(len(parameters), 8, call="len(parameters()) of four Dense layers")
    for parameter in parameters:
        call = f"the gradient of a parameter of shape {parameter.shape}"
        expect.that(parameter.grad is not None, call=call, got="None", expected="a tensor of the same shape")
        expect.equal(parameter.grad.shape, parameter.shape, call=f"the shape of {call}")
        expect.equal(str(parameter.grad.dtype), "float32", call=f"the dtype of {call}")
        alive = bool(np.isfinite(values(parameter.grad)).all() and np.any(values(parameter.grad)))
        expect.that(alive, call=call, got=values(parameter.grad), expected="finite numbers, not all of them 0")


@task("4.7")
@pytest.mark.parametrize("loss", ["MSELoss", "BCELoss"])
def test_training_reduces_the_loss(student, rng, loss):
    """A hundred small steps reduce the loss, and so does nearly every single step."""
    network, criterion = build_network(student, (3, 8, 1), "Tanh"), getattr(student.layers, loss)()
    inputs = student.tensor.Tensor(rng.normal(size=(20, 3)).astype("float32"))
    targets = student.tensor.Tensor((values(inputs).sum(axis=1, keepdims=True) > 0).astype("float32"))
    step = student.layers.gradient_descent_step
    losses = np.array([step(network, criterion, inputs, targets, 0.2) for _ in range(100)])
    call = f"the losses of 100 steps with lr=0.2 and {loss}"
    fell = losses[-1] < 0.8 * losses[0] and (np.diff(losses) < 0).mean() > 0.9
    expect.that(bool(fell), call=call, got=losses[[0, 1, 50, 99]], expected="a last loss below the first")


@task("4.7")
def test_a_linear_network_cannot_learn_xor(student):
    """Without a nonlinearity between them, Dense layers stay at ln 2, the loss of a guess."""
    dense = student.layers.Dense
    layers = dense(2, 8, rng=student.rng(1)), dense(8, 1, rng=student.rng(2)), student.activations.Sigmoid()
    network, criterion = student.layers.Sequential(*layers), student.layers.BCELoss()
    inputs, targets = student.tensor.Tensor(POINTS), student.tensor.Tensor(XOR)
    for _ in range(300):
        loss = student.layers.gradient_descent_step(network, criterion, inputs, targets, 0.5)
    call = "the loss of Dense(2, 8), Dense(8, 1), Sigmoid() after 300 steps on XOR"
    expect.array(loss, math.log(2), call=call, atol=0.005, hint="a chain of Dense layers is one Dense layer")
    right = int(((values(network(inputs)) > 0.5) == (XOR > 0.5)).sum())
    expect.that(right < 4, call="the number of correct points out of four", got=right, expected="at most 3")


@task("4.1")
def test_gradients_of_two_batches_add_up(student, rng):
    """Two backward passes leave the sum of both gradients, and after zero_grad the next gradient starts from 0."""
    network, criterion = build_network(student, (2, 5, 1), "Tanh"), student.layers.MSELoss()
    batches, alone = [], []
    for rows in (4, 3):
        inputs, targets = (student.tensor.Tensor(rng.uniform(size=(rows, n)).astype("float32")) for n in (2, 1))
        student.layers.zero_grad(network.parameters())
        alone.append(accumulate_gradients(network, criterion, inputs, targets))
        batches.append((inputs, targets))
    both = accumulate_gradients(network, criterion, *batches[0])
    for got, one, other in zip(both, *alone, strict=True):
        expect.array(got, one + other, call="a gradient after backward on two batches", rtol=1e-4)


@task("4.7")
def test_half_a_batch_twice_is_the_whole(student, rng):
    """The mean of the gradients of two halves is the gradient of the whole batch, since losses are means."""
    network, criterion = build_network(student, (2, 5, 1), "GELU"), student.layers.BCELoss()
    x, t = rng.uniform(size=(8, 2)), rng.uniform(size=(8, 1))
    sums = []
    for parts in (1, 2):
        student.layers.zero_grad(network.parameters())
        for rows in np.split(np.arange(8), parts):
            got = accumulate_gradients(
                network, criterion, student.tensor.Tensor(x[rows]), student.tensor.Tensor(t[rows])
            )
        sums.append(got)
    for whole, halves in zip(*sums, strict=True):
        expect.array(halves / 2, whole, call="half the sum of the gradients of two halves of a batch", rtol=1e-4)


@task("4.7")
def test_too_large_a_learning_rate_diverges(student):
    """If the learning rate is too large, the loss of a linear fit grows; with a smaller one, it falls."""
    inputs, targets = student.tensor.Tensor([[1.0], [2.0], [3.0]]), student.tensor.Tensor([[2.0], [4.0], [6.0]])
    for lr, grows in ((0.1, False), (0.4, True)):
        network = student.layers.Sequential(student.layers.Dense(1, 1, bias=False, rng=student.rng(1)))
        criterion = student.layers.MSELoss()
        losses = [student.layers.gradient_descent_step(network, criterion, inputs, targets, lr) for _ in range(5)]
        call = f"the losses of y = 2x with lr={lr}"
        expect.that(
            (losses[-1] > losses[0]) is grows, call=call, got=losses, expected="growing" if grows else "falling"
        )


@task("4.9")
def test_recipe_stands_noise(student, rng):
    """A trained network is also correct near the four points, where no labels were given."""
    recipe, seed = student.recipe("04_layers"), int(rng.integers(1000))
    network = recipe.build(student.rng(seed))
    recipe.train(network, POINTS, XOR, rng=student.rng(seed), progress=ignore_reports)
    which = np.repeat(np.arange(4), 50)
    noisy = (POINTS[which] + rng.normal(0, 0.1, (200, 2))).astype("float32")
    right = float(((recipe.predict(network, noisy) > 0.5) == (XOR[which] > 0.5)).mean())
    call = f"the fraction of 200 noisy points that are classified correctly, seed {seed}"
    learned = right > 0.8
    hint = (
        "a wider hidden layer, or more steps"
        if learned
        else "it has not even learned the four points: look at its loss first"
    )
    expect.that(right >= 0.95, call=call, got=f"{right:.1%}", expected="at least 95%", hint=hint)


@task("4.9")
def test_recipe_takes_any_number_of_points(student, rng):
    """Training works with many noisy copies of the points in random order."""
    recipe, which = student.recipe("04_layers"), rng.permutation(np.repeat(np.arange(4), 8))
    inputs = (POINTS[which] + rng.normal(0, 0.05, (32, 2))).astype("float32")
    network = recipe.build(student.rng(3))
    recipe.train(network, inputs, XOR[which], rng=student.rng(3), progress=ignore_reports)
    got = recipe.predict(network, POINTS)
    right = bool(((got > 0.5) == (XOR > 0.5)).all())
    expect.that(right, call="predict for the four points after training on 32 noisy ones", got=got, expected="XOR")


@task("4.9")
def test_recipe_may_be_asked_while_it_trains(student):
    """Asking for predictions during a call to progress does not change what is learned."""
    recipe, results = student.recipe("04_layers"), []
    for asks in (False, True):
        network = recipe.build(student.rng(4))

        def ask_network(*_values, network=network, **_named):
            recipe.predict(network, POINTS[:3])

        recipe.train(network, POINTS, XOR, rng=student.rng(4), progress=ask_network if asks else ignore_reports)
        results.append(values(recipe.predict(network, POINTS)))
    hint = "call progress after a step, not between forward and backward"
    expect.array(
        results[1], results[0], call="predict after training in which progress asked for predictions", hint=hint
    )


@task("4.9")
def test_recipe_changes_only_its_own_network(student):
    """Training one network changes neither another network nor the arrays that train is given."""
    recipe, inputs, targets = student.recipe("04_layers"), student.tensor.Tensor(POINTS), student.tensor.Tensor(XOR)
    trained, other = recipe.build(student.rng(1)), recipe.build(student.rng(1))
    fresh = np.array(recipe.predict(other, POINTS))
    recipe.train(trained, inputs.data, targets.data, rng=student.rng(1), progress=ignore_reports)
    expect.array(recipe.predict(other, POINTS), fresh, call="predict for another network, after training one")
    differs = not np.allclose(recipe.predict(trained, POINTS), fresh, atol=0.1)
    expect.that(
        differs, call="predict for the trained network", got="the same as before training", expected="different answers"
    )
    expect.array(inputs, POINTS, call="the inputs after training")


def build_network(student, sizes, activation):
    """Build Dense layers of these sizes, with an activation between them and Sigmoid at the end."""
    layers = []
    for seed, (n_in, n_out) in enumerate(pairwise(sizes)):
        layers += [student.layers.Dense(n_in, n_out, rng=student.rng(seed)), getattr(student.activations, activation)()]
    return student.layers.Sequential(*layers[:-1], student.activations.Sigmoid())


def accumulate_gradients(network, criterion, inputs, targets):
    """Run one more forward and backward pass, and return copies of all gradients."""
    criterion(network(inputs), targets)
    network.backward(criterion.backward())
    return [values(parameter.grad) for parameter in network.parameters()]
