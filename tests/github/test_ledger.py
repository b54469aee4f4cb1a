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
from grading.github.history import read_history
from grading.github.ledger import Head, Line, append, parse, split, verify
from grading.github.reading import Records
from grading.manifest.load import load
from grading.manifest.model import Manifest
from tests.github.place import Place, place
from tests.github.test_publish import at, put
from tests.render.results import result


@pytest.fixture(scope="module")
def manifest(root):  # type: ignore[no-untyped-def]
    """The course's own."""
    return load(root)


@pytest.fixture
def repository(manifest: Manifest) -> Place:
    """A repository with five published records, one per minute."""
    made = place()
    for minute in range(5):
        put(made, manifest, minute + 1, at(minute))
    return made


def read(repository: Place) -> Records:
    """Fetch the records through the API."""
    return read_history(repository.client(), repository.name)


def reasons(repository: Place) -> list[str | None]:
    """List why each record is not verified, oldest first."""
    return [e.reason for e in read(repository).entries]


def record(repository: Place, index: int) -> str:
    """Return the path of a record."""
    return sorted(p for p in repository.files() if p.startswith("progress/2"))[index]


def lines(repository: Place) -> list[bytes]:
    """Read the lines of the ledger."""
    return split(repository.files()[ledger.FILE])


def rewrite(repository: Place, new: list[bytes]) -> None:
    """Change the ledger in a student's commit."""
    repository.push({ledger.FILE: b"".join(line + b"\n" for line in new)})


def edited(line: bytes, **changes: object) -> bytes:
    """Return the line with different values."""
    return json.dumps(json.loads(line) | changes).encode()


def test_an_edited_record_is_unverified_and_the_others_are_not(repository: Place) -> None:
    """One changed verdict shows, at that record alone."""
    path = record(repository, 2)
    repository.push({path: repository.files()[path].replace(b"not_yet", b"unlocked")})
    assert reasons(repository) == [None, None, "it was edited after it was published", None, None]
    assert read(repository).history.find_best_attempt(1).verdict == "not_yet"


def test_a_removed_file_is_missing(repository: Place) -> None:
    """The ledger still names it."""
    path = record(repository, 1)
    repository.push({path: None})
    missing = next(e for e in read(repository).entries if e.file == path)
    assert (missing.reason, missing.event, missing.run_id) == ("its file is missing", None, 2)
    assert sum(e.verified for e in read(repository).entries) == 4


def test_a_file_that_no_run_has_published_is_unverified(repository: Place) -> None:
    """A record copied in from elsewhere is not in the ledger; it is named though it is not read."""
    forged = progress.encode_event(progress.make_run_event(at(9, result())))
    repository.push({"progress/forged.json": forged})
    assert reasons(repository)[-1] == "it is not in the ledger: no run has published it"
    assert reasons(repository)[:-1] == [None] * 5


def test_an_edited_line_breaks_the_chain_up_to_it(repository: Place) -> None:
    """Edit of line 2: it and what is before it are in doubt, what came after is tied to the head."""
    old = lines(repository)
    rewrite(repository, [old[0], edited(old[1], run_id=99), *old[2:]])
    found = reasons(repository)
    assert all("line 2 of the ledger, or one before it" in reason for reason in found[:2])
    assert found[2:] == [None, None, None]


def test_a_removed_line_breaks_the_chain(repository: Place) -> None:
    """Its file is no longer in the ledger, and what stood before it is in doubt."""
    old = lines(repository)
    rewrite(repository, [*old[:1], *old[2:]])
    found = read(repository).entries
    by_run = {e.run_id: e.reason for e in found}
    assert "chain is broken" in by_run[1]
    assert by_run[3] is by_run[4] is None
    assert by_run[None] == "it is not in the ledger: no run has published it"


def test_a_removed_first_line_shows(repository: Place) -> None:
    """Its record is no longer in the ledger; a copy without the head's word also lacks its beginning."""
    rewrite(repository, lines(repository)[1:])
    assert reasons(repository) == [None] * 4 + ["it is not in the ledger: no run has published it"]
    files = {p: d for p, d in repository.files().items() if p.startswith("progress/2")}
    assert "does not begin" in next(e.reason for e in verify(lines(repository), files) if e.run_id == 2)


def test_an_edited_last_line_shows(repository: Place) -> None:
    """No line after it holds its digest, but the commit that published it does."""
    old = lines(repository)
    rewrite(repository, [*old[:-1], edited(old[-1], run_id=99)])
    assert all("last published line" in reason for reason in reasons(repository))


def test_a_removed_last_line_shows(repository: Place) -> None:
    """Neither can the ledger be cut short."""
    rewrite(repository, lines(repository)[:-1])
    assert sum(e.verified for e in read(repository).entries) == 0


def test_a_line_added_by_hand_is_unverified_and_stays_so(repository: Place, manifest: Manifest) -> None:
    """Even with the right digests; and the next publication is chained to the last one, not to it."""
    forged = progress.encode_event(progress.make_run_event(at(9, result())))
    file = "progress/20270101T000000.000000Z-milestone_attempted-9-milestone-1.json"
    line = Line(0, file, ledger.digest(forged), "", repository.number, 9, at(9).started_at)
    text, _ = append(repository.files()[ledger.FILE], Head(5, ledger.digest(lines(repository)[-1])), [line])
    repository.push({file: forged, ledger.FILE: text})
    assert reasons(repository)[:5] == [None] * 5
    assert "no run has published it" in reasons(repository)[5]
    put(repository, manifest, 10, at(10))
    after = {e.run_id: e.verified for e in read(repository).entries}
    assert after[9] is False
    assert after[10] is True
    assert read(repository).history.find_best_attempt(1).verdict == "not_yet"


def test_taking_an_edit_back_restores_trust(repository: Place, manifest: Manifest) -> None:
    """A mistake can be fixed: with the old bytes everything is verified again, also after another publication."""
    old = repository.files()[ledger.FILE]
    rewrite(repository, [edited(lines(repository)[0], run_id=9), *lines(repository)[1:]])
    put(repository, manifest, 10, at(10))
    assert [reason is None for reason in reasons(repository)] == [False, True, True, True, True, True]
    repository.push({ledger.FILE: old + lines(repository)[-1] + b"\n"})
    assert reasons(repository) == [None] * 6


def test_records_of_another_repository_are_told(repository: Place, manifest: Manifest) -> None:
    """A branch taken over from another student, ledger and all, is unverified; what is added here is verified."""
    other = replace(repository, name="octo/other")
    other.kept.objects, other.kept.refs = dict(repository.kept.objects), dict(repository.kept.refs)
    assert reasons(other) == ["it was published in another repository"] * 5
    put(other, manifest, 50, at(50))
    assert reasons(other) == ["it was published in another repository"] * 5 + [None]


def test_the_same_line_twice_counts_once(repository: Place) -> None:
    """A record that the ledger names again is verified only where it was published."""
    old = lines(repository)
    again = append(b"", Head(5, ledger.digest(old[-1])), [parse(old[0])])[0].rstrip(b"\n")
    entries = verify([*old, again], dict(repository.files()), repository=repository.number)
    assert [e.reason for e in entries if e.number in (1, 6)] == [None, "the ledger lists it twice"]


def test_a_publication_is_found_below_a_students_commits(repository: Place) -> None:
    """What the ledger must end with is read from the last publication's commit, whatever was committed on top."""
    for i in range(10):
        repository.push({"notes.txt": b"%d" % i})
    assert read(repository).head == Head(5, ledger.digest(lines(repository)[-1]))
    assert reasons(repository) == [None] * 5


def test_an_oversized_ledger_or_record_is_not_read(repository: Place) -> None:
    """Neither is fetched; what it was to hold is unverified."""
    repository.push({record(repository, 0): b" " * (progress.LARGEST + 1)})
    assert "was not read" in next(r for r in reasons(repository) if r)
    repository.push({ledger.FILE: b"x" * (ledger.LARGEST + 1)})
    repository.hub.asked.clear()
    assert all("not in the ledger" in reason for reason in reasons(repository))
    assert repository.asked("GET", "/git/blobs/") == 0


def test_without_a_head_only_an_edit_of_the_last_line_goes_unseen(repository: Place) -> None:
    """As from a copy of the files alone: the last line is taken for the head."""
    old, files = lines(repository), {p: d for p, d in repository.files().items() if p.startswith("progress/2")}
    assert all(e.verified for e in verify(old, files))
    assert not all(e.verified for e in verify([edited(old[0], run_id=9), *old[1:]], files))


def test_order_is_by_start_and_run_whatever_was_published_first() -> None:
    """Two records with the same time are in the order of their runs."""
    files, published = {}, []
    for run_id, minute in ((3, 1), (2, 1), (1, 2), (9, 0)):
        event = progress.make_run_event(at(minute))
        file, data = f"progress/{run_id}.json", progress.encode_event(event)
        files[file] = data
        published.append(Line(0, file, ledger.digest(data), "", 1, run_id, event.at))
    text, head = append(b"", Head(), published)
    assert [e.run_id for e in verify(split(text), files, head=head, repository=1)] == [9, 2, 3, 1]


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
        parse(line if isinstance(line, bytes) else json.dumps(line).encode())


def test_a_written_line_is_read_as_it_was() -> None:
    """What `append` writes, `parse` reads."""
    at_ = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(microseconds=1)
    text, head = append(b"no end of line", Head(), [Line(0, "progress/a.json", "a" * 64, "", 7, 8, at_)])
    assert parse(split(text)[1]) == Line(1, "progress/a.json", "a" * 64, ledger.START, 7, 8, at_)
    assert head == Head(1, ledger.digest(split(text)[1]))
    assert ledger.head_of(f"x\n\n{head.trailer}\n") == head
    assert ledger.head_of("TinyTorch-Ledger: 1 abc") is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
near_lines = st.fixed_dictionaries({}, optional={key: json_values | st.just(value) for key, value in GOOD.items()})
raw_lines = st.binary(max_size=200) | near_lines.map(lambda v: json.dumps(v).encode())
RECORD = json.loads(progress.encode_event(progress.make_run_event(at(0))))
near_records = st.fixed_dictionaries({}, optional={key: json_values | st.just(value) for key, value in RECORD.items()})
raw_records = st.binary(max_size=200) | near_records.map(lambda v: json.dumps(v).encode())


@given(st.lists(raw_lines, max_size=6), st.lists(raw_records | st.none(), max_size=3), st.booleans())
def test_no_ledger_and_no_record_crash_the_reader(raw: list[bytes], records: list[bytes | None], known: bool) -> None:
    """Whatever stands on the branch becomes entries, and only what the chain holds is verified."""
    files = {"progress/a.json" if i == 0 else f"progress/{i}.json": data for i, data in enumerate(records)}
    head = Head(1, ledger.digest(raw[-1])) if known and raw else None
    for entry in verify(split(b"\n".join(raw)), files, head=head, repository=1):
        assert entry.reason is None or entry.reason.strip()
        if entry.verified:
            assert ledger.digest(files[entry.file]) in b"\n".join(raw).decode()


@given(raw_records)
def test_no_record_crashes_its_reader(data: bytes) -> None:
    """It is an event, or a ValueError that says what it is not."""
    try:
        event = progress.parse_event(data)
    except ValueError:
        return
    assert progress.parse_event(progress.encode_event(event)) == event


@given(st.text(max_size=300))
def test_no_message_crashes_the_reader_of_heads(message: str) -> None:
    """A commit message names a head or does not."""
    head = ledger.head_of(message)
    assert head is None or head.trailer in message
