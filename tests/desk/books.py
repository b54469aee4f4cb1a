"""Gradebooks for tests, filled without grading."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from desk.gradebook import CommitSubmission, Visit, open_gradebook
from desk.pushes import Push
from desk.roster import RosterRow
from grading.result import Result
from tests.desk.school import TERM
from tests.render.results import build_criterion, build_loss_criterion, build_result

MAIN = "refs/heads/main"


def format_commit(number: int) -> str:
    """Format a commit id from a number."""
    return f"{number:040x}"


def make_graded_result(
    number: int, *, met: int = 2, at: datetime = TERM, milestone: int = 1, **changes: object
) -> Result:
    """Make an official result of commit `number` that meets this many of two criteria, with its own files."""
    criteria = (
        build_criterion() if met > 0 else build_criterion("failed", 0.5),
        build_loss_criterion() if met > 1 else build_loss_criterion("failed", 0.2),
    )
    made = build_result(*criteria, official=True, started_at=at, milestone=milestone, **changes)
    verdict = made.verdict if "verdict" in changes or met == 2 else "not_yet"
    about = made.submission.model_copy(update={"commit": format_commit(number), "digest": f"{number:064x}"})
    return Result.model_validate(made.model_dump() | {"submission": about.model_dump(), "verdict": verdict})


def fill_gradebook(path: Path, rows: Sequence[RosterRow], work: dict[str, Sequence[tuple[int, int, datetime]]]) -> Path:
    """Fill a gradebook for these students from (commit, criteria met, pushed at), each graded an hour later."""
    with open_gradebook(path, make=True) as book:
        book.set_enrolled_students(rows)
        for student, commits in work.items():
            for number, met, at in commits:
                one = make_graded_result(number, met=met, at=at + timedelta(hours=1))
                book.save_pushes(student, [Push(MAIN, format_commit(number), at, "github")])
                book.save_submissions(
                    [CommitSubmission(student, format_commit(number), one.course.digest, 1, one.submission.digest)]
                )
                book.save_result(student, one)
                book.save_visit(Visit(student, at + timedelta(hours=1), MAIN, format_commit(number)))
    return path
