"""Pictures for module 01: the cost of a call, and why the smallest time counts."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from tinytorch.setup import compare_dots, dot_vectorised

from course.figures.canvas import WIDTH, Figure, draw_dot, draw_line
from course.figures.charts import Chart, Scale, draw_axes, draw_bars, draw_curve, make_ticks
from course.figures.records import read_record, round_values, write_record
from grading.render.svg import draw_text

SIZES = [10, 32, 100, 320, 1_000, 3_200, 10_000, 32_000, 100_000, 320_000, 1_000_000, 3_200_000, 10_000_000]
CALLS = 200
CODE = ["01_setup/tinytorch/setup.py"]


def draw_dot_product_speedup() -> Figure:
    """Draw np.dot's recorded speed-up over a loop against size, with the sizes at which two vectors fill the caches."""
    record = read_record("speedup")
    chart = Chart(52, 42, WIDTH - 76, 210, Scale(10, 1e7, log=True), Scale(1, 1000, log=True))
    x = [(10.0**k, text) for k, text in zip(range(1, 8), "10 100 1k 10k 100k 1M 10M".split(), strict=True)]
    shapes = draw_axes(chart, x, [(10.0**k, f"{10**k}") for k in range(4)], x_label="elements of each vector")
    shapes.append(draw_text(14, 24, "time of the loop divided by time of np.dot"))
    for name, size in record["caches"].items():
        at = chart.map_x(size / 16)
        shapes.append(draw_line(at, chart.top, at, chart.top + chart.height, "line-b dash thin"))
        shapes.append(draw_text(at - 4, chart.top + chart.height - 8, f"{name} full", "end", css_class="small word-b"))
    shapes.append(draw_curve(chart, record["sizes"], record["speedups"], "line-a"))
    for size, speedup in zip(record["sizes"], record["speedups"], strict=True):
        shapes.append(draw_dot(chart.map_x(size), chart.map_y(speedup), "fill-a", 3))
        if size in (10, 1_000, 10_000, 10_000_000):
            label, anchor = f"{float(f'{speedup:.2g}'):g}", "end" if size > 1e6 else "middle"
            shapes.append(draw_text(chart.map_x(size), chart.map_y(speedup) - 9, label, anchor, css_class="bold halo"))
    return Figure("Speed-up of np.dot over a loop, for vectors of 10 to 10,000,000 elements", 300, shapes)


def draw_timing_histogram() -> Figure:
    """Draw a histogram of the recorded times of one call made many times, with the smallest time and the mean."""
    times = np.array(read_record("timings")["microseconds"])
    scale = Scale(0.85 * times.min(), 1.3 * times.max(), log=True)
    edges = np.geomspace(scale.low, scale.high, 91)
    counts, _ = np.histogram(times, edges)
    chart = Chart(46, 58, WIDTH - 66, 180, scale, Scale(0, float(counts.max()) * 1.1))
    x = [(value, f"{value:,}") for value in (20, 50, 100, 200, 500, 1000, 2000, 5000) if value < scale.high]
    shapes = draw_axes(chart, x, make_ticks(0, chart.y.high), x_label="microseconds for one call")
    shapes.append(draw_text(14, 24, f"{len(times)} calls of the same function"))
    shapes.append(draw_bars(chart, edges[:-1], edges[1:], counts, 'class="fill-a"'))
    for value, text, kind, row in ((times.min(), "minimum", "c", 0), (times.mean(), "mean", "b", 1)):
        at = chart.map_x(value)
        shapes.append(draw_line(at, chart.top, at, chart.top + chart.height, f"line-{kind}"))
        label = f"{text} {value:.1f}"
        shapes.append(draw_text(at + 6 * row, chart.top - 6 + 44 * row, label, css_class=f"bold word-{kind}"))
    last = chart.map_x(times.max()), chart.top + chart.height - 14
    shapes.append(draw_text(*last, f"one took {times.max():,.0f}", "end", css_class="small"))
    return Figure("Histogram of 200 timings of one function", 282, shapes)


def record_dot_product_speedup() -> None:
    """Measure `np.dot`'s speed-up over a loop at each size, and record it with the sizes of this machine's caches."""
    rng = np.random.default_rng(0)
    speedups = [
        float(np.median([compare_dots(size, rng)["speedup"] for _ in range(3 if size < 1e6 else 1)])) for size in SIZES
    ]
    caches = {}
    for path in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if (path / "type").read_text().strip() != "Instruction":
            size = (path / "size").read_text().strip()
            caches[f"L{(path / 'level').read_text().strip()}"] = int(size[:-1]) * {"K": 2**10, "M": 2**20}[size[-1]]
    about = "compare_dots of module 01, the median of three below 1,000,000 elements; caches in bytes"
    values = {"sizes": SIZES, "speedups": round_values(np.array(speedups), 3), "caches": caches}
    write_record("speedup", about, values, CODE)


def record_dot_product_timings() -> None:
    """Time a dot product of 100,000 elements 200 times, and record the microseconds of each call."""
    a, b = np.random.default_rng(0).normal(size=(2, 100_000))
    dot_vectorised(a, b)
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        dot_vectorised(a, b)
        times.append(1e6 * (time.perf_counter() - start))
    about = "200 wall-clock timings of module 01's dot_vectorised on 100,000 elements"
    write_record("timings", about, {"microseconds": round_values(np.array(times))}, CODE)


FIGURES = {"speedup": draw_dot_product_speedup, "timings": draw_timing_histogram}
MEASUREMENTS = {"speedup": record_dot_product_speedup, "timings": record_dot_product_timings}
