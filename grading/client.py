"""The grader's end of the pipe: one worker, its calls, their deadlines, and how it may fail."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from grading.errors import GraderError
from grading.limits import TimeLimit, find_passed_limit, wait_until, wall_limit
from grading.proxy import Proxy
from grading.remote import (
    DeadlineError,
    Frame,
    ProtocolError,
    WorkerClosedError,
    WorkerDiedError,
    WorkerFailureError,
    remote_error,
)
from grading.render.text import one_line
from grading.sandbox.launch import ADVICE, Confinement, Launched, launch
from grading.worker import wire

MAX_MEMORY = 128 << 20
"""Bytes that all answers of a worker may take here; those of all module tests together take 20 MB."""
OBJECT_BYTES = 64
"""What a byte of a message's plain part may become here."""
MAX_EVENTS, MAX_REPORTED = 10_000, 10
"""How often one call may report progress, and how many values each time."""
MAX_NESTED_EVENTS = 3
"""Reports within reports: a test may ask the network while it trains, and that is all."""
MAX_GREETING = 1 << 12
START_SECONDS = 60.0
"""For Python and NumPy to start; twice, since a start is tried twice."""
TEXT = 4000
"""Characters of a message or a name that are kept of an exception."""
End = TypeVar("End", WorkerFailureError, GraderError)


class Worker:
    """A running worker. Use it as a context manager; it is dead for good after the first failure.

    It starts in the background: making one ahead of its use costs no waiting.
    """

    def __init__(self, confinement: Confinement, *, call_seconds: float, wall_seconds: float = math.inf):
        """A call may take ``call_seconds`` of CPU time, and all of them together ``wall_seconds``."""
        self.confinement = confinement
        self.student_seconds = 0.0
        """Time spent waiting for answers: the student's share."""
        self.memory = MAX_MEMORY
        """Bytes that further answers may take. Whoever keeps none of those so far may raise it again."""
        self.failure: WorkerFailureError | GraderError | None = None
        """Why there will be no more answers; a GraderError where that is the machine's."""
        self.python, self.numpy = "", ""
        """Versions over there, once it has answered."""
        self._call_seconds, self._wall_seconds = call_seconds, wall_seconds
        self._limit: TimeLimit | None = None
        self._cpu_seconds: float | None = None
        self._next_total = 1.0
        self._number = 0
        self._dropped: list[int] = []
        self._modules: dict[str, Any] = {}
        self._callbacks: dict[int, Callable[..., Any]] = {}
        self._reporting = 0
        self._sources: dict[str, list[str]] = {}
        self._aborted = False
        self._launched: Launched = launch(confinement)
        self._ready_until: float | None = time.monotonic() + START_SECONDS

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def module(self, name: str) -> Any:
        """`tinytorch.<name>` of the student's; asked for once. DeadlineError when its own lines never end."""
        if name not in self._modules:
            try:
                self._modules[name] = self.request("module", f"tinytorch.{name}")
            except DeadlineError as error:
                raise DeadlineError(f"tinytorch.{name} was not loaded: {error}") from None
        return self._modules[name]

    def recipe(self, module_id: str) -> Any:
        """The recipe.py of a trigger module."""
        return self.request("recipe", f"modules/{module_id}/recipe.py")

    def rng(self, seed: int) -> Any:
        """A random generator on the worker's side."""
        return self.request("rng", seed)

    @contextmanager
    def deadline(self, seconds: float) -> Iterator[None]:
        """All requests in the block together have this much CPU time."""
        previous, self._limit = self._limit, self._limit_of(seconds)
        try:
            yield
        finally:
            self._limit = previous

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the worker so far; where the system does not tell it, time spent waiting for answers."""
        if self.failure is None and (usage := self._launched.read_usage()) is not None:
            self._cpu_seconds = usage.cpu_seconds
        return self.student_seconds if self._cpu_seconds is None else self._cpu_seconds

    def read_clock(self) -> float:
        """Seconds of CPU time of the worker, all its threads included, as the kernel counts them.

        Only differences say anything. Where the kernel does not tell, this is time spent waiting for answers.
        """
        nanoseconds = None if self.failure is not None else self._launched.read_cpu_nanoseconds()
        return self.student_seconds if nanoseconds is None else nanoseconds / 1e9

    def request(self, verb: str, *arguments: Any) -> Any:
        """One verb, answered with plain values and proxies.

        Raises RemoteError (as the builtin it was there) when student code raised, a WorkerFailureError when no answer
        came, and GraderError when that is the machine's failure.
        """
        if self.failure is not None:
            raise self.failure
        if self._ready_until is not None:
            self._greet()
        self._number += 1
        number, limit = self._number, self._limit or self._limit_of(self._call_seconds)
        self._check_total()
        first_callback = len(self._callbacks)
        dropped, self._dropped = self._dropped, []
        self._say([number, dropped, verb, *arguments])
        events = 0
        try:
            while True:
                kind, replied, *rest = self._hear(limit)
                if type(replied) is not int:
                    raise self._fail(ProtocolError("its answer has the wrong form"))
                if kind == "event" and replied in self._callbacks:
                    events += 1
                    if events > MAX_EVENTS:
                        raise self._fail(
                            ProtocolError(f"it reported progress more than {MAX_EVENTS:,} times in one call")
                        )
                    self._handle_event(replied, *self._fitting(rest, (list, dict)))
                elif kind == "value" and replied == number and len(rest) == 1:
                    return rest[0]
                elif kind == "raised" and replied == number:
                    raise self._raised(rest)
                else:
                    raise self._fail(ProtocolError("it answered something that was not asked"))
        finally:
            for extra in range(first_callback, len(self._callbacks)):
                self._callbacks.pop(extra, None)

    def call(self, thing: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        """`thing.name(…)`, there: a plain value in an object's place is the student's error, and not ours."""
        return self.request("call", self.request("get", thing, name), args, kwargs)

    def forget(self, handle: int) -> None:
        """The grader holds this handle no longer; the worker is told with the next request."""
        self._dropped.append(handle)

    @property
    def output(self) -> str:
        """The end of what student code printed."""
        return self._launched.output.text()

    def close(self) -> None:
        """End the worker and everything it started."""
        if self.failure is None:
            self._fail(WorkerClosedError("the worker has been closed"))

    def abort(self) -> None:
        """Kill the worker from another thread; the request that is waiting raises WorkerDiedError."""
        self._aborted = True
        self._launched.kill()

    def _greet(self) -> None:
        """Before the first request: nothing of the student's runs yet, so what fails is the machine's.

        A worker that does not start is started once more: a network disk is quicker the second time.
        """
        assert self._ready_until is not None
        # Started ahead, it may have been ready for long.
        reason = self._await_ready(max(self._ready_until, time.monotonic() + 1))
        if reason is not None and not self._aborted:
            self._launched.end()
            try:
                self._launched = launch(self.confinement)
            except GraderError as error:
                raise self._fail(error) from None
            reason = self._await_ready(time.monotonic() + START_SECONDS)
        if reason is not None:
            raise self._fail(GraderError(f"a worker cannot be started on this machine: {reason}. {ADVICE}"))
        there, here = (self.python, self.numpy), (sys.version.split()[0], np.__version__)
        if there != here:
            theirs, ours = ("Python {} with NumPy {}".format(*versions) for versions in (there, here))
            raise self._fail(GraderError(f"the worker runs {theirs}, the grader {ours}. {ADVICE}"))
        self._ready_until = None
        # Only now: the files may have come after the worker was started.
        self._sources = _read_sources(self.confinement.submission)
        self._launched.watch_usage()

    def _await_ready(self, until: float) -> str | None:
        """Why the worker did not say it was ready, or None when it did."""
        try:
            data = wire.receive(self._launched.sock, max_bytes=MAX_GREETING, wait=wait_until(until))
            kind, self.python, self.numpy = wire.decode(data, self._resolve)
        except TimeoutError:
            return f"it was not ready within {START_SECONDS:.0f} s"
        except (EOFError, OSError):
            return self._launched.explain_failed_start()
        except (wire.WireError, TypeError, ValueError) as error:
            return f"it said something else than that it is ready: {error}"
        return None if kind == "ready" else "it said something else than that it is ready"

    def _limit_of(self, seconds: float) -> TimeLimit:
        return TimeLimit(seconds, lambda: self._launched.read_usage())

    def _check_total(self) -> None:
        """Many answers, each in time, may be late together. The CPU time is read once in a second of waiting."""
        if self.student_seconds >= self._next_total:
            self._next_total = self.student_seconds + 1
            passed = find_passed_limit(self.cpu_seconds, self.student_seconds, self._wall_seconds)
            if passed is not None:
                raise self._fail(DeadlineError(f"your code has taken more than {passed} in all"))

    def _handle_event(self, number: int, args: list[Any], kwargs: dict[str, Any]) -> None:
        values = [*args, *kwargs.values()]
        if len(values) > MAX_REPORTED or not all(type(key) is str for key in kwargs):
            raise self._fail(ProtocolError("its report has the wrong form"))
        if not all(map(wire.is_reportable, values)):
            raise self._fail(ProtocolError("it reported something else than numbers and short texts"))
        if self._reporting == MAX_NESTED_EVENTS:
            raise self._fail(ProtocolError("it reported progress while it was asked from within a report of it"))
        self._reporting += 1
        try:
            value = self._callbacks[number](*args, **kwargs)
        finally:
            self._reporting -= 1
        self._say([0, [], "resume", value if type(value) in (type(None), bool, int, float, str) else None])

    def _say(self, message: list[Any]) -> None:
        data = wire.encode(message, self._name)
        try:
            self._launched.sock.settimeout(wall_limit(self._call_seconds))
            wire.send(self._launched.sock, data)
        except TimeoutError:
            raise self._fail(DeadlineError("it stopped listening")) from None
        except OSError:
            raise self._fail(WorkerDiedError(self._launched.how_it_ended())) from None

    def _hear(self, limit: TimeLimit) -> list[Any]:
        started = time.monotonic()
        try:
            data = wire.receive(self._launched.sock, max_bytes=wire.MAX_REPLY, wait=limit.wait)
            message = wire.decode(
                data, self._resolve, max_plain=wire.MAX_REPLY_PLAIN, max_nesting=wire.MAX_REPLY_NESTING
            )
        except DeadlineError as late:
            raise self._fail(late) from None
        except GraderError as busy:
            raise self._fail(busy) from None
        except (EOFError, OSError):
            raise self._fail(WorkerDiedError(self._launched.how_it_ended())) from None
        except wire.WireError as error:
            raise self._fail(ProtocolError(f"its answer is not one: {error}")) from None
        finally:
            self.student_seconds += time.monotonic() - started
        self.memory -= len(data) + OBJECT_BYTES * int.from_bytes(data[:4], "big")
        if self.memory < 0:
            raise self._fail(ProtocolError("its answers take more memory than right code ever needs"))
        if type(message) is not list or len(message) < 2 or type(message[0]) is not str:
            raise self._fail(ProtocolError("its answer is not one"))
        return message

    def _name(self, value: Any) -> tuple[int, Any] | None:
        if isinstance(value, Proxy):
            if value._worker is not self:
                raise WorkerDiedError("the worker was started anew; this object went with the old one")
            return wire.HANDLE, value._handle
        if callable(value):
            number = len(self._callbacks)
            self._callbacks[number] = value
            return wire.CALLBACK, number
        return None

    def _resolve(self, code: int, payload: Any) -> Proxy:
        if code != wire.HANDLE:
            raise wire.WireError("a callback cannot come from the worker")
        if type(payload) is not list or [type(part) for part in payload] != [int, str]:
            raise wire.WireError("a handle has the wrong form")
        handle, type_name = payload
        if not 0 < handle < wire.MAX_HANDLE:
            raise wire.WireError("a handle is not a count")
        # Nearly all of them, a thousand in a test, need no cleaning.
        is_plain = len(type_name) <= 100 and type_name.isascii() and type_name.isidentifier()
        return Proxy(self, handle, type_name if is_plain else one_line(type_name, 100))

    def _raised(self, rest: list[Any]) -> Exception:
        type_name, bases, message, frames = self._fitting(rest, (str, list, str, list))
        told = []
        for frame in frames[:20]:
            file, line, function = self._fitting(frame, (str, int, str))
            lines = self._sources.get(file, ())
            if 0 < line <= len(lines):  # a code object may name any place as its own
                told.append(Frame(file, line, one_line(function, 100), lines[line - 1].strip()[:200]))
        names, message = [b for b in bases if type(b) is str], message[:TEXT]
        if "MemoryError" in names:
            message = f"{message or 'no memory left'} (your code may use {self.confinement.memory_mb:,} MB of memory)"
        return remote_error(one_line(type_name, 100), names, message, tuple(told))

    def _fitting(self, values: Any, kinds: tuple[type, ...]) -> list[Any]:
        if type(values) is not list or [type(v) for v in values] != list(kinds):
            raise self._fail(ProtocolError("its answer has the wrong form"))
        return values

    def _fail(self, failure: End) -> End:
        _ = self.cpu_seconds  # read for the last time
        self.failure = failure
        self._launched.end()
        return failure


def _read_sources(submission: Path) -> dict[str, list[str]]:
    """The lines of every file of Python in the submission, by its place: what a traceback may lead to.

    They are read before any of its code runs.
    """
    files = sorted(submission.rglob("*.py"))
    return {file.relative_to(submission).as_posix(): file.read_text("utf-8", "replace").split("\n") for file in files}
