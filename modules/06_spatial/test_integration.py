"""Integration tests of milestone 2: images, layers, a training step and the recipe working together."""

from itertools import islice

import numpy as np

from grading.testing import expect, recipes, task, values

RECIPE = recipes.ImageRecipe("06_spatial", (1, 28, 28))


def build_small_network(student, seed=0):
    """Build a network with every kind of layer from modules 03 to 06, for images of 2 channels and 9×8 pixels."""
    spatial, rng = student.spatial, student.rng(seed)
    return student.layers.Sequential(
        spatial.Conv2d(2, 4, 3, stride=(2, 1), padding=1, bias=False, rng=rng),
        spatial.BatchNorm2d(4),
        student.activations.Tanh(),
        spatial.MaxPool2d(2, stride=(1, 2)),
        spatial.Conv2d(4, 3, (2, 3), rng=rng),
        student.activations.GELU(),
        spatial.AvgPool2d(2, stride=1),
        spatial.Flatten(),
        student.layers.Dense(6, 5, rng=rng),
    )


@task("6.9")
def test_gradients_through_a_whole_network(student, rng):
    """The gradients of all parameters and of the images agree with finite differences in float64."""
    network, criterion = build_small_network(student), student.dense.CrossEntropyLoss()
    for parameter in network.parameters():
        parameter.data = values(parameter).astype("float64")
    x, targets = rng.normal(size=(3, 2, 9, 8)), rng.integers(0, 5, 3)
    target = student.tensor.Tensor(targets)

    def compute_loss(images):
        return criterion(network(student.tensor.Tensor(images)), target).item()

    compute_loss(x)
    grad_x = values(network.backward(criterion.backward()))
    step = 1e-6
    for parameter, name in zip(
        network.parameters(), "conv.weight bn.weight bn.bias conv2.weight conv2.bias".split(), strict=False
    ):
        weights, got = values(parameter), values(parameter.grad)
        for index in islice(np.ndindex(weights.shape), 0, None, max(1, weights.size // 6)):
            ends = []
            for sign in (1, -1):
                moved = weights.copy()
                moved[index] += sign * step
                parameter.data = moved
                ends.append(compute_loss(x))
            parameter.data = weights
            call = f"the gradient of {name} at {index} in a network of convolutions"
            expect.array(float(got[index]), (ends[0] - ends[1]) / (2 * step), call=call, rtol=1e-4, atol=1e-7)
    for index in islice(np.ndindex(x.shape), 0, None, x.size // 8):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * step
            ends.append(compute_loss(moved))
        call = f"the gradient of the image at {index} in a network of convolutions"
        expect.array(float(grad_x[index]), (ends[0] - ends[1]) / (2 * step), call=call, rtol=1e-4, atol=1e-7)


@task("6.5")
def test_a_network_of_layers_stays_in_float32(student, rng):
    """Images of float32 and of uint8 pass through every layer in float32, and so do all gradients."""
    network, criterion = build_small_network(student), student.dense.CrossEntropyLoss()
    for images in (rng.normal(size=(4, 2, 9, 8)).astype("float32"), rng.integers(0, 256, (4, 2, 9, 8)).astype("uint8")):
        logits = network(student.tensor.Tensor(images))
        call = f"a network of convolutions on {images.dtype} images"
        expect.equal(str(values(logits).dtype), "float32", call=f"the dtype of {call}")
        criterion(logits, student.tensor.Tensor(np.arange(4)))
        network.backward(criterion.backward())
        dtypes = sorted({str(values(parameter.grad).dtype) for parameter in network.parameters()})
        expect.equal(dtypes, ["float32"], call=f"the dtypes of all gradients of {call}")


@task("6.7")
def test_set_training_reaches_batch_norm(student, rng):
    """set_training(network, False) makes the output for an image independent of the other images in its batch."""
    network, x = build_small_network(student), rng.normal(size=(6, 2, 9, 8)).astype("float32")
    network(student.tensor.Tensor(x))
    student.dense.set_training(network, False)
    together = values(network(student.tensor.Tensor(x)))
    alone = values(network(student.tensor.Tensor(x[:1])))
    expect.array(alone, together[:1], call="the logits of an image on its own, in evaluation", rtol=1e-4, atol=1e-5)


@task("6.5")
def test_a_shifted_image_gives_shifted_maps(student, rng):
    """A convolution without padding turns a shifted image into the same maps, shifted accordingly."""
    layer = student.spatial.Conv2d(1, 3, 3, rng=student.rng(1))
    image = np.zeros((1, 1, 12, 12), "float32")
    image[:, :, 3:7, 3:7] = rng.normal(size=(4, 4))
    still = values(layer(student.tensor.Tensor(image)))
    moved = values(layer(student.tensor.Tensor(np.roll(image, (1, 2), axis=(2, 3)))))
    call = "Conv2d of an image shifted by one row and two columns, compared with its maps shifted by the same amount"
    expect.array(moved[:, :, 1:, 2:], still[:, :, :-1, :-2], call=call, rtol=1e-4, atol=1e-5)


@task("6.11")
def test_recipe_learns_a_simple_task(student, rng):
    """From 256 images with a bright square in one of four corners, the network learns to recognise the corner."""
    recipes.check_simple_task_is_learned(student, rng, RECIPE)


@task("6.11")
def test_recipe_may_be_asked_while_it_trains(student, rng):
    """Calling predict during a call to progress does not change what is learned."""
    recipes.check_predicting_while_training(student, rng, RECIPE, 120)


@task("6.11")
def test_recipe_leaves_what_it_was_given(student, rng):
    """Training changes neither the images nor any other network."""
    recipes.check_inputs_are_unchanged(student, rng, RECIPE, 80)
