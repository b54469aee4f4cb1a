"""Convert drawings on a canvas to MNIST's format, so that they look like the images the network was trained on.

MNIST's digits were cropped, scaled to fit 20×20 pixels with their proportions kept, and placed in 28×28 pixels with
their centre of mass in the middle (Y. LeCun et al., "Gradient-based learning applied to document recognition", 1998).
This module does the same with the pen's path before drawing it in pixels. The strokes are therefore as thick as
MNIST's, however small the drawing is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SIDE = 1000
"""The largest coordinate. Coordinates are integers that start at 0 and grow to the right and downwards."""
MAX_STROKES, MAX_POINTS = 100, 4000
PIXELS, BOX = 28, 20
RADIUS = 1.2
"""Half the pen's width, in pixels of the image. MNIST's strokes are two to three pixels wide."""
SMALLEST_DRAWING = 120
"""The smallest size at which a drawing is enlarged to fill the box.

A smaller drawing is not enlarged, so a dot stays a dot.
"""
MIN_DISTANCE = 0.4
"""The distance, in pixels, below which two points become one."""

Strokes = list[list[tuple[int, int]]]


def parse_strokes(value: Any) -> Strokes:
    """Read strokes from parsed JSON, `[[[x, y], …], …]`. Raise ValueError with the reason if they are not valid."""
    if type(value) is not list or not value or not all(type(stroke) is list and stroke for stroke in value):
        raise ValueError("strokes must be a list of strokes, each a list of points, and no list may be empty")
    if len(value) > MAX_STROKES or sum(map(len, value)) > MAX_POINTS:
        raise ValueError(f"a digit has at most {MAX_STROKES} strokes and {MAX_POINTS:,} points")
    for point in (point for stroke in value for point in stroke):
        if type(point) is not list or [type(c) for c in point] != [int, int] or not all(0 <= c <= SIDE for c in point):
            raise ValueError(f"a point must be [x, y], with integers from 0 to {SIDE}")
    return [[(x, y) for x, y in stroke] for stroke in value]


def draw_mnist_image(strokes: Strokes) -> np.ndarray:
    """Draw the strokes, if any, scaled and centred as an MNIST image: uint8 of shape (28, 28), with ink of 255 on 0."""
    if not strokes:
        return np.zeros((PIXELS, PIXELS), np.uint8)
    points = np.array([point for stroke in strokes for point in stroke], np.float64)
    low, high = points.min(0), points.max(0)
    room = BOX - 2 * RADIUS
    scale = room / max(*(high - low), SMALLEST_DRAWING)
    middle = (low + high) / 2
    paths = [_drop_close_points((np.array(stroke) - middle) * scale) for stroke in strokes]
    starts = np.concatenate([path[:-1] if len(path) > 1 else path for path in paths])
    ends = np.concatenate([path[1:] if len(path) > 1 else path for path in paths])
    centre = np.full(2, PIXELS / 2)
    ink = _draw_ink(starts + centre, ends + centre)
    # The first image locates the centre of mass. The second image centres it, as far as all ink stays inside.
    rows, columns = np.mgrid[:PIXELS, :PIXELS] + 0.5
    mass = np.array([(columns * ink).sum(), (rows * ink).sum()]) / ink.sum()
    spare = (PIXELS - (high - low) * scale) / 2 - RADIUS
    centre += np.clip(PIXELS / 2 - mass, -spare, spare)
    return np.rint(255 * _draw_ink(starts + centre, ends + centre)).astype(np.uint8)


def _drop_close_points(stroke: np.ndarray) -> np.ndarray:
    """Drop points of a stroke that nearly coincide with the last point kept. Keep both ends of the stroke."""
    kept = [0]
    for index in range(1, len(stroke)):
        if np.abs(stroke[index] - stroke[kept[-1]]).max() >= MIN_DISTANCE or index == len(stroke) - 1:
            kept.append(index)
    return stroke[kept]


def _draw_ink(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Draw straight lines between points, given in pixels, as ink from 0 to 1: (n, 2), (n, 2) → (28, 28).

    A pixel's ink depends on the distance from its centre to the nearest line, with a soft edge one pixel wide.
    """
    rows, columns = (np.mgrid[:PIXELS, :PIXELS] + 0.5).astype(np.float32).reshape(2, -1, 1)
    nearest = np.full(PIXELS**2, np.inf, np.float32)
    lines = np.concatenate([starts, ends - starts], 1).astype(np.float32)
    for first in range(0, len(lines), 256):  # x and y separately, because summing over an axis of length two is slow
        x, y, dx, dy = lines[first : first + 256].T
        away_x, away_y = columns - x, rows - y
        part = np.clip((away_x * dx + away_y * dy) / np.maximum(dx**2 + dy**2, 1e-12), 0, 1)
        squared = (away_x - part * dx) ** 2 + (away_y - part * dy) ** 2
        nearest = np.minimum(nearest, squared.min(1))
    return np.clip(RADIUS + 0.5 - np.sqrt(nearest), 0, 1).reshape(PIXELS, PIXELS)
