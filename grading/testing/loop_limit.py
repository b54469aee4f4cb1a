"""Stop an infinite loop in the student's own pytest run, where no worker limits the time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from grading.remote import DeadlineError

AGAIN_SECONDS = 1.0
"""The interval at which the error is raised again, in seconds, because student code may have caught it."""


@contextmanager
def limit_cpu_seconds(seconds: float, folder: Path) -> Iterator[None]:
    """Raise DeadlineError in a block of the main thread, at a line below ``folder``, after this much CPU time.

    Waiting for a debugger's user takes no CPU time. Only the main thread can be interrupted. There, compiled code
    continues to its end. A system without such a timer (Windows) sets no limit.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    below = f"{folder}/"

    def interrupt(_number: int, frame: FrameType | None) -> None:
        """Raise the error if any of the running lines is in the folder."""
        while frame is not None:
            if frame.f_code.co_filename.startswith(below):
                raise DeadlineError(f"no end after {seconds:.0f} s of CPU time; is there an endless loop?")
            frame = frame.f_back

    previous = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
