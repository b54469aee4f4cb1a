"""Which of many failures a student sees first."""

from __future__ import annotations

from dataclasses import replace

from grading.checks.student_tests import SHOWN_PER_TASK, _select_first_failures
from grading.result import Failure
from grading.testing.runner import TestOutcome


def make_failed_outcome(task: str, title: str, case: str, *, gap: str | None = None) -> TestOutcome:
    """Make the outcome of one failed case of a test."""
    return TestOutcome(case, task, title, Failure(task=gap or task, title=title, test=case), gap=gap)


def test_other_tests_come_before_other_cases_of_one() -> None:
    """With five shapes of one test and two further tests, all three tests are shown."""
    cases = [make_failed_outcome("2.4", "Addition broadcasts", f"add[{n}]") for n in range(5)]
    more = [make_failed_outcome("2.4", title, title) for title in ("Shapes are named", "A scalar broadcasts")]
    assert [f.test for f in _select_first_failures([*cases, *more])] == [
        "add[0]",
        "Shapes are named",
        "A scalar broadcasts",
    ]
    assert [f.test for f in _select_first_failures(cases)] == [f"add[{n}]" for n in range(SHOWN_PER_TASK)]


def test_tasks_come_in_their_order_and_gaps_once() -> None:
    """Task 2.10 comes after 2.9, and a task that is not written shows one failure."""
    found = _select_first_failures(
        [
            make_failed_outcome("2.10", "b", "b"),
            make_failed_outcome("2.9", "a", "a1", gap="2.9"),
            make_failed_outcome("2.9", "c", "c1", gap="2.9"),
        ]
    )
    assert [f.test for f in found] == ["a1", "b"]


def make_raised_outcome(task: str | None, case: str, line: int) -> TestOutcome:
    """Make the outcome of a test in which this line raised a NameError."""
    failure = Failure(task=task, title=case, test=case, got="NameError: x", file="modules/02/x.py", line=line)
    return TestOutcome(case, task, case, failure)


def test_one_failure_stands_for_all_with_the_same_cause() -> None:
    """The same exception from the same line, in whatever task; another line is another failure."""
    tasks = ("2.9", "2.9", "2.10", "2.8")
    same = [make_raised_outcome(task, f"same{n}", 7) for n, task in enumerate(tasks)]
    found = _select_first_failures([*same, make_raised_outcome("2.9", "other", 8)])
    assert [(f.task, f.test) for f in found] == [("2.8", "same3"), ("2.9", "other")]
    assert found[0].got == "NameError: x (and 3 more tests fail for the same reason)"
    assert found[1].got == "NameError: x"
    other = same[0].failure.model_copy(update={"expected": "ValueError"})
    assert len(_select_first_failures([*same, replace(same[0], failure=other)])) == 1
    assert [f.task for f in _select_first_failures([*same, make_raised_outcome(None, "untold", 7)])] == ["2.8", None]


def test_a_module_that_never_loads_is_one_failure() -> None:
    """The tests that were not run because of it are another."""

    def make(task: str, got: str) -> TestOutcome:
        """Make the outcome of a test of this task that got this value."""
        return TestOutcome(f"{task}{got}", task, "", Failure(task=task, title=task, got=got))

    loading = "tinytorch.tensor was not loaded: no answer within 10 s"
    tasks = [f"2.{n}" for n in range(1, 9)]
    found = _select_first_failures(
        [make(task, loading if n < 4 else "not run: ended 4") for n, task in enumerate(tasks)]
    )
    assert [f.task for f in found] == ["2.1", "2.5"]
    assert [f.got for f in found] == [
        f"{loading} (and 3 more tests fail for the same reason)",
        "not run: ended 4 (and 3 more tests fail for the same reason)",
    ]


def test_values_that_are_wrong_in_the_same_way_stay_apart() -> None:
    """Each was expected to be something else."""
    failures = [Failure(task="2.1", title=t, test=t, got="0", expected=t) for t in ("1", "2")]
    assert len(_select_first_failures([TestOutcome(f.title, "2.1", f.title, f) for f in failures])) == 2
