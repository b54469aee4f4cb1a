"""Pages whose network classifies images: curves of loss and accuracy during training, test images at the end."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from grading.client import Worker
from grading.demos.reading import Images, Point, Reader, gather
from grading.demos.web.feed import Feed
from grading.demos.web.page import NetworkPage, Ready, Report
from grading.manifest.model import Milestone
from grading.render.progress import Watch


class ImagePage(NetworkPage):
    """A page whose network trains on images, and that shows how many test images it classifies correctly."""

    done: ClassVar[str]
    """The terminal's message after training; {accuracy} and {tested} are filled in."""

    def __init__(self, feed: Feed, images: Images):
        self._images = images
        self._points: list[Point] = []
        super().__init__(feed)

    @classmethod
    def prepare(cls, feed: Feed, milestone: Milestone, seed: int, watch: Watch) -> Self:
        """Make a page with a part of the milestone's images."""
        return cls(feed, gather(milestone, seed, watch))

    def _work(self, worker: Worker, milestone: Milestone, seed: int, ready: Ready, report: Report) -> None:
        self._prepare(worker, seed)
        reader = Reader(worker, milestone, seed)
        reader.train(self._images, self._tell, lambda: self._between(reader, report))
        p = reader.read(self._images.test_images)
        accuracy = float((p.argmax(1) == self._images.test_labels).mean())
        shown = self._shown(self._images.test_labels, p) | self._finish(reader, p)
        self._publish("ready", accuracy=accuracy, tested=len(p), **shown)
        ready(self.done.format(accuracy=accuracy, tested=len(p)))
        self._afterwards(reader, report)

    def _shown(self, labels: np.ndarray, p: np.ndarray) -> dict[str, Any]:  # noqa: ARG002 - for pages that show more
        """Compute what the state says about the answers to the first test images, besides the curve."""
        return {}

    def _prepare(self, worker: Worker, seed: int) -> None:
        """Prepare the page before there is a network."""

    def _finish(self, reader: Reader, p: np.ndarray) -> dict[str, Any]:  # noqa: ARG002 - for pages that do more
        """Compute what the last state adds after training, where ``p`` is the answer for all test images."""
        return {}

    def _tell(self, point: Point) -> None:
        self._points.append(point)
        self._publish("training")

    def _publish(self, phase: str, **more: Any) -> None:
        if self._points and phase != "ready":
            p = self._points[-1].probabilities
            more |= self._shown(self._images.test_labels[: len(p)], p)
        state = {
            "about": self._images.about,
            "stand_in": self._images.stand_in,
            "points": [[p.step, p.steps, round(p.loss, 4), round(p.accuracy, 4)] for p in self._points],
        }
        super()._publish(phase, **state | more)


def describe_images(images: Images, places: Sequence[int]) -> dict[str, Any]:
    """Describe some test images for a page: pixels, labels and class names."""
    shown = images.test_images[list(places)]
    return {
        "classes": list(images.classes),
        "height": shown.shape[2],
        "width": shown.shape[3],
        "images": [in_base64(np.moveaxis(image, 0, -1)) for image in shown],
        "labels": images.test_labels[list(places)].tolist(),
    }


def in_base64(values: np.ndarray) -> str:
    """Encode an array's bytes, row by row, in base64."""
    return base64.b64encode(values.tobytes()).decode()
