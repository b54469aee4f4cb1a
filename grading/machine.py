"""Where a result was measured."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from pathlib import Path

from grading.result import MachineRecord


@functools.cache
def machine(sandbox: str) -> MachineRecord:
    """The machine as a result states it: kind and versions, no names."""
    return MachineRecord(
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        packages={name: importlib.metadata.version(name) for name in ("numpy", "msgpack", "pytest")},
        sandbox=sandbox,
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
