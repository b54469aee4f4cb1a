"""Make the mutants of a file's solutions, with Cosmic Ray's operators and two of our own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

from course.mutation.operators import OWN_OPERATORS
from course.skeleton import Gap


@dataclass(frozen=True)
class Mutant:
    """One small change to one file."""

    path: Path
    line: int
    task: str
    operator: str
    before: str
    """The original line, without indentation."""
    after: str
    """The line that replaces it."""
    source: str
    """The complete file with the change."""


def make_mutants(source: str, gaps: tuple[Gap, ...], path: Path) -> list[Mutant]:
    """Make every distinct mutant that is valid Python and differs inside the marked blocks, in line order."""
    tasks = {line: gap.task for gap in gaps for line in range(gap.begin + 1, gap.end)}
    nodes = list(ast_nodes(get_ast(source)))
    found: dict[str, Mutant] = {}
    for name, operator in _list_mutation_operators():
        places = [start[0] for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, line in enumerate(places):
            if line not in tasks:
                continue
            changed = mutate_code(source, operator, occurrence)
            if changed != source and changed not in found and _is_valid_python(changed):
                before, after = _find_line_difference(source, changed, line)
                found[changed] = Mutant(path, line, tasks[line], name, before, after, changed)
    return sorted(found.values(), key=lambda mutant: mutant.line)


def _list_mutation_operators() -> Iterator[tuple[str, Operator]]:
    """Yield the operators by name. Leave out those that need arguments, which replace variables with random numbers."""
    for name in cosmic_ray.plugins.operator_names():
        operator = cosmic_ray.plugins.get_operator(name)
        if not operator.arguments():
            yield name.rpartition("/")[2], operator()
    for operator in OWN_OPERATORS:
        yield operator.__name__, operator()


def _is_valid_python(source: str) -> bool:
    """Return whether a source parses as Python."""
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def _find_line_difference(source: str, changed: str, line: int) -> tuple[str, str]:
    """Return the original line and what replaces it, with single spaces; `(nothing)` if it was deleted."""
    before, after = source.splitlines(), changed.splitlines()
    end = len(after) - (len(before) - line)
    new = " ".join(" ".join(after[line - 1 : end]).split())
    return " ".join(before[line - 1].split()), new or "(nothing)"
