"""Draw the SVG shapes that all drawings share (boxes and words), and find round steps for an axis."""

from __future__ import annotations

import math

from markupsafe import escape


def draw_box(x: float, y: float, width: float, height: float, attributes: str) -> str:
    """Return the SVG element of a rectangle with these additional `attributes`."""
    return f'<rect x="{x:.5g}" y="{y:.5g}" width="{width:.5g}" height="{height:.5g}" {attributes}/>'


def draw_text(x: float, y: float, text: str, anchor: str = "start", degrees: int = 0, css_class: str = "") -> str:
    """Return the SVG element of text that starts, ends or is centred at a point, rotated by `degrees`."""
    more = f' transform="rotate({degrees} {x:.5g} {y:.5g})"' if degrees else ""
    more += f' class="{css_class}"' if css_class else ""
    return f'<text x="{x:.5g}" y="{y:.5g}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def find_round_step(span: float) -> float:
    """Return a round step that fits into the span two to four times, or 0 for an empty span."""
    if not span > 1e-12:
        return 0.0
    size = 10.0 ** math.floor(math.log10(span / 2))
    return next(size * m for m in (10, 5, 2.5, 2, 1) if span / (size * m) >= 2 or m == 1)
