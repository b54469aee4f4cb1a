"""Values that are measured once and kept: times on one machine, and training runs that are too long for every check.

Such values cannot be computed from the code. So `inv figures --measure NAME` writes them to records.json, with
the conditions of the measurement and digests of the solutions, and the pictures are drawn from this file.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RECORDS_FILE = Path(__file__).with_name("records.json")
MODULES_FOLDER = Path(__file__).resolve().parents[2] / "modules"


def read_record(name: str) -> dict[str, Any]:
    """Read the values of one measurement. Raise KeyError if it has never been taken."""
    return json.loads(RECORDS_FILE.read_text(encoding="utf-8"))[name]["values"]


def write_record(name: str, description: str, values: dict[str, Any], code_files: Sequence[str]) -> None:
    """Write a measurement, with this machine and digests of the code, to the records file; keep its other records.

    `description` says how the measurement was made. `code_files` lists the files under modules/ that it depends on.
    Once one of them changes, the record is outdated.
    """
    records = json.loads(RECORDS_FILE.read_text(encoding="utf-8")) if RECORDS_FILE.is_file() else {}
    machine = {
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "openblas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "as many as processors"),
    }
    digests = {path: digest_code((MODULES_FOLDER / path).read_text(encoding="utf-8")) for path in code_files}
    records[name] = {"about": description, "machine": machine, "code": digests, "values": values}
    parts = [f"{json.dumps(key)}: {json.dumps(records[key])}" for key in sorted(records)]
    RECORDS_FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def find_stale_records(modules: Path) -> Iterator[tuple[str, str]]:
    """Yield (measurement, path in `modules`) for existing files whose code has changed since the measurement."""
    for name, record in json.loads(RECORDS_FILE.read_text(encoding="utf-8")).items():
        for path, digest in record["code"].items():
            if (modules / path).is_file() and digest_code((modules / path).read_text(encoding="utf-8")) != digest:
                yield name, path


def digest_code(source: str) -> str:
    """Return 16 hex digits of a digest of Python code that ignores docstrings, comment lines and empty lines."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            first, last = node.body[0].lineno - 1, node.body[0].end_lineno or 0
            lines[first:last] = [""] * (last - first)
    code = [line.rstrip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()[:16]


def round_values(values: np.ndarray, digits: int = 4) -> list[Any]:
    """Return an array as nested lists of numbers with the given number of significant digits."""
    if np.ndim(values) > 1:
        return [round_values(part, digits) for part in values]
    return [float(f"{float(value):.{digits}g}") for value in values]
