"""`tito module …` from the first lesson to the milestone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from grading import progress
from grading.progress import read_history
from grading.result import Result, Verdict
from tests.render.results import build_criterion, build_failure, build_result
from tito import attempt, names
from tito.module import find_open_tasks_in_files, format_goals_after_module
from tito.outline import read_outline


def make_module_result(module: str = "02_tensor", *, passed: bool = True) -> Result:
    """Make a module's result."""
    one = build_criterion() if passed else build_criterion("failed", 0.5, failures=(build_failure(),))
    verdict = Verdict.UNLOCKED if passed else Verdict.NOT_YET
    return build_result(one, milestone=None, module=module, name="Tensor", medal=None, verdict=verdict, curves=())


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the modules graded by a grader that passes all except 03, and the milestones attempted."""
    seen: list[str] = []

    def grade(_root: Path, module: str, **_: object) -> Result:
        """Note the module, and return a result that passes unless it is module 03."""
        seen.append(module)
        return make_module_result(module, passed=module != "03_activations")

    def try_(_root: Path, number: int, **_: object) -> int:
        """Note the milestone, and return exit code 1."""
        seen.append(f"milestone {number}")
        return 1

    monkeypatch.setattr(attempt, "grade_module", grade)
    monkeypatch.setattr(attempt, "grade_and_celebrate_milestone", try_)
    return seen


def test_the_list_names_every_module_with_its_state(repo: Path, tito) -> None:
    """All modules in order, ready, locked or planned, as text and as JSON."""
    course = read_outline(repo)
    text, data = tito("module", "list").out, json.loads(tito("module", "list", "--json").out)
    assert [m["id"] for m in data] == [m.id for m in course.modules]
    assert [m["state"] for m in data[:2]] == ["ready", "locked"]
    assert all(m.id in text for m in course.modules)
    assert text.count("PLANNED") == sum(m.status == "planned" for m in course.modules)


def test_the_lesson_is_printed_as_it_is(repo: Path, tito) -> None:
    """Without a terminal the lesson's Markdown comes out unchanged; a missing one is named with its repair."""
    lesson = repo / "modules" / "02_tensor" / "README.md"
    lesson.write_text("# Tensor\n\nÜber `x`.\n", encoding="utf-8")
    assert tito("module", "view", "tensor").out == "# Tensor\n\nÜber `x`.\n"
    lesson.unlink()
    answer = tito("module", "view", "tensor")
    assert answer.code == 3
    assert "git checkout -- modules/02_tensor/README.md" in answer.err


def test_starting_says_what_to_open_and_write_first(repo: Path, tito) -> None:
    """The file, the first open task with its hint and the fast loop are named; the start is recorded once."""
    code = repo / "modules" / "02_tensor" / "tinytorch" / "tensor.py"
    code.write_text('raise NotImplementedError("Task 2.2: hint")\nraise NotImplementedError(\n    "Task 2.3: hint")\n')
    answer = tito("module", "start", "02")
    assert answer.code == 0
    assert "modules/02_tensor/tinytorch/tensor.py" in answer.out
    assert "First   Task 2.2" in answer.out
    assert "● Task 2.1" in answer.out
    assert "○ Task 2.3" in answer.out
    assert "pytest modules/02_tensor --task 2.2 -x" in answer.out
    assert "builds on others that you have not completed: 01_setup" in answer.out
    tito("module", "start", "02")
    assert [(e.kind, e.module) for e in read_history(repo).events] == [(progress.Kind.MODULE_STARTED, "02_tensor")]


def test_a_module_that_was_begun_out_of_order_can_be_left_again(repo: Path, tito) -> None:
    """`tito` follows to the module begun last, names the way back, and starting an earlier module goes back."""
    tito("module", "start", "02")
    answer = tito("module", "start", "07")
    assert "To go back: tito module start 01_setup" in " ".join(answer.out.split())
    shown = tito().out
    assert "Module 07_attention" in shown
    assert "\n  tito module test 07_attention\n" in shown
    told = "Not yet completed before 07_attention: 01_setup, 02_tensor, 03_activations, …. To go back:"
    assert f"{told} tito module start 01_setup" in " ".join(shown.split())
    tito("module", "start", "02")
    shown = tito().out
    assert "Module 02_tensor" in shown
    assert "\n  tito module test 02_tensor\n" in shown
    assert [event.module for event in read_history(repo).events] == ["02_tensor", "07_attention", "02_tensor"]


def test_open_tasks_are_read_from_the_file(tmp_path: Path) -> None:
    """Gaps are found without running the file; a file that is gone or unreadable gives no answer."""
    code = tmp_path / "x.py"
    code.write_text(
        """raise NotImplementedError("Task 12.10: a")\nraise NotImplementedError(f'Task 3.1: b')\n# Task 1.1"""
    )
    assert find_open_tasks_in_files(code) == {"12.10", "3.1"}
    code.write_bytes(b"\xff")
    assert find_open_tasks_in_files(code) is None
    assert find_open_tasks_in_files(tmp_path / "none.py") is None
    code.write_text("", "utf-8")
    recipe = tmp_path / "recipe.py"
    recipe.write_text('raise NotImplementedError("Task 4.8: build")', "utf-8")
    assert find_open_tasks_in_files(code, recipe) == {"4.8"}


def test_without_a_name_it_is_the_module_that_is_worked_on(repo: Path, tito, graded: list[str]) -> None:
    """The one begun last, then the first that is not completed; at the end of the course one has to say which."""
    assert tito("module", "test").code == 0
    assert tito("module", "start", "04").code == 0
    assert tito("module", "test").code == 0
    assert "# 04" in tito("module", "view").out
    assert tito("module", "complete").code == 1  # goes on to milestone 1
    assert "01_setup" in tito("module", "start").out
    assert graded == ["01_setup", "04_layers", "04_layers", "milestone 1"]
    for module in read_outline(repo).modules:
        progress.save_event(repo, progress.make_module_event(progress.Kind.MODULE_COMPLETED, module.id))
    answer = tito("module", "test")
    assert answer.code == 2
    assert "Say which one you mean" in answer.err


def test_a_failed_test_says_how_to_repeat_it_quickly(tito, graded: list[str], repo: Path) -> None:
    """The same command with its seed, and not the session, which makes an environment first."""
    answer = tito("module", "test", "03", "--task", "3.2")
    assert re.search(r"^  tito module test 03_activations --task 3.2 --seed \d+$", answer.out, re.MULTILINE)
    assert "nox -s" not in answer.out
    assert graded == ["03_activations"]
    assert repo.is_dir()


def test_testing_shows_and_records_nothing(repo: Path, tito, graded: list[str]) -> None:
    """A test's verdict is its exit code, and the history stays as it was."""
    assert tito("module", "test", "02").code == 0
    answer = tito("module", "test", "activations")
    assert answer.code == 1
    assert "Fix this first" in answer.out
    assert graded == ["02_tensor", "03_activations"]
    assert read_history(repo).events == ()


@pytest.mark.usefixtures("repo")
def test_a_seed_that_a_report_names_is_handed_on(tito, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--seed` draws the same inputs again; without it they are fresh."""
    seeds: list[object] = []

    def grade(_root: Path, module: str, *, seed: int | None, **_: object) -> Result:
        """Keep the seed, and pass."""
        seeds.append(seed)
        return make_module_result(module, passed=True)

    monkeypatch.setattr(attempt, "grade_module", grade)
    tito("module", "test", "02", "--seed", "1234")
    tito("module", "test", "02")
    assert seeds == [1234, None]


@pytest.mark.usefixtures("graded")
def test_a_completed_module_that_fails_now_is_told_so(repo: Path, tito) -> None:
    """It stays completed, and the message does not say otherwise."""
    progress.save_event(repo, progress.make_module_event(progress.Kind.MODULE_COMPLETED, "03_activations"))
    answer = tito("module", "complete", "03")
    assert answer.code == 1
    assert "was completed on 20" in answer.out
    assert "not completed" not in answer.out


def test_completing_records_the_result_and_names_the_next_goal(repo: Path, tito, graded: list[str]) -> None:
    """A passing module is recorded with its result; the next goal follows."""
    answer = tito("module", "complete", "01")
    assert answer.code == 0
    assert "tito module start 02_tensor" in answer.out
    event = read_history(repo).events[0]
    assert (event.kind, event.module, event.verdict) == (progress.Kind.MODULE_COMPLETED, "01_setup", "unlocked")
    assert graded == ["01_setup"]


def test_completing_offers_the_next_module_when_a_milestone_was_left_locked(repo: Path) -> None:
    """The milestone comes first, and the student may still go on."""
    for module in ("01_setup", "02_tensor", "03_activations", "04_layers", "05_dense"):
        progress.save_event(repo, progress.make_module_event(progress.Kind.MODULE_COMPLETED, module))
    course, history = read_outline(repo), read_history(repo)
    text = format_goals_after_module(course, history, "05_dense").plain
    assert text.index("tito milestone test 1") < text.index("tito module start 06_spatial")
    assert "tito module start 05" not in format_goals_after_module(course, history, "04_layers").plain


def test_what_fails_is_not_completed(repo: Path, tito, graded: list[str]) -> None:
    """A module whose tests fail exits 1, is not recorded, and no milestone is tried."""
    assert tito("module", "complete", "03").code == 1
    assert read_history(repo).events == ()
    assert graded == ["03_activations"]


def test_a_trigger_module_goes_straight_on_to_its_milestone(repo: Path, tito, graded: list[str]) -> None:
    """Completing 04 tests milestone 1, whose verdict is the exit code."""
    answer = tito("module", "complete", "04")
    assert graded == ["04_layers", "milestone 1"]
    assert answer.code == 1
    assert [e.module for e in read_history(repo).events] == ["04_layers"]


def test_the_outline_agrees_with_the_manifest(repo: Path) -> None:
    """What listings read at once is what the typed manifest says."""
    from grading.manifest.loader import load_manifest

    quick, whole = read_outline(repo), load_manifest(repo)
    assert [(m.id, m.title, m.status) for m in quick.modules] == [(m.id, m.title, m.status) for m in whole.modules]
    assert [(m.id, m.name, m.medal, m.trigger, m.status) for m in quick.milestones] == [
        (m.id, m.name, m.medal, m.trigger, m.status) for m in whole.milestones
    ]
    assert names.match_module(whole.modules, "2").id == "02_tensor"
