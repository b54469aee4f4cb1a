"""A class read from folders is in order, equal for equal records, and marks unverified ones."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from desk.cohort import NEVER, load_cohort_from_folder, load_cohort_from_gradebook
from desk.gradebook import PublishedRecord, open_gradebook
from desk.pseudonyms import QUALITIES, THINGS, assign_pseudonyms, read_pseudonym_key
from desk.roster import RosterRow
from grading import progress
from grading.errors import UsageError
from grading.github import ledger
from tests.desk.books import fill_gradebook
from tests.desk.conftest import make_attempt_at, publish_records
from tests.render.results import build_not_yet, build_result

DAY = datetime(2026, 10, 1, 12, tzinfo=UTC)


def test_a_class_is_ordered_and_dated_by_its_newest_record(class_folder: Path) -> None:
    """Members come by id and records by time, and the current time plays no part."""
    later = make_attempt_at(DAY + timedelta(days=3), build_result())
    publish_records(class_folder / "zoe", later, make_attempt_at(DAY, build_not_yet()))
    publish_records(class_folder / "ada", make_attempt_at(DAY, build_not_yet()))
    found = load_cohort_from_folder(class_folder)
    assert [m.student.id for m in found.members] == ["ada", "zoe"]
    assert [e.event.verdict for e in found.members[1].entries] == ["not_yet", "unlocked"]
    assert all(e.verified and e.reason is None for m in found.members for e in m.entries)
    assert found.made_at == DAY + timedelta(days=3)
    assert found.course == "TinyTorch"
    assert load_cohort_from_folder(class_folder) == found


def test_records_that_nothing_vouches_for_say_so(class_folder: Path) -> None:
    """Edited records, records missing from the ledger and records without a ledger are unverified, with a reason."""
    first, second = publish_records(
        class_folder / "ada", make_attempt_at(DAY, build_not_yet()), make_attempt_at(DAY, build_result())
    )
    second.write_text(second.read_text().replace('"seed": 42', '"seed": 43'))
    progress.save_event(class_folder / "ada", make_attempt_at(DAY, build_result()))
    progress.save_event(class_folder / "bob", make_attempt_at(DAY, build_result()))
    ada, bob = load_cohort_from_folder(class_folder).members
    assert sorted((e.verified, e.reason and e.reason[:13]) for e in ada.entries) == [
        (False, "it is not in "),
        (False, "it was edited"),
        (True, None),
    ]
    assert [e.verified for e in bob.entries] == [False]
    assert first.exists()


def test_what_is_no_record_is_left_out(class_folder: Path, tmp_path: Path) -> None:
    """Damaged files, links and folders stop nothing and count for nothing."""
    publish_records(class_folder / "ada", make_attempt_at(DAY, build_result()))
    (tmp_path / "secret.json").write_text("{}")
    (class_folder / "ada" / "progress" / "a.json").symlink_to(tmp_path / "secret.json")
    (class_folder / "ada" / "progress" / "b.json").write_bytes(b"\xff")
    (class_folder / "ada" / "progress" / "c.json").mkdir()
    assert len(load_cohort_from_folder(class_folder).members[0].entries) == 1
    (class_folder / "ada" / ledger.LEDGER_FILE).unlink()
    (class_folder / "ada" / ledger.LEDGER_FILE).mkdir()
    assert not load_cohort_from_folder(class_folder).members[0].entries[0].verified


def test_the_roster_says_who_is_in_the_class(class_folder: Path, tmp_path: Path) -> None:
    """Students without records are members; students who only have a folder are not."""
    publish_records(class_folder / "ada", make_attempt_at(DAY, build_result()))
    publish_records(class_folder / "stranger", make_attempt_at(DAY, build_result()))
    roster = tmp_path / "roster.csv"
    roster.write_text("id,name,section,public\nBob,Bob B.,A,no\nada,Ada Lovelace,B,yes\n")
    ada, bob = load_cohort_from_folder(class_folder, roster).members
    assert (ada.student.name, ada.student.section, ada.student.public) == ("Ada Lovelace", "B", True)
    assert (bob.student.id, bob.student.public, bob.entries) == ("bob", False, ())
    roster.write_text("id\nbob\n")
    assert load_cohort_from_folder(class_folder, roster).made_at == NEVER


def test_a_gradebook_holds_official_results_and_published_records(class_folder: Path) -> None:
    """Official results are verified, the ledger decides for records, and students no longer enrolled are left out."""
    rows = [RosterRow("ada", "Ada Lovelace", public=True), RosterRow("bob"), RosterRow("gone")]
    path = fill_gradebook(class_folder / "gradebook.sqlite", rows, {"ada": [(1, 2, DAY)], "gone": [(2, 2, DAY)]})
    with open_gradebook(path) as book:
        book.set_enrolled_students(rows[:2])
        for reason, days in (("it was edited", 2), (None, -2)):
            event = make_attempt_at(DAY + timedelta(days=days), build_not_yet())
            text = progress.encode_event_file(event).decode()
            book.save_records("ada", [PublishedRecord("ada", f"progress/{days}.json", event.at, 5, text, reason)])
    ada, bob = load_cohort_from_gradebook(path).members
    assert [(e.event.verdict, e.verified) for e in ada.entries] == [
        ("not_yet", True),
        ("unlocked", True),
        ("not_yet", False),
    ]
    assert ada.entries[1].event.result.official
    assert (ada.student.name, ada.student.public, bob.entries) == ("Ada Lovelace", True, ())
    assert load_cohort_from_gradebook(path) == load_cohort_from_gradebook(path)


def test_a_folder_that_is_none_is_said(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(UsageError, match="missing is not a folder"):
        load_cohort_from_folder(tmp_path / "missing")


def test_the_key_is_made_once_for_its_owner_alone(class_folder: Path) -> None:
    """The key stays the same, nobody else may read it, and a damaged one is not replaced silently."""
    path = class_folder / "new" / "pseudonyms.key"
    key = read_pseudonym_key(path)
    assert len(key) == 32
    assert read_pseudonym_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["pseudonyms.key"]
    path.write_text("abc")
    with pytest.raises(UsageError, match="is not a key"):
        read_pseudonym_key(path)


def test_a_workflow_gives_the_key_as_a_secret(tmp_path: Path) -> None:
    """The variable takes precedence over a file. An empty one, as for an unset secret, creates no new key."""
    path = tmp_path / "pseudonyms.key"
    assert read_pseudonym_key(path, {"PSEUDONYM_KEY": "0f" * 32 + "\n"}) == b"\x0f" * 32
    for text in ("", "0f" * 31, "key"):
        with pytest.raises(UsageError, match="gh secret set PSEUDONYM_KEY"):
            read_pseudonym_key(path, {"PSEUDONYM_KEY": text})
    assert not path.exists()


def test_pseudonyms_depend_on_the_key_and_never_clash() -> None:
    """A different key gives different names; 20,000 students have 20,000 names, the same in any order."""
    ids = [f"student-{i}" for i in range(20_000)]
    names = assign_pseudonyms(ids, b"k" * 32)
    assert len(set(names.values())) == len(ids)
    assert assign_pseudonyms(reversed(ids), b"k" * 32) == names
    assert names["student-1"] != assign_pseudonyms(ids, b"l" * 32)["student-1"]
    assert all(len(part) > 2 for part in names["student-1"].split("-"))


def test_the_word_lists_hold_64_different_words_each() -> None:
    """So the digits of the key's MAC select every word with equal probability."""
    assert len(set(QUALITIES)) == len(set(THINGS)) == 64
