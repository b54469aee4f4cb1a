"""Fixtures and helpers that the desk's tests share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from grading import progress
from grading.github import ledger
from grading.progress import Event, Kind
from grading.result import Result


@pytest.fixture
def class_folder(tmp_path: Path) -> Path:
    """Return the folder for a class's roster, clones, gradebook and key."""
    folder = tmp_path / "class"
    folder.mkdir()
    return folder


def make_attempt_at(at: datetime, result: Result) -> Event:
    """Make an attempt at this time."""
    raw = progress.make_attempt_event(result.model_copy(update={"started_at": at})).raw
    return Event(Kind.MILESTONE_ATTEMPTED, at, milestone=result.milestone, raw=raw)


def publish_records(folder: Path, *events: Event, run_id: int = 7) -> list[Path]:
    """Write records and their ledger as `python -m grading.github publish` leaves them on the branch."""
    files = [progress.save_event(folder, event) for event in events]
    lines = [
        ledger.LedgerLine(0, f"progress/{file.name}", ledger.compute_sha256(file.read_bytes()), "", 1, run_id, event.at)
        for file, event in zip(files, events, strict=True)
    ]
    (folder / ledger.LEDGER_FILE).write_bytes(ledger.append_ledger_lines(b"", ledger.LedgerHead(), lines)[0])
    return files
