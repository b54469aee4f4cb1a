"""The recipe of milestone 3: how the network that classifies photographs is built, trained and used.

The grader calls the four functions with its own arrays. Images are uint8 of shape (n, 3, 32, 32): the red, green and
blue planes. Labels are classes from 0 to 9, int64 of shape (n,). You do not know in advance how many images there are,
in what order they come, or how far a test image has been shifted. In each run, all images may be mirrored or upside
down, and the classes may be numbered differently.

What your network has learned must be in `network.parameters()` and `network.buffers()`. The grader takes both from the
training process and adds a little noise. It puts them into a network that `build` creates in a different process, and
asks that network for predictions. Anything that is stored elsewhere is lost.
"""

import numpy as np
from tinytorch.activations import ReLU, Softmax
from tinytorch.autograd import no_grad
from tinytorch.dataloader import ArrayDataset, Compose, DataLoader, Normalize, RandomCrop, RandomHorizontalFlip
from tinytorch.dense import CrossEntropyLoss, set_training
from tinytorch.layers import Dense, Sequential
from tinytorch.optimizers import SGD, OneCycleLR
from tinytorch.spatial import BatchNorm2d, Conv2d, Flatten
from tinytorch.tensor import Tensor
from tinytorch.training import Trainer

BATCH = 128
normalize = Normalize(mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))  # of CIFAR-10's training images


def build(rng: np.random.Generator) -> Sequential:
    """Return a fresh network: images (n, 3, 32, 32) → logits (n, 10), every weight drawn from `rng`."""
    # BEGIN SOLUTION 11.13
    layers, channels = [], 3
    for maps, kernel in ((32, 5), (64, 3), (64, 3)):  # 32×32 → 16×16 → 8×8 → 4×4
        conv = Conv2d(channels, maps, kernel, stride=2, padding=kernel // 2, bias=False, rng=rng)
        layers += [conv, BatchNorm2d(maps), ReLU()]
        channels = maps
    return Sequential(*layers, Flatten(), Dense(channels * 4 * 4, 10, rng=rng))
    # END SOLUTION


def predict(network: Sequential, images: np.ndarray) -> np.ndarray:
    """Switch the network to evaluation mode, and return its probability of each class, (n, 10), for any n above 0."""
    # BEGIN SOLUTION 11.13
    set_training(network, False)
    softmax = Softmax(axis=1)
    with no_grad():
        parts = (normalize(images[start : start + 200]) for start in range(0, len(images), 200))
        return np.concatenate([softmax(network(Tensor(part))).numpy() for part in parts])
    # END SOLUTION


def feature_maps(network: Sequential, images: np.ndarray) -> np.ndarray:
    """Return the first convolution's maps of the images, (n, maps, height, width), for people to look at."""
    # BEGIN SOLUTION 11.13
    with no_grad():
        return network[0](Tensor(normalize(images))).numpy()
    # END SOLUTION


def train(network: Sequential, images: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator, progress) -> None:
    """Train the network in place. `rng` is for the order of the images and for everything else that is random.

    Call `progress(step, steps, loss, accuracy)` about 50 times, after a step and also after the last one. The arguments
    are two ints, and the loss and the accuracy of that step's batch as Python floats. `progress` may call `predict`,
    which changes the mode.
    """
    # BEGIN SOLUTION 11.14
    epochs = min(20, max(6, 300_000 // len(images)))
    augment = Compose([RandomHorizontalFlip(), RandomCrop(3), normalize])
    loader = DataLoader(ArrayDataset(images, labels, augment), BATCH, shuffle=True, rng=rng, prefetch=2)
    steps = epochs * len(loader)
    optimizer = SGD(network.parameters(), lr=0.15, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = OneCycleLR(optimizer, max_lr=0.15, total_steps=steps, pct_start=0.2)
    trainer = Trainer(network, CrossEntropyLoss(), optimizer, scheduler=schedule)

    def report_progress(step, steps, loss, accuracy):
        if step % max(1, steps // 50) == 0 or step == steps:
            progress(step, steps, loss, accuracy)
            set_training(network, True)

    trainer.fit(loader, epochs, progress=report_progress)
    # END SOLUTION
