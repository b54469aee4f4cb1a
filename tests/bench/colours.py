"""Milestone 3: the network for CIFAR-10 compared with the same network in PyTorch, with tape, loader and memory."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from grading.compare.networks import their_training_step
from tests.bench.beside import in_turns, pytorch, solution, threads
from tests.bench.figure import Figure, seconds
from tests.bench.memory import peak_of

BATCH = 128
STEPS = 8
"""How many steps a process takes while its memory is watched."""


def network(torch: Any) -> Any:
    """Build the recipe's network in PyTorch."""
    nn, layers, channels = torch.nn, [], 3
    for maps, kernel in ((32, 5), (64, 3), (64, 3)):
        conv = nn.Conv2d(channels, maps, kernel, stride=2, padding=kernel // 2, bias=False)
        layers += [conv, nn.BatchNorm2d(maps), nn.ReLU()]
        channels = maps
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 4 * 4, 10))


def batch() -> tuple[np.ndarray, np.ndarray]:
    """Draw images and labels for one training step."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(BATCH, 3, 32, 32)).astype("float32"), rng.integers(0, 10, BATCH)


def our_step(net: Any = None) -> Callable[[], object]:
    """Make one training step of the solution, with SGD and Nesterov momentum, by default for the recipe's network."""
    student = solution()
    net = student.recipe("11_training").build(np.random.default_rng(0)) if net is None else net
    criterion, (images, labels) = student.dense.CrossEntropyLoss(), batch()
    x, y = student.tensor.Tensor(images), student.tensor.Tensor(labels)
    optimizer = student.optimizers.SGD(net.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def step() -> None:
        with student.autograd.Tape():
            loss = criterion(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def their_step(net: Any = None, layout: str = "contiguous_format") -> Callable[[], object]:
    """Make the same training step in eager PyTorch, with its images in this memory layout."""
    torch = pytorch()
    order, (images, labels) = getattr(torch, layout), batch()
    net = (network(torch) if net is None else net).to(memory_format=order)
    x, y = torch.from_numpy(images).contiguous(memory_format=order), torch.from_numpy(labels)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)

    return their_training_step(torch, lambda: torch.nn.functional.cross_entropy(net(x), y), optimizer)


def beside_pytorch() -> Iterator[Figure]:
    """Compare training steps with PyTorch's, on one thread and on all cores."""
    ours, theirs = our_step(), their_step()
    for count in sorted({1, os.cpu_count() or 1}):
        with threads(count):
            a, b = in_turns(ours, theirs, turns=20)
        how = f"{count} threads, batch {BATCH}: {a * 1e3:.1f} ms to {b * 1e3:.1f} ms, medians of turns"
        yield Figure("milestone 3, a training step against PyTorch", a / b, 2.0, "×", how)


def loader() -> Iterator[Figure]:
    """Measure how long a flipped, cropped and normalised batch takes, as a share of a training step."""
    student = solution()
    data = student.dataloader
    images = np.random.default_rng(0).integers(0, 256, (50 * BATCH, 3, 32, 32), dtype=np.uint8)
    augment = data.Compose([data.RandomHorizontalFlip(), data.RandomCrop(3), student.recipe("11_training").normalize])
    dataset = data.ArrayDataset(images, np.zeros(len(images), np.int64), augment)
    batches = data.DataLoader(dataset, BATCH, shuffle=True, rng=np.random.default_rng(1))

    def epoch() -> None:
        for _ in batches:
            pass

    made = min(seconds(epoch) for _ in range(3)) / len(batches)
    step = our_step()
    step()
    taken = statistics.median(seconds(step) for _ in range(10))
    how = f"{made * 1e3:.2f} ms for a batch of {BATCH}, without prefetching, to {taken * 1e3:.1f} ms for a step"
    yield Figure("augmentation as a part of a training step", 100 * made / taken, 10, "%", how)


def memory() -> Iterator[Figure]:
    """Compare the peak memory that the first training steps add with PyTorch's."""
    added = []
    for side in ("our_step", "their_step"):
        before, peak = peak_of(f"from tests.bench import colours\nwork = colours.several(colours.{side}())")
        added.append(peak - before)
    how = f"the first {STEPS} steps, each in a process of its own: {added[0]:.0f} MiB to {added[1]:.0f} MiB"
    yield Figure("milestone 3, peak memory against PyTorch", added[0] / added[1], 1.5, "×", how)


def several(step: Callable[[], object]) -> Callable[[], object]:
    """Combine several steps into one piece of work."""
    return lambda: [step() for _ in range(STEPS)]
