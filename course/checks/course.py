"""What every check is given: the repository, its manifest, and the source files that have gaps."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from course.release import student_files
from course.skeleton import Gap, find_gaps
from grading.manifest.model import Manifest, Module, Status


@dataclass(frozen=True)
class Course:
    """The course at ``root``."""

    root: Path
    manifest: Manifest

    @property
    def built(self) -> tuple[Module, ...]:
        """The modules that can be worked on."""
        return tuple(module for module in self.manifest.modules if module.status is Status.BUILT)

    @property
    def sources(self) -> dict[Path, str]:
        """Every file with solutions: path → text."""
        return {path: self.text(path) for path in student_files(self.manifest)}

    @property
    def integration_tests(self) -> tuple[Path, ...]:
        """The integration tests of every built milestone."""
        return tuple(m.integration_tests for m in self.manifest.milestones if m.status is Status.BUILT)

    def text(self, path: Path) -> str:
        """A file's text."""
        return (self.root / path).read_text(encoding="utf-8")

    def gaps(self) -> dict[str, list[tuple[Path, Gap]]]:
        """Task → its gaps; SkeletonError when markers are wrong."""
        found: dict[str, list[tuple[Path, Gap]]] = {}
        for path, source in self.sources.items():
            for gap in find_gaps(source, self.manifest, path):
                found.setdefault(gap.task, []).append((path, gap))
        return found


@dataclass(frozen=True)
class TestFunction:
    """One test as it is written, before pytest makes cases of it."""

    __test__ = False  # a record of the course's, not a test

    path: Path
    line: int
    name: str
    tasks: tuple[str, ...]
    """The ids it is marked with."""
    says: bool
    """Whether it has a docstring, its title for the student."""


def test_functions(course: Course, path: Path) -> list[TestFunction]:
    """Every test function of a file."""
    functions = [n for n in ast.walk(ast.parse(course.text(path))) if isinstance(n, ast.FunctionDef)]
    return [
        TestFunction(path, f.lineno, f.name, tuple(_marks(f)), bool(ast.get_docstring(f)))
        for f in functions
        if f.name.startswith("test_")
    ]


test_functions.__test__ = False  # type: ignore[attr-defined]  # nor is this


def _marks(function: ast.FunctionDef) -> list[str]:
    return [
        str(decorator.args[0].value)
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call)
        and ast.unparse(decorator.func).rpartition(".")[2] == "task"
        and decorator.args
        and isinstance(decorator.args[0], ast.Constant)
    ]
