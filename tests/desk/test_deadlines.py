"""Lateness is counted from the deadline with every extension, using pushes that a server recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from desk.extensions import find_idle_extensions, find_student_terms
from desk.gradebook import CommitSubmission, Visit, open_gradebook
from desk.pushes import NONE, Push, ReflogSource, find_first_push, find_last_push
from desk.roster import RosterRow
from desk.scores import compute_scores
from grading.deadlines import DeadlineTerms
from grading.manifest.loader import load_manifest
from grading.manifest.model import Deadlines, Manifest
from tests.desk.books import MAIN, fill_gradebook, format_commit, make_graded_result
from tests.desk.school import ROOT, School

DEADLINES = Deadlines.model_validate(
    {
        "timezone": "Europe/Berlin",
        "late": {"grace_minutes": 30, "off_per_day": 0.1, "days": 3},
        "due": ({"milestone": 1, "at": "2026-10-23 23:59"},),
        "extensions": (
            {"section": "evening", "days": 2},
            {"section": "evening", "days": 1, "milestones": (1,)},
            {"section": "other", "days": 9},
        ),
    }
)
DUE = datetime(2026, 10, 23, 21, 59, 59, tzinfo=UTC)
"""23:59 in Berlin, in summer, until that minute is over."""


def test_a_deadline_is_a_wall_clock_s_and_extensions_move_its_day() -> None:
    """Two days for the section and one for the student cross the end of summer time, to the same hour."""
    plain = find_student_terms(DEADLINES, 1, RosterRow("ada"))
    moved = find_student_terms(DEADLINES, 1, RosterRow("ada", section="evening", extension_days=1))
    assert plain is not None
    assert moved is not None
    assert plain.due == DUE
    assert moved.due == DUE + timedelta(days=3, hours=1)
    assert find_student_terms(DEADLINES, 2, RosterRow("ada")) is None
    assert find_student_terms(None, 1, RosterRow("ada")) is None


@pytest.mark.parametrize(
    ("late", "days", "factor"),
    [
        (timedelta(days=-9), 0, 1.0),
        (timedelta(0), 0, 1.0),
        (timedelta(minutes=30), 0, 1.0),
        (timedelta(minutes=31), 1, 0.9),
        (timedelta(days=1), 1, 0.9),
        (timedelta(days=1, seconds=1), 2, 0.8),
        (timedelta(days=3, hours=1), 3, 0.7),  # summer time has ended
        (timedelta(days=3, hours=1, seconds=1), 4, 0.0),
    ],
)
def test_what_lateness_leaves(late: timedelta, days: int, factor: float) -> None:
    """Nothing is deducted in the grace period, then a tenth for each day or part-day, and everything after the last."""
    due = find_student_terms(DEADLINES, 1, RosterRow("ada"))
    assert due is not None
    assert due.count_late_days(DUE + late) == days
    assert due.compute_remaining_share(DUE + late) == pytest.approx(factor)


def make_terms(zone: str, at: str, days: int = 3) -> DeadlineTerms:
    """Make a deadline in this zone, with a tenth off for each day and no grace period."""
    late = {"off_per_day": 0.1, "days": days}
    found = find_student_terms(
        Deadlines.model_validate({"timezone": zone, "late": late, "due": ({"milestone": 1, "at": at},)}),
        1,
        RosterRow("ada"),
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("zone", "at", "pushed", "days"),
    [
        ("Europe/Berlin", "2026-10-24 23:59", "2026-10-25T23:30+01:00", 1),  # this day has 25 hours
        ("Europe/Berlin", "2026-10-24 23:59", "2026-10-26T00:01+01:00", 2),
        ("Europe/Berlin", "2026-03-28 23:59", "2026-03-29T23:59:59+02:00", 1),  # and this one 23
        ("Europe/Berlin", "2026-03-28 23:59", "2026-03-30T00:00+02:00", 2),
        ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25T02:30+01:00", 0),  # shown twice: the later is meant
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29T03:30+02:00", 0),  # shown never
        ("US/Eastern", "2026-10-31 23:59", "2026-11-01T23:30-05:00", 1),
        ("Australia/Lord_Howe", "2026-04-04 23:59", "2026-04-05T23:45+10:30", 1),  # clocks move by half an hour
        ("Pacific/Apia", "2011-12-29 23:59", "2011-12-31T23:30+14:00", 1),  # 30 December 2011 was left out there
    ],
)
def test_late_days_are_the_calendar_s(zone: str, at: str, pushed: str, days: int) -> None:
    """A day late lasts until the same hour of the next day, however many hours that is."""
    assert make_terms(zone, at).count_late_days(datetime.fromisoformat(pushed)) == days


def test_the_last_late_day_ends_at_the_deadline_s_hour() -> None:
    """After three days over the end of summer time, not an hour before."""
    due = make_terms("Europe/Berlin", "2026-10-24 23:59")
    assert due.last_scoring_moment == datetime(2026, 10, 27, 22, 59, 59, tzinfo=UTC)
    assert due.compute_remaining_share(due.last_scoring_moment) == pytest.approx(0.7)
    assert due.compute_remaining_share(due.last_scoring_moment + timedelta(seconds=1)) == 0


def test_a_zone_is_known_on_a_machine_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package tzdata contains all zones: containers have none, and Debian packages US/Eastern separately."""
    monkeypatch.setattr("zoneinfo.TZPATH", ())
    monkeypatch.setattr("zoneinfo._tzpath.TZPATH", ())
    ZoneInfo.clear_cache()
    assert str(ZoneInfo.no_cache("US/Eastern")) == "US/Eastern"


def test_an_extension_may_be_for_one_milestone_alone() -> None:
    """It replaces the student's days for all milestones; the section's days are added in either case."""
    row = RosterRow("ada", section="evening", extension_days=1, milestone_days=((1, 4),))
    found = find_student_terms(DEADLINES, 1, row)
    assert found is not None
    assert found.local.day == DUE.day + 4 + 2
    assert (row.get_own_extension_days(1), row.get_own_extension_days(2)) == (4, 1)


def test_extensions_that_reach_nobody_are_named() -> None:
    """Reported are a misspelt or empty section, a milestone without a deadline, and days without any deadlines."""
    rows = [RosterRow("ada", section="Evening"), RosterRow("bob", section="other", milestone_days=((2, 3),))]
    (section, also, milestone) = find_idle_extensions(DEADLINES, rows)
    assert section == (
        "milestones.yaml gives section evening 2 days more, but nobody is in that section: the roster's sections are "
        "Evening, other."
    )
    assert "section evening 1 day more" in also
    assert milestone == "The roster gives bob 3 days more for milestone 2, which has no deadline."
    assert list(find_idle_extensions(None, [RosterRow("ada", extension_days=2)])) == [
        "The roster gives ada 2 days more, but milestones.yaml has no deadlines."
    ]
    assert (
        list(find_idle_extensions(DEADLINES, [RosterRow("ada", section="evening"), RosterRow("bob", section="other")]))
        == []
    )


def test_which_push_counts() -> None:
    """The last push before the deadline counts.

    A commit arrived when first pushed, and a server's time is preferred.
    """
    pushes = [
        Push(MAIN, format_commit(1), DUE - timedelta(days=2), "github"),
        Push(MAIN, format_commit(2), DUE, "github"),
        Push(MAIN, format_commit(1), DUE + timedelta(days=1), "github"),
        Push(MAIN, format_commit(2), DUE - timedelta(days=9), "seen"),
    ]
    found = find_last_push(pushes, DUE)
    assert found is not None
    assert found.commit == format_commit(2)
    assert find_last_push(pushes, DUE - timedelta(days=30)) is None
    assert find_first_push(pushes, format_commit(1)) == pushes[0]
    assert find_first_push(pushes, format_commit(2)) == pushes[1]
    assert find_first_push(pushes, format_commit(3)) is None


def test_a_reflog_knows_when_and_commit_dates_do_not_matter(tmp_path: Path) -> None:
    """A commit dated a year back is as late as its push."""
    school = School(tmp_path)
    school.enroll_student("ada")
    commit = school.push_files("ada", {"a": "1"}, at=DUE + timedelta(days=1), committed=DUE - timedelta(days=365))
    address = f"file://{school.get_repository_path('ada')}"
    assert ReflogSource().list_pushes(address, MAIN, None) == (Push(MAIN, commit, DUE + timedelta(days=1), "reflog"),)
    assert ReflogSource().list_pushes(address, MAIN, DUE + timedelta(days=2)) == ()
    assert ReflogSource().list_pushes("https://github.com/a/b", MAIN, None) == ()
    with (school.get_repository_path("ada") / "logs" / MAIN).open("ab") as log:
        log.write(f"{commit} {NONE} a <a@b> 1 +0000\nnonsense\n\xff\n".encode("latin-1"))
    assert len(ReflogSource().list_pushes(address, MAIN, None)) == 1


def due_manifest() -> Manifest:
    """Load the course with these deadlines."""
    return load_manifest(ROOT).model_copy(update={"deadlines": DEADLINES})


def test_the_grading_that_scores_most_counts(class_folder: Path) -> None:
    """Half on time beats everything too late, and loses to everything a day late."""
    rows = [RosterRow("ada"), RosterRow("bob"), RosterRow("cyd", extension_days=5), RosterRow("dan")]
    early, late, too_late = DUE - timedelta(days=1), DUE + timedelta(hours=20), DUE + timedelta(days=4)
    work = {"ada": [(1, 1, early), (2, 2, too_late)], "bob": [(3, 1, early), (4, 2, late)], "cyd": [(5, 2, too_late)]}
    with open_gradebook(fill_gradebook(class_folder / "g.sqlite", rows, work)) as book:
        found = compute_scores(book, due_manifest())
        without = compute_scores(book, load_manifest(ROOT))
    ada, bob, cyd, dan = (found[row.id][1] for row in rows)
    assert (ada.points, ada.verdict, ada.days_late, ada.attempts) == (50.0, "not_yet", 0, 2)
    assert (bob.points, bob.verdict, bob.days_late) == (90.0, "unlocked", 1)
    assert (cyd.points, cyd.days_late) == (100.0, 0)
    assert (dan.points, dan.verdict, dan.attempts) == (None, None, 0)
    assert without["ada"][1].points == 100.0


def test_what_is_not_begun_is_nothing_until_it_is_too_late(class_folder: Path) -> None:
    """After that it scores 0, as far as the last visit can tell."""
    with open_gradebook(fill_gradebook(class_folder / "g.sqlite", [RosterRow("ada")], {})) as book:
        for days, points in ((2, None), (3, None), (4, 0.0)):
            book.save_visit(Visit("ada", DUE + timedelta(days=days)))
            assert compute_scores(book, due_manifest())["ada"][1].points == points
            assert compute_scores(book, load_manifest(ROOT))["ada"][1].points is None


def test_an_error_is_no_score_and_takes_none_away(class_folder: Path) -> None:
    """An error alone leaves the score open; any other result for the same files counts."""
    path = fill_gradebook(class_folder / "g.sqlite", [RosterRow("ada"), RosterRow("bob")], {"ada": [(1, 2, DUE)]})
    with open_gradebook(path) as book:
        for student in ("ada", "bob"):
            book.save_result(student, make_graded_result(1, at=DUE + timedelta(days=9), verdict="error"))
        found = compute_scores(book, load_manifest(ROOT))
    assert found["ada"][1].points == 100.0
    assert (found["bob"][1].points, found["bob"][1].verdict) == (None, "error")


def test_a_submission_is_as_old_as_its_first_commit(class_folder: Path) -> None:
    """Pushing the same files again, or changing other files, makes nobody late."""
    path = fill_gradebook(class_folder / "g.sqlite", [RosterRow("ada")], {"ada": [(2, 2, DUE + timedelta(days=2))]})
    with open_gradebook(path) as book:
        (one,) = book.list_gradings()
        book.save_pushes("ada", [Push(MAIN, format_commit(1), DUE - timedelta(days=1), "github")])
        book.save_submissions([CommitSubmission("ada", format_commit(1), one.course_digest, 1, one.submission_digest)])
        found = compute_scores(book, due_manifest())
    assert (found["ada"][1].points, found["ada"][1].days_late) == (100.0, 0)
