"""The leaderboard ranks what runs can tell apart, for students who agreed, and changes no grade."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from desk import leaderboard
from desk.gradebook import FILE, open_gradebook
from desk.grading_process import GradingTask
from desk.leaderboard import (
    COURSE,
    BoardEntry,
    list_leaderboard_tasks,
    rank_boards,
    rank_entries,
    read_leaderboard_runs,
    run_leaderboard,
)
from desk.members import rename_student
from desk.pool import TaskOutcome
from desk.roster import RosterRow
from desk.scores import compute_scores
from grading.errors import GraderError
from grading.manifest.loader import load_manifest
from grading.render.progress_watch import SilentWatch
from grading.result import Picture, Result, Verdict
from tests.desk.books import format_commit, make_graded_result
from tests.desk.school import ROOT, TERM
from website.build import build_site
from website.class_sources import GradebookSource

ROWS = [
    RosterRow("ada", "Ada Lovelace", public=True, leaderboard=True),
    RosterRow("bob", "Bob Hidden", leaderboard=True),
    RosterRow("cyd", "Cyd", public=True),
    RosterRow("dan", "Dan", leaderboard=True),
]
SPEEDS = {"ada": (20_000, 22_000, 21_000), "bob": (21_500, 24_000, 23_000), COURSE: (30_000, 29_000, 31_000)}
"""Microseconds of a training step, run by run."""


def make_entry(student: str, low: float, high: float) -> BoardEntry:
    """Make an entry with three runs."""
    return BoardEntry(student, None, low, (low + high) / 2, high, 3, 0)


def list_ranks(*entries: BoardEntry, lower_is_better: bool = True) -> list[tuple[str, int | None]]:
    """List who has which rank, best first."""
    return [(one.student, one.rank) for one in rank_entries(entries, lower_is_better=lower_is_better)]


def test_overlapping_ranges_share_a_rank() -> None:
    """The next entry ranks behind all of them, ranges that touch overlap, and a single best entry is first."""
    assert list_ranks(make_entry("a", 1, 3), make_entry("b", 2, 4), make_entry("c", 5, 6)) == [
        ("a", 1),
        ("b", 1),
        ("c", 3),
    ]
    assert list_ranks(make_entry("a", 1, 2), make_entry("b", 2, 3)) == [("a", 1), ("b", 1)]
    assert list_ranks(make_entry("a", 1, 2), make_entry("b", 2.1, 3), make_entry("c", 2.5, 9)) == [
        ("a", 1),
        ("b", 2),
        ("c", 2),
    ]
    assert list_ranks(make_entry("a", 7, 7), make_entry("b", 7, 7)) == [("a", 1), ("b", 1)]


def test_who_is_linked_by_overlaps_shares_a_rank() -> None:
    """A wide range joins the entries at its two ends, whichever direction is better."""
    three = (make_entry("a", 1, 2), make_entry("wide", 1.5, 9), make_entry("b", 8, 9))
    assert {rank for _, rank in list_ranks(*three)} == {1}
    assert {rank for _, rank in list_ranks(*three, lower_is_better=False)} == {1}
    assert list_ranks(make_entry("a", 1, 2), make_entry("b", 3, 4), lower_is_better=False) == [("b", 1), ("a", 2)]


def test_the_course_takes_nobody_s_place() -> None:
    """The course is listed at its median, has no rank, and links nobody's ranges."""
    found = list_ranks(make_entry("a", 1, 2), make_entry(COURSE, 1, 9), make_entry("b", 3, 4))
    assert found == [("a", 1), ("b", 2), (COURSE, None)]


def make_measured_result(student: str, turn: int, number: int) -> Result:
    """Make a result of milestone 4."""
    step = SPEEDS.get(student, SPEEDS[COURSE])[turn]
    times = Picture(
        name="step_microseconds", seed=1, shape=(3,), labels=("06", "13", "alone"), values=(50_000, step, 10_000)
    )
    found = make_graded_result(number, milestone=4, at=TERM + timedelta(days=number, seconds=turn), pictures=(times,))
    timing = found.timing.model_copy(update={"training": (100.0 + turn, 104.0 + turn)})
    return found.model_copy(update={"timing": timing})


@pytest.fixture
def run_counts(class_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Create a class in which Ada, Bob and Cyd have milestone 4, and count the runs of a fake grader."""
    runs: Counter[str] = Counter()
    with open_gradebook(class_folder / FILE, make=True) as book:
        book.set_enrolled_students(ROWS)
        for number, student in enumerate(("ada", "bob", "cyd"), start=1):
            book.save_result(student, make_graded_result(number, milestone=4))

    def look_up(student: str, number: int) -> Result:
        """Count a run, and return the student's next measured result."""
        runs[student] += 1
        return make_measured_result(student, runs[student] - 1, number)

    def grade_all(tasks: list[GradingTask], *_: object, jobs: int) -> Iterator[TaskOutcome]:
        """Yield the fake result of each task."""
        assert jobs == 1
        for task in tasks:
            yield TaskOutcome(task, look_up(task.student, int(task.commit, 16)), None)

    monkeypatch.setattr(leaderboard, "grade_in_processes", grade_all)
    monkeypatch.setattr(leaderboard, "grade_milestone", lambda *_, **__: look_up(COURSE, 9))
    return runs


def test_only_who_agreed_and_has_it_is_run(class_folder: Path, run_counts: Counter[str]) -> None:
    """Each is run three times, and so is the course, since kernels are compared with the course's own."""
    assert run_leaderboard(ROOT, class_folder, SilentWatch()) == []
    assert run_counts == {"ada": 3, "bob": 3, COURSE: 3}
    assert run_leaderboard(ROOT, class_folder, SilentWatch()) == []
    assert run_counts.total() == 9  # what is there is not run again
    run_leaderboard(ROOT, class_folder, SilentWatch(), runs=0)
    assert run_leaderboard(ROOT, class_folder, SilentWatch(), milestones=(2,)) == []
    assert run_counts.total() == 9


@pytest.mark.usefixtures("run_counts")
def test_the_newest_commit_that_unlocked_it_is_run(class_folder: Path) -> None:
    """Fetched commits are preferred, since a commit before a deadline may never have been fetched."""
    with open_gradebook(class_folder / FILE) as book:
        book.save_result("ada", make_graded_result(5, milestone=4, at=TERM + timedelta(days=1)))
        book.save_result("ada", make_graded_result(6, milestone=4, met=1, at=TERM + timedelta(days=2)))
        assert list_leaderboard_tasks(book, ROOT, class_folder)[0].commit == format_commit(5)
        fetched = class_folder / "repositories" / "ada.git" / "refs" / "tinytorch" / format_commit(1)
        fetched.parent.mkdir(parents=True)
        fetched.write_text(format_commit(1))
        assert list_leaderboard_tasks(book, ROOT, class_folder)[0].commit == format_commit(1)


def test_an_interrupted_leaderboard_goes_on(class_folder: Path, run_counts: Counter[str]) -> None:
    """Everybody is run once before anybody is run twice, and measurements are kept."""
    run_leaderboard(ROOT, class_folder, SilentWatch(), runs=1)
    assert run_counts == {"ada": 1, "bob": 1, COURSE: 1}
    run_leaderboard(ROOT, class_folder, SilentWatch(), runs=3)
    assert run_counts == {"ada": 3, "bob": 3, COURSE: 3}


@pytest.mark.usefixtures("run_counts")
def test_kernels_are_compared_with_the_course_s_own(class_folder: Path) -> None:
    """The course's 30 ms is compared with Ada's 20 to 22; Bob's range overlaps hers; training times are absolute."""
    run_leaderboard(ROOT, class_folder, SilentWatch())
    with open_gradebook(class_folder / FILE) as book:
        kernels, seconds = rank_boards(book)
    assert (kernels.board.name, seconds.board.name) == ("kernels", "seconds")
    ada, bob, course = kernels.entries
    assert (ada.student, ada.rank, ada.low, ada.high) == ("ada", 1, pytest.approx(30 / 22), 1.5)
    assert (bob.student, bob.rank, bob.runs) == ("bob", 1, 3)
    assert (course.student, course.rank, course.middle) == (COURSE, None, 1)
    assert (seconds.entries[0].low, seconds.entries[0].high) == (100, 106)


@pytest.mark.usefixtures("run_counts")
def test_a_run_that_does_not_unlock_again_is_counted(class_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a run measures nothing and is reported. One that the grader could not judge is a problem, and is retried."""
    usual = leaderboard.grade_milestone

    def fail(*_: object, **__: object) -> Result:
        raise GraderError("the disk is full")

    monkeypatch.setattr(leaderboard, "grade_milestone", fail)
    assert run_leaderboard(ROOT, class_folder, SilentWatch(), runs=1) == ["the course, milestone 4: the disk is full"]
    monkeypatch.setattr(leaderboard, "grade_milestone", usual)
    never = make_measured_result("bob", 1, 2).model_copy(update={"verdict": Verdict.NOT_YET})
    monkeypatch.setattr(leaderboard, "grade_in_processes", lambda tasks, *_, **__: [TaskOutcome(tasks[0], never, None)])
    run_leaderboard(ROOT, class_folder, SilentWatch(), runs=2)
    with open_gradebook(class_folder / FILE) as book:
        kernels, _ = rank_boards(book)
    bob = next(one for one in kernels.entries if one.student == "bob")
    assert (bob.runs, bob.failed, bob.low == bob.high) == (2, 1, True)


@pytest.mark.usefixtures("run_counts")
def test_no_grade_comes_of_it(class_folder: Path) -> None:
    """Scores stay as they were, and a renamed student keeps their rank."""
    manifest = load_manifest(ROOT)
    with open_gradebook(class_folder / FILE) as book:
        before = compute_scores(book, manifest)
    run_leaderboard(ROOT, class_folder, SilentWatch())
    with open_gradebook(class_folder / FILE) as book:
        assert compute_scores(book, manifest) == before
        assert len(book.list_gradings()) == 3
    renamed = [RosterRow("ada_uni", leaderboard=True), *ROWS[1:]]
    with open_gradebook(class_folder / FILE) as book:
        book.set_enrolled_students(renamed)
    rename_student(class_folder, renamed, "ada", "ada_uni")
    with open_gradebook(class_folder / FILE) as book:
        assert {run.student for run in read_leaderboard_runs(book)} == {"ada_uni", "bob", COURSE}
        assert [task.student for task in list_leaderboard_tasks(book, ROOT, class_folder)] == ["ada_uni", "bob", COURSE]


@pytest.mark.usefixtures("run_counts")
def test_who_takes_it_back_is_gone(class_folder: Path) -> None:
    """Runs stay in the gradebook, but none of them is shown."""
    run_leaderboard(ROOT, class_folder, SilentWatch())
    with open_gradebook(class_folder / FILE) as book:
        book.set_enrolled_students([ROWS[0], RosterRow("bob", "Bob Hidden")])
        assert {e.student for ranking in rank_boards(book) for e in ranking.entries} == {"ada", COURSE}
        book.set_enrolled_students([RosterRow("ada")])
        assert list(rank_boards(book)) == []


@pytest.mark.usefixtures("run_counts")
def test_the_site_shows_names_of_those_who_agreed_to_that(class_folder: Path) -> None:
    """Bob is on the board under his pseudonym, and no page shows anybody else except by pseudonym."""
    source, site = GradebookSource(class_folder / FILE), class_folder.parent / "site"
    build_site(source, site)
    assert not (site / "class" / "leaderboard.html").exists()
    assert "leaderboard" not in (site / "class" / "index.html").read_text("utf-8")
    run_leaderboard(ROOT, class_folder, SilentWatch())
    assert build_site(source, site, left_out=("cyd",)).written
    page = (site / "class" / "leaderboard.html").read_text("utf-8")
    assert "Ada Lovelace" in page
    assert "Hidden" not in page
    assert page.count("/portfolio.html") == 4
    assert "1.43×" in page
    assert 'href="../class/leaderboard.html"' in (site / "class" / "index.html").read_text("utf-8")
    assert build_site(source, site, left_out=("cyd",)).written == 0
    build_site(source, site, left_out=("bob", "cyd"))
    assert (site / "class" / "leaderboard.html").read_text("utf-8").count("/portfolio.html") == 2
    build_site(source, site, left_out=("ada", "bob", "cyd"))
    assert not (site / "class" / "leaderboard.html").exists()
