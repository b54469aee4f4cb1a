"""An instructor's manual decision takes precedence over what is measured, states who and why, and can be withdrawn."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from pathlib import Path

import pytest

from desk.class_report import build_class_report
from desk.decisions import EffectiveOverride, read_overrides
from desk.gradebook import FILE, open_gradebook
from desk.overrides import (
    import_overrides_csv,
    list_overrides,
    set_override,
    withdraw_grade_overrides,
    write_overrides_csv,
)
from desk.report_page import render_report_page
from desk.roster import RosterRow
from desk.score_export import export_scores
from desk.scores import compute_scores
from desk.shards import merge_gradebooks
from grading.errors import UsageError
from grading.manifest.loader import load_manifest
from tests.desk.books import fill_gradebook, make_graded_result
from tests.desk.school import ROOT, TERM

WHY = "The disk of the lab was full."


@pytest.fixture
def overrides_folder(class_folder: Path) -> Path:
    """Create a class: Ada has everything, Bob half of it, and Cyd has not begun."""
    rows = [
        RosterRow("ada", "Ada", "ada@x.org"),
        RosterRow("bob", "Bob", "bob@x.org"),
        RosterRow("cyd", "Cyd", "cyd@x.org"),
    ]
    fill_gradebook(class_folder / FILE, rows, {"ada": [(1, 2, TERM)], "bob": [(2, 1, TERM)]})
    return class_folder


def override_grade(overrides_folder: Path, student: str, **values: str) -> None:
    """Override a grade for milestone 1."""
    set_override(ROOT, overrides_folder, student, 1, values, WHY, "prof")  # type: ignore[arg-type]


def list_points(overrides_folder: Path) -> list[float | None]:
    """List everybody's points for milestone 1."""
    with open_gradebook(overrides_folder / FILE) as book:
        return [one[1].points for one in compute_scores(book, load_manifest(ROOT)).values()]


def test_points_bonus_and_excuse_stand_above_what_is_measured(overrides_folder: Path) -> None:
    """Points replace the measured ones, a bonus is added, excused grades do not count; the newest of a kind counts."""
    override_grade(overrides_folder, "ada", points="80", comment="See me.")
    override_grade(overrides_folder, "ada", bonus="5")
    override_grade(overrides_folder, "bob", excused="yes")
    override_grade(overrides_folder, "cyd", bonus="2.5")
    assert list_points(overrides_folder) == [85.0, None, 2.5]
    override_grade(overrides_folder, "ada", points="90")
    assert list_points(overrides_folder)[0] == 95.0
    override_grade(overrides_folder, "ada", bonus="-10")
    assert list_points(overrides_folder)[0] == 80.0
    with open_gradebook(overrides_folder / FILE) as book:
        ada, bob, cyd = list_overrides(book)
    assert (ada.in_force, ada.last.by_whom, ada.last.why) == (EffectiveOverride(90, False, -10, "See me."), "prof", WHY)
    assert (bob.in_force.describe(), cyd.in_force.describe()) == ("excused", "2.5 points bonus")


def test_no_grading_touches_an_override(overrides_folder: Path) -> None:
    """The decision counts after a better result, a worse one, or a merged gradebook."""
    override_grade(overrides_folder, "bob", points="70")
    with open_gradebook(overrides_folder / FILE) as book:
        book.set_enrolled_students(row for row, _ in book.list_known_students())
        book.save_result("bob", make_graded_result(9, at=TERM + timedelta(days=1)))
    merge_gradebooks(
        overrides_folder / FILE,
        [fill_gradebook(overrides_folder / "other.sqlite", [RosterRow("bob")], {"bob": [(7, 2, TERM)]})],
    )
    assert list_points(overrides_folder)[1] == 70.0


def test_one_command_takes_back_what_was_decided(overrides_folder: Path) -> None:
    """Everything is withdrawn, older points included; it stays in the gradebook, with who withdrew it."""
    override_grade(overrides_folder, "ada", points="80")
    override_grade(overrides_folder, "ada", points="90", comment="Well done.")
    assert withdraw_grade_overrides(overrides_folder, "ada", 1, "A mistake.", "prof") == 3
    assert list_points(overrides_folder)[0] == 100.0
    with open_gradebook(overrides_folder / FILE) as book:
        assert read_overrides(book) == {}
        assert list(book.run_query("SELECT count(*), by_whom, why FROM withdrawal")) == [(3, "prof", "A mistake.")]
    with pytest.raises(UsageError, match="ada has no override for milestone 1"):
        withdraw_grade_overrides(overrides_folder, "ada", 1, "")
    override_grade(overrides_folder, "ada", points="80")
    assert list_points(overrides_folder)[0] == 80.0


@pytest.mark.parametrize(
    ("student", "values", "why", "said"),
    [
        ("zoe", {"points": "1"}, WHY, "no student zoe"),
        ("ada", {"points": "101"}, WHY, "number from 0 to 100"),
        ("ada", {"points": "nan"}, WHY, "number from 0 to 100"),
        ("ada", {"points": "many"}, WHY, "number from 0 to 100"),
        ("ada", {"bonus": "-101"}, WHY, "number from -100 to 100"),
        ("ada", {"points": "1"}, " ", "Give a reason"),
        ("ada", {}, WHY, "Choose what to override"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    overrides_folder: Path, student: str, values: dict, why: str, said: str
) -> None:
    """The message says what to write instead, and nothing is saved."""
    with pytest.raises(UsageError, match=said):
        set_override(ROOT, overrides_folder, student, 1, values, why, "prof")
    with pytest.raises(UsageError, match="There is no milestone 9"):
        set_override(ROOT, overrides_folder, "ada", 9, {"points": "1"}, WHY, "prof")
    with open_gradebook(overrides_folder / FILE) as book:
        assert list_overrides(book) == ()


def test_many_come_and_go_as_a_file(overrides_folder: Path) -> None:
    """An exported file changes nothing when read back, a changed cell is one override, and no text is a formula."""
    override_grade(overrides_folder, "ada", points="80", comment="=1+1")
    override_grade(overrides_folder, "bob", excused="yes")
    path = overrides_folder / "overrides.csv"
    assert write_overrides_csv(overrides_folder, path) == 2
    assert import_overrides_csv(ROOT, overrides_folder, path, "prof") == 0
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert rows[0]["comment"] == "'=1+1"
    assert (rows[1]["excused"], rows[1]["why"], rows[1]["by"]) == ("yes", WHY, "prof")
    path.write_text(f"student,milestone,points,bonus,why\nada,1,80,-5,{WHY}\ncyd,1,40,,{WHY}\nbob,1,,,\n")
    assert import_overrides_csv(ROOT, overrides_folder, path, "prof") == 2
    assert list_points(overrides_folder) == [75.0, None, 40.0]
    with open_gradebook(overrides_folder / FILE) as book:
        assert list_overrides(book)[0].in_force.comment == "=1+1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("student,milestone,points,why\nada,1,80,w\nzoe,1,1,w\nada,x,1,w\n", r"o\.csv:3: .*zoe.*\no\.csv:4: .*'x'"),
        ("student,milestone,points,why\nada,1,80,\n", r"o\.csv:2: .*Give a reason"),
        ("student,milestone,excused,why\nada,1,perhaps,w\n", r"o\.csv:2: .*perhaps"),
        ("student,mark\nada,1\n", "must have the columns"),
        ("", "must have the columns"),
        ('student,milestone\n"ada,1\n', "cannot be read"),
    ],
)
def test_a_file_with_a_wrong_row_changes_nothing(overrides_folder: Path, text: str, said: str) -> None:
    """Every invalid row is listed with its line."""
    (overrides_folder / "o.csv").write_text(text)
    with pytest.raises(UsageError, match=f"(?s){said}"):
        import_overrides_csv(ROOT, overrides_folder, overrides_folder / "o.csv", "prof")
    assert list_points(overrides_folder) == [100.0, 50.0, None]


def test_exports_and_report_show_what_was_decided(overrides_folder: Path) -> None:
    """Canvas excuses with EX; Moodle cannot, which is reported; the report shows manual decisions."""
    override_grade(overrides_folder, "ada", points="80", bonus="5", comment="Well done.")
    override_grade(overrides_folder, "bob", excused="yes")

    def export_rows(form: str) -> list[dict[str, str]]:
        """Export the scores in this format, and return the rows."""
        notes.extend(export_scores(ROOT, overrides_folder, form, overrides_folder / form).notes)
        return list(csv.DictReader(io.StringIO((overrides_folder / form).read_text())))

    notes: list[str] = []
    ada, bob, _ = export_rows("csv")
    assert (ada["milestone_1_points"], ada["milestone_1_by_hand"], ada["milestone_1_comment"]) == (
        "85.0",
        "80 points by hand, 5 points bonus",
        "Well done.",
    )
    assert (bob["milestone_1_points"], bob["milestone_1_by_hand"]) == ("", "excused")
    _, ada, bob = export_rows("canvas")
    assert (ada["Milestone 1: Basic Inference"], bob["Milestone 1: Basic Inference"]) == ("85.0", "EX")
    ada, bob, _ = export_rows("moodle")
    assert (ada["Milestone 1: Basic Inference"], bob["Milestone 1: Basic Inference"]) == ("85.0", "-")
    assert any("Excused grades, which an import cannot represent: bob (milestone 1)" in note for note in notes)
    with open_gradebook(overrides_folder / FILE) as book:
        text = render_report_page(build_class_report(book, load_manifest(ROOT)))
    assert "80 points by hand, 5 points bonus" in text
    assert "Well done." in text
