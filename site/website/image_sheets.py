"""The images that a network classified. All images of a milestone are in one PNG file, and pages show pieces of it."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from grading.result import NamedImage

CELL = 32
"""The distance in pixels from one image to the next, which is the size of the largest image in a record."""


def draw_images_in_one_row(images: Sequence[NamedImage]) -> bytes:
    """Draw the images as PNG in one row, each in its own square of `CELL` pixels."""
    sheet = np.zeros((CELL, CELL * len(images), 3), np.uint8)
    for place, image in enumerate(images):
        channels, height, width = image.shape
        pixels = np.frombuffer(image.content, np.uint8).reshape(image.shape).transpose(1, 2, 0)
        sheet[:height, place * CELL : place * CELL + width] = pixels.repeat(3 // channels, axis=2)
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG", optimize=True)
    return file.getvalue()
