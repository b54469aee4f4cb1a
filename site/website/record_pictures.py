"""Pictures from a record as inline SVG: rectangles, labels, and a description for those who cannot see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from grading.render.svg import draw_box, draw_text
from grading.render.text import to_one_line
from grading.result import RIVAL_SETS, Picture

WIDTH = 640
MOST_CLASSES, MOST_BARS = 12, 6
"""The greatest number of items in a picture. With more items, it would be too small to read."""
LONGEST_LABEL = 20
MOST_RIVALS, LONGEST_RIVAL = 10, 44
SETS = {
    "compositions": "Functions with new compositions",
    "made_up": "Functions with words made up for this run",
    "names": "Functions with new names",
    "claims": "True claims of stories",
}
"""The titles for the columns of `rivals`."""
SMALLEST_CELL, LONGEST_TOKEN, FAINTEST = 8, 10, 4
"""For attention: a cell's minimum width, a token's maximum number of characters, the lowest percentage drawn."""


@dataclass(frozen=True)
class Drawing:
    """A drawn picture, WIDTH wide."""

    title: str
    said: str
    """The description for those who cannot see the picture."""
    height: int
    shapes: Markup
    """The SVG elements. They are written in Python, since a template takes ten times as long for hundreds of them."""


def draw_record_picture(picture: Picture) -> Drawing | None:
    """Draw a picture from a record; return None if it is too large or empty, or if its values are out of range."""
    values = np.array(picture.values, dtype=np.int64).reshape(picture.shape)
    labels = [_clean_label(label, picture.name) for label in picture.labels] or [str(row) for row in range(len(values))]
    return DRAWERS[picture.name](values, labels)


def _draw_confusions(counts: np.ndarray, labels: list[str]) -> Drawing | None:
    """Draw a confusion matrix (class by answer), shaded by row shares; return None if too large, empty or negative."""
    classes, total = len(counts), int(counts.sum())
    if classes > MOST_CLASSES or counts.min() < 0 or total == 0:
        return None
    left, top, tall = 92, 76, 26
    wide = (WIDTH - left) / classes
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shapes = []
    for row, label in enumerate(labels):
        y = top + tall * row
        shapes += [
            draw_text(left - 8, y + 18, label, "end"),
            draw_text(left + wide * (row + 0.4), top - 8, label, degrees=-45),
        ]
        for column in range(classes):
            x, count = left + wide * column, int(counts[row, column])
            kind, most = ("right", 1.0) if row == column else ("wrong", 0.4)
            opacity = 0.6 * min(1.0, float(shares[row, column]) / most)
            shapes.append(draw_box(x, y, wide - 2, tall - 2, f'class="{kind}" fill-opacity="{opacity:.2f}"'))
            if count:
                shapes.append(draw_text(x + wide / 2 - 1, y + 17, f"{count:,}", "middle"))
    said = f"Of {total:,} test images, {int(np.trace(counts)):,} were classified correctly."
    wrong = np.where(np.eye(classes, dtype=bool), 0, counts)
    if wrong.max() > 0:
        row, column = divmod(int(wrong.argmax()), classes)
        times = f"{int(wrong[row, column]):,} of {int(counts[row].sum()):,} times"
        said += f" Most often confused: {labels[row]} as {labels[column]}, {times}."
    said += " Each row is the class in the image, and each column is the network's answer."
    return Drawing("Which classes it confuses", said, top + tall * classes, _join_svg_elements(shapes))


def _draw_filters(kernels: np.ndarray, _labels: list[str]) -> Drawing | None:
    """Draw each kernel as a small image, with grey for 0; return None unless it has 1 or 3 channels and fits."""
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
            shapes.append(draw_box(x, y, pixel, pixel, f'fill="#{red:02x}{green:02x}{blue:02x}"'))
    grey = "light where a pixel counts in favour and dark where it counts against"
    what = "in red, green and blue" if channels == 3 else grey
    said = f"{maps} kernels of the first convolution, {rows}×{columns} pixels each, {what}."
    return Drawing(
        "What the first layer looks for", said, -(-maps // across) * (rows * pixel + gap), _join_svg_elements(shapes)
    )


def _draw_time_bars(times: np.ndarray, labels: list[str]) -> Drawing | None:
    """Draw a bar for each time in microseconds; return None for too many, negative or only zero times."""
    longest = int(times.max())
    if len(times) > MOST_BARS or times.min() < 0 or longest == 0:
        return None
    left, right, tall = 160, 80, 30
    shapes, parts = [], []
    for place, (label, time) in enumerate(zip(labels, times.tolist(), strict=True)):
        y, width, text = tall * place, (WIDTH - left - right) * time / longest, f"{time / 1000:.1f} ms"
        shapes += [draw_text(left - 8, y + 20, label, "end"), draw_box(left, y + 4, width, tall - 8, 'class="time"')]
        shapes.append(draw_text(left + width + 8, y + 20, text))
        parts.append(f"{label} {text}")
    said = f"CPU time of one training step: {', '.join(parts)}."
    if len(times) > 1 and times[1] > 0:
        said += f" With {labels[1]}, a step is {times[0] / times[1]:.1f} times as fast as with {labels[0]}."
    return Drawing("What a training step takes", said, tall * len(times), _join_svg_elements(shapes))


def _draw_rival_ladders(per_mille: np.ndarray, labels: list[str]) -> Drawing | None:
    """Draw bars for each set from shares in thousandths, best on top; return None if out of range or too many.

    Row 0 is the network, and the others are its rivals.
    """
    if len(per_mille) > MOST_RIVALS or per_mille.min() < 0 or per_mille.max() > 1000:
        return None
    shapes, parts, top = [], [], 0.0
    for column, title in enumerate(SETS[name] for name in RIVAL_SETS):
        rungs = per_mille[:, column].tolist()
        shapes.append(draw_text(0, top + 18, title, css_class="heading"))
        drawn, height = _draw_ranked_bars(
            rungs, labels, 1000, lambda share: f"{share / 1000:.0%}", top + 26, falling=True
        )
        shapes, top = shapes + drawn, top + 26 + height + 14
        parts.append(f"{title}: {rungs[0] / 1000:.0%}, and the best rival {max(rungs[1:], default=0) / 1000:.0%}.")
    return Drawing("The ladder of rivals", " ".join(parts), round(top), _join_svg_elements(shapes))


def _draw_text_rival_ladder(bits: np.ndarray, labels: list[str]) -> Drawing | None:
    """Draw bars from thousandths of a bit per byte, fewest on top; return None if they are too many or invalid.

    Row 0 is the network, and the others are its rivals.
    """
    if len(bits) > MOST_RIVALS or bits.min() < 0 or bits.max() == 0:
        return None
    rungs = bits.tolist()
    shapes, height = _draw_ranked_bars(rungs, labels, max(rungs), lambda one: f"{one / 1000:.2f}", 0, falling=False)
    said = f"Bits per byte of held-out real text, where fewer are better: {labels[0]} {rungs[0] / 1000:.2f}"
    best = min(range(1, len(rungs)), key=rungs.__getitem__, default=None)
    said += "." if best is None else f", the best rival, {labels[best]}, {rungs[best] / 1000:.2f}."
    return Drawing("How well text is predicted", said, round(height), _join_svg_elements(shapes))


def _draw_ranked_bars(
    rungs: list[int], labels: list[str], longest: int, write: Callable[[int], str], top: float, *, falling: bool
) -> tuple[list[str], float]:
    """Return SVG bars sorted by value, with the network's (the first of ``rungs``) marked, and their total height."""
    left, right, tall = 290, 56, 22
    shapes = []
    order = sorted(range(len(rungs)), key=lambda rung: -rungs[rung] if falling else rungs[rung])
    for place, rung in enumerate(order):
        y, width = top + tall * place, (WIDTH - left - right) * rungs[rung] / longest
        kind = "rival" if rung else "time"
        shapes.append(draw_text(left - 8, y + 16, labels[rung], "end", css_class="" if rung else "heading"))
        shapes.append(draw_box(left, y + 3, width, tall - 6, f'class="{kind}"'))
        shapes.append(draw_text(left + width + 8, y + 16, write(rungs[rung])))
    return shapes, tall * len(rungs)


def _draw_attention(percent: np.ndarray, labels: list[str]) -> Drawing | None:
    """Draw each layer's attention as shaded cells. Return None if labels or values are invalid, or cells too narrow.

    A layer has a row for each written token and a column for each preceding token.
    """
    layers, written, size = percent.shape
    before = size - written
    left, top, tall = 96, 76, 16
    wide = (WIDTH - left) / size
    if len(labels) != size + 1 or wide < SMALLEST_CELL or percent.min() < 0:
        return None
    shapes = [
        draw_text(left + wide * (place + 0.6), top - 6, label, degrees=-60) for place, label in enumerate(labels[:size])
    ]
    y = float(top)
    for layer in range(layers):
        shapes.append(draw_text(0, y + 16, f"Layer {layer + 1}", css_class="heading"))
        y += 22
        for row, label in enumerate(labels[-written:]):
            shapes.append(draw_text(left - 8, y + 12, label, "end"))
            shapes.append(draw_box(left, y, wide * (before + row + 1) - 1, tall - 1, 'class="rest"'))
            for column in np.flatnonzero(percent[layer, row, : before + row + 1] >= FAINTEST).tolist():
                look = f'class="time" fill-opacity="{min(100, int(percent[layer, row, column])) / 100:.2f}"'
                shapes.append(draw_box(left + wide * column, y, wide - 1, tall - 1, look))
            y += tall
        y += 8
    back = np.where(np.arange(size) < before + np.arange(written)[:, None], percent, 0)  # not counting the token itself
    layer, row, column = map(int, np.unravel_index(back.argmax(), back.shape))
    said = (
        "Each row is a token that was written, and each column is a token before it. A stronger colour means that the "
        f"layer's heads attend more. To write {labels[before + row + 1]}, for instance, one head in layer {layer + 1} "
        f"gives {int(back.max())}% of its attention to {labels[column]}."
    )
    return Drawing("What it looks at when it writes", said, round(y), _join_svg_elements(shapes))


def _clean_label(label: str, name: str) -> str:
    """Clean and shorten a label, and make white space in tokens visible."""
    if name == "attention":
        return to_one_line(label.replace("\n", "⏎").replace(" ", "·"))[:LONGEST_TOKEN] or "?"
    return to_one_line(label)[: LONGEST_RIVAL if name.startswith("rivals") else LONGEST_LABEL]


def _join_svg_elements(shapes: list[str]) -> Markup:
    """Join SVG elements whose texts are already escaped."""
    return Markup("\n".join(shapes))  # noqa: S704 - numbers, and text that `write_word` has escaped


DRAWERS: dict[str, Callable[[np.ndarray, list[str]], Drawing | None]] = {
    "confusions": _draw_confusions,
    "filters": _draw_filters,
    "step_microseconds": _draw_time_bars,
    "rivals": _draw_rival_ladders,
    "rivals_on_text": _draw_text_rival_ladder,
    "attention": _draw_attention,
}
