"""The recipe of milestone 1: how to build, train and query the network that learns XOR.

The grader calls the three functions with arrays that it draws, which contain any number of points near the corners of a
square, in any order. You do not know their labels beforehand. The square's sides are 0.8 to 1.25 long, it is rotated by
any angle, and each coordinate of its centre is within 0.5 of 0.5.

What your network has learned must be in `network.parameters()` and `network.buffers()`. The grader copies both from the
process that trained, adds a little noise, puts them into a network that `build` made in another process, and queries
that one. Anything that is stored elsewhere is lost.
"""

# ruff: noqa: ARG001 - training on all points together involves no randomness

import numpy as np
from tinytorch.activations import Sigmoid, Tanh
from tinytorch.layers import BCELoss, Dense, Sequential, gradient_descent_step
from tinytorch.tensor import Tensor


def build(rng: np.random.Generator) -> Sequential:
    """Return a fresh network from two inputs to one probability, every weight drawn from `rng`."""
    # BEGIN SOLUTION 4.8
    return Sequential(Dense(2, 16, rng=rng), Tanh(), Dense(16, 1, rng=rng), Sigmoid())
    # END SOLUTION


def predict(network: Sequential, inputs: np.ndarray) -> np.ndarray:
    """Return the network's probability of label 1 for each point: (n, 2) → (n, 1)."""
    # BEGIN SOLUTION 4.8
    return network(Tensor(inputs)).numpy()
    # END SOLUTION


def train(network: Sequential, inputs: np.ndarray, targets: np.ndarray, *, rng: np.random.Generator, progress) -> None:
    """Train the network in place on `inputs` (n, 2) and `targets` (n, 1), both float32.

    `rng` is for anything random in your training. Call `progress(step, steps, loss)` about 50 times, each time after a
    step, with two ints and a float.
    """
    # BEGIN SOLUTION 4.9
    steps, lr = 1000, 1.0
    criterion, inputs, targets = BCELoss(), Tensor(inputs), Tensor(targets)
    for step in range(1, steps + 1):
        loss = gradient_descent_step(network, criterion, inputs, targets, lr)
        if step % 20 == 0:
            progress(step, steps, loss)
    # END SOLUTION
