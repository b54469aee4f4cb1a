"""Grading processes in parallel: each task is answered once, whatever happens to one of them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import pytest

from desk import pool
from desk.grading_process import GradingTask
from desk.pool import TaskOutcome, build_grader_environment, grade_in_processes
from grading.manifest.loader import load_manifest
from tests.desk.school import ROOT

FAKE = """
import json, os, sys, time
for line in sys.stdin:
    task = json.loads(line)
    about = task["student"]
    if about.startswith("dies"):
        os._exit(7)
    if about.startswith("once") and not os.path.exists(task["repository"]):
        open(task["repository"], "w").close()
        os.kill(os.getpid(), 9)
    if about.startswith("hangs"):
        time.sleep(600)
    print("nonsense" if about.startswith("lies") else json.dumps({"problem": f"graded {about}"}), flush=True)
"""
"""A grading process that does what its task's name says."""


@pytest.fixture
def fake_grader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the real grading process, since these tests are about the pool that watches it."""
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "__init__.py").touch()
    (tmp_path / "desk" / "grading_process.py").write_text(FAKE)
    monkeypatch.setattr(pool, "HERE", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grade_students(*students: str, marker: str = "/nowhere", jobs: int = 2) -> dict[str, str | None]:
    """Grade these tasks, and return their outcomes."""
    tasks = [GradingTask(student, 1, "0" * 40, marker) for student in students]
    found: list[TaskOutcome] = list(grade_in_processes(tasks, ROOT, load_manifest(ROOT), jobs=jobs))
    assert sorted(g.task.student for g in found) == sorted(students)
    return {g.task.student: g.problem for g in found}


@pytest.mark.usefixtures("fake_grader")
def test_a_process_that_dies_costs_its_own_task_only() -> None:
    """The task is tried twice, the second time in a new process; the others are graded."""
    found = grade_students("a", "dies", "b", "lies", "c", "d")
    assert found["dies"] == "the grading process ended (exit code 7)"
    assert found["lies"] == "the grading process ended (without an answer)"
    assert [found[s] for s in "abcd"] == [f"graded {s}" for s in "abcd"]


def test_a_process_that_dies_once_is_forgiven(fake_grader: Path) -> None:
    """The machine may have killed the process because memory ran out."""
    assert grade_students("once", marker=str(fake_grader / "marker"))["once"] == "graded once"


@pytest.mark.usefixtures("fake_grader")
@pytest.mark.parametrize(("failures", "problem"), [(1, "graded a"), (9, "could be started: [Errno 28] disk full")])
def test_a_process_that_cannot_be_started_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failures: int, problem: str
) -> None:
    """On a full disk, a task is tried twice and then reported; nobody waits for it, and no folder is left."""
    left, start = [OSError(28, "disk full")] * failures, subprocess.Popen
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: _raise(left.pop()) if left else start(*a, **k))
    assert str(grade_students("a", jobs=1)["a"]).endswith(problem)
    assert not list(tmp_path.glob(f"{pool.PRIVATE}*"))


def _raise(error: OSError) -> NoReturn:
    """Raise an error where only an expression may stand."""
    raise error


@pytest.mark.usefixtures("fake_grader")
def test_what_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remaining tasks continue."""
    monkeypatch.setattr(pool, "WORKERS", 0)
    monkeypatch.setattr(pool, "ASIDE_SECONDS", 1)
    monkeypatch.setattr(pool, "TRIES", 1)
    found = grade_students("hangs", "a", jobs=1)
    assert found == {"hangs": "grading took longer than 0 minutes and was stopped", "a": "graded a"}


@pytest.mark.usefixtures("fake_grader")
def test_who_stops_listening_ends_every_process() -> None:
    """All processes stop immediately, and nothing of them remains."""
    tasks = [GradingTask("hangs", 1, "0" * 40, ""), GradingTask("a", 1, "0" * 40, "")]
    listening = grade_in_processes(tasks, ROOT, load_manifest(ROOT), jobs=2)
    assert next(listening).task.student == "a"
    began = time.monotonic()
    listening.close()
    assert time.monotonic() - began < 10


def test_grading_processes_know_no_token() -> None:
    """Nor do the processes start more threads than there are cores."""
    seen = build_grader_environment(
        {"GITHUB_TOKEN": "x", "GH_TOKEN": "x", "CLASSROOM50_SERVICE_TOKEN": "x", "PATH": os.defpath}
    )
    assert "x" not in seen.values()
    assert (seen["PATH"], seen["OPENBLAS_NUM_THREADS"]) == (os.defpath, "1")
