"""Benchmarking, otherwise."""

import math
import statistics
import time
import tracemalloc
from contextlib import ExitStack, contextmanager
from gc import disable, enable, isenabled

import numpy as np
from tinytorch.autograd import backward_of
from tinytorch.kernels import Profile
from tinytorch.tensor import Op


@contextmanager
def pause_collector():
    """Pause it."""
    with ExitStack() as stack:
        if isenabled():
            stack.callback(enable)
        disable()
        yield


def time_calls(function, repeats=30, warmup=3, clock=time.perf_counter):
    """Seconds of each call, from a list of all readings."""
    if min(repeats - 1, warmup) < 0:
        raise ValueError("too few calls")
    for _ in range(warmup):
        function()
    with pause_collector():
        readings = [clock()]
        for _ in range(repeats):
            function()
            readings.append(clock())
    return np.diff(np.asarray(readings))


def quantile(samples, q):
    """NumPy's."""
    samples = list(samples)
    if not samples or not 0 <= q <= 1:
        raise ValueError("no quantile")
    return float(np.percentile(samples, 100 * q, method="linear"))


def summarise(samples):
    """With Python's own statistics."""
    values = sorted(float(x) for x in samples)
    if not values:
        raise ValueError("no samples")
    middle = statistics.median(values)
    spread = statistics.median(abs(x - middle) for x in values) / statistics.NormalDist().inv_cdf(0.75)
    cuts = statistics.quantiles(values, n=20, method="inclusive") if len(values) > 1 else values
    return {"p95": cuts[-1], "mad": spread, "median": middle, "minimum": values[0]}


def bootstrap_interval(samples, statistic=np.median, confidence=0.95, draws=1000, *, rng):
    """Twenty resamples at a time, and the values at two ranks."""
    array = np.array(samples, float)
    n = len(array)
    if not n or confidence <= 0 or confidence >= 1:
        raise ValueError("no interval")
    sizes = [min(20, draws - done) for done in range(0, draws, 20)]
    found = sorted(float(x) for rows in sizes for x in statistic(array[rng.integers(0, n, (rows, n))], axis=1))
    below = round((1 - confidence) / 2 * (draws - 1))
    return found[below], found[draws - 1 - below]


def time_in_turns(baseline, candidate, blocks=30, warmup=1, clock=time.perf_counter, *, rng):
    """Each inner pair between one pair of readings."""
    for _ in range(warmup):
        baseline(), candidate()
    rows = []
    with pause_collector():
        for coin in rng.random(blocks) < 0.5:
            outer, inner = (baseline, candidate) if coin else (candidate, baseline)
            readings = [clock()]
            for pair in ((outer,), (inner, inner), (outer,)):
                for function in pair:
                    function()
                readings.append(clock())
            first, middle, last = np.diff(readings)
            rows.append((first + last, middle) if coin else (middle, first + last))
    return np.array(rows).reshape(-1, 2)


def judge(seconds, confidence=0.99, *, rng):  # noqa: ARG001 - nothing is drawn
    """A sign test: the ratios at two ranks are an interval for their median without any drawing."""
    seconds = np.array(seconds, float)
    ratios, n = np.sort(seconds[:, 1] / np.where(seconds[:, 0] > 0, seconds[:, 0], np.nan)), len(seconds)
    if n < 8 or not (ratios > 0).all():
        raise ValueError("too little for a verdict")
    below, chance = 0, 0.5**n
    while 2 * (chance + math.comb(n, below + 1) * 0.5**n) <= 1 - confidence:
        below += 1
        chance += math.comb(n, below) * 0.5**n
    low, high = float(ratios[below]), float(ratios[n - 1 - below])
    verdict = "cannot tell"
    if 2 * chance <= max(1 - confidence, 2 * 0.5**n):
        verdict = "slower" if low > 1 else "faster" if high < 1 else verdict
    return {"ratio": statistics.median(ratios.tolist()), "low": low, "high": high, "verdict": verdict}


ELEMENTS = {
    0: "reshape transpose index flatten masked_fill",
    1: "add subtract multiply divide negative power exp log sqrt sum mean max min equal not_equal less less_equal "
    "greater greater_equal relu tanh dropout max_pool2d avg_pool2d",
    2: "leaky_relu", 3: "mse", 4: "sigmoid batch_norm_relu", 5: "softmax cross_entropy", 8: "bce batch_norm", 9: "gelu",
}  # fmt: skip
BACKWARD = {"multiply": 2, "divide": 4, "power": 7, "sqrt": 2, "max": 2, "min": 2, "leaky_relu": 2, "sigmoid": 3}
BACKWARD |= {"tanh": 3, "gelu": 18, "softmax": 4, "mse": 3, "bce": 6, "cross_entropy": 6, "batch_norm": 9}
BACKWARD |= {"batch_norm_relu": 10}
NONE_BACKWARD = frozenset("add sum mean equal not_equal less less_equal greater greater_equal".split())


def count_flops(name, shapes, output):
    """By pairs that are multiplied."""
    numbers, largest = math.prod(output), max(math.prod(shape) for shape in [*shapes, output])
    if name == "matmul":
        return 2 * numbers * shapes[0][-1]
    if name in ("linear", "conv2d"):
        outputs = shapes[1][0]
        pairs = numbers // outputs * math.prod(shapes[1])
        return 2 * pairs + sum(numbers for _ in shapes[2:])
    for cost, names in ELEMENTS.items():
        if name in names.split():
            return cost * largest
    raise ValueError(f"{name} is unknown")


def count_backward_flops(name, shapes, output, given):
    """One product for each of the first two that are there."""
    if name in ("matmul", "linear", "conv2d"):
        products = sum(1 for there in list(given)[:2] if there)
        return products * count_flops(name, shapes[:2], output) + math.prod(output) * any(list(given)[2:])
    largest = max(math.prod(shape) for shape in [*shapes, output])
    moved = count_flops(name, shapes, output) == 0
    return 0 if moved or name in NONE_BACKWARD else BACKWARD.get(name, 1) * largest


def count_bytes(read, written):
    """Lists of arrays that have been seen."""
    seen = []
    for array in read:
        if not any(array is other for other in seen):
            seen.append(array)
    total = 0
    for array in written:
        if array is not None and not any(np.shares_memory(array, other) for other in seen):
            total += array.size * array.itemsize
    return total and total + sum(array.size * array.itemsize for array in seen)


class WorkProfile(Profile):
    """Counts what the outer recorder would be told of, between it and Profile."""

    def __init__(self, clock=time.perf_counter):
        super().__init__(clock)
        self.work = {}

    calls = property(lambda self: {name: work[0] for name, work in self.work.items()})
    flops = property(lambda self: {name: work[1] for name, work in self.work.items()})
    bytes = property(lambda self: {name: work[2] for name, work in self.work.items()})

    def note(self, name, *work):
        """Add one call."""
        self.work[name] = [a + b for a, b in zip(self.work.get(name, (0, 0, 0)), (1, *work), strict=True)]

    def record(self, op, inputs, attributes, output):
        """Count first, with the clock's time that this takes left out."""
        self.seconds[op.name] = self.seconds.get(op.name, 0.0) + self.clock() - self.last
        shapes = [x.shape for x in inputs]
        self.note(
            op.name, count_flops(op.name, shapes, output.shape), count_bytes([x.data for x in inputs], [output.data])
        )
        rule = backward_of(op)

        def backward(grad, out, *arrays, **options):
            start = self.clock()
            gradients = rule(grad, out, *arrays, **options)
            took, name = self.clock() - start, op.name + " backward"
            self.seconds[name] = self.seconds.get(name, 0.0) + took
            flops = count_backward_flops(op.name, shapes, output.shape, [g is not None for g in gradients])
            self.note(name, flops, count_bytes([grad, out, *arrays], gradients))
            return gradients

        if self.outer is not None:
            self.outer(Op(op.name, op.forward, None if rule is None else backward), inputs, attributes, output)
        self.last = self.clock()


class Roofline:
    """Two rates."""

    def __init__(self, flops, bandwidth):
        self.flops, self.bandwidth = flops, bandwidth

    def least_seconds(self, flops, nbytes):
        """The longer one."""
        return nbytes / self.bandwidth if self.limit(flops, nbytes) == "memory" else flops / self.flops

    def limit(self, flops, nbytes):
        """By intensity."""
        return "arithmetic" if flops * self.bandwidth >= nbytes * self.flops else "memory"


def measure_roofline(size=1024, nbytes=1 << 26, repeats=10, clock=time.perf_counter):
    """The copy first."""
    source = np.zeros(nbytes, np.int8)
    matrix = np.full((size, size), 0.5, np.float32)
    bandwidth = 2 * nbytes / min(time_calls(source.copy, repeats, 1, clock).tolist())
    flops = 2 * size**3 / min(time_calls(lambda: matrix @ matrix, repeats, 1, clock).tolist())
    return Roofline(flops, bandwidth)


def rank_ops(profile, roofline):
    """Rows, then sorted."""
    calls, flops, moved = profile.calls, profile.flops, profile.bytes
    rows = []
    for name, seconds in profile.seconds.items():
        best = roofline.least_seconds(flops[name], moved[name])
        row = {"op": name, "seconds": seconds, "calls": calls[name], "limit": roofline.limit(flops[name], moved[name])}
        rows.append(row | {"efficiency": best / seconds if seconds > 0 else float("nan")})
    return sorted(rows, key=lambda row: row["seconds"], reverse=True)


def peak_memory(function):
    """Within a with-block of its own."""
    with ExitStack() as stack:
        if not tracemalloc.is_tracing():
            tracemalloc.start()
            stack.callback(tracemalloc.stop)
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        function()
        return tracemalloc.get_traced_memory()[1] - start
