"""Makes the tree of a miniature submission from its about.yaml."""

from __future__ import annotations

import os
import py_compile
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from course.skeleton import make_partial_skeleton, make_skeleton, make_solution
from grading.manifest.loader import load_manifest
from grading.manifest.model import BuildStatus, Manifest
from grading.manifest.yaml_source import LOADER
from grading.submission import OWN, list_source_files
from tests.submissions.stored import random_data, spell_data
from tests.submissions.threats import SUBMITTED

HERE = Path(__file__).resolve().parent
ALL_HOSTILE = "TINYTORCH_ALL_HOSTILE"
"""The environment variable that asks for every hostile submission, and for gradings without shortcuts."""
UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH


@dataclass(frozen=True)
class Miniature:
    """One folder under tests/submissions."""

    folder: Path
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """Its place, such as wrong/add_ignores_broadcasting."""
        return self.folder.relative_to(HERE).as_posix()


def list_miniatures(kind: str) -> list[Miniature]:
    """All of one kind: right, wrong or hostile."""
    files = sorted((HERE / kind).glob("*/about.yaml"))
    return [Miniature(file.parent, yaml.load(file.read_text("utf-8"), LOADER)) for file in files]  # noqa: S506


def choose_hostile_miniatures() -> list[Miniature]:
    """Choose the hostile miniatures to grade: two for each threat, or all of them in `nox -s hostile`.

    The two are the first and the last of the threat, of those that take seconds if there are two such.
    """
    found = list_miniatures("hostile")
    if os.environ.get(ALL_HOSTILE):
        return found
    chosen = []
    for threat in SUBMITTED:
        of_threat = [m for m in found if m.about["threat"] == threat]
        quick = [m for m in of_threat if m.about.get("milestone", 1) <= 2]
        chosen += [(quick if len(quick) > 1 else of_threat)[place] for place in (0, -1)]
    return chosen


def copy_solution(root: Path, target: Path) -> Path:
    """Copy the course's own solutions and answers, as a student would hand them in."""
    for path in list_student_files(load_manifest(root)):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, target / path)
    shutil.copytree(root / OWN, target, dirs_exist_ok=True)
    return target


def build_submission(miniature: Miniature, root: Path, manifest: Manifest, target: Path) -> Path:
    """The submission's tree in ``target``; AssertionError when an edit does not fit."""
    for path, text in read_starting_files(miniature.about["from"], root).items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(text, "utf-8")
    for name in ("student.yaml", "answers"):
        if (root / OWN / name).is_dir():
            shutil.copytree(root / OWN / name, target / name)
        elif (root / OWN / name).is_file():
            shutil.copy(root / OWN / name, target / name)
    if (miniature.folder / "files").is_dir():
        shutil.copytree(miniature.folder / "files", target, dirs_exist_ok=True)
    for edit in miniature.about.get("edits", []):
        apply_edit(edit, target, root, manifest)
    return target


@cache
def read_starting_files(what: str, root: Path) -> dict[Path, str]:
    """The text of every student's file, as solution or as skeleton: made once for a hundred trees."""
    manifest, make = load_manifest(root), {"solution": make_solution, "skeleton": make_skeleton}[what]
    return {path: make((root / path).read_text("utf-8"), manifest, path) for path in list_student_files(manifest)}


def list_student_files(manifest: Manifest) -> list[Path]:
    """Every file of Python students write, of what is built."""
    return [f.path for f in list_source_files(manifest, [m for m in manifest.modules if m.status is BuildStatus.BUILT])]


def apply_edit(edit: dict[str, Any], target: Path, root: Path, manifest: Manifest) -> None:
    """One edit of the tree."""
    path = target / edit["file"]
    path.parent.mkdir(parents=True, exist_ok=True)
    match edit:
        case {"find": find, "replace": replace}:
            text = path.read_text("utf-8")
            assert text.count(find) == 1, f"{edit['file']}: {find!r} occurs {text.count(find)} times, not once"
            path.write_text(text.replace(find, replace), "utf-8")
        case {"append": more}:
            path.write_text(path.read_text("utf-8") + more, "utf-8")
        case {"prepend": more}:
            path.write_text(more + path.read_text("utf-8"), "utf-8")
        case {"text": text}:
            path.write_text(text, "utf-8")
        case {"gap": task}:
            path.write_text(
                make_partial_skeleton((root / edit["file"]).read_text("utf-8"), manifest, Path(edit["file"]), task)
            )
        case {"link": to}:
            path.unlink(missing_ok=True)
            path.symlink_to(to)
        case {"folder_link": to}:
            shutil.rmtree(path, ignore_errors=True)
            path.symlink_to(to)
        case {"delete": True}:
            path.unlink()
        case {"bytes": digits}:
            path.write_bytes(bytes.fromhex(digits))
        case {"stored": spelling, "size": size}:
            path.write_text(path.read_text("utf-8") + "\n\n" + spell_data(random_data(size), spelling), "utf-8")
        case {"size": size}:
            path.write_text("#" * size)
        case {"fifo": True}:
            path.unlink()
            os.mkfifo(path)
        case {"many": count}:
            for number in range(count):
                (path / f"extra{number}.py").write_text("raise SystemExit(0)\n")
        case {"compiled": text}:
            _compile_bytecode(
                text, path.with_name(path.name.format(version=f"{sys.version_info[0]}{sys.version_info[1]}"))
            )
        case _:
            raise AssertionError(f"no such edit: {edit}")


def _compile_bytecode(text: str, target: Path) -> None:
    """Compile a source to bytecode that Python would load without reading the source file next to it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source.py")
        source.write_text(text, "utf-8")
        py_compile.compile(str(source), str(target), doraise=True, invalidation_mode=UNCHECKED)
