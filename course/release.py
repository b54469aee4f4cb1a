"""Write the student repository: skeletons, tests, lessons, grader, command line, and a lock of the course's files."""

from __future__ import annotations

import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from course import constraints
from course.figures.gallery import FIGURES_FOLDER, list_lesson_images
from course.manifest_text import format_manifest_as_yaml, seal_manifest
from course.skeleton import make_skeleton, make_solution
from course.workflows import WORKFLOWS_FOLDER as WORKFLOWS
from course.workflows import build_release_workflows
from grading import lock
from grading.errors import UsageError
from grading.manifest.file_checks import find_missing_file_problems
from grading.manifest.loader import ManifestError, load_manifest, load_manifest_strictly
from grading.manifest.model import BuildStatus, Manifest

TEMPLATES = Path(__file__).with_name("templates")
PACKAGES = ("grading", "tito")
SOLUTIONS = Path("solutions")
"""A release's folder for the solutions, if it includes them: 04_layers/tinytorch/layers.py and so on."""
SHIPPED_SUFFIXES = {".py", ".ini", ".jinja", ".gz", ".html", ".css", ".js", ".svg"}
EDITOR_FILES = (
    ".devcontainer/devcontainer.json",
    ".vscode/extensions.json",
    ".vscode/launch.json",
    ".vscode/settings.json",
)
"""Editor settings, which students may change."""
COPIED_FILES = (
    *EDITOR_FILES,
    "LICENSE",
    "noxfile.py",
    "docs/data.md",
    "docs/demonstrations.md",
    "docs/glossary.md",
    "docs/milestone-troubleshooting.md",
    "docs/result-format.md",
    "docs/schema/manifest.schema.json",
    "docs/schema/result.schema.json",
)
OWN_FOLDERS = {".github", ".vscode", ".devcontainer", SOLUTIONS.name}
LEFTOVERS = {
    ".git",
    ".nox",
    ".tito",
    ".venv",
    "__pycache__",
    ".pytest_cache",
    ".ruff_cache",
    ".mypy_cache",
    ".DS_Store",
}
"""The names to ignore in an earlier release: they belong neither to the course nor to a student's work."""


@dataclass(frozen=True)
class ReleaseReport:
    """The files of a written release."""

    target: Path
    files: tuple[Path, ...]
    """The paths of the files, relative to the target and sorted."""
    size: int
    """Total bytes."""

    @property
    def has_solutions(self) -> bool:
        """Whether the release includes the solutions."""
        return any(path.parts[0] == SOLUTIONS.name for path in self.files)

    @property
    def has_workflows(self) -> bool:
        """Whether the release contains workflows, with which GitHub grades pushes to students' repositories."""
        return any(path.parent == WORKFLOWS for path in self.files)


def write_release(root: Path, target: Path, *, force: bool = False) -> ReleaseReport:
    """Write a release for students, all or nothing, to a new or empty folder or, with ``force``, over an unedited one.

    ``force`` replaces an earlier release but keeps its `.git`. Raise UsageError if the target contains anything that
    does not come from a release, and ManifestError or SkeletonError if the course itself is invalid.
    """
    target = target.resolve()
    _refuse_to_overwrite(target, force=force)
    files = build_release_files(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    new = temporary / "new"
    try:
        for path, data in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_bytes(data)
        (new / lock.FILE).write_bytes(_build_lock(new, files, load_manifest(root)))
    except BaseException:
        shutil.rmtree(temporary)
        raise
    _replace_target(new, target, temporary / "old")
    shutil.rmtree(temporary)
    written = sorted([*files, lock.FILE])
    return ReleaseReport(target, tuple(written), sum((target / path).stat().st_size for path in written))


def build_release_files(root: Path) -> dict[Path, bytes]:
    """Build every file of the release except its lock, keyed by path. Only the course and the date affect the bytes."""
    manifest = load_manifest_strictly(root)
    if problems := find_missing_file_problems(manifest, root):
        raise ManifestError(problems)
    files = {Path(name): (root / name).read_bytes() for name in COPIED_FILES}
    files |= {path: (root / path).read_bytes() for path in _list_package_files(root)}
    for path in _list_lessons_pictures_and_tests(manifest, root):
        files[path] = (root / path).read_bytes()
    for path in list_student_files(manifest):
        files[path] = make_skeleton((root / path).read_text(encoding="utf-8"), manifest, path).encode()
    if manifest.course.includes_solutions(datetime.now(UTC).date()):
        for path in list_student_files(manifest):
            files[SOLUTIONS / path.relative_to("modules")] = make_solution(
                (root / path).read_text("utf-8"), manifest, path
            ).encode()
    if manifest.course.grader is not None:
        files |= build_release_workflows(root, manifest.course.grader)
    files[constraints.CONSTRAINTS_FILE] = _format_release_constraints(root, manifest).encode()
    files[Path("milestones.yaml")] = format_manifest_as_yaml(seal_manifest(manifest)).encode()
    files |= {name: text.encode() for name, text in render_templates(root, manifest).items()}
    own = find_student_owned_files(files, manifest)
    texts = {path: data for path, data in files.items() if path in own and path.parts[0] != SOLUTIONS.name}
    return files | {lock.BASE: lock.encode_base_file(texts)}


def list_student_files(manifest: Manifest) -> list[Path]:
    """List the files that students edit: each built module's code, and the recipes of built milestones."""
    code = [module.code for module in manifest.modules if module.status is BuildStatus.BUILT]
    return code + [m.recipe for m in manifest.milestones if m.status is BuildStatus.BUILT]


def find_student_owned_files(files: Iterable[Path], manifest: Manifest) -> set[Path]:
    """Find the files that students may change freely: code, recipes, and files that do not affect verdicts."""
    own = {*list_student_files(manifest), Path(".gitignore"), *(path for path in files if path.suffix == ".md")}
    return own | {path for path in files if path.parts[0] in OWN_FOLDERS or path.parent.name == FIGURES_FOLDER}


def compute_skeleton_digests(root: Path, manifest: Manifest) -> dict[str, str]:
    """Map each student file's path to the digest of its skeleton, for `lock.is_unchanged_since_release`."""
    texts = {
        path: make_skeleton((root / path).read_text("utf-8"), manifest, path) for path in list_student_files(manifest)
    }
    return {path.as_posix(): lock.digest_text_ignoring_line_ends(text.encode()) for path, text in texts.items()}


def render_templates(root: Path, manifest: Manifest) -> dict[Path, str]:
    """Render the release's files that come from templates, and return path → text."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    built = [module for module in manifest.modules if module.status is BuildStatus.BUILT]
    values = {
        "course": manifest.course,
        "built": built,
        "task": built[0].tasks[0],
        "milestones": manifest.milestones,
        "first": manifest.milestones[0],
        "name": project["project"]["name"],  # `tito doctor` looks for it
        "build_requires": project["build-system"]["requires"],
        "requires_python": project["project"]["requires-python"],
        "dependencies": project["project"]["dependencies"],
        "github": project["dependency-groups"]["github"],
        "dev_mode_dirs": [".", *(module.folder.as_posix() for module in built)],
        "pytest_addopts": project["tool"]["pytest"]["ini_options"]["addopts"],
    }
    # None of these files is HTML, so nothing is escaped.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["toml_list"] = _format_toml_list
    environment.filters["lower_first"] = lambda text: text[:1].lower() + text[1:]
    names = {name: name for name in ("AGENTS.md", "README.md", "pyproject.toml")} | {".gitignore": "gitignore"}
    return {Path(name): environment.get_template(f"{source}.jinja").render(values) for name, source in names.items()}


def _format_release_constraints(root: Path, manifest: Manifest) -> str:
    """Format the versions of everything that a student's sessions install."""
    return constraints.format_constraints(root, constraints.list_requirements(root, manifest, "github"))


def _list_lessons_pictures_and_tests(manifest: Manifest, root: Path) -> list[Path]:
    """List built modules' lessons, pictures, tests and reference values, and built milestones' integration tests."""
    built = [module for module in manifest.modules if module.status is BuildStatus.BUILT]
    tests = [m.integration_tests for m in manifest.milestones if m.status is BuildStatus.BUILT]
    references = [module.reference for module in built if (root / module.reference).is_file()]
    lessons = {module: (root / module.lesson).read_text(encoding="utf-8") for module in built}
    pictures = [module.folder / image for module, lesson in lessons.items() for image in list_lesson_images(lesson)]
    return [path for module in built for path in (module.lesson, module.tests)] + pictures + tests + references


def _list_package_files(root: Path) -> list[Path]:
    """List the files of the grader and the command line. Raise UsageError for a suffix that is never shipped."""
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if not path.is_file() or LEFTOVERS & set(path.parts):
                continue
            if path.suffix not in SHIPPED_SUFFIXES:
                where = path.relative_to(root)
                raise UsageError(
                    f"{where} has a suffix that is never released. Delete it, or add the suffix in course/release.py."
                )
            found.append(path.relative_to(root))
    return found


def _format_toml_list(items: list[str]) -> str:
    """Format a list for TOML with one item per line; a JSON string is also a TOML string."""
    return "[\n" + "".join(f"    {json.dumps(item)},\n" for item in items) + "]"


def _build_lock(new: Path, files: dict[Path, bytes], manifest: Manifest) -> bytes:
    """Build the lock, which contains digests of the course's files and of the student's files."""
    own = find_student_owned_files(files, manifest)
    return lock.encode_lock_file(new, set(files) - own, own)


def _refuse_to_overwrite(target: Path, *, force: bool) -> None:
    """Raise UsageError unless the target is new or empty or, with ``force``, an unchanged earlier release."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file. Choose a folder that does not exist yet.")
    released = _read_released_digests(target)
    if released is None:
        raise UsageError(f"{target} is neither empty nor an earlier release. Choose a folder that does not exist yet.")
    if not force:
        raise UsageError(
            f"{target} contains an earlier release. Replace it with --force, or choose a different folder."
        )
    present = {path.relative_to(target) for path in target.rglob("*") if path.is_file() or path.is_symlink()}
    kept = {path.as_posix() for path in present if not _is_leftover_file(path)}
    worked_on = sorted(n for n in kept if n not in released or lock.digest_file_below(target, n) != released[n])
    if worked_on:
        shown = ", ".join(worked_on[:3]) + (" …" if worked_on[3:] else "")
        raise UsageError(
            f"{target} contains work that is not from a release: {shown}. Nothing has changed. Choose another folder."
        )


def _read_released_digests(target: Path) -> dict[str, str | None] | None:
    """Map the files in an earlier release's lock, and the lock itself, to digests; None without a readable lock."""
    try:
        said = json.loads((target / lock.FILE).read_bytes())
        released = {**said["files"], **said["student"]} if said["record"] == lock.SCHEMA else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return released and released | {lock.FILE.as_posix(): lock.digest_file_below(target, lock.FILE.as_posix())}


def _is_leftover_file(path: Path) -> bool:
    """Return whether a path is neither the course's nor the student's work: in .git, .venv, a cache or the like."""
    return any(part in LEFTOVERS or part.endswith(".egg-info") for part in path.parts)


def _replace_target(new: Path, target: Path, old: Path) -> None:
    """Move ``new`` to the target and the old target to ``old``, but keep the target's `.git`."""
    git = target / ".git"
    if git.exists():
        git.rename(new / ".git")
    try:
        if target.exists():
            target.rename(old)
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        if (new / ".git").exists():
            (new / ".git").rename(git)
        raise
