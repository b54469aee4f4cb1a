"""Benchmarking: numbers that someone else can reproduce, and what they mean.

Read it in this order: a timer, summaries, intervals, a comparison of two functions, arithmetic and traffic of ops, the
roofline, memory. Every clock and every generator is an argument, so each result can be reproduced.
"""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from gc import disable, enable, isenabled  # Python's garbage collector
from itertools import compress

import numpy as np
from tinytorch.autograd import backward_of
from tinytorch.kernels import Profile
from tinytorch.tensor import Op, Tensor

MAD_TO_STD = 1.4826  # a normal distribution's standard deviation, in median absolute deviations


@contextmanager
def pause_collector() -> Iterator[None]:
    """Keep the garbage collector off in the block. Afterwards, even after an error, it is on if it was on before."""
    # BEGIN SOLUTION 14.1
    was_on = isenabled()
    disable()
    try:
        yield
    finally:
        if was_on:
            enable()
    # END SOLUTION


def time_calls(
    function: Callable, repeats: int = 30, warmup: int = 3, clock: Callable[[], float] = time.perf_counter
) -> np.ndarray:
    """Return the seconds that each of `repeats` calls to function() took, in order, as float64.

    `warmup` calls come first and are not measured. The collector is paused while calls are measured. Before any call,
    raise ValueError if there is not at least one repeat, or if `warmup` is negative.
    """
    # BEGIN SOLUTION 14.1
    if repeats < 1 or warmup < 0:
        raise ValueError(f"{repeats} repeats after {warmup} warm-up calls measure nothing")
    for _ in range(warmup):
        function()
    seconds = np.zeros(repeats)
    with pause_collector():
        for i in range(repeats):
            start = clock()
            function()
            seconds[i] = clock() - start
    return seconds
    # END SOLUTION


def quantile(samples, q: float) -> float:
    """Return the value below which a fraction `q` of the samples lies: 0 is the smallest, ½ the median, 1 the largest.

    The sorted samples have positions 0 to n - 1, and the quantile is at position q · (n - 1). Between two samples, it
    is on the straight line from one to the other. Raise ValueError if there are no samples, or if q is not from 0 to 1.

    >>> quantile([40.0, 10.0, 20.0], 0.75)
    30.0
    """
    # BEGIN SOLUTION 14.2
    ordered = np.sort(samples)
    if not len(ordered) or not 0 <= q <= 1:
        raise ValueError(f"{len(ordered)} samples have no quantile {q}")
    position = q * (len(ordered) - 1)
    below = math.floor(position)
    above = math.ceil(position)
    return float(ordered[below] + (position - below) * (ordered[above] - ordered[below]))
    # END SOLUTION


def summarise(samples) -> dict[str, float]:
    """Return "minimum", "median", "mad" and "p95" (the 0.95 quantile) of the samples.

    The MAD is the median of the samples' distances from their median, times MAD_TO_STD. Raise ValueError if there are
    no samples.

    >>> summarise([5.0, 4.0, 6.0, 5.0, 90.0])
    {'minimum': 4.0, 'median': 5.0, 'mad': 1.4826, 'p95': 73.19...}
    """
    # BEGIN SOLUTION 14.2
    median = quantile(samples, 0.5)
    mad = MAD_TO_STD * quantile(np.abs(np.asarray(samples) - median), 0.5)
    return {"minimum": quantile(samples, 0), "median": median, "mad": mad, "p95": quantile(samples, 0.95)}
    # END SOLUTION


def bootstrap_interval(
    samples,
    statistic: Callable = np.median,
    confidence: float = 0.95,
    draws: int = 1000,
    *,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return (low, high), an interval that contains the true statistic in a fraction `confidence` of experiments.

    Each of the `draws` resamples has len(samples) elements, drawn from the samples with replacement.
    `statistic(array, axis=1)` returns a number for each row, as NumPy's functions do. A fraction (1 - confidence) / 2
    of these numbers is below low, and the same fraction is above high (Efron, 1979). Raise ValueError if there are no
    samples, or if the confidence is not between 0 and 1.
    """
    # BEGIN SOLUTION 14.3
    if not len(samples) or not 0 < confidence < 1:
        raise ValueError(f"{len(samples)} samples have no interval with confidence {confidence}")
    values = statistic(rng.choice(samples, (draws, len(samples))), axis=1)
    tail = (1 - confidence) / 2
    return quantile(values, tail), quantile(values, 1 - tail)
    # END SOLUTION


def time_in_turns(
    baseline: Callable,
    candidate: Callable,
    blocks: int = 30,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return seconds of shape (blocks, 2): for each block, the total of two calls of `baseline`, and of `candidate`.

    A block is baseline, candidate, candidate, baseline, or the other way round; `rng` tosses a coin. Before the blocks,
    each function is called `warmup` times without being measured. The collector is paused while calls are measured.
    """
    # BEGIN SOLUTION 14.4
    functions = baseline, candidate
    for function in functions:
        for _ in range(warmup):
            function()
    seconds = np.zeros((blocks, 2))
    with pause_collector():
        for block in seconds:
            for i in (0, 1, 1, 0) if rng.integers(2) else (1, 0, 0, 1):
                start = clock()
                functions[i]()
                block[i] += clock() - start
    return seconds
    # END SOLUTION


def judge(seconds, confidence: float = 0.99, *, rng: np.random.Generator) -> dict[str, float | str]:
    """Return what 8 or more blocks of `time_in_turns` show about the candidate: "ratio", "low", "high" and "verdict".

    The ratio is the median of candidate / baseline over the blocks, and low and high are its interval with this
    confidence. The verdict is "faster" if the entire interval is below 1, "slower" if it is above 1, and otherwise
    "cannot tell". Raise ValueError if there are fewer than 8 blocks, for which even a unanimous vote proves little, or
    if a function took no time in a block.
    """
    # BEGIN SOLUTION 14.5
    seconds = np.asarray(seconds)
    if len(seconds) < 8 or not (seconds > 0).all():
        raise ValueError("a verdict needs 8 blocks or more, and a clock that moves during each call")
    ratios = seconds[:, 1] / seconds[:, 0]
    low, high = bootstrap_interval(ratios, np.median, confidence, rng=rng)
    verdict = "faster" if high < 1 else "slower" if low > 1 else "cannot tell"
    return {"ratio": float(np.median(ratios)), "low": low, "high": high, "verdict": verdict}
    # END SOLUTION


PRODUCTS = ("matmul", "linear", "conv2d")
PER_ELEMENT = {  # operations forward and backward, for each element of the largest array; selecting and moving are free
    "add": (1, 0), "subtract": (1, 1), "multiply": (1, 2), "divide": (1, 4), "negative": (1, 1), "power": (1, 7),
    "exp": (1, 1), "log": (1, 1), "sqrt": (1, 2), "sum": (1, 0), "mean": (1, 0), "max": (1, 2), "min": (1, 2),
    "equal": (1, 0), "not_equal": (1, 0), "less": (1, 0), "less_equal": (1, 0), "greater": (1, 0),
    "greater_equal": (1, 0), "reshape": (0, 0), "transpose": (0, 0), "index": (0, 0), "flatten": (0, 0),
    "relu": (1, 1), "leaky_relu": (2, 2), "sigmoid": (4, 3), "tanh": (1, 3), "gelu": (9, 18), "softmax": (5, 4),
    "mse": (3, 3), "bce": (8, 6), "cross_entropy": (5, 6), "dropout": (1, 1), "masked_fill": (0, 0),
    "max_pool2d": (1, 1), "avg_pool2d": (1, 1), "batch_norm": (8, 9), "batch_norm_relu": (4, 10),
    "embedding": (0, 1), "layer_norm": (8, 9),  # of module 16
}  # fmt: skip


def count_flops(name: str, shapes: Sequence[tuple[int, ...]], output: tuple[int, ...]) -> int:
    """Return the floating-point operations of an op with these shapes; raise ValueError for an op that is in no table.

    Each element of a product's output is a sum of n products, which counts as 2n operations, and a bias adds 1 for each
    element. PER_ELEMENT holds the counts of all other ops. The error contains the op's name.

    >>> count_flops("linear", [(64, 784), (128, 784), (128,)], (64, 128))
    12853248
    """
    # BEGIN SOLUTION 14.6
    if name not in (*PRODUCTS, *PER_ELEMENT):
        raise ValueError(f"nobody has counted the operations of {name}; add it to PER_ELEMENT")
    if name in PRODUCTS:
        inner = shapes[0][-1] if name == "matmul" else math.prod(shapes[1][1:])
        return math.prod(output) * (2 * inner + (len(shapes) == 3))
    return PER_ELEMENT[name][0] * max(map(math.prod, (*shapes, output)))
    # END SOLUTION


def count_backward_flops(
    name: str, shapes: Sequence[tuple[int, ...]], output: tuple[int, ...], given: Sequence[bool]
) -> int:
    """Return the operations of an op's backward; `given` holds for each input whether its gradient was computed.

    Each of the first two gradients of a product costs as many operations as the product without its bias. The bias's
    gradient costs 1 for each element of the output. PER_ELEMENT holds the counts of all other ops, whatever is given.
    """
    # BEGIN SOLUTION 14.6
    if name in PRODUCTS:
        product = count_flops(name, shapes[:2], output)
        return sum(compress((product, product, math.prod(output)), given))
    return PER_ELEMENT[name][1] * max(map(math.prod, (*shapes, output)))
    # END SOLUTION


def count_bytes(read: Sequence[np.ndarray], written: Sequence[np.ndarray | None]) -> int:
    """Return the bytes that must move: those of each array that is read, counted once, and of each that is written.

    In `written`, None and views of an array that was read count as 0. If nothing is written,
    nothing moves.
    """
    # BEGIN SOLUTION 14.7
    new = [
        array.nbytes
        for array in written
        if array is not None and not any(np.may_share_memory(array, other) for other in read)
    ]
    return sum(new) + sum({id(array): array.nbytes for array in read}.values()) if new else 0
    # END SOLUTION


class WorkProfile(Profile):
    """A `Profile` that also counts, under the same names, each op's `calls`, `flops` and `bytes`."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        super().__init__(clock)
        self.calls, self.flops, self.bytes = {}, {}, {}

    def count(self, name: str, flops: int, nbytes: int) -> None:
        """Add one call and its work to the totals of `name`."""
        for total, amount in ((self.calls, 1), (self.flops, flops), (self.bytes, nbytes)):
            total[name] = total.get(name, 0) + amount

    def record(self, op: Op, inputs: tuple[Tensor, ...], attributes: dict, output: Tensor) -> None:
        """Time an op that has just run, as `Profile` does, and count it, and its backward when that runs."""
        # BEGIN SOLUTION 14.7
        rule, shapes = backward_of(op), [tensor.shape for tensor in inputs]

        def backward(grad, out, *arrays, **attributes):
            gradients = rule(grad, out, *arrays, **attributes)
            flops = count_backward_flops(op.name, shapes, out.shape, [given is not None for given in gradients])
            self.count(f"{op.name} backward", flops, count_bytes([grad, out, *arrays], gradients))
            return gradients

        super().record(Op(op.name, op.forward, rule and backward), inputs, attributes, output)
        moved = count_bytes([tensor.data for tensor in inputs], [output.data])
        self.count(op.name, count_flops(op.name, shapes, output.shape), moved)
        self.last = self.clock()  # the time for counting belongs to no op
        # END SOLUTION


@dataclass(frozen=True)
class Roofline:
    """A machine's limits, per second: floating-point operations, and bytes to and from main memory."""

    flops: float
    bandwidth: float

    def least_seconds(self, flops: float, nbytes: float) -> float:
        """Return the least time, in seconds, that this work can take: arithmetic and memory work at the same time."""
        # BEGIN SOLUTION 14.8
        return max(flops / self.flops, nbytes / self.bandwidth)
        # END SOLUTION

    def limit(self, flops: float, nbytes: float) -> str:
        """Return which takes longer for this work: "memory" or "arithmetic"."""
        # BEGIN SOLUTION 14.8
        return "memory" if nbytes / self.bandwidth > flops / self.flops else "arithmetic"
        # END SOLUTION


def measure_roofline(
    size: int = 1024, nbytes: int = 1 << 26, repeats: int = 10, clock: Callable[[], float] = time.perf_counter
) -> Roofline:
    """Measure both limits with the best of `repeats` float32 products, (size, size) each, and copies of `nbytes`.

    A copy moves every byte twice: it reads it and writes it.
    """
    matrix, product = np.ones((size, size), np.float32), np.empty((size, size), np.float32)
    source, target = np.ones(nbytes, np.uint8), np.empty(nbytes, np.uint8)
    # BEGIN SOLUTION 14.8
    multiply = time_calls(lambda: np.matmul(matrix, matrix, out=product), repeats, clock=clock).min()
    copy = time_calls(lambda: np.copyto(target, source), repeats, clock=clock).min()
    return Roofline(2 * size**3 / float(multiply), 2 * nbytes / float(copy))
    # END SOLUTION


def rank_ops(profile: WorkProfile, roofline: Roofline) -> list[dict]:
    """Return a row for each op, the slowest first, with "op", "calls", "seconds", "limit" and "efficiency".

    The efficiency is the least time that the roofline allows divided by the time that the op took, or nan if it took 0.
    """
    # BEGIN SOLUTION 14.8
    rows = []
    for name, seconds in sorted(profile.seconds.items(), key=lambda item: -item[1]):
        work = profile.flops[name], profile.bytes[name]
        efficiency = roofline.least_seconds(*work) / seconds if seconds else math.nan
        rows.append({"op": name, "calls": profile.calls[name], "seconds": seconds})
        rows[-1] |= {"limit": roofline.limit(*work), "efficiency": efficiency}
    return rows
    # END SOLUTION


def peak_memory(function: Callable) -> int:
    """Return by how many bytes Python's and NumPy's memory use rose above its initial level while function() ran.

    Afterwards, even after an error, tracemalloc is on if it was on before, and off otherwise.
    """
    # BEGIN SOLUTION 14.9
    was_on = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_on:
            tracemalloc.stop()
    # END SOLUTION
