"""Demonstration 3 in a browser: a network's curves, samples and confusions, shown live as the network learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from grading.demos.confusion_table import count_confusions, find_worst_confusions
from grading.demos.image_classifier import WATCHED, DemoImages
from grading.demos.training_demo import choose_varied_images
from grading.demos.web.image_page import ImagePage, describe_images
from grading.demos.web.page_server import PageCall
from grading.demos.web.state_feed import StateFeed

SAMPLES = 12
"""The number of images whose answers are shown. They include every class that occurs in the first WATCHED images."""


class TrainingPage(ImagePage):
    """The page that shows a network's answers as it trains. The browser requests the images once, with `samples`."""

    name = "training"
    done = "Your network recognises {accuracy:.1%} of {tested:,} images it has never seen. The page shows which ones."

    def __init__(self, feed: StateFeed, images: DemoImages):
        self._samples = choose_varied_images(images.test_labels[:WATCHED], SAMPLES)
        super().__init__(feed, images)

    def list_page_calls(self) -> Mapping[str, PageCall]:
        """List the page's only call, `samples`."""
        return {"samples": self.describe_samples}

    def describe_samples(self, question: Any) -> dict[str, Any]:
        """Describe the sample images and the classes. Raise ValueError if the question is not `{}`."""
        if question != {}:
            raise ValueError("ask with {} and nothing else")
        return describe_images(self._images, self._samples)

    def _describe_answers(self, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
        """Return entries for the page's state: the answers to the samples, and the confusions."""
        counts = count_confusions(labels, probabilities)
        return {
            "answers": [[round(float(value), 4) for value in probabilities[index]] for index in self._samples],
            "confusion": counts.tolist(),
            "worst": find_worst_confusions(counts),
        }
