"""Milestone 2: compare the network that reads digits with the same network in PyTorch, and measure its training."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from grading.compare.networks import make_torch_training_step
from tests.bench.bench_figure import ROOT, BenchmarkFigure, copy_environment_without_nox, run_quietly, time_call
from tests.bench.peak_memory import measure_peak
from tests.bench.turns import import_pytorch, limit_threads, load_solution, measure_work_in_turns, run_training_steps

BATCH, PART = 64, 200
"""The recipe's batch sizes in a training step and in `predict`."""


def build_torch_digit_network(torch):
    """Build the recipe's network in PyTorch."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 10),
    )


def compare_digit_steps() -> Iterator[BenchmarkFigure]:
    """Compare training steps and inference with PyTorch's, on one thread and on all cores."""
    torch, student = import_pytorch(), load_solution()
    recipe = student.recipe("06_spatial")
    rng = np.random.default_rng(0)
    images = rng.normal(size=(PART, 1, 28, 28)).astype("float32")
    labels = rng.integers(0, 10, PART)
    ours, theirs = recipe.build(rng), build_torch_digit_network(torch)
    sizes = [sum(p.size for p in ours.parameters()), sum(p.numel() for p in theirs.parameters())]
    assert sizes[0] == sizes[1], f"the networks differ: {sizes} parameters"
    criterion, optimizer = student.dense.CrossEntropyLoss(), torch.optim.SGD(theirs.parameters(), 0.01)
    x, y = student.tensor.Tensor(images[:BATCH]), student.tensor.Tensor(labels[:BATCH])
    x_torch, y_torch = torch.from_numpy(images[:BATCH]), torch.from_numpy(labels[:BATCH])
    part, part_torch = student.tensor.Tensor(images), torch.from_numpy(images)

    their_step = make_torch_training_step(
        torch, lambda: torch.nn.functional.cross_entropy(theirs(x_torch), y_torch), optimizer
    )

    def their_pass() -> None:
        """Run PyTorch's network on the test images, without gradients."""
        with torch.no_grad():
            theirs(part_torch)

    for count in sorted({1, os.cpu_count() or 1}):
        with limit_threads(count):
            a, b = measure_work_in_turns(
                lambda: student.layers.gradient_descent_step(ours, criterion, x, y, 0.01), their_step
            )
            how = f"{count} threads, batch {BATCH}: {a * 1e3:.2f} ms to {b * 1e3:.2f} ms, medians of turns"
            yield BenchmarkFigure("milestone 2, a training step against PyTorch", a / b, 2.0, "×", how)
            a, b = measure_work_in_turns(lambda: ours(part), their_pass)
            how = f"{count} threads, {PART} images: {a * 1e3:.2f} ms to {b * 1e3:.2f} ms, medians of turns"
            yield BenchmarkFigure("milestone 2, inference against PyTorch", a / b, 2.0, "×", how)


def compare_epoch_costs() -> Iterator[BenchmarkFigure]:
    """Compare an epoch's time per image for 4,000 images and for four times as many."""
    student = load_solution()
    recipe, rng = student.recipe("06_spatial"), np.random.default_rng(0)

    def time_epoch(count: int) -> float:
        """Measure the seconds per image, in the faster of two epochs."""
        net, criterion = recipe.build(rng), student.dense.CrossEntropyLoss()
        x = student.tensor.Tensor(rng.normal(size=(count, 1, 28, 28)).astype("float32"))
        y = student.tensor.Tensor(rng.integers(0, 10, count))
        train = student.dense.train_epoch
        return min(time_call(lambda: train(net, criterion, x, y, 0.01, BATCH, rng)) for _ in range(2)) / count

    per_image = [time_epoch(count) for count in (4000, 16000)]
    how = f"4,000 and 16,000 images: {per_image[0] * 1e6:.0f} and {per_image[1] * 1e6:.0f} µs for each, one epoch"
    yield BenchmarkFigure("an epoch's cost for each of 4× as many images", per_image[1] / per_image[0], 1.25, "×", how)


def measure_digit_memory() -> Iterator[BenchmarkFigure]:
    """Measure the peak memory of a process that trains on 60,000 images, as many as MNIST has."""
    _, peak = measure_peak("from tests.bench.bench_mnist import train_on_noise as work")
    how = "resident memory of a process with 60,000 images, 100 steps of the recipe, and 1,000 predictions"
    yield BenchmarkFigure("peak memory of training milestone 2", peak, 1024, "MiB", how)


def train_on_noise() -> None:
    """Train for a few steps on 60,000 images, and make some predictions."""
    recipe, rng = load_solution().recipe("06_spatial"), np.random.default_rng(0)
    images = rng.integers(0, 256, (60_000, 1, 28, 28), dtype=np.uint8)
    net = recipe.build(rng)
    run_training_steps(recipe.train, net, images, rng.integers(0, 10, len(images)), rng=rng, step_count=100)
    recipe.predict(net, images[:1000])


def time_milestone(nox_path: str, number: int, goal: float, criterion: str = "accuracy") -> Iterator[BenchmarkFigure]:
    """Time `nox -s milestone-N` in an existing environment, and again with nothing changed."""
    with tempfile.TemporaryDirectory() as folder:
        record, session = Path(folder, "result.json"), f"milestone-{number}"
        command = [nox_path, "-s", session, "--", "--json", str(record)]
        run_quietly([nox_path, "-s", session, "--install-only"], ROOT, copy_environment_without_nox())
        total = time_call(lambda: run_quietly([*command, "--again"], ROOT, copy_environment_without_nox()))
        result = json.loads(record.read_text())
        unchanged = time_call(lambda: run_quietly(command, ROOT, copy_environment_without_nox()))
    (data,) = result["data"]
    measured = next(c["measured"] for c in result["criteria"] if c["name"] == criterion)
    how = f"with {data['name']}, {criterion}: {measured:.2%}"
    yield BenchmarkFigure(f"nox -s {session}, environment made", total, goal, "s", how)
    yield BenchmarkFigure(
        f"an unchanged milestone {number}", unchanged, 2, "s", "answered from the cache, including nox"
    )
