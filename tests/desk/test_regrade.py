"""A mere change to the course changes no grade; a regrade does, and shows whose grades change, before and after."""

from __future__ import annotations

import csv
import io
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from desk.class_report import build_class_report
from desk.cohort import list_students_with_fingerprints, load_member_from_gradebook
from desk.collect import FILE, collect_class
from desk.courses import build_course_version, compare_courses
from desk.decisions import Policy, RegradeDecision, read_course_versions, read_regrade_decisions, save_regrade_decision
from desk.gradebook import SCHEMA, Gradebook, open_gradebook
from desk.grading_process import GradingTask
from desk.left_out import describe_earlier_course_grades
from desk.pool import TaskOutcome
from desk.pushes import ReflogSource
from desk.regrade import RegradeSummary, describe_course_change, regrade_class
from desk.regrade_page import format_regrade_csv, render_regrade_page, summarize_regrade
from desk.roster import RosterRow
from desk.score_export import format_csv_scores
from desk.scores import compute_scores
from desk.shards import merge_gradebooks
from grading.manifest.loader import load_manifest
from grading.render.progress_watch import SilentWatch
from grading.result import CourseRecord
from grading.sandbox.launch import choose_fence
from tests.desk.books import fill_gradebook, format_commit, make_graded_result
from tests.desk.school import BROKEN, ROOT, TERM, School, make_released_files
from website.student_story import build_student_story

OLD, NEW = "a" * 64, "b" * 64
DAY = timedelta(days=1)


def make_judged_result(number: int, met: int, digest: str, days: int = 0, **changes: object):
    """Make a result of commit ``number`` from one of two versions of the course."""
    course = CourseRecord(name="TinyTorch", version="0.1.0", digest=digest)
    return make_graded_result(number, met=met, at=TERM + days * DAY, course=course, **changes)


def decide_regrade(book: Gradebook, policy: Policy, days: int = 9, digest: str = NEW) -> None:
    """Save a decision about a version of the course, this many days into the term."""
    save_regrade_decision(book, RegradeDecision(digest, TERM + days * DAY, policy, "prof"))


@pytest.fixture
def book(class_folder: Path):
    """Fill a gradebook: Ada loses half with the new course, Bob gains half, and Cyd's work is not regraded."""
    with open_gradebook(class_folder / FILE, make=True) as made:
        made.set_enrolled_students([RosterRow("ada", "Ada"), RosterRow("bob"), RosterRow("cyd")])
        for number, (student, before, after) in enumerate((("ada", 2, 1), ("bob", 1, 2), ("cyd", 2, None)), start=1):
            made.save_result(student, make_judged_result(number, before, OLD))
            if after is not None:
                made.save_result(student, make_judged_result(number, after, NEW, days=3))
        yield made


def list_points_and_courses(book: Gradebook, today: str = NEW) -> list[tuple[float | None, str]]:
    """List everybody's points for milestone 1, and the version of the course that graded them."""
    found = compute_scores(book, load_manifest(ROOT), today=today)
    return [(one[1].points, one[1].judging_course_label) for one in found.values()]


BEFORE, AFTER = "0.1.0 (aaaaaaaa), an earlier version", "0.1.0 (bbbbbbbb)"


def test_a_course_that_changes_moves_no_grade(book: Gradebook) -> None:
    """Results from a later version of the course are kept but do not count until a regrade is decided."""
    assert list_points_and_courses(book) == [(100.0, BEFORE), (50.0, BEFORE), (100.0, BEFORE)]


@pytest.mark.parametrize(
    ("policy", "ada", "bob"),
    [
        ("replace", (50.0, AFTER), (100.0, AFTER)),
        ("keep_better", (100.0, BEFORE), (100.0, AFTER)),
        ("pin", (100.0, BEFORE), (50.0, BEFORE)),
    ],
)
def test_what_a_regrade_makes_of_grades(book: Gradebook, policy: Policy, ada: tuple, bob: tuple) -> None:
    """The new, the better or the old result counts; a result that was not regraded is kept and marked."""
    decide_regrade(book, policy)
    assert list_points_and_courses(book) == [ada, bob, (100.0, BEFORE)]


def test_the_last_decision_about_a_course_counts(book: Gradebook) -> None:
    """Pinning revokes a regrade, and a version of the course that returns can be decided on again."""
    decide_regrade(book, "replace", 9)
    decide_regrade(book, "pin", 10)
    assert list_points_and_courses(book)[0] == (100.0, BEFORE)
    decide_regrade(book, "replace", 11)
    assert list_points_and_courses(book)[0] == (50.0, AFTER)
    decide_regrade(book, "replace", 12, OLD)
    assert list_points_and_courses(book, today=OLD)[0] == (100.0, "0.1.0 (aaaaaaaa)")


def test_what_is_handed_in_after_the_change_is_the_new_course_s(book: Gradebook) -> None:
    """No other version has graded such a submission, and the best of all submissions counts as before."""
    book.save_result("bob", make_judged_result(7, 2, NEW, days=4))
    assert list_points_and_courses(book)[1] == (100.0, AFTER)


def test_a_grading_of_the_same_commit_is_the_same_submission(book: Gradebook) -> None:
    """A version of the course that reads different files computes a different digest, but still regrades the commit."""
    again = make_judged_result(3, 0, NEW, days=3)
    about = again.submission.model_copy(update={"digest": "f" * 64})
    book.save_result("cyd", again.model_copy(update={"submission": about}))
    assert list_points_and_courses(book)[2] == (100.0, BEFORE)
    decide_regrade(book, "replace")
    assert list_points_and_courses(book)[2] == (0.0, AFTER)


def test_a_report_and_the_exports_name_the_course(book: Gradebook) -> None:
    """The report and the exports mark a grade that is not from the current version of the course."""
    manifest = load_manifest(ROOT)
    decide_regrade(book, "replace")
    found = compute_scores(book, manifest, today=NEW)
    ada, _, cyd = csv.DictReader(io.StringIO(format_csv_scores(book.list_students(), found, manifest)))
    assert (ada["milestone_1_course"], ada["milestone_1_current_course"]) == ("0.1.0 (bbbbbbbb)", "yes")
    assert (cyd["milestone_1_course"], cyd["milestone_1_current_course"]) == ("0.1.0 (aaaaaaaa)", "no")
    (sentence,) = describe_earlier_course_grades(found)
    assert "1 grade from an earlier course: cyd (milestone 1: 0.1.0 (aaaaaaaa))." in sentence
    assert build_class_report(book, manifest, read_course_versions(book)[NEW]).earlier_grade_count == 1


def test_the_site_tells_what_a_regrade_has_replaced_and_nothing_of_a_preview(book: Gradebook) -> None:
    """A milestone that a regrade revokes is not shown as unlocked, and its record states why."""
    path = book.path
    students = {student.id: student for student, _ in list_students_with_fingerprints(path)}
    marks = {student.id: mark for student, mark in list_students_with_fingerprints(path)}

    def entries(student: str) -> list[tuple[str | None, bool, str | None]]:
        """List verdict, verification and reason of each of a student's records."""
        return [
            (e.event.verdict, e.verified, e.reason) for e in load_member_from_gradebook(path, students[student]).entries
        ]

    assert entries("ada") == [("unlocked", True, None)]
    decide_regrade(book, "replace")
    why = "a regrade by another version of the course has replaced it"
    assert entries("ada") == [("unlocked", False, why), ("not_yet", True, None)]
    assert entries("cyd") == [("unlocked", True, None)]
    (step,) = build_student_story(load_member_from_gradebook(path, students["cyd"]), load_manifest(ROOT)).steps
    assert step.course.endswith("0.1.0 (aaaaaaaa), which has changed since")
    assert {student.id: mark for student, mark in list_students_with_fingerprints(path)}["ada"] != marks["ada"]


def test_a_regrade_may_run_on_a_cluster(class_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster's workers get what an earlier version of the course graded, and this machine needs no sandbox."""
    pytest.importorskip("distributed")
    rows = [RosterRow("ada"), RosterRow("bob")]
    fill_gradebook(class_folder / FILE, rows, {"ada": [(1, 2, TERM)], "bob": [(2, 1, TERM)]})

    def answer(tasks: Sequence[GradingTask], *, address: str, **_: object) -> Iterator[TaskOutcome]:
        return (TaskOutcome(task, problem=f"asked {address}") for task in tasks)

    monkeypatch.setattr("desk.cluster.grade_on_cluster", answer)
    monkeypatch.setattr("desk.collect.choose_fence", None)
    found = regrade_class(ROOT, class_folder, rows, SilentWatch(), preview=True, by="prof", cluster="tcp://x:1")
    assert {(t.student, t.problem.endswith("asked tcp://x:1")) for t in found.troubles} == {
        ("ada", True),
        ("bob", True),
    }


def test_an_old_gradebook_keeps_its_scores(class_folder: Path) -> None:
    """Its newest results counted, whatever version graded them, and they still do; nothing is lost."""
    path = class_folder / FILE
    db = sqlite3.connect(path)
    db.executescript((SCHEMA / "0001.sql").read_text())
    db.execute("PRAGMA user_version = 1")
    db.execute("INSERT INTO student VALUES ('ada', 'Ada', NULL, NULL, NULL, NULL, 0, 2, 1)")
    for number, (digest, met) in enumerate(((OLD, 2), (NEW, 1)), start=1):
        one = make_judged_result(1, met, digest, days=number)
        text = one.model_dump_json()
        values = (
            str(number),
            "ada",
            1,
            format_commit(1),
            one.submission.digest,
            digest,
            one.started_at.isoformat(),
            one.verdict,
        )
        db.execute("INSERT INTO grading VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 2, ?)", (*values, met, text))
    db.commit()
    db.close()
    with open_gradebook(path) as book:
        assert list_points_and_courses(book) == [(50.0, AFTER)]
        assert [(g.met, g.criteria, g.share) for g in book.list_gradings()] == [(2, 2, 1.0), (1, 2, 0.5)]
        assert book.list_students() == (RosterRow("ada", "Ada", extension_days=2),)
        assert {r.course_digest: r.policy for r in read_regrade_decisions(book)} == {OLD: "replace", NEW: "replace"}
        assert read_course_versions(book)[OLD].label == "0.1.0 (aaaaaaaa)"


def test_decisions_are_merged_with_the_shards(book: Gradebook, tmp_path: Path) -> None:
    """Merging the same decisions twice has the same effect as merging them once."""
    decide_regrade(book, "keep_better")
    for _ in range(2):
        merge_gradebooks(tmp_path / FILE, [book.path])
    with open_gradebook(tmp_path / FILE) as merged:
        assert list_points_and_courses(merged) == list_points_and_courses(book)
        assert read_regrade_decisions(merged) == read_regrade_decisions(book)


def test_a_change_of_the_course_is_told_in_words(tmp_path: Path) -> None:
    """Thresholds are listed by name, tests by file and the grader by count; the notation of numbers is ignored."""
    root = copy_course(tmp_path)
    before = build_course_version(root, load_manifest(root)).contents
    change_course(root, "at_most: 0.1\n", "at_most: 0.05\n")
    (root / "modules/02_tensor/test_tensor.py").write_text("# changed\n")
    (root / "grading/cache.py").write_text("# changed\n")
    after = build_course_version(root, load_manifest(root)).contents
    assert before is not None
    assert after is not None
    assert list(compare_courses(before, after)) == [
        "Milestone 1, The network is sure of its answers: ≤ 0.1 before, ≤ 0.05 now.",
        "Tests have changed: modules/02_tensor/test_tensor.py.",
        "The grader has changed in 1 file.",
    ]
    assert list(compare_courses(after, after)) == []
    milestone = before["milestones"]["1"]
    name = next(iter(milestone["criteria"]))

    def compare_thresholds(old: str, new: str) -> list[str]:
        """Return the sentences about a change between these two thresholds."""
        contents = [
            {"files": {}, "milestones": {"1": milestone | {"criteria": {name: {"title": "Steps", "needed": needed}}}}}
            for needed in (old, new)
        ]
        return list(compare_courses(*contents))

    assert compare_thresholds("≤ 150000", "≤ 150,000") == []
    assert compare_thresholds("≥ 1.50×", "≥ 1.5×") == []
    assert compare_thresholds("≤ 150,000", "≤ 150,001") == ["Milestone 1, Steps: ≤ 150,000 before, ≤ 150,001 now."]
    assert compare_thresholds("≥ 5", "≤ 5") == ["Milestone 1, Steps: ≥ 5 before, ≤ 5 now."]


def copy_course(folder: Path) -> Path:
    """Copy the parts of the course that affect grades."""
    root = folder / "course"
    for name in ("modules", "grading"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "milestones.yaml", root)
    return root


def change_course(root: Path, old: str, new: str) -> None:
    """Change the first matching threshold in the manifest."""
    text = (root / "milestones.yaml").read_text("utf-8")
    assert old in text
    (root / "milestones.yaml").write_text(text.replace(old, new, 1), "utf-8")


@pytest.mark.skipif(choose_fence(official=False) == "process", reason="official grading needs a sandbox")
def test_a_class_is_regraded_from_what_was_collected(class_folder: Path, tmp_path: Path) -> None:
    """Collecting says what changed and keeps every grade; a preview shows which grades a regrade would change.

    A student whose repository has since disappeared is regraded with the others, from the fetched files.
    """
    school, root = School(tmp_path / "school"), copy_course(tmp_path)
    for student in ("ada", "bob"):
        school.enroll_student(student, make_released_files() | BROKEN)

    def run() -> int:
        return collect_class(root, class_folder, school.rows, ReflogSource(), SilentWatch()).graded

    def again(policy: Policy = "replace", *, preview: bool = False) -> RegradeSummary:
        return regrade_class(root, class_folder, school.rows, SilentWatch(), policy=policy, preview=preview, by="prof")

    def met() -> list[int]:
        """List how many criteria each student's counting result meets."""
        with open_gradebook(class_folder / FILE) as book:
            return [one[1].grading.met for one in compute_scores(book, load_manifest(root)).values() if one[1].grading]

    assert run() == 2
    assert list(describe_course_change(root, class_folder)) == []
    (first, other) = met()
    change_course(
        root,
        "figure: unusable\n        unit: count\n        at_most: 0",
        "figure: unusable\n        unit: count\n        at_most: 1",
    )
    (school.folder / "server" / "bob.git").rename(school.folder / "server" / "gone.git")
    told = list(describe_course_change(root, class_folder))
    assert "2 grades of 2 students come from an earlier version (2 of milestone 1)" in told[0]
    assert "Every file is Python source, and nothing else: ≤ 0 before, ≤ 1 now." in told[1]
    assert told[-1].startswith("To see which grades would change, run: inv regrade --preview")
    assert run() == 0
    assert met() == [first, other]

    found = again(preview=True)
    assert (found.graded, len(found.changes), found.earlier, found.troubles) == (2, 2, (), ())
    change = found.changes[0]
    (before, after) = change.before.points, change.after.points
    assert before is not None
    assert after is not None
    assert after > before
    assert change.criteria[0].title == "Every file is Python source, and nothing else"
    assert change.criteria[0].before == "failed: 1, required ≤ 0"
    assert change.criteria[0].after == "passed: 1, required ≤ 1"
    assert met() == [first, other]
    row = next(csv.DictReader(io.StringIO(format_regrade_csv(found))))
    assert (row["id"], float(row["points_after"])) == ("ada", round(after, 2))
    assert "Ada Example" in render_regrade_page(found, preview=True)
    assert summarize_regrade(found, preview=True) == "2 grades would change, and 0 are unchanged."

    pinned = again("pin")
    assert (pinned.graded, pinned.changes, len(pinned.earlier)) == (0, (), 2)
    assert list(describe_course_change(root, class_folder))[-1].startswith("Earlier grades are pinned")
    done = again()
    assert (done.graded, len(done.changes)) == (0, 2)
    assert min(met()) > first
    assert list(describe_course_change(root, class_folder)) == []
    shutil.rmtree(class_folder / "repositories" / "bob.git")
    change_course(root, "at_most: 1", "at_most: 2")
    lost = again()
    assert [trouble.student for trouble in lost.troubles] == ["bob"]
    assert [(score.student, score.is_current) for score in lost.earlier] == [("bob", False)]
