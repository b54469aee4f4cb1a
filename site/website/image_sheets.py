"""The images that a network named: all of a milestone in one PNG file, from which pages show pieces."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from grading.result import NamedImage

CELL = 32
"""Pixels from one image to the next, the size of the largest in a record."""


def draw_image_sheet(images: Sequence[NamedImage]) -> bytes:
    """Draw the images in one row, CELL apart, as PNG."""
    sheet = np.zeros((CELL, CELL * len(images), 3), np.uint8)
    for place, image in enumerate(images):
        channels, height, width = image.shape
        pixels = np.frombuffer(image.content, np.uint8).reshape(image.shape).transpose(1, 2, 0)
        sheet[:height, place * CELL : place * CELL + width] = pixels.repeat(3 // channels, axis=2)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG", optimize=True)
    return file.getvalue()
