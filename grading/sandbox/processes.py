"""What the kernel says of a worker's processes: under bubblewrap the worker is a grandchild of what was started."""

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
    """What processes have used, and whether they would use more."""

    cpu_seconds: float
    waited_seconds: float
    """How long that of their threads which has waited most for a processor has done so: ready to run, and not let."""


def find_children(pid: int) -> list[int]:
    """The processes that a process has started. OSError where it is gone, or where the kernel does not say."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:  # another thread may end meanwhile
            if task.name == str(pid):
                raise
    return found


def read_cpu_nanoseconds(pid: int) -> int | None:
    """CPU time of a process and all below it that still run, to the nanosecond; None where the kernel does not say.

    `/proc` counts in ticks of 10 ms, a whole step of training in a handful of them. Linux makes the number of another
    process's clock from its pid, as clock_getcpuclockid(3) does: the complement, and 2 for what the scheduler counts.
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
    """Of a process and all below it, those that have ended included; None where the kernel does not say."""
    cpu_ticks, waited, left = 0, 0.0, [pid]
    while left:
        process = left.pop()
        try:
            left += find_children(process)
            # After the name, which may hold spaces and brackets: utime, stime, cutime and cstime of proc(5).
            fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
            cpu_ticks += sum(map(int, fields[11:15]))
        except OSError:  # a child may end meanwhile
            if process == pid:
                return None
        waited = max(waited, _longest_wait(process))
    return Usage(cpu_ticks / TICKS, waited)


def _longest_wait(pid: int) -> float:
    """Of a process's threads; 0 where the kernel keeps no such statistics."""
    longest = 0
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                longest = max(longest, int((task / "schedstat").read_text().split()[1]))  # in ns
    return longest / 1e9
