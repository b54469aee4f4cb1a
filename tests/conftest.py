"""What the tests of the tools share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from grading.client import Worker
from grading.sandbox.launch import Confinement, choose

ROOT = Path(__file__).resolve().parent.parent
settings.register_profile("course", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("course")


@pytest.fixture(scope="session")
def root() -> Path:
    """The course repository these tests belong to."""
    return ROOT


@pytest.fixture(params=["bubblewrap", "process"])
def sandbox(request: pytest.FixtureRequest) -> str:
    """Both ways a worker is confined; bubblewrap is skipped where it does not work."""
    if request.param == "bubblewrap" and choose(official=False) != "bubblewrap":
        pytest.skip("bubblewrap does not work on this machine")
    return request.param


@pytest.fixture
def worker_of(tmp_path: Path, sandbox: str) -> Iterator[Callable[..., Worker]]:
    """`worker_of(source)`: a worker whose `tinytorch.code` is this source."""
    started: list[Worker] = []

    def start(source: str, *, call_seconds: float = 5, memory_mb: int = 2048) -> Worker:
        folder = tmp_path / f"submission{len(started)}"
        file = folder / "m" / "tinytorch" / "code.py"
        file.parent.mkdir(parents=True)
        file.write_text(source)
        confinement = Confinement(folder, ("m",), memory_mb=memory_mb, cpu_seconds=60, sandbox=sandbox)
        started.append(Worker(confinement, call_seconds=call_seconds))
        return started[-1]

    yield start
    for worker in started:
        worker.close()
