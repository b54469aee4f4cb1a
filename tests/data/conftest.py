"""An empty cache, and no folder or proxy of the user's, for every test of the data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grading.data import files
from tests.data.samples import gzip_files, make_mnist_files
from tests.data.server import Mirror, serve_mirror


class RecordingWatch:
    """A watch that keeps what is reported to it."""

    def __init__(self) -> None:
        self.phases: list[tuple[str, int | None]] = []
        self.done: list[int] = []

    def begin_phase(self, title: str, total: int | None) -> None:
        """Keep the phase's title and total."""
        self.phases.append((title, total))

    def report_steps_done(self, steps_done: int, note: str = "") -> None:  # noqa: ARG002 - nobody reads it here
        """Keep the number of steps done."""
        self.done.append(steps_done)

    @property
    def titles(self) -> str:
        """The titles of all phases, as one text."""
        return "\n".join(title for title, _ in self.phases)


@pytest.fixture
def watch() -> RecordingWatch:
    """Return a watch that keeps what is reported to it."""
    return RecordingWatch()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set the cache folder to one that does not exist yet, and return it."""
    folder = tmp_path / "cache" / "data"
    monkeypatch.setattr(files.platformdirs, "user_cache_path", lambda *_, **__: folder.parent)
    monkeypatch.delenv(files.VARIABLE, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    """Run a mirror of the tiny MNIST."""
    with serve_mirror(gzip_files(make_mnist_files())) as running:
        yield running


def read_folder(folder: Path) -> dict[str, bytes]:
    """Map the name of every file in a folder, except the lock, to its bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}
