"""Demonstration 2 in a browser: draw a digit, and the student's network says which one it is."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from grading.demos.canvas import Strokes, strokes_of, to_mnist
from grading.demos.pictures import shrunk
from grading.demos.reading import Images, Reader
from grading.demos.web.feed import Feed
from grading.demos.web.page import STUDENTS, NetworkPage, Report, failure_fields, in_base64
from grading.demos.web.server import Call
from grading.remote import WorkerFailureError

MAPS, MAP_SIDE = 16, 32
"""So many maps are shown, of so many pixels a side at most."""
WAITING = 8
"""Drawings that may wait for an answer; a page has one at a time."""
PATIENCE_SECONDS = 20.0
"""A drawing waits so long for a training that does not report."""

Asked = tuple[Strokes, Future[dict[str, Any]]]
"""A drawing, and where its answer is waited for."""


class DigitPage(NetworkPage):
    """Answers drawings while the network learns and afterwards; pages call `answer`."""

    name = "digits"
    done = "Your network reads {accuracy:.1%} of {tested:,} digits it has never seen. Draw yours."

    def __init__(self, feed: Feed, images: Images):
        self._waiting: queue.Queue[Asked] = queue.Queue(WAITING)
        super().__init__(feed, images)

    def calls(self) -> Mapping[str, Call]:
        """One: `answer`."""
        return {"answer": self.answer}

    def answer(self, question: Any) -> dict[str, Any]:
        """What the network makes of `{"strokes": […]}`; ValueError when it is no such question."""
        if type(question) is not dict or set(question) != {"strokes"}:
            raise ValueError('ask with {"strokes": [[[x, y], …], …]} and nothing else')
        strokes = strokes_of(question["strokes"])
        future: Future[dict[str, Any]] = Future()
        try:
            self._waiting.put_nowait((strokes, future))
            return {"busy": True} if self._ended.is_set() else future.result(PATIENCE_SECONDS)
        except (queue.Full, TimeoutError):
            future.cancel()
            return {"busy": True}

    def close(self) -> None:
        """Let go of whoever still waits, and of `run`."""
        super().close()
        while not self._waiting.empty():
            _set(self._waiting.get()[1], {"busy": True})
        with contextlib.suppress(queue.Full):  # then `run` wakes up anyway
            self._waiting.put_nowait(([], Future()))

    def _between(self, reader: Reader, report: Report) -> None:
        while not self._waiting.empty():
            self._serve(self._waiting.get(), reader, report)

    def _afterwards(self, reader: Reader, report: Report) -> None:
        while not self._ended.is_set():
            self._serve(self._waiting.get(), reader, report)

    def _stay(self) -> None:
        while not self._ended.is_set():  # the page stays, and says why there are no answers
            _set(self._waiting.get()[1], {"failure": failure_fields(self._failure)})

    def _serve(self, asked: Asked, reader: Reader, report: Report) -> None:
        """Answer one drawing. A worker that is gone is raised; what else goes wrong concerns this drawing only."""
        strokes, future = asked
        if self._ended.is_set():
            return
        try:
            _set(future, _reading(reader, to_mnist(strokes)))
        except STUDENTS as error:
            failure = self._told(error, report)
            _set(future, {"failure": failure_fields(failure)})
            if isinstance(error, WorkerFailureError):
                raise
        except BaseException:  # interrupted
            _set(future, {"busy": True})
            raise


def _set(future: Future[dict[str, Any]], value: dict[str, Any]) -> None:
    """Give the answer, unless nobody waits for it any more."""
    if future.set_running_or_notify_cancel():
        future.set_result(value)


def _reading(reader: Reader, picture: np.ndarray) -> dict[str, Any]:
    """What the network makes of one picture (28, 28)."""
    image = picture[None]
    probabilities = reader.read(image[None])[0]
    maps = np.stack([shrunk(one, MAP_SIDE) for one in reader.maps(image)[:MAPS]])
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
