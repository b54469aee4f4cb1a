"""The class's page shows how far everybody is, who may be stuck, and what is failed most."""

from __future__ import annotations

import json
from dataclasses import replace

from desk.cohort import CohortMember, RecordEntry
from desk.stuck import LEAST
from grading.manifest.model import Manifest
from grading.result import Failure, Result
from tests.render.results import build_criterion, build_failure, build_not_yet, build_result
from tests.website.conftest import make_attempt, make_member, make_started_event
from website.class_overview import build_class_overview
from website.student_story import build_student_story
from website.student_summary import StudentSummary, parse_summary, summarize_story


def summarize_member(manifest: Manifest, who: CohortMember, pseudonym: str = "quiet-otter-40391") -> StudentSummary:
    """Summarize a member's story under this pseudonym."""
    return summarize_story(
        build_student_story(replace(who, student=replace(who.student, pseudonym=pseudonym)), manifest), manifest
    )


def test_a_summary_comes_back_from_json(manifest: Manifest) -> None:
    """A summary saved between two builds is read back unchanged."""
    made = summarize_member(
        manifest,
        make_member(
            make_started_event("01_setup"),
            make_attempt(make_failing_result(), 1),
            make_attempt(make_passing_result(), 2),
        ),
    )
    assert parse_summary(json.loads(json.dumps(made.to_plain()))) == made
    assert made.tasks["2.3"].records == 1
    assert not made.tasks["2.3"].open


def test_the_highest_score_comes_first(manifest: Manifest) -> None:
    """Repeated failures of one task weigh most, then weeks without progress; each score shows its reasons."""
    again = [make_attempt(make_failing_result(), day) for day in (1, 2, 3)]
    overview = build_class_overview(
        [
            summarize_member(manifest, make_member(make_started_event("01_setup", 20)), "fresh-a-1"),
            summarize_member(manifest, make_member(make_started_event("01_setup", 5)), "quiet-b-1"),
            summarize_member(manifest, make_member(make_started_event("01_setup", 0), *again), "again-c-1"),
            summarize_member(manifest, make_member(), "empty-d-1"),
        ],
        manifest,
    )
    told = [(row.summary.pseudonym, row.need.score, row.reasons) for row in overview.rows]
    assert told == [
        ("again-c-1", 5, ("task 2.3 failed 3 times in a row", "20 days without progress")),
        ("quiet-b-1", 2, ("15 days without progress",)),
        ("empty-d-1", 2, ("nothing recorded yet",)),
        ("fresh-a-1", 0, ()),
    ]
    assert [row.summary.pseudonym for row in overview.stuck] == ["again-c-1"]


def test_at_most_a_tenth_of_a_class_may_be_stuck(manifest: Manifest) -> None:
    """The limit holds however many have the points; among equals, those who worked last are listed."""
    again = [
        summarize_member(
            manifest, make_member(*(make_attempt(make_failing_result(), d + n / 100) for d in (1, 2, 3))), f"a-{n}"
        )
        for n in range(25)
    ]
    overview = build_class_overview(again, manifest)
    assert all(row.need.score >= LEAST for row in overview.rows)
    assert [row.summary.pseudonym for row in overview.stuck] == ["a-24", "a-23"]


def test_nobody_is_stuck_who_has_everything(manifest: Manifest) -> None:
    """Weeks without a record then do not count as being stuck."""
    done = replace(summarize_member(manifest, make_member(make_started_event("01_setup"))), towards=None)
    late = summarize_member(manifest, make_member(make_started_event("01_setup", 40)), "late-b-1")
    assert {row.summary.pseudonym: row.need.score for row in build_class_overview([done, late], manifest).rows}[
        done.pseudonym
    ] == 0


def test_a_module_has_the_results_it_took(manifest: Manifest) -> None:
    """Results count up to the first that passes. Later failures do not count, and an open module counts all."""
    events = [
        make_attempt(make_failing_result(), 1),
        make_attempt(make_failing_result(), 2),
        make_attempt(make_passing_result(), 3),
        make_attempt(make_failing_result(), 4),
    ]
    efforts = summarize_member(
        manifest, make_member(make_started_event("01_setup"), *events, make_started_event("05_dense", 5))
    ).efforts
    assert (efforts["02_tensor"].tries, efforts["02_tensor"].completed_at is not None) == (3, True)
    assert (efforts["01_setup"].tries, efforts["05_dense"].tries) == (1, 0)
    assert efforts["05_dense"].completed_at is None
    assert "06_spatial" not in efforts


def test_the_week_is_told_beside_the_one_before(manifest: Manifest) -> None:
    """Weeks are counted back from the newest record, and show who unlocked what."""
    students = [
        summarize_member(manifest, make_member(make_attempt(build_result(), 20)), "new-a-1"),
        summarize_member(
            manifest, make_member(make_started_event("01_setup", 5), make_attempt(build_result(), 10)), "old-b-1"
        ),
        summarize_member(manifest, make_member(make_started_event("01_setup", 19)), "try-c-1"),
    ]
    changes = {change.label: change for change in build_class_overview(students, manifest).changes}
    first = changes["Milestone 1 unlocked"]
    assert (first.now, first.before, [s.pseudonym for s in first.who]) == (1, 1, ["new-a-1"])
    assert (changes["Students with a record"].now, changes["Students with a record"].before) == (2, 1)
    assert (changes["Modules completed"].now, changes["Modules completed"].before) == (4, 4)


def test_unlocks_add_up_over_time(manifest: Manifest) -> None:
    """Steps are weeks up to the newest record. A long term has longer steps, and a few days have no picture."""
    early, late = (
        make_member(make_started_event("01_setup"), make_attempt(build_result(), 3)),
        make_member(make_attempt(build_result(), 27)),
    )
    unlocks = build_class_overview(
        [summarize_member(manifest, early, "a-a-1"), summarize_member(manifest, late, "b-b-1")], manifest
    ).unlocks
    assert unlocks is not None
    assert (unlocks.days, unlocks.counts[0], unlocks.counts[1]) == (7, (0, 1, 1, 1, 2), (0, 0, 0, 0, 0))
    year = build_class_overview(
        [summarize_member(manifest, make_member(make_started_event("01_setup"), make_attempt(build_result(), 365)))],
        manifest,
    ).unlocks
    assert year is not None
    assert (year.days, len(year.ends) <= 21) == (21, True)
    assert build_class_overview([summarize_member(manifest, early)], manifest).unlocks is None


def test_criteria_are_items_with_attempts_and_discrimination(manifest: Manifest) -> None:
    """Unmeasured criteria do not count. The weak half fails both criteria, so these separate strong from weak."""
    name = manifest.milestone(1).criteria[1].name
    weak = [
        build_criterion(
            "failed", 0.5, name="module_tests", failures=(build_failure(task="2.3"), build_failure(task="3.1"))
        ),
        build_criterion("failed", 0.5, name=name),
    ]
    students = [
        summarize_member(
            manifest,
            make_member(make_attempt(build_not_yet(criteria=tuple(weak)), 1), make_attempt(make_passing_result(), 2)),
            f"weak-{n}",
        )
        for n in range(6)
    ] + [
        summarize_member(
            manifest,
            make_member(
                make_attempt(build_result(build_criterion(name="module_tests"), build_criterion(name=name)), 1)
            ),
            f"s-{n}",
        )
        for n in range(6)
    ]
    items = build_class_overview(students, manifest).items
    tests = next(item for item in items.criteria if item.id == "1/module_tests")
    assert (tests.graded_student_count, tests.failed, tests.open) == (12, 6, 0)
    assert (tests.statistics.passed_first, tests.statistics.tries, tests.statistics.discrimination) == (6, 1.5, 1.0)
    other = next(item for item in items.criteria if item.id == f"1/{name}")
    assert (other.statistics.unpassed, other.open) == (6, 6)
    task = next(item for item in items.tasks if item.id == "2.3")
    assert task.statistics.discrimination == 1.0
    assert next(item for item in items.tasks if item.id == "1.1").statistics.discrimination is None


def test_another_task_in_between_ends_the_row(manifest: Manifest) -> None:
    """Only consecutive failures of the same task count as being stuck at it."""
    made = summarize_member(
        manifest,
        make_member(
            make_attempt(make_failing_result(), 1),
            make_attempt(make_failing_result("3.1"), 2),
            make_attempt(make_failing_result(), 3),
        ),
    )
    assert (made.repeated, made.times) == ("2.3", 1)


def test_a_forged_date_makes_nobody_look_late(manifest: Manifest) -> None:
    """Ages are counted back from the newest verified record."""
    forged = make_member(
        RecordEntry(make_attempt(build_result(), 40_000), verified=False, reason="it is not in the ledger")
    )
    honest = make_member(make_started_event("01_setup", 1))
    overview = build_class_overview(
        [summarize_member(manifest, forged, "a-a-1"), summarize_member(manifest, honest, "b-b-1")], manifest
    )
    assert overview.newest is not None
    assert overview.newest.year == 2026


def test_tasks_are_counted_over_students_whose_work_was_graded(manifest: Manifest) -> None:
    """One of two failed 2.3 once, but no longer does; modules in which nobody was graded are not listed."""
    students = [
        summarize_member(
            manifest,
            make_member(make_attempt(make_failing_result(), 1), make_attempt(make_passing_result(), 2)),
            "a-a-1",
        ),
        summarize_member(manifest, make_member(make_attempt(make_passing_result(), 1)), "b-b-1"),
    ]
    items = {item.id: item for item in build_class_overview(students, manifest).items.tasks}
    item = items["2.3"]
    assert (item.graded_student_count, item.failed, item.open, item.records) == (2, 1, 0, 1)
    assert items["2.3"].percent == 50
    assert items["4.1"].failed == 0
    assert "5.1" not in items


def test_questions_are_known_by_their_titles(manifest: Manifest) -> None:
    """A missed question counts for its milestone; a title that merely looks like a question's does not."""
    question = manifest.milestone(1).questions[0].id
    missed = (
        Failure(title=f"Question {question} is answered correctly"),
        Failure(title="Question <b>x</b> is answered correctly"),
    )
    quiz = build_criterion("failed", 0.5, name="quiz", failures=missed)
    questions = build_class_overview(
        [summarize_member(manifest, make_member(make_attempt(build_not_yet(criteria=(quiz,)))))], manifest
    ).items.questions
    worst = questions[0]
    assert (worst.id, worst.graded_student_count, worst.failed, worst.open) == (f"1/{question}", 1, 1, 1)
    assert [item.failed for item in questions[1:]] == [0] * (len(manifest.milestone(1).questions) - 1)


def test_the_distribution_adds_up(manifest: Manifest) -> None:
    """Everybody is counted in exactly one place, and with exactly their milestones."""
    students = [
        summarize_member(manifest, make_member(make_attempt(build_result())), "a-a-1"),
        summarize_member(manifest, make_member(make_started_event("01_setup")), "b-b-1"),
        summarize_member(manifest, make_member(), "c-c-1"),
    ]
    overview = build_class_overview(students, manifest)
    assert [share.count for share in overview.unlocked] == [1, 0, 0, 0, 0]
    assert sum(share.count for share in overview.places) == 3
    assert {share.label: share.count for share in overview.places}["05 dense"] == 1


def make_failing_result(task: str = "2.3") -> Result:
    """Make a result in which a test of this task fails."""
    tests = build_criterion("failed", 0.9, name="module_tests", failures=(build_failure(task=task),))
    return build_not_yet(criteria=(tests,))


def make_passing_result() -> Result:
    """Make a result in which all module tests pass."""
    return build_result(build_criterion(name="module_tests"))
