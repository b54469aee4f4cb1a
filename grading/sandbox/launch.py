"""Starting a worker behind the best fence there is here, and ending it for certain."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grading.errors import GraderError
from grading.sandbox import bubblewrap
from grading.sandbox.command import command
from grading.sandbox.folders import remove
from grading.sandbox.output import Tail
from grading.sandbox.processes import Usage, read_cpu_nanoseconds, read_usage
from grading.sandbox.strays import adopt_orphans, end_strays
from grading.sandbox.watch import MAX_TASKS, Watchdog
from grading.worker import landlock, seccomp

FENCES = ("bubblewrap", "landlock", "process")
"""From the strongest to the weakest. What each lets through: docs/threat-model.md."""
VARIABLE = "TINYTORCH_FENCE"
"""Names the one fence to use, for tests."""
RETRY_SECONDS = 1.0
ADVICE = "Run `tito doctor`, or `inv doctor` at an instructor's desk: it starts a worker and says what is wrong."
_live: set[int] = set()
"""Workers of this process that are running: not to be taken for strays."""


@dataclass(frozen=True)
class Confinement:
    """What a worker may see and use."""

    submission: Path
    """The copy of the student's files."""
    folders: tuple[str, ...]
    """Module folders below it that go on the import path."""
    memory_mb: int
    cpu_seconds: int
    output_kb: int = 256
    threads: int = 1
    """For NumPy's matrix products."""
    sandbox: str = "bubblewrap"
    """One of FENCES; see `choose`."""
    packages: tuple[str, ...] = ()
    """Installed packages that student code may import beside NumPy, by their import names."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside the worker's own."""


def choose(*, official: bool) -> str:
    """The strongest fence that works here. In official grading a plain process is none: an error, not a fallback."""
    wanted = os.environ.get(VARIABLE) or None
    if wanted not in (None, *FENCES):
        raise GraderError(f"{VARIABLE} is {wanted!r}; it may be {', '.join(FENCES)}")
    reasons = []
    for fence, works in (("bubblewrap", bubblewrap.works), ("landlock", landlock_works)):
        if wanted in (None, fence):
            reason = works() if sys.platform == "linux" else f"{fence} exists only on Linux"
            if reason is None:
                return fence
            reasons.append(reason)
    if official:
        raise GraderError(f"official grading needs a sandbox: {'; '.join(reasons) or f'{VARIABLE} asks for none'}")
    if wanted in ("bubblewrap", "landlock"):
        raise GraderError(f"{VARIABLE} asks for {wanted}: {'; '.join(reasons)}")
    return "process"


def landlock_works() -> str | None:
    """Why Landlock and seccomp cannot be a worker's fence here, or None when they can."""
    if landlock.version() == 0:
        return "this kernel has no Landlock (new in Linux 5.13), or has it switched off"
    if seccomp.program(platform.machine(), 1) is None:
        return f"the system calls of {platform.machine()} are not known"
    return None


class Launched:
    """A started process with its end of the socket and what it printed."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        sock: socket.socket,
        output: Tail,
        private: Path,
        confinement: Confinement,
    ):
        self.process, self.sock, self.output = process, sock, output
        self._private, self._confinement = private, confinement
        self._excess: str | None = None
        self._watch: Watchdog | None = None

    def watch_usage(self) -> None:
        """From now on student code may run: look at what no limit of the kernel's counts, where that is needed."""
        if self._confinement.sandbox != "bubblewrap" and self._watch is None:
            max_tasks = MAX_TASKS + self._confinement.threads
            self._watch = Watchdog(self.process.pid, self._private / "home", max_tasks, self._stop_excess)

    def _stop_excess(self, reason: str) -> None:
        self._excess = reason
        self.kill()

    def kill(self) -> None:
        """Kill the process and its group; `end` clears up after it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def read_usage(self) -> Usage | None:
        """What its processes have used; None where the system does not say."""
        return read_usage(self.process.pid)

    def read_cpu_nanoseconds(self) -> int | None:
        """CPU time of its running processes; None where the system does not say."""
        return read_cpu_nanoseconds(self.process.pid)

    def explain_failed_start(self) -> str:
        """Words for whoever runs this machine: how it ended, and the last line it printed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        code = self.process.poll()
        self.output.stop()
        last = (self.output.text().strip().splitlines() or ["it printed nothing"])[-1]
        ended = "it closed the pipe" if code is None else f"it ended with exit code {code}"
        if code is not None and code < 0:
            ended = f"it was killed ({_signal_name(-code)})"
        return f"{ended}: {last[:300]}"

    def how_it_ended(self) -> str:
        """Words for a student, after the pipe broke."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        code = self.process.poll()
        if self._excess is not None:
            return f"your code was stopped: {self._excess}"
        if code is None:
            return "your code closed the pipe to the grader"
        if code > 128 and code - 128 in signal.valid_signals():  # bubblewrap tells a signal as a shell does
            code = 128 - code
        if code == -signal.SIGXCPU:
            return f"your code was stopped by the system: it may use {self._confinement.cpu_seconds:,} s of CPU time"
        if code == -signal.SIGKILL:
            memory = f"{self._confinement.memory_mb:,} MB of memory"
            return f"your code was stopped by the system (SIGKILL): most likely it used too much; it may use {memory}"
        if code < 0:
            return f"your code crashed Python ({_signal_name(-code)})"
        return f"your code ended the program (exit code {code}) before it answered"

    def end(self) -> None:
        """Kill the process and everything it started; forget its private folder."""
        if self._watch is not None:
            self._watch.stop()
        self.kill()
        self.process.wait()
        _live.discard(self.process.pid)
        end_strays(_live)
        self.sock.close()
        self.output.stop()
        remove(self._private)


def launch(confinement: Confinement) -> Launched:
    """Start one worker. Raises GraderError when the process cannot be started, and cannot be a moment later."""
    lacking = (OSError, RuntimeError, subprocess.SubprocessError)  # no process, thread, memory, disk or time left
    try:
        return _start_process(confinement)
    except lacking:  # that may pass
        time.sleep(RETRY_SECONDS)
    try:
        return _start_process(confinement)
    except lacking as error:
        raise GraderError(f"a worker process cannot be started on this machine: {error}. {ADVICE}") from error


def _start_process(confinement: Confinement) -> Launched:
    with contextlib.ExitStack() as always, contextlib.ExitStack() as on_failure:
        ours, theirs = socket.socketpair()
        on_failure.callback(ours.close)
        always.callback(theirs.close)
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        private = Path(tempfile.mkdtemp(prefix="tinytorch-worker-"))
        on_failure.callback(remove, private)
        if confinement.sandbox != "bubblewrap":
            adopt_orphans()
        argv, environment = command(confinement, private, theirs.fileno())
        process = subprocess.Popen(  # noqa: S603 - our own command line
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            env=environment,
            cwd=private,
            start_new_session=True,
        )
        on_failure.callback(process.kill)
        launched = Launched(process, ours, Tail(process.stdout, confinement.output_kb << 10), private, confinement)
        on_failure.pop_all()
    _live.add(process.pid)
    return launched


def _signal_name(number: int) -> str:
    """SIGSEGV and the like; real-time signals have none, except the first and the last."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
