"""Grading processes that work in parallel.

If a process dies, only its task is affected, and that is tried once more.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from desk.grading_process import PRIVATE, GradingTask
from grading.limits import compute_wall_limit
from grading.manifest.model import Manifest
from grading.result import Result

HERE = Path(__file__).resolve().parent.parent
TRIES = 2
WORKERS = 2
"""The number of workers in a grading run that may use their full wall-clock limit: training and demonstration."""
ASIDE_SECONDS = 900
"""The extra time in seconds for loading data sets, the grader's own timings and a busy machine."""


@dataclass(frozen=True)
class TaskOutcome:
    """The outcome of a task: a result, or the reason why there is none."""

    task: GradingTask
    result: Result | None = None
    problem: str | None = None


def count_available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def grade_in_processes(
    tasks: Sequence[GradingTask], root: Path, manifest: Manifest, *, jobs: int
) -> Iterator[TaskOutcome]:
    """Grade every task, `jobs` at a time, and yield each outcome when it is ready.

    The processes are stopped when the caller stops iterating or is interrupted.
    """
    waiting: queue.SimpleQueue[GradingTask] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    done: queue.Queue[TaskOutcome] = queue.Queue()
    stop = threading.Event()
    limits = {m.id: WORKERS * compute_wall_limit(m.budget.wall_seconds) + ASIDE_SECONDS for m in manifest.milestones}
    threads = [
        threading.Thread(target=_feed_grading_process, args=(waiting, done.put, root, limits, stop), daemon=True)
        for _ in range(min(jobs, len(tasks)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in tasks:
            yield done.get()
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _feed_grading_process(
    waiting_tasks: queue.SimpleQueue[GradingTask],
    report_outcome: Callable[[TaskOutcome], None],
    root: Path,
    seconds_by_milestone: dict[int, float],
    stop: threading.Event,
) -> None:
    """Grade waiting tasks in a process and report each outcome. If the process ends, try its task up to TRIES times."""
    process: _GradingProcess | None = None
    try:
        while not stop.is_set():
            try:
                task = waiting_tasks.get_nowait()
            except queue.Empty:
                return
            graded = TaskOutcome(task, problem="it was not graded")
            for _ in range(TRIES):
                try:
                    process = process or _GradingProcess(root)
                except OSError as error:  # a full disk, or too many processes
                    graded = TaskOutcome(task, problem=f"no grading process could be started: {error}")
                    continue
                graded = process.grade_task(task, seconds_by_milestone[task.milestone], stop)
                if process.ended:
                    process.stop()
                    process = None
                if graded.result is not None or process is not None or stop.is_set():
                    break
            if not stop.is_set():
                report_outcome(graded)
    finally:
        if process is not None:
            process.stop()


def build_grader_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Build a grading process's environment, without variables whose names end in TOKEN, SECRET or PASSWORD.

    Student code could not see them anyway. Unless the variables say otherwise, libraries compute with a single thread,
    since every core has its own grading process.
    """
    kept = {name: value for name, value in environ.items() if not name.endswith(("TOKEN", "SECRET", "PASSWORD"))}
    return {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | kept | {"PYTHONPATH": str(HERE)}


class _GradingProcess:
    """A running grading process."""

    def __init__(self, root: Path) -> None:
        """Start the process with a temporary folder of its own. Raise OSError if the machine allows neither."""
        self._folder = tempfile.mkdtemp(prefix=PRIVATE)
        try:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "desk.grading_process", str(root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=build_grader_environment(os.environ) | {"TMPDIR": self._folder},
                start_new_session=True,
            )
        except OSError:
            Path(self._folder).rmdir()
            raise
        self.ended = False

    def grade_task(self, task: GradingTask, seconds: float, stop: threading.Event) -> TaskOutcome:
        """Let the process grade one task. If it ends or is too slow, set `ended` and return a problem."""
        try:
            line = self._exchange_line(task.to_json() + "\n", seconds, stop)
        except OSError:
            line = b""
        if line is None:
            self.ended = True
            return TaskOutcome(task, problem=f"grading took longer than {seconds / 60:.0f} minutes and was stopped")
        try:
            answer = json.loads(line)
            if "problem" in answer:
                return TaskOutcome(task, problem=answer["problem"])
            return TaskOutcome(task, Result.model_validate_json(answer["result"]))
        except (ValueError, LookupError, TypeError):
            self.ended = True
            return TaskOutcome(task, problem=f"the grading process ended ({self._describe_process_exit()})")

    def _exchange_line(self, text: str, seconds: float, stop: threading.Event) -> bytes | None:
        """Send a line and read the answer: empty if the process ended or `stop` is set, None if it took too long."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(text.encode())
        stdin.flush()
        deadline, line = time.monotonic() + seconds, b""
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if time.monotonic() > deadline:
                    return None
                if stop.is_set():
                    return b""
                if selector.select(timeout=0.2):
                    more = os.read(stdout.fileno(), 1 << 16)
                    if not more:
                        return b""
                    line += more
        return line

    def _describe_process_exit(self) -> str:
        """Describe how the process ended: its signal, its exit code if not 0, or else that it gave no answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        code = self._process.poll()
        if code is not None and code < 0:
            return f"signal {signal.Signals(-code).name}"
        return f"exit code {code}" if code else "without an answer"

    def stop(self) -> None:
        """Stop the process and everything it started, and delete its temporary folder."""
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGTERM if not self.ended else signal.SIGKILL)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)
