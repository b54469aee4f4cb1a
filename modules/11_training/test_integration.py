"""Integration tests of milestone 3: every layer since module 02, trained with the tape, and the recipe."""

from itertools import islice

import numpy as np

from grading.testing import expect, recipes, task, values

RECIPE = recipes.ImageRecipe("11_training", (3, 32, 32), sides=2, reports_the_end=True)


def convert_to_float64(parameters):
    """Convert the parameters to float64, so that finite differences keep correct digits, and return them."""
    for parameter in parameters:
        parameter.data = values(parameter).astype("float64")
    return parameters


def check_against_differences(student, compute_loss, tensors, *, about, per_tensor=4, step=1e-6):
    """Check the tape's gradients of `compute_loss()` against central differences, for some elements of each tensor."""
    for tensor in tensors:
        tensor.grad = None
    student.autograd.require_grad(tensors)
    with student.autograd.Tape():
        total = compute_loss()
    total.backward()
    for number, tensor in enumerate(tensors):
        call = f"the gradient of tensor {number} of {about}"
        expect.that(
            tensor.grad is not None, call=call, got="None", expected="a tensor: the gradient's path is not broken"
        )
        weights, got = values(tensor), values(tensor.grad)
        expect.equal(got.shape, weights.shape, call=f"the shape of {call}")
        for index in islice(np.ndindex(weights.shape), 0, None, max(1, weights.size // per_tensor)):
            ends = []
            for sign in (1, -1):
                moved = weights.copy()
                moved[index] += sign * step
                tensor.data = moved
                ends.append(compute_loss().item())
            tensor.data = weights
            slope = (ends[0] - ends[1]) / (2 * step)
            expect.array(float(got[index]), slope, call=f"{call}, at {index}", rtol=1e-4, atol=1e-7)


def build_convolutional_network(student, seed=0):
    """Return a network with layers from modules 03 to 06, for images of 2 channels and 9×8 pixels."""
    spatial, activations, rng = student.spatial, student.activations, student.rng(seed)
    return student.layers.Sequential(
        spatial.Conv2d(2, 4, 3, stride=(2, 1), padding=1, bias=False, rng=rng),
        spatial.BatchNorm2d(4),
        activations.Tanh(),
        spatial.MaxPool2d(2, stride=(1, 2)),
        spatial.Conv2d(4, 3, (2, 3), rng=rng),
        activations.GELU(),
        spatial.AvgPool2d(2, stride=1),
        spatial.Flatten(),
        student.layers.Dense(6, 5, rng=rng),
        activations.Sigmoid(),
        student.layers.Dense(5, 5, rng=rng),
    )


@task("9.8")
def test_a_tape_differentiates_a_whole_network_of_convolutions(student, rng):
    """A tape computes exact gradients of all parameters and images through layers written before it."""
    network, criterion = build_convolutional_network(student), student.dense.CrossEntropyLoss()
    images = student.tensor.Tensor(rng.normal(size=(3, 2, 9, 8)))
    target = student.tensor.Tensor(rng.integers(0, 5, 3))
    tensors = [*convert_to_float64(network.parameters()), images]
    check_against_differences(
        student, lambda: criterion(network(images), target), tensors, about="a network of convolutions"
    )


@task("9.8")
def test_a_tape_differentiates_attention(student, rng):
    """A tape computes exact gradients through the heads, mask and softmax of a small attention network."""
    attention = student.attention.MultiHeadAttention(4, 2, rng=student.rng(0))
    head = student.layers.Dense(4, 3, rng=student.rng(1))
    words = student.tensor.Tensor(rng.normal(size=(2, 5, 4)))
    positions = student.attention.sinusoidal_positions(5, 4)
    mask = student.attention.causal_mask(5)
    target = student.tensor.Tensor(rng.normal(size=(2, 5, 3)))
    tensors = [*convert_to_float64(attention.parameters()), *convert_to_float64(head.parameters()), words]

    def compute_loss():
        mixed = attention(words + positions, mask=mask)
        return ((head(words + mixed) - target) ** 2).mean()

    check_against_differences(student, compute_loss, tensors, about="a small attention network")


@task("9.8")
def test_a_tape_and_the_chain_of_backwards_agree(student, rng):
    """For the same network in float32, a tape and Sequential.backward compute the same gradients."""
    network, criterion = build_convolutional_network(student), student.dense.CrossEntropyLoss()
    images = student.tensor.Tensor(rng.normal(size=(8, 2, 9, 8)).astype("float32"))
    target = student.tensor.Tensor(rng.integers(0, 5, 8))
    parameters = network.parameters()
    student.autograd.require_grad(parameters)
    with student.autograd.Tape():
        loss = criterion(network(images), target)
    loss.backward()
    taped = [values(parameter.grad) for parameter in parameters]
    student.layers.zero_grad(parameters)
    criterion(network(images), target)
    network.backward(criterion.backward())
    for number, (parameter, got) in enumerate(zip(parameters, taped, strict=True)):
        call = f"the gradient that a tape gives parameter {number}, compared with that of Sequential.backward"
        expect.array(got, values(parameter.grad), call=call, rtol=1e-4, atol=1e-5, dtype="float32")


@task("10.1")
def test_a_step_moves_every_parameter(student, rng):
    """One step of an optimiser changes every parameter of the network."""
    network, criterion = build_convolutional_network(student), student.dense.CrossEntropyLoss()
    images = student.tensor.Tensor(rng.normal(size=(8, 2, 9, 8)).astype("float32"))
    target = student.tensor.Tensor(rng.integers(0, 5, 8))
    before = [values(parameter) for parameter in network.parameters()]
    optimizer = student.optimizers.Adam(network.parameters(), lr=0.01)
    with student.autograd.Tape():
        loss = criterion(network(images), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    for number, (parameter, old) in enumerate(zip(network.parameters(), before, strict=True)):
        still = np.array_equal(values(parameter), old)
        expect.that(not still, call=f"parameter {number} after a step", got="unchanged", expected="moved")


@task("11.6")
def test_a_batch_is_memorised(student, rng):
    """Loader, network, optimiser and schedule together bring the loss of 16 random labels to nearly 0."""
    spatial = student.spatial
    network = student.layers.Sequential(
        spatial.Conv2d(2, 16, 3, padding=1, bias=False, rng=student.rng(1)),
        spatial.BatchNorm2d(16),
        student.activations.ReLU(),
        spatial.MaxPool2d(2),
        spatial.Flatten(),
        student.layers.Dense(16 * 4 * 4, 5, rng=student.rng(2)),
    )
    images, labels = rng.normal(size=(16, 2, 9, 8)).astype("float32"), rng.integers(0, 5, 16)
    dataset = student.dataloader.ArrayDataset(images, labels)
    loader = student.dataloader.DataLoader(dataset, 16, shuffle=True, rng=student.rng(3), prefetch=1)
    optimizer = student.optimizers.Adam(network.parameters(), lr=0.01)
    schedule = student.optimizers.CosineAnnealingLR(optimizer, 60)
    criterion = student.dense.CrossEntropyLoss()
    trainer = student.training.Trainer(network, criterion, optimizer, scheduler=schedule, max_norm=5.0)
    history = trainer.fit(loader, 60)
    first, last = history[0]["loss"], history[-1]["loss"]
    hint = "a network that cannot memorise one batch has a wrong gradient somewhere"
    expect.that(
        first > 1, call="the loss of the first epoch", got=first, expected="more than 1; guessing gives ln 5 = 1.6"
    )
    expect.that(last < 0.1, call="the loss of the last epoch", got=last, expected="below 0.1", hint=hint)


@task("11.14")
def test_recipe_learns_a_simple_task(student, rng):
    """From 256 images with a bright square above or below the middle, the recipe learns where the square is."""
    recipes.check_simple_task_is_learned(student, rng, RECIPE)


@task("11.14")
def test_recipe_may_be_asked_while_it_trains(student, rng):
    """Calling predict from inside progress does not change what is learned."""
    recipes.check_predicting_while_training(student, rng, RECIPE, 40)


@task("11.14")
def test_recipe_leaves_what_it_was_given(student, rng):
    """Training changes neither the images nor any other network."""
    recipes.check_inputs_are_unchanged(student, rng, RECIPE, 40)
