"""Read the exact versions of packages from `uv.lock`, and write them as constraints for pip and uv."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from grading.manifest.model import Manifest

LOCK_FILE = Path("uv.lock")
CONSTRAINTS_FILE = Path("constraints.txt")
HEADER = "# The versions this course was tested with, which its nox sessions install. Newer ones: TINYTORCH_NEWEST=1\n"


def format_constraints(root: Path, requirements: Iterable[str] | None = None) -> str:
    """Return a comment, then `name==version` per locked package, with a marker if the version depends on Python.

    Given ``requirements``, the text covers only these packages and their dependencies.
    """
    packages = _read_packages(root)
    wanted = {p["name"] for p in packages} if requirements is None else _find_needed_packages(packages, requirements)
    lines = [f"{p['name']}=={p['version']}{_format_environment_marker(p)}\n" for p in packages if p["name"] in wanted]
    return HEADER + "".join(lines)


def list_requirements(root: Path, manifest: Manifest, *groups: str) -> list[str]:
    """List the requirements of the project, modules, milestones and these groups, but not of included groups."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    named = [*project["project"]["dependencies"]]
    named += [one for group in groups for one in project["dependency-groups"][group] if isinstance(one, str)]
    named += [package for module in manifest.modules for package in module.packages]
    return named + [package for milestone in manifest.milestones for package in milestone.environment.packages]


def find_unlocked_requirements(root: Path, manifest: Manifest) -> list[str]:
    """Find the project's requirements for which the lock has no matching version."""
    groups = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    versions: dict[str, list[str]] = {}
    for package in _read_packages(root):
        versions.setdefault(package["name"], []).append(package["version"])

    def has_locked_version(requirement_text: str) -> bool:
        """Return whether the lock has a version that satisfies the requirement."""
        requirement = Requirement(requirement_text)
        return any(requirement.specifier.contains(v) for v in versions.get(canonicalize_name(requirement.name), ()))

    return sorted({text for text in list_requirements(root, manifest, *groups) if not has_locked_version(text)})


def _read_packages(root: Path) -> list[dict[str, Any]]:
    """Read the lock's packages, without the project itself."""
    return [p for p in tomllib.loads((root / LOCK_FILE).read_text("utf-8"))["package"] if "registry" in p["source"]]


def _find_needed_packages(packages: list[dict[str, Any]], requirements: Iterable[str]) -> set[str]:
    """Find the names of these requirements and of all their dependencies in the lock."""
    below: dict[str, set[str]] = {}
    for package in packages:
        extras = package.get("optional-dependencies", {}).values()
        listed = [*package.get("dependencies", ()), *(one for extra in extras for one in extra)]
        below.setdefault(package["name"], set()).update(one["name"] for one in listed)
    waiting: set[str] = {canonicalize_name(Requirement(text).name) for text in requirements}
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in below and name not in found:
            found.add(name)
            waiting |= below[name]
    return found


def _format_environment_marker(package: dict[str, Any]) -> str:
    """Return a locked version's marker, such as ` ; (python_version < "3.12")`; empty if it is for all environments."""
    markers = package.get("resolution-markers", [])
    return " ; " + " or ".join(f"({marker})" for marker in markers) if markers else ""
