"""`tito module solution`: the course's solution beside the student's own code, where both are to be had."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from grading.errors import UsageError

if TYPE_CHECKING:  # the model is slow to import
    from grading.manifest.model import Manifest

FOLDER = Path("solutions")
WIDE = 150
"""Columns from which on two versions have room beside each other."""
CONTEXT = 3
"""Equal lines shown around what differs."""


def read_solution(root: Path, manifest: Manifest, file: Path) -> str:
    """The course's solution of a student's file; UsageError, with the reason, where there is none."""
    path = root / FOLDER / file.relative_to("modules")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError(explain_absence(manifest, datetime.now(UTC).date())) from None


def explain_absence(manifest: Manifest, today: date) -> str:
    """Why a repository has no solutions, and what to do about it."""
    course = manifest.course
    if course.solutions == "never":
        return "This course hands out no solutions, so there is none to show. Ask your instructor about yours."
    if not course.gives_solutions(today):
        return f"The solutions of this course are handed out from {course.solutions} on. Come back then."
    return "This release was made without the solutions. Take a newer one, which has them: tito update"


def show_versions(out: Console, file: Path, mine: str, theirs: str) -> None:
    """Both versions of a file: in two columns where there is room, else as one text with - and +."""
    out.print(Text(f"{file.as_posix()}: yours, and the course's", style="bold"))
    if mine == theirs:
        out.print("They are the same, line for line.")
    elif out.is_terminal and out.width >= WIDE:
        out.print(in_two_columns(mine, theirs))
    else:
        lines = difflib.unified_diff(
            mine.splitlines(), theirs.splitlines(), "yours", "the course's", lineterm="", n=CONTEXT
        )
        out.print(*map(_color, lines), sep="\n", crop=False, soft_wrap=not out.is_terminal)


def in_two_columns(mine: str, theirs: str) -> RenderableType:
    """What differs side by side, with a few equal lines around it and the numbers of the lines."""
    table = Table(box=None, pad_edge=False, expand=True, padding=(0, 1, 0, 0))
    for name in ("yours", "the course's"):
        table.add_column("", style="dim", justify="right", no_wrap=True, width=4)
        table.add_column(name, ratio=1, overflow="fold")
    for row in align(mine.splitlines(), theirs.splitlines()):
        if row is None:
            table.add_row("", Text("⋮", style="dim"), "", Text("⋮", style="dim"))
            continue
        cells: list[str | Text] = []
        for number, line, style in ((row[0], row[1], "red"), (row[2], row[3], "green")):
            code = _highlight(line)
            if row[1] != row[3]:
                code.stylize(style)
            cells += [str(number) if number else "", code]
        table.add_row(*cells)
    return Group(table)


def align(mine: list[str], theirs: list[str]) -> Iterator[tuple[int, str, int, str] | None]:
    """Pairs of lines with their numbers, 0 where one side has none; None where equal lines are left out."""
    for place, group in enumerate(difflib.SequenceMatcher(None, mine, theirs, False).get_grouped_opcodes(CONTEXT)):
        if place:
            yield None
        for _, start, end, from_, to in group:
            for i in range(max(end - start, to - from_)):
                left, right = start + i < end, from_ + i < to
                yield (
                    start + i + 1 if left else 0,
                    mine[start + i] if left else "",
                    from_ + i + 1 if right else 0,
                    theirs[from_ + i] if right else "",
                )


def _highlight(line: str) -> Text:
    code = Syntax("", "python", theme="ansi_dark").highlight(line)
    code.rstrip()
    code.no_wrap, code.overflow = False, "fold"
    return code


def _color(line: str) -> Text:
    styles = {"-": "red", "+": "green", "@": "cyan"}
    return Text(line, style=styles.get(line[:1], ""))
