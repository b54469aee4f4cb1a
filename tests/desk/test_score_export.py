"""Other systems can import the exported files, and no cell is a formula."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

from desk.classroom50_exchange import convert_classroom50_roster_file, convert_roster, merge_classroom50_scores
from desk.gradebook import FILE, open_gradebook
from desk.left_out import choose_largest_complete_table
from desk.roster import RosterRow, read_roster
from desk.score_export import (
    escape_formula,
    export_scores,
    format_canvas_scores,
    format_csv_scores,
    format_moodle_scores,
)
from desk.scores import Score, compute_scores
from grading.errors import UsageError
from grading.manifest.loader import load_manifest
from tests.desk.books import fill_gradebook, make_graded_result
from tests.desk.school import ROOT, TERM

ROWS = [
    RosterRow("ada", "Ada Lovelace", "ada@example.org", "AdaL", section="A"),
    RosterRow("bob", "=cmd|'/C calc'!A0", "b@x.org"),
]
WORK = {"ada": [(1, 2, TERM)], "bob": [(2, 1, TERM)]}


@pytest.fixture
def filled_book(class_folder: Path):
    """Open a gradebook with two students."""
    with open_gradebook(fill_gradebook(class_folder / "g.sqlite", ROWS, WORK)) as book:
        yield book


def parse_csv(text: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_plain_file_says_everything(filled_book) -> None:
    """The file has points, verdict, criteria, push and lateness for every available milestone."""
    manifest = load_manifest(ROOT)
    ada, bob = parse_csv(
        format_csv_scores(filled_book.list_students(), compute_scores(filled_book, manifest), manifest)
    )
    assert (ada["id"], ada["points"], ada["milestone_1_verdict"], ada["milestone_2_verdict"]) == (
        "ada",
        "100.0",
        "unlocked",
        "",
    )
    assert (bob["milestone_1_points"], bob["milestone_1_met"], bob["milestone_1_of"]) == ("50.0", "1", "2")
    assert ada["milestone_1_pushed"] == "2026-09-01 09:00:00Z"
    assert bob["name"].startswith("'=")


def test_canvas_finds_its_columns_and_its_points_possible(filled_book) -> None:
    """The header and the second row are those that Canvas expects."""
    manifest = load_manifest(ROOT)
    text = format_canvas_scores(filled_book.list_students(), compute_scores(filled_book, manifest), manifest)
    assert text.splitlines()[0].startswith("Student,ID,SIS User ID,SIS Login ID,Section,Milestone 1: Basic Inference")
    assert text.splitlines()[1] == "    Points Possible,,,,,100.0"
    possible, ada, bob = parse_csv(text)
    assert ada["SIS Login ID"] == "ada@example.org"
    assert (ada["Milestone 1: Basic Inference"], bob["Milestone 1: Basic Inference"]) == ("100.0", "50.0")
    assert possible["Student"].strip() == "Points Possible"


def test_moodle_knows_students_by_e_mail(filled_book, class_folder: Path) -> None:
    """A student without an address is reported before anything is written."""
    manifest = load_manifest(ROOT)
    ada, _bob = parse_csv(
        format_moodle_scores(filled_book.list_students(), compute_scores(filled_book, manifest), manifest)
    )
    assert ada["Email address"] == "ada@example.org"
    with (
        open_gradebook(fill_gradebook(class_folder / "h.sqlite", [RosterRow("cyd")], {})) as book,
        pytest.raises(UsageError, match="cyd"),
    ):
        format_moodle_scores(book.list_students(), compute_scores(book, manifest), manifest)


ROUND = [
    RosterRow("ada", "Ada", "ada@x.org"),
    RosterRow("bob", "Bob", "bob@x.org"),
    RosterRow("cyd", "Cyd", "cyd@x.org"),
]


@pytest.fixture
def folder_with_gaps(class_folder: Path) -> Path:
    """Create a class in which Ada has two milestones, Bob the first, Cyd none, and nobody the third."""
    path = fill_gradebook(class_folder / FILE, ROUND, {"ada": [(1, 2, TERM)], "bob": [(2, 1, TERM)]})
    with open_gradebook(path) as book:
        book.save_result("ada", make_graded_result(3, milestone=2))
    return class_folder


def test_no_import_erases_a_grade(folder_with_gaps: Path) -> None:
    """In Canvas and Moodle an empty cell erases a grade; in Moodle `-` leaves it unchanged."""
    found = export_scores(ROOT, folder_with_gaps, "canvas", folder_with_gaps / "canvas.csv")
    lines = parse_csv((folder_with_gaps / "canvas.csv").read_text())
    first = "Milestone 1: Basic Inference"
    assert [(line["Student"], line[first]) for line in lines[1:]] == [("Ada", "100.0"), ("Bob", "50.0")]
    assert not [name for line in lines for name, cell in line.items() if name.startswith("Milestone") and not cell]
    assert found.students == 2
    judged, nobody, some, none, advice = found.notes
    assert judged.startswith("3 grades from an earlier course: ada (milestone 1: 0.1.0 (cccccccc)), ada (milestone 2")
    assert nobody.startswith("Left out, since nobody has points yet: milestone 3")
    assert some == "Left out, since not everybody has points: milestone 2."
    assert none == "Left out, since they have no points yet: cyd."
    assert "--milestone" in advice
    export_scores(ROOT, folder_with_gaps, "moodle", folder_with_gaps / "moodle.csv")
    ada, bob, cyd = parse_csv((folder_with_gaps / "moodle.csv").read_text())
    second = next(name for name in ada if name.startswith("Milestone 2"))
    assert (ada[second], bob[second], bob[first], cyd[first]) == ("100.0", "-", "50.0", "-")
    assert not [name for line in (ada, bob, cyd) for name, cell in line.items() if not cell]


def test_one_milestone_at_a_time_leaves_no_grade_out(folder_with_gaps: Path) -> None:
    """Grades that do not fit in one table without empty cells are exported as several tables."""
    found = export_scores(ROOT, folder_with_gaps, "canvas", folder_with_gaps / "second.csv", milestone=2)
    lines = parse_csv((folder_with_gaps / "second.csv").read_text())
    assert [line["Student"] for line in lines[1:]] == ["Ada"]
    assert [name for name in lines[0] if name.startswith("Milestone")] == ["Milestone 2: Computer Vision"]
    assert found.notes[1:] == ("Left out, since they have no points yet: bob, cyd.",)
    with pytest.raises(UsageError, match="There is no milestone 9"):
        export_scores(ROOT, folder_with_gaps, "canvas", folder_with_gaps / "ninth.csv", milestone=9)


def test_the_table_without_empty_cells_holds_most_grades() -> None:
    """The table leaves out either a milestone or students, whichever keeps more grades."""
    manifest = load_manifest(ROOT)
    one, two = manifest.milestones[:2]

    def reach(*students: tuple[str, bool, bool]) -> dict[str, dict[int, Score]]:
        """Build scores for two milestones, with or without a grade."""
        late = {True: Score("x", 1, closed=True), False: Score("x", 1)}
        return {name: {1: late[first], 2: late[second]} for name, first, second in students}

    most = reach(("a", True, True), ("b", True, True), ("c", True, False))
    few = reach(("a", True, True), ("b", True, False), ("c", True, False))
    rows = [RosterRow("a"), RosterRow("b"), RosterRow("c")]
    assert choose_largest_complete_table(rows, [one, two], most) == (rows[:2], [one, two])
    assert choose_largest_complete_table(rows, [one, two], few) == (rows, [one])
    assert choose_largest_complete_table(rows, [two, one], few) == (rows, [one])


def test_moodle_is_asked_whom_it_knows(folder_with_gaps: Path) -> None:
    """Moodle would stop at the first unknown address, so its own list and spelling are used."""
    said = export_scores(ROOT, folder_with_gaps, "moodle", folder_with_gaps / "moodle.csv").notes
    assert said[1].startswith("Moodle stops at the first unknown e-mail address")
    (folder_with_gaps / "list.csv").write_text("\ufeffVorname,E-Mail-Adresse\nAda,ADA@x.org\nCyd,cyd@x.org\n", "utf-8")
    found = export_scores(
        ROOT, folder_with_gaps, "moodle", folder_with_gaps / "moodle.csv", participants=folder_with_gaps / "list.csv"
    )
    assert found.notes[1:] == ("Left out, since they are not on Moodle's list: bob (bob@x.org).",)
    assert [line["Email address"] for line in parse_csv((folder_with_gaps / "moodle.csv").read_text())] == [
        "ADA@x.org",
        "cyd@x.org",
    ]
    for bad in ("no address\n", None):
        path = folder_with_gaps / "bad.csv"
        path.unlink(missing_ok=True)
        if bad is not None:
            path.write_text(bad)
        with pytest.raises(UsageError, match="Export the participants from Moodle as CSV"):
            export_scores(ROOT, folder_with_gaps, "moodle", folder_with_gaps / "moodle.csv", participants=path)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1", "|x", "%x", '=HYPERLINK("http://x")']
)
def test_no_text_becomes_a_formula(text: str) -> None:
    """A text that a spreadsheet would run begins with an apostrophe; other texts are unchanged."""
    assert escape_formula(text).startswith("'")
    assert escape_formula("Ada = Bob") == "Ada = Bob"


def test_a_roster_of_classroom_50_becomes_ours(tmp_path: Path) -> None:
    """First and last names are joined, repositories are named, and staff and open invitations are left out."""
    text = (
        "\ufeffusername,first_name,last_name,email,section,github_id,role\n"
        "AdaL,Ada,Lovelace,ada@example.org,A,1,student\nprof,P,Q,p@example.org,,2,teacher\n,New,One,n@example.org,A,,\nbob,Bob,,,,3,\n"
    )
    (tmp_path / "roster.csv").write_text(convert_roster(text, "cs-2026", "fall", "tinytorch")[0])
    ada, bob = read_roster(tmp_path / "roster.csv").rows
    assert ada == RosterRow("adal", "Ada Lovelace", "ada@example.org", "adal", "cs-2026/fall-tinytorch-AdaL", "A")
    assert (bob.id, bob.name) == ("bob", "Bob")
    with pytest.raises(UsageError, match="no column username"):
        convert_roster("id\nada\n", "cs-2026", "fall", "tinytorch")
    with pytest.raises(UsageError, match="short name"):
        convert_roster(text, "cs-2026", "Fall 2026", "tinytorch")
    assert "fall-" + "a" * 100 in convert_roster(text, "cs-2026", "fall", "a" * 100)[0]
    for classroom, assignment in (("f" * 40, "tinytorch"), ("fall", "a" * 101)):
        with pytest.raises(UsageError, match="short name"):
            convert_roster(text, "cs-2026", classroom, assignment)


def test_a_row_that_cannot_be_taken_does_not_stop_the_others(tmp_path: Path) -> None:
    """The row is reported with its line; managed users' names are accepted."""
    theirs_csv, roster = tmp_path / "theirs.csv", tmp_path / "fall" / "roster.csv"
    theirs_csv.write_text("username,first_name,role\ndana_uni,Dana,student\nno name,X,student\neve--,Eve,student\n")
    (problem,) = convert_classroom50_roster_file(theirs_csv, roster, "cs", "fall", "tinytorch")
    assert (problem.file, problem.line) == (str(theirs_csv), 3)
    assert "'no name' is not a user name" in str(problem)
    assert [row.id for row in read_roster(roster).rows] == ["dana_uni", "eve--"]
    (tmp_path / "bad.csv").write_bytes(b"username\n" + b"a" * 200_000)
    with pytest.raises(UsageError, match="not CSV"):
        convert_classroom50_roster_file(
            tmp_path / "bad.csv", tmp_path / "spring" / "roster.csv", "cs", "fall", "tinytorch"
        )


def test_canvas_knows_students_by_a_login_of_its_own(class_folder: Path) -> None:
    """The roster's column takes precedence over the e-mail address, which takes precedence over the id."""
    rows = [RosterRow("ada", email="a@x.org", sis_login="s-17"), RosterRow("bob", email="b@x.org"), RosterRow("cyd")]
    manifest = load_manifest(ROOT)
    work = {row.id: [(n, 2, TERM)] for n, row in enumerate(rows)}
    with open_gradebook(fill_gradebook(class_folder / "c.sqlite", rows, work)) as book:
        lines = parse_csv(format_canvas_scores(book.list_students(), compute_scores(book, manifest), manifest))
    assert [line["SIS Login ID"] for line in lines[1:]] == ["s-17", "b@x.org", "cyd"]


def test_scores_go_back_to_classroom_50_as_the_teacher_s_own(filled_book, tmp_path: Path) -> None:
    """All other entries are kept, ours is the latest submission, and exporting twice has the same effect as once."""
    manifest, existing = load_manifest(ROOT), tmp_path / "scores.json"
    later = (TERM + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    own = {"submission": "submit/1", "datetime": later, "score": 1}
    other = {"type": "individual", "entries": [{"owner": "x", "submissions": []}]}
    bucket = {
        "type": "individual",
        "entries": [{"owner": "ADAL", "submissions": [own]}, {"owner": "zoe", "submissions": []}],
    }
    existing.write_text(
        json.dumps({"schema": "classroom50/scores/v1", "assignments": {"hello": other, "tinytorch": bucket}})
    )
    for _ in range(2):
        text = merge_classroom50_scores(
            filled_book,
            filled_book.list_students(),
            compute_scores(filled_book, manifest),
            "fall",
            "tinytorch",
            existing,
        )
        existing.write_text(text)
    found = json.loads(text)["assignments"]
    assert found["hello"] == other
    ada, bob, zoe = found["tinytorch"]["entries"]
    assert [s["submission"] == "submit/1" for s in ada["submissions"]] == [False, True]
    assert ada["override"] is True
    assert ada["submissions"][0]["datetime"] > later
    assert ada["submissions"][0]["submission"].startswith("submit/manual-")
    assert (ada["submissions"][0]["score"], bob["submissions"][0]["score"]) == (100, 50)
    assert ada["submissions"][0]["max-score"] == 100 * len(compute_scores(filled_book, manifest)["ada"])
    assert zoe == {"owner": "zoe", "submissions": []}
    with open_gradebook(fill_gradebook(tmp_path / "none.sqlite", ROWS, {})) as book:
        rest = merge_classroom50_scores(
            book, book.list_students(), compute_scores(book, manifest), "fall", "tinytorch", existing
        )
    assert json.loads(rest)["assignments"] == found  # nobody has points there, so nobody's are taken away
    existing.write_text("[]")
    with pytest.raises(UsageError, match="is not a classroom50/scores/v1"):
        merge_classroom50_scores(
            filled_book,
            filled_book.list_students(),
            compute_scores(filled_book, manifest),
            "fall",
            "tinytorch",
            existing,
        )
