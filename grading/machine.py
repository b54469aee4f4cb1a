"""Describe the machine on which a result was measured."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from pathlib import Path

from grading.result import MachineRecord


@functools.cache
def build_machine_record(sandbox: str) -> MachineRecord:
    """Build the record of this machine for a result: its type, processor and versions, but no host or user name."""
    return MachineRecord(
        system=f"{platform.system()} {platform.machine()}",
        processor=_find_processor_name(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        packages={name: importlib.metadata.version(name) for name in ("numpy", "msgpack", "pytest")},
        sandbox=sandbox,
    )


def _find_processor_name() -> str:
    """Find the processor's model name, or return "unknown" if the system does not report it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
