"""`tito hint` shows one hint at a time, for the right task, and remembers which were shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading.manifest.loader import load_manifest
from grading.result import Verdict
from tests.render.results import build_criterion, build_failure, build_result
from tito import attempt
from tito.console import make_tito_folder
from tito.hints import FILE, read_hint_counts


def join_lines(text: str) -> str:
    """Return the text without line breaks."""
    return " ".join(text.split())


def test_each_time_the_next_hint_is_shown(repo: Path, tito) -> None:
    """Three commands show three hints; the fourth repeats the last one, and states where to see all."""
    hints = [join_lines(hint) for hint in load_manifest(repo).task("4.2").hints]
    shown = [join_lines(tito("hint", "--task", "4.2").out) for _ in range(len(hints) + 1)]
    for number, text in enumerate(shown[:-1]):
        assert [hint in text for hint in hints] == [place == number for place in range(len(hints))]
        assert ("Still stuck? tito hint --task 4.2" in text) == (number < len(hints) - 1)
    assert hints[-1] in shown[-1]
    assert "tito hint --task 4.2 --all" in shown[-1]
    assert read_hint_counts(repo) == {"4.2": len(hints)}


def test_all_shows_every_step(repo: Path, tito) -> None:
    """`--all` shows the three hints in order, and other tasks' are unaffected."""
    text = join_lines(tito("hint", "--task", "4.2", "--all").out)
    places = [text.index(join_lines(hint)) for hint in load_manifest(repo).task("4.2").hints]
    assert places == sorted(places)
    assert set(read_hint_counts(repo)) == {"4.2"}


def test_without_a_task_it_is_the_first_one_not_written(repo: Path, tito) -> None:
    """It is the current module's first gap. If there is none, the message explains how to choose a task."""
    code = repo / "modules" / "01_setup" / "tinytorch" / "setup.py"
    assert tito("hint").code == 2
    assert "tito hint --task 1.5" in tito("hint").err
    code.write_text('raise NotImplementedError("Task 1.3: a")\nraise NotImplementedError("Task 1.4: b")\n')
    assert "Task 1.3: " in tito("hint").out


@pytest.mark.usefixtures("repo")
def test_when_all_is_written_it_is_the_task_that_failed_last(tito, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first failure of the last test run, until that task passes; passing a different task has no effect."""
    failing = build_criterion("failed", 0.5, failures=(build_failure(task="1.4"),))
    results = {
        "fails": build_result(
            failing, milestone=None, module="01_setup", medal=None, verdict=Verdict.NOT_YET, curves=()
        ),
        "passes": build_result(build_criterion(), milestone=None, module="01_setup", medal=None, curves=()),
    }
    now = "fails"
    monkeypatch.setattr(attempt, "grade_module", lambda *_, **__: results[now])
    assert tito("module", "test").code == 1
    text = join_lines(tito("hint").out)
    assert "Every task has been implemented. This one was the first to fail in the last test run. Task 1.4: " in text
    tito("module", "start", "03")
    assert "Task 1.4: " in tito("hint").out
    tito("module", "start", "01")
    now = "passes"
    tito("module", "test", "--task", "1.2")
    assert "Task 1.4: " in tito("hint").out
    tito("module", "test", "--task", "1.4")
    assert "tito module test 01_setup" in tito("hint").err


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize(
    ("said", "found"), [("2.10", "2.10"), ("Task 2.3", "2.3"), ("02.03", "2.3"), ("3", "4.3"), (" 4.1 ", "4.1")]
)
def test_a_task_is_found_by_its_number(tito, said: str, found: str) -> None:
    """The full number works, and so does the position in the current module."""
    tito("module", "start", "04")
    assert f"Task {found}: " in tito("hint", "--task", said).out
    assert f"Task {found}: " in tito("hint", said).out


@pytest.mark.parametrize(
    ("said", "words"),
    [("4.99", "04_layers has the tasks 4.1 to 4.9"), ("99.1", "no task '99.1'"), ("²", "Tasks are numbered: 4.2")],
)
def test_a_task_that_does_not_exist_is_answered_with_those_that_do(repo: Path, tito, said: str, words: str) -> None:
    """The exit code is 2, the module's tasks are listed, and nothing is remembered."""
    answer = tito("hint", "--task", said)
    assert answer.code == 2
    assert words in join_lines(answer.err)
    assert read_hint_counts(repo) == {}


@pytest.mark.parametrize("damage", ["", "[]", '{"4.2": "x"}', "{" * 100_000, '{"4.2": -1}', '{"4.2": 77}'])
def test_a_damaged_memory_costs_nothing(repo: Path, tito, damage: str) -> None:
    """The shown hints are forgotten, a hint is still shown, and Git ignores the folder."""
    (make_tito_folder(repo) / FILE).write_text(damage)
    assert "Task 4.2: " in tito("hint", "--task", "4.2").out
    assert (repo / ".tito" / ".gitignore").read_text() == "*\n"
