"""Pages whose network classifies images, with curves during training and test images at the end."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from grading.client import Worker
from grading.demos.image_classifier import DemoClassifier, DemoImages, TrainingPoint, load_demo_images
from grading.demos.web.network_page import FailureReporter, NetworkPage, ReadyCallback
from grading.demos.web.state_feed import StateFeed
from grading.manifest.model import Milestone
from grading.render.progress_watch import ProgressWatch


class ImagePage(NetworkPage):
    """A page that trains a network on images, and shows how many test images the network classifies correctly."""

    done: ClassVar[str]
    """The message in the terminal after training, in which {accuracy} and {tested} are filled in."""

    def __init__(self, feed: StateFeed, images: DemoImages):
        self._images = images
        self._points: list[TrainingPoint] = []
        super().__init__(feed)

    @classmethod
    def create(cls, feed: StateFeed, milestone: Milestone, seed: int, watch: ProgressWatch) -> Self:
        """Make a page with some of the milestone's images, which are downloaded if necessary."""
        return cls(feed, load_demo_images(milestone, seed, watch))

    def _train_and_serve(
        self, worker: Worker, milestone: Milestone, seed: int, ready: ReadyCallback, report: FailureReporter
    ) -> None:
        """Train and test a classifier, publish its accuracy and answers, and call `_serve_after_training`."""
        self._run_before_training(worker, seed)
        reader = DemoClassifier(worker, milestone, seed)
        reader.train(self._images, self._add_training_point, lambda: self._serve_during_training(reader, report))
        p = reader.predict_probabilities(self._images.test_images)
        accuracy = float((p.argmax(1) == self._images.test_labels).mean())
        shown = self._describe_answers(self._images.test_labels, p) | self._build_result_entries(reader, p)
        self._publish_state("ready", accuracy=accuracy, tested=len(p), **shown)
        ready(self.done.format(accuracy=accuracy, tested=len(p)))
        self._serve_after_training(reader, report)

    def _describe_answers(self, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """Return entries about the answers for the first test images, for the page's state. By default, {}."""
        return {}

    def _run_before_training(self, worker: Worker, seed: int) -> None:
        """Do the page's work before training begins. By default, do nothing."""

    def _build_result_entries(self, classifier: DemoClassifier, probabilities: np.ndarray) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """Return entries for the page's final state, given ``probabilities`` for all test images. By default, {}."""
        return {}

    def _add_training_point(self, point: TrainingPoint) -> None:
        """Add a measurement from the training run, and publish the page's state."""
        self._points.append(point)
        self._publish_state("training")

    def _publish_state(self, phase: str, **more: Any) -> None:
        """Publish the phase, the curves, the latest answers and ``more``, which replace the page's state."""
        if self._points and phase != "ready":
            p = self._points[-1].probabilities
            more |= self._describe_answers(self._images.test_labels[: len(p)], p)
        state = {
            "about": self._images.about,
            "stand_in": self._images.stand_in,
            "points": [[p.step, p.steps, round(p.loss, 4), round(p.accuracy, 4)] for p in self._points],
        }
        super()._publish_state(phase, **state | more)


def describe_images(images: DemoImages, indices: Sequence[int]) -> dict[str, Any]:
    """Describe some test images for a page: pixels, labels and class names."""
    shown = images.test_images[list(indices)]
    return {
        "classes": list(images.classes),
        "height": shown.shape[2],
        "width": shown.shape[3],
        "images": [encode_base64(np.moveaxis(image, 0, -1)) for image in shown],
        "labels": images.test_labels[list(indices)].tolist(),
    }


def encode_base64(values: np.ndarray) -> str:
    """Encode an array's bytes in base64, in row-major order."""
    return base64.b64encode(values.tobytes()).decode()
