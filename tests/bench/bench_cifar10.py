"""Milestone 3: compare the network for CIFAR-10 with the same network in PyTorch, in time and memory."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from grading.compare.networks import make_torch_training_step
from tests.bench.bench_figure import BenchmarkFigure, time_call
from tests.bench.peak_memory import measure_peak
from tests.bench.turns import import_pytorch, limit_threads, load_solution, measure_work_in_turns

BATCH = 128
STEPS = 8
"""The number of steps that a process takes while its memory is measured."""


def build_torch_colour_network(torch: Any) -> Any:
    """Build the recipe's network in PyTorch."""
    nn, layers, channels = torch.nn, [], 3
    for maps, kernel in ((32, 5), (64, 3), (64, 3)):
        conv = nn.Conv2d(channels, maps, kernel, stride=2, padding=kernel // 2, bias=False)
        layers += [conv, nn.BatchNorm2d(maps), nn.ReLU()]
        channels = maps
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 4 * 4, 10))


def draw_batch() -> tuple[np.ndarray, np.ndarray]:
    """Draw images and labels for one training step."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(BATCH, 3, 32, 32)).astype("float32"), rng.integers(0, 10, BATCH)


def make_our_image_step(net: Any = None) -> Callable[[], object]:
    """Make a training step of the solution, with SGD and Nesterov momentum. The default is the recipe's network."""
    student = load_solution()
    net = student.recipe("11_training").build(np.random.default_rng(0)) if net is None else net
    criterion, (images, labels) = student.dense.CrossEntropyLoss(), draw_batch()
    x, y = student.tensor.Tensor(images), student.tensor.Tensor(labels)
    optimizer = student.optimizers.SGD(net.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def take_step() -> None:
        """Take one training step."""
        with student.autograd.Tape():
            loss = criterion(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return take_step


def make_torch_image_step(net: Any = None, layout: str = "contiguous_format") -> Callable[[], object]:
    """Make a training step of that network in eager PyTorch, with its images in this memory layout."""
    torch = import_pytorch()
    order, (images, labels) = getattr(torch, layout), draw_batch()
    net = (build_torch_colour_network(torch) if net is None else net).to(memory_format=order)
    x, y = torch.from_numpy(images).contiguous(memory_format=order), torch.from_numpy(labels)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)

    return make_torch_training_step(torch, lambda: torch.nn.functional.cross_entropy(net(x), y), optimizer)


def compare_image_steps() -> Iterator[BenchmarkFigure]:
    """Compare training steps with PyTorch's, on one thread and on all cores."""
    ours, theirs = make_our_image_step(), make_torch_image_step()
    for count in sorted({1, os.cpu_count() or 1}):
        with limit_threads(count):
            a, b = measure_work_in_turns(ours, theirs, turns=20)
        how = f"{count} threads, batch {BATCH}: {a * 1e3:.1f} ms to {b * 1e3:.1f} ms, medians of turns"
        yield BenchmarkFigure("milestone 3, a training step against PyTorch", a / b, 2.0, "×", how)


def measure_loader_share() -> Iterator[BenchmarkFigure]:
    """Measure the time to make a flipped, cropped and normalised batch, as a share of a training step."""
    student = load_solution()
    data = student.dataloader
    images = np.random.default_rng(0).integers(0, 256, (50 * BATCH, 3, 32, 32), dtype=np.uint8)
    augment = data.Compose([data.RandomHorizontalFlip(), data.RandomCrop(3), student.recipe("11_training").normalize])
    dataset = data.ArrayDataset(images, np.zeros(len(images), np.int64), augment)
    batches = data.DataLoader(dataset, BATCH, shuffle=True, rng=np.random.default_rng(1))

    def run_epoch() -> None:
        """Make every batch of an epoch, and use none of them."""
        for _ in batches:
            pass

    made = min(time_call(run_epoch) for _ in range(3)) / len(batches)
    step = make_our_image_step()
    step()
    taken = statistics.median(time_call(step) for _ in range(10))
    how = f"{made * 1e3:.2f} ms for a batch of {BATCH}, without prefetching, to {taken * 1e3:.1f} ms for a step"
    yield BenchmarkFigure("augmentation as a part of a training step", 100 * made / taken, 10, "%", how)


def compare_training_memory() -> Iterator[BenchmarkFigure]:
    """Compare the peak memory that the first training steps add, ours and PyTorch's."""
    added = []
    for side in ("make_our_image_step", "make_torch_image_step"):
        before, peak = measure_peak(f"from tests.bench import bench_cifar10 as b\nwork = b.repeat_step(b.{side}())")
        added.append(peak - before)
    how = f"the first {STEPS} steps, each side in its own process: {added[0]:.0f} MiB to {added[1]:.0f} MiB"
    yield BenchmarkFigure("milestone 3, peak memory against PyTorch", added[0] / added[1], 1.5, "×", how)


def repeat_step(step: Callable[[], object]) -> Callable[[], object]:
    """Combine several steps into one piece of work."""
    return lambda: [step() for _ in range(STEPS)]
