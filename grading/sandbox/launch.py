"""Start a worker behind the strongest fence available, and stop it reliably."""

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
from grading.sandbox.command import prepare_worker_command
from grading.sandbox.folders import delete_folder
from grading.sandbox.output import OutputTail
from grading.sandbox.processes import Usage, find_innermost_process, read_cpu_nanoseconds, read_usage
from grading.sandbox.strays import adopt_orphans, kill_stray_processes
from grading.sandbox.watch import MAX_TASKS, Watchdog
from grading.worker import landlock, seccomp

FENCES = ("bubblewrap", "landlock", "process")
"""The isolation mechanisms ("fences"), strongest first. docs/threat-model.md describes what each one stops."""
VARIABLE = "TINYTORCH_FENCE"
"""The environment variable through which tests select the fence."""
RETRY_SECONDS = 1.0
TRACEBACK_SECONDS, PAUSE_SECONDS, TRACEBACK_BYTES = 2.0, 0.5, 1 << 16
"""The limits for a worker's last traceback: its time, the pause after which it is complete, and its size."""
ADVICE = "Run `tito doctor`, or `inv doctor` as an instructor. It starts a worker and reports what goes wrong."
_live: set[int] = set()
"""The running workers of this process. They are not strays."""


@dataclass(frozen=True)
class Confinement:
    """The files that a worker may see and the resources that it may use."""

    submission: Path
    """The copy of the student's files."""
    folders: tuple[str, ...]
    """The module folders below the submission that are put on the import path."""
    memory_mb: int
    cpu_seconds: int
    output_kb: int = 256
    threads: int = 1
    """The number of threads for NumPy's matrix products."""
    sandbox: str = "bubblewrap"
    """The fence, one of FENCES."""
    packages: tuple[str, ...] = ()
    """Installed packages besides NumPy that student code may import, by import name."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The additional environment variables."""


def choose_fence(*, official: bool) -> str:
    """Return the fence that the environment requests, or the strongest that works; raise GraderError if none will do.

    This happens if the requested fence is unknown or does not work, or if official grading would get only a plain
    process, which is too weak.
    """
    wanted = os.environ.get(VARIABLE) or None
    if wanted not in (None, *FENCES):
        raise GraderError(f"{VARIABLE} is {wanted!r}, but it must be one of {', '.join(FENCES)}")
    reasons = []
    for fence, works in (("bubblewrap", bubblewrap.find_bubblewrap_problem), ("landlock", find_landlock_problem)):
        if wanted in (None, fence):
            reason = works() if sys.platform == "linux" else f"{fence} exists only on Linux"
            if reason is None:
                return fence
            reasons.append(reason)
    if official:
        raise GraderError(f"official grading needs a sandbox: {'; '.join(reasons) or f'{VARIABLE} disables it'}")
    if wanted in ("bubblewrap", "landlock"):
        raise GraderError(f"{VARIABLE} asks for {wanted}: {'; '.join(reasons)}")
    return "process"


def find_landlock_problem() -> str | None:
    """Explain why Landlock and seccomp cannot confine a worker here; return None if they can."""
    if landlock.read_landlock_version() == 0:
        return "this kernel has no Landlock (it needs Linux 5.13), or Landlock is disabled"
    if seccomp.build_seccomp_filter(platform.machine(), 1) is None:
        return f"the system call numbers of {platform.machine()} are not known"
    return None


class WorkerProcess:
    """A started worker process, with the grader's end of the socket and the printed output."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        sock: socket.socket,
        output: OutputTail,
        private: Path,
        confinement: Confinement,
    ):
        self.process, self.sock, self.output = process, sock, output
        self._private, self._confinement = private, confinement
        self._excess: str | None = None
        self._watch: Watchdog | None = None

    def watch_usage(self) -> None:
        """Outside bubblewrap, start a watchdog that kills the process if it has too many threads or files."""
        if self._confinement.sandbox != "bubblewrap" and self._watch is None:
            max_tasks = MAX_TASKS + self._confinement.threads
            self._watch = Watchdog(self.process.pid, self._private / "home", max_tasks, self._kill_for_excess)

    def _kill_for_excess(self, reason: str) -> None:
        """Kill the process, and keep the reason for `explain_broken_pipe`."""
        self._excess = reason
        self.kill()

    def kill(self) -> None:
        """Kill the process and its group; `kill_and_clean_up` cleans up afterwards."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def read_usage(self) -> Usage | None:
        """Read the worker's CPU time and how long it waited for a processor; return None if the system cannot say."""
        return read_usage(self.process.pid)

    def read_cpu_nanoseconds(self) -> int | None:
        """Read the CPU time of the worker's running processes; return None if the system does not report it."""
        return read_cpu_nanoseconds(self.process.pid)

    def interrupt_for_traceback(self) -> str:
        """Ask a worker that does not answer which lines it is running, and return what it writes within two seconds.

        This can be any text, and nothing else can be received afterwards. The innermost line comes first.
        """
        in_bubblewrap = self._confinement.sandbox == "bubblewrap"
        data, end, wait = b"", time.monotonic() + TRACEBACK_SECONDS, TRACEBACK_SECONDS
        with contextlib.suppress(OSError):  # the worker has exited, or it is silent
            os.kill(find_innermost_process(self.process.pid) if in_bubblewrap else self.process.pid, signal.SIGUSR1)
            while len(data) < TRACEBACK_BYTES and (left := end - time.monotonic()) > 0:
                self.sock.settimeout(min(wait, left))
                part = self.sock.recv(TRACEBACK_BYTES)
                if not part:
                    break
                data, wait = data + part, PAUSE_SECONDS
        return data.decode("ascii", "replace")

    def explain_failed_start(self) -> str:
        """Explain to the machine's owner why the start failed, and quote the last line of output."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        code = self.process.poll()
        self.output.stop()
        last = (self.output.text().strip().splitlines() or ["it printed nothing"])[-1]
        ended = "it closed the pipe" if code is None else f"it ended with exit code {code}"
        if code is not None and code < 0:
            ended = f"it was killed ({_name_signal(-code)})"
        return f"{ended}: {last[:300]}"

    def explain_broken_pipe(self) -> str:
        """Explain to a student why the pipe to the worker broke."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        code = self.process.poll()
        if self._excess is not None:
            return f"your code was stopped: {self._excess}"
        if code is None:
            return "your code closed the pipe to the grader"
        if code > 128 and code - 128 in signal.valid_signals():  # bubblewrap reports a signal as a shell does
            code = 128 - code
        if code == -signal.SIGXCPU:
            return f"your code was stopped by the system: it may use {self._confinement.cpu_seconds:,} s of CPU time"
        if code == -signal.SIGKILL:
            memory = f"{self._confinement.memory_mb:,} MB of memory"
            return f"your code was stopped by the system (SIGKILL), most likely for using too much: it may use {memory}"
        if code < 0:
            return f"your code crashed Python ({_name_signal(-code)})"
        return f"your code ended the program (exit code {code}) before it answered"

    def kill_and_clean_up(self) -> None:
        """Kill the process and everything it started, and delete its private folder."""
        if self._watch is not None:
            self._watch.stop()
        self.kill()
        self.process.wait()
        _live.discard(self.process.pid)
        kill_stray_processes(_live)
        self.sock.close()
        self.output.stop()
        delete_folder(self._private)


def launch(confinement: Confinement) -> WorkerProcess:
    """Start one worker; raise GraderError if two attempts a moment apart fail."""
    lacking = (OSError, RuntimeError, subprocess.SubprocessError)  # out of processes, threads, memory, disk or time
    try:
        return _start_worker_process(confinement)
    except lacking:  # this may be temporary
        time.sleep(RETRY_SECONDS)
    try:
        return _start_worker_process(confinement)
    except lacking as error:
        raise GraderError(f"a worker process cannot be started on this machine: {error}. {ADVICE}") from error


def _start_worker_process(confinement: Confinement) -> WorkerProcess:
    """Start a worker process with a socket to it, and clean up if that fails."""
    with contextlib.ExitStack() as always, contextlib.ExitStack() as on_failure:
        ours, theirs = socket.socketpair()
        on_failure.callback(ours.close)
        always.callback(theirs.close)
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        private = Path(tempfile.mkdtemp(prefix="tinytorch-worker-"))
        on_failure.callback(delete_folder, private)
        if confinement.sandbox != "bubblewrap":
            adopt_orphans()
        argv, environment = prepare_worker_command(confinement, private, theirs.fileno())
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
        launched = WorkerProcess(
            process, ours, OutputTail(process.stdout, confinement.output_kb << 10), private, confinement
        )
        on_failure.pop_all()
    _live.add(process.pid)
    return launched


def _name_signal(number: int) -> str:
    """Return a signal's name, such as "SIGSEGV", or "signal NUMBER" if it has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
