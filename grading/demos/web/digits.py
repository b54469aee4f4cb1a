"""Demonstration 2 in a browser: draw a digit, and the student's network reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from grading.demos.canvas import Strokes, strokes_of, to_mnist
from grading.demos.pictures import shrunk
from grading.demos.reading import Reader
from grading.demos.web.answering import AnsweringPage
from grading.demos.web.images import ImagePage, in_base64

MAPS, MAP_SIDE = 16, 32
"""The most feature maps to show, and the most pixels per side."""


class DigitPage(AnsweringPage, ImagePage):
    """The page on which digits are drawn and read; its questions are `{"strokes": […]}`."""

    name = "digits"
    done = "Your network reads {accuracy:.1%} of {tested:,} digits it has never seen. Draw yours."

    def _parse(self, question: Any) -> Strokes:
        if type(question) is not dict or set(question) != {"strokes"}:
            raise ValueError('ask with {"strokes": [[[x, y], …], …]} and nothing else')
        return strokes_of(question["strokes"])

    def _reply(self, network: Reader, parsed: Strokes) -> dict[str, Any]:
        """Read the drawn digit, and return probabilities, image and feature maps."""
        picture = to_mnist(parsed)
        image = picture[None]
        probabilities = network.read(image[None])[0]
        maps = np.stack([shrunk(one, MAP_SIDE) for one in network.maps(image)[:MAPS]])
        count, height, width = maps.shape
        return {
            "digit": int(probabilities.argmax()),
            "probabilities": [round(float(p), 4) for p in probabilities],
            "picture": in_base64(picture),
            "maps": {
                "count": count,
                "height": height,
                "width": width,
                "values": in_base64(np.rint(maps * 127 + 128).astype(np.uint8)),
            },
        }
