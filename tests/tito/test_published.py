"""Records that runs on GitHub published are shown from a clone, verified or not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from grading.github import ledger
from grading.manifest.loader import load_manifest
from tests.github.place import FakeRepository, make_repository
from tests.github.test_publish import build_result_at, publish_now
from tests.render.results import build_result


def run_git(folder: Path, *arguments: str) -> None:
    """Run git under a fixed name."""
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, "-C", str(folder), *arguments], check=True, capture_output=True)  # noqa: S607


@pytest.fixture
def remote(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FakeRepository]:
    """Create a repository whose branch progress has the commits of two runs."""
    made, folder = make_repository(), tmp_path_factory.mktemp("remote")
    run_git(folder, "init", "--quiet", "-b", "progress")
    for run_id, record in ((1, build_result_at(0)), (2, build_result_at(1, build_result()))):
        published = publish_now(made, load_manifest(root), run_id, record)
        for path, data in made.read_files().items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(data)
        run_git(folder, "add", "-A")
        run_git(folder, "commit", "--quiet", "-m", made.commit(published.commit)["message"])
    return folder, made


@pytest.fixture
def clone(repo: Path, remote: tuple[Path, FakeRepository]) -> Path:
    """Create the course repository with that remote as its origin, not fetched yet."""
    run_git(repo, "init", "--quiet")
    run_git(repo, "remote", "add", "origin", str(remote[0]))
    return repo


def test_published_records_are_shown_after_a_fetch(clone: Path, tito) -> None:
    """The timeline has the date and figures of the run's record; the work tree is as it was."""
    answer = tito("milestone", "timeline", "--published")
    assert answer.code == 2
    assert "git fetch origin progress" in answer.err
    run_git(clone, "fetch", "--quiet", "origin", "progress")
    answer = tito("milestone", "timeline", "--published")
    assert answer.code == 0, answer.err
    assert "COMPLETED  2026-03-01" in answer.out
    assert "The loss after training is small: 0.042" in answer.out
    assert "From the branch progress: 2 records, 2 verified." in answer.out
    assert not (clone / "progress").exists()


def test_an_edited_record_is_named_and_does_not_count(clone: Path, remote: tuple[Path, FakeRepository], tito) -> None:
    """The cases are an edit on the branch, and a record that no run has published."""
    folder, _ = remote
    unlocked = sorted((folder / "progress").glob("2*"))[1]
    unlocked.write_bytes(unlocked.read_bytes().replace(b"0.0417", b"0.0001"))
    (folder / "progress" / "mine\n.json").write_bytes(b"{}")
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "--quiet", "-m", "Improve my loss")
    run_git(clone, "fetch", "--quiet", "origin", "progress")
    answer = tito("milestone", "timeline", "--published")
    assert "COMPLETED" not in answer.out
    assert "2026-03-01" not in answer.out.split("Unverified")[0]
    text = " ".join(answer.out.split())
    assert "3 records, 1 verified." in text
    assert "it was edited after it was published" in text
    assert "it is not in the ledger" in text
    data = json.loads(tito("milestone", "timeline", "--published", "--json").out)
    assert len(data["unverified"]) == 2
    assert data["milestones"][0]["unlocked_at"] is None


def test_an_edit_of_the_last_line_is_seen_by_the_commit(clone: Path, remote: tuple[Path, FakeRepository], tito) -> None:
    """The head of the ledger comes from the last publication's commit, also in a clone."""
    folder, _ = remote
    file = folder / ledger.LEDGER_FILE
    file.write_bytes(file.read_bytes().replace(b'"run_id": 2', b'"run_id": 9'))
    run_git(folder, "commit", "--quiet", "-am", "Nothing to see here")
    run_git(clone, "fetch", "--quiet", "origin", "progress")
    assert "2 records, 0 verified." in tito("milestone", "timeline", "--published").out
