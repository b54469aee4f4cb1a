"""Demonstration 2 in a browser: draw a digit, and the student's network reads it."""

from __future__ import annotations

from typing import Any

import numpy as np

from grading.demos.digit_canvas import Strokes, draw_mnist_image, parse_strokes
from grading.demos.image_classifier import DemoClassifier
from grading.demos.terminal_pictures import shrink_image
from grading.demos.web.answering_page import AnsweringPage
from grading.demos.web.image_page import ImagePage, encode_base64

MAPS, MAP_SIDE = 16, 32
"""The maximum number of feature maps to show, and their maximum side length in pixels."""


class DigitPage(AnsweringPage, ImagePage):
    """The page on which digits are drawn and read. Its questions are `{"strokes": […]}`."""

    name = "digits"
    done = "Your network reads {accuracy:.1%} of {tested:,} digits it has never seen. Now draw your own."

    def _parse_question(self, question: Any) -> Strokes:
        """Read the strokes of `{"strokes": [[[x, y], …], …]}`. Raise ValueError if the question is anything else."""
        if type(question) is not dict or set(question) != {"strokes"}:
            raise ValueError('ask with {"strokes": [[[x, y], …], …]} and nothing else')
        return parse_strokes(question["strokes"])

    def _answer_question(self, network: DemoClassifier, parsed: Strokes) -> dict[str, Any]:
        """Read the drawn digit; return it, the probabilities, the image and a few shrunken feature maps."""
        picture = draw_mnist_image(parsed)
        image = picture[None]
        probabilities = network.predict_probabilities(image[None])[0]
        maps = np.stack([shrink_image(one, MAP_SIDE) for one in network.compute_feature_maps(image)[:MAPS]])
        count, height, width = maps.shape
        return {
            "digit": int(probabilities.argmax()),
            "probabilities": [round(float(p), 4) for p in probabilities],
            "picture": encode_base64(picture),
            "maps": {
                "count": count,
                "height": height,
                "width": width,
                "values": encode_base64(np.rint(maps * 127 + 128).astype(np.uint8)),
            },
        }
