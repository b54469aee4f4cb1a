"""The sessions run this course, wherever they are typed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest


def test_a_grader_in_the_folder_of_the_command_is_not_run(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Typed inside a tree that was handed in, with a package `grading` of its own, ours answers."""
    (tmp_path / "grading").mkdir()
    for name in ("__init__.py", "__main__.py"):
        (tmp_path / "grading" / name).write_text('print("unlocked")\n', encoding="utf-8")
    spec = importlib.util.spec_from_file_location("course_noxfile", root / "noxfile.py")
    assert spec is not None
    assert spec.loader is not None
    noxfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noxfile)
    session = SimpleNamespace(
        bin=str(Path(sys.executable).parent), invoked_from=str(tmp_path), posargs=[], error=pytest.fail
    )
    noxfile.run_here(session, "grading", "--help")
    said = capfd.readouterr().out
    assert "unlocked\n" not in said
    assert "Measure a milestone" in said
