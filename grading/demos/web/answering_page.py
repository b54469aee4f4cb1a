"""Pages that ask the network questions. The questions wait in a queue for the thread that owns the worker."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from grading.demos.web.network_page import STUDENT_ERRORS, FailureReporter, NetworkPage, select_failure_fields_for_page
from grading.demos.web.page_server import PageCall
from grading.remote import WorkerFailureError

MAX_WAITING = 8
"""The maximum number of questions that may wait for an answer. A page asks one question at a time."""
PATIENCE_SECONDS = 20.0
"""The time in seconds for which a question waits for training to report."""

PendingQuestion = tuple[Any, Future[dict[str, Any]]]
"""A parsed question, and a future for its answer."""


class AnsweringPage(NetworkPage):
    """A page whose network answers questions during and after training. The browser calls `answer`."""

    def __init__(self, *material: Any):
        self._waiting: queue.Queue[PendingQuestion] = queue.Queue(MAX_WAITING)
        super().__init__(*material)

    def list_page_calls(self) -> Mapping[str, PageCall]:
        """List the page's only call, `answer`."""
        return {"answer": self.answer}

    def answer(self, question: Any) -> dict[str, Any]:
        """Return the network's answer, `{"busy": True}` or a failure. Raise ValueError if the question is not valid."""
        return self._await_answer(self._parse_question(question))

    def _await_answer(self, parsed: Any) -> dict[str, Any]:
        """Queue a parsed question and wait for its answer. Return `{"busy": True}` if it does not come in time."""
        future: Future[dict[str, Any]] = Future()
        try:
            self._waiting.put_nowait((parsed, future))
            return {"busy": True} if self._ended.is_set() else future.result(PATIENCE_SECONDS)
        except (queue.Full, TimeoutError):
            future.cancel()
            return {"busy": True}

    def close(self) -> None:
        """Close the page: answer all waiting questions with `{"busy": True}`, and let `run` return."""
        super().close()
        while not self._waiting.empty():
            _deliver_answer(self._waiting.get()[1], {"busy": True})
        with contextlib.suppress(queue.Full):  # a full queue wakes `run` anyway
            self._waiting.put_nowait((None, Future()))

    def _parse_question(self, question: Any) -> Any:
        """Parse a question. Raise ValueError with the reason if it is not valid. Every subclass must implement this."""
        raise NotImplementedError

    def _answer_question(self, network: Any, parsed: Any) -> dict[str, Any]:
        """Compute the network's answer to a parsed question, as JSON values. Every subclass must implement this."""
        raise NotImplementedError

    def _serve_during_training(self, network: Any, report: FailureReporter) -> None:
        """Answer the questions that are waiting, then return, so that training goes on."""
        while not self._waiting.empty():
            self._answer_pending(self._waiting.get(), network, report)

    def _serve_after_training(self, network: Any, report: FailureReporter) -> None:
        """Answer questions after training, until the page is closed."""
        while not self._ended.is_set():
            self._answer_pending(self._waiting.get(), network, report)

    def _wait_for_close(self) -> None:
        """Answer each question with the failure that ended training, until the page is closed."""
        while not self._ended.is_set():  # the page stays open, and shows why there are no answers
            _deliver_answer(self._waiting.get()[1], {"failure": select_failure_fields_for_page(self._failure)})

    def _answer_pending(self, pending: PendingQuestion, network: Any, report: FailureReporter) -> None:
        """Answer one question. A student error becomes the answer, and is also raised if the worker is lost."""
        parsed, future = pending
        if self._ended.is_set():
            return
        try:
            _deliver_answer(future, self._answer_question(network, parsed))
        except STUDENT_ERRORS as error:
            failure = self._report_new_error(error, report)
            _deliver_answer(future, {"failure": select_failure_fields_for_page(failure)})
            if isinstance(error, WorkerFailureError):
                raise
        except ValueError as error:  # it is not a question for this network
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        except BaseException:  # interrupted
            _deliver_answer(future, {"busy": True})
            raise


def _deliver_answer(future: Future[dict[str, Any]], value: dict[str, Any]) -> None:
    """Set the answer, unless nobody is still waiting for it."""
    if future.set_running_or_notify_cancel():
        future.set_result(value)
