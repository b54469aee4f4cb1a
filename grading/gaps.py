"""Find the gaps in a student's file, and the functions that end in a gap."""

from __future__ import annotations

import ast
import re

GAP = re.compile(
    r"""^(?P<indent> *)raise NotImplementedError\(\s*(?:f?["']Task (?P<task>\d+\.\d+)\b[^\n]*?)"""
    r"""(?:\)|\n(?:(?P=indent)    ["'][^\n]*\n)*(?P=indent)\))$""",
    re.MULTILINE,
)
"""A pattern that matches a gap as a release writes it, on one line or several."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def split_python_lines(text: str) -> list[str]:
    """Split a text at line breaks as Python counts them, not at form feeds. A final one adds an empty last line."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def map_functions_by_name(source: str) -> dict[str, Function]:
    """Map each function's qualified name to its node, as in `Tensor.item` → FunctionDef. May raise SyntaxError."""
    found: dict[str, Function] = {}

    def collect_functions(node: ast.AST, prefix: str) -> None:
        """Add the functions below a node to `found`, by dotted name."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function | ast.ClassDef):
                name = f"{prefix}{child.name}"
                if isinstance(child, Function):
                    found[name] = child
                collect_functions(child, f"{name}.")
            else:
                collect_functions(child, prefix)

    collect_functions(ast.parse(source), "")
    return found


def map_gaps_to_tasks(source: str) -> dict[str, str]:
    """Map each function that ends in a gap to the gap's task, as in `Tensor.item` → 2.2. May raise SyntaxError."""
    tasks = {}
    for name, node in map_functions_by_name(source).items():
        last = node.body[-1]
        if isinstance(last, ast.Raise) and (gap := GAP.match("\n".join(split_python_lines(source)[last.lineno - 1 :]))):
            tasks[name] = gap["task"]
    return tasks


def get_function_lines(node: Function) -> tuple[int, int]:
    """Find the first and last lines of a function, including its decorators."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)]), node.end_lineno or node.lineno
