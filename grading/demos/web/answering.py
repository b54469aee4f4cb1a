"""Pages that ask the network questions, which wait in a queue for the thread that owns the worker."""

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
"""How many questions may wait for an answer. A page asks one at a time."""
PATIENCE_SECONDS = 20.0
"""How long a question waits for a training that does not report."""

Asked = tuple[Any, Future[dict[str, Any]]]
"""A parsed question, and the future of its answer."""


class AnsweringPage(NetworkPage):
    """A page whose network answers questions during training and after it; the browser calls `answer`."""

    def __init__(self, *material: Any):
        self._waiting: queue.Queue[Asked] = queue.Queue(WAITING)
        super().__init__(*material)

    def calls(self) -> Mapping[str, Call]:
        """List the page's only call, `answer`."""
        return {"answer": self.answer}

    def answer(self, question: Any) -> dict[str, Any]:
        """Answer a question with the network. ValueError when it is not a valid question."""
        return self._ask(self._parse(question))

    def _ask(self, parsed: Any) -> dict[str, Any]:
        """Queue a parsed question, and return its answer as soon as `run` has time for it."""
        future: Future[dict[str, Any]] = Future()
        try:
            self._waiting.put_nowait((parsed, future))
            return {"busy": True} if self._ended.is_set() else future.result(PATIENCE_SECONDS)
        except (queue.Full, TimeoutError):
            future.cancel()
            return {"busy": True}

    def close(self) -> None:
        """Release all waiting questions, and `run`."""
        super().close()
        while not self._waiting.empty():
            _set(self._waiting.get()[1], {"busy": True})
        with contextlib.suppress(queue.Full):  # a full queue wakes `run` anyway
            self._waiting.put_nowait((None, Future()))

    def _parse(self, question: Any) -> Any:
        """Parse a question. ValueError, with the reason, when it is not a valid one."""
        raise NotImplementedError

    def _reply(self, network: Any, parsed: Any) -> dict[str, Any]:
        """Compute the network's answer to a parsed question, as the page gets it."""
        raise NotImplementedError

    def _between(self, network: Any, report: Report) -> None:
        while not self._waiting.empty():
            self._serve(self._waiting.get(), network, report)

    def _afterwards(self, network: Any, report: Report) -> None:
        while not self._ended.is_set():
            self._serve(self._waiting.get(), network, report)

    def _stay(self) -> None:
        while not self._ended.is_set():  # the page stays open, and says why there are no answers
            _set(self._waiting.get()[1], {"failure": failure_fields(self._failure)})

    def _serve(self, asked: Asked, network: Any, report: Report) -> None:
        """Answer one question. Only the loss of the worker is raised: other errors concern just this question."""
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
        except ValueError as error:  # it is not a question for this network
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        except BaseException:  # interrupted
            _set(future, {"busy": True})
            raise


def _set(future: Future[dict[str, Any]], value: dict[str, Any]) -> None:
    """Set the answer, unless nobody waits for it any longer."""
    if future.set_running_or_notify_cancel():
        future.set_result(value)
