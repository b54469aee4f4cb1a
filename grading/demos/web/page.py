"""What pages of demonstrations have in common: a network learns while its page is told how far it has come."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from rich.console import Console
from rich.text import Text

from grading.checks.network import RecipeError, in_words
from grading.client import Worker
from grading.demos.reading import Images, Point, Reader, gather
from grading.demos.web.feed import Feed
from grading.demos.web.server import Call, LocalPage
from grading.demos.web.terminal import announce, interruptible
from grading.manifest.model import Milestone
from grading.remote import RemoteError, WorkerFailureError
from grading.render.progress import watch_for
from grading.render.terminal import failure_parts
from grading.render.text import labelled
from grading.result import Failure

STUDENTS = (RemoteError, WorkerFailureError, RecipeError)
"""What student code makes happen."""
SHARED = ("live.js", "learning.js", "curve.js", "look.css", "icon.svg")
"""Files of every page."""

Report = Callable[[Failure], None]
"""Takes what student code did wrong, for the terminal."""


class NetworkPage:
    """The network's side of a page: `run` owns the worker, in the thread that calls it; pages make calls meanwhile."""

    name: ClassVar[str]
    """Its files are NAME.html, NAME.js and NAME.css."""
    done: ClassVar[str]
    """What the terminal says after training; {accuracy} and {tested} are filled in."""

    def __init__(self, feed: Feed, images: Images):
        self._feed, self._images = feed, images
        self._points: list[Point] = []
        self._failure: Failure | None = None
        self._ended = threading.Event()
        self._publish("starting")

    @classmethod
    def files(cls) -> Mapping[str, str]:
        """The name in the address → the file in STATIC."""
        names = (f"{cls.name}.js", f"{cls.name}.css", *SHARED)
        return {"": f"{cls.name}.html"} | {name: name for name in names}

    def calls(self) -> Mapping[str, Call]:
        """What the page may ask."""
        return {}

    def run(
        self, worker: Worker, milestone: Milestone, seed: int, ready: Callable[[float], None], report: Report
    ) -> None:
        """Train, then stay until closed. What student code does wrong goes to the page and to ``report``.

        ``ready`` is told the accuracy on test images once training is over.
        """
        try:
            self._prepare(worker, seed)
            reader = Reader(worker, milestone, seed)
            reader.train(self._images, self._tell, lambda: self._between(reader, report))
            p = reader.read(self._images.test_images)
            accuracy = float((p.argmax(1) == self._images.test_labels).mean())
            shown = self._shown(self._images.test_labels, p) | self._finish(reader, p)
            self._publish("ready", accuracy=accuracy, tested=len(p), **shown)
            ready(accuracy)
            self._afterwards(reader, report)
        except STUDENTS as error:
            self._failure = self._told(error, report)
            self._publish("failed")
        self._stay()

    def close(self) -> None:
        """Let go of `run`."""
        self._ended.set()

    def _shown(self, labels: np.ndarray, p: np.ndarray) -> dict[str, Any]:  # noqa: ARG002 - for pages that show more
        """What the state says, besides the curve, of answers to the first of the test images."""
        return {}

    def _prepare(self, worker: Worker, seed: int) -> None:
        """Called before there is a network."""

    def _finish(self, reader: Reader, p: np.ndarray) -> dict[str, Any]:  # noqa: ARG002 - for pages that do more
        """What the last state says besides, once training is over: ``p`` is the answer for all test images."""
        return {}

    def _between(self, reader: Reader, report: Report) -> None:
        """Called whenever training reports."""

    def _afterwards(self, reader: Reader, report: Report) -> None:
        """Called when training is over."""

    def _stay(self) -> None:
        """Nothing more comes, and the page stays, until it is closed."""
        self._ended.wait()

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
        if self._points and phase != "ready":
            p = self._points[-1].probabilities
            more |= self._shown(self._images.test_labels[: len(p)], p)
        state = {
            "phase": phase,
            "about": self._images.about,
            "stand_in": self._images.stand_in,
            "points": [[p.step, p.steps, round(p.loss, 4), round(p.accuracy, 4)] for p in self._points],
            "failure": failure_fields(self._failure) if phase == "failed" else None,
        }
        self._feed.publish(state | more)


def serve(
    kind: type[NetworkPage], worker: Worker, milestone: Milestone, seed: int, console: Console, *, browser: bool
) -> bool:
    """Serve the page until interrupted, and say in the terminal how things stand; whether student code never failed."""
    with watch_for(console) as watch:
        images = gather(milestone, seed, watch)
    feed = Feed()
    page = kind(feed, images)
    failed: list[Failure] = []

    def report(failure: Failure) -> None:
        failed.append(failure)
        console.print(Text("\nYour code stopped the demonstration; the page says so, too.", style="yellow"))
        console.print(failure_parts(failure, brief=False))

    def ready(accuracy: float) -> None:
        console.print(Text(kind.done.format(accuracy=accuracy, tested=len(images.test_images))))

    with interruptible(), LocalPage(kind.files(), page.calls(), feed) as served:
        try:
            announce(console, served.address, browser=browser)
            page.run(worker, milestone, seed, ready, report)
        except KeyboardInterrupt:
            console.print(Text("\nThe page has ended."))
        finally:
            page.close()
    return not failed


def describe_images(images: Images, places: Sequence[int]) -> dict[str, Any]:
    """Some of the test images for a page: their pixels and labels, and the names of the classes."""
    shown = images.test_images[list(places)]
    return {
        "classes": list(images.classes),
        "height": shown.shape[2],
        "width": shown.shape[3],
        "images": [in_base64(np.moveaxis(image, 0, -1)) for image in shown],
        "labels": images.test_labels[list(places)].tolist(),
    }


def in_base64(values: np.ndarray) -> str:
    """Bytes, row by row."""
    return base64.b64encode(values.tobytes()).decode()


def failure_fields(failure: Failure | None) -> dict[str, Any] | None:
    """A failure for the page: text only, without control characters, and not too much of it."""
    if failure is None:
        return None
    fields = failure.model_dump(
        exclude_none=True, include={"title", "file", "line", "call", "got", "expected", "detail", "hint"}
    )
    return {name: labelled("", value, 1200) if isinstance(value, str) else value for name, value in fields.items()}
