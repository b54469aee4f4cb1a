"""Images, layers and a training step together, and the recipe of milestone 2: what no module's own tests can see."""

from itertools import pairwise

import numpy as np

from grading.testing import expect, task


def values(tensor):
    """A tensor's array on the judge's side, where it can be computed with."""
    return expect.pull(tensor, call="a tensor's values")


def small_network(student, seed=0):
    """A convolution with everything that may stand after one, for images of 2 channels and 9×8 pixels."""
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


def blobs(rng, n, size=28):
    """Images with a bright square in one of four corners, which is their class: a task that a small network learns."""
    labels = rng.integers(0, 4, n)
    images = rng.integers(0, 40, (n, 1, size, size))
    for image, label in zip(images, labels, strict=True):
        top, left = np.array([4, 4]) + 12 * np.array(divmod(label, 2)) + rng.integers(-2, 3, 2)
        image[0, top : top + 8, left : left + 8] += 200
    return images.astype("uint8"), labels.astype("int64")


@task("6.9")
def test_gradients_through_a_whole_network(student, rng):
    """The gradient of every parameter and of the images agrees with finite differences in float64."""
    network, criterion = small_network(student), student.dense.CrossEntropyLoss()
    for parameter in network.parameters():
        parameter.data = values(parameter).astype("float64")
    x, targets = rng.normal(size=(3, 2, 9, 8)), rng.integers(0, 5, 3)
    target = student.tensor.Tensor(targets)

    def loss(images):
        return criterion(network(student.tensor.Tensor(images)), target).item()

    loss(x)
    grad_x = values(network.backward(criterion.backward()))
    step = 1e-6
    for parameter, name in zip(
        network.parameters(), "conv.weight bn.weight bn.bias conv2.weight conv2.bias".split(), strict=False
    ):
        weights, got = np.array(values(parameter)), values(parameter.grad)
        for index in list(np.ndindex(weights.shape))[:: max(1, weights.size // 6)]:
            ends = []
            for sign in (1, -1):
                moved = weights.copy()
                moved[index] += sign * step
                parameter.data = moved
                ends.append(loss(x))
            parameter.data = weights
            call = f"the gradient of {name} at {index} in a network of convolutions"
            expect.array(float(got[index]), (ends[0] - ends[1]) / (2 * step), call=call, rtol=1e-4, atol=1e-7)
    for index in list(np.ndindex(x.shape))[:: x.size // 8]:
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * step
            ends.append(loss(moved))
        call = f"the gradient of the image at {index} in a network of convolutions"
        expect.array(float(grad_x[index]), (ends[0] - ends[1]) / (2 * step), call=call, rtol=1e-4, atol=1e-7)


@task("6.5")
def test_a_network_of_layers_stays_in_float32(student, rng):
    """Images of float32 and of uint8 go through every layer in float32, and so do all gradients."""
    network, criterion = small_network(student), student.dense.CrossEntropyLoss()
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
    """set_training(network, False) makes an image's answer independent of the images beside it."""
    network, x = small_network(student), rng.normal(size=(6, 2, 9, 8)).astype("float32")
    network(student.tensor.Tensor(x))
    student.dense.set_training(network, False)
    together = values(network(student.tensor.Tensor(x)))
    alone = values(network(student.tensor.Tensor(x[:1])))
    expect.array(alone, together[:1], call="the logits of an image alone, in evaluation", rtol=1e-4, atol=1e-5)


@task("6.5")
def test_a_shifted_image_gives_shifted_maps(student, rng):
    """A convolution without padding answers a moved image with the same answer, moved."""
    layer = student.spatial.Conv2d(1, 3, 3, rng=student.rng(1))
    image = np.zeros((1, 1, 12, 12), "float32")
    image[:, :, 3:7, 3:7] = rng.normal(size=(4, 4))
    still = values(layer(student.tensor.Tensor(image)))
    moved = values(layer(student.tensor.Tensor(np.roll(image, (1, 2), axis=(2, 3)))))
    call = "Conv2d of an image moved by one row and two columns, against its maps moved as far"
    expect.array(moved[:, :, 1:, 2:], still[:, :, :-1, :-2], call=call, rtol=1e-4, atol=1e-5)


@task("6.11")
def test_recipe_learns_a_simple_task(student, rng):
    """From 400 images with a bright square in one of four corners it learns to name the corner."""
    recipe, told = student.recipe("06_spatial"), []
    network = recipe.build(student.rng(5))
    images, labels = blobs(rng, 600)
    recipe.train(network, images[:400], labels[:400], rng=student.rng(5), progress=lambda *a: told.append(a))
    p = expect.pull(recipe.predict(network, images[400:]), call="predict(network, 200 new images)")
    right = float((p.argmax(axis=1) == labels[400:]).mean())
    expect.that(right >= 0.9, call="the share of 200 new images named correctly", got=right, expected="at least 0.9")
    kinds = {tuple(type(value).__name__ for value in args) for args in told}
    expect.equal(sorted(kinds), [("int", "int", "float", "float")], call="the types that progress is given")
    counted = [(step, steps) for step, steps, *_ in told]
    rises = all(a < b for (a, _), (b, _) in pairwise(counted)) and 5 <= len(told) <= 500
    fits = rises and counted[-1][0] <= counted[-1][1] and all(0 <= accuracy <= 1 for *_, accuracy in told)
    expected = "about 50 rising steps, at most as many as there are, and accuracies from 0 to 1"
    expect.that(fits, call="progress(step, steps, loss, accuracy) while training", got=told[-3:], expected=expected)


@task("6.11")
def test_recipe_may_be_asked_while_it_trains(student, rng):
    """Asking for predictions from inside progress changes nothing in what is learned."""
    recipe, results = student.recipe("06_spatial"), []
    images, labels = blobs(rng, 120)
    for asks in (False, True):
        network = recipe.build(student.rng(6))
        ask = (lambda *_, network=network: recipe.predict(network, images[:3])) if asks else (lambda *_: None)
        recipe.train(network, images, labels, rng=student.rng(6), progress=ask)
        results.append(expect.pull(recipe.predict(network, images[:20]), call="predict"))
    hint = "predict sets evaluation mode: if your training needs the other one, set it before each epoch or step"
    expect.array(
        results[1], results[0], call="predict after training that was watched", hint=hint, rtol=1e-3, atol=1e-4
    )


@task("6.11")
def test_recipe_leaves_what_it_was_given(student, rng):
    """Training changes neither the images nor another network."""
    recipe = student.recipe("06_spatial")
    images, labels = blobs(rng, 80)
    held, held_labels = student.tensor.Tensor(images), student.tensor.Tensor(labels)
    trained, other = recipe.build(student.rng(7)), recipe.build(student.rng(7))
    fresh = np.array(expect.pull(recipe.predict(other, images[:5]), call="predict"))
    recipe.train(trained, held.data, held_labels.data, rng=student.rng(7), progress=lambda *_: None)
    expect.array(held, images, call="the images after training")
    expect.array(held_labels, labels, call="the labels after training")
    expect.array(recipe.predict(other, images[:5]), fresh, call="predict of another network, after training one")
