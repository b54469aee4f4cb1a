"""The grader's end of the pipe to one worker: calls, their deadlines, and failures."""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from grading.errors import GraderError
from grading.limits import TimeLimit, compute_wall_limit, describe_exceeded_limit, make_seconds_left_function
from grading.proxy import Proxy
from grading.remote import (
    DeadlineError,
    Frame,
    ProtocolError,
    WorkerClosedError,
    WorkerDiedError,
    WorkerFailureError,
    build_remote_error,
)
from grading.render.text import to_one_line
from grading.sandbox.launch import ADVICE, Confinement, WorkerProcess, launch
from grading.worker import wire

MAX_MEMORY = 128 << 20
"""The maximum memory in the grader for all answers of a worker, in bytes. All module tests together need 20 MB."""
OBJECT_BYTES = 64
"""The maximum grader memory for one byte of a message's plain part, in bytes."""
MAX_EVENTS, MAX_REPORTED = 10_000, 10
"""The number of progress reports that one call may send, and the number of values in each."""
MAX_NESTED_EVENTS = 3
"""The maximum depth of reports within reports. A test may query the network while it trains, but no more than that."""
MAX_GREETING = 1 << 12
START_SECONDS = 60.0
"""The time limit for Python and NumPy to start, in seconds. The start is attempted twice."""
TEXT = 4000
"""The number of characters of an exception's message that are kept."""
MAX_FRAMES = 20
"""The number of lines of a traceback that are kept."""
RUNNING_LINE = re.compile(r'^  File "([^"\n]+)", line (\d{1,9}) in (.+)$', re.MULTILINE)
"""One line of a traceback as `faulthandler` writes it."""
End = TypeVar("End", WorkerFailureError, GraderError)


class Worker:
    """A running worker, used as a context manager. After its first failure, it cannot be used again.

    The worker starts in the background, so one that is created early is ready when it is needed.
    """

    def __init__(self, confinement: Confinement, *, call_seconds: float, wall_seconds: float = math.inf):
        """Start a worker whose calls may each take ``call_seconds`` of CPU time, and together ``wall_seconds``."""
        self.confinement = confinement
        self.student_seconds = 0.0
        """The time spent waiting for answers, in seconds, which counts as the student's time."""
        self.memory = MAX_MEMORY
        """The number of bytes that further answers may take.

        A caller that has dropped the earlier answers may raise this number again.
        """
        self.failure: WorkerFailureError | GraderError | None = None
        """The reason why there will be no more answers. It is a GraderError if the machine is to blame."""
        self.python, self.numpy = "", ""
        """The worker's versions, known after its first answer."""
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
        self._launched: WorkerProcess = launch(confinement)
        self._ready_until: float | None = time.monotonic() + START_SECONDS

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def module(self, name: str) -> Any:
        """Import the student's `tinytorch.<name>` once. Raise DeadlineError if its top-level code does not finish."""
        if name not in self._modules:
            try:
                self._modules[name] = self.request("module", f"tinytorch.{name}")
            except DeadlineError as error:
                raise DeadlineError(f"tinytorch.{name} was not loaded: {error}", error.frames) from None
        return self._modules[name]

    def recipe(self, module_id: str) -> Any:
        """Load modules/MODULE_ID/recipe.py, the recipe of the milestone that this module unlocks."""
        return self.request("recipe", f"modules/{module_id}/recipe.py")

    def rng(self, seed: int) -> Any:
        """Create a random number generator in the worker."""
        return self.request("rng", seed)

    @contextmanager
    def limit_time(self, seconds: float) -> Iterator[None]:
        """Limit the total CPU time of the block's requests. Exceeding it stops the worker and raises DeadlineError."""
        previous, self._limit = self._limit, self._start_time_limit(seconds)
        try:
            yield
        finally:
            self._limit = previous

    @property
    def cpu_seconds(self) -> float:
        """The worker's CPU time so far or, if the system does not report it, the time spent waiting for answers."""
        if self.failure is None and (usage := self._launched.read_usage()) is not None:
            self._cpu_seconds = usage.cpu_seconds
        return self.student_seconds if self._cpu_seconds is None else self._cpu_seconds

    def read_clock(self) -> float:
        """Read the worker's CPU time in seconds, including all its threads, as the kernel counts them.

        Only differences are meaningful. If the kernel does not report it, return the time spent waiting for answers.
        """
        nanoseconds = None if self.failure is not None else self._launched.read_cpu_nanoseconds()
        return self.student_seconds if nanoseconds is None else nanoseconds / 1e9

    def request(self, verb: str, *arguments: Any) -> Any:
        """Send one request and return its answer as plain values and proxies, or raise what student code raised.

        Raise RemoteError (a subclass of the builtin that student code raised), WorkerFailureError if no answer came, or
        GraderError if that is the machine's fault.
        """
        if self.failure is not None:
            raise self.failure
        if self._ready_until is not None:
            self._ensure_ready()
        self._number += 1
        number, limit = self._number, self._limit or self._start_time_limit(self._call_seconds)
        self._check_total_time()
        first_callback = len(self._callbacks)
        dropped, self._dropped = self._dropped, []
        self._send_message([number, dropped, verb, *arguments])
        events = 0
        try:
            while True:
                kind, replied, *rest = self._receive_message(limit)
                if type(replied) is not int:
                    raise self._record_failure(ProtocolError("its answer has the wrong form"))
                if kind == "event" and replied in self._callbacks:
                    events += 1
                    if events > MAX_EVENTS:
                        raise self._record_failure(
                            ProtocolError(f"it reported progress more than {MAX_EVENTS:,} times in one call")
                        )
                    self._answer_progress_report(replied, *self._require_types(rest, (list, dict)))
                elif kind == "value" and replied == number and len(rest) == 1:
                    return rest[0]
                elif kind == "raised" and replied == number:
                    raise self._rebuild_exception(rest)
                else:
                    raise self._record_failure(ProtocolError("it answered a request that was never sent"))
        finally:
            for extra in range(first_callback, len(self._callbacks)):
                self._callbacks.pop(extra, None)

    def call(self, thing: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call `thing.name(…)` in the worker.

        If `thing` is a plain value and not an object, that is the student's error.
        """
        return self.request("call", self.request("get", thing, name), args, kwargs)

    def release_handle(self, handle: int) -> None:
        """Release a handle that the grader no longer needs. The next request tells the worker."""
        self._dropped.append(handle)

    @property
    def output(self) -> str:
        """The end of the student code's printed output."""
        return self._launched.output.text()

    def close(self) -> None:
        """Stop the worker and everything it started. Later requests raise WorkerClosedError."""
        if self.failure is None:
            self._record_failure(WorkerClosedError("the worker has been closed"))

    def abort(self) -> None:
        """Kill the worker from another thread. A request that is waiting then raises WorkerDiedError."""
        self._aborted = True
        self._launched.kill()

    def _ensure_ready(self) -> None:
        """Wait until the worker is ready, starting it once more if it fails. Raise GraderError if it fails again.

        Also raise it if the worker's version of Python or NumPy is not the grader's. No student code runs yet, so the
        machine is to blame for any failure. A network disk is faster the second time.
        """
        assert self._ready_until is not None
        # A worker that was started early may have been ready for a long time.
        reason = self._await_ready(max(self._ready_until, time.monotonic() + 1))
        if reason is not None and not self._aborted:
            self._launched.kill_and_clean_up()
            try:
                self._launched = launch(self.confinement)
            except GraderError as error:
                raise self._record_failure(error) from None
            reason = self._await_ready(time.monotonic() + START_SECONDS)
        if reason is not None:
            raise self._record_failure(GraderError(f"a worker cannot be started on this machine: {reason}. {ADVICE}"))
        there, here = (self.python, self.numpy), (sys.version.split()[0], np.__version__)
        if there != here:
            theirs, ours = ("Python {} with NumPy {}".format(*versions) for versions in (there, here))
            raise self._record_failure(GraderError(f"the worker runs {theirs}, the grader {ours}. {ADVICE}"))
        self._ready_until = None
        # Read the sources only now, because the files may have arrived after the worker was started.
        self._sources = _read_sources(self.confinement.submission)
        self._launched.watch_usage()

    def _await_ready(self, until: float) -> str | None:
        """Wait for the worker's greeting and store its versions; return why it did not come, or None if it did."""
        try:
            data = wire.receive_frame(
                self._launched.sock, max_bytes=MAX_GREETING, wait=make_seconds_left_function(until)
            )
            kind, self.python, self.numpy = wire.decode_value(data, self._make_proxy)
        except TimeoutError:
            return f"it was not ready within {START_SECONDS:.0f} s"
        except (EOFError, OSError):
            return self._launched.explain_failed_start()
        except (wire.WireError, TypeError, ValueError) as error:
            return f"its first message was not the expected greeting: {error}"
        return None if kind == "ready" else "its first message was not the expected greeting"

    def _start_time_limit(self, seconds: float) -> TimeLimit:
        """Begin a time limit of this many CPU seconds for the worker."""
        return TimeLimit(seconds, lambda: self._launched.read_usage())

    def _check_total_time(self) -> None:
        """Stop the worker and raise DeadlineError if all calls together have taken too long.

        The CPU time is read once per second of waiting.
        """
        if self.student_seconds >= self._next_total:
            self._next_total = self.student_seconds + 1
            passed = describe_exceeded_limit(self.cpu_seconds, self.student_seconds, self._wall_seconds)
            if passed is not None:
                raise self._record_failure(DeadlineError(f"your code has taken more than {passed} in total"))

    def _answer_progress_report(self, number: int, args: list[Any], kwargs: dict[str, Any]) -> None:
        """Run a progress report's callback and send back its value; stop the worker and raise for an invalid report."""
        values = [*args, *kwargs.values()]
        if len(values) > MAX_REPORTED or not all(type(key) is str for key in kwargs):
            raise self._record_failure(ProtocolError("its report has the wrong form"))
        if not all(map(wire.is_reportable, values)):
            raise self._record_failure(ProtocolError("it reported values that are not numbers or short strings"))
        if self._reporting == MAX_NESTED_EVENTS:
            raise self._record_failure(ProtocolError("its progress reports are nested too deeply"))
        self._reporting += 1
        try:
            value = self._callbacks[number](*args, **kwargs)
        finally:
            self._reporting -= 1
        self._send_message([0, [], "resume", value if type(value) in (type(None), bool, int, float, str) else None])

    def _send_message(self, message: list[Any]) -> None:
        """Send a message to the worker; if it does not take it, stop the worker and raise its failure."""
        data = wire.encode_value(message, self._encode_reference)
        try:
            self._launched.sock.settimeout(compute_wall_limit(self._call_seconds))
            wire.send_frame(self._launched.sock, data)
        except TimeoutError:
            raise self._record_failure(DeadlineError("it stopped listening")) from None
        except OSError:
            raise self._record_failure(WorkerDiedError(self._launched.explain_broken_pipe())) from None

    def _receive_message(self, limit: TimeLimit) -> list[Any]:
        """Wait for a message from the worker; if none comes or it is invalid, stop the worker and raise its failure."""
        started = time.monotonic()
        try:
            data = wire.receive_frame(
                self._launched.sock, max_bytes=wire.MAX_REPLY, wait=limit.check_and_get_wait_seconds
            )
            message = wire.decode_value(
                data, self._make_proxy, max_plain=wire.MAX_REPLY_PLAIN, max_nesting=wire.MAX_REPLY_NESTING
            )
        except DeadlineError as late:
            raise self._record_failure(DeadlineError(str(late), self._receive_running_frames())) from None
        except GraderError as busy:
            raise self._record_failure(busy) from None
        except (EOFError, OSError):
            raise self._record_failure(WorkerDiedError(self._launched.explain_broken_pipe())) from None
        except wire.WireError as error:
            raise self._record_failure(ProtocolError(f"its answer is invalid: {error}")) from None
        finally:
            self.student_seconds += time.monotonic() - started
        self.memory -= len(data) + OBJECT_BYTES * int.from_bytes(data[:4], "big")
        if self.memory < 0:
            raise self._record_failure(ProtocolError("its answers take more memory than correct code ever needs"))
        if type(message) is not list or len(message) < 2 or type(message[0]) is not str:
            raise self._record_failure(ProtocolError("its answer is invalid"))
        return message

    def _encode_reference(self, value: Any) -> tuple[int, Any] | None:
        """Encode a proxy as its handle, and register a callable and encode its number. Return None otherwise."""
        if isinstance(value, Proxy):
            if value._worker is not self:
                raise WorkerDiedError("this object belonged to a worker that has exited")
            return wire.HANDLE, value._handle
        if callable(value):
            number = len(self._callbacks)
            self._callbacks[number] = value
            return wire.CALLBACK, number
        return None

    def _make_proxy(self, code: int, payload: Any) -> Proxy:
        """Create the proxy for a handle from the worker; raise WireError if the handle is not valid."""
        if code != wire.HANDLE:
            raise wire.WireError("a callback cannot come from the worker")
        if type(payload) is not list or [type(part) for part in payload] != [int, str]:
            raise wire.WireError("a handle has the wrong form")
        handle, type_name = payload
        if not 0 < handle < wire.MAX_HANDLE:
            raise wire.WireError("a handle is not a count")
        # Most type names are plain and need no cleaning; a test may have a thousand of them.
        is_plain = len(type_name) <= 100 and type_name.isascii() and type_name.isidentifier()
        return Proxy(self, handle, type_name if is_plain else to_one_line(type_name, 100))

    def _rebuild_exception(self, rest: list[Any]) -> Exception:
        """Build the exception that the grader raises for one that student code raised."""
        type_name, bases, message, frames = self._require_types(rest, (str, list, str, list))
        told = self._quote_frames([self._require_types(frame, (str, int, str)) for frame in frames[:MAX_FRAMES]])
        names, message = [b for b in bases if type(b) is str], message[:TEXT]
        if "MemoryError" in names:
            message = f"{message or 'no memory left'} (your code may use {self.confinement.memory_mb:,} MB of memory)"
        return build_remote_error(to_one_line(type_name, 100), names, message, told)

    def _receive_running_frames(self) -> tuple[Frame, ...]:
        """Interrupt the worker for good, and return the student's lines that it claims to run, innermost last."""
        found = []
        for path, line, function in RUNNING_LINE.findall(self._launched.interrupt_for_traceback()):
            known = [file for file in self._sources if path.endswith(f"/{file}")]
            found += [(known[0], int(line), function)] if known else []
        return self._quote_frames(reversed(found[:MAX_FRAMES]))

    def _quote_frames(self, frames: Iterable[Sequence[Any]]) -> tuple[Frame, ...]:
        """Quote each line of a traceback from the grader's copy, leaving out lines that do not exist there.

        A code object may claim any file and line.
        """
        return tuple(
            Frame(file, line, to_one_line(function, 100), lines[line - 1].strip()[:200])
            for file, line, function in frames
            if 0 < line <= len(lines := self._sources.get(file, ()))
        )

    def _require_types(self, values: Any, kinds: tuple[type, ...]) -> list[Any]:
        """Return the values if they have exactly these types; otherwise stop the worker and raise its failure."""
        if type(values) is not list or [type(v) for v in values] != list(kinds):
            raise self._record_failure(ProtocolError("its answer has the wrong form"))
        return values

    def _record_failure(self, failure: End) -> End:
        """Record the failure, stop the worker and return the failure."""
        _ = self.cpu_seconds  # read it for the last time
        self.failure = failure
        self._launched.kill_and_clean_up()
        return failure


def _read_sources(submission: Path) -> dict[str, list[str]]:
    """Read the lines of every Python file in the submission, keyed by its path relative to the submission.

    This happens before any student code runs.
    """
    files = sorted(submission.rglob("*.py"))
    return {file.relative_to(submission).as_posix(): file.read_text("utf-8", "replace").split("\n") for file in files}
