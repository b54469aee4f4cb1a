"""The recipe of milestone 2: how the network that reads handwritten digits is built, trained and used.

The grader calls the four functions with its own arrays. Images are uint8 of shape (n, 1, 28, 28), and 0 where there
is no ink. Labels are classes from 0 to 9, int64 of shape (n,). You do not know in advance how many images there are,
in what order they come, or where in its frame a test image is. In each run, all images may be rotated or mirrored in
the same way, and the digits may have other class numbers: a three may be called 7.

What your network has learned must be in `network.parameters()` and `network.buffers()`. The grader takes both from the
training process and adds a little noise. It puts them into a network that `build` made in another process, and asks
that network for predictions. Anything that is stored elsewhere is lost.
"""

import itertools

import numpy as np
from tinytorch.activations import ReLU, Softmax
from tinytorch.dense import CrossEntropyLoss, accuracy, minibatches, set_training
from tinytorch.layers import Dense, Sequential, gradient_descent_step
from tinytorch.spatial import Conv2d, Flatten, MaxPool2d
from tinytorch.tensor import Tensor

BATCH = 64


def scaled(images: np.ndarray) -> Tensor:
    """Return the images as float32, with a mean of about 0 and a variance of about 1 over all of MNIST."""
    # BEGIN SOLUTION 6.10
    return Tensor((images / np.float32(255) - np.float32(0.13)) / np.float32(0.31))
    # END SOLUTION


def build(rng: np.random.Generator) -> Sequential:
    """Return a fresh network: images (n, 1, 28, 28) → logits (n, 10), every weight drawn from `rng`."""
    # BEGIN SOLUTION 6.10
    return Sequential(
        Conv2d(1, 8, 5, stride=2, padding=2, rng=rng),
        ReLU(),
        MaxPool2d(2),
        Conv2d(8, 16, 3, padding=1, rng=rng),
        ReLU(),
        Flatten(),
        Dense(16 * 7 * 7, 10, rng=rng),
    )
    # END SOLUTION


def predict(network: Sequential, images: np.ndarray) -> np.ndarray:
    """Switch the network to evaluation mode, and return its probability of each digit, (n, 10), for any n above 0."""
    # BEGIN SOLUTION 6.10
    set_training(network, False)
    softmax = Softmax(axis=1)
    parts = (images[start : start + 200] for start in range(0, len(images), 200))
    return np.concatenate([softmax(network(scaled(part))).numpy() for part in parts])
    # END SOLUTION


def feature_maps(network: Sequential, images: np.ndarray) -> np.ndarray:
    """Return the first convolution's maps of the images, (n, maps, height, width), for people to look at."""
    # BEGIN SOLUTION 6.10
    return network[0](scaled(images)).numpy()
    # END SOLUTION


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the images, each shifted by -1, 0 or 1 pixels along both axes, wrapping around at the edges."""
    # BEGIN SOLUTION 6.11
    shifts, result = rng.integers(-1, 2, (len(images), 2)), np.empty_like(images)
    for shift in itertools.product((-1, 0, 1), repeat=2):
        part = (shifts == shift).all(axis=1)
        result[part] = np.roll(images[part], shift, axis=(2, 3))
    return result
    # END SOLUTION


def train(network: Sequential, images: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator, progress) -> None:
    """Train the network in place. `rng` is for the order of the images and for everything else that is random.

    Call `progress(step, steps, loss, accuracy)` about 50 times, each time after a step. The arguments are two ints, and
    the loss and the accuracy of that step's batch as Python floats.
    """
    # BEGIN SOLUTION 6.11
    set_training(network, True)
    epochs = min(40, max(5, 30_000 // len(images)))
    steps, step = epochs * -(-len(images) // BATCH), 0
    criterion, targets = CrossEntropyLoss(), Tensor(labels)
    for _ in range(epochs):
        for some, their_targets in minibatches(scaled(moved(images, rng)), targets, BATCH, rng):
            done = step / steps
            lr = 0.1 * min(1, 16 * done + 0.1) * (1 - done)  # up in the first sixteenth, then down to 0
            loss = gradient_descent_step(network, criterion, some, their_targets, lr)
            step += 1
            if step % max(1, steps // 50) == 0:
                progress(step, steps, loss, accuracy(network(some), their_targets))
    # END SOLUTION
