"""Changes after publication are reported with their reason, and no input makes the readers crash."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading import progress
from grading.github import ledger
from grading.github.branch_records import BranchRecords
from grading.github.history import fetch_branch_records
from grading.github.ledger import (
    LedgerHead,
    LedgerLine,
    append_ledger_lines,
    parse_ledger_line,
    split_ledger_lines,
    verify_ledger_records,
)
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest
from tests.github.place import FakeRepository, make_repository
from tests.github.test_publish import build_result_at, publish_now
from tests.render.results import build_result


@pytest.fixture(scope="module")
def manifest(root):  # type: ignore[no-untyped-def]
    """Load the course's own manifest."""
    return load_manifest(root)


@pytest.fixture
def repository(manifest: Manifest) -> FakeRepository:
    """Make a repository with five published records, one per minute."""
    made = make_repository()
    for minute in range(5):
        publish_now(made, manifest, minute + 1, build_result_at(minute))
    return made


def fetch_records(repository: FakeRepository) -> BranchRecords:
    """Fetch the records through the API."""
    return fetch_branch_records(repository.client(), repository.name)


def list_reasons(repository: FakeRepository) -> list[str | None]:
    """List why each record is not verified, oldest first."""
    return [e.reason for e in fetch_records(repository).entries]


def find_record(repository: FakeRepository, index: int) -> str:
    """Return the path of a record."""
    return sorted(p for p in repository.read_files() if p.startswith("progress/2"))[index]


def read_ledger_lines(repository: FakeRepository) -> list[bytes]:
    """Read the lines of the ledger."""
    return split_ledger_lines(repository.read_files()[ledger.LEDGER_FILE])


def rewrite_ledger(repository: FakeRepository, new: list[bytes]) -> None:
    """Change the ledger in a student's commit."""
    repository.push({ledger.LEDGER_FILE: b"".join(line + b"\n" for line in new)})


def edit_line(line: bytes, **changes: object) -> bytes:
    """Return a line of the ledger with different values."""
    return json.dumps(json.loads(line) | changes).encode()


def test_an_edited_record_is_unverified_and_the_others_are_not(repository: FakeRepository) -> None:
    """One changed verdict shows, at that record alone."""
    path = find_record(repository, 2)
    repository.push({path: repository.read_files()[path].replace(b"not_yet", b"unlocked")})
    assert list_reasons(repository) == [None, None, "it was edited after it was published", None, None]
    assert fetch_records(repository).history.find_best_attempt(1).verdict == "not_yet"


def test_a_removed_file_is_missing(repository: FakeRepository) -> None:
    """The ledger still names it."""
    path = find_record(repository, 1)
    repository.push({path: None})
    missing = next(e for e in fetch_records(repository).entries if e.file == path)
    assert (missing.reason, missing.event, missing.run_id) == ("its file is missing", None, 2)
    assert sum(e.verified for e in fetch_records(repository).entries) == 4


def test_a_file_that_no_run_has_published_is_unverified(repository: FakeRepository) -> None:
    """A record copied in from elsewhere is not in the ledger; it is named though it is not read."""
    forged = progress.encode_event_file(progress.make_run_event(build_result_at(9, build_result())))
    repository.push({"progress/forged.json": forged})
    assert list_reasons(repository)[-1] == "it is not in the ledger: no run has published it"
    assert list_reasons(repository)[:-1] == [None] * 5


def test_an_edited_line_breaks_the_chain_up_to_it(repository: FakeRepository) -> None:
    """Edit of line 2: it and what is before it are in doubt, what came after is tied to the head."""
    old = read_ledger_lines(repository)
    rewrite_ledger(repository, [old[0], edit_line(old[1], run_id=99), *old[2:]])
    found = list_reasons(repository)
    assert all("line 2 of the ledger, or one before it" in reason for reason in found[:2])
    assert found[2:] == [None, None, None]


def test_a_removed_line_breaks_the_chain(repository: FakeRepository) -> None:
    """Its file is no longer in the ledger, and what stood before it is in doubt."""
    old = read_ledger_lines(repository)
    rewrite_ledger(repository, [*old[:1], *old[2:]])
    found = fetch_records(repository).entries
    by_run = {e.run_id: e.reason for e in found}
    assert "chain is broken" in by_run[1]
    assert by_run[3] is by_run[4] is None
    assert by_run[None] == "it is not in the ledger: no run has published it"


def test_a_removed_first_line_shows(repository: FakeRepository) -> None:
    """Its record is no longer in the ledger; a copy without the head's word also lacks its beginning."""
    rewrite_ledger(repository, read_ledger_lines(repository)[1:])
    assert list_reasons(repository) == [None] * 4 + ["it is not in the ledger: no run has published it"]
    files = {p: d for p, d in repository.read_files().items() if p.startswith("progress/2")}
    assert "does not begin" in next(
        e.reason for e in verify_ledger_records(read_ledger_lines(repository), files) if e.run_id == 2
    )


def test_an_edited_last_line_shows(repository: FakeRepository) -> None:
    """No line after it holds its digest, but the commit that published it does."""
    old = read_ledger_lines(repository)
    rewrite_ledger(repository, [*old[:-1], edit_line(old[-1], run_id=99)])
    assert all("last published line" in reason for reason in list_reasons(repository))


def test_a_removed_last_line_shows(repository: FakeRepository) -> None:
    """Neither can the ledger be cut short."""
    rewrite_ledger(repository, read_ledger_lines(repository)[:-1])
    assert sum(e.verified for e in fetch_records(repository).entries) == 0


def test_a_line_added_by_hand_is_unverified_and_stays_so(repository: FakeRepository, manifest: Manifest) -> None:
    """Even with the right digests; and the next publication is chained to the last one, not to it."""
    forged = progress.encode_event_file(progress.make_run_event(build_result_at(9, build_result())))
    file = "progress/20270101T000000.000000Z-milestone_attempted-9-milestone-1.json"
    line = LedgerLine(0, file, ledger.compute_sha256(forged), "", repository.number, 9, build_result_at(9).started_at)
    text, _ = append_ledger_lines(
        repository.read_files()[ledger.LEDGER_FILE],
        LedgerHead(5, ledger.compute_sha256(read_ledger_lines(repository)[-1])),
        [line],
    )
    repository.push({file: forged, ledger.LEDGER_FILE: text})
    assert list_reasons(repository)[:5] == [None] * 5
    assert "no run has published it" in list_reasons(repository)[5]
    publish_now(repository, manifest, 10, build_result_at(10))
    after = {e.run_id: e.verified for e in fetch_records(repository).entries}
    assert after[9] is False
    assert after[10] is True
    assert fetch_records(repository).history.find_best_attempt(1).verdict == "not_yet"


def test_taking_an_edit_back_restores_trust(repository: FakeRepository, manifest: Manifest) -> None:
    """A mistake can be fixed: with the old bytes everything is verified again, also after another publication."""
    old = repository.read_files()[ledger.LEDGER_FILE]
    rewrite_ledger(
        repository, [edit_line(read_ledger_lines(repository)[0], run_id=9), *read_ledger_lines(repository)[1:]]
    )
    publish_now(repository, manifest, 10, build_result_at(10))
    assert [reason is None for reason in list_reasons(repository)] == [False, True, True, True, True, True]
    repository.push({ledger.LEDGER_FILE: old + read_ledger_lines(repository)[-1] + b"\n"})
    assert list_reasons(repository) == [None] * 6


def test_records_of_another_repository_are_told(repository: FakeRepository, manifest: Manifest) -> None:
    """A branch taken over from another student, ledger and all, is unverified; what is added here is verified."""
    other = replace(repository, name="octo/other")
    other.kept.objects, other.kept.refs = dict(repository.kept.objects), dict(repository.kept.refs)
    assert list_reasons(other) == ["it was published in a different repository"] * 5
    publish_now(other, manifest, 50, build_result_at(50))
    assert list_reasons(other) == ["it was published in a different repository"] * 5 + [None]


def test_the_same_line_twice_counts_once(repository: FakeRepository) -> None:
    """A record that the ledger names again is verified only where it was published."""
    old = read_ledger_lines(repository)
    again = append_ledger_lines(b"", LedgerHead(5, ledger.compute_sha256(old[-1])), [parse_ledger_line(old[0])])[
        0
    ].rstrip(b"\n")
    entries = verify_ledger_records([*old, again], dict(repository.read_files()), repository_id=repository.number)
    assert [e.reason for e in entries if e.number in (1, 6)] == [None, "the ledger lists it twice"]


def test_a_publication_is_found_below_a_students_commits(repository: FakeRepository) -> None:
    """What the ledger must end with is read from the last publication's commit, whatever was committed on top."""
    for i in range(10):
        repository.push({"notes.txt": b"%d" % i})
    assert fetch_records(repository).head == LedgerHead(5, ledger.compute_sha256(read_ledger_lines(repository)[-1]))
    assert list_reasons(repository) == [None] * 5


def test_an_oversized_ledger_or_record_is_not_read(repository: FakeRepository) -> None:
    """Neither is fetched; what it was to hold is unverified."""
    repository.push({find_record(repository, 0): b" " * (progress.LARGEST + 1)})
    assert "was not read" in next(r for r in list_reasons(repository) if r)
    repository.push({ledger.LEDGER_FILE: b"x" * (ledger.MAX_LEDGER_BYTES + 1)})
    repository.hub.asked.clear()
    assert all("not in the ledger" in reason for reason in list_reasons(repository))
    assert repository.count_requests("GET", "/git/blobs/") == 0


def test_without_a_head_only_an_edit_of_the_last_line_goes_unseen(repository: FakeRepository) -> None:
    """As from a copy of the files alone: the last line is taken for the head."""
    old, files = (
        read_ledger_lines(repository),
        {p: d for p, d in repository.read_files().items() if p.startswith("progress/2")},
    )
    assert all(e.verified for e in verify_ledger_records(old, files))
    assert not all(e.verified for e in verify_ledger_records([edit_line(old[0], run_id=9), *old[1:]], files))


def test_order_is_by_start_and_run_whatever_was_published_first() -> None:
    """Two records with the same time are in the order of their runs."""
    files, published = {}, []
    for run_id, minute in ((3, 1), (2, 1), (1, 2), (9, 0)):
        event = progress.make_run_event(build_result_at(minute))
        file, data = f"progress/{run_id}.json", progress.encode_event_file(event)
        files[file] = data
        published.append(LedgerLine(0, file, ledger.compute_sha256(data), "", 1, run_id, event.at))
    text, head = append_ledger_lines(b"", LedgerHead(), published)
    entries = verify_ledger_records(split_ledger_lines(text), files, head=head, repository_id=1)
    assert [e.run_id for e in entries] == [9, 2, 3, 1]


GOOD = {
    "number": 1,
    "file": "progress/a.json",
    "sha256": "a" * 64,
    "previous": "0" * 64,
    "repository": 1,
    "run_id": 1,
    "started_at": "2026-03-01T12:00:00+00:00",
}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 900, "not JSON"),
        (b" " * 2000, "too long"),
        (b"[]", "not a line"),
        (GOOD | {"more": 1}, "not a line"),
        (GOOD | {"file": "progress/../x.json"}, "file"),
        (GOOD | {"file": "../../etc/passwd"}, "file"),
        (GOOD | {"file": 3}, "file"),
        (GOOD | {"sha256": "A" * 64}, "sha256"),
        (GOOD | {"previous": None}, "previous"),
        (GOOD | {"number": True}, "number"),
        (GOOD | {"number": 0}, "number"),
        (GOOD | {"run_id": 2**70}, "run_id"),
        (GOOD | {"repository": "1"}, "repository"),
        (GOOD | {"started_at": "2026-03-01T12:00:00"}, "started_at"),
        (GOOD | {"started_at": 5}, "started_at"),
        (GOOD | {"started_at": "0001-01-01T00:00:00+14:00"}, "started_at"),
    ],
)
def test_a_line_that_is_none_says_why(line: bytes | dict, reason: str) -> None:
    """Every field is checked for what it has to be."""
    with pytest.raises(ValueError, match=reason):
        parse_ledger_line(line if isinstance(line, bytes) else json.dumps(line).encode())


def test_a_written_line_is_read_as_it_was() -> None:
    """What `append_ledger_lines` writes, `parse_ledger_line` reads."""
    at_ = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(microseconds=1)
    text, head = append_ledger_lines(
        b"no end of line", LedgerHead(), [LedgerLine(0, "progress/a.json", "a" * 64, "", 7, 8, at_)]
    )
    assert parse_ledger_line(split_ledger_lines(text)[1]) == LedgerLine(
        1, "progress/a.json", "a" * 64, ledger.START_DIGEST, 7, 8, at_
    )
    assert head == LedgerHead(1, ledger.compute_sha256(split_ledger_lines(text)[1]))
    assert ledger.parse_ledger_trailer(f"x\n\n{head.trailer}\n") == head
    assert ledger.parse_ledger_trailer("TinyTorch-Ledger: 1 abc") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
near_lines = st.fixed_dictionaries({}, optional={key: json_values | st.just(value) for key, value in GOOD.items()})
raw_lines = st.binary(max_size=200) | near_lines.map(lambda v: json.dumps(v).encode())
RECORD = json.loads(progress.encode_event_file(progress.make_run_event(build_result_at(0))))
near_records = st.fixed_dictionaries({}, optional={key: json_values | st.just(value) for key, value in RECORD.items()})
raw_records = st.binary(max_size=200) | near_records.map(lambda v: json.dumps(v).encode())


@given(st.lists(raw_lines, max_size=6), st.lists(raw_records | st.none(), max_size=3), st.booleans())
def test_no_ledger_and_no_record_crash_the_reader(raw: list[bytes], records: list[bytes | None], known: bool) -> None:
    """Whatever stands on the branch becomes entries, and only what the chain holds is verified."""
    files = {"progress/a.json" if i == 0 else f"progress/{i}.json": data for i, data in enumerate(records)}
    head = LedgerHead(1, ledger.compute_sha256(raw[-1])) if known and raw else None
    for entry in verify_ledger_records(split_ledger_lines(b"\n".join(raw)), files, head=head, repository_id=1):
        assert entry.reason is None or entry.reason.strip()
        if entry.verified:
            assert ledger.compute_sha256(files[entry.file]) in b"\n".join(raw).decode()


@given(raw_records)
def test_no_record_crashes_its_reader(data: bytes) -> None:
    """It is an event, or a ValueError that says what it is not."""
    try:
        event = progress.parse_event(data)
    except ValueError:
        return
    assert progress.parse_event(progress.encode_event_file(event)) == event


@given(st.text(max_size=300))
def test_no_message_crashes_the_reader_of_heads(message: str) -> None:
    """A commit message names a head or does not."""
    head = ledger.parse_ledger_trailer(message)
    assert head is None or head.trailer in message
