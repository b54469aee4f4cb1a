"""Publishing loses, doubles and reorders nothing, whichever run comes first."""

from __future__ import annotations

import itertools
import json
import posixpath
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from course.release import render_templates
from grading import progress
from grading.errors import GraderError
from grading.github import ledger
from grading.github.history import fetch_branch_records
from grading.github.publish import Publication, publish_results
from grading.manifest.loader import load_manifest
from grading.manifest.model import BuildStatus, Manifest
from grading.result import Result, Verdict
from tests.github.git import list_tree_files
from tests.github.local import Answer, Fault, build_error
from tests.github.place import FakeRepository, make_repository
from tests.render.results import build_criterion, build_not_yet, build_result

BEGAN = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    """Load the course's own manifest."""
    return load_manifest(root)


@pytest.fixture
def repository() -> FakeRepository:
    """Make a student's repository without a `progress` branch."""
    return make_repository()


def build_result_at(minute: int, base: Result | None = None, **changes: object) -> Result:
    """Build a result whose run began this number of minutes after the first."""
    return (base or build_not_yet()).model_copy(update={"started_at": BEGAN + timedelta(minutes=minute), **changes})


def publish_now(repository: FakeRepository, manifest: Manifest, run_id: int, *results: Result) -> Publication:
    """Publish without waiting."""
    return publish_results(repository.client(), repository.name, results, run_id, manifest, sleep=lambda _: None)


def list_files_at(repository: FakeRepository, sha: str) -> set[str]:
    """List the paths in a commit."""
    return set(list_tree_files(repository.kept, repository.commit(sha)["tree"]))


def test_the_first_publication_makes_the_branch(repository: FakeRepository, manifest: Manifest) -> None:
    """An orphan commit with the record, the ledger, and a badge for each milestone of the course."""
    published = publish_now(repository, manifest, 7, build_result_at(0))
    files = repository.read_files()
    assert list(repository.walk_commits()) == [published.commit]
    assert published.added == ("progress/20260301T123000.000000Z-milestone_attempted-7-milestone-1.json",)
    assert progress.parse_event(files[published.added[0]]).result == build_result_at(0)
    badges = {f"badges/milestone-{m.id}.{kind}" for m in manifest.milestones for kind in ("svg", "json")}
    assert set(files) == {*published.added, ledger.LEDGER_FILE, *badges}
    line = json.loads(files[ledger.LEDGER_FILE])
    assert line == {
        "number": 1,
        "file": published.added[0],
        "sha256": ledger.compute_sha256(files[published.added[0]]),
        "previous": ledger.START_DIGEST,
        "repository": repository.number,
        "run_id": 7,
        "started_at": "2026-03-01T12:30:00+00:00",
    }
    assert ledger.parse_ledger_trailer(repository.commit(published.commit)["message"]) == published.head


def test_what_is_published_is_read_back_verified(repository: FakeRepository, manifest: Manifest) -> None:
    """Records of milestones and modules come back whole, and the latest of each session is found."""
    tested = build_result_at(2, milestone=None, module="02_tensor", name="Tensors", medal=None)
    passed = build_result_at(3, build_result(), milestone=None, module="02_tensor", name="Tensors", medal=None)
    publish_now(repository, manifest, 7, build_result_at(0), tested)
    publish_now(repository, manifest, 8, build_result_at(1, build_result()), passed)
    records = fetch_branch_records(repository.client(), repository.name)
    assert [e.reason for e in records.entries] == [None] * 4
    assert [e.session for e in records.entries] == [
        "milestone-1",
        "milestone-1",
        "module-02_tensor",
        "module-02_tensor",
    ]
    assert records.find_latest_record("milestone-1").event.result == build_result_at(1, build_result())
    assert records.find_latest_record("module-02_tensor").event.kind is progress.Kind.MODULE_COMPLETED
    assert records.entries[2].event.kind is progress.Kind.MODULE_TESTED
    assert records.find_latest_record("milestone-2") is None
    assert records.history.find_best_attempt(1).verdict == "unlocked"
    assert records.unverified_records == ()


def test_a_repository_without_the_branch_has_no_records(repository: FakeRepository) -> None:
    """Nothing published is an empty history."""
    assert fetch_branch_records(repository.client(), repository.name).entries == ()


def test_publishing_again_changes_nothing(repository: FakeRepository, manifest: Manifest) -> None:
    """The same results of the same run add no commit; a part that is new is added alone."""
    publish_now(repository, manifest, 7, build_result_at(0))
    before = dict(repository.kept.refs)
    again = publish_now(repository, manifest, 7, build_result_at(0))
    assert (again.added, again.commit, repository.kept.refs) == ((), None, before)
    module = build_result_at(1, milestone=None, module="01_setup")
    assert len(publish_now(repository, manifest, 7, build_result_at(0), module).added) == 1
    assert len(fetch_branch_records(repository.client(), repository.name).entries) == 2


def test_a_run_that_was_started_again_adds_what_it_measured_anew(
    repository: FakeRepository, manifest: Manifest
) -> None:
    """A second attempt of a run is another measurement: neither is lost."""
    publish_now(repository, manifest, 7, build_result_at(0))
    assert len(publish_now(repository, manifest, 7, build_result_at(9, build_result())).added) == 1
    assert [e.run_id for e in fetch_branch_records(repository.client(), repository.name).entries] == [7, 7]


def test_runs_that_finish_out_of_order_are_read_in_order(repository: FakeRepository, manifest: Manifest) -> None:
    """Readers go by when a run began, then by its number; the ledger by who published first."""
    for run_id, minute in ((30, 5), (12, 1), (31, 5), (11, 1), (20, 3)):
        publish_now(repository, manifest, run_id, build_result_at(minute))
    records = fetch_branch_records(repository.client(), repository.name)
    assert [e.run_id for e in records.entries] == [11, 12, 20, 30, 31]
    assert [e.number for e in records.entries] == [4, 2, 5, 1, 3]
    assert all(e.verified for e in records.entries)


@pytest.mark.parametrize("publishers", [2, 8])
@pytest.mark.parametrize("begun", [False, True])
def test_publishers_that_race_lose_and_double_nothing(
    repository: FakeRepository, manifest: Manifest, publishers: int, *, begun: bool
) -> None:
    """Runs publish together, with and without a branch: each record exists once, the chain is whole, none is forced."""
    if begun:
        publish_now(repository, manifest, 1, build_result_at(-1))
    repository.delay = 0.01
    with ThreadPoolExecutor(publishers) as pool:
        jobs = [
            pool.submit(
                publish_now,
                repository,
                manifest,
                100 + i,
                build_result_at(publishers - i),
                build_result_at(publishers - i, milestone=2),
            )
            for i in range(publishers)
        ]
        published = [job.result() for job in jobs]
    assert max(p.tries for p in published) > 1, "nobody met anybody: the race was none"
    records = fetch_branch_records(repository.client(), repository.name)
    assert [e.reason for e in records.entries] == [None] * (2 * publishers + begun)
    runs = [e.run_id for e in records.entries if e.session == "milestone-1"][begun:]
    assert runs == sorted(runs, reverse=True)
    assert sorted(e.number for e in records.entries) == list(range(1, 2 * publishers + begun + 1))
    line = list(repository.walk_commits())
    assert {p.commit for p in published} <= set(line)
    for later, earlier in itertools.pairwise(line):
        assert list_files_at(repository, earlier) <= list_files_at(repository, later)


def test_a_branch_that_never_stands_still_ends_in_a_sentence(repository: FakeRepository, manifest: Manifest) -> None:
    """When others always come first, publishing gives up with words, not without end."""
    publish_now(repository, manifest, 1, build_result_at(0))
    waits: list[float] = []

    def another_comes_first() -> None:
        repository.push({"x": str(len(repository.hub.before)).encode()})

    repository.hub.before += [("PATCH", "/git/refs/", another_comes_first)] * 31
    with pytest.raises(GraderError, match="Run this job again"):
        publish_results(repository.client(), repository.name, [build_result_at(1)], 2, manifest, sleep=waits.append)
    assert len(waits) == 30
    assert max(waits) <= 4


def test_a_refusal_that_is_no_race_is_not_tried_again(repository: FakeRepository, manifest: Manifest) -> None:
    """A protected branch also answers 422, which is reported immediately."""
    publish_now(repository, manifest, 1, build_result_at(0))
    repository.hub.faults.append(Fault("PATCH", "/git/refs/", build_error(422, "Cannot update this protected ref.")))
    with pytest.raises(GraderError, match="protected ref"):
        publish_now(repository, manifest, 2, build_result_at(1))
    assert repository.count_requests("PATCH", "/git/refs/") == 1


def test_what_cannot_be_read_whole_is_not_written_over(repository: FakeRepository, manifest: Manifest) -> None:
    """A ledger blown up, or more files than GitHub lists, end in a sentence: lines that were not read would be lost."""
    publish_now(repository, manifest, 1, build_result_at(0))
    old = repository.read_files()[ledger.LEDGER_FILE]
    repository.push({ledger.LEDGER_FILE: old + b" " * ledger.MAX_LEDGER_BYTES})
    with pytest.raises(GraderError, match="Restore it"):
        publish_now(repository, manifest, 2, build_result_at(1))
    repository.push({ledger.LEDGER_FILE: old})
    in_part = {"sha": "0" * 40, "url": "https://api.github.com", "tree": [], "truncated": True}
    repository.hub.faults.append(Fault("GET", "/git/trees/", Answer(200, in_part)))
    with pytest.raises(GraderError, match="more files"):
        publish_now(repository, manifest, 2, build_result_at(1))
    assert repository.read_files()[ledger.LEDGER_FILE] == old


def test_a_result_of_another_course_is_refused(repository: FakeRepository, manifest: Manifest) -> None:
    """A milestone or module that the manifest does not name is not published, and no file gets its name."""
    for strange in (build_result_at(0, milestone=99), build_result_at(0, milestone=None, module="../../x")):
        with pytest.raises(GraderError, match="does not have"):
            publish_now(repository, manifest, 1, strange)
    assert repository.kept.refs == {}


def read_badge(repository: FakeRepository, number: int) -> tuple[str, dict]:
    """Read a badge's description and its endpoint's document."""
    files = repository.read_files()
    svg = ET.fromstring(files[f"badges/milestone-{number}.svg"])  # noqa: S314 - our own output
    return svg.find("{http://www.w3.org/2000/svg}desc").text, json.loads(files[f"badges/milestone-{number}.json"])


def test_badges_show_the_best_there_is(repository: FakeRepository, manifest: Manifest) -> None:
    """Not yet with the best attempt, provisional, unlocked; and what is unlocked stays so, whatever finishes later."""
    publish_now(repository, manifest, 1, build_result_at(0))
    assert read_badge(repository, 1)[0] == "Not yet unlocked. Best attempt: 0 of 2 criteria met."
    assert read_badge(repository, 2)[0] == "Not yet unlocked."
    assert read_badge(repository, 1)[1]["message"] == "not yet"
    publish_now(repository, manifest, 2, build_result_at(1, build_result(verdict=Verdict.PROVISIONAL)))
    assert read_badge(repository, 1)[1]["message"] == "provisionally unlocked"
    publish_now(repository, manifest, 3, build_result_at(2, build_result()))
    publish_now(repository, manifest, 4, build_result_at(3, build_not_yet(criteria=(build_criterion("failed", 0.1),))))
    description, endpoint = read_badge(repository, 1)
    assert description.startswith("Unlocked on 2026-03-01. Medal: Neural Architect")
    assert (endpoint["message"], endpoint["color"]) == ("unlocked", "brightgreen")


def test_a_forged_record_earns_no_badge(repository: FakeRepository, manifest: Manifest) -> None:
    """A record that no run has published is not looked at when badges are made."""
    publish_now(repository, manifest, 1, build_result_at(0))
    forged = progress.encode_event_file(progress.make_run_event(build_result_at(1, build_result())))
    repository.push({"progress/20270101T000000.000000Z-milestone_attempted-9-milestone-1.json": forged})
    publish_now(repository, manifest, 2, build_result_at(2))
    assert read_badge(repository, 1)[1]["message"] == "not yet"


def test_reading_fetches_only_what_the_ledger_names(repository: FakeRepository, manifest: Manifest) -> None:
    """A thousand stray files cost no request, and each is named as unverified."""
    publish_now(repository, manifest, 1, build_result_at(0))
    repository.push({f"progress/{i}.json": b"%d" % i for i in range(1000)})
    repository.hub.asked.clear()
    records = fetch_branch_records(repository.client(), repository.name)
    assert len(records.unverified_records) == 1000
    assert repository.count_requests("GET", "/git/blobs/") == 2


def test_the_students_readme_shows_badges_that_are_published(
    repository: FakeRepository, manifest: Manifest, root: Path
) -> None:
    """Each picture of the released README is a file of the branch, as GitHub resolves its address."""
    publish_now(repository, manifest, 1, build_result_at(0))
    readme = render_templates(root, manifest)[Path("README.md")]
    shown = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', readme)
    assert len(shown) == sum(m.status is BuildStatus.BUILT for m in manifest.milestones)
    for source, text in shown:
        address = posixpath.normpath(f"/octo/hello/blob/main/{source}")
        assert address.removeprefix("/octo/hello/raw/progress/") in repository.read_files()
        assert text.startswith("Milestone ")
