"""What a check's figures depend on: the course's files, and one digest for each check of all that could change them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.data.load import identity
from grading.machine import machine
from grading.manifest.model import Manifest, Milestone, Module
from grading.submission import Submission
from grading.workers import SHOWN_WITH

GRADER_SUFFIXES = (".py", ".ini")
STAND_IN_SUFFIX = ".gz"
NEVER_KEPT = ("quiz",)
"""Checks that cost nothing, and are about what is answered."""
WITHOUT_DATA = ("source", "imports", "module_tests", "integration_tests", "kernel_speed")
"""Checks that look at no data set, also of a milestone that has one."""


def test_files(root: Path) -> list[Path]:
    """The tests of every module, and the values that they compare with."""
    return sorted((root / "modules").glob("*/test_*.py")) + sorted((root / "modules").glob("*/reference.json"))


def grader_files(root: Path, *suffixes: str) -> list[Path]:
    """The grader's own files that have one of these suffixes."""
    return sorted(path for path in (root / "grading").rglob("*") if path.suffix in suffixes)


def digest_files(root: Path, files: Iterable[Path], digest: Any = None) -> str:
    """The SHA-256 of files, their names below ``root`` included, added to a ``digest`` if there is one."""
    digest = digest or hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return str(digest.hexdigest())


@dataclass(frozen=True)
class Dependencies:
    """What figures of a milestone depend on, but for seed and data."""

    root: Path
    milestone: Milestone
    modules: tuple[Module, ...]
    common: str
    """A digest of what every check's figures depend on: files, grader, part of the manifest, versions, machine."""

    def compute_key(self, check: str, measure: Callable[..., Any]) -> str:
        """The digest under which this check's figures are kept. Data that are downloaded meanwhile change it."""
        criteria = [one for one in self.milestone.criteria if one.check == check]
        data = self.milestone.data if check not in WITHOUT_DATA else None
        tests = self._find_tests(check)
        tasks = [module.model_dump(mode="json", include={"tasks"}) for module in self.modules]
        parts = [
            self.common,
            [check, measure.__module__, measure.__qualname__],
            [[one.figure, one.comparison, one.threshold] for one in criteria],
            identity(data) if data else None,
            digest_files(self.root, tests),
            tasks if tests else None,  # a failed test tells its task's hint
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _find_tests(self, check: str) -> list[Path]:
        """The tests that a check runs, and the values that they compare with."""
        paths: list[Path] = []
        if check == "module_tests":
            paths = [path for module in self.modules for path in (module.tests, module.reference)]
        if check == "integration_tests":
            paths = [self.milestone.integration_tests, self.modules[-1].reference]
        return [self.root / path for path in paths if (self.root / path).is_file()]


def find_dependencies(
    root: Path, manifest: Manifest, milestone: Milestone, submission: Submission, sandbox: str
) -> Dependencies:
    """What a milestone's figures depend on here and now."""
    modules, here = manifest.modules_for(milestone), machine(sandbox)
    record = submission.record
    packages = {name for module in modules for imported in module.imports for name in SHOWN_WITH.get(imported, ())}
    parts = [
        [[file.path, file.sha256] for file in record.files if file.path.endswith(".py")],
        [[note.path, note.message] for note in record.refused],
        [module.model_dump(mode="json", exclude={"tasks", "title", "summary"}) for module in modules],
        milestone.model_dump(mode="json", include={"id", "trigger", "budget", "experiment"}),
        digest_files(root, grader_files(root, *GRADER_SUFFIXES, STAND_IN_SUFFIX)),
        here.model_dump(mode="json"),
        [[name, _find_version(name)] for name in sorted(packages)],
    ]
    common = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Dependencies(root, milestone, modules, common)


def _find_version(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
