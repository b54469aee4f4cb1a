"""Read the resource usage of a worker's processes from the kernel.

Under bubblewrap, the worker is a grandchild process.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """The CPU time that processes have used, and how long they have waited for a processor."""

    cpu_seconds: float
    waited_seconds: float
    """The longest time for which one of their threads was ready to run but had no processor."""


def find_children(pid: int) -> list[int]:
    """Find the child processes of a process; raise OSError if it has ended or the kernel does not report them."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:  # another thread may exit in the meantime
            if task.name == str(pid):
                raise
    return found


def find_innermost_process(pid: int) -> int:
    """Return the last process in the chain of first children from ``pid`` itself on: in bubblewrap, the worker."""
    with contextlib.suppress(OSError):
        while children := find_children(pid):
            pid = children[0]
    return pid


def read_cpu_nanoseconds(pid: int) -> int | None:
    """Read the CPU time of a process and its running descendants; return None if the kernel does not report it.

    `/proc` counts in ticks of 10 ms, and a training step takes only a few of them. The id of another process's clock is
    derived from its pid in the way of clock_getcpuclockid(3), from the pid's complement and 2 for the scheduler's
    count.
    """
    if sys.platform != "linux":
        return None
    total, left = 0, [pid]
    while left:
        process = left.pop()
        try:
            left += find_children(process)
            total += time.clock_gettime_ns((~process << 3) | 2)
        except OSError:
            return None
    return total


def read_usage(pid: int) -> Usage | None:
    """Read the CPU time of a process and its descendants, even exited, and the most that one thread waited for a CPU.

    Return None if the kernel does not report it.
    """
    cpu_ticks, waited, left = 0, 0.0, [pid]
    while left:
        process = left.pop()
        try:
            left += find_children(process)
            # utime, stime, cutime and cstime of proc(5) follow the name, which may contain spaces and brackets.
            fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
            cpu_ticks += sum(map(int, fields[11:15]))
        except OSError:  # a child may exit in the meantime
            if process == pid:
                return None
        waited = max(waited, _get_longest_thread_wait(process))
    return Usage(cpu_ticks / TICKS, waited)


def _get_longest_thread_wait(pid: int) -> float:
    """Return the most seconds that one thread of the process has waited for a processor in total, or 0 if unknown."""
    longest = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                longest = max(longest, int((task / "schedstat").read_text().split()[1]))  # in ns
    return longest / 1e9
