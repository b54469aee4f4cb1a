"""`tito module reset` restores the released text, keeps a copy of the student's, and leaves other tasks alone."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from course.skeleton import make_solution
from grading import lock, progress
from grading.manifest.loader import load_manifest
from tito.module import find_open_tasks_in_files

from .conftest import ROOT

CODE = Path("modules/04_layers/tinytorch/layers.py")
RECIPE = Path("modules/04_layers/recipe.py")
TENSOR = Path("modules/02_tensor/tinytorch/tensor.py")


def write_solution(repo: Path, path: Path, extra: str = "") -> str:
    """Write the solution and something extra into a student's file, and return the text."""
    text = make_solution((ROOT / path).read_text("utf-8"), load_manifest(repo), path) + extra
    (repo / path).write_text(text, encoding="utf-8")
    return text


def list_copies(repo: Path, path: Path) -> list[Path]:
    """List the saved copies of a file."""
    return sorted((repo / path).parent.glob(f"kept-*-{path.name}"))


def test_a_module_is_put_back_and_kept(released: Path, tito) -> None:
    """Code and recipe are as released, each copy holds the previous text, and the command shown restores it."""
    given = {path: (released / path).read_text("utf-8") for path in (CODE, RECIPE)}
    mine = {path: write_solution(released, path, f"# mine: {path.name}\n") for path in given}
    answer = tito("module", "reset", "04")
    assert answer.code == 0
    for path, text in given.items():
        assert (released / path).read_text("utf-8") == text
        (copy,) = list_copies(released, path)
        assert copy.read_text("utf-8") == mine[path]
        assert re.match(r"kept-\d{4}-\d\d-\d\d-\d{6}-", copy.name)
        command = f"mv {copy.relative_to(released).as_posix()} {path.as_posix()}"
        assert command in " ".join(answer.out.split())


@pytest.mark.parametrize("task", [(), ("--task", "4.2")])
def test_a_module_that_was_reset_is_no_longer_completed(released: Path, tito, task: tuple[str, ...]) -> None:
    """The module is in progress again, and the answer explains how to complete it once more."""
    write_solution(released, CODE)
    progress.save_event(released, progress.make_module_event(progress.Kind.MODULE_COMPLETED, "04_layers"))
    answer = tito("module", "reset", "04", *task)
    assert "tito module complete 04_layers" in answer.out
    states = json.loads(tito("module", "list", "--json").out)
    assert [one["state"] for one in states if one["id"] == "04_layers"] == ["in_progress"]


def test_a_second_reset_writes_over_no_copy(released: Path, tito) -> None:
    """Two resets within a second keep two copies."""
    for word in ("first", "second"):
        (released / TENSOR).write_text(f"# {word}\n")
        assert tito("module", "reset", "tensor").code == 0
    assert {copy.read_text() for copy in list_copies(released, TENSOR)} == {"# first\n", "# second\n"}


def test_what_is_as_given_is_left_alone(released: Path, tito) -> None:
    """No copy is made, and the message states this; changed line endings alone do not count."""
    (released / TENSOR).write_bytes((released / TENSOR).read_bytes().replace(b"\n", b"\r\n"))
    answer = tito("module", "reset", "02")
    assert (answer.code, "Nothing was changed" in answer.out) == (0, True)
    assert list_copies(released, TENSOR) == []


def test_a_deleted_file_comes_back(released: Path, tito) -> None:
    """A deleted recipe comes back too; there is nothing to keep."""
    for path, module in ((TENSOR, "02"), (RECIPE, "04")):
        given = (released / path).read_bytes()
        (released / path).unlink()
        assert tito("module", "reset", module).code == 0
        assert (released / path).read_bytes() == given
        assert list_copies(released, path) == []


@pytest.mark.parametrize(("said", "task"), [("2.4", "2.4"), ("6", "2.6"), ("2.3", "2.3"), ("2.10", "2.10")])
def test_one_task_is_put_back_and_no_other(released: Path, tito, said: str, task: str) -> None:
    """The task's gaps are open again, even in nested functions; every other line is the student's."""
    given = (released / TENSOR).read_text("utf-8")
    mine = write_solution(released, TENSOR, "\n\ndef helper():\n    return 1\n")
    assert tito("module", "reset", "02", "--task", said).code == 0
    text = (released / TENSOR).read_text("utf-8")
    ast.parse(text)
    assert find_open_tasks_in_files(released / TENSOR) == {task}
    assert text.count("raise NotImplementedError") == len(re.findall(rf'"Task {re.escape(task)}:', given))
    assert text.endswith("def helper():\n    return 1\n")
    assert set(text.splitlines()) <= set(mine.splitlines()) | set(given.splitlines())
    assert list_copies(released, TENSOR)[0].read_text("utf-8") == mine


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", "not valid Python (line 1)"),
        ("x = 1\n", "no longer has `result_dtype`"),
    ],
)
def test_a_task_without_a_place_is_refused(released: Path, tito, text: str, words: str) -> None:
    """Nothing is guessed: the message says why and what to run instead, and nothing is changed."""
    (released / TENSOR).write_text(text)
    answer = tito("module", "reset", "02", "--task", "2.3")
    assert answer.code == 2
    assert words in " ".join(answer.err.split())
    assert "leave out --task to reset" in " ".join(answer.err.lower().split())
    assert (released / TENSOR).read_text() == text
    assert list_copies(released, TENSOR) == []


def test_only_a_release_can_be_put_back(repo: Path, tito) -> None:
    """In the course's own repository, or with damaged released texts, nothing is touched."""
    before = (repo / TENSOR).read_bytes()
    answer = tito("module", "reset", "02")
    assert (answer.code, "Only a released course has this file" in " ".join(answer.err.split())) == (2, True)
    (repo / lock.BASE).write_text("[]")
    answer = tito("module", "reset", "02")
    assert (answer.code, "git checkout -- course.base.json" in " ".join(answer.err.split())) == (2, True)
    assert (repo / TENSOR).read_bytes() == before


@pytest.mark.usefixtures("released")
def test_a_task_of_another_module_is_refused(tito) -> None:
    """The message lists the module's own tasks."""
    answer = tito("module", "reset", "02", "--task", "4.1")
    assert answer.code == 2
    assert "no task '4.1'" in answer.err
