"""Module tests and integration tests, run through workers: the share that passes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from grading.measurement import CheckContext, Measurement
from grading.result import Failure
from grading.testing.runner import TestOutcome, run_tests
from grading.testing.students import WorkerPool

SHOWN_PER_TASK = 3


def run_module_tests(context: CheckContext) -> Measurement:
    """Run every test of every module that counts."""
    return _run_test_files(context, [m.tests for m in context.modules])


def run_integration_tests(context: CheckContext) -> Measurement:
    """Run the trigger module's tests of all modules together."""
    assert context.milestone is not None
    return _run_test_files(context, [context.milestone.integration_tests])


def _run_test_files(context: CheckContext, files: list[Path]) -> Measurement:
    """Run test files through workers, and measure the share of tests that passes."""
    students = WorkerPool(context.start, wall_seconds=context.budget.wall_seconds)
    outcomes = run_tests(
        context.root,
        files,
        students,
        context.manifest,
        task=context.task,
        seed=context.seed,
        watch=context.watch,
        is_enough=context.is_enough,
    )
    passed = sum(o.failure is None for o in outcomes)
    of = f" of task {context.task}" if context.task else ""
    return Measurement(
        {"passed": passed / len(outcomes) if outcomes else None},
        {"passed": _select_failures(outcomes)},
        how=f"{passed} of {len(outcomes)} tests{of} in {', '.join(f.name for f in files)}",
    )


def _select_failures(outcomes: Iterable[TestOutcome]) -> tuple[Failure, ...]:
    """Select the first few failures of each task in the course's order, and one for a task not written yet.

    A test that ran into another task's gap belongs to that task, because its own task has not been tried. One case of
    each test comes before its other cases: a test that fails for one shape mostly fails for all.
    """
    by_task: dict[str, list[TestOutcome]] = {}
    for outcome in outcomes:
        if outcome.failure is not None:
            by_task.setdefault(outcome.failure.task or "", []).append(outcome)
    shown: list[Failure] = []
    for task in sorted(by_task, key=_make_task_sort_key):
        firsts = {outcome.title: outcome for outcome in reversed(by_task[task])}.values()
        ordered = sorted(by_task[task], key=lambda outcome: outcome not in firsts)
        most = 1 if ordered[0].gap else SHOWN_PER_TASK
        shown += [outcome.failure for outcome in ordered[:most] if outcome.failure is not None]
    return tuple(shown)


def _make_task_sort_key(task: str) -> tuple[int, ...]:
    """Sort 2.10 after 2.9, and failures without a task last."""
    return tuple(int(n) for n in task.split(".")) if task else (99,)
