"""Classroom 50's autograder, started as its runner starts it: in the checkout, by its path, with the variables."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from course.classroom50_bundle import write_autograder_folder
from course.release import list_student_files
from course.skeleton import make_solution
from grading.errors import UsageError
from grading.manifest.loader import load_manifest
from grading.sandbox.launch import choose_fence
from tests.bench.bench_figure import copy_environment_without_nox
from tests.export.classroom50 import ENVIRON, find_problem

needs_bubblewrap = pytest.mark.skipif(
    choose_fence(official=False) == "process", reason="no sandbox works on this machine; the autograder needs one"
)
SHA = "0123456789abcdef0123456789abcdef01234567"
SPY = "import pathlib\npathlib.Path({marker!r}).touch()\n"
"""What a student's file does when it is imported outside the sandbox."""


@dataclass(frozen=True)
class GradedCheckout:
    """What the runner finds after grading."""

    exit_code: int
    log: str
    result: dict | None
    body: str


@pytest.fixture(scope="module")
def bundle(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an assignment's autograder as the runner unpacks it, and return its folder."""
    folder = tmp_path_factory.mktemp("runtime") / "assignment"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("course.release.seal_manifest", lambda manifest: manifest)  # nobody here needs 1,500 digests
        write_autograder_folder(root, folder)
    return folder


@pytest.fixture(scope="module")
def released(root: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a student's repository in which every task is solved, and return its folder."""
    folder = tmp_path_factory.mktemp("student") / "repository"
    shutil.copytree(bundle / "course", folder, ignore=shutil.ignore_patterns(".nox"))
    manifest = load_manifest(root)
    for path in list_student_files(manifest):
        (folder / path).write_text(make_solution((root / path).read_text(encoding="utf-8"), manifest, path))
    return folder


def grade_checkout(bundle: Path, checkout: Path, assignment: str) -> GradedCheckout:
    """Grade like the runner: remove stale outputs, start in the checkout, and stamp fields on the result."""
    for name in ("result.json", "release-body.md"):
        (checkout / name).unlink(missing_ok=True)
    told = (
        ENVIRON
        | {"PIP_NO_COMPILE": "1", "UV_COMPILE_BYTECODE": "0"}
        | {"ASSIGNMENT": assignment, "GITHUB_SHA": SHA, "CLASSROOM50_BUNDLE_DIR": str(bundle)}
    )
    ran = subprocess.run(
        [sys.executable, str(bundle / "autograder.py")],
        cwd=checkout,
        env=copy_environment_without_nox() | told,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    file, body = checkout / "result.json", checkout / "release-body.md"
    document = json.loads(file.read_text()) if file.is_file() else None
    if document is not None:
        document |= {"owner": "ada", "assignment_type": "individual"}
        document |= {"datetime": "2026-11-26T10:00:00Z", "graded_at": "2026-11-26T10:01:00Z"}
        document["submitted_by"] = {"username": "ada", "id": None}
    return GradedCheckout(ran.returncode, ran.stdout + ran.stderr, document, body.read_text() if body.is_file() else "")


@needs_bubblewrap
def test_a_solved_module_has_all_points_and_nothing_of_the_checkout_is_imported(
    bundle: Path, released: Path, tmp_path: Path
) -> None:
    """Files that bear the names of what the autograder runs are not run."""
    checkout, marker = tmp_path / "checkout", tmp_path / "imported"
    shutil.copytree(released, checkout)
    for name in ("nox", "venv", "pip", "sitecustomize", "usercustomize", "json", "typer"):
        (checkout / f"{name}.py").write_text(SPY.format(marker=str(marker)))
    (checkout / "grading" / "__init__.py").write_text(SPY.format(marker=str(marker)))
    (checkout / "noxfile.py").write_text(SPY.format(marker=str(marker)))
    graded = grade_checkout(bundle, checkout, "module-02-tensors")
    assert graded.exit_code == 0, graded.log
    assert find_problem(graded.result, ENVIRON | {"ASSIGNMENT": "module-02-tensors"}) is None
    assert graded.result["score"] == graded.result["max-score"] > 0
    assert all(test["passed"] for test in graded.result["tests"])
    assert graded.body.startswith("## Module 02\\_tensor")
    assert not marker.exists()


@needs_bubblewrap
def test_an_unsolved_milestone_is_graded_as_not_yet(bundle: Path) -> None:
    """The release itself: an exit code of 0, for it was graded, and a test that failed with what to fix."""
    graded = grade_checkout(bundle, bundle / "course", "tinytorch-milestone-1")
    assert graded.exit_code == 0, graded.log
    assert find_problem(graded.result, ENVIRON | {"ASSIGNMENT": "tinytorch-milestone-1"}) is None
    assert graded.result["score"] < graded.result["max-score"]
    first = next(test for test in graded.result["tests"] if not test["passed"])
    assert (first["status"], first["score"]) == ("failed", 0)
    assert "Task 1.1" in first["message"]


@pytest.mark.parametrize("assignment", ["homework-3", "module-99", "milestone-12", ""])
def test_an_assignment_that_names_nothing_is_an_error_of_the_set_up(
    bundle: Path, released: Path, assignment: str
) -> None:
    """No result: the runner then reports an error, not a student's failure."""
    graded = grade_checkout(bundle, released, assignment)
    assert graded.exit_code == 1
    assert graded.result is None
    assert re.search("::error::.*Rename it", graded.log)


def test_a_folder_of_something_else_is_left_alone(root: Path, tmp_path: Path) -> None:
    """A bundle is written into a new folder, or over an earlier one."""
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        write_autograder_folder(root, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
