"""The input of every check: the repository, its manifest, and the source files that have gaps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from course.release import list_student_files
from course.skeleton import Gap, find_gaps, make_solution
from grading.errors import GraderError
from grading.manifest.model import BuildStatus, Manifest, Module
from grading.testing import plugin
from grading.testing.runner import INI


@dataclass(frozen=True)
class TestCase:
    """One test as pytest runs it."""

    __test__ = False  # a record, not a test for pytest to collect

    path: Path
    line: int
    name: str
    """The test's name with its parameters: test_values[ReLU]."""
    tasks: tuple[str, ...]
    """The task ids in the test's marks."""
    says: bool
    """Whether it has a docstring, which is the title that students see."""


@dataclass(frozen=True)
class CourseTree:
    """The course in the folder ``root``."""

    root: Path
    manifest: Manifest

    @property
    def built_modules(self) -> tuple[Module, ...]:
        """The built modules: all except those that are only planned."""
        return tuple(module for module in self.manifest.modules if module.status is BuildStatus.BUILT)

    @property
    def sources(self) -> dict[Path, str]:
        """The text of every file with solutions, markers included, keyed by its path relative to the root."""
        return {path: self.read_text(path) for path in list_student_files(self.manifest)}

    @cached_property
    def solutions(self) -> dict[Path, str]:
        """The text of every file with solutions, but without markers, keyed by its path relative to the root."""
        return {path: make_solution(source, self.manifest, path) for path, source in self.sources.items()}

    @property
    def integration_tests(self) -> tuple[Path, ...]:
        """The integration tests of every built milestone."""
        return tuple(m.integration_tests for m in self.manifest.milestones if m.status is BuildStatus.BUILT)

    @cached_property
    def test_cases(self) -> tuple[TestCase, ...]:
        """All test cases in the students' tests. Raise GraderError if one of the files cannot be collected."""
        cases = _CaseCollector(self.root)
        files = [
            str(self.root / path)
            for path in [*(module.tests for module in self.built_modules), *self.integration_tests]
        ]
        options = ["-c", str(INI), "--rootdir", str(self.root), "--noconftest", "--import-mode=importlib"]
        options += ["--collect-only", "-p", "no:cacheprovider", "-p", "no:terminal"]
        pytest.main([*options, *files], plugins=[plugin, cases])
        if cases.broken:
            raise GraderError(f"the students' tests cannot be collected: {cases.broken[0][-500:]}")
        return tuple(cases.found)

    def read_text(self, path: Path) -> str:
        """Read the text of a file, whose path is relative to the course's root."""
        return (self.root / path).read_text(encoding="utf-8")

    def find_task_gaps(self) -> dict[str, list[tuple[Path, Gap]]]:
        """Map the id of each task with gaps to pairs of file and gap. Raise SkeletonError if a marker is invalid."""
        found: dict[str, list[tuple[Path, Gap]]] = {}
        for path, source in self.sources.items():
            for gap in find_gaps(source, self.manifest, path):
                found.setdefault(gap.task, []).append((path, gap))
        return found


class _CaseCollector:
    """A pytest plugin that records the collected tests."""

    def __init__(self, root: Path):
        self.root, self.found, self.broken = root, [], []  # type: ignore[var-annotated]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record the error if a file cannot be collected."""
        if report.failed:
            self.broken.append(report.longreprtext)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record every test's file, line, name and tasks, and whether it has a docstring."""
        for item in session.items:
            function = item.function  # type: ignore[attr-defined]  # module tests are functions
            self.found.append(
                TestCase(
                    path=item.path.relative_to(self.root),
                    line=function.__code__.co_firstlineno,
                    name=item.name,
                    tasks=tuple(str(mark.args[0]) for mark in item.iter_markers("task")),
                    says=bool(function.__doc__),
                )
            )
