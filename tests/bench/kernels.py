"""Milestone 4: a training step on compiled kernels compared with PyTorch's and module 06's, and small ops."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from grading.compare.networks import our_image_network, their_image_network
from tests.bench.beside import in_turns, pytorch, solution, threads
from tests.bench.colours import our_step, their_step
from tests.bench.figure import Figure

CHAIN = 2000
"""How many operations on tiny arrays one measurement has."""
TURNS = 15


def beside_pytorch() -> Iterator[Figure]:
    """Compare a training step in processor time on one thread, and in wall-clock time on two threads."""
    plain, fast, *theirs = steps(threads=1)
    with threads(1):
        slow, ours, *others = in_turns(plain, fast, *theirs, turns=TURNS, clock=time.process_time)
    yield from compare(ours, others, (0.8, 1.0), "1 thread, processor time")
    how = f"goal: 1.5 times as fast; processor time of {slow * 1e3:.1f} ms to {ours * 1e3:.1f} ms"
    yield Figure("milestone 4, a training step against module 06's", ours / slow, 1 / 1.5, "×", how)
    if (os.cpu_count() or 1) > 1:
        _, fast, *theirs = steps(threads=2)
        with threads(2, blas=1):
            ours, *others = in_turns(fast, *theirs, turns=TURNS)
        yield from compare(ours, others, (1.0, 1.0), "2 threads, wall clock (on a quiet machine)")


def compare(ours: float, others: list[float], goals: tuple[float, float], what: str) -> Iterator[Figure]:
    """Compare our seconds with those of PyTorch's two layouts."""
    for layout, theirs, goal in zip(("NCHW", "channels_last"), others, goals, strict=True):
        how = f"{what}: {ours * 1e3:.1f} ms to {theirs * 1e3:.1f} ms, medians of {TURNS} turns"
        yield Figure(f"milestone 4, a training step against PyTorch in {layout}", ours / theirs, goal, "×", how)


def steps(threads: int) -> list[Callable[[], object]]:
    """Make training steps of one network: module 06, optimised, PyTorch in NCHW and PyTorch in channels_last."""
    student, torch = solution(), pytorch()
    plain, other = (our_image_network(student, np.random.default_rng(0)) for _ in range(2))
    optimised, layouts = student.kernels.optimise(other, threads), ("contiguous_format", "channels_last")
    return [our_step(plain), our_step(optimised), *(their_step(their_image_network(torch), one) for one in layouts)]


def operations() -> Iterator[Figure]:
    """Measure the overhead of an operation on tiny tensors over NumPy's, and what a tape adds to it."""
    student = solution()
    x, one = student.tensor.Tensor([1.0, 2.0]), student.tensor.Tensor([1.0, 1.0])
    student.autograd.require_grad([x])

    def chain(y: Any, step: Any) -> None:
        for _ in range(CHAIN):
            y = y + step

    def recorded() -> None:
        with student.autograd.Tape():
            chain(x, one)

    works = (lambda: chain(x.data, one.data), lambda: chain(x, one), recorded)
    numpy, plain, taped = (1e6 * s / CHAIN for s in in_turns(*works, turns=TURNS, clock=time.process_time))
    how = f"a chain of {CHAIN} additions, processor time, medians of {TURNS} turns: "
    yield Figure("an operation without a tape", plain - numpy, 2.5, "µs", f"{how}{numpy:.2f} µs in NumPy alone")
    yield Figure("a tape's overhead for each operation", taped - plain, 3, "µs", f"{how}{plain:.2f} µs without a tape")
