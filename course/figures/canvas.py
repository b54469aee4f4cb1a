"""A picture as an SVG document, and its shapes: lines, dots, arrows, images made of pixels.

All pictures are 480 wide, so that 14 px text is readable on a phone. A picture has its own background, because a page
may be dark although the reader's system is light. Colours are classes, from `a` to `e`: `fill-a` is for areas, `line-a`
for strokes and `word-a` for text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import escape

WIDTH = 480
EDGE = 14
"""The distance from the paper's edge to the drawing, in pixels."""

LIGHT = {"paper": "#fffdf9", "ink": "#1f1d1a", "quiet": "#5e5a53", "faint": "#e0dacf"}
DARK = {"paper": "#181d23", "ink": "#eceae6", "quiet": "#b3aea5", "faint": "#3a424c"}
LIGHT |= {"a": "#0b5a9d", "b": "#b4480a", "c": "#1b7340", "d": "#7b3fa0", "e": "#8a6d00"}
DARK |= {"a": "#6cb4f5", "b": "#ffa262", "c": "#67d18e", "d": "#d09bf5", "e": "#e3c74f"}


@dataclass(frozen=True)
class Figure:
    """A picture: a title that says what it shows, its height, and its shapes in order."""

    title: str
    height: float
    shapes: Sequence[str]


def render_svg(figure: Figure) -> str:
    """Render the picture as the text of an SVG file. The same picture always produces the same text."""
    height = format_coordinate(figure.height)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img">\n<title>{escape(figure.title)}</title>\n<style>\n{_STYLE}</style>\n'
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>\n'
    )
    return head + "\n".join(figure.shapes) + "\n</svg>\n"


def format_coordinate(value: float) -> str:
    """Format a coordinate with at most one decimal: 3.0 → '3', -0.04 → '0'."""
    text = f"{float(value):.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def draw_path(points: Iterable[tuple[float, float]], css_class: str, *, closed: bool = False) -> str:
    """Return the SVG element of straight lines from point to point."""
    along = "L".join(f"{format_coordinate(x)} {format_coordinate(y)}" for x, y in points)
    return f'<path class="{css_class}" d="M{along}{"Z" if closed else ""}"/>'


def draw_line(x1: float, y1: float, x2: float, y2: float, css_class: str = "axis") -> str:
    """Return the SVG element of one straight line."""
    return draw_path([(x1, y1), (x2, y2)], css_class)


def draw_arrow(x1: float, y1: float, x2: float, y2: float, css_class: str = "line-ink") -> str:
    """Return two SVG elements: a line, and a head of two strokes at its end."""
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    u, v = (x2 - x1) / length * 7, (y2 - y1) / length * 7
    head = [(x2 - u - v * 0.6, y2 - v + u * 0.6), (x2, y2), (x2 - u + v * 0.6, y2 - v - u * 0.6)]
    return draw_line(x1, y1, x2, y2, css_class) + draw_path(head, css_class)


def draw_dot(x: float, y: float, css_class: str, radius: float = 4) -> str:
    """Return the SVG element of a filled circle."""
    cx, cy, r = map(format_coordinate, (x, y, radius))
    return f'<circle class="{css_class}" cx="{cx}" cy="{cy}" r="{r}"/>'


def draw_pixels(
    levels: np.ndarray,
    x: float,
    y: float,
    pixel_width: float,
    attributes: Sequence[str],
    *,
    pixel_height: float | None = None,
) -> str:
    """Return the SVG of an image of integers: a pixel of value k has `attributes[k]`, and one below 0 is left out.

    A pixel is a square unless it has its own height. Equal neighbours in a row are drawn as one stroke.
    """
    runs: dict[int, list[str]] = {}
    for row, values in enumerate(np.asarray(levels)):
        ends = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
        for start, end in pairwise(ends):
            if (level := int(values[start])) >= 0:
                runs.setdefault(level, []).append(f"M{start} {row + 0.5:g}h{end - start}")
    paths = [f'<path {attributes[level]} d="{"".join(strokes)}"/>' for level, strokes in sorted(runs.items())]
    scale = f"{pixel_width:.4g}" if pixel_height is None else f"{pixel_width:.4g} {pixel_height:.4g}"
    where = f"translate({format_coordinate(x)} {format_coordinate(y)}) scale({scale})"
    return f'<g class="pixels" transform="{where}">{"".join(paths)}</g>'


def _build_stylesheet() -> str:
    """Build the style sheet: classes for light pages, and changes for dark ones."""
    names = "".join(f"--{name}:{colour};" for name, colour in LIGHT.items())
    dark = "".join(f"--{name}:{colour};" for name, colour in DARK.items())
    classes = [
        f".fill-{name}{{fill:var(--{name})}}.word-{name}{{fill:var(--{name})}}"
        f".line-{name}{{stroke:var(--{name});stroke-width:2}}.pixel-{name}{{stroke:var(--{name})}}"
        for name in LIGHT
    ]
    return (
        f"svg{{{names}color-scheme:light dark}}\n"
        f"@media (prefers-color-scheme:dark){{svg{{{dark}}}}}\n"
        "text{font:14px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:var(--ink)}\n"
        "path{fill:none;stroke-linejoin:round}.paper{fill:var(--paper)}.small{font-size:12px;fill:var(--quiet)}\n"
        ".halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px}"
        ".bold{font-weight:600}.code{font-family:ui-monospace,Menlo,Consolas,monospace}\n"
        ".axis{stroke:var(--quiet)}.grid{stroke:var(--faint)}.dash{stroke-dasharray:5 4}.thin{stroke-width:1}\n"
        ".pixels{shape-rendering:crispEdges;stroke-width:1}\n" + "\n".join(classes) + "\n"
    )


_STYLE = _build_stylesheet()
