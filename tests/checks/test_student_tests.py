"""Which of many failures a student sees first."""

from __future__ import annotations

from grading.checks.student_tests import SHOWN_PER_TASK, _select_failures
from grading.result import Failure
from grading.testing.runner import TestOutcome


def make_failed_outcome(task: str, title: str, case: str, *, gap: str | None = None) -> TestOutcome:
    """Make the outcome of one failed case of a test."""
    return TestOutcome(case, task, title, Failure(task=gap or task, title=title, test=case), gap=gap)


def test_other_tests_come_before_other_cases_of_one() -> None:
    """With five shapes of one test and two further tests, all three tests are shown."""
    cases = [make_failed_outcome("2.4", "Addition broadcasts", f"add[{n}]") for n in range(5)]
    more = [make_failed_outcome("2.4", title, title) for title in ("Shapes are named", "A scalar broadcasts")]
    assert [f.test for f in _select_failures([*cases, *more])] == ["add[0]", "Shapes are named", "A scalar broadcasts"]
    assert [f.test for f in _select_failures(cases)] == [f"add[{n}]" for n in range(SHOWN_PER_TASK)]


def test_tasks_come_in_their_order_and_gaps_once() -> None:
    """Task 2.10 comes after 2.9, and a task that is not written shows one failure."""
    found = _select_failures(
        [
            make_failed_outcome("2.10", "b", "b"),
            make_failed_outcome("2.9", "a", "a1", gap="2.9"),
            make_failed_outcome("2.9", "c", "c1", gap="2.9"),
        ]
    )
    assert [f.test for f in found] == ["a1", "b"]
