"""Read the surviving mutants that docs/mutants.md excuses, each with a reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from course.mutation.mutants import Mutant
from grading.errors import UsageError

PAGE = Path("docs/mutants.md")
CELL = re.compile(r"(?<!\\)\|")
CODE = re.compile(r"(`+) ?(.+?) ?\1")


class MutantChange(NamedTuple):
    """A mutant as the page identifies it: by its text, because line numbers change."""

    path: str
    before: str
    after: str

    @classmethod
    def from_mutant(cls, mutant: Mutant) -> MutantChange:
        """Make the MutantChange that identifies a mutant."""
        return cls(mutant.path.as_posix(), mutant.before, mutant.after)


def parse_excuse_page(page_text: str) -> dict[MutantChange, str]:
    """Map each excused change to its reason, from the tables below file names. Raise UsageError if a row is bad."""
    path, found = "", {}
    for number, line in enumerate(page_text.splitlines(), start=1):
        if heading := re.fullmatch(r"#+ `(.+)`", line):
            path = heading[1]
        elif line.startswith("| `"):
            cells = [cell.strip().replace("\\|", "|") for cell in CELL.split(line)[1:-1]]
            codes = [code[2] for cell in cells[:2] if (code := CODE.fullmatch(cell))]
            if len(cells) != 3 or len(codes) != 2 or not cells[2] or not path:
                raise UsageError(f"{PAGE}:{number}: write | `line` | `what it becomes` | reason | below a file's name.")
            found[MutantChange(path, *codes)] = cells[2]
    return found


def format_excuse_row(change: MutantChange, reason: str) -> str:
    """Format the table row that excuses a change. ``reason`` is Markdown without `|`, and is not escaped."""
    return "| " + " | ".join([_format_code_cell(change.before), _format_code_cell(change.after), reason]) + " |"


def _format_code_cell(text: str) -> str:
    """Format code for a cell of a Markdown table."""
    return f"`{text}`".replace("|", "\\|")
