"""The peak of a process's resident memory: what work adds to it, in a process of its own. Linux only, by /proc."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from course.bench.figure import ROOT

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What forgets the peak so far; see proc_pid_clear_refs(5)."""


def peak_of(work: str) -> tuple[float, float]:
    """MiB that a new process held before the work, and at its peak.

    ``work`` is source that makes a function named `work`. `getrusage` would not do: what its `ru_maxrss` tells of a new
    process begins at the size of the process that started it.
    """
    source = f"from course.bench import memory\n{work}\nmemory.watch(work)"
    command = [sys.executable, "-c", source]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    before, peak = done.stdout.split()
    return float(before), float(peak)


def watch(work: Callable[[], object]) -> None:
    """Do the work and print the resident memory before it, and its peak, in MiB."""
    CLEAR.write_text(RESET_PEAK)
    before = _mib("VmRSS")
    work()
    sys.stdout.write(f"{before} {_mib('VmHWM')}")


def _mib(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found, f"{STATUS} has no {name}"
    return int(found[1]) / 2**10
