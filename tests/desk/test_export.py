"""The gradebook's files are what other systems import, and no cell is a formula."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

from desk.classroom50 import ours, theirs
from desk.export import canvas, harmless, moodle, plain
from desk.gradebook import open_gradebook
from desk.roster import Row, read_roster
from desk.scores import scores
from grading.errors import UsageError
from grading.manifest.load import load
from tests.desk.books import fill
from tests.desk.school import ROOT, TERM

ROWS = [Row("ada", "Ada Lovelace", "ada@example.org", "AdaL", section="A"), Row("bob", "=cmd|'/C calc'!A0", "b@x.org")]
WORK = {"ada": [(1, 2, TERM)], "bob": [(2, 1, TERM)]}


@pytest.fixture
def book_of(class_folder: Path):
    """An open gradebook of two students."""
    with open_gradebook(fill(class_folder / "g.sqlite", ROWS, WORK)) as book:
        yield book


def table(text: str) -> list[dict[str, str]]:
    """A CSV file's rows."""
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_plain_file_says_everything(book_of) -> None:
    """Points, verdict, criteria, push and lateness of every milestone that is built."""
    manifest = load(ROOT)
    ada, bob = table(plain(book_of.students(), scores(book_of, manifest), manifest))
    assert (ada["id"], ada["points"], ada["milestone_1_verdict"], ada["milestone_2_verdict"]) == (
        "ada",
        "100.0",
        "unlocked",
        "",
    )
    assert (bob["milestone_1_points"], bob["milestone_1_met"], bob["milestone_1_of"]) == ("50.0", "1", "2")
    assert ada["milestone_1_pushed"] == "2026-09-01 09:00:00Z"
    assert bob["name"].startswith("'=")


def test_canvas_finds_its_columns_and_its_points_possible(book_of) -> None:
    """The header and second row are Canvas's own."""
    manifest = load(ROOT)
    text = canvas(book_of.students(), scores(book_of, manifest), manifest)
    assert text.splitlines()[0].startswith("Student,ID,SIS User ID,SIS Login ID,Section,Milestone 1: Basic Inference,")
    assert text.splitlines()[1].startswith("    Points Possible,,,,,100.0,")
    possible, ada, bob = table(text)
    assert ada["SIS Login ID"] == "ada@example.org"
    assert (ada["Milestone 1: Basic Inference"], bob["Milestone 1: Basic Inference"]) == ("100.0", "50.0")
    assert possible["Student"].strip() == "Points Possible"


def test_moodle_knows_students_by_e_mail(book_of, class_folder: Path) -> None:
    """One that has none is said before anything is written."""
    manifest = load(ROOT)
    ada, _bob = table(moodle(book_of.students(), scores(book_of, manifest), manifest))
    assert ada["Email address"] == "ada@example.org"
    with (
        open_gradebook(fill(class_folder / "h.sqlite", [Row("cyd")], {})) as book,
        pytest.raises(UsageError, match="cyd"),
    ):
        moodle(book.students(), scores(book, manifest), manifest)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", " =1", "|x", "%x", '=HYPERLINK("http://x")']
)
def test_no_text_becomes_a_formula(text: str) -> None:
    """What a spreadsheet would run begins with an apostrophe; what it would not stays as it is."""
    assert harmless(text).startswith("'")
    assert harmless("Ada = Bob") == "Ada = Bob"


def test_a_roster_of_classroom_50_becomes_ours(tmp_path: Path) -> None:
    """Names are joined, repositories named as its students' are, staff and open invitations left out."""
    text = (
        "\ufeffusername,first_name,last_name,email,section,github_id,role\n"
        "AdaL,Ada,Lovelace,ada@example.org,A,1,student\nprof,P,Q,p@example.org,,2,teacher\n,New,One,n@example.org,A,,\nbob,Bob,,,,3,\n"
    )
    (tmp_path / "roster.csv").write_text(ours(text, "cs-2026", "fall", "tinytorch"))
    ada, bob = read_roster(tmp_path / "roster.csv").rows
    assert ada == Row("adal", "Ada Lovelace", "ada@example.org", "adal", "cs-2026/fall-tinytorch-AdaL", "A")
    assert (bob.id, bob.name) == ("bob", "Bob")
    with pytest.raises(UsageError, match="no column username"):
        ours("id\nada\n", "cs-2026", "fall", "tinytorch")
    with pytest.raises(UsageError, match="short name"):
        ours(text, "cs-2026", "Fall 2026", "tinytorch")
    assert "fall-" + "a" * 100 in ours(text, "cs-2026", "fall", "a" * 100)
    for classroom, assignment in (("f" * 40, "tinytorch"), ("fall", "a" * 101)):
        with pytest.raises(UsageError, match="short name"):
            ours(text, "cs-2026", classroom, assignment)


def test_scores_go_back_to_classroom_50_as_the_teacher_s_own(book_of, tmp_path: Path) -> None:
    """Other assignments, other students and their own submissions stay; ours is the latest; twice is once."""
    manifest, existing = load(ROOT), tmp_path / "scores.json"
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
        text = theirs(book_of, book_of.students(), scores(book_of, manifest), "fall", "tinytorch", existing)
        existing.write_text(text)
    found = json.loads(text)["assignments"]
    assert found["hello"] == other
    ada, bob, zoe = found["tinytorch"]["entries"]
    assert [s["submission"] == "submit/1" for s in ada["submissions"]] == [False, True]
    assert ada["override"] is True
    assert ada["submissions"][0]["datetime"] > later
    assert ada["submissions"][0]["submission"].startswith("submit/manual-")
    assert (ada["submissions"][0]["score"], bob["submissions"][0]["score"]) == (100, 50)
    assert ada["submissions"][0]["max-score"] == 100 * len(scores(book_of, manifest)["ada"])
    assert zoe == {"owner": "zoe", "submissions": []}
    existing.write_text("[]")
    with pytest.raises(UsageError, match="is no classroom50/scores/v1"):
        theirs(book_of, book_of.students(), scores(book_of, manifest), "fall", "tinytorch", existing)
