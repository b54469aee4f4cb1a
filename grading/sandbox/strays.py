"""Processes that student code left behind where there is no sandbox to end them with.

On Linux the grader becomes the parent of orphaned descendants (PR_SET_CHILD_SUBREAPER), so a daemon that left its
process group is still found and ended. In bubblewrap the process namespace does all this.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import sys
from collections.abc import Set

from grading.sandbox.processes import find_children

PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 50


@functools.cache
def adopt_orphans() -> None:
    """From now on orphaned descendants become this process's children."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_strays(live: Set[int]) -> None:
    """Kill adopted orphans, round after round, since each may have children; ``live`` workers stay."""
    for _ in range(ROUNDS):
        strays = [pid for pid in _children() if pid not in live and _left_our_terminal(pid)]
        if not strays:
            return
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    with contextlib.suppress(OSError):
        return find_children(os.getpid())
    return []


def _left_our_terminal(pid: int) -> bool:
    """Workers start sessions of their own; the grader's other children stay in its session."""
    with contextlib.suppress(OSError):
        return os.getsid(pid) != os.getsid(0)
    return False
