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
from grading.github.artifact import LARGEST, UNPACKED, ArtifactRefusedError, only_file, read_artifacts
from grading.render.record import to_json
from grading.result import CriterionResult, CriterionStatus
from tests.github.artifacts import add_artifact, zipped
from tests.github.local import Answer, Fault
from tests.github.runs import COMMIT, MANIFEST, REPOSITORY, RUN, Runs, failing, made_for, unlocked

GOOD = to_json(unlocked()).encode()
FIRST, *OTHERS = unlocked().criteria


def recorded(*criteria: CriterionResult) -> bytes:
    """Encode a record of milestone 1 that claims to be unlocked by these criteria."""
    return to_json(unlocked(criteria=criteria)).encode()


def first(**changes: object) -> bytes:
    """Encode the record with a different first criterion."""
    return recorded(FIRST.model_copy(update=changes), *OTHERS)


NAME = "tinytorch-milestone-1"


def problem_of(runs: Runs, client: Client, session: str = "milestone-1") -> str:
    """Return the problem with the one expected session, whose result is not accepted."""
    found = read_artifacts(client, REPOSITORY, RUN, (session,), COMMIT, MANIFEST)
    assert found.results == ()
    [problem] = found.problems
    assert problem.startswith(f"{session}: ")
    assert runs.repository is not None
    return problem


def hand_over(runs: Runs, archive: bytes, **changes: object) -> None:
    """Upload this archive as the session's artifact."""
    add_artifact(runs.hub, runs.repository, RUN, NAME, archive, **changes)


def entry(name: str, data: bytes = GOOD, *, kind: int = 0, **fields: object) -> bytes:
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
    runs.hand_over(unlocked(), failing(), plan=False)
    add_artifact(runs.hub, runs.repository, RUN, "tinytorch-milestone-2", zipped({"result.json": GOOD}))
    add_artifact(runs.hub, runs.repository, RUN, "TINYTORCH-milestone-1", b"no archive")
    found = read_artifacts(client, REPOSITORY, RUN, ("module-02_tensor", "milestone-1"), COMMIT, MANIFEST)
    assert found.results == (failing(), unlocked())
    assert found.problems == ()
    assert len([path for _, path in runs.hub.asked if "/zip" in path]) == 2


def test_a_job_that_ran_again_is_known_by_its_newest_artifact(runs: Runs, client: Client) -> None:
    """Of two artifacts with one name, the later counts."""
    runs.hand_over(unlocked(seed=1), unlocked(seed=2), plan=False)
    found = read_artifacts(client, REPOSITORY, RUN, ("milestone-1",), COMMIT, MANIFEST)
    assert [r.seed for r in found.results] == [2]


def test_artifacts_beyond_the_first_page_are_found(runs: Runs, client: Client) -> None:
    """A hundred others do not hide one."""
    runs.hand_over(unlocked(), plan=False)
    for number in range(120):
        add_artifact(runs.hub, runs.repository, RUN, f"other-{number}", b"x")
    assert read_artifacts(client, REPOSITORY, RUN, ("milestone-1",), COMMIT, MANIFEST).results == (unlocked(),)


def test_artifacts_are_fetched_side_by_side(runs: Runs, client: Client) -> None:
    """Two downloads that wait for each other both arrive; the results stay in the order of the plan."""
    runs.hand_over(unlocked(), failing(), plan=False)
    both = threading.Barrier(2)
    runs.hub.before += [("GET", "/zip$", lambda: both.wait(20))] * 2
    found = read_artifacts(client, REPOSITORY, RUN, ("module-02_tensor", "milestone-1"), COMMIT, MANIFEST)
    assert found.results == (failing(), unlocked())


def test_a_missing_result_is_missing(runs: Runs, client: Client) -> None:
    """Nothing handed over is neither passed nor failed; another run's artifact does not stand in."""
    add_artifact(runs.hub, runs.repository, RUN + 1, NAME, zipped({"result.json": GOOD}))
    assert "nothing was handed over" in problem_of(runs, client)


def test_what_is_too_large_is_not_fetched(runs: Runs, client: Client) -> None:
    """A large archive is refused by what the API says of it."""
    hand_over(runs, b"x", size_in_bytes=LARGEST + 1)
    assert "larger than 4 MiB" in problem_of(runs, client)
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
    hand_over(runs, zipped({"result.json": GOOD}), **changes)
    assert told in problem_of(runs, client)


BAD_ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "two files": (lambda: zipped({"result.json": GOOD, "x": b""}), "holds 2 files"),
    "none": (lambda: zipped({}), "holds 0 files"),
    "out of the folder": (lambda: entry("../result.json"), "'../result.json'"),
    "absolute": (lambda: entry("/result.json"), "'/result.json'"),
    "in a folder": (lambda: entry("a/result.json"), "'a/result.json'"),
    "other case": (lambda: entry("Result.json"), "'Result.json'"),
    "workflow command": (lambda: entry("::error::x\n"), "': :error::x'"),
    "null in its name": (
        lambda: entry("resultXjson").replace(b"resultXjson", b"result\0json"),
        "instead of result.json",
    ),
    "a link": (lambda: entry("result.json", b"/etc/passwd", kind=stat.S_IFLNK), "not a regular file"),
    "a device": (lambda: entry("result.json", kind=stat.S_IFCHR), "not a regular file"),
    "a folder": (lambda: entry("result.json", b"", kind=stat.S_IFDIR), "not a regular file"),
    "bzip2": (lambda: entry("result.json", method=zipfile.ZIP_BZIP2), "unsupported compression"),
    "a bomb": (lambda: entry("result.json", b" " * (UNPACKED + 1)), "larger than 16384 KiB"),
    "cut off": (lambda: entry("result.json")[:-30], "not a valid archive"),
    "damaged": (
        lambda: entry("result.json", method=zipfile.ZIP_STORED).replace(b"Basic", b"BASIC"),
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
        only_file(make(), "result.json", UNPACKED)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_archive_that_lies_about_its_size_fills_no_memory() -> None:
    """A bomb that claims a small size is stopped as well."""
    bomb = entry("result.json", b" " * (UNPACKED + 1))
    for size in (UNPACKED + 1).to_bytes(4, "little"), (100).to_bytes(4, "little"):
        with pytest.raises(ArtifactRefusedError):
            only_file(bomb.replace((UNPACKED + 1).to_bytes(4, "little"), size), "result.json", UNPACKED)


@given(st.binary(max_size=200), st.integers(0, 400), st.binary(max_size=4))
def test_no_bytes_break_the_reading(noise: bytes, where: int, put: bytes) -> None:
    """Any bytes, and a good archive with a few others in it, are read or refused."""
    good = zipped({"result.json": b"{}"})
    for archive in (noise, good[:where] + put + good[where + len(put) :], noise + good):
        with contextlib.suppress(ArtifactRefusedError):
            assert len(only_file(archive, "result.json", 1000)) <= 1000


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not a result record"),
        (b"[" * 100_000, "not a result record"),
        (b'{"record": "tinytorch/result/v2"}', "not a result record"),
        (GOOD.replace(b'"seed": 42', b'"seed": 42, "extra": 1'), "not a result record"),
        (GOOD.replace(b'"verdict": "unlocked"', b'"verdict": "gold"'), "not a result record"),
        (to_json(failing()).encode(), "a result of 'module-02_tensor'"),
        (to_json(made_for(unlocked(), "b" * 40)).encode(), f"a result of '{'b' * 40}', not of {COMMIT[:7]}"),
        (to_json(made_for(unlocked(), None)).encode(), "a result of no commit"),
        (first(status=CriterionStatus.FAILED), "a verdict that does not follow"),
        (first(measured=FIRST.threshold + 1), "figure misses the threshold"),
        (to_json(unlocked(name="Alles")).encode(), "another name"),
        (to_json(unlocked(medal="All of them")).encode(), "another name"),
        (to_json(unlocked(reproduce="curl example.com | sh")).encode(), "another name"),
        (to_json(unlocked(started_at=datetime(2900, 1, 1, tzinfo=UTC))).encode(), "dated in the future"),
        (first(measured=None), "figure misses the threshold"),
        (recorded(), "this course's criteria"),
        (recorded(*OTHERS), "this course's criteria"),
        (recorded(FIRST, FIRST, *OTHERS), "this course's criteria"),
        (recorded(*OTHERS, FIRST), "this course's criteria"),
        (first(threshold=FIRST.threshold + 1), "this course's criteria"),
        (first(comparison="at_least"), "this course's criteria"),
        (first(title="Nothing to see"), "this course's criteria"),
    ],
)
def test_only_a_record_of_this_session_and_commit_counts(runs: Runs, client: Client, data: bytes, told: str) -> None:
    """Another schema, another milestone, another student's or an older result, and a contradictory one are refused."""
    hand_over(runs, zipped({"result.json": data}))
    assert told in problem_of(runs, client)


def test_one_bad_artifact_does_not_take_the_others_along(runs: Runs, client: Client) -> None:
    """Good results are taken, and each bad one has its own sentence."""
    runs.hand_over(failing(), plan=False)
    hand_over(runs, b"no archive")
    found = read_artifacts(
        client, REPOSITORY, RUN, ("milestone-1", "module-02_tensor", "milestone-3"), COMMIT, MANIFEST
    )
    assert found.results == (failing(),)
    assert len(found.problems) == 2


def test_five_megabytes_of_output_come_through(runs: Runs, client: Client) -> None:
    """A record with a hostile output of that size is read, in time that leaves the report its two seconds."""
    flood = "\x1b[31m@everyone <b>\n" * 280_000
    assert len(flood) > 5_000_000
    runs.hand_over(unlocked(student_output=flood), plan=False)
    started = time.process_time()
    [record] = read_artifacts(client, REPOSITORY, RUN, ("milestone-1",), COMMIT, MANIFEST).results
    assert time.process_time() - started < 1
    assert record.student_output == flood


def test_an_artifact_that_vanishes_is_an_error_of_githubs(runs: Runs, client: Client) -> None:
    """Neither taken nor called missing: the run can be tried again."""
    runs.hand_over(unlocked(), plan=False)
    runs.hub.faults.append(Fault("GET", "/zip$", Answer(410, {"message": "gone", "documentation_url": ""})))
    with pytest.raises(GraderError, match="tinytorch-milestone-1"):
        read_artifacts(client, REPOSITORY, RUN, ("milestone-1",), COMMIT, MANIFEST)
