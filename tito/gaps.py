"""The gaps of a student's file: how they look, and in which functions they are."""

from __future__ import annotations

import ast
import re

GAP = re.compile(
    r"""^(?P<indent> *)raise NotImplementedError\(\s*(?:f?["']Task (?P<task>\d+\.\d+)\b[^\n]*?)"""
    r"""(?:\)|\n(?:(?P=indent)    ["'][^\n]*\n)*(?P=indent)\))$""",
    re.MULTILINE,
)
"""A gap, over one line or several, as a release writes it."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def split_lines(text: str) -> list[str]:
    """Lines as Python counts them: a form feed ends none."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def list_functions(text: str) -> dict[str, Function]:
    """Every function, methods and inner ones by their surroundings: `Tensor.item` → its node. SyntaxError."""
    found: dict[str, Function] = {}

    def visit(node: ast.AST, around: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function | ast.ClassDef):
                name = f"{around}{child.name}"
                if isinstance(child, Function):
                    found[name] = child
                visit(child, f"{name}.")
            else:
                visit(child, around)

    visit(ast.parse(text), "")
    return found


def find_gaps(text: str) -> dict[str, str]:
    """The functions that end in a gap, as a release has them, and its task: `Tensor.item` → 2.2."""
    tasks = {}
    for name, node in list_functions(text).items():
        last = node.body[-1]
        if isinstance(last, ast.Raise) and (gap := GAP.match("\n".join(split_lines(text)[last.lineno - 1 :]))):
            tasks[name] = gap["task"]
    return tasks


def lines_of(node: Function) -> tuple[int, int]:
    """The first and the last line of a function, decorators included."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)]), node.end_lineno or node.lineno
