"""Grading with a worker that was started ahead: the same verdicts and the same isolation, without the waiting."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from course.skeleton import make_partial_skeleton, make_solution
from grading import client
from grading.grade import grade_module
from grading.manifest.loader import load_manifest
from grading.result import Verdict
from grading.warm import WarmGrader

CODE = Path("modules/01_setup/tinytorch/setup.py")


@pytest.fixture
def course(root: Path, tmp_path: Path) -> Path:
    """Make a course that has only module 01, solved."""
    target = tmp_path / "course"
    shutil.copytree(
        root / "modules/01_setup", target / "modules/01_setup", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(root / "milestones.yaml", target)
    (target / CODE).write_text(make_solution((root / CODE).read_text("utf-8"), load_manifest(root), CODE))
    return target


@pytest.fixture
def grader(course: Path) -> Iterator[WarmGrader]:
    """Provide module 01's grader with a spare worker."""
    warm = WarmGrader(course, "01_setup")
    warm.start_spare_worker()
    yield warm
    warm.close()


@pytest.mark.usefixtures("sandbox")
def test_files_written_after_the_worker_was_started_are_graded(root: Path, course: Path) -> None:
    """Behind every fence the waiting worker sees what is saved later, and the failure is the one of `grade_module`."""
    warm = WarmGrader(course, "01_setup")
    warm.start_spare_worker()
    try:
        passed = warm.grade(task="1.2")
        assert passed is not None
        assert passed.verdict is Verdict.UNLOCKED, passed.first_failure
        warm.start_spare_worker()
        (course / CODE).write_text(
            make_partial_skeleton((root / CODE).read_text("utf-8"), load_manifest(root), CODE, "1.2")
        )
        failed = warm.grade(task="1.2")
        assert failed is not None
        assert failed.first_failure == grade_module(course, "01_setup", task="1.2").first_failure
        assert failed.first_failure.line is not None
    finally:
        warm.close()


def test_no_grading_sees_what_the_one_before_left(course: Path, grader: WarmGrader) -> None:
    """Each has a new worker, warmed up or not: what student code did to Python is gone."""
    spoiled = "assert not hasattr(np, 'spoiled')\nnp.spoiled = True\n"
    (course / CODE).write_text((course / CODE).read_text("utf-8") + spoiled, "utf-8")
    for _ in range(3):
        result = grader.grade(task="1.2")
        assert result is not None
        assert result.verdict is Verdict.UNLOCKED, result.first_failure


def test_tests_that_were_changed_are_read_again(course: Path, grader: WarmGrader) -> None:
    """A print that somebody adds to a test file, or a test more, counts from the next grading on."""
    tests = course / "modules/01_setup/test_setup.py"
    before = grader.grade(task="1.2")
    added = '\n\n@task("1.2")\ndef test_added():\n    """A test of one\'s own."""\n    assert False\n'
    tests.write_text(tests.read_text("utf-8") + added, "utf-8")
    after = grader.grade(task="1.2")
    assert before is not None
    assert after is not None
    assert (before.verdict, after.verdict) == (Verdict.UNLOCKED, Verdict.NOT_YET)


def test_an_endless_loop_is_ended_by_the_next_save(
    course: Path, grader: WarmGrader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An aborted grading has no result, whatever it was waiting for, and the next one is as good as any."""
    right, at_work = (course / CODE).read_text("utf-8"), threading.Event()
    read_sources = client._read_sources

    def note(folder: Path) -> dict[str, list[str]]:
        """Report that the worker has started, and read the sources."""
        at_work.set()
        return read_sources(folder)

    monkeypatch.setattr(client, "_read_sources", note)
    (course / CODE).write_text(f"{right}\nwhile True:\n    pass\n", "utf-8")
    aborted, results = threading.Event(), []
    thread = threading.Thread(target=lambda: results.append(grader.grade(aborted=aborted)))
    thread.start()
    assert at_work.wait(60)
    grader.abort(aborted)
    thread.join(60)
    assert results == [None]
    (course / CODE).write_text(right, "utf-8")
    result = grader.grade(task="1.2")
    assert result is not None
    assert result.verdict is Verdict.UNLOCKED


def test_what_was_aborted_before_it_began_starts_no_worker(grader: WarmGrader) -> None:
    """An abort that comes early holds, and one of another grading does nothing."""
    aborted = threading.Event()
    grader.abort(aborted)
    assert grader.grade(task="1.2", aborted=aborted) is None
    grader.abort(aborted)
    assert grader.grade(task="1.2") is not None


def test_nothing_is_left_behind(course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of gradings, of aborted ones and of a worker that was never used are gone."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    warm = WarmGrader(course, "01_setup")
    warm.start_spare_worker()
    warm.grade(task="1.2")
    aborted = threading.Event()
    warm.abort(aborted)
    warm.start_spare_worker()
    warm.grade(aborted=aborted)
    warm.start_spare_worker()
    warm.close()
    assert list(place.iterdir()) == []
