"""A course repository in which to run commands, and their answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from course.skeleton import make_skeleton
from grading import lock
from grading.manifest.loader import load_manifest
from tito.app import run_command_line

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Answer:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a copy of the course the current folder, without traces of a student."""
    for name in ("milestones.yaml", "docs/milestone-troubleshooting.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "modules", tmp_path / "modules", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    return tmp_path


@pytest.fixture
def released(repo: Path) -> Path:
    """Make a copy as in a release: gaps in modules 02 and 04, and the texts that students' files began as."""
    manifest, given = load_manifest(repo), {}
    for name in ("02_tensor/tinytorch/tensor.py", "04_layers/tinytorch/layers.py", "04_layers/recipe.py"):
        path = Path("modules", name)
        given[path] = make_skeleton((repo / path).read_text("utf-8"), manifest, path).encode()
        (repo / path).write_bytes(given[path])
    (repo / lock.BASE).write_bytes(lock.encode_base_file(given))
    return repo


@pytest.fixture
def tito(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Return a function with which `tito("module", "list")` runs that command."""

    def type_(*arguments: str) -> Answer:
        """Run the command, and return its exit code, output and errors."""
        capsys.readouterr()
        code = run_command_line(arguments)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return type_
