"""Run module tests and integration tests through workers, and measure the fraction that passes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from grading.measurement import CheckContext, Measurement
from grading.result import Failure
from grading.testing.runner import TestOutcome, run_tests
from grading.testing.students import WorkerPool

SHOWN_PER_TASK = 3
NOT_RUN, NOT_LOADED = "not run:", " was not loaded: "
"""The start of the message for a test that was not run, and the part of it that says that a module failed to load."""


def run_module_tests(context: CheckContext) -> Measurement:
    """Run the tests of the context's modules, or only of its task, and measure the fraction of tests that pass."""
    return _run_tests_and_measure_share(context, [m.tests for m in context.modules])


def run_integration_tests(context: CheckContext) -> Measurement:
    """Run the trigger module's tests of all modules together, and measure the fraction of tests that pass."""
    assert context.milestone is not None
    return _run_tests_and_measure_share(context, [context.milestone.integration_tests])


def _run_tests_and_measure_share(context: CheckContext, files: list[Path]) -> Measurement:
    """Run test files through workers, and measure the fraction of tests that pass: None if there are no tests."""
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
        {"passed": _select_first_failures(outcomes)},
        how=f"{passed} of {len(outcomes)} tests{of} in {', '.join(f.name for f in files)}",
    )


def _select_first_failures(outcomes: Iterable[TestOutcome]) -> tuple[Failure, ...]:
    """Merge failures with one cause; keep each task's first SHOWN_PER_TASK, or one if it is not implemented.

    A test that fails because another task is not implemented counts for that other task, because the test has not
    reached its own. One case of each test comes before any further cases, because a test that fails for one shape
    usually fails for all.
    """
    by_task: dict[str, list[TestOutcome]] = {}
    for outcome in _merge_same_causes(outcomes):
        assert outcome.failure is not None
        by_task.setdefault(outcome.failure.task or "", []).append(outcome)
    shown: list[Failure] = []
    for task in sorted(by_task, key=_make_task_sort_key):
        firsts = {outcome.title: outcome for outcome in reversed(by_task[task])}.values()
        ordered = sorted(by_task[task], key=lambda outcome: outcome not in firsts)
        most = 1 if ordered[0].gap else SHOWN_PER_TASK
        shown += [outcome.failure for outcome in ordered[:most] if outcome.failure is not None]
    return tuple(shown)


def _merge_same_causes(outcomes: Iterable[TestOutcome]) -> list[TestOutcome]:
    """Return one failed test for each cause, that of the first task, with the number of others in its message.

    Failures without a task are not merged with failures that have one, because the tasks show which modules passed.
    """
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    groups: dict[tuple[object, ...], list[TestOutcome]] = {}
    for outcome in sorted(
        failed, key=lambda outcome: _make_task_sort_key((outcome.failure and outcome.failure.task) or "")
    ):
        groups.setdefault(_identify_failure_cause(outcome), []).append(outcome)
    merged = []
    for first, *others in groups.values():
        if others and first.failure is not None:
            fail = "test fails" if len(others) == 1 else "tests fail"
            got = f"{first.failure.got} (and {len(others)} more {fail} for the same reason)"
            first = replace(first, failure=first.failure.model_copy(update={"got": got}))
        merged.append(first)
    return merged


def _identify_failure_cause(outcome: TestOutcome) -> tuple[object, ...]:
    """Return a key that tests share if the same line failed with the same message; otherwise it is the test's own."""
    failure = outcome.failure
    if failure is None or failure.got is None or outcome.gap is not None:
        return (outcome.node, outcome)
    if failure.file is not None:  # even if the test expected another exception
        return (bool(failure.task), failure.file, failure.line, failure.got)
    if failure.got.startswith(NOT_RUN) or NOT_LOADED in failure.got:
        return (bool(failure.task), failure.got)
    return (outcome.node, outcome)


def _make_task_sort_key(task: str) -> tuple[int, ...]:
    """Return a key that sorts task 2.10 after 2.9, and failures without a task last."""
    return tuple(int(n) for n in task.split(".")) if task else (99,)
