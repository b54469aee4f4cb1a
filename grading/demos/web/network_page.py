"""The common part of the demonstrations' pages, which show a network's progress while it learns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from rich.console import Console
from rich.text import Text

from grading.checks.student_network import RecipeError, convert_error_to_failure_fields
from grading.client import Worker
from grading.demos.web.page_server import PageCall, PageServer
from grading.demos.web.page_terminal import interrupt_on_sigterm, print_page_address
from grading.demos.web.state_feed import StateFeed
from grading.manifest.model import Milestone
from grading.remote import RemoteError, WorkerFailureError
from grading.render.progress_watch import ProgressWatch, create_watch
from grading.render.terminal_report import build_failure_view
from grading.render.text import prefix_text_with_label
from grading.result import Failure

STUDENT_ERRORS = (RemoteError, WorkerFailureError, RecipeError)
"""The errors that student code can cause."""
SHARED_FILES = ("live.js", "learning.js", "curve.js", "look.css", "icon.svg")
"""The files that every page uses."""

FailureReporter = Callable[[Failure], None]
"""A function that reports a failure of student code in the terminal."""
ReadyCallback = Callable[[str], None]
"""A function that prints a sentence in the terminal once training is over."""


class NetworkPage:
    """The part of a page that runs the network.

    `run` owns the worker in the calling thread, while browsers make calls.
    """

    name: ClassVar[str]
    """The name of the page, whose files are NAME.html, NAME.js and NAME.css."""

    def __init__(self, feed: StateFeed):
        self._feed = feed
        self._failure: Failure | None = None
        self._ended = threading.Event()
        self._publish_state("starting")

    @classmethod
    def create(cls, feed: StateFeed, milestone: Milestone, seed: int, watch: ProgressWatch) -> Self:
        """Make a page with the data from which its network learns. Every subclass must implement this."""
        raise NotImplementedError

    @classmethod
    def map_addresses_to_files(cls) -> Mapping[str, str]:
        """Map each name in the page's address to its file in STATIC."""
        names = (f"{cls.name}.js", f"{cls.name}.css", *SHARED_FILES)
        return {"": f"{cls.name}.html"} | {name: name for name in names}

    def list_page_calls(self) -> Mapping[str, PageCall]:
        """Return the calls that the page may make, keyed by name. By default, there are none."""
        return {}

    def run(
        self, worker: Worker, milestone: Milestone, seed: int, ready: ReadyCallback, report: FailureReporter
    ) -> None:
        """Train, then wait until the page is closed. Failures of student code are reported, not raised.

        The page shows them, and ``report`` is called with each.
        """
        try:
            self._train_and_serve(worker, milestone, seed, ready, report)
        except STUDENT_ERRORS as error:
            self._failure = self._report_new_error(error, report)
            self._publish_state("failed")
        self._wait_for_close()

    def close(self) -> None:
        """Mark the page as closed, so that `run` returns once training is over."""
        self._ended.set()

    def _train_and_serve(
        self, worker: Worker, milestone: Milestone, seed: int, ready: ReadyCallback, report: FailureReporter
    ) -> None:
        """Train, publish the phase "ready", and call `_serve_after_training`. Every subclass must implement this.

        Do not catch exceptions in student code.
        """
        raise NotImplementedError

    def _serve_during_training(self, network: Any, report: FailureReporter) -> None:
        """Do the page's work each time training reports its progress. By default, do nothing."""

    def _serve_after_training(self, network: Any, report: FailureReporter) -> None:
        """Do the page's work once training is over. By default, do nothing."""

    def _wait_for_close(self) -> None:
        """Wait until the page is closed."""
        self._ended.wait()

    def _report_new_error(self, error: Exception, report: FailureReporter) -> Failure:
        """Turn an error into a Failure, and report it unless it is the same as the last one."""
        failure = Failure(title="The demonstration runs to its end", **convert_error_to_failure_fields(error))
        if failure != self._failure:
            self._failure = failure
            report(failure)
        return failure

    def _publish_state(self, phase: str, **more: Any) -> None:
        """Publish the phase, its failure and ``more``, which replace the state that the page shows."""
        failure = select_failure_fields_for_page(self._failure) if phase == "failed" else None
        self._feed.publish({"phase": phase, "failure": failure} | more)


def serve_page(
    page_class: type[NetworkPage], worker: Worker, milestone: Milestone, seed: int, console: Console, *, browser: bool
) -> bool:
    """Train a page's network, and serve the page until interrupted. Return True if student code never failed."""
    feed = StateFeed()
    with create_watch(console) as watch:
        page = page_class.create(feed, milestone, seed, watch)
    failed: list[Failure] = []

    def print_failure(failure: Failure) -> None:
        """Print a failure of student code in the terminal."""
        failed.append(failure)
        console.print(Text("\nYour code stopped the demonstration. The page shows the same failure.", style="yellow"))
        console.print(build_failure_view(failure, is_brief=False))

    def print_sentence(sentence: str) -> None:
        """Print a sentence in the terminal."""
        console.print(Text(sentence))

    with (
        interrupt_on_sigterm(),
        PageServer(page_class.map_addresses_to_files(), page.list_page_calls(), feed) as served,
    ):
        try:
            print_page_address(console, served.address, browser=browser)
            page.run(worker, milestone, seed, print_sentence, print_failure)
        except KeyboardInterrupt:
            console.print(Text("\nThe page has been closed."))
        finally:
            page.close()
    return not failed


def select_failure_fields_for_page(failure: Failure | None) -> dict[str, Any] | None:
    """Select a failure's fields for the page, with texts cleaned and shortened, and bars before several lines."""
    if failure is None:
        return None
    fields = failure.model_dump(
        exclude_none=True, include={"title", "file", "line", "call", "got", "expected", "detail", "hint"}
    )
    return {
        name: prefix_text_with_label("", value, 1200) if isinstance(value, str) else value
        for name, value in fields.items()
    }
