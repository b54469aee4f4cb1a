"""`tito module solution` shows a readable solution only after the tests passed, and only if the course gives it out."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from course.skeleton import make_solution
from grading import progress
from grading.manifest.loader import load_manifest
from tito.solution import WIDE, align_lines, show_both_versions

from .conftest import ROOT

CODE = Path("modules/02_tensor/tinytorch/tensor.py")
SHIPPED = Path("solutions/02_tensor/tinytorch/tensor.py")


def write_solution_file(repo: Path) -> str:
    """Put the solution where a release has it, and return its text."""
    text = make_solution((ROOT / CODE).read_text("utf-8"), load_manifest(ROOT), CODE)
    (repo / SHIPPED).parent.mkdir(parents=True)
    (repo / SHIPPED).write_text(text, encoding="utf-8")
    return text


def set_solution_release(repo: Path, said: str) -> None:
    """Set when the manifest gives solutions out."""
    path = repo / "milestones.yaml"
    path.write_text(path.read_text("utf-8").replace("course:\n", f"course:\n  solutions: {said}\n", 1), "utf-8")


def record_completed_module(repo: Path) -> None:
    """Record that module 02 is completed."""
    progress.save_event(repo, progress.make_module_event(progress.Kind.MODULE_COMPLETED, "02_tensor"))


def test_before_the_tests_have_passed_nothing_is_shown(released: Path, tito) -> None:
    """A module that was only begun has no solution to show, and the message says what to run."""
    text = write_solution_file(released)
    tito("module", "start", "02")
    answer = tito("module", "solution", "02")
    assert answer.code == 2
    assert "tito module complete 02_tensor" in answer.err
    assert answer.out == ""
    assert text.splitlines()[-1] not in answer.err


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("never", "does not release its solutions"),
        (f"{datetime.now(UTC).date() + timedelta(days=2)}", f"on {datetime.now(UTC).date() + timedelta(days=2)}"),
        (f"{datetime.now(UTC).date() - timedelta(days=2)}", "tito update"),
        ("always", "tito update"),
    ],
)
def test_a_release_without_solutions_says_why(released: Path, tito, said: str, words: str) -> None:
    """Never, not yet, and not in this release have three different messages."""
    set_solution_release(released, said)
    record_completed_module(released)
    answer = tito("module", "solution", "02")
    assert answer.code == 2
    assert words in " ".join(answer.err.split())


def test_what_differs_is_shown(released: Path, tito) -> None:
    """Without a terminal: a unified diff, whose lines are the two files' own."""
    record_completed_module(released)
    solution = write_solution_file(released)
    mine = solution.replace("return self.data.tolist()", "return list(self.data)")
    (released / CODE).write_text(mine, encoding="utf-8")
    lines = tito("module", "solution", "02").out.splitlines()
    assert "-        return list(self.data)" in lines
    assert "+        return self.data.tolist()" in lines
    assert len([line for line in lines if line[:1] in "+-"]) == 4  # with the two names
    (released / CODE).write_text(solution, encoding="utf-8")
    assert "Both are identical" in tito("module", "solution", "02").out


@pytest.mark.parametrize(("width", "columns"), [(WIDE, True), (WIDE - 1, False)])
def test_two_columns_where_there_is_room(width: int, columns: bool) -> None:
    """A wide terminal shows both versions side by side, a narrow one below each other."""
    out = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    show_both_versions(out, CODE, "a = 1\nmine = 2\nc = 3\n", "a = 1\ntheirs = 22\nc = 3\n")
    shown = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    both = [line for line in shown if "mine = 2" in line and "theirs = 22" in line]
    assert bool(both) == columns
    assert any("mine = 2" in line for line in shown)


def test_no_column_cuts_a_line() -> None:
    """Text longer than a column continues below."""
    out = Console(file=io.StringIO(), force_terminal=True, width=WIDE, color_system=None)
    long = "x = " + " + ".join(f"number_{n}" for n in range(20))
    show_both_versions(out, CODE, "a = 1\n", f"{long}\n")
    right = [line[WIDE // 2 + 5 :] for line in out.file.getvalue().splitlines()[2:]]  # type: ignore[attr-defined]
    assert "".join("".join(right).split()) == "".join(long.split())


def test_lines_are_aligned_with_their_numbers() -> None:
    """An extra line on one side leaves the other empty; distant equal lines are left out."""
    mine = ["x"] * 9 + ["a"] + ["y"] * 9 + ["b"]
    theirs = ["x"] * 9 + ["a", "a2"] + ["y"] * 9 + ["b", "c"]
    rows = list(align_lines(mine, theirs))
    assert (0, "", 11, "a2") in rows
    assert (0, "", 22, "c") in rows
    assert (10, "a", 10, "a") in rows
    assert None in rows
    assert len(rows) < len(theirs)
