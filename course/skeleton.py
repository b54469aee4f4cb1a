"""Turn a solution file into the file that students get. Every marked block becomes a gap for its task and function."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from grading.errors import UsageError
from grading.gaps import Function, map_functions_by_name
from grading.manifest.model import Manifest
from grading.manifest.problems import Problem, suggest_name

BEGIN_MARKER = re.compile(r"( *)# BEGIN SOLUTION (\d{1,2}\.\d{1,2})")
END_MARKER = re.compile(r"( *)# END SOLUTION")
MARKER_MENTION = re.compile(r"\b(BEGIN|END)\W+SOLUTION\b", re.IGNORECASE)
LINE_LENGTH = 120


class SkeletonError(UsageError):
    """The error raised if markers are invalid; `problems` states where they are and how to fix them."""

    def __init__(self, problems: list[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


@dataclass(frozen=True)
class Gap:
    """One marked block: its task, the line numbers of its two markers (counted from 1) and their indentation."""

    task: str
    begin: int
    end: int
    indent: int


def make_skeleton(source: str, manifest: Manifest, path: Path) -> str:
    """Replace each marked solution with a NotImplementedError that names its task and function.

    The first gap of a task shows the task's first hint. The others show the first line of their function's docstring.
    """
    return _rewrite_gaps(source, manifest, path, lambda _: True)


def make_solution(source: str, manifest: Manifest, path: Path) -> str:
    """Keep every solution and remove the markers."""
    return _rewrite_gaps(source, manifest, path, lambda _: False)


def make_partial_skeleton(source: str, manifest: Manifest, path: Path, *tasks: str) -> str:
    """Replace these tasks' blocks, keep all other solutions, and remove the markers."""
    return _rewrite_gaps(source, manifest, path, lambda task: task in tasks)


def mark_gaps(source: str, manifest: Manifest, path: Path) -> tuple[str, frozenset[str]]:
    """Make each solution, when run, add its task to `tinytorch.reached.tasks`. Also return the unmarked tasks.

    A block in a decorated function stays unmarked, because Numba could not compile the added statement.
    """
    lines, functions, unmarked = source.splitlines(), map_functions_by_name(source).values(), set()
    for gap in find_gaps(source, manifest, path):
        if any(function.decorator_list for function in functions if _contains(function, gap)):
            unmarked.add(gap.task)
        else:
            lines[gap.begin - 1] = f'{" " * gap.indent}__import__("tinytorch.reached").reached.tasks.add("{gap.task}")'
    return "\n".join(lines) + "\n", frozenset(unmarked)


def find_gaps(source: str, manifest: Manifest, path: Path) -> tuple[Gap, ...]:
    """Find the marked blocks. Raise SkeletonError unless each has a known task and ends with its function."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        fix = "Fix the line so that Python can read the file."
        raise SkeletonError([Problem(path.as_posix(), error.lineno or 1, f"not Python: {error.msg}.", fix)]) from None
    gaps, problems = _parse_markers(source, path)
    functions = [node for node in ast.walk(tree) if isinstance(node, Function)]
    known = [task.id for module in manifest.modules for task in module.tasks if module.folder in path.parents]
    for gap in gaps:
        if gap.task not in known:
            message = f"task {gap.task} is not one of this module's tasks."
            problems.append(Problem(path.as_posix(), gap.begin, message, suggest_name(gap.task, known)))
        elif complaint := _explain_bad_gap_placement(functions, gap):
            fix = "Make the block begin and end in the body of one function, with nothing after it in that function."
            problems.append(Problem(path.as_posix(), gap.begin, complaint, fix))
    if problems:
        raise SkeletonError(sorted(problems))
    return tuple(gaps)


def list_solution_lines(source: str, gaps: tuple[Gap, ...]) -> list[tuple[int, str]]:
    """List (line number, text) of every line between the markers of these gaps."""
    lines = source.splitlines()
    return [(number, lines[number - 1]) for gap in gaps for number in range(gap.begin + 1, gap.end)]


def _rewrite_gaps(source: str, manifest: Manifest, path: Path, is_open: Callable[[str], bool]) -> str:
    """Replace the open gaps, keep the other solutions, and remove all markers."""
    lines, gaps = source.splitlines(), find_gaps(source, manifest, path)
    functions = map_functions_by_name(source)
    first_gaps = {gap.task: gap for gap in reversed(gaps)}
    for gap in reversed(gaps):
        new = lines[gap.begin : gap.end - 1]
        if is_open(gap.task):
            name = max((name for name in functions if _contains(functions[name], gap)), key=len)
            about = None if gap is first_gaps[gap.task] else ast.get_docstring(functions[name])
            text = about.splitlines()[0] if about else " ".join(manifest.task(gap.task).hints[0].split())
            new = _format_gap_statement(f"Task {gap.task}: write `{name}`. {text}", gap.indent)
        lines[gap.begin - 1 : gap.end] = new
    return "\n".join(lines) + "\n"


def _contains(function: Function, gap: Gap) -> bool:
    """Return whether a block is in a function."""
    return function.lineno < gap.begin <= (function.end_lineno or 0)


def _format_gap_statement(text: str, indent: int) -> list[str]:
    """Format the `raise NotImplementedError` that fills a gap, as a code formatter would."""
    space = " " * indent
    one_line = f"{space}raise NotImplementedError({_quote_literal(text)})"
    if len(one_line) <= LINE_LENGTH:
        return [one_line]
    # Escapes make a literal longer than its text, so the width is reduced until all literals fit.
    for width in range(LINE_LENGTH - indent - 7, 20, -1):
        parts = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        literals = [_quote_literal(part + " ") for part in parts[:-1]] + [_quote_literal(parts[-1])]
        if all(indent + 4 + len(literal) <= LINE_LENGTH for literal in literals):
            break
    return [f"{space}raise NotImplementedError(", *(f"{space}    {one}" for one in literals), f"{space})"]


def _quote_literal(text: str) -> str:
    """Format a Python literal in double quotes, or in single quotes if that saves escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def _parse_markers(source: str, path: Path) -> tuple[list[Gap], list[Problem]]:
    """Parse the markers into blocks, and list the problems with the markers themselves."""
    gaps: list[Gap] = []
    problems: list[Problem] = []
    begun: tuple[str, int, int] | None = None

    def add_problem(line: int, message: str, fix: str) -> None:
        """Add a problem on this line."""
        problems.append(Problem(path.as_posix(), line, message, fix))

    for number, line in enumerate(source.splitlines(), start=1):
        if found := BEGIN_MARKER.fullmatch(line):
            if begun:
                add_problem(
                    number,
                    f"a block begins inside the block that begins on line {begun[1]}.",
                    "End the outer block first.",
                )
            begun = found[2], number, len(found[1])
        elif found := END_MARKER.fullmatch(line):
            if not begun:
                add_problem(
                    number, "this block has no beginning.", "Delete the line, or add `# BEGIN SOLUTION` above it."
                )
            elif len(found[1]) != begun[2]:
                add_problem(
                    number,
                    f"this marker is not indented like the beginning of its block on line {begun[1]}.",
                    "Indent both markers equally.",
                )
            else:
                gaps.append(Gap(begun[0], begun[1], number, begun[2]))
            begun = None
        elif MARKER_MENTION.search(line):
            add_problem(
                number,
                "this line looks like a marker but is not one.",
                "Write `# BEGIN SOLUTION 2.3` or `# END SOLUTION`.",
            )
    if begun:
        add_problem(begun[1], "this block has no end.", "Add `# END SOLUTION` below its last line.")
    return gaps, problems


def _explain_bad_gap_placement(functions: list[Function], gap: Gap) -> str | None:
    """Return why a block is not the entire rest of one of its file's functions, or None if it is."""
    around = [function for function in functions if _contains(function, gap)]
    if not around:
        return "this block is not in a function, or contains no code."
    function = max(around, key=lambda f: f.lineno)
    inside = [s for s in function.body if gap.begin < s.lineno < gap.end]
    if any(s.lineno < gap.begin <= (s.end_lineno or 0) for s in function.body):
        return f"this block is inside a statement of `{function.name}`."
    if any(s.lineno > gap.end for s in function.body):
        return f"`{function.name}` continues after this block."
    if not inside:
        return f"this block contains no code of `{function.name}`."
    if (inside[-1].end_lineno or 0) > gap.end or inside[0].col_offset != gap.indent:
        return f"this block is not indented like the body of `{function.name}`."
    return None
