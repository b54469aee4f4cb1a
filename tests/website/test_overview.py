"""The class's page: who is where, who may be stuck, and what is missed most."""

from __future__ import annotations

import json
from dataclasses import replace

from desk.cohort import Entry, Member
from grading.manifest.model import Manifest
from grading.result import Failure, Result
from tests.render.results import criterion, failure, not_yet, result
from tests.website.conftest import attempt, member, started
from website.overview import overlook
from website.story import tell
from website.summary import Summary, from_plain, summarise


def summary(manifest: Manifest, who: Member, pseudonym: str = "quiet-otter-40391") -> Summary:
    return summarise(tell(replace(who, student=replace(who.student, pseudonym=pseudonym)), manifest), manifest)


def test_a_summary_comes_back_from_json(manifest: Manifest) -> None:
    """What is kept between two runs is what was made."""
    made = summary(manifest, member(started("01_setup"), attempt(failing(), 1), attempt(passing(), 2)))
    assert from_plain(json.loads(json.dumps(made.plain()))) == made
    assert made.tasks["2.3"].records == 1
    assert not made.tasks["2.3"].open


def test_those_who_fail_the_same_task_again_come_first(manifest: Manifest) -> None:
    """Then those without progress for long, then the others; each with the reason."""
    again = [attempt(failing(), day) for day in (1, 2, 3)]
    overview = overlook(
        [
            summary(manifest, member(started("01_setup", 20)), "fresh-a-1"),
            summary(manifest, member(started("01_setup", 5)), "quiet-b-1"),
            summary(manifest, member(started("01_setup", 0), *again), "again-c-1"),
            summary(manifest, member(), "empty-d-1"),
        ],
        manifest,
    )
    told = [(row.summary.pseudonym, row.reasons) for row in overview.rows]
    assert told == [
        ("again-c-1", ("task 2.3 failed 3 times in a row", "20 days without progress")),
        ("quiet-b-1", ("15 days without progress",)),
        ("empty-d-1", ("nothing recorded yet",)),
        ("fresh-a-1", ()),
    ]
    assert overview.stuck == 3


def test_another_task_in_between_ends_the_row(manifest: Manifest) -> None:
    """Only failures of the same task one after another count as being stuck at it."""
    made = summary(manifest, member(attempt(failing(), 1), attempt(failing("3.1"), 2), attempt(failing(), 3)))
    assert (made.repeated, made.times) == ("2.3", 1)


def test_a_forged_date_makes_nobody_look_late(manifest: Manifest) -> None:
    """Ages are told as of the newest verified record."""
    forged = member(Entry(attempt(result(), 40_000), verified=False, reason="it is not in the ledger"))
    honest = member(started("01_setup", 1))
    overview = overlook([summary(manifest, forged, "a-a-1"), summary(manifest, honest, "b-b-1")], manifest)
    assert overview.newest is not None
    assert overview.newest.year == 2026


def test_tasks_are_counted_over_students_whose_work_was_graded(manifest: Manifest) -> None:
    """One of two missed 2.3 once, and does no more; modules nobody was graded on are not listed."""
    students = [
        summary(manifest, member(attempt(failing(), 1), attempt(passing(), 2)), "a-a-1"),
        summary(manifest, member(attempt(passing(), 1)), "b-b-1"),
    ]
    items = {item.id: item for item in overlook(students, manifest).tasks}
    assert (items["2.3"].met, items["2.3"].failed, items["2.3"].open, items["2.3"].records) == (2, 1, 0, 1)
    assert items["2.3"].percent == 50
    assert items["4.1"].failed == 0
    assert "5.1" not in items


def test_questions_are_known_by_their_titles(manifest: Manifest) -> None:
    """A missed question counts at its milestone; a title that only looks like one does not."""
    question = manifest.milestone(1).questions[0].id
    missed = (
        Failure(title=f"Question {question} is answered correctly"),
        Failure(title="Question <b>x</b> is answered correctly"),
    )
    quiz = criterion("failed", 0.5, name="quiz", failures=missed)
    overview = overlook([summary(manifest, member(attempt(not_yet(criteria=(quiz,)))))], manifest)
    worst = overview.questions[0]
    assert (worst.id, worst.met, worst.failed, worst.open) == (f"1/{question}", 1, 1, 1)
    assert [item.failed for item in overview.questions[1:]] == [0] * (len(manifest.milestone(1).questions) - 1)


def test_the_distribution_adds_up(manifest: Manifest) -> None:
    """Everybody is at one place, and has unlocked what they have."""
    students = [
        summary(manifest, member(attempt(result())), "a-a-1"),
        summary(manifest, member(started("01_setup")), "b-b-1"),
        summary(manifest, member(), "c-c-1"),
    ]
    overview = overlook(students, manifest)
    assert [share.count for share in overview.unlocked] == [1, 0, 0, 0, 0]
    assert sum(share.count for share in overview.places) == 3
    assert {share.label: share.count for share in overview.places}["05 dense"] == 1


def failing(task: str = "2.3") -> Result:
    tests = criterion("failed", 0.9, name="module_tests", failures=(failure(task=task),))
    return not_yet(criteria=(tests,))


def passing() -> Result:
    return result(criterion(name="module_tests"))
