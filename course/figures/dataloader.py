"""Pictures for module 08: one image in sixteen versions, and loading during training."""

from __future__ import annotations

import threading
import time

import numpy as np
from tinytorch.dataloader import Compose, RandomCrop, RandomHorizontalFlip, prefetch

from course.figures.canvas import WIDTH, Figure, draw_pixels
from course.figures.charts import Chart, Scale, draw_axes
from course.figures.records import read_record, round_values, write_record
from grading.render.svg import draw_box, draw_text

SIZE = 24
BLACK, SKY, SEA, HULL, SAIL, SUN = range(6)
COLOURS = ("#000000", "#9cc9ec", "#2b6a9e", "#7a3b1d", "#f6f1e4", "#f2b632")


def draw_augmented_boats() -> Figure:
    """Draw a boat of 24×24 pixels, as changed by flips and crops in sixteen epochs."""
    boat = _paint_boat_indices()
    transform, rng = Compose([RandomHorizontalFlip(), RandomCrop(4)]), np.random.default_rng(0)
    versions = transform(np.repeat(boat[None, None], 16, axis=0), rng)[:, 0]
    looks = [f'stroke="{colour}"' for colour in COLOURS]
    shapes = [draw_text(14, 24, "as stored", css_class="bold"), draw_pixels(boat, 14, 36, 3.5, looks)]
    shapes.append(draw_text(122, 24, "as sixteen epochs see it", css_class="bold"))
    for place, version in enumerate(versions):
        shapes.append(draw_pixels(version, 122 + 86 * (place % 4), 36 + 86 * (place // 4), 3.3, looks))
    return Figure("One image of a boat, and sixteen augmented versions of it", 392, shapes)


def _paint_boat_indices() -> np.ndarray:
    """Return the image of a boat as an array of indices into COLOURS."""
    y, x = np.mgrid[:SIZE, :SIZE]
    boat = np.where(y < 15, SKY, SEA)
    boat[(x - 19) ** 2 + (y - 4) ** 2 < 7] = SUN
    boat[(y >= 3) & (y < 14) & (x > 9) & (x <= 9 + (y - 3) * 0.75)] = SAIL
    boat[(y >= 3) & (y < 15) & (x == 9)] = HULL
    boat[(y >= 14) & (y < 19) & (x >= y - 11) & (x < 32 - y)] = HULL
    return boat


def draw_loading_pipeline() -> Figure:
    """Draw the measured times of loading and training on batches, one after the other and with prefetching."""
    record = read_record("pipeline")
    last = max(end for run in record.values() for _, _, end in run)
    shapes = []
    titles = (
        ("plain", "one after the other"),
        ("prefetch", "prefetch(batches, 2)"),
        ("starved", "the same, with slower loading"),
    )
    for row, (name, title) in enumerate(titles):
        top = 34 + 92 * row
        chart = Chart(62, top, WIDTH - 82, 56, Scale(0, last), Scale(0, 2))
        end = max(end for _, _, end in record[name])
        shapes.append(draw_text(62, top - 10, title, css_class="bold"))
        shapes.append(draw_text(WIDTH - 20, top - 10, f"{end:.0f} ms", "end", css_class="small"))
        for lane, (what, kind) in enumerate((("load", "b"), ("train", "a"))):
            shapes.append(draw_text(54, top + 20 + 28 * lane, what, "end", css_class="small"))
            for _, start, stop in (part for part in record[name] if part[0] == what):
                x, wide = chart.map_x(start), chart.map_x(stop) - chart.map_x(start)
                shapes.append(draw_box(x, top + 4 + 28 * lane, max(wide - 1.5, 1), 22, f'class="fill-{kind}"'))
    shapes += draw_axes(chart, [(t, f"{t:g}") for t in np.arange(0, last, 100)], [], x_label="milliseconds")
    return Figure("When batches are loaded and trained on, with and without prefetching", 318, shapes)


def record_loading_pipeline() -> None:
    """Record the times of simulated loading and training: in sequence, prefetched, and prefetched with slow loading."""
    runs: dict[str, list] = {}
    for name, load, ahead in (("plain", 0.03, False), ("prefetch", 0.03, True), ("starved", 0.07, True)):
        parts: list[tuple[str, float, float]] = []
        begin, lock = time.perf_counter(), threading.Lock()

        def sleep_and_record(activity: str, seconds: float, begin=begin, lock=lock, parts=parts) -> None:
            """Sleep, and record what was done, with its start and its end."""
            start = time.perf_counter()
            time.sleep(seconds)
            with lock:
                parts.append((activity, 1000 * (start - begin), 1000 * (time.perf_counter() - begin)))

        def load_batches(load=load, work=sleep_and_record):
            """Yield six batches, waiting before each."""
            for _ in range(6):
                work("load", load)
                yield None

        for _ in prefetch(load_batches(), 2) if ahead else load_batches():
            sleep_and_record("train", 0.05)
        runs[name] = [
            [what, *round_values(np.array(times), 4)] for what, *times in sorted(parts, key=lambda part: part[1])
        ]
    about = "six batches: 30 or 70 ms to load, 50 ms to train, both by time.sleep; times in ms"
    write_record("pipeline", about, runs, ["08_dataloader/tinytorch/dataloader.py"])


FIGURES = {"versions": draw_augmented_boats, "pipeline": draw_loading_pipeline}
MEASUREMENTS = {"pipeline": record_loading_pipeline}
