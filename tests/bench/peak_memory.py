"""Measure a process's peak resident memory, and how much some work adds to it. It needs /proc, so only Linux works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from grading.errors import GraderError
from tests.bench.bench_figure import ROOT

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""The value that resets the peak, documented in proc_pid_clear_refs(5)."""


def measure_peak(work_source: str) -> tuple[float, float]:
    """Measure how many MiB of memory a new process uses before some work, and at its peak.

    ``work_source`` must define a function named `work`. `getrusage` is no substitute, because a new process's
    `ru_maxrss` begins at the size of the process that started it.
    """
    source = f"from tests.bench import peak_memory\n{work_source}\npeak_memory.print_peak(work)"
    command = [sys.executable, "-c", source]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    before, peak = done.stdout.split()
    return float(before), float(peak)


def print_peak(work: Callable[[], object]) -> None:
    """Do the work, and print the resident memory before it and at its peak, in MiB."""
    CLEAR.write_text(RESET_PEAK)
    before = _read_mib("VmRSS")
    work()
    sys.stdout.write(f"{before} {_read_mib('VmHWM')}")


def _read_mib(field: str) -> float:
    """Read a field of this process's memory status, in MiB."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found, f"{STATUS} has no {field}"
    return int(found[1]) / 2**10


def run_and_measure(command: list[str], cwd: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Run a command. Measure how many seconds it takes, and its process tree's peak MiB, sampled every 50 ms.

    Shared memory counts for each process. Raise GraderError with the end of the output if the command fails.
    """
    with tempfile.TemporaryFile() as said:
        started, peak = time.perf_counter(), 0.0
        with subprocess.Popen(command, cwd=cwd, env=environment, stdout=said, stderr=said) as process:
            while process.poll() is None:
                peak = max(peak, _sum_tree_memory(process.pid))
                time.sleep(0.05)
        taken = time.perf_counter() - started
        if process.returncode:
            said.seek(0)
            raise GraderError(f"{' '.join(command)} failed:\n{said.read().decode(errors='replace')[-3000:]}")
    return taken, peak


def _sum_tree_memory(root: int) -> float:
    """Add up the resident memory of a process and its descendants, in MiB."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)], sizes[int(folder.name)] = int(fields[1]), int(fields[21])
    found, front = 0, [root]
    while front:
        pid = front.pop()
        found += sizes.get(pid, 0)
        front += [child for child, parent in parents.items() if parent == pid]
    return found * os.sysconf("SC_PAGE_SIZE") / 2**20
