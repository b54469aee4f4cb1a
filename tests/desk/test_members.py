"""Who joined, who left, and who is the same person under a different id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from desk.gradebook import FILE, open_gradebook
from desk.members import RosterChanges, SuspectedRename, compare_roster, describe_roster_changes, rename_student
from desk.roster import RosterRow
from desk.scores import compute_scores
from desk.shards import merge_gradebooks
from grading.errors import UsageError
from grading.manifest.loader import load_manifest
from tests.desk.books import fill_gradebook
from tests.desk.school import ROOT, TERM

ADA = RosterRow("ada", "Ada", "ada@x.org", repository="class/Work-ada")
RENAMED = RosterRow("ada_uni", "Ada", repository="https://github.com/class/work-ada.git")
BOB, CYD = RosterRow("bob", email="bob@x.org", repository="class/bob"), RosterRow("cyd")
WORK = {"ada": [(1, 1, TERM), (2, 2, TERM + timedelta(days=1))], "bob": [(3, 1, TERM)]}


@pytest.fixture
def members_folder(class_folder: Path) -> Path:
    """Create a class of Ada, Bob and Cyd."""
    fill_gradebook(class_folder / FILE, [ADA, BOB, CYD], WORK)
    (class_folder / "repositories" / "ada.git").mkdir(parents=True)
    return class_folder


def test_a_roster_is_compared_with_what_was_collected(members_folder: Path) -> None:
    """Students are new, gone, or the same under a different id, by repository or else by e-mail."""
    rows = [RENAMED, RosterRow("robert", email="BOB@x.org"), CYD, RosterRow("dan")]
    with open_gradebook(members_folder / FILE) as book:
        assert compare_roster(book, [ADA, BOB, CYD]) == RosterChanges()
        found = compare_roster(book, rows)
        book.set_enrolled_students(rows)
        later = compare_roster(book, rows)
    assert (found.new, found.gone) == (("ada_uni", "dan", "robert"), ("ada", "bob"))
    assert found.renamed == (
        SuspectedRename("ada", "ada_uni", "the same repository"),
        SuspectedRename("bob", "robert", "the same e-mail address"),
    )
    assert (later.new, later.gone, later.renamed) == ((), (), found.renamed)
    said = list(describe_roster_changes(found, Path("fall")))
    assert said[0] == "New on the roster since the last collection: ada_uni, dan, robert."
    assert said[1].startswith("No longer on the roster: ada, bob.")
    assert said[2].endswith("inv rename --old ada --new ada_uni --folder fall")


def test_nothing_is_said_before_the_first_collection(class_folder: Path) -> None:
    """Before it, everybody would be new."""
    with open_gradebook(class_folder / FILE, make=True) as book:
        assert compare_roster(book, [ADA]) == RosterChanges()


def test_records_are_taken_over_and_none_is_lost(members_folder: Path) -> None:
    """Results, push times and fetched repositories go to the new id, whether or not it already has its own."""
    with open_gradebook(members_folder / FILE) as book:
        book.set_enrolled_students([RENAMED, BOB, CYD])
        pushes = book.read_pushes()["ada"]
        book.save_pushes("ada_uni", pushes[:1])  # looked at since
    assert rename_student(members_folder, [RENAMED, BOB, CYD], "ada", "ada_uni") == 2
    with open_gradebook(members_folder / FILE) as book:
        assert [g.student for g in book.list_gradings()] == ["ada_uni", "ada_uni", "bob"]
        assert book.read_pushes()["ada_uni"] == pushes
        assert "ada" not in book.read_pushes()
        assert [row.id for row in book.list_students()] == ["ada_uni", "bob", "cyd"]
        assert compute_scores(book, load_manifest(ROOT))["ada_uni"][1].points == 100.0
        assert compare_roster(book, [RENAMED, BOB, CYD]) == RosterChanges()
    assert (members_folder / "repositories" / "ada_uni.git").is_dir()


def test_an_older_gradebook_merged_later_brings_the_old_id_back_to_nobody(members_folder: Path, tmp_path: Path) -> None:
    """A workflow's artifact may still hold results under the old id."""
    older = fill_gradebook(tmp_path / "older" / FILE, [ADA], WORK | {"ada": [(9, 2, TERM)], "bob": []})
    with open_gradebook(members_folder / FILE) as book:
        book.set_enrolled_students([RENAMED, BOB, CYD])
        book.rename_student("ada", "ada_uni", datetime.now(UTC))
    for _ in range(2):
        merge_gradebooks(members_folder / FILE, [older])
    with open_gradebook(members_folder / FILE) as book:
        assert [g.student for g in book.list_gradings()] == ["ada_uni"] * 3 + ["bob"]
        assert "ada" not in {row.id for row in book.list_students()}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [("ada", "bob", "still in the roster"), ("eve", "bob", "no student eve"), ("zoe", "nobody", "not in the roster")],
)
def test_two_people_are_not_joined(members_folder: Path, old: str, new: str, why: str) -> None:
    """A command that cannot be meant is refused before anything is written."""
    with pytest.raises(UsageError, match=why):
        rename_student(members_folder, [ADA, BOB, CYD], old, new)
    with open_gradebook(members_folder / FILE) as book:
        assert book.read_renames() == {}
