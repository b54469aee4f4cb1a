"""A page whose network works in a thread, for the tests of every demonstration that has one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from grading.demos.web.network_page import NetworkPage
from grading.demos.web.page_server import PageServer
from grading.demos.web.state_feed import StateFeed
from grading.manifest.model import Milestone
from grading.result import Failure


class RecordingFeed(StateFeed):
    """A feed that remembers every state."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[dict[str, Any]] = []

    def publish(self, state: dict[str, Any]) -> None:
        """Keep a state, and publish it."""
        super().publish(state)
        self.states.append(json.loads(self._text))


class RunningPage:
    """A context manager for a running page, with its states and its sentences for the terminal."""

    def __init__(self, kind: type[NetworkPage], material: Any, milestone: Milestone, worker: Any = None):
        self.feed, self.ready = RecordingFeed(), threading.Event()
        self.sentences: list[str] = []
        self.reported: list[Failure] = []
        self.page: Any = kind(self.feed, material)
        arguments = (worker, milestone, 1, self._note, self.reported.append)
        self._thread = threading.Thread(target=self.page.run, args=arguments)

    def __enter__(self) -> RunningPage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def state(self) -> dict[str, Any]:
        """Return the state that a page would receive now."""
        return self.feed.states[-1]

    def wait_for(self, phase: str) -> dict[str, Any]:
        """Wait for a phase, and return its state."""
        until = time.monotonic() + 60
        while self.state()["phase"] != phase:
            assert time.monotonic() < until
            time.sleep(0.01)
        return self.state()

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serve the page inside this context, and yield its address."""
        with PageServer(self.page.map_addresses_to_files(), self.page.list_page_calls(), self.feed) as local:
            yield local.address

    def _note(self, sentence: str) -> None:
        """Keep a sentence from the terminal, and report that the page is ready."""
        self.sentences.append(sentence)
        self.ready.set()
