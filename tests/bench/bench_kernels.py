"""Milestone 4: compare a training step on compiled kernels with PyTorch's and module 06's, and time small ops."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from grading.compare.networks import build_student_image_network, build_torch_image_network
from tests.bench.bench_cifar10 import make_our_image_step, make_torch_image_step
from tests.bench.bench_figure import BenchmarkFigure
from tests.bench.turns import import_pytorch, limit_threads, load_solution, measure_work_in_turns

CHAIN = 2000
"""The number of operations on tiny arrays in one measurement."""
TURNS = 15


def compare_kernel_steps() -> Iterator[BenchmarkFigure]:
    """Compare a training step with PyTorch's and module 06's: processor time on one thread, wall clock on two."""
    plain, fast, *theirs = make_kernel_steps(threads=1)
    with limit_threads(1):
        slow, ours, *others = measure_work_in_turns(plain, fast, *theirs, turns=TURNS, clock=time.process_time)
    yield from compare_with_layouts(ours, others, (0.8, 1.0), "1 thread, processor time")
    how = f"goal: 1.5 times as fast; processor time of {slow * 1e3:.1f} ms to {ours * 1e3:.1f} ms"
    yield BenchmarkFigure("milestone 4, a training step against module 06's", ours / slow, 1 / 1.5, "×", how)
    if (os.cpu_count() or 1) > 1:
        _, fast, *theirs = make_kernel_steps(threads=2)
        with limit_threads(2, blas_threads=1):
            ours, *others = measure_work_in_turns(fast, *theirs, turns=TURNS)
        yield from compare_with_layouts(ours, others, (1.0, 1.0), "2 threads, wall clock (on a quiet machine)")


def compare_with_layouts(
    ours: float, layout_seconds: list[float], goals: tuple[float, float], description: str
) -> Iterator[BenchmarkFigure]:
    """Compare our time with PyTorch's in each of its two memory layouts."""
    for layout, theirs, goal in zip(("NCHW", "channels_last"), layout_seconds, goals, strict=True):
        how = f"{description}: {ours * 1e3:.1f} ms to {theirs * 1e3:.1f} ms, medians of {TURNS} turns"
        yield BenchmarkFigure(
            f"milestone 4, a training step against PyTorch in {layout}", ours / theirs, goal, "×", how
        )


def make_kernel_steps(threads: int) -> list[Callable[[], object]]:
    """Make four training steps of one network: module 06's, optimised, PyTorch's in NCHW and in channels_last."""
    student, torch = load_solution(), import_pytorch()
    plain, other = (build_student_image_network(student, np.random.default_rng(0)) for _ in range(2))
    optimised, layouts = student.kernels.optimise(other, threads), ("contiguous_format", "channels_last")
    return [
        make_our_image_step(plain),
        make_our_image_step(optimised),
        *(make_torch_image_step(build_torch_image_network(torch), one) for one in layouts),
    ]


def measure_operation_overhead() -> Iterator[BenchmarkFigure]:
    """Measure how much longer an operation on tiny tensors takes than in NumPy, and how much time a tape adds."""
    student = load_solution()
    x, one = student.tensor.Tensor([1.0, 2.0]), student.tensor.Tensor([1.0, 1.0])
    student.autograd.require_grad([x])

    def run_chain(y: Any, step: Any) -> None:
        """Add CHAIN times, each time to the last sum."""
        for _ in range(CHAIN):
            y = y + step

    def run_recorded_chain() -> None:
        """Run the chain of additions on a tape."""
        with student.autograd.Tape():
            run_chain(x, one)

    works = (lambda: run_chain(x.data, one.data), lambda: run_chain(x, one), run_recorded_chain)
    numpy, plain, taped = (1e6 * s / CHAIN for s in measure_work_in_turns(*works, turns=TURNS, clock=time.process_time))
    how = f"a chain of {CHAIN} additions, processor time, medians of {TURNS} turns: "
    yield BenchmarkFigure(
        "an operation without a tape", plain - numpy, 2.5, "µs", f"{how}{numpy:.2f} µs in NumPy alone"
    )
    yield BenchmarkFigure(
        "a tape's overhead for each operation", taped - plain, 3, "µs", f"{how}{plain:.2f} µs without a tape"
    )
