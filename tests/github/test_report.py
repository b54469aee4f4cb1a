"""The whole command, from the event to comment, summary and check run, against the local copy of GitHub."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from grading.github.report import report
from grading.manifest.load import load
from grading.manifest.model import Manifest
from tests.github.runs import COMMIT, REPOSITORY, RUN, Runs, failing, unlocked


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    """The course's own."""
    return load(root)


def test_a_run_is_told_in_comment_summary_and_check_run(runs: Runs, manifest: Manifest) -> None:
    """The comment holds both verdicts and what to mend; the summary says the same; the line has its annotation."""
    runs.hand_over(failing(), unlocked())
    started = time.monotonic()
    made, undelivered = report(runs.pull_request(), manifest)
    took = time.monotonic() - started
    assert undelivered == []
    assert [r.session for r in made.results] == ["module-02_tensor", "milestone-1"]
    [body] = runs.bodies
    assert "Unlocked: Neural Architect" in body
    assert "[[11, 22], [13, 24]]" in body
    assert "nox -s module-02_tensor -- --seed 42" in body
    assert f"{REPOSITORY}/actions/runs/{RUN}" in body
    assert runs.summary.strip() in body
    [check] = runs.repository.check_runs
    assert (check["head_sha"], check["name"], check["conclusion"]) == (COMMIT, "TinyTorch", "failure")
    [note, other] = runs.repository.annotations[check["id"]]
    assert (note["path"], note["start_line"]) == ("modules/02_tensor/tinytorch/tensor.py", 41)
    assert "expected: [[11, 22], [13, 24]]" in note["message"]
    assert other["title"] == "Task 3.1: ReLU keeps positive numbers"
    assert took < 5, "the whole report job may take 10 s"
