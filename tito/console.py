"""Where tito writes, the repository it works in, and how a listing becomes JSON."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from grading.errors import UsageError

MANIFEST = "milestones.yaml"


def console() -> Console:
    """Standard output: colour and movement on a terminal, plain text elsewhere; NO_COLOR is honoured."""
    return Console(highlight=False, markup=False, emoji=False)


def repository(start: Path | None = None) -> Path:
    """The nearest folder upward that holds milestones.yaml; UsageError when there is none."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / MANIFEST).is_file():
            return folder
    raise UsageError(
        f"No {MANIFEST} in {here} or any folder above it. Change to your course repository first: cd path/to/it"
    )


def item(sign: str, text: str | Text, *, style: str = "", indent: int = 2) -> Table:
    """A line of a list: a sign, and text whose later lines stand under its first."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(" " * indent + sign, style=style), text if isinstance(text, Text) else Text(text))
    return table


def print_json(value: Any) -> None:
    """Write a listing: two spaces, dates in ISO 8601, nothing else on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{value!r} has no JSON form")
