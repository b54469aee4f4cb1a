"""A miniature course that is quick to release and check: one module with two tasks, one milestone, the real grader."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from course.checks.course_tree import CourseTree
from course.manifest_text import format_manifest_as_yaml
from course.release import COPIED_FILES
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest, Module, Task

collect_ignore = ["miniature"]  # tests of a miniature course, not of the tools
HERE = Path(__file__).parent / "miniature"
CODE = Path("modules/01_shapes/tinytorch/shapes.py")
RECIPE = Path("modules/01_shapes/recipe.py")
TESTS = Path("modules/01_shapes/test_shapes.py")
LESSON = Path("modules/01_shapes/README.md")


def build_miniature_manifest(root: Path) -> Manifest:
    """Build the real manifest with one small module and only milestone 1, with one question of each kind."""
    real = load_manifest(root)
    first = real.milestone(1)
    kinds = {question.kind: question for question in first.questions}
    module = Module(
        id="01_shapes",
        title="Shapes",
        summary="Areas of shapes.",
        tasks=(
            Task(
                id="1.1",
                title="A square",
                hints=(
                    "Multiply the side by itself.",
                    "One line with `*` is enough.",
                    "The area of a square is side · side.",
                ),
            ),
            Task(
                id="1.2",
                title="A rectangle",
                hints=(
                    "Multiply the sides, and refuse a negative one.",
                    "Refuse before you compute.",
                    "The area is width · height, for sizes that are 0 or more.",
                ),
            ),
        ),
    )
    milestone = first.model_copy(update={"trigger": module.id, "questions": tuple(kinds.values())})
    return real.model_copy(update={"modules": (module,), "milestones": (milestone,)})


def write_course(root: Path, target: Path) -> Path:
    """Write the miniature course's files into ``target``."""
    shutil.copytree(HERE, target / "modules")
    for package in ("grading", "tito"):
        shutil.copytree(root / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*COPIED_FILES, "uv.lock"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, target / name)
    shutil.copytree(root / ".github", target / ".github")
    project = (root / "pyproject.toml").read_text()
    start, end = project.index('    "modules/'), project.index("]", project.index('    "modules/'))
    (target / "pyproject.toml").write_text(f'{project[:start]}    "modules/01_shapes",\n{project[end:]}')
    (target / "milestones.yaml").write_text(format_manifest_as_yaml(build_miniature_manifest(root)))
    return target


@pytest.fixture(scope="session")
def whole(root, tmp_path_factory) -> CourseTree:
    """Return the intact miniature course, which tests must not change."""
    folder = write_course(root, tmp_path_factory.mktemp("course"))
    return CourseTree(folder, load_manifest(folder))


@pytest.fixture(autouse=True)
def _tests_read_anew() -> None:
    """Make pytest reload each course's tests, since it caches files by their path from the root."""
    for name in [name for name in sys.modules if "01_shapes" in name]:
        del sys.modules[name]


@pytest.fixture
def course(whole, tmp_path) -> CourseTree:
    """Return a copy of the miniature course for tests to break."""
    folder = tmp_path / "course"
    shutil.copytree(whole.root, folder)
    return CourseTree(folder, whole.manifest)
