"""The recipe of milestone 4: a network that classifies three photographs out of four after two minutes of training.

The grader calls the five functions with its own arrays. Images are uint8 of shape (n, 3, 32, 32), and labels are the
classes 0 to 9, int64 of shape (n,). In a run, all images may be mirrored or upside down and classes renumbered, as in
milestone 3. Each test image is also shifted by up to a pixel, brightened or darkened by up to 10%, with noise added (σ
= 4).

What your network has learned must be in `network.parameters()` and `network.buffers()`. The grader takes both from the
training process, adds a little noise, and puts them into a network that `build` creates in a different process. The
compressed network's tensors go into one that `compress` creates from a network that was never trained.
"""

import numpy as np
from tinytorch.activations import ReLU, Softmax
from tinytorch.autograd import no_grad
from tinytorch.compression import quantize_network
from tinytorch.dataloader import ArrayDataset, DataLoader, Normalize
from tinytorch.dense import CrossEntropyLoss, set_training
from tinytorch.kernels import optimise
from tinytorch.layers import Dense, Sequential
from tinytorch.optimizers import SGD, OneCycleLR
from tinytorch.spatial import BatchNorm2d, Conv2d, Flatten, MaxPool2d
from tinytorch.tensor import Tensor
from tinytorch.training import Trainer

BATCH = 256
FIRST = 32  # maps of the first convolution: 16 kernels and their negatives
normalize = Normalize(mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))  # of CIFAR-10's training images


def build(rng: np.random.Generator) -> Sequential:
    """Return a fresh network: images (n, 3, 32, 32) → logits (n, 10), every weight drawn from `rng`.

    None of the four convolutions has a bias, and each BatchNorm2d has momentum=0.4.
    """
    # BEGIN SOLUTION 13.13
    layers, channels = [Conv2d(3, FIRST, 3, stride=2, padding=1, bias=False, rng=rng), ReLU()], FIRST
    for maps in (32, 64, 128):  # 16×16 → 8×8 → 4×4 → 2×2
        conv = Conv2d(channels, maps, 3, padding=1, bias=False, rng=rng)
        layers += [conv, MaxPool2d(2), BatchNorm2d(maps, momentum=0.4), ReLU()]
        channels = maps
    return Sequential(*layers, Flatten(), Dense(channels * 2 * 2, 10, rng=rng))
    # END SOLUTION


def predict(network: Sequential, images: np.ndarray) -> np.ndarray:
    """Return the probability of each class, (n, 10), in evaluation mode; n may be any number above 0.

    `network` comes from `build`, from `optimise` or from `compress`. A network from `build` keeps its mode. An
    optimised one shares its layers with the network that `optimise` returns for it, so it ends in evaluation mode.
    """
    # BEGIN SOLUTION 13.13
    fast, softmax = optimise(network), Softmax(axis=1)
    set_training(fast, False)
    parts = (normalize(images[start : start + 200]) for start in range(0, len(images), 200))
    with no_grad():  # each image and its mirror image
        pairs = ((fast(Tensor(part)), fast(Tensor(part[..., ::-1]))) for part in parts)
        return np.concatenate([softmax((one + other) / 2).numpy() for one, other in pairs])
    # END SOLUTION


def feature_maps(network: Sequential, images: np.ndarray) -> np.ndarray:
    """Return the output of the first convolution for the images, (n, maps, height, width), for people to look at."""
    # BEGIN SOLUTION 13.13
    with no_grad():
        return network[0](Tensor(normalize(images))).numpy()
    # END SOLUTION


def compress(network: Sequential, images: np.ndarray) -> Sequential:
    """Return the int8 network, for `predict`; about 500 training images show the range of each layer's inputs."""
    # BEGIN SOLUTION 13.13
    return quantize_network(network, Tensor(normalize(images)))
    # END SOLUTION


def whitening_kernels(images: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` strongest whitening kernels of the 3×3 patches of normalised images: (count, 3, 3, 3).

    The patches p are vectors of 27 numbers, without padding. v are the eigenvectors of the mean of p · pᵀ over all
    patches, and λ the eigenvalues. The kernels are v / √(λ + 0.1), the largest λ first.
    """
    # BEGIN SOLUTION 13.14
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(2, 3))
    patches = np.moveaxis(windows, 1, 3).reshape(-1, 27)
    values, vectors = np.linalg.eigh(patches.T @ patches / len(patches))
    return (vectors / np.sqrt(values + 0.1)).T[::-1][:count].reshape(count, 3, 3, 3)
    # END SOLUTION


def move(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the uint8 images, each shifted by up to two pixels along both axes, normalised and noisy, in float32.

    Each image has its own shift, in fractions of a pixel (linear interpolation), and its edge is repeated. Noise with
    a standard deviation of 0.06 is added last.
    """
    # BEGIN SOLUTION 13.15
    framed = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(framed, (33, 33), axis=(2, 3))
    top, left = rng.integers(4, size=(2, len(images)))
    whole = normalize(windows[np.arange(len(images)), :, top, left])
    down, right = rng.random((2, len(images), 1, 1, 1), dtype="float32")
    rows = whole[:, :, :-1] + (whole[:, :, 1:] - whole[:, :, :-1]) * down
    moved = rows[..., :-1] + (rows[..., 1:] - rows[..., :-1]) * right
    moved += (rng.random(moved.shape, dtype="float32") - np.float32(0.5)) * np.float32(0.06 * 12**0.5)
    return moved
    # END SOLUTION


class Muon(SGD):
    """SGD whose steps for kernels go equally far in all directions (Muon; Jordan et al., 2024).

    A kernel's step, seen as a matrix (out, the rest), has singular values from large to tiny. Here they become 1,
    except that those below a thousandth of the matrix's norm stay smaller. All other parameters take SGD's step.
    """

    def update(self, value: np.ndarray, grad: np.ndarray, state: dict) -> np.ndarray:
        """Return SGD's step; if it has four axes, it becomes (M · Mᵀ)^(-½) · M for its matrix M, in the same shape."""
        step = super().update(value, grad, state)
        if step.ndim < 4:
            return step
        # BEGIN SOLUTION 13.16
        matrix = step.reshape(len(step), -1)
        matrix = matrix / max(np.linalg.norm(matrix), 1e-30)
        values, vectors = np.linalg.eigh(matrix @ matrix.T)
        scales = 1 / np.sqrt(np.maximum(values, 1e-6))  # in float32 the smallest may be rounded below 0
        return ((vectors * scales) @ (vectors.T @ matrix)).reshape(step.shape)
        # END SOLUTION


def train(network: Sequential, images: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator, progress) -> None:
    """Train the network in place. `rng` is for the order of the images and for everything else that is random.

    Call `progress(step, steps, loss, accuracy)` about 50 times, after a step and also after the last one. Its arguments
    are two ints, and the loss and accuracy of that step's batch as Python floats; it may call `predict`. There may be
    only 32 images: take at least 80 steps, with smaller batches and more epochs. The limit is `train_seconds` of CPU
    time.
    """
    # BEGIN SOLUTION 13.17
    first, *others = network.parameters()
    kernels = whitening_kernels(normalize(images[:2000]), FIRST // 2)
    first.data[...] = np.concatenate([kernels, -kernels])  # never changes again: the optimiser does not get it

    turned = rng.random(len(images)) < 0.5
    dataset = ArrayDataset(np.where(turned[:, None, None, None], images[..., ::-1], images), labels, move)
    batch = min(BATCH, len(images) // 4 + 1)
    loader = DataLoader(dataset, batch, shuffle=True, rng=rng, prefetch=2)
    epochs = min(20, max(5, 250_000 // len(images)))
    steps = epochs * len(loader)
    optimizer = Muon(others, lr=0.24, momentum=0.85, nesterov=True, weight_decay=5e-4)
    schedule = OneCycleLR(optimizer, max_lr=0.24, total_steps=steps, pct_start=0.25)

    def mirror(trainer):  # noqa: ARG001 - all images after each epoch, so each is seen both ways equally often
        dataset.inputs = dataset.inputs[..., ::-1]

    def watch(step, steps, loss, accuracy):
        if step % max(1, steps // 50) == 0 or step == steps:
            progress(step, steps, loss, accuracy)

    trainer = Trainer(optimise(network), CrossEntropyLoss(), optimizer, scheduler=schedule, callbacks=[mirror])
    trainer.fit(loader, epochs, progress=watch)
    # END SOLUTION
