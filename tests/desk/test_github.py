"""What the desk requests from GitHub, checked against GitHub's own description: push times and gradebooks of runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from desk.activity import GitHubActivity, PushSourceChain
from desk.gradebook import FILE, open_gradebook
from desk.pushes import Push
from desk.resume import resume_gradebook
from desk.roster import RosterRow
from grading.errors import GraderError, UsageError
from grading.github import api
from tests.desk.books import MAIN, fill_gradebook, format_commit
from tests.desk.school import TERM
from tests.github.activity import add_activity
from tests.github.artifacts import add_artifact, build_zip
from tests.github.conftest import client, environ, hub, running, waits  # noqa: F401 - the fixtures
from tests.github.local import Hub

CLASS = "class/alice"
MINUTE = timedelta(minutes=1)


def test_pushes_are_github_s_own_list(hub: Hub, client: api.Client) -> None:  # noqa: F811
    """Pushes to one branch come from several pages, oldest first, and deleting a branch is not a push."""
    repository = hub.repository(CLASS)
    for number in range(1, 251):
        add_activity(hub, repository, format_commit(number), TERM + number * MINUTE)
    add_activity(hub, repository, format_commit(999), TERM, "refs/heads/other")
    add_activity(hub, repository, "0" * 40, TERM + 300 * MINUTE)
    found = GitHubActivity(client).list_pushes(f"https://github.com/{CLASS}.git", MAIN, None)
    assert len(found) == 250
    assert found[0] == Push(MAIN, format_commit(1), TERM + MINUTE, "github")
    assert [p.at for p in found] == sorted(p.at for p in found)


def test_what_is_known_is_not_asked_again(hub: Hub, client: api.Client) -> None:  # noqa: F811
    """One page is enough if it reaches back to the last known push."""
    for number in range(1, 251):
        add_activity(hub, hub.repository(CLASS), format_commit(number), TERM + number * MINUTE)
    hub.asked.clear()
    found = GitHubActivity(client).list_pushes(CLASS, MAIN, TERM + 248 * MINUTE)
    assert [p.commit for p in found] == [format_commit(249), format_commit(250)]
    assert len(hub.asked) == 1


def test_repositories_elsewhere_are_not_github_s(hub: Hub, environ: dict[str, str]) -> None:  # noqa: F811
    """Other servers get no request, whether or not there is a token."""
    for told in (environ, {}):
        assert PushSourceChain(told).list_pushes("https://example.org/a/b.git", MAIN, None) == ()
    assert hub.asked == []


def test_a_repository_that_may_not_be_read_is_said(client: api.Client) -> None:  # noqa: F811
    """The collection reports it and continues."""
    with pytest.raises(GraderError, match="class/gone"):
        GitHubActivity(client).list_pushes("class/gone", MAIN, None)


@pytest.fixture
def job_environ(environ: dict[str, str]) -> dict[str, str]:  # noqa: F811
    """Return the environment of a run of collect.yml."""
    where = {"GITHUB_WORKFLOW_REF": f"{CLASS}/.github/workflows/collect.yml@refs/heads/main", "GITHUB_REF_NAME": "main"}
    return environ | where


def add_run(hub: Hub, number: int, path: str, *, owner: str = CLASS, **changes: object) -> None:  # noqa: F811
    """Add a finished run of the workflow, with the gradebook it uploaded."""
    fields = {"id": number, "path": ".github/workflows/collect.yml", "head_branch": "main", "status": "completed"}
    run = hub.example("workflow-run", **{**fields, "event": "workflow_dispatch", **changes})
    run["head_repository"]["full_name"] = owner
    hub.repository(CLASS).runs.append(run)
    if path:
        add_artifact(hub, hub.repository(CLASS), number, "gradebook", build_zip({FILE: Path(path).read_bytes()}))


def make_gradebook_archive(folder: Path, number: int) -> str:
    """Make an archive of a gradebook with one result."""
    folder.mkdir(exist_ok=True)
    return str(fill_gradebook(folder / f"{number}.sqlite", [RosterRow("ada")], {"ada": [(number, 2, TERM)]}))


def test_a_run_begins_with_the_newest_gradebook_of_its_own(
    hub: Hub,  # noqa: F811
    job_environ: dict[str, str],
    tmp_path: Path,
    class_folder: Path,
) -> None:
    """Gradebooks from pull requests, forks, other branches, other workflows and empty runs are not used."""
    hub.repository(CLASS)
    assert resume_gradebook(class_folder, job_environ) is None
    for number, changes in enumerate(
        (
            {},
            {},
            {"event": "pull_request"},
            {"owner": "eve/alice"},
            {"head_branch": "evil"},
            {"path": ".github/workflows/ci.yml"},
            {"status": "in_progress"},
        ),
        start=1,
    ):
        where = {k: v for k, v in changes.items() if k == "path"}
        rest = {k: v for k, v in changes.items() if k != "path"}
        add_run(hub, number, make_gradebook_archive(tmp_path / "runs", number), **rest)  # type: ignore[arg-type]
        hub.repository(CLASS).runs[-1] |= where
    add_run(hub, 8, "")
    assert resume_gradebook(class_folder, job_environ) == 2
    with open_gradebook(class_folder / FILE) as opened:
        assert [g.commit for g in opened.list_gradings()] == [format_commit(2)]
    assert {p.name for p in class_folder.iterdir()} == {FILE, ".gitignore"}


def test_a_run_may_begin_with_another_workflow_s_gradebook(
    hub: Hub,  # noqa: F811
    job_environ: dict[str, str],
    tmp_path: Path,
    class_folder: Path,
) -> None:
    """The newest gradebook of the given workflow is used, whatever the requesting workflow itself has uploaded."""
    site = job_environ | {"GITHUB_WORKFLOW_REF": f"{CLASS}/.github/workflows/site.yml@refs/heads/main"}
    hub.repository(CLASS)
    add_run(hub, 1, make_gradebook_archive(tmp_path / "runs", 1))
    add_run(hub, 2, make_gradebook_archive(tmp_path / "runs", 2))
    hub.repository(CLASS).runs[-1]["path"] = ".github/workflows/site.yml"
    assert resume_gradebook(class_folder, site, "collect.yml") == 1
    assert resume_gradebook(class_folder, site) == 2


def test_what_is_no_gradebook_ends_the_run(
    hub: Hub,  # noqa: F811
    job_environ: dict[str, str],
    class_folder: Path,
    tmp_path: Path,
) -> None:
    """No collection starts from scratch by mistake."""
    (tmp_path / "no.sqlite").write_text("nonsense" * 1000)
    add_run(hub, 1, str(tmp_path / "no.sqlite"))
    with pytest.raises(GraderError, match="not a gradebook"):
        resume_gradebook(class_folder, job_environ)
    hub.repository(CLASS).artifacts[0]["digest"] = "sha256:" + "0" * 64
    with pytest.raises(GraderError, match="does not match its digest"):
        resume_gradebook(class_folder, job_environ)


def test_outside_a_workflow_there_is_no_last_run(class_folder: Path) -> None:
    """The message says what to run instead."""
    with pytest.raises(UsageError, match="inv collect"):
        resume_gradebook(class_folder, {})
