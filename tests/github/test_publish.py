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

from course.release import rendered
from grading import progress
from grading.errors import GraderError
from grading.github import ledger
from grading.github.history import read_history
from grading.github.publish import Published, publish
from grading.manifest.load import load
from grading.manifest.model import Manifest, Status
from grading.result import Result, Verdict
from tests.github.git import files_of
from tests.github.local import Answer, Fault, error
from tests.github.place import Place, place
from tests.render.results import criterion, not_yet, result

BEGAN = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    """The course's own."""
    return load(root)


@pytest.fixture
def repository() -> Place:
    """A student's repository without a branch `progress`."""
    return place()


def at(minute: int, base: Result | None = None, **changes: object) -> Result:
    """Build a result whose run began so many minutes later."""
    return (base or not_yet()).model_copy(update={"started_at": BEGAN + timedelta(minutes=minute), **changes})


def put(repository: Place, manifest: Manifest, run_id: int, *results: Result) -> Published:
    """Publish without waiting."""
    return publish(repository.client(), repository.name, results, run_id, manifest, sleep=lambda _: None)


def files_at(repository: Place, sha: str) -> set[str]:
    """List the paths in a commit."""
    return set(files_of(repository.kept, repository.commit(sha)["tree"]))


def test_the_first_publication_makes_the_branch(repository: Place, manifest: Manifest) -> None:
    """An orphan commit with the record, the ledger, and a badge for each milestone of the course."""
    published = put(repository, manifest, 7, at(0))
    files = repository.files()
    assert list(repository.line()) == [published.commit]
    assert published.added == ("progress/20260301T123000.000000Z-milestone_attempted-7-milestone-1.json",)
    assert progress.parse_event(files[published.added[0]]).result == at(0)
    badges = {f"badges/milestone-{m.id}.{kind}" for m in manifest.milestones for kind in ("svg", "json")}
    assert set(files) == {*published.added, ledger.FILE, *badges}
    line = json.loads(files[ledger.FILE])
    assert line == {
        "number": 1,
        "file": published.added[0],
        "sha256": ledger.digest(files[published.added[0]]),
        "previous": ledger.START,
        "repository": repository.number,
        "run_id": 7,
        "started_at": "2026-03-01T12:30:00+00:00",
    }
    assert ledger.head_of(repository.commit(published.commit)["message"]) == published.head


def test_what_is_published_is_read_back_verified(repository: Place, manifest: Manifest) -> None:
    """Records of milestones and modules come back whole, and the latest of each session is found."""
    tested = at(2, milestone=None, module="02_tensor", name="Tensors", medal=None)
    passed = at(3, result(), milestone=None, module="02_tensor", name="Tensors", medal=None)
    put(repository, manifest, 7, at(0), tested)
    put(repository, manifest, 8, at(1, result()), passed)
    records = read_history(repository.client(), repository.name)
    assert [e.reason for e in records.entries] == [None] * 4
    assert [e.session for e in records.entries] == [
        "milestone-1",
        "milestone-1",
        "module-02_tensor",
        "module-02_tensor",
    ]
    assert records.latest("milestone-1").event.result == at(1, result())
    assert records.latest("module-02_tensor").event.kind is progress.Kind.MODULE_COMPLETED
    assert records.entries[2].event.kind is progress.Kind.MODULE_TESTED
    assert records.latest("milestone-2") is None
    assert records.history.find_best_attempt(1).verdict == "unlocked"
    assert records.unverified == ()


def test_a_repository_without_the_branch_has_no_records(repository: Place) -> None:
    """Nothing published is an empty history."""
    assert read_history(repository.client(), repository.name).entries == ()


def test_publishing_again_changes_nothing(repository: Place, manifest: Manifest) -> None:
    """The same results of the same run add no commit; a part that is new is added alone."""
    put(repository, manifest, 7, at(0))
    before = dict(repository.kept.refs)
    again = put(repository, manifest, 7, at(0))
    assert (again.added, again.commit, repository.kept.refs) == ((), None, before)
    module = at(1, milestone=None, module="01_setup")
    assert len(put(repository, manifest, 7, at(0), module).added) == 1
    assert len(read_history(repository.client(), repository.name).entries) == 2


def test_a_run_that_was_started_again_adds_what_it_measured_anew(repository: Place, manifest: Manifest) -> None:
    """A second attempt of a run is another measurement: neither is lost."""
    put(repository, manifest, 7, at(0))
    assert len(put(repository, manifest, 7, at(9, result())).added) == 1
    assert [e.run_id for e in read_history(repository.client(), repository.name).entries] == [7, 7]


def test_runs_that_finish_out_of_order_are_read_in_order(repository: Place, manifest: Manifest) -> None:
    """Readers go by when a run began, then by its number; the ledger by who published first."""
    for run_id, minute in ((30, 5), (12, 1), (31, 5), (11, 1), (20, 3)):
        put(repository, manifest, run_id, at(minute))
    records = read_history(repository.client(), repository.name)
    assert [e.run_id for e in records.entries] == [11, 12, 20, 30, 31]
    assert [e.number for e in records.entries] == [4, 2, 5, 1, 3]
    assert all(e.verified for e in records.entries)


@pytest.mark.parametrize("publishers", [2, 8])
@pytest.mark.parametrize("begun", [False, True])
def test_publishers_that_race_lose_and_double_nothing(
    repository: Place, manifest: Manifest, publishers: int, *, begun: bool
) -> None:
    """Runs publish together, with and without a branch: each record exists once, the chain is whole, none is forced."""
    if begun:
        put(repository, manifest, 1, at(-1))
    repository.delay = 0.01
    with ThreadPoolExecutor(publishers) as pool:
        jobs = [
            pool.submit(put, repository, manifest, 100 + i, at(publishers - i), at(publishers - i, milestone=2))
            for i in range(publishers)
        ]
        published = [job.result() for job in jobs]
    assert max(p.tries for p in published) > 1, "nobody met anybody: the race was none"
    records = read_history(repository.client(), repository.name)
    assert [e.reason for e in records.entries] == [None] * (2 * publishers + begun)
    runs = [e.run_id for e in records.entries if e.session == "milestone-1"][begun:]
    assert runs == sorted(runs, reverse=True)
    assert sorted(e.number for e in records.entries) == list(range(1, 2 * publishers + begun + 1))
    line = list(repository.line())
    assert {p.commit for p in published} <= set(line)
    for later, earlier in itertools.pairwise(line):
        assert files_at(repository, earlier) <= files_at(repository, later)


def test_a_branch_that_never_stands_still_ends_in_a_sentence(repository: Place, manifest: Manifest) -> None:
    """When others always come first, publishing gives up with words, not without end."""
    put(repository, manifest, 1, at(0))
    waits: list[float] = []

    def another_comes_first() -> None:
        repository.push({"x": str(len(repository.hub.before)).encode()})

    repository.hub.before += [("PATCH", "/git/refs/", another_comes_first)] * 31
    with pytest.raises(GraderError, match="Run this job again"):
        publish(repository.client(), repository.name, [at(1)], 2, manifest, sleep=waits.append)
    assert len(waits) == 30
    assert max(waits) <= 4


def test_a_refusal_that_is_no_race_is_not_tried_again(repository: Place, manifest: Manifest) -> None:
    """A protected branch also answers 422, which is reported immediately."""
    put(repository, manifest, 1, at(0))
    repository.hub.faults.append(Fault("PATCH", "/git/refs/", error(422, "Cannot update this protected ref.")))
    with pytest.raises(GraderError, match="protected ref"):
        put(repository, manifest, 2, at(1))
    assert repository.asked("PATCH", "/git/refs/") == 1


def test_what_cannot_be_read_whole_is_not_written_over(repository: Place, manifest: Manifest) -> None:
    """A ledger blown up, or more files than GitHub lists, end in a sentence: lines that were not read would be lost."""
    put(repository, manifest, 1, at(0))
    old = repository.files()[ledger.FILE]
    repository.push({ledger.FILE: old + b" " * ledger.LARGEST})
    with pytest.raises(GraderError, match="Restore it"):
        put(repository, manifest, 2, at(1))
    repository.push({ledger.FILE: old})
    in_part = {"sha": "0" * 40, "url": "https://api.github.com", "tree": [], "truncated": True}
    repository.hub.faults.append(Fault("GET", "/git/trees/", Answer(200, in_part)))
    with pytest.raises(GraderError, match="more files"):
        put(repository, manifest, 2, at(1))
    assert repository.files()[ledger.FILE] == old


def test_a_result_of_another_course_is_refused(repository: Place, manifest: Manifest) -> None:
    """A milestone or module that the manifest does not name is not published, and no file gets its name."""
    for strange in (at(0, milestone=99), at(0, milestone=None, module="../../x")):
        with pytest.raises(GraderError, match="does not have"):
            put(repository, manifest, 1, strange)
    assert repository.kept.refs == {}


def badge_of(repository: Place, number: int) -> tuple[str, dict]:
    """Read a badge's description and its endpoint's document."""
    files = repository.files()
    svg = ET.fromstring(files[f"badges/milestone-{number}.svg"])  # noqa: S314 - our own output
    return svg.find("{http://www.w3.org/2000/svg}desc").text, json.loads(files[f"badges/milestone-{number}.json"])


def test_badges_show_the_best_there_is(repository: Place, manifest: Manifest) -> None:
    """Not yet with the best attempt, provisional, unlocked; and what is unlocked stays so, whatever finishes later."""
    put(repository, manifest, 1, at(0))
    assert badge_of(repository, 1)[0] == "Not yet unlocked. Best attempt: 0 of 2 criteria met."
    assert badge_of(repository, 2)[0] == "Not yet unlocked."
    assert badge_of(repository, 1)[1]["message"] == "not yet"
    put(repository, manifest, 2, at(1, result(verdict=Verdict.PROVISIONAL)))
    assert badge_of(repository, 1)[1]["message"] == "provisionally unlocked"
    put(repository, manifest, 3, at(2, result()))
    put(repository, manifest, 4, at(3, not_yet(criteria=(criterion("failed", 0.1),))))
    description, endpoint = badge_of(repository, 1)
    assert description.startswith("Unlocked on 2026-03-01. Medal: Neural Architect")
    assert (endpoint["message"], endpoint["color"]) == ("unlocked", "brightgreen")


def test_a_forged_record_earns_no_badge(repository: Place, manifest: Manifest) -> None:
    """A record that no run has published is not looked at when badges are made."""
    put(repository, manifest, 1, at(0))
    forged = progress.encode_event(progress.make_run_event(at(1, result())))
    repository.push({"progress/20270101T000000.000000Z-milestone_attempted-9-milestone-1.json": forged})
    put(repository, manifest, 2, at(2))
    assert badge_of(repository, 1)[1]["message"] == "not yet"


def test_reading_fetches_only_what_the_ledger_names(repository: Place, manifest: Manifest) -> None:
    """A thousand stray files cost no request, and each is named as unverified."""
    put(repository, manifest, 1, at(0))
    repository.push({f"progress/{i}.json": b"%d" % i for i in range(1000)})
    repository.hub.asked.clear()
    records = read_history(repository.client(), repository.name)
    assert len(records.unverified) == 1000
    assert repository.asked("GET", "/git/blobs/") == 2


def test_the_students_readme_shows_badges_that_are_published(repository: Place, manifest: Manifest, root: Path) -> None:
    """Each picture of the released README is a file of the branch, as GitHub resolves its address."""
    put(repository, manifest, 1, at(0))
    readme = rendered(root, manifest)[Path("README.md")]
    shown = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', readme)
    assert len(shown) == sum(m.status is Status.BUILT for m in manifest.milestones)
    for source, text in shown:
        address = posixpath.normpath(f"/octo/hello/blob/main/{source}")
        assert address.removeprefix("/octo/hello/raw/progress/") in repository.files()
        assert text.startswith("Milestone ")
