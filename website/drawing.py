"""Pictures of a record as inline SVG: rectangles, few words, and a sentence for those who cannot see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from grading.render.text import one_line
from grading.result import Picture

WIDTH = 640
MOST_CLASSES, MOST_BARS = 12, 6
"""More would be too small to read."""
LONGEST_LABEL = 20


@dataclass(frozen=True)
class Drawing:
    """What the template draws, WIDTH wide."""

    title: str
    said: str
    """The sentence in place of the picture."""
    height: int
    shapes: Markup
    """SVG elements. They are written here, since a template takes ten times as long for hundreds of them."""


def draw(picture: Picture) -> Drawing | None:
    """The picture, or None when it is too large to be seen or has nothing to show."""
    values = np.array(picture.values, dtype=np.int64).reshape(picture.shape)
    labels = [one_line(label)[:LONGEST_LABEL] for label in picture.labels] or [str(row) for row in range(len(values))]
    return DRAW[picture.name](values, labels)


def _draw_confusions(counts: np.ndarray, labels: list[str]) -> Drawing | None:
    """A row for each class, a column for each answer; the larger a share of its row, the fuller a cell."""
    classes, total = len(counts), int(counts.sum())
    if classes > MOST_CLASSES or counts.min() < 0 or total == 0:
        return None
    left, top, tall = 92, 76, 26
    wide = (WIDTH - left) / classes
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shapes = []
    for row, label in enumerate(labels):
        y = top + tall * row
        shapes += [_word(left - 8, y + 18, label, "end"), _word(left + wide * (row + 0.4), top - 8, label, turn=-45)]
        for column in range(classes):
            x, count = left + wide * column, int(counts[row, column])
            kind, most = ("right", 1.0) if row == column else ("wrong", 0.4)
            opacity = 0.6 * min(1.0, float(shares[row, column]) / most)
            shapes.append(_box(x, y, wide - 2, tall - 2, f'class="{kind}" fill-opacity="{opacity:.2f}"'))
            if count:
                shapes.append(_word(x + wide / 2 - 1, y + 17, f"{count:,}", "middle"))
    said = f"Of {total:,} test images {int(np.trace(counts)):,} were named correctly."
    wrong = np.where(np.eye(classes, dtype=bool), 0, counts)
    if wrong.max() > 0:
        row, column = divmod(int(wrong.argmax()), classes)
        times = f"{int(wrong[row, column]):,} of {int(counts[row].sum()):,} times"
        said += f" Most often confused: {labels[row]} as {labels[column]}, {times}."
    said += " Each row is what an image shows, each column what was answered."
    return Drawing("What is taken for what", said, top + tall * classes, _svg(shapes))


def _draw_filters(kernels: np.ndarray, _labels: list[str]) -> Drawing | None:
    """Each kernel as a small image: grey is 0; of three channels the colours are red, green and blue."""
    maps, channels, rows, columns = kernels.shape
    across, gap = min(maps, 16), 6
    pixel = min(12, (WIDTH - gap * across) // (across * columns))
    if channels not in (1, 3) or pixel < 1:
        return None
    shades = np.clip(kernels + 128, 0, 255).repeat(3 // channels, axis=1)
    shapes = []
    for place in range(maps):
        left, top = (place % across) * (columns * pixel + gap), (place // across) * (rows * pixel + gap)
        for row, column in np.ndindex(rows, columns):
            red, green, blue = shades[place, :, row, column].tolist()
            x, y = left + column * pixel, top + row * pixel
            shapes.append(_box(x, y, pixel, pixel, f'fill="#{red:02x}{green:02x}{blue:02x}"'))
    what = "in red, green and blue" if channels == 3 else "light where a pixel counts, dark where it counts against"
    said = f"{maps} kernels of the first convolution, {rows}×{columns} pixels each, {what}."
    return Drawing("What the first layer looks for", said, -(-maps // across) * (rows * pixel + gap), _svg(shapes))


def _draw_times(times: np.ndarray, labels: list[str]) -> Drawing | None:
    """A bar for each, from 0."""
    longest = int(times.max())
    if len(times) > MOST_BARS or times.min() < 0 or longest == 0:
        return None
    left, right, tall = 160, 80, 30
    shapes, parts = [], []
    for place, (label, time) in enumerate(zip(labels, times.tolist(), strict=True)):
        y, width, text = tall * place, (WIDTH - left - right) * time / longest, f"{time / 1000:.1f} ms"
        shapes += [_word(left - 8, y + 20, label, "end"), _box(left, y + 4, width, tall - 8, 'class="time"')]
        shapes.append(_word(left + width + 8, y + 20, text))
        parts.append(f"{label} {text}")
    said = f"Processor time of one training step: {', '.join(parts)}."
    return Drawing("What a training step takes", said, tall * len(times), _svg(shapes))


def _svg(shapes: list[str]) -> Markup:
    return Markup("\n".join(shapes))  # noqa: S704 - numbers, and text that `_word` has escaped


def _box(x: float, y: float, width: float, height: float, look: str) -> str:
    return f'<rect x="{x:.5g}" y="{y:.5g}" width="{width:.5g}" height="{height:.5g}" {look}/>'


def _word(x: float, y: float, text: str, anchor: str = "start", turn: int = 0) -> str:
    """Text that begins, ends or is centred at a point; `turn` is in degrees."""
    turned = f' transform="rotate({turn} {x:.5g} {y:.5g})"' if turn else ""
    return f'<text x="{x:.5g}" y="{y:.5g}" text-anchor="{anchor}"{turned}>{escape(text)}</text>'


DRAW: dict[str, Callable[[np.ndarray, list[str]], Drawing | None]] = {
    "confusions": _draw_confusions,
    "filters": _draw_filters,
    "step_microseconds": _draw_times,
}
