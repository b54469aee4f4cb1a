"""The packages build on each other in one direction: what students get never needs what they do not get."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LAYERS = ("grading", "tito", "course", "desk", "website")
"""From the bottom up: a package imports from those before it."""

SOURCES = {"grading": ROOT, "tito": ROOT, "course": ROOT, "desk": ROOT, "website": ROOT / "site"}

ALLOWED = {("grading.__main__", "tito")}
"""The command that grades is above everything students get: at their desk it asks the open questions first."""


def list_modules(package: str) -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the file of each module, except the course's own solutions."""
    for path in sorted((SOURCES[package] / package).rglob("*.py")):
        if "solution" not in path.parts:
            yield ".".join(path.relative_to(SOURCES[package]).with_suffix("").parts), path


def list_imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports anywhere, including imports for type checking."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_only_from_those_below_it(package: str) -> None:
    """No arrow points up, and so no two packages need each other."""
    above = set(LAYERS[LAYERS.index(package) + 1 :]) | {"tests"}
    found = {(module, name.split(".")[0]) for module, path in list_modules(package) for name in list_imports(path)}
    assert {arrow for arrow in found if arrow[1] in above} - ALLOWED == set()
    assert any(target in LAYERS for _, target in found)


def test_no_two_parts_of_the_grader_need_each_other() -> None:
    """Checks do not import demonstrations, rendering not comparisons, and so on for each pair of folders."""
    folders = {path.name for path in (ROOT / "grading").iterdir() if (path / "__init__.py").is_file()}
    arrows = set()
    for module, path in list_modules("grading"):
        source = module.split(".")[1]
        for name in list_imports(path):
            top, _, target = name.partition(".")
            target = target.split(".")[0]
            if top == "grading" and {source, target} <= folders and source != target:
                arrows.add((source, target))
    assert ("demos", "checks") in arrows
    assert {arrow for arrow in arrows if arrow[::-1] in arrows} == set()
