"""Pages that ask the network something: questions wait in a queue for the thread that owns the worker."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from grading.demos.web.page import STUDENTS, NetworkPage, Report, failure_fields
from grading.demos.web.server import Call
from grading.remote import WorkerFailureError

WAITING = 8
"""Questions that may wait for an answer; a page has one at a time."""
PATIENCE_SECONDS = 20.0
"""A question waits so long for a training that does not report."""

Asked = tuple[Any, Future[dict[str, Any]]]
"""A question, read, and where its answer is waited for."""


class AnsweringPage(NetworkPage):
    """Answers questions while the network learns and afterwards; pages call `answer`."""

    def __init__(self, *material: Any):
        self._waiting: queue.Queue[Asked] = queue.Queue(WAITING)
        super().__init__(*material)

    def calls(self) -> Mapping[str, Call]:
        """One: `answer`."""
        return {"answer": self.answer}

    def answer(self, question: Any) -> dict[str, Any]:
        """What the network makes of a question; ValueError when it is none."""
        return self._ask(self._parse(question))

    def _ask(self, parsed: Any) -> dict[str, Any]:
        """The answer to a question that is one, as soon as `run` has time for it."""
        future: Future[dict[str, Any]] = Future()
        try:
            self._waiting.put_nowait((parsed, future))
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
            self._waiting.put_nowait((None, Future()))

    def _parse(self, question: Any) -> Any:
        """The question in a form to answer; ValueError, with the reason, when it is none."""
        raise NotImplementedError

    def _reply(self, network: Any, parsed: Any) -> dict[str, Any]:
        """The answer of the network, as the page gets it."""
        raise NotImplementedError

    def _between(self, network: Any, report: Report) -> None:
        while not self._waiting.empty():
            self._serve(self._waiting.get(), network, report)

    def _afterwards(self, network: Any, report: Report) -> None:
        while not self._ended.is_set():
            self._serve(self._waiting.get(), network, report)

    def _stay(self) -> None:
        while not self._ended.is_set():  # the page stays, and says why there are no answers
            _set(self._waiting.get()[1], {"failure": failure_fields(self._failure)})

    def _serve(self, asked: Asked, network: Any, report: Report) -> None:
        """Answer one question. A worker that is gone is raised; what else goes wrong concerns this question only."""
        parsed, future = asked
        if self._ended.is_set():
            return
        try:
            _set(future, self._reply(network, parsed))
        except STUDENTS as error:
            failure = self._told(error, report)
            _set(future, {"failure": failure_fields(failure)})
            if isinstance(error, WorkerFailureError):
                raise
        except ValueError as error:  # it is no question for this network
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        except BaseException:  # interrupted
            _set(future, {"busy": True})
            raise


def _set(future: Future[dict[str, Any]], value: dict[str, Any]) -> None:
    """Give the answer, unless nobody waits for it any more."""
    if future.set_running_or_notify_cancel():
        future.set_result(value)
