"""Writes the student repository: skeletons, tests, lessons, grader, command line, and a lock of the course's files."""

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
from course.figures.gallery import FOLDER, list_images
from course.manifest_text import manifest_text, sealed
from course.skeleton import skeleton, solved
from course.workflows import FOLDER as WORKFLOWS
from course.workflows import released_workflows
from grading import lock
from grading.errors import UsageError
from grading.manifest.files import check_files
from grading.manifest.load import ManifestError, load, load_at_desk
from grading.manifest.model import Manifest, Status

TEMPLATES = Path(__file__).with_name("templates")
PACKAGES = ("grading", "tito")
SOLUTIONS = Path("solutions")
"""Where a release carries the solutions, if it may: 04_layers/tinytorch/layers.py and so on."""
SHIPPED_SUFFIXES = {".py", ".ini", ".jinja", ".gz", ".html", ".css", ".js", ".svg"}
PLACES = (
    ".devcontainer/devcontainer.json",
    ".vscode/extensions.json",
    ".vscode/launch.json",
    ".vscode/settings.json",
)
"""Where students work: anybody may set their editor up in another way."""
AS_THEY_ARE = (
    *PLACES,
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
"""Names in an earlier release that are neither the course's nor a student's work."""


@dataclass(frozen=True)
class Report:
    """What was written where."""

    target: Path
    files: tuple[Path, ...]
    """Relative to the target, sorted."""
    size: int
    """Bytes in all."""

    @property
    def has_solutions(self) -> bool:
        """Whether students are given the solutions."""
        return any(path.parts[0] == SOLUTIONS.name for path in self.files)

    @property
    def has_workflows(self) -> bool:
        """Whether GitHub grades what is pushed to it."""
        return any(path.parent == WORKFLOWS for path in self.files)


def write_release(root: Path, target: Path, *, force: bool = False) -> Report:
    """Write the student repository of the course at ``root`` to ``target``, whole or not at all.

    ``force`` replaces an earlier release, and keeps its `.git`. UsageError when the target holds anything that no
    release has written; ManifestError or SkeletonError when the course itself is wrong.
    """
    target = target.resolve()
    _refuse_to_overwrite(target, force=force)
    files = release_files(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    new = temporary / "new"
    try:
        for path, data in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_bytes(data)
        (new / lock.FILE).write_bytes(_lock(new, files, load(root)))
    except BaseException:
        shutil.rmtree(temporary)
        raise
    _swap(new, target, temporary / "old")
    shutil.rmtree(temporary)
    written = sorted([*files, lock.FILE])
    return Report(target, tuple(written), sum((target / path).stat().st_size for path in written))


def release_files(root: Path) -> dict[Path, bytes]:
    """Every file of the release but its lock: path → bytes, the same for the same course."""
    manifest = load_at_desk(root)
    if problems := check_files(manifest, root):
        raise ManifestError(problems)
    files = {Path(name): (root / name).read_bytes() for name in AS_THEY_ARE}
    files |= {path: (root / path).read_bytes() for path in _package_files(root)}
    for path in _given_module_files(manifest, root):
        files[path] = (root / path).read_bytes()
    for path in student_files(manifest):
        files[path] = skeleton((root / path).read_text(encoding="utf-8"), manifest, path).encode()
    if manifest.course.gives_solutions(datetime.now(UTC).date()):
        for path in student_files(manifest):
            files[SOLUTIONS / path.relative_to("modules")] = solved(
                (root / path).read_text("utf-8"), manifest, path
            ).encode()
    if manifest.course.grader is not None:
        files |= released_workflows(root, manifest.course.grader)
    files[constraints.FILE] = _write_constraints(root, manifest).encode()
    files[Path("milestones.yaml")] = manifest_text(sealed(manifest)).encode()
    files |= {name: text.encode() for name, text in rendered(root, manifest).items()}
    own = own_files(files, manifest)
    texts = {path: data for path, data in files.items() if path in own and path.parts[0] != SOLUTIONS.name}
    return files | {lock.BASE: lock.encode_base(texts)}


def student_files(manifest: Manifest) -> list[Path]:
    """The files students write: each built module's code, and the recipes of built milestones."""
    code = [module.code for module in manifest.modules if module.status is Status.BUILT]
    return code + [m.recipe for m in manifest.milestones if m.status is Status.BUILT]


def own_files(files: Iterable[Path], manifest: Manifest) -> set[Path]:
    """Those that students may change without a word: code and recipes, and what makes no verdict, such as Markdown."""
    own = {*student_files(manifest), Path(".gitignore"), *(path for path in files if path.suffix == ".md")}
    return own | {path for path in files if path.parts[0] in OWN_FOLDERS or path.parent.name == FOLDER}


def given_files(root: Path, manifest: Manifest) -> dict[str, str]:
    """What students' files start as, for `lock.is_untouched`: path → digest of the skeleton."""
    texts = {path: skeleton((root / path).read_text("utf-8"), manifest, path) for path in student_files(manifest)}
    return {path.as_posix(): lock.digest(text.encode()) for path, text in texts.items()}


def rendered(root: Path, manifest: Manifest) -> dict[Path, str]:
    """The release's files that are made from templates: path → text."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    built = [module for module in manifest.modules if module.status is Status.BUILT]
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
    # Nothing here is HTML, so nothing is escaped.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    environment.filters["toml_list"] = _toml_list
    environment.filters["lower_first"] = lambda text: text[:1].lower() + text[1:]
    names = {name: name for name in ("AGENTS.md", "README.md", "pyproject.toml")} | {".gitignore": "gitignore"}
    return {Path(name): environment.get_template(f"{source}.jinja").render(values) for name, source in names.items()}


def _write_constraints(root: Path, manifest: Manifest) -> str:
    """The versions of everything that a student's sessions install."""
    return constraints.write_constraints_text(root, constraints.list_requirements(root, manifest, "github"))


def _given_module_files(manifest: Manifest, root: Path) -> list[Path]:
    """Lessons with their pictures, tests of what is built, and the figures that some tests compare with."""
    built = [module for module in manifest.modules if module.status is Status.BUILT]
    tests = [m.integration_tests for m in manifest.milestones if m.status is Status.BUILT]
    references = [module.reference for module in built if (root / module.reference).is_file()]
    lessons = {module: (root / module.lesson).read_text(encoding="utf-8") for module in built}
    pictures = [module.folder / image for module, lesson in lessons.items() for image in list_images(lesson)]
    return [path for module in built for path in (module.lesson, module.tests)] + pictures + tests + references


def _package_files(root: Path) -> list[Path]:
    """The grader's and the command line's files. UsageError for one of a kind that is not known to be shipped."""
    found = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if not path.is_file() or LEFTOVERS & set(path.parts):
                continue
            if path.suffix not in SHIPPED_SUFFIXES:
                where = path.relative_to(root)
                raise UsageError(
                    f"{where}: should students get this? Delete it, or add its suffix in course/release.py."
                )
            found.append(path.relative_to(root))
    return found


def _toml_list(items: list[str]) -> str:
    """One item on each line; a JSON string is a TOML string, too."""
    return "[\n" + "".join(f"    {json.dumps(item)},\n" for item in items) + "]"


def _lock(new: Path, files: dict[Path, bytes], manifest: Manifest) -> bytes:
    """Digests of the course's files, and of those that are the student's."""
    own = own_files(files, manifest)
    return lock.lock(new, set(files) - own, own)


def _refuse_to_overwrite(target: Path, *, force: bool) -> None:
    """Let nothing pass but a new or empty folder, or, by force, an earlier release as it was written."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file. Name a folder that does not exist yet.")
    released = _released_digests(target)
    if released is None:
        raise UsageError(f"{target} is not empty and no earlier release. Name a folder that does not exist yet.")
    if not force:
        raise UsageError(f"{target} holds an earlier release. Replace it with --force, or name another folder.")
    present = {path.relative_to(target) for path in target.rglob("*") if path.is_file() or path.is_symlink()}
    kept = {path.as_posix() for path in present if not _is_leftover(path)}
    worked_on = sorted(n for n in kept if n not in released or lock.digest_of(target, n) != released[n])
    if worked_on:
        shown = ", ".join(worked_on[:3]) + (" …" if worked_on[3:] else "")
        raise UsageError(
            f"{target} holds work that no release has written: {shown}. Nothing was changed. Name another folder."
        )


def _released_digests(target: Path) -> dict[str, str | None] | None:
    """What the lock of an earlier release says of each of its files, itself included; None when it is no release."""
    try:
        said = json.loads((target / lock.FILE).read_bytes())
        released = {**said["files"], **said["student"]} if said["record"] == lock.SCHEMA else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return released and released | {lock.FILE.as_posix(): lock.digest_of(target, lock.FILE.as_posix())}


def _is_leftover(path: Path) -> bool:
    return any(part in LEFTOVERS or part.endswith(".egg-info") for part in path.parts)


def _swap(new: Path, target: Path, old: Path) -> None:
    """Put ``new`` in the target's place; what was there goes to ``old``, except `.git`, which stays."""
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
