"""Artifacts are accepted only when everything about them is as expected; anything else is a problem in words."""

from __future__ import annotations

import contextlib
import io
import stat
import threading
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.errors import GraderError
from grading.github.api import Client
from grading.github.artifact import (
    MAX_ARCHIVE_BYTES,
    MAX_FILE_BYTES,
    ArtifactRefusedError,
    collect_run_results,
    extract_single_file,
)
from grading.render.record import encode_result
from grading.result import CriterionResult, CriterionStatus
from tests.github.artifacts import add_artifact, build_zip
from tests.github.local import Answer, Fault
from tests.github.runs import COMMIT, MANIFEST, REPOSITORY, RUN, Runs, build_failing, build_unlocked, set_commit

GOOD = encode_result(build_unlocked()).encode()
FIRST, *OTHERS = build_unlocked().criteria


def encode_record(*criteria: CriterionResult) -> bytes:
    """Encode a record of milestone 1 that claims to be unlocked by these criteria."""
    return encode_result(build_unlocked(criteria=criteria)).encode()


def encode_with_first(**changes: object) -> bytes:
    """Encode the record with a different first criterion."""
    return encode_record(FIRST.model_copy(update=changes), *OTHERS)


NAME = "tinytorch-milestone-1"


def find_problem(runs: Runs, client: Client, session: str = "milestone-1") -> str:
    """Return the problem with the one expected session, whose result is not accepted."""
    found = collect_run_results(client, REPOSITORY, RUN, (session,), COMMIT, MANIFEST)
    assert found.results == ()
    [problem] = found.problems
    assert problem.startswith(f"{session}: ")
    assert runs.repository is not None
    return problem


def upload_archive(runs: Runs, archive: bytes, **changes: object) -> None:
    """Upload this archive as the session's artifact."""
    add_artifact(runs.hub, runs.repository, RUN, NAME, archive, **changes)


def build_entry(name: str, data: bytes = GOOD, *, kind: int = 0, **fields: object) -> bytes:
    """Build an archive with one handmade entry."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (kind | 0o644) << 16
        info.compress_type = fields.get("method", zipfile.ZIP_DEFLATED)
        archive.writestr(info, data)
    return stream.getvalue()


def test_results_are_taken_by_their_names(runs: Runs, client: Client) -> None:
    """Those that were expected, in that order; artifacts of other names are not even fetched."""
    runs.upload_records(build_unlocked(), build_failing(), plan=False)
    add_artifact(runs.hub, runs.repository, RUN, "tinytorch-milestone-2", build_zip({"result.json": GOOD}))
    add_artifact(runs.hub, runs.repository, RUN, "TINYTORCH-milestone-1", b"no archive")
    found = collect_run_results(client, REPOSITORY, RUN, ("module-02_tensor", "milestone-1"), COMMIT, MANIFEST)
    assert found.results == (build_failing(), build_unlocked())
    assert found.problems == ()
    assert len([path for _, path in runs.hub.asked if "/zip" in path]) == 2


def test_a_job_that_ran_again_is_known_by_its_newest_artifact(runs: Runs, client: Client) -> None:
    """Of two artifacts with one name, the later counts."""
    runs.upload_records(build_unlocked(seed=1), build_unlocked(seed=2), plan=False)
    found = collect_run_results(client, REPOSITORY, RUN, ("milestone-1",), COMMIT, MANIFEST)
    assert [r.seed for r in found.results] == [2]


def test_artifacts_beyond_the_first_page_are_found(runs: Runs, client: Client) -> None:
    """A hundred others do not hide one."""
    runs.upload_records(build_unlocked(), plan=False)
    for number in range(120):
        add_artifact(runs.hub, runs.repository, RUN, f"other-{number}", b"x")
    assert collect_run_results(client, REPOSITORY, RUN, ("milestone-1",), COMMIT, MANIFEST).results == (
        build_unlocked(),
    )


def test_artifacts_are_fetched_side_by_side(runs: Runs, client: Client) -> None:
    """Two downloads that wait for each other both arrive; the results stay in the order of the plan."""
    runs.upload_records(build_unlocked(), build_failing(), plan=False)
    both = threading.Barrier(2)
    runs.hub.before += [("GET", "/zip$", lambda: both.wait(20))] * 2
    found = collect_run_results(client, REPOSITORY, RUN, ("module-02_tensor", "milestone-1"), COMMIT, MANIFEST)
    assert found.results == (build_failing(), build_unlocked())


def test_a_missing_result_is_missing(runs: Runs, client: Client) -> None:
    """Nothing handed over is neither passed nor failed; another run's artifact does not stand in."""
    add_artifact(runs.hub, runs.repository, RUN + 1, NAME, build_zip({"result.json": GOOD}))
    assert "nothing was handed over" in find_problem(runs, client)


def test_what_is_too_large_is_not_fetched(runs: Runs, client: Client) -> None:
    """A large archive is refused by what the API says of it."""
    upload_archive(runs, b"x", size_in_bytes=MAX_ARCHIVE_BYTES + 1)
    assert "larger than 4 MiB" in find_problem(runs, client)
    assert not [path for _, path in runs.hub.asked if "/zip" in path]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"digest": "sha256:" + "0" * 64}, "does not match its digest"),
        ({"digest": None}, "has no digest"),
        ({"expired": True}, "has expired"),
    ],
)
def test_what_does_not_fit_its_record_is_refused(
    runs: Runs, client: Client, changes: dict[str, object], told: str
) -> None:
    """Another content than the digest's, none known, or what is gone."""
    upload_archive(runs, build_zip({"result.json": GOOD}), **changes)
    assert told in find_problem(runs, client)


BAD_ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "two files": (lambda: build_zip({"result.json": GOOD, "x": b""}), "holds 2 files"),
    "none": (lambda: build_zip({}), "holds 0 files"),
    "out of the folder": (lambda: build_entry("../result.json"), "'../result.json'"),
    "absolute": (lambda: build_entry("/result.json"), "'/result.json'"),
    "in a folder": (lambda: build_entry("a/result.json"), "'a/result.json'"),
    "other case": (lambda: build_entry("Result.json"), "'Result.json'"),
    "workflow command": (lambda: build_entry("::error::x\n"), "': :error::x'"),
    "null in its name": (
        lambda: build_entry("resultXjson").replace(b"resultXjson", b"result\0json"),
        "instead of result.json",
    ),
    "a link": (lambda: build_entry("result.json", b"/etc/passwd", kind=stat.S_IFLNK), "not a regular file"),
    "a device": (lambda: build_entry("result.json", kind=stat.S_IFCHR), "not a regular file"),
    "a folder": (lambda: build_entry("result.json", b"", kind=stat.S_IFDIR), "not a regular file"),
    "bzip2": (lambda: build_entry("result.json", method=zipfile.ZIP_BZIP2), "unsupported compression"),
    "a bomb": (lambda: build_entry("result.json", b" " * (MAX_FILE_BYTES + 1)), "larger than 16384 KiB"),
    "cut off": (lambda: build_entry("result.json")[:-30], "not a valid archive"),
    "damaged": (
        lambda: build_entry("result.json", method=zipfile.ZIP_STORED).replace(b"Basic", b"BASIC"),
        "not a valid archive",
    ),
    "no archive": (lambda: b"MZ" * 999, "not a valid archive"),
    "empty": (lambda: b"", "not a valid archive"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_only_one_ordinary_file_is_read(case: str) -> None:
    """More or other files, paths, links, other packings, bombs and broken archives are refused in words."""
    make, told = BAD_ARCHIVES[case]
    with pytest.raises(ArtifactRefusedError) as refusal:
        extract_single_file(make(), "result.json", MAX_FILE_BYTES)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_archive_that_lies_about_its_size_fills_no_memory() -> None:
    """A bomb that claims a small size is stopped as well."""
    bomb = build_entry("result.json", b" " * (MAX_FILE_BYTES + 1))
    for size in (MAX_FILE_BYTES + 1).to_bytes(4, "little"), (100).to_bytes(4, "little"):
        with pytest.raises(ArtifactRefusedError):
            extract_single_file(
                bomb.replace((MAX_FILE_BYTES + 1).to_bytes(4, "little"), size), "result.json", MAX_FILE_BYTES
            )


@given(st.binary(max_size=200), st.integers(0, 400), st.binary(max_size=4))
def test_no_bytes_break_the_reading(noise: bytes, where: int, put: bytes) -> None:
    """Any bytes, and a good archive with a few others in it, are read or refused."""
    good = build_zip({"result.json": b"{}"})
    for archive in (noise, good[:where] + put + good[where + len(put) :], noise + good):
        with contextlib.suppress(ArtifactRefusedError):
            assert len(extract_single_file(archive, "result.json", 1000)) <= 1000


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not a result record"),
        (b"[" * 100_000, "not a result record"),
        (b'{"record": "tinytorch/result/v2"}', "not a result record"),
        (GOOD.replace(b'"seed": 42', b'"seed": 42, "extra": 1'), "not a result record"),
        (GOOD.replace(b'"verdict": "unlocked"', b'"verdict": "gold"'), "not a result record"),
        (encode_result(build_failing()).encode(), "a result of 'module-02_tensor'"),
        (
            encode_result(set_commit(build_unlocked(), "b" * 40)).encode(),
            f"a result of '{'b' * 40}', not of {COMMIT[:7]}",
        ),
        (encode_result(set_commit(build_unlocked(), None)).encode(), "a result of no commit"),
        (encode_with_first(status=CriterionStatus.FAILED), "a verdict that does not follow"),
        (encode_with_first(measured=FIRST.threshold + 1), "figure misses the threshold"),
        (encode_result(build_unlocked(name="Alles")).encode(), "a different name"),
        (encode_result(build_unlocked(medal="All of them")).encode(), "a different name"),
        (encode_result(build_unlocked(reproduce="curl example.com | sh")).encode(), "a different name"),
        (encode_result(build_unlocked(started_at=datetime(2900, 1, 1, tzinfo=UTC))).encode(), "dated in the future"),
        (encode_with_first(measured=None), "figure misses the threshold"),
        (encode_record(), "this course's criteria"),
        (encode_record(*OTHERS), "this course's criteria"),
        (encode_record(FIRST, FIRST, *OTHERS), "this course's criteria"),
        (encode_record(*OTHERS, FIRST), "this course's criteria"),
        (encode_with_first(threshold=FIRST.threshold + 1), "this course's criteria"),
        (encode_with_first(comparison="at_least"), "this course's criteria"),
        (encode_with_first(title="Nothing to see"), "this course's criteria"),
    ],
)
def test_only_a_record_of_this_session_and_commit_counts(runs: Runs, client: Client, data: bytes, told: str) -> None:
    """Another schema, another milestone, another student's or an older result, and a contradictory one are refused."""
    upload_archive(runs, build_zip({"result.json": data}))
    assert told in find_problem(runs, client)


def test_one_bad_artifact_does_not_take_the_others_along(runs: Runs, client: Client) -> None:
    """Good results are taken, and each bad one has its own sentence."""
    runs.upload_records(build_failing(), plan=False)
    upload_archive(runs, b"no archive")
    found = collect_run_results(
        client, REPOSITORY, RUN, ("milestone-1", "module-02_tensor", "milestone-3"), COMMIT, MANIFEST
    )
    assert found.results == (build_failing(),)
    assert len(found.problems) == 2


def test_five_megabytes_of_output_come_through(runs: Runs, client: Client) -> None:
    """A record with a hostile output of that size is read, in time that leaves the report its two seconds."""
    flood = "\x1b[31m@everyone <b>\n" * 280_000
    assert len(flood) > 5_000_000
    runs.upload_records(build_unlocked(student_output=flood), plan=False)
    started = time.process_time()
    [record] = collect_run_results(client, REPOSITORY, RUN, ("milestone-1",), COMMIT, MANIFEST).results
    assert time.process_time() - started < 1
    assert record.student_output == flood


def test_an_artifact_that_vanishes_is_an_error_of_githubs(runs: Runs, client: Client) -> None:
    """Neither taken nor called missing: the run can be tried again."""
    runs.upload_records(build_unlocked(), plan=False)
    runs.hub.faults.append(Fault("GET", "/zip$", Answer(410, {"message": "gone", "documentation_url": ""})))
    with pytest.raises(GraderError, match="tinytorch-milestone-1"):
        collect_run_results(client, REPOSITORY, RUN, ("milestone-1",), COMMIT, MANIFEST)
