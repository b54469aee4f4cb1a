"""How chores answer what is typed."""

from __future__ import annotations

import importlib.util
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from grading.errors import GraderError

ROOT = Path(__file__).resolve().parent.parent


def type_chore(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `inv` with these words in a folder."""
    command = [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("chore", ["release", "classroom50", "merge", "gradebook", "feedback", "similar", "site"])
def test_help_is_help_and_no_value(chore: str, tmp_path: Path) -> None:
    """Every chore has help, including those that need an option, and nothing is written."""
    done = type_chore(chore, "--help", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{chore} [--options]" in done.stdout
    assert not list(tmp_path.iterdir())


def test_an_option_that_is_missing_is_named(tmp_path: Path) -> None:
    """Left out, or with another option in the place of its value."""
    done = type_chore("release", folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, "inv release needs --to. What it means: inv release --help\n")
    done = type_chore("release", "--to", "--help", folder=tmp_path)
    assert (done.returncode, "--to has no value before --help" in done.stderr) == (2, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("chore", ["collect", "regrade"])
def test_a_cluster_has_as_many_gradings_as_workers(chore: str, tmp_path: Path) -> None:
    """`--jobs` counts those of this machine, so both together are a misunderstanding."""
    done = type_chore(chore, "--cluster", "tcp://10.0.0.1:8786", "--jobs", "4", folder=tmp_path)
    assert (done.returncode, "the number of workers decides" in done.stderr) == (2, True)


def test_a_full_disk_is_no_damaged_gradebook() -> None:
    """Nobody should bring back a backup for it."""
    spec = importlib.util.spec_from_file_location("tasks_of_the_course", ROOT / "tasks.py")
    assert spec is not None
    assert spec.loader is not None
    tasks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tasks)
    with pytest.raises(GraderError, match="Is its disk full"), tasks.translate_gradebook_errors():
        raise sqlite3.OperationalError("database or disk is full")
    with pytest.raises(GraderError, match="Restore it from a backup"), tasks.translate_gradebook_errors():
        raise sqlite3.DatabaseError("database disk image is malformed")
