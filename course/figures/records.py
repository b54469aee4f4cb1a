"""What is measured once and kept: times of this or that machine, and trainings too long for every check.

Such values are no function of the code, so `inv figures --measure NAME` writes them to records.json, with where and how
they were measured, and the pictures are drawn from there.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

RECORDS = Path(__file__).with_name("records.json")


def read_record(name: str) -> dict[str, Any]:
    """The values of one measurement; KeyError when it was never made."""
    return json.loads(RECORDS.read_text(encoding="utf-8"))[name]["values"]


def write_record(name: str, about: str, values: dict[str, Any]) -> None:
    """Keep the values of a measurement, `about` saying how it was made; the others stay as they are."""
    records = json.loads(RECORDS.read_text(encoding="utf-8")) if RECORDS.is_file() else {}
    machine = {
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "openblas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "as many as processors"),
    }
    records[name] = {"about": about, "machine": machine, "values": values}
    parts = [f"{json.dumps(key)}: {json.dumps(records[key])}" for key in sorted(records)]
    RECORDS.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def round_values(values: np.ndarray, digits: int = 4) -> list[Any]:
    """An array as nested lists of numbers with so many digits that count."""
    if np.ndim(values) > 1:
        return [round_values(part, digits) for part in values]
    return [float(f"{float(value):.{digits}g}") for value in values]
