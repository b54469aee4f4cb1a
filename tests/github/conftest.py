"""A fake GitHub behind the proxy that checks requests and answers; without node these tests are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from githubkit import core

from grading.github import api
from tests.github import prism
from tests.github.local import Hub
from tests.github.runs import Runs
from tests.github.whole import start_fake_github


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Start the fake GitHub and its proxy once for all tests."""
    if missing := prism.install_prism():
        pytest.skip(missing)
    with start_fake_github(tmp_path_factory.mktemp("prism")) as hub:
        yield hub


@pytest.fixture
def hub(running: Hub) -> Iterator[Hub]:
    """Empty the fake GitHub, and yield it."""
    running.clear()
    yield running
    assert not running.faults, "a planned fault never happened"
    assert not running.before, "a planned action before a request never happened"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace sleeping, and return the list of waits that the code asked for."""
    kept: list[float] = []

    class Clock:
        sleep = staticmethod(kept.append)

    monkeypatch.setattr(core, "time", Clock)
    monkeypatch.setattr(api, "time", Clock)
    return kept


@pytest.fixture
def environ(hub: Hub) -> dict[str, str]:
    """Return a job's environment variables for GitHub."""
    return {"GITHUB_TOKEN": "actions", "GITHUB_API_URL": hub.public_url, "GITHUB_REPOSITORY": "class/alice"}


@pytest.fixture
def client(environ: dict[str, str]) -> api.Client:
    """Return a client that reaches the fake GitHub through the proxy."""
    return api.create_client(environ)


@pytest.fixture
def runs(hub: Hub, environ: dict[str, str], tmp_path: Path) -> Runs:
    """Return the workflow runs of the student's repository, which starts empty."""
    made = Runs(hub, tmp_path, environ)
    assert made.repository.comments == []
    return made
