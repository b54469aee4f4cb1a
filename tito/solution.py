"""`tito module solution`: show the course's solution next to the student's own code."""

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
"""The minimum number of terminal columns for showing two versions side by side."""
CONTEXT = 3
"""The number of context lines around each difference."""


def read_solution(root: Path, manifest: Manifest, student_file: Path) -> str:
    """Read the course's solution for a student's file; raise UsageError, with the reason, if there is none."""
    path = root / FOLDER / student_file.relative_to("modules")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError(explain_missing_solution(manifest, datetime.now(UTC).date())) from None


def explain_missing_solution(manifest: Manifest, today: date) -> str:
    """Explain why a repository has no solutions, and what the student can do about that."""
    course = manifest.course
    if course.solutions == "never":
        return "This course does not release its solutions. Ask your instructor about your solution."
    if not course.includes_solutions(today):
        return f"This course will release its solutions on {course.solutions}. Come back then."
    return "This release has no solutions yet. A newer release has them: tito update"


def show_both_versions(out: Console, file: Path, student_text: str, solution_text: str) -> None:
    """Show where two versions of a file differ, in two columns if the terminal is wide enough, otherwise as a diff."""
    out.print(Text(f"{file.as_posix()}: your version and the course's", style="bold"))
    if student_text == solution_text:
        out.print("Both are identical.")
    elif out.is_terminal and out.width >= WIDE:
        out.print(format_two_columns(student_text, solution_text))
    else:
        lines = difflib.unified_diff(
            student_text.splitlines(), solution_text.splitlines(), "yours", "the course's", lineterm="", n=CONTEXT
        )
        out.print(*map(_color_diff_line, lines), sep="\n", crop=False, soft_wrap=not out.is_terminal)


def format_two_columns(student_text: str, solution_text: str) -> RenderableType:
    """Format the differences side by side, with line numbers and a few context lines."""
    table = Table(box=None, pad_edge=False, expand=True, padding=(0, 1, 0, 0))
    for name in ("yours", "the course's"):
        table.add_column("", style="dim", justify="right", no_wrap=True, width=4)
        table.add_column(name, ratio=1, overflow="fold")
    for row in align_lines(student_text.splitlines(), solution_text.splitlines()):
        if row is None:
            table.add_row("", Text("⋮", style="dim"), "", Text("⋮", style="dim"))
            continue
        cells: list[str | Text] = []
        for number, line, style in ((row[0], row[1], "red"), (row[2], row[3], "green")):
            code = _highlight_python(line)
            if row[1] != row[3]:
                code.stylize(style)
            cells += [str(number) if number else "", code]
        table.add_row(*cells)
    return Group(table)


def align_lines(student_lines: list[str], solution_lines: list[str]) -> Iterator[tuple[int, str, int, str] | None]:
    """Yield both sides' line numbers and texts side by side, number 0 for no line, and None where lines are omitted."""
    for place, group in enumerate(
        difflib.SequenceMatcher(None, student_lines, solution_lines, False).get_grouped_opcodes(CONTEXT)
    ):
        if place:
            yield None
        for _, start, end, from_, to in group:
            for i in range(max(end - start, to - from_)):
                left, right = start + i < end, from_ + i < to
                yield (
                    start + i + 1 if left else 0,
                    student_lines[start + i] if left else "",
                    from_ + i + 1 if right else 0,
                    solution_lines[from_ + i] if right else "",
                )


def _highlight_python(line: str) -> Text:
    """Highlight a line as Python."""
    code = Syntax("", "python", theme="ansi_dark").highlight(line)
    code.rstrip()
    code.no_wrap, code.overflow = False, "fold"
    return code


def _color_diff_line(line: str) -> Text:
    """Colour a line of a diff: red if removed, green if added, cyan if it gives line numbers."""
    styles = {"-": "red", "+": "green", "@": "cyan"}
    return Text(line, style=styles.get(line[:1], ""))
