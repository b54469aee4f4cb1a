"""Starting a worker: in bubblewrap where it works, else as a plain process with limits; and ending it for certain."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grading.errors import GraderError
from grading.sandbox import bubblewrap, seccomp
from grading.sandbox.folders import remove
from grading.sandbox.output import Tail
from grading.sandbox.processes import Usage, read_usage
from grading.sandbox.strays import adopt_orphans, end_strays

WORKER = Path(__file__).resolve().parent.parent / "worker"
COURSE = Path(__file__).resolve().parents[2]
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
    """bubblewrap or process; see `choose`."""
    packages: tuple[str, ...] = ()
    """Installed packages that student code may import beside NumPy, by their import names."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside the worker's own."""


def choose(*, official: bool) -> str:
    """Bubblewrap where it works. In official grading its absence is an error, not a fallback."""
    reason = bubblewrap.works() if sys.platform == "linux" else "bubblewrap exists only on Linux"
    if reason is None:
        return "bubblewrap"
    if official:
        raise GraderError(f"official grading needs a sandbox: {reason}")
    return "process"


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

    def read_usage(self) -> Usage | None:
        """What its processes have used; None where the system does not say."""
        return read_usage(self.process.pid)

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
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        _live.discard(self.process.pid)
        end_strays(_live)
        self.sock.close()
        self.output.stop()
        remove(self._private)


def launch(confinement: Confinement) -> Launched:
    """Start one worker. Raises GraderError when the process cannot be started, and cannot be a moment later."""
    try:
        return _start_process(confinement)
    except (OSError, RuntimeError):  # no process, thread, memory or disk left: that may pass
        time.sleep(RETRY_SECONDS)
    try:
        return _start_process(confinement)
    except (OSError, RuntimeError) as error:
        raise GraderError(f"a worker process cannot be started on this machine: {error}. {ADVICE}") from error


def _start_process(confinement: Confinement) -> Launched:
    with contextlib.ExitStack() as always, contextlib.ExitStack() as on_failure:
        ours, theirs = socket.socketpair()
        on_failure.callback(ours.close)
        always.callback(theirs.close)
        for sock in (ours, theirs):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        confinement.submission.chmod(0o755)  # readable for whoever the worker becomes
        private = Path(tempfile.mkdtemp(prefix="tinytorch-worker-"))
        on_failure.callback(remove, private)
        argv, environment, filter_file = _command(confinement, private, theirs.fileno())
        if filter_file is not None:
            always.callback(os.close, filter_file)
        process = subprocess.Popen(  # noqa: S603 - our own command line
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno(), *([] if filter_file is None else [filter_file])],
            env=environment,
            cwd=private,
            start_new_session=True,
        )
        on_failure.callback(process.kill)
        launched = Launched(process, ours, Tail(process.stdout, confinement.output_kb << 10), private, confinement)
        on_failure.pop_all()
    _live.add(process.pid)
    return launched


def _command(confinement: Confinement, private: Path, pipe: int) -> tuple[list[str], dict[str, str], int | None]:
    """The worker's command line and environment, and the file descriptor of the filter that bubblewrap reads."""
    packages = _packages(("numpy", "msgpack", *confinement.packages))
    python = _python()
    in_bubblewrap = confinement.sandbox == "bubblewrap"
    filter_file = None
    home = Path(bubblewrap.TMP) if in_bubblewrap else private
    environment = {**_environment(home, confinement.threads), **confinement.environment}
    if in_bubblewrap:
        filter_file = _filter_file(private)
        argv = bubblewrap.command(python, confinement.submission, WORKER, packages, COURSE, filter_file, environment)
        script, seen = bubblewrap.INSIDE / "main.py", bubblewrap.SUBMISSION
    else:
        adopt_orphans()
        argv, script, seen = [str(python)], WORKER / "main.py", confinement.submission.resolve()
    config = {
        "site": sorted({str(folder.parent) for folder in packages}),
        "submission": str(seen),
        "folders": list(confinement.folders),
        "limits": _limits(confinement),
        "become": bubblewrap.unprivileged_id() if in_bubblewrap else None,
    }
    argv += ["-I", "-S", "-B", str(script), str(pipe), json.dumps(config)]
    return argv, environment, filter_file


def _python() -> Path:
    """The interpreter itself, not an environment's copy of it: that one lies in a folder no worker sees."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def _packages(names: Iterable[str]) -> list[Path]:
    """The folders of packages, and of the libraries that each brings."""
    folders = []
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise GraderError(f"{name} is not installed; the session's environment should have it: tito doctor")
        folders.append(Path(spec.origin).resolve().parent)
    beside = [folder.with_name(f"{folder.name}.libs") for folder in folders]
    return folders + [folder for folder in beside if folder.is_dir()]


def _environment(home: Path, threads: int) -> dict[str, str]:
    """All the worker gets to see: nothing of the grader's or the machine's environment comes through."""
    count = str(threads)
    return {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": count,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "VECLIB_MAXIMUM_THREADS": count,
        "NUMBA_NUM_THREADS": count,
        "NUMBA_CACHE_DIR": str(home),
    }


def _signal_name(number: int) -> str:
    """SIGSEGV and the like; real-time signals have none, except the first and the last."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _limits(confinement: Confinement) -> dict[str, int]:
    """Setrlimit values; the worker sets them before it loads student code, and cannot raise them again."""
    limits = {
        "RLIMIT_AS": confinement.memory_mb << 20,
        "RLIMIT_CPU": confinement.cpu_seconds,
        "RLIMIT_FSIZE": 64 << 20,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
    }
    if sys.platform == "darwin":  # macOS counts shared caches into the address space: no useful limit there
        del limits["RLIMIT_AS"]
    return limits


def _filter_file(folder: Path) -> int | None:
    program = seccomp.program()
    if program is None:
        return None
    path = folder / "filter"
    path.write_bytes(program)
    descriptor = os.open(path, os.O_RDONLY)
    path.unlink()
    return descriptor
