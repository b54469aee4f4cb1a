"""The release, Ada's work on it, and the class that uses both."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.release import write_release
from course.skeleton import make_solution
from grading.manifest.loader import load_manifest
from tests.github.conftest import running  # noqa: F401 - the fixture
from tests.github.local import Hub
from tests.workflows.school import RECIPE, TENSOR, School, copy_course_with_grader, open_school
from tests.workflows.story import Chapter, run_week


@pytest.fixture(scope="session")
def released(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the release as it is pushed to the repository that grades."""
    folder = tmp_path_factory.mktemp("class")
    return write_release(copy_course_with_grader(root, folder / "course"), folder / "release").target


@pytest.fixture(scope="session")
def worked_on(root: Path, released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build Ada's tree: module 02 is solved, and the recipe of milestone 1 was edited."""
    tree = Path(shutil.copytree(released, tmp_path_factory.mktemp("ada") / "tree"))
    text = make_solution((root / TENSOR).read_text(encoding="utf-8"), load_manifest(root), TENSOR)
    (tree / TENSOR).write_text(text, encoding="utf-8")
    (tree / RECIPE).write_text((tree / RECIPE).read_text(encoding="utf-8") + "\n# not yet\n", encoding="utf-8")
    return tree


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which nox creates its environments, once for all jobs of all tests."""
    return tmp_path_factory.mktemp("nox")


@pytest.fixture
def school(running: Hub, released: Path, environments: Path, tmp_path: Path) -> Iterator[School]:  # noqa: F811
    """Create a class on its first day."""
    with open_school(running, released, environments, tmp_path) as school:
        yield school


@pytest.fixture(scope="session")
def story(
    running: Hub,  # noqa: F811
    released: Path,
    worked_on: Path,
    environments: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Chapter]:
    """Run through a class's week once."""
    with open_school(running, released, environments, tmp_path_factory.mktemp("week")) as school:
        return run_week(school, released, worked_on)
