"""Where tito writes, the repository it works in, and how a listing becomes JSON."""

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

MANIFEST = "milestones.yaml"


def console() -> Console:
    """Standard output: colour and movement on a terminal, plain text elsewhere; NO_COLOR is honoured."""
    return Console(highlight=False, markup=False, emoji=False)


def find_repository(start: Path | None = None) -> Path | None:
    """The nearest folder upward that holds milestones.yaml."""
    here = (start or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / MANIFEST).is_file()), None)


def repository(start: Path | None = None) -> Path:
    """The same; UsageError when there is none."""
    folder = find_repository(start)
    if folder is None:
        here = (start or Path.cwd()).resolve()
        raise UsageError(
            f"No {MANIFEST} in {here} or any folder above it. Change to your course repository first: cd path/to/it"
        )
    return folder


def make_own_folder(root: Path) -> Path:
    """The folder in which tito keeps what is nobody's work: hints seen, what an update replaced. Git ignores it."""
    folder = root / ".tito"
    folder.mkdir(exist_ok=True)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="utf-8")
    return folder


@contextmanager
def say_if_interrupted(message: str) -> Iterator[None]:
    """What was kept and what was not, where Ctrl-C ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(message) from None


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
