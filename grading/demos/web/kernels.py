"""Demonstration 4 in a browser: the race, live, then your own photographs recognised in float32 and int8."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from grading.client import Worker
from grading.demos.kernels import (
    CALIBRATED,
    compare,
    format_speed,
    profile_rows,
    summarize_comparison,
    summarize_race,
)
from grading.demos.race import LANES, Standing, run_race
from grading.demos.reading import WATCHED, Images, Reader
from grading.demos.training import chosen
from grading.demos.web.answering import AnsweringPage
from grading.demos.web.feed import Feed
from grading.demos.web.images import ImagePage, describe_images
from grading.demos.web.server import Call

SAMPLES = 10
"""How many images the page offers instead of your own photograph: one of each class."""
SIDE = 32


class KernelPage(AnsweringPage, ImagePage):
    """The page that recognises photographs; its questions are `{"pixels": …}`, 32×32 RGB pixels in base64."""

    name = "kernels"
    done = "Your network recognises {accuracy:.1%} of {tested:,} images it has never seen. Give the page a photograph."

    def __init__(self, feed: Feed, images: Images):
        self._standing = Standing("", LANES)
        self._small: Reader | None = None
        self._samples = chosen(images.test_labels[:WATCHED], SAMPLES)
        super().__init__(feed, images)

    @classmethod
    def files(cls) -> Mapping[str, str]:
        """List the page's files, including the script that reads photographs."""
        return {**super().files(), "photo.js": "photo.js"}

    def calls(self) -> Mapping[str, Call]:
        """List the page's calls, `answer` and `samples`."""
        return {**super().calls(), "samples": self.samples}

    def samples(self, question: Any) -> dict[str, Any]:
        """Describe some test images and the classes; the question is `{}`."""
        if question != {}:
            raise ValueError("ask with {} and nothing else")
        return describe_images(self._images, self._samples)

    def _prepare(self, worker: Worker, seed: int) -> None:
        def tell(standing: Standing) -> None:
            self._standing = standing
            self._publish("starting")

        run_race(worker, self._images.images, self._images.labels, seed, tell)

    def _finish(self, reader: Reader, p: np.ndarray) -> dict[str, Any]:
        self._small = reader.compress(self._images.images[:CALIBRATED])
        compared = compare(p, reader, self._small, self._images)
        return {
            "compared": {
                "nbytes": compared.nbytes,
                "accuracies": compared.accuracies,
                "summary": summarize_comparison(compared),
            }
        }

    def _parse(self, question: Any) -> np.ndarray:
        if type(question) is not dict or set(question) != {"pixels"} or type(question["pixels"]) is not str:
            raise ValueError('ask with {"pixels": "…"} and nothing else')
        try:
            pixels = base64.b64decode(question["pixels"], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("the pixels are not base64") from None
        if len(pixels) != 3 * SIDE**2:
            raise ValueError(f"a photograph has {3 * SIDE**2:,} bytes here, not {len(pixels):,}")
        return np.moveaxis(np.frombuffer(pixels, np.uint8).reshape(SIDE, SIDE, 3), -1, 0)

    def _reply(self, network: Reader, parsed: np.ndarray) -> dict[str, Any]:
        """Compute each class's probability in both formats, without int8 during training."""
        readers = (network, self._small)
        answers = [one and [round(float(p), 4) for p in one.read(parsed[None])[0]] for one in readers]
        return {"float32": answers[0], "int8": answers[1]}

    def _publish(self, phase: str, **more: Any) -> None:
        standing = self._standing
        profile = profile_rows(standing.before, standing.after) if standing.before and standing.after else None
        lanes = [
            {"name": lane.name, "job": lane.job, "part": lane.part, "speed": format_speed(lane)}
            for lane in standing.lanes
        ]
        race = {"stage": standing.stage, "lanes": lanes, "summary": summarize_race(standing)}
        super()._publish(phase, race=race | {"over": profile is not None}, profile=profile, **more)
