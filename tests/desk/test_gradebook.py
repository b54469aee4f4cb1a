"""The gradebook keeps everything once, is upgraded in numbered steps, and reports what it cannot read."""

from __future__ import annotations

import errno
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from desk import gradebook
from desk.gradebook import PublishedRecord, Visit, load_migrations, open_gradebook
from desk.pushes import Push
from desk.roster import RosterRow
from desk.shards import MOST, encode_shard_matrix, merge_gradebooks, select_shard_students
from grading.errors import GraderError, UsageError
from tests.desk.books import MAIN, fill_gradebook, format_commit, make_graded_result
from tests.desk.school import TERM

ADA, BOB = (
    RosterRow("ada", name="Ada", email="ada@example.org", section="A", extension_days=2),
    RosterRow("bob", public=True),
)


def test_what_is_kept_is_read_back_and_kept_once(class_folder: Path) -> None:
    """Students, pushes and results come back as they were, however often they are added."""
    path = class_folder / "g.sqlite"
    with open_gradebook(path, make=True) as book:
        for _ in range(2):
            book.set_enrolled_students([ADA, BOB])
            book.save_pushes("ada", [Push(MAIN, format_commit(1), TERM, "github")])
            book.save_result("ada", make_graded_result(1))
        book.save_visit(Visit("ada", TERM, MAIN, format_commit(1), problem="x"))
    with open_gradebook(path) as book:
        assert book.list_students() == (ADA, BOB)
        assert book.read_pushes() == {"ada": (Push(MAIN, format_commit(1), TERM, "github"),)}
        (one,) = book.list_gradings()
        assert book.load_result(one.id) == make_graded_result(1)
        assert book.read_visits()["ada"] == Visit("ada", TERM, MAIN, format_commit(1), problem="x")
        with pytest.raises(KeyError):
            book.load_result("none")
        book.set_enrolled_students([BOB])
        assert book.list_students() == (BOB,)
        assert len(book.list_gradings()) == 1


def test_a_disk_without_locks_keeps_a_gradebook(class_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk without locks SQLite works without them, and keeps no log next to its file."""

    def lockf(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(gradebook.fcntl, "lockf", lockf)
    path = class_folder / "a class?.sqlite"
    with open_gradebook(path, make=True) as book:
        book.set_enrolled_students([ADA])
        assert [file.name for file in class_folder.iterdir() if "a class" in file.name] == [path.name]
    with open_gradebook(path) as book:
        assert book.list_students() == (ADA,)


def test_an_interrupted_write_leaves_nothing_half_written(class_folder: Path) -> None:
    """If one record cannot be saved, none of its batch is."""
    with open_gradebook(class_folder / "g.sqlite", make=True) as book:
        book.set_enrolled_students([ADA])
        good = PublishedRecord("ada", "progress/a.json", TERM, 1, "{}", None)
        with pytest.raises(sqlite3.IntegrityError):
            book.save_records("ada", [good, PublishedRecord("ada", "progress/b.json", TERM, 1, "no JSON", None)])
        assert list(book.read_records()) == []
        book.save_records("ada", [good])
        assert list(book.read_records()) == [good]


def test_days_of_single_milestones_are_kept(class_folder: Path) -> None:
    """The days are kept as in the roster."""
    row = RosterRow("ada", extension_days=1, milestone_days=((1, 3), (12, 140)))
    with open_gradebook(class_folder / "g.sqlite", make=True) as book:
        book.set_enrolled_students([row, RosterRow("bob")])
        assert book.list_students() == (row, RosterRow("bob"))


def test_what_is_no_gradebook_is_said(class_folder: Path) -> None:
    """A missing file, a different database, no database, and one from a later version each get their own message."""
    path = class_folder / "g.sqlite"
    with pytest.raises(UsageError, match="There is no gradebook"):
        open_gradebook(path)
    path.write_text("name,points\n" * 1000)
    with pytest.raises(UsageError, match="is not a gradebook"):
        open_gradebook(path)
    path.write_text("")
    for make in (False, True):  # emptied, but not to be replaced: push times would be lost
        with pytest.raises(UsageError, match="is empty"):
            open_gradebook(path, make=make)
    path.unlink()
    path.mkdir()
    with pytest.raises(UsageError, match="is not a file"):
        open_gradebook(path, make=True)
    path.rmdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
    db.close()
    with pytest.raises(UsageError, match="that belongs to a different program"):
        open_gradebook(path)
    path.unlink()
    open_gradebook(path, make=True).__exit__()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(UsageError, match="later version"):
        open_gradebook(path)


def test_an_older_gradebook_is_brought_up_to_date(
    class_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each numbered file is run once, in order; a failing one changes nothing."""
    path = fill_gradebook(class_folder / "g.sqlite", [ADA], {"ada": [(1, 2, TERM)]})
    steps = tmp_path / "schema"
    steps.mkdir()
    for number, text in load_migrations().items():
        (steps / f"{number:04}.sql").write_text(text)
    following = max(load_migrations()) + 1
    (steps / f"{following:04}.sql").write_text("ALTER TABLE student ADD COLUMN pronouns TEXT; SELECT no_such_column;")
    monkeypatch.setattr(gradebook, "SCHEMA", steps)
    with pytest.raises(GraderError, match=f"version {following}"):
        open_gradebook(path)
    (steps / f"{following:04}.sql").write_text("ALTER TABLE student ADD COLUMN pronouns TEXT;")
    for _ in range(2):
        with open_gradebook(path) as book:
            assert len(book.list_gradings()) == 1
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (following,)
    assert db.execute("SELECT pronouns FROM student").fetchall() == [(None,)]
    db.close()


def test_every_table_and_column_is_documented(root: Path, class_folder: Path) -> None:
    """docs/gradebook.md lists every table and column, and none that do not exist."""
    open_gradebook(class_folder / "g.sqlite", make=True).__exit__()
    db = sqlite3.connect(class_folder / "g.sqlite")
    tables = [
        name
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    ]
    page = (root / "docs" / "gradebook.md").read_text("utf-8")
    for table in tables:
        part = page.split(f"## `{table}`", 1)[1].split("\n## ", 1)[0]
        named = [line.split("`")[1] for line in part.splitlines() if line.startswith("| `")]
        assert named == [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    assert page.count("\n## `") == len(tables)
    db.close()


def read_every_row(path: Path) -> list[list[tuple[object, ...]]]:
    """Read every row of every table, in order."""
    db = sqlite3.connect(path)
    tables = sorted(name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
    rows = [sorted(db.execute(f"SELECT * FROM {table}"), key=repr) for table in tables]  # noqa: S608
    db.close()
    return rows


def test_shards_are_merged_without_loss_or_doubling(class_folder: Path) -> None:
    """In any order, even twice, the merged gradebook equals what one collection would have written."""
    rows = [RosterRow(f"s{n}") for n in range(9)]
    work = {row.id: [(10 * n + 1, 1, TERM), (10 * n + 2, 2, TERM + timedelta(days=n))] for n, row in enumerate(rows)}
    whole = fill_gradebook(class_folder / "whole.sqlite", rows, work)
    parts = []
    for shard in ("1/3", "2/3", "3/3"):
        chosen = select_shard_students(rows, shard)
        parts.append(
            fill_gradebook(class_folder / f"{shard[0]}.sqlite", rows, {s: w for s, w in work.items() if s in chosen})
        )
    one, other = class_folder / "one.sqlite", class_folder / "other.sqlite"
    assert merge_gradebooks(one, parts) == 18
    assert merge_gradebooks(one, [parts[1], parts[0]]) == 0
    for part in (parts[2], parts[0], parts[1], parts[1]):
        merge_gradebooks(other, [part])
    assert read_every_row(one) == read_every_row(whole)
    assert read_every_row(other) == read_every_row(whole)


def test_who_looked_last_is_believed(class_folder: Path) -> None:
    """A visit from an older gradebook replaces none, but its results are added."""
    old = fill_gradebook(class_folder / "old.sqlite", [ADA], {"ada": [(1, 1, TERM)]})
    new = fill_gradebook(
        class_folder / "new.sqlite", [RosterRow("ada", section="B")], {"ada": [(2, 2, TERM + timedelta(days=1))]}
    )
    merge_gradebooks(new, [old])
    with open_gradebook(new) as book:
        assert book.read_visits()["ada"].commit == format_commit(2)
        assert book.list_students()[0].section == "B"
        assert len(book.list_gradings()) == 2


def test_merging_stops_before_it_begins_at_what_is_no_gradebook(class_folder: Path) -> None:
    """Valid gradebooks earlier in the list are not added either."""
    good = fill_gradebook(class_folder / "good.sqlite", [ADA], {"ada": [(1, 1, TERM)]})
    (class_folder / "bad.sqlite").write_text("x" * 5000)
    with pytest.raises(UsageError, match=r"bad\.sqlite is not a gradebook"):
        merge_gradebooks(class_folder / "into.sqlite", [good, class_folder / "bad.sqlite"])
    assert not (class_folder / "into.sqlite").exists()


@pytest.mark.parametrize(("students", "jobs"), [(0, 1), (1, 1), (11, 2), (2_560, 256), (10_000, 256)])
def test_the_matrix_covers_every_student_once(students: int, jobs: int) -> None:
    """There are never more jobs than GitHub allows, and no student is in two jobs or in none."""
    import json

    rows = [RosterRow(f"s{n}") for n in range(students)]
    found = json.loads(encode_shard_matrix(students))["include"]
    assert len(found) == jobs <= MOST
    shards = [select_shard_students(rows, one["shard"]) for one in found]
    assert sum(map(len, shards)) == len(frozenset().union(*shards)) == students


@pytest.mark.parametrize("wrong", ["0/3", "4/3", "3", "1/257", "a/b", "1/3 ; rm"])
def test_what_is_no_shard_is_said(wrong: str) -> None:
    """The message shows how a shard is written."""
    with pytest.raises(UsageError, match="3/12"):
        select_shard_students([], wrong)
