"""Milestone 4's recipe: measure the training time until test accuracy passes 75%, and compare it with PyTorch's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from grading.data.dataset import DataSet
from grading.data.load import load_or_fetch_images
from grading.render.progress_watch import SilentWatch
from tests.bench.bench_figure import BenchmarkFigure
from tests.bench.turns import import_pytorch, limit_threads, load_solution

GOAL = 0.75
WARM_UP = 200
"""The number of images in a first, unmeasured training run, in which Numba compiles."""


class _PassedError(Exception):
    """The exception raised once the goal has been passed. Its argument is the number of seconds."""


def time_until_goal() -> Iterator[BenchmarkFigure]:
    """Time our recipe, which makes batches in a thread, then PyTorch on two threads with the same batches."""
    recipe, data = load_solution().recipe("13_kernels"), load_or_fetch_images("cifar10", SilentWatch())
    with limit_threads(2, blas_threads=1):
        ours = measure_training_seconds(recipe.build, recipe.train, recipe.predict, data)
        theirs = measure_training_seconds(
            partial(build_torch_recipe_network, import_pytorch()), train_with_torch, predict_with_torch, data
        )
    how = f"{data.name}, {os.cpu_count()} idle cores, wall-clock time without reading the data; PyTorch: {theirs:.1f} s"
    yield BenchmarkFigure("milestone 4, training until 75% is passed", ours, 60, "s", how)


def measure_training_seconds(build: Callable, train: Callable, predict: Callable, data: DataSet) -> float:
    """Measure the wall-clock seconds of training until test accuracy passes GOAL, or infinity if it never does.

    Accuracy is measured after each report in the second half of training, with the clock stopped.
    """
    asking = 0.0
    rng = np.random.default_rng(0)
    train(build(rng), data.train_inputs[:WARM_UP], data.train_targets[:WARM_UP], rng=rng, progress=lambda *_: None)
    net, started = build(rng), time.perf_counter()

    def stop_at_goal(step: int, steps: int, *_: float) -> None:
        """Measure accuracy with the clock stopped, and stop training once the goal is reached."""
        nonlocal asking
        asked = time.perf_counter()
        if step > steps // 2 and (predict(net, data.test_inputs).argmax(axis=1) == data.test_targets).mean() > GOAL:
            raise _PassedError(asked - started - asking)
        asking += time.perf_counter() - asked

    try:
        train(net, data.train_inputs, data.train_targets, rng=rng, progress=stop_at_goal)
    except _PassedError as passed:
        return float(passed.args[0])
    return float("inf")


def build_torch_recipe_network(torch: Any, rng: np.random.Generator) -> Any:
    """Build the recipe's network in PyTorch, in the memory layout that is faster in PyTorch."""
    torch.manual_seed(int(rng.integers(2**31)))
    nn, channels = torch.nn, load_solution().recipe("13_kernels").FIRST
    layers = [nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False), nn.ReLU()]
    for maps in (32, 64, 128):
        layers += [nn.Conv2d(channels, maps, 3, padding=1, bias=False), nn.MaxPool2d(2)]
        layers += [nn.BatchNorm2d(maps, momentum=0.4), nn.ReLU()]
        channels = maps
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 4, 10)).to(memory_format=torch.channels_last)


def predict_with_torch(net: Any, images: np.ndarray) -> np.ndarray:
    """Predict each image by adding its logits and those of its mirror image."""
    torch, recipe = import_pytorch(), load_solution().recipe("13_kernels")
    net.eval()
    with torch.no_grad():
        parts = (torch.from_numpy(recipe.normalize(images[i : i + 200])) for i in range(0, len(images), 200))
        logits = [(net(part) + net(part.flip(3))).numpy() for part in parts]
    net.train()
    return np.concatenate(logits)


def train_with_torch(
    net: Any, images: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator, progress: Any
) -> None:
    """Train in PyTorch like the recipe's `train`, with the recipe's own whitening, batches and learning rates."""
    torch, student = import_pytorch(), load_solution()
    recipe, data = student.recipe("13_kernels"), student.dataloader
    kernels = torch.tensor(recipe.whitening_kernels(recipe.normalize(images[:2000]), recipe.FIRST // 2).copy())
    net[0].weight.requires_grad_(requires_grad=False).copy_(torch.cat([kernels, -kernels]))
    others = [parameter for parameter in net.parameters() if parameter.requires_grad]

    turned = rng.random(len(images)) < 0.5
    dataset = data.ArrayDataset(np.where(turned[:, None, None, None], images[..., ::-1], images), labels, recipe.move)
    batch = min(recipe.BATCH, len(images) // 4 + 1)
    loader = data.DataLoader(dataset, batch, shuffle=True, rng=rng, prefetch=2)
    epochs = min(20, max(5, 250_000 // len(images)))
    steps = epochs * len(loader)
    optimizer = torch.optim.SGD(others, lr=0.24)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.24, steps, pct_start=0.25, cycle_momentum=False)
    velocities = [torch.zeros_like(parameter) for parameter in others]
    for step in range(1, steps + 1):
        if step % len(loader) == 1:
            batches = iter(loader)
        x, y = (torch.from_numpy(np.ascontiguousarray(tensor.data)) for tensor in next(batches))
        logits = net(x.contiguous(memory_format=torch.channels_last))
        loss = torch.nn.functional.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        for parameter, velocity in zip(others, velocities, strict=True):
            parameter.grad = compute_muon_step(torch, parameter, velocity)
        optimizer.step()
        schedule.step()
        if step % len(loader) == 0:
            dataset.inputs = dataset.inputs[..., ::-1]
        if step % max(1, steps // 50) == 0 or step == steps:
            progress(step, steps, loss.item(), (logits.argmax(1) == y).float().mean().item())


def compute_muon_step(torch: Any, parameter: Any, velocity: Any) -> Any:
    """Compute a step of the recipe's Muon: Nesterov momentum with weight decay, orthogonalised for kernels."""
    grad = parameter.grad + 5e-4 * parameter.detach()
    step = grad + 0.85 * velocity.mul_(0.85).add_(grad)
    if step.ndim < 4:
        return step
    matrix = step.reshape(len(step), -1)
    matrix = matrix / matrix.norm().clamp(min=1e-30)
    values, vectors = torch.linalg.eigh(matrix @ matrix.T)
    return ((vectors * values.clamp(min=1e-6).rsqrt()) @ (vectors.T @ matrix)).reshape(step.shape)
