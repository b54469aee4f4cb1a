"""Determine where tito writes, which repository it works in, and how it prints JSON and lists."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from grading.errors import Interrupted, UsageError
from grading.render.command_console import CommandConsole

MANIFEST = "milestones.yaml"


def open_console() -> Console:
    """Return a console for standard output, with colour and animation only on a terminal. NO_COLOR is honoured."""
    return CommandConsole(highlight=False, markup=False, emoji=False)


def find_repository(start: Path | None = None) -> Path | None:
    """Find the nearest folder, from ``start`` upward, that holds milestones.yaml."""
    here = (start or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / MANIFEST).is_file()), None)


def require_repository(start: Path | None = None) -> Path:
    """Find the nearest folder upward that holds milestones.yaml; raise UsageError if there is none."""
    folder = find_repository(start)
    if folder is None:
        here = (start or Path.cwd()).resolve()
        raise UsageError(
            f"No {MANIFEST} in {here} or any folder above it. Change to your course repository first: cd PATH"
        )
    return folder


def make_tito_folder(root: Path) -> Path:
    """Create the folder for tito's own files, which git ignores, unless it exists, and return its path."""
    folder = root / ".tito"
    folder.mkdir(exist_ok=True)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="utf-8")
    return folder


@contextmanager
def raise_interrupted_with_message(message: str) -> Iterator[None]:
    """If Ctrl-C interrupts the block, raise Interrupted with this message, which says what was kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(message) from None


def format_list_item(sign: str, text: str | Text, *, style: str = "", indent: int = 2) -> Table:
    """Format a list item: a symbol, and text whose further lines are indented under the first."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(" " * indent + sign, style=style), text if isinstance(text, Text) else Text(text))
    return table


def print_json(value: Any) -> None:
    """Print a value as JSON, with an indent of two and dates in ISO 8601. Nothing else goes to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=_convert_time_or_path_to_text) + "\n")


def _convert_time_or_path_to_text(value: Any) -> str:
    """Convert a datetime or a path to its string in JSON; raise TypeError for anything else."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{value!r} cannot be written as JSON")
