"""Write a workflow step's outputs for later steps and jobs, and its part of the run's summary."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path


def write_outputs(file: Path, values: Mapping[str, str]) -> None:
    """Append outputs to ``file``, which should be the one that GITHUB_OUTPUT names.

    Each value is enclosed in its own random delimiters, so that no value can close them early and start a new output.
    """
    with file.open("a", encoding="utf-8") as out:
        for name, value in values.items():
            delimiter = f"end-{secrets.token_hex(16)}"
            out.write(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def write_step_summary(environ: Mapping[str, str], markdown: str) -> None:
    """Append Markdown to the summary on the run's page, if the environment has one."""
    if file := environ.get("GITHUB_STEP_SUMMARY"):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(markdown + "\n")
