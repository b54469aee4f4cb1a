"""What the kernel says of a worker's processes: under bubblewrap the worker is a grandchild of what was started."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What processes have used, and whether they would use more."""

    cpu_seconds: float
    kept_waiting: bool
    """Whether one of their threads waits for a processor or a disk: it sleeps, but not of its own will."""


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


def read_usage(pid: int) -> Usage | None:
    """Of a process and all below it, those that have ended included; None where the kernel does not say."""
    cpu_ticks, kept_waiting, left = 0, False, [pid]
    while left:
        process = left.pop()
        try:
            left += find_children(process)
            # utime, stime, cutime and cstime of proc(5)
            cpu_ticks += sum(map(int, _stat(Path(f"/proc/{process}"))[11:15]))
        except OSError:  # a child may end meanwhile
            if process == pid:
                return None
        kept_waiting |= any(state in (b"R", b"D") for state in _thread_states(process))
    return Usage(cpu_ticks / TICKS, kept_waiting)


def _thread_states(pid: int) -> list[bytes]:
    states = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                states.append(_stat(task)[0])
    return states


def _stat(process: Path) -> list[bytes]:
    """Everything after the name, which is the process's own and may hold spaces and brackets."""
    return (process / "stat").read_bytes().rpartition(b")")[2].split()
