"""Miniature submissions, graded by the command everyone is graded by: right ones pass, wrong and hostile ones do not.

Each must come out as its about.yaml says; none may end the grader, leave anything behind, or take for ever. What needs
a data set is trained on the stand-in: at a home without data, and with no way to the network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grading.manifest.load import load
from grading.render import record
from grading.result import CriterionStatus, Result, Verdict
from tests.submissions.build import Miniature, build, miniatures

SECONDS = {1: 90, 2: 300, 3: 600}
"""No submission may keep the grader of a milestone longer than this, on a loaded machine."""


@pytest.fixture
def graded(root: Path, tmp_path: Path):
    """Grade a miniature in a process of its own, as `nox -s milestone-1 -- --submission` does."""

    def grade(miniature: Miniature, *extra: str) -> Result:
        tree, target = tmp_path / "tree", tmp_path / "result.json"
        build(miniature, root, load(root), tree)
        private = tmp_path / "tmp"
        private.mkdir(exist_ok=True)
        seed, number = (str(miniature.about.get(key, other)) for key, other in (("seed", 20), ("milestone", 1)))
        command = [sys.executable, "-m", "grading", "milestone", number, "--seed", seed, *extra]
        allowed = SECONDS[int(number)]
        started = time.monotonic()
        done = subprocess.run(
            [*command, "--submission", str(tree), "--json", str(target), "--markdown", str(tmp_path / "report.md")],
            cwd=tmp_path,
            env=os.environ | offline(tmp_path) | {"PYTHONPATH": str(root), "TMPDIR": str(private)},
            capture_output=True,
            text=True,
            timeout=allowed,
            check=False,
        )
        assert time.monotonic() - started < allowed
        assert target.is_file(), f"the grader wrote no result:\n{done.stdout}\n{done.stderr}"
        result = record.from_json(target.read_text())
        assert done.returncode == result.verdict.exit_code
        assert "Traceback" not in done.stderr
        assert list(private.iterdir()) == [], "something was left in the temporary folder"
        assert not any(c.status is CriterionStatus.ERROR for c in result.criteria), done.stdout
        for surface in (done.stdout, (tmp_path / "report.md").read_text()):
            assert "\x1b[2J" not in surface
            assert not any(line.startswith(("::", "##[")) for line in surface.splitlines())
            if result.verdict.exit_code:
                assert "UNLOCKED" not in surface
            if result.verdict is Verdict.PROVISIONAL:
                assert "digits stood in for mnist" in surface
        return result

    return grade


def offline(home: Path) -> dict[str, str]:
    """An environment without data sets, in which every download fails at once."""
    nowhere = "http://127.0.0.1:9"
    return {"XDG_CACHE_HOME": str(home / "cache"), "TINYTORCH_DATA": "", "https_proxy": nowhere, "http_proxy": nowhere}


def told(result: Result) -> str:
    """The first thing to mend, as one text."""
    failure = result.first_to_mend
    assert failure is not None, "a failure must say what to mend"
    return " ".join(str(v) for v in failure.model_dump().values() if v is not None)


def name(miniature: Miniature) -> str:
    return miniature.name


@pytest.mark.parametrize("miniature", miniatures("right"), ids=name)
def test_right_by_another_way_is_unlocked(graded, miniature):
    """Other algorithms and other internals pass: the tests ask for behaviour."""
    result = graded(miniature)
    assert result.verdict == miniature.about["expect"]["verdict"], told(result)
    assert result.verdict.exit_code == 0


@pytest.mark.parametrize("miniature", miniatures("wrong"), ids=name)
def test_a_small_mistake_fails_in_its_own_task_with_words_that_help(graded, miniature):
    """The first thing to mend names the task, what came back and what was expected."""
    result = graded(miniature)
    check_expectation(miniature, result)
    failure = result.first_to_mend
    assert failure.got
    assert failure.hint


@pytest.mark.parametrize("miniature", miniatures("hostile"), ids=name)
def test_what_was_not_earned_is_not_given(graded, miniature):
    """Accidents and attacks get nothing, and the grader goes on."""
    result = graded(miniature)
    check_expectation(miniature, result)


def check_expectation(miniature: Miniature, result: Result) -> None:
    expect = miniature.about["expect"]
    assert result.verdict == expect["verdict"]
    failed = [c for c in result.criteria if c.status is CriterionStatus.FAILED]
    if "criterion" in expect:
        assert expect["criterion"] == failed[0].name, told(result)
    if "task" in expect:
        assert result.first_to_mend.task == expect["task"], told(result)
    for words in expect.get("says", []):
        assert words in told(result)
    performance = [c for c in result.criteria if c.kind == "performance"]
    if any(c.kind == "code_quality" for c in failed):
        assert all(c.status is CriterionStatus.NOT_ATTEMPTED for c in performance)
        assert all(c.measured is None for c in performance)


def test_a_result_file_in_the_tree_is_left_alone(graded, tmp_path):
    """It is neither read nor overwritten."""
    (miniature,) = [m for m in miniatures("hostile") if m.name.endswith("forged_records")]
    graded(miniature)
    assert json.loads((tmp_path / "tree" / "result.json").read_text()) == {"verdict": "unlocked"}
