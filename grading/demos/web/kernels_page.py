"""Demonstration 4 in a browser: first a live race, then photographs recognised in float32 and int8."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from grading.client import Worker
from grading.demos.image_classifier import WATCHED, DemoClassifier, DemoImages
from grading.demos.kernel_race import LANES, RaceState, run_kernel_race
from grading.demos.kernels_demo import (
    CALIBRATED,
    compare_float32_and_int8,
    describe_format_comparison,
    describe_race,
    format_speed,
    list_profile_rows,
)
from grading.demos.training_demo import choose_varied_images
from grading.demos.web.answering_page import AnsweringPage
from grading.demos.web.image_page import ImagePage, describe_images
from grading.demos.web.page_server import PageCall
from grading.demos.web.state_feed import StateFeed

SAMPLES = 10
"""The number of images, one of each class, that the page offers to anyone without a photograph."""
SIDE = 32


class KernelPage(AnsweringPage, ImagePage):
    """The page that recognises photographs. Its questions are `{"pixels": …}`, 32×32 RGB pixels in base64."""

    name = "kernels"
    done = "Your network recognises {accuracy:.1%} of {tested:,} images it has never seen. Try a photograph."

    def __init__(self, feed: StateFeed, images: DemoImages):
        self._standing = RaceState("", LANES)
        self._small: DemoClassifier | None = None
        self._samples = choose_varied_images(images.test_labels[:WATCHED], SAMPLES)
        super().__init__(feed, images)

    @classmethod
    def map_addresses_to_files(cls) -> Mapping[str, str]:
        """Map each name in the page's address to its file, including the script that reads photographs."""
        return {**super().map_addresses_to_files(), "photo.js": "photo.js"}

    def list_page_calls(self) -> Mapping[str, PageCall]:
        """List the page's calls, `answer` and `samples`."""
        return {**super().list_page_calls(), "samples": self.describe_samples}

    def describe_samples(self, question: Any) -> dict[str, Any]:
        """Return some test images, their labels and the class names. Raise ValueError if the question is not `{}`."""
        if question != {}:
            raise ValueError("ask with {} and nothing else")
        return describe_images(self._images, self._samples)

    def _run_before_training(self, worker: Worker, seed: int) -> None:
        """Race three convolutions, profile training, and publish the progress of both."""

        def publish_race(race_state: RaceState) -> None:
            """Store the state of the race, and publish the page's state."""
            self._standing = race_state
            self._publish_state("starting")

        run_kernel_race(worker, self._images.images, self._images.labels, seed, publish_race)

    def _build_result_entries(self, classifier: DemoClassifier, probabilities: np.ndarray) -> dict[str, Any]:
        """Compress the network to int8 for later answers, and return entries that compare it with float32."""
        self._small = classifier.compress(self._images.images[:CALIBRATED])
        compared = compare_float32_and_int8(probabilities, classifier, self._small, self._images)
        return {
            "compared": {
                "nbytes": compared.nbytes,
                "accuracies": compared.accuracies,
                "summary": describe_format_comparison(compared),
            }
        }

    def _parse_question(self, question: Any) -> np.ndarray:
        """Decode `{"pixels": BASE64}` as a photograph, uint8 (3, 32, 32). Raise ValueError for anything else."""
        if type(question) is not dict or set(question) != {"pixels"} or type(question["pixels"]) is not str:
            raise ValueError('ask with {"pixels": "…"} and nothing else')
        try:
            pixels = base64.b64decode(question["pixels"], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("the pixels are not base64") from None
        if len(pixels) != 3 * SIDE**2:
            raise ValueError(f"a photograph must have {3 * SIDE**2:,} bytes, not {len(pixels):,}")
        return np.moveaxis(np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE, 3), -1, 0)

    def _answer_question(self, network: DemoClassifier, parsed: np.ndarray) -> dict[str, Any]:
        """Compute each class's probability in float32 and in int8, which is None until training is over."""
        readers = (network, self._small)
        answers = [one and [round(float(p), 4) for p in one.predict_probabilities(parsed[None])[0]] for one in readers]
        return {"float32": answers[0], "int8": answers[1]}

    def _publish_state(self, phase: str, **more: Any) -> None:
        """Publish the phase, the curves, the race, its profile and ``more``, which replace the page's state."""
        standing = self._standing
        profile = list_profile_rows(standing.before, standing.after) if standing.before and standing.after else None
        lanes = [
            {"name": lane.name, "job": lane.job, "part": lane.done_share, "speed": format_speed(lane)}
            for lane in standing.lanes
        ]
        race = {"stage": standing.stage, "lanes": lanes, "summary": describe_race(standing)}
        super()._publish_state(phase, race=race | {"over": profile is not None}, profile=profile, **more)
