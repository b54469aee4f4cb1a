"""Demonstration 2 in a browser: draw a digit, and the student's network says which one it is."""

from __future__ import annotations

import base64
import contextlib
import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from grading.checks.network import RecipeError, in_words
from grading.client import Worker
from grading.demos.canvas import Strokes, strokes_of, to_mnist
from grading.demos.pictures import shrunk
from grading.demos.reading import Digits, Point, Reader, gather
from grading.demos.web.feed import Feed
from grading.demos.web.server import LocalPage
from grading.demos.web.terminal import announce, interruptible
from grading.manifest.model import Milestone
from grading.remote import RemoteError, WorkerFailureError
from grading.render.progress import watch_for
from grading.render.terminal import failure_parts
from grading.render.text import clean
from grading.result import Failure

FILES = {
    "": "digits.html",
    "digits.js": "digits.js",
    "live.js": "live.js",
    "curve.js": "curve.js",
    "look.css": "look.css",
    "digits.css": "digits.css",
    "icon.svg": "icon.svg",
}
STUDENTS = (RemoteError, WorkerFailureError, RecipeError)
"""What student code makes happen."""
MAPS, MAP_SIDE = 16, 32
"""So many maps are shown, of so many pixels a side at most."""
WAITING = 8
"""Drawings that may wait for an answer; a page has one at a time."""
PATIENCE_SECONDS = 20.0
"""A drawing waits so long for a training that does not report."""

Asked = tuple[Strokes, Future[dict[str, Any]]]
"""A drawing, and where its answer is waited for."""
Report = Callable[[Failure], None]
"""Takes what student code did wrong, for the terminal."""


class DigitPage:
    """The network's side of the page: `run` owns the worker, in the thread that calls it; pages call `answer`."""

    def __init__(self, feed: Feed, digits: Digits):
        self._feed, self._digits = feed, digits
        self._points: list[Point] = []
        self._waiting: queue.Queue[Asked] = queue.Queue(WAITING)
        self._closed = False
        self._failure: Failure | None = None
        self._publish("starting")

    def answer(self, question: Any) -> dict[str, Any]:
        """What the network makes of `{"strokes": […]}`; ValueError when it is no such question."""
        if type(question) is not dict or set(question) != {"strokes"}:
            raise ValueError('ask with {"strokes": [[[x, y], …], …]} and nothing else')
        strokes = strokes_of(question["strokes"])
        future: Future[dict[str, Any]] = Future()
        try:
            self._waiting.put_nowait((strokes, future))
            return {"busy": True} if self._closed else future.result(PATIENCE_SECONDS)
        except (queue.Full, TimeoutError):
            future.cancel()
            return {"busy": True}

    def run(
        self, worker: Worker, milestone: Milestone, seed: int, ready: Callable[[float], None], report: Report
    ) -> None:
        """Train, then answer until closed. What student code does wrong goes to the page and to ``report``.

        ``ready`` is told the accuracy on test images once training is over.
        """
        try:
            reader = Reader(worker, milestone, seed)

            def between() -> None:
                while not self._waiting.empty():
                    self._serve(self._waiting.get(), reader, report)

            reader.train(self._digits, self._tell, between)
            p = reader.read(self._digits.test_images)
            accuracy = float((p.argmax(1) == self._digits.test_labels).mean())
            self._publish("ready", accuracy=accuracy, tested=len(p))
            ready(accuracy)
            while not self._closed:
                self._serve(self._waiting.get(), reader, report)
        except STUDENTS as error:
            self._failure = self._told(error, report)
            self._publish("failed")
        while not self._closed:  # the page stays, and says why there are no answers
            _set(self._waiting.get()[1], {"failure": failure_fields(self._failure)})

    def close(self) -> None:
        """Let go of whoever still waits, and of `run`."""
        self._closed = True
        while not self._waiting.empty():
            _set(self._waiting.get()[1], {"busy": True})
        with contextlib.suppress(queue.Full):  # then `run` wakes up anyway
            self._waiting.put_nowait(([], Future()))

    def _serve(self, asked: Asked, reader: Reader, report: Report) -> None:
        """Answer one drawing. A worker that is gone is raised; what else goes wrong concerns this drawing only."""
        strokes, future = asked
        if self._closed:
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

    def _told(self, error: Exception, report: Report) -> Failure:
        """The failure, reported unless it is the same as the last."""
        failure = Failure(title="The demonstration runs to its end", **in_words(error))
        if failure != self._failure:
            self._failure = failure
            report(failure)
        return failure

    def _tell(self, point: Point) -> None:
        self._points.append(point)
        self._publish("training")

    def _publish(self, phase: str, **more: Any) -> None:
        """The whole state, as the page shows it."""
        state = {
            "phase": phase,
            "about": self._digits.about,
            "stand_in": self._digits.stand_in,
            "points": [[p.step, p.steps, round(p.loss, 4), round(p.accuracy, 4)] for p in self._points],
            "failure": failure_fields(self._failure) if phase == "failed" else None,
        }
        self._feed.publish(state | more)


def serve(worker: Worker, milestone: Milestone, seed: int, console: Console, *, browser: bool) -> bool:
    """Serve the page until interrupted, and say in the terminal how things stand; whether student code never failed."""
    with watch_for(console) as watch:
        digits = gather(milestone, seed, watch)
    feed = Feed()
    page = DigitPage(feed, digits)
    failed: list[Failure] = []

    def report(failure: Failure) -> None:
        failed.append(failure)
        console.print(Text("\nYour code stopped the demonstration; the page says so, too.", style="yellow"))
        console.print(failure_parts(failure, brief=False))

    def ready(accuracy: float) -> None:
        tested = len(digits.test_images)
        console.print(Text(f"Your network reads {accuracy:.1%} of {tested:,} digits it has never seen. Draw yours."))

    with interruptible(), LocalPage(FILES, {"answer": page.answer}, feed) as served:
        try:
            announce(console, served.address, browser=browser)
            page.run(worker, milestone, seed, ready, report)
        except KeyboardInterrupt:
            console.print(Text("\nThe page has ended."))
        finally:
            page.close()
    return not failed


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
        "picture": _bytes(picture),
        "maps": {
            "count": count,
            "height": height,
            "width": width,
            "values": _bytes(np.rint(maps * 127 + 128).astype(np.uint8)),
        },
    }


def _bytes(values: np.ndarray) -> str:
    """Bytes, row by row, in base64."""
    return base64.b64encode(values.tobytes()).decode()


def failure_fields(failure: Failure | None) -> dict[str, Any] | None:
    """A failure for the page: text only, without control characters, and not too much of it."""
    if failure is None:
        return None
    fields = failure.model_dump(
        exclude_none=True, include={"title", "file", "line", "call", "got", "expected", "detail", "hint"}
    )
    return {name: clean(value, 1200) if isinstance(value, str) else value for name, value in fields.items()}
