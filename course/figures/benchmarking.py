"""Pictures for module 14: measuring alternately, and the roofline above every op."""

from __future__ import annotations

import time

import numpy as np
from tinytorch.activations import ReLU
from tinytorch.autograd import Tape, require_grad
from tinytorch.benchmarking import WorkProfile, judge, measure_roofline, rank_ops, time_in_turns
from tinytorch.dense import CrossEntropyLoss
from tinytorch.layers import Dense, Sequential
from tinytorch.spatial import BatchNorm2d, Conv2d, Flatten, MaxPool2d
from tinytorch.tensor import Tensor

from course.figures.canvas import WIDTH, Figure, draw_dot, draw_line
from course.figures.charts import Chart, Scale, draw_axes, draw_curve
from course.figures.records import read_record, write_record
from grading.render.svg import draw_text

ROWS = 10
CODE = ("06_spatial/tinytorch/spatial.py", "14_benchmarking/tinytorch/benchmarking.py")


def draw_timing_orders() -> Figure:
    """Draw ten comparisons of two equal functions on a machine that slows down, in sequence and in turns."""
    shapes = []
    for place, (name, seed) in enumerate((("A, then B", 1), ("taking turns", 2))):
        rng = np.random.default_rng(seed)
        chart = Chart(30 + 230 * place, 56, 204, 200, Scale(0.85, 1.25), Scale(0, ROWS))
        shapes += draw_axes(chart, [(v, f"{v:g}") for v in (0.9, 1.0, 1.1, 1.2)], [], x_label="B / A", grid=False)
        shapes.append(draw_line(chart.map_x(1), chart.top, chart.map_x(1), chart.top + chart.height, "axis dash"))
        wrong = 0
        for row in range(ROWS):
            result = judge(_simulate_timing_equal_functions(rng, in_turns=place == 1), rng=rng)
            sure = result["verdict"] in ("faster", "slower")
            wrong += sure
            kind, y = "b" if sure else "a", chart.map_y(row + 0.5)
            ends = [min(max(float(result[key]), 0.85), 1.25) for key in ("low", "high")]
            shapes.append(draw_line(chart.map_x(ends[0]), y, chart.map_x(ends[1]), y, f"line-{kind}"))
            shapes.append(draw_dot(chart.map_x(min(float(result["ratio"]), 1.25)), y, f"fill-{kind}", 3.5))
        shapes.append(draw_text(chart.left, 24, name, css_class="bold"))
        shapes.append(draw_text(chart.left, 44, f"{wrong} of {ROWS} say that they differ", css_class="small"))
    return Figure("Ten comparisons of equal functions on a machine that slows down", 304, shapes)


def _simulate_timing_equal_functions(rng: np.random.Generator, *, in_turns: bool) -> np.ndarray:
    """Return the times of 20 blocks (rows) of two equal functions on a simulated machine that becomes slower."""
    now, calls = 0.0, 0

    def simulate_slowing_call() -> None:
        """Advance the simulated clock by the duration of a call. Each call takes 0.1% longer than the one before it."""
        nonlocal now, calls
        now += (1 + 0.001 * calls) * (1 + 0.04 * rng.exponential())
        calls += 1

    if in_turns:
        return time_in_turns(
            simulate_slowing_call, simulate_slowing_call, blocks=20, warmup=0, clock=lambda: now, rng=rng
        )
    spans = []
    for _ in range(80):
        start = now
        simulate_slowing_call()
        spans.append(now - start)
    return np.array(spans).reshape(2, 20, 2).sum(axis=2).T


def draw_roofline() -> Figure:
    """Draw the ops that took 0.5% or more of the recorded training step, below the roofline of that step's machine."""
    record = read_record("roofline")
    peak, bandwidth = record["peak"] / 1e9, record["bandwidth"] / 1e9
    chart = Chart(52, 44, WIDTH - 72, 230, Scale(0.04, 100, log=True), Scale(0.2, 300, log=True))
    x = [(v, f"{v:g}") for v in (0.1, 1, 10, 100)]
    y = [(v, f"{v:g}") for v in (1, 10, 100)]
    shapes = draw_axes(chart, x, y, x_label="operations per byte moved")
    shapes.append(draw_text(14, 24, "billions of operations a second", css_class="bold"))
    corner = peak / bandwidth
    roof = [(0.04, 0.04 * bandwidth), (corner, peak), (100, peak)]
    shapes.append(draw_curve(chart, [a for a, _ in roof], [b for _, b in roof], "line-ink"))
    shapes.append(draw_text(chart.map_x(100), chart.map_y(peak) - 8, f"peak {peak:.0f}", "end", css_class="small"))
    whole = sum(values["seconds"] for values in record["ops"].values())
    for name, values in record["ops"].items():
        if values["seconds"] < 0.005 * whole:
            continue
        at = chart.map_x(values["flops"] / values["bytes"]), chart.map_y(values["flops"] / values["seconds"] / 1e9)
        kind = "b" if name.endswith("backward") else "a"
        shapes.append(draw_dot(*at, f"fill-{kind}", 4))
        left = name in ("conv2d", "conv2d backward", "max_pool2d")
        drop = (
            -4 if name in ("conv2d backward", "batch_norm") else 14 if name in ("conv2d", "batch_norm backward") else 4
        )
        shapes.append(
            draw_text(
                at[0] + (-8 if left else 8), at[1] + drop, name, "end" if left else "start", css_class="small halo"
            )
        )
    return Figure("Roofline of one training step", 322, shapes)


def record_training_step_profile() -> None:
    """Profile a training step of the lesson's network repeatedly; record median times and the machine's two limits."""
    rng, layers = np.random.default_rng(0), []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [Conv2d(before, after, 3, padding=1, rng=rng), BatchNorm2d(after), ReLU(), MaxPool2d(2)]
    network = Sequential(*layers, Flatten(), Dense(1024, 10, rng=rng))
    require_grad(network.parameters())
    images, labels = Tensor(rng.normal(size=(64, 3, 32, 32)).astype("float32")), Tensor(np.arange(64) % 10)
    profiles = []
    for _ in range(15):
        with Tape(), WorkProfile(time.process_time) as profile:
            loss = CrossEntropyLoss()(network(images), labels)
        loss.backward()
        profiles.append(profile)
    roofline = measure_roofline(clock=time.process_time)
    names = [row["op"] for row in rank_ops(profiles[-1], roofline)]
    ops = {
        name: {
            "flops": profiles[-1].flops[name],
            "bytes": profiles[-1].bytes[name],
            "seconds": float(f"{np.median([p.seconds[name] for p in profiles[3:]]):.3g}"),
        }
        for name in names
        if profiles[-1].bytes.get(name) and profiles[-1].flops.get(name)
    }
    values = {"peak": round(roofline.flops, -9), "bandwidth": round(roofline.bandwidth, -9), "ops": ops}
    write_record("roofline", "one training step of module 13's example, medians of 12, processor time", values, CODE)


FIGURES = {"turns": draw_timing_orders, "roofline": draw_roofline}
MEASUREMENTS = {"roofline": record_training_step_profile}
