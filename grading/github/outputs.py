"""What a step hands on: outputs that later steps and jobs read, and its part of the run's summary."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path


def write_outputs(file: Path, values: Mapping[str, str]) -> None:
    """Append outputs to the file GITHUB_OUTPUT names.

    Between delimiters drawn anew for each: whatever a value holds, it cannot end itself and begin another output.
    """
    with file.open("a", encoding="utf-8") as out:
        for name, value in values.items():
            delimiter = f"end-{secrets.token_hex(16)}"
            out.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def write_summary(environ: Mapping[str, str], markdown: str) -> None:
    """Append to the summary of the run's page; at a desk there is none."""
    if file := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(markdown + "\n")
