"""Compute, for each check, a digest of everything that its figures depend on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.data.load import describe_data_identity
from grading.machine import build_machine_record
from grading.manifest.model import Manifest, Milestone, Module
from grading.submission import Submission
from grading.workers import SHOWN_WITH

GRADER_SUFFIXES = (".py", ".ini")
STAND_IN_SUFFIX = ".gz"
NEVER_KEPT = ("quiz",)
"""Checks whose figures are never cached, because these checks are cheap and grade the quiz answers."""
WITHOUT_DATA = ("source", "imports", "module_tests", "integration_tests", "kernel_speed")
"""Checks that use no data set, even in a milestone that has one."""


def list_test_files(root: Path) -> list[Path]:
    """List every module's tests and the files with their reference values."""
    return sorted((root / "modules").glob("*/test_*.py")) + sorted((root / "modules").glob("*/reference.json"))


def list_grader_source_files(root: Path, *suffixes: str) -> list[Path]:
    """List the grader's own files with one of these suffixes."""
    return sorted(path for path in (root / "grading").rglob("*") if path.suffix in suffixes)


def digest_files(root: Path, files: Iterable[Path], digest: Any = None) -> str:
    """Return the SHA-256 of files and of their paths relative to ``root``; continue ``digest`` if one is given."""
    digest = digest or hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return str(digest.hexdigest())


@dataclass(frozen=True)
class Dependencies:
    """Everything that a milestone's figures depend on, except the seed and the data."""

    root: Path
    milestone: Milestone
    modules: tuple[Module, ...]
    common: str
    """A digest of the dependencies that all checks share: files, grader, part of the manifest, versions and machine."""

    def compute_cache_key(self, check: str, measure: Callable[..., Any]) -> str:
        """Compute the digest, without the seed, under which a check's figures are cached.

        Downloading the check's data changes the digest.
        """
        criteria = [one for one in self.milestone.criteria if one.check == check]
        data = self.milestone.data if check not in WITHOUT_DATA else None
        tests = self._list_check_test_files(check)
        tasks = [module.model_dump(mode="json", include={"tasks"}) for module in self.modules]
        parts = [
            self.common,
            [check, measure.__module__, measure.__qualname__],
            [[one.figure, one.comparison, one.threshold] for one in criteria],
            describe_data_identity(data) if data else None,
            digest_files(self.root, tests),
            tasks if tests else None,  # a failed test shows its task's hint
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _list_check_test_files(self, check: str) -> list[Path]:
        """List the tests that a check runs and the files with their reference values."""
        paths: list[Path] = []
        if check == "module_tests":
            paths = [path for module in self.modules for path in (module.tests, module.reference)]
        if check == "integration_tests":
            paths = [self.milestone.integration_tests, self.modules[-1].reference]
        return [self.root / path for path in paths if (self.root / path).is_file()]


def collect_dependencies(
    root: Path, manifest: Manifest, milestone: Milestone, submission: Submission, sandbox: str
) -> Dependencies:
    """Collect everything that a milestone's figures depend on, for this machine and these files."""
    modules, here = manifest.list_modules_up_to(milestone), build_machine_record(sandbox)
    record = submission.record
    packages = {name for module in modules for imported in module.imports for name in SHOWN_WITH.get(imported, ())}
    parts = [
        [[file.path, file.sha256] for file in record.files if file.path.endswith(".py")],
        [[note.path, note.message] for note in record.refused],
        [module.model_dump(mode="json", exclude={"tasks", "title", "summary"}) for module in modules],
        milestone.model_dump(mode="json", include={"id", "trigger", "budget", "experiment"}),
        digest_files(root, list_grader_source_files(root, *GRADER_SUFFIXES, STAND_IN_SUFFIX)),
        here.model_dump(mode="json"),
        [[name, _find_version(name)] for name in sorted(packages)],
    ]
    common = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Dependencies(root, milestone, modules, common)


def _find_version(package: str) -> str | None:
    """Find the version of a package; return None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
