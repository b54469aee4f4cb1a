"""The mutation run separates noticed changes from unnoticed ones, and requires a reason for each unnoticed one."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from cosmic_ray.mutating import mutate_code
from rich.console import Console

from course.mutation.__main__ import (
    MutationTally,
    list_mutation_problems,
    main,
    print_mutation_report,
    tally_module_mutants,
)
from course.mutation.mutant_excuses import PAGE, MutantChange, format_excuse_row, parse_excuse_page
from course.mutation.mutant_trial import MutantTrial, TrialError
from course.mutation.mutants import Mutant, make_mutants
from course.mutation.operators import OWN_OPERATORS
from course.skeleton import find_gaps
from grading.errors import UsageError
from grading.manifest.loader import load_manifest
from grading.render.progress_watch import SilentWatch

CODE = Path("modules/02_tensor/tinytorch/tensor.py")
SOURCE = '''"""A file with one solution."""

LIMIT = 5 + 5


def either(a, b):
    """Return the int `a` unless it is 0, and the int `b` then."""
    # BEGIN SOLUTION 2.1
    a = int(a)
    return a or b
    # END SOLUTION
'''
TEST = """
import pytest

@pytest.mark.parametrize(("a", "b"), {cases})
def test_either(student, a, b):
    assert student.tensor.either(a, b) == 3
"""
GOOD, WEAK = "[(3, 2), (0, 3)]", "[(3, 3)]"
EQUIVALENT = MutantChange(CODE.as_posix(), "a = int(a)", "pass")


@pytest.fixture
def miniature(root: Path, tmp_path: Path) -> Path:
    """Create a course with one file, for which each test writes its own cases."""
    for name in ("pyproject.toml", "milestones.yaml"):
        shutil.copy(root / name, tmp_path / name)
    (tmp_path / "grading").symlink_to(root / "grading")
    (tmp_path / CODE).parent.mkdir(parents=True)
    (tmp_path / CODE).write_text(SOURCE)
    return tmp_path


def run_mutation(course: Path, root: Path, cases: str) -> MutationTally:
    """Run the miniature with these test cases and return its tally."""
    manifest = load_manifest(root)
    module = manifest.modules[1]
    (course / module.tests).write_text(TEST.format(cases=cases))
    return tally_module_mutants(course, manifest, module, SilentWatch())


def test_killed_and_survived_are_told_apart(miniature: Path, root: Path) -> None:
    """With good tests only the equivalent mutant survives, with weak tests more do; the course's file is unchanged."""
    good, weak = run_mutation(miniature, root, GOOD), run_mutation(miniature, root, WEAK)
    assert {MutantChange.from_mutant(mutant) for mutant in good.survivors} == {EQUIVALENT}
    assert (good.mutants, good.killed, good.share) == (2, 1, 0.5)
    assert {mutant.after for mutant in weak.survivors} == {"pass", "return a and b"}
    assert (miniature / CODE).read_text() == SOURCE


def test_tests_that_fail_on_the_solution_measure_nothing(miniature: Path, root: Path) -> None:
    """A test suite that already fails without a mutant would kill every mutant, so it is refused."""
    with pytest.raises(TrialError, match="solution itself fails"):
        run_mutation(miniature, root, "[(1, 2)]")


def test_tests_that_do_not_reach_the_file_measure_nothing(miniature: Path) -> None:
    """A test suite that passes without the mutated file would kill no mutant, so it is refused."""
    (miniature / "modules/02_tensor/test_tensor.py").write_text("def test_nothing():\n    pass\n")
    trial = MutantTrial(miniature, (Path("modules/02_tensor"),), (Path("modules/02_tensor/test_tensor.py"),))
    with pytest.raises(TrialError, match="a file that is not the copy's"):
        trial.measure_limits(CODE)


def test_an_endless_mutant_is_killed(miniature: Path, root: Path) -> None:
    """A mutant that never finishes is killed, and counts as noticed."""
    (miniature / load_manifest(root).modules[1].tests).write_text(TEST.format(cases=GOOD))
    trial = MutantTrial(
        miniature, (Path("modules/02_tensor"),), (Path("modules/02_tensor/test_tensor.py"),)
    ).measure_limits(CODE)
    assert not trial.kills_mutant(CODE, SOURCE)
    assert dataclasses.replace(trial, cpu_seconds=2).kills_mutant(CODE, "while True:\n    pass\n")
    assert dataclasses.replace(trial, timeout=3).kills_mutant(CODE, "import time\n\ntime.sleep(99)\n")


def test_the_tests_of_the_mutated_task_run_first(miniature: Path, root: Path) -> None:
    """A mutant's own task's tests run first; if they notice the mutant, the other tests need not run."""
    text = TEST.format(cases=GOOD) + "ran = []\n"
    text += '@pytest.mark.task("2.2")\ndef test_later():\n    assert ran == [1]\n'
    text += '@pytest.mark.task("2.1")\ndef test_first():\n    ran.append(1)\n'
    (miniature / load_manifest(root).modules[1].tests).write_text(text)
    trial = MutantTrial(miniature, (Path("modules/02_tensor"),), (Path("modules/02_tensor/test_tensor.py"),))
    assert trial.kills_mutant(CODE, SOURCE, "2.2")
    assert not trial.kills_mutant(CODE, SOURCE, "2.1")


def test_only_solutions_are_mutated(root: Path) -> None:
    """Given lines have no mutants, and every mutant is valid Python with one changed line."""
    found = make_mutants(SOURCE, find_gaps(SOURCE, load_manifest(root), CODE), CODE)
    assert {(mutant.line, mutant.task) for mutant in found} == {(9, "2.1"), (10, "2.1")}
    assert len({mutant.source for mutant in found}) == len(found)
    for mutant in found:
        assert mutant.source == SOURCE.replace(mutant.before, mutant.after)


@pytest.mark.parametrize("operator", OWN_OPERATORS)
def test_own_operators_change_what_they_say(operator: type) -> None:
    """Each operator turns its examples into the expected texts."""
    for example in operator.examples():
        assert mutate_code(example.pre_mutation_code, operator(), 0) == example.post_mutation_code
    assert mutate_code('"""Text."""\nfor x in f(y):\n    return g(x)\n', operator(), 0) is None


def build_survivor(after: str = EQUIVALENT.after) -> Mutant:
    """Build a mutant of the miniature that survives."""
    return Mutant(CODE, 9, "2.1", "Some", EQUIVALENT.before, after, "")


def test_a_survivor_needs_a_reason() -> None:
    """An unlisted survivor is reported with the row to add, and is no longer reported once the row has a reason."""
    result = MutationTally("02_tensor", CODE, 10, (build_survivor(),))
    (complaint,) = list_mutation_problems([result], {})
    table = f"| line | becomes | reason |\n| --- | --- | --- |\n{complaint.splitlines()[1].strip()}\n"
    page = f"## `{CODE.as_posix()}`\n\n{table}"
    assert list_mutation_problems([result], parse_excuse_page(page)) == []


def test_an_excuse_for_the_dead_is_a_complaint() -> None:
    """A row whose mutant does not survive is reported; rows for files that were not mutated are ignored."""
    other = MutantChange("modules/03_activations/tinytorch/activations.py", "x", "y")
    (complaint,) = list_mutation_problems(
        [MutationTally("02_tensor", CODE, 10, ())], {EQUIVALENT: "same", other: "same"}
    )
    assert "`pass` is excused" in complaint


def test_too_few_killed_is_a_complaint() -> None:
    """Fewer than nine in ten killed mutants is too few, even if every survivor has a reason."""
    alive = tuple(build_survivor(f"if {n}:") for n in range(2))
    excused = {MutantChange.from_mutant(mutant): "same" for mutant in alive}
    (complaint,) = list_mutation_problems([MutationTally("02_tensor", CODE, 19, alive)], excused)
    assert "89.5% killed" in complaint
    assert list_mutation_problems([MutationTally("02_tensor", CODE, 20, alive)], excused) == []


def test_the_report_shows_each_survivor_as_a_change() -> None:
    """The report shows the figures, then each survivor's original line, changed line and reason."""
    console = Console(width=100)
    with console.capture() as captured:
        print_mutation_report(
            [MutationTally("02_tensor", CODE, 10, (build_survivor(),))], {EQUIVALENT: "It is an int."}, console
        )
    for text in ("02_tensor", "90.0%", f"{CODE.as_posix()}:9", "- a = int(a)", "+ pass", "It is an int."):
        assert text in captured.get()


def test_rows_survive_the_signs_of_tables() -> None:
    """A change that contains a table separator is read back unchanged."""
    change = MutantChange("a.py", "x = a | b", 'x = a ^ b or "|"')
    assert parse_excuse_page(f"# `a.py`\n{format_excuse_row(change, 'Same.')}\n") == {change: "Same."}


@pytest.mark.parametrize("line", ["| `a` | reason |", "| `a` | b | reason |", "| `a` | `b` |  |"])
def test_a_row_without_its_parts_is_refused(line: str) -> None:
    """The message names the page and the line."""
    with pytest.raises(UsageError, match=f"{PAGE}:2"):
        parse_excuse_page(f"# `a.py`\n{line}\n")


def test_an_unknown_module_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt module name is answered with the correct one."""
    assert main(["02_tensr"]) == 2
    assert "02_tensor" in capsys.readouterr().out
