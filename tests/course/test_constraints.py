"""The course's sessions install all locked versions, and a release's sessions those that they need."""

from __future__ import annotations

import tomllib

import pytest
import yaml
from packaging.requirements import Requirement

from course.constraints import CONSTRAINTS_FILE, LOCK_FILE, find_unlocked_requirements, format_constraints
from course.release import write_release

REGISTRIES = ("https://pypi.org/", "https://files.pythonhosted.org/")


def read_requirements(text: str) -> list[Requirement]:
    """Read the lines that are not comments."""
    return [Requirement(line) for line in text.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("python", ["3.11.7", "3.12.1", "3.13.0", "3.14.0"])
def test_under_every_python_a_package_has_one_version(root, python):
    """If a package's version depends on Python's, the markers exclude each other."""
    lines = read_requirements(format_constraints(root))
    here = [line for line in lines if line.marker is None or line.marker.evaluate({"python_full_version": python})]
    names = [line.name for line in here]
    assert len(set(names)) == len(names)
    assert set(names) == {line.name for line in lines}
    assert {"numpy", "pytest", "numba", "pydantic-core"} <= set(names)


def test_a_release_holds_what_its_sessions_install_and_nothing_else(whole, tmp_path):
    """A release has NumPy and pydantic's dependencies, but not the browser that only the course's tests need."""
    lines = read_requirements((write_release(whole.root, tmp_path / "student").target / CONSTRAINTS_FILE).read_text())
    names = {line.name for line in lines}
    assert {"numpy", "pydantic-core", "uv", "githubkit"} <= names
    assert not names & {"playwright", "torch", "ruff", "tinytorch-course"}


def test_a_requirement_that_the_lock_does_not_meet_is_named(course):
    """A package that is not in the lock is reported, and so is a bound that the locked version violates."""
    assert find_unlocked_requirements(course.root, course.manifest) == []
    path = course.root / "pyproject.toml"
    text = path.read_text()
    path.write_text(text.replace('"msgpack>=1.1"', '"msgpack>=99"').replace('"numpy>=2.0,<3",', '"numpy", "new-one",'))
    assert find_unlocked_requirements(course.root, course.manifest) == ["msgpack>=99", "new-one"]


def test_the_lock_names_the_public_registry_alone(root):
    """The lock does not mention a registry specific to the machine that created it."""
    for package in tomllib.loads((root / LOCK_FILE).read_text("utf-8"))["package"]:
        if "registry" in package["source"]:
            files = [package["sdist"]] if "sdist" in package else []
            places = [package["source"]["registry"] + "/", *(f["url"] for f in [*files, *package.get("wheels", [])])]
            assert all(place.startswith(REGISTRIES) for place in places), package["name"]


def test_pre_commit_checks_style_with_the_session_s_version(root):
    """Two versions of ruff could disagree about the same file."""
    hook = yaml.safe_load((root / ".pre-commit-config.yaml").read_text())["repos"][0]
    (ruff,) = [line for line in read_requirements(format_constraints(root)) if line.name == "ruff"]
    assert str(ruff.specifier) == f"=={hook['rev'].removeprefix('v')}"
