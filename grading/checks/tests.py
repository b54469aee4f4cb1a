"""Module tests and integration tests: the share that passes, run through workers."""

from __future__ import annotations

from pathlib import Path

from grading.checks.measured import Context, Measured
from grading.testing.runner import run_tests
from grading.testing.students import Students


def module_tests(context: Context) -> Measured:
    """Every test of every module that counts."""
    return _tests(context, [m.tests for m in context.modules])


def integration_tests(context: Context) -> Measured:
    """The trigger module's tests of everything together."""
    assert context.milestone is not None
    return _tests(context, [context.milestone.integration_tests])


def _tests(context: Context, files: list[Path]) -> Measured:
    students = Students(context.start, wall_seconds=context.budget.wall_seconds)
    outcomes = run_tests(context.root, files, students, context.manifest, seed=context.seed, watch=context.watch)
    failures = [o.failure for o in outcomes if o.failure is not None]
    by_task = sorted(failures, key=lambda f: [int(n) for n in f.task.split(".")] if f.task else [99])
    passed = (len(outcomes) - len(failures)) / len(outcomes) if outcomes else None
    return Measured(
        {"passed": passed},
        {"passed": tuple(by_task)},
        how=f"{len(outcomes) - len(failures)} of {len(outcomes)} tests in {', '.join(f.name for f in files)}",
    )
