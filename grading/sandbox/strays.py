"""Kill the processes that student code has left behind, if no sandbox does it.

On Linux, the grader becomes the parent of orphaned descendants (PR_SET_CHILD_SUBREAPER). So even a daemon that has left
its process group is found and killed. Under bubblewrap, the process namespace takes care of all this.
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
    """On Linux, make this process the parent of its orphaned descendants."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_stray_processes(live: Set[int]) -> None:
    """Kill adopted orphans, but not ``live`` workers, in several rounds, because each orphan may have children."""
    for _ in range(ROUNDS):
        strays = [pid for pid in _list_own_children() if pid not in live and _is_in_other_session(pid)]
        if not strays:
            return
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _list_own_children() -> list[int]:
    """List this process's children, or none if the kernel does not report them."""
    with contextlib.suppress(OSError):
        return find_children(os.getpid())
    return []


def _is_in_other_session(pid: int) -> bool:
    """Return whether a process is in a different session. Workers are, and the grader's other children are not."""
    with contextlib.suppress(OSError):
        return os.getsid(pid) != os.getsid(0)
    return False
