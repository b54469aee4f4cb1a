"""Demonstration 3 in a browser: a network's curves, samples and confusions, live as it learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from grading.demos.confusion import counted, worst
from grading.demos.reading import WATCHED, Images
from grading.demos.training import chosen
from grading.demos.web.feed import Feed
from grading.demos.web.images import ImagePage, describe_images
from grading.demos.web.server import Call

SAMPLES = 12
"""How many images have their answers shown, some of each class if the first WATCHED images have every class."""


class TrainingPage(ImagePage):
    """The page that shows a network's answers as it trains; it asks for the images once, with `samples`."""

    name = "training"
    done = "Your network recognises {accuracy:.1%} of {tested:,} images it has never seen. The page shows which."

    def __init__(self, feed: Feed, images: Images):
        self._samples = chosen(images.test_labels[:WATCHED], SAMPLES)
        super().__init__(feed, images)

    def calls(self) -> Mapping[str, Call]:
        """List the page's only call, `samples`."""
        return {"samples": self.samples}

    def samples(self, question: Any) -> dict[str, Any]:
        """Describe the sample images and the classes; the question is `{}`."""
        if question != {}:
            raise ValueError("ask with {} and nothing else")
        return describe_images(self._images, self._samples)

    def _shown(self, labels: np.ndarray, p: np.ndarray) -> dict[str, Any]:
        counts = counted(labels, p)
        return {
            "answers": [[round(float(value), 4) for value in p[index]] for index in self._samples],
            "confusion": counts.tolist(),
            "worst": worst(counts),
        }
