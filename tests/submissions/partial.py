"""Grades as `python -m grading` does, with some checks taken as passed: `python -m tests.submissions.partial JSON …`.

A miniature that is about what a recipe does need not wait for a thousand module tests that its code passes anyway, and
one that never answers need not be waited for as long as a student would be. JSON says which checks are taken as passed
(`taken`), how many seconds a call and a training run have (`patience`), which of the experiment's numbers are others
(`experiment`), how many training images there are (`images`), which modules' and which tasks' tests are run (`modules`
and `tasks`), and in which file to write how much memory the grader had at its peak (`peak`); the rest is the grader's
own command line.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grading import grade, limits
from grading.__main__ import main
from grading.checks.student_tests import run_module_tests
from grading.data import load
from grading.data.dataset import DataSet
from grading.errors import GraderError
from grading.manifest.model import Manifest, Milestone
from grading.measurement import CheckContext, Measurement
from grading.render.progress_watch import ProgressWatch
from grading.sandbox import launch
from grading.testing import plugin


def replace_by_passing_checks(checks: Iterable[str]) -> None:
    """From now on these checks measure nothing: each of their figures stands exactly at its threshold."""
    for check in checks:
        grade.CHECKS[check] = make_passing_check(check)


def make_passing_check(check: str):
    """A check of that name whose every figure meets its criterion."""

    def taken(context: CheckContext) -> Measurement:
        assert context.milestone is not None
        figures = {c.figure: c.threshold for c in context.milestone.criteria if c.check == check}
        return Measurement(dict(figures), how="taken as passed")

    return taken


def limit_module_tests(names: Iterable[str]) -> None:
    """Run only these modules' tests from now on."""

    def run_fewer_tests(context: CheckContext) -> Measurement:
        return run_module_tests(replace(context, modules=tuple(m for m in context.modules if m.id in names)))

    grade.CHECKS["module_tests"] = run_fewer_tests


def limit_tasks(names: Iterable[str]) -> None:
    """Run only these tasks' tests from now on."""
    plugin.pytest_collection_modifyitems = make_task_filter(names)


def make_task_filter(names: Iterable[str]) -> Callable[[list[pytest.Item]], None]:
    """Make a hook for pytest that keeps only the tests of these tasks."""

    def keep_tests_of_tasks(items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if any(mark.args[0] in names for mark in item.iter_markers("task"))]

    return keep_tests_of_tasks


def set_time_budgets(seconds: float) -> None:
    """Give each call and each training run this much CPU time, and all calls of a worker five times as much.

    The wall-clock limit is twenty times as long, so that a busy machine does not reach it first.
    """
    limits.WALL_FACTOR, limits.LEAST_WALL = 20.0, 0.0
    budget = {"call_seconds": seconds, "train_seconds": seconds, "wall_seconds": 5 * seconds}
    change_milestones(lambda milestone: {"budget": milestone.budget.model_copy(update=budget)})
    grade.MODULE_BUDGET = grade.MODULE_BUDGET.model_copy(update=budget)


def change_experiment(numbers: dict[str, float]) -> None:
    """Set these fields in the experiment of every milestone that has them."""

    def change(milestone: Milestone) -> dict[str, Any]:
        known = {name: value for name, value in numbers.items() if hasattr(milestone.experiment, name)}
        return {"experiment": milestone.experiment and milestone.experiment.model_copy(update=known)}

    change_milestones(change)


def change_milestones(change: Callable[[Milestone], dict[str, Any]]) -> None:
    """Replace these fields in every milestone that is read from now on."""
    read = grade.load_manifest

    def read_changed(root: Path) -> Manifest:
        manifest = read(root)
        milestones = tuple(milestone.model_copy(update=change(milestone)) for milestone in manifest.milestones)
        return manifest.model_copy(update={"milestones": milestones})

    grade.load_manifest = read_changed


def limit_images(count: int) -> None:
    """Train milestone 4 on only the first `count` images, and test it on half as many."""
    assert "grading.checks.cifar10_kernels" not in sys.modules, "this check must import the function below"
    obtain = load.load_or_fetch_images

    def obtain_fewer(name: str, watch: ProgressWatch) -> DataSet:
        data = obtain(name, watch)
        return replace(
            data,
            train_inputs=data.train_inputs[:count],
            train_targets=data.train_targets[:count],
            test_inputs=data.test_inputs[: count // 2],
            test_targets=data.test_targets[: count // 2],
        )

    load.load_or_fetch_images = obtain_fewer


def write_peak(path: str) -> None:
    """Write the peak memory of this process, without its workers, in MiB. Write nothing except on Linux."""
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        Path(path).write_text(str(int(found[1]) / 2**10) if found else "")


def run_grader(arguments: list[str]) -> None:
    """Grade as the arguments say, of which the first is the JSON, and exit with the grader's code."""
    how, sys.argv[1:] = json.loads(arguments[0]), arguments[1:]
    if "peak" in how:
        atexit.register(write_peak, how["peak"])
    replace_by_passing_checks(how.get("taken", ()))
    if "modules" in how:
        limit_module_tests(how["modules"])
    if "tasks" in how:
        limit_tasks(how["tasks"])
    if "experiment" in how:
        change_experiment(how["experiment"])
    if "images" in how:
        limit_images(how["images"])
    if "patience" in how:
        set_time_budgets(how["patience"])
    main()


def serve_requests() -> None:
    """Grade what each line of standard input asks for in a fork of this process, and answer with its exit code.

    A fork has imported the grader and tried the fence already, which otherwise takes longer than most gradings.
    """
    checks = ("allowed_imports", "quiz_answers", "usable_source", "xor_training")  # not those that import images
    for name in (*(f"grading.checks.{check}" for check in checks), "numpy.random", "unittest", "pdb"):
        importlib.import_module(name)
    with contextlib.suppress(GraderError):  # a fork may want another
        launch.choose_fence(official=False)
    for line in sys.stdin:
        request = json.loads(line)
        if (child := os.fork()) == 0:
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["environment"])
            for number, path in enumerate((os.devnull, *request["outputs"])):
                os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
            run_grader(request["arguments"])
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve_requests() if sys.argv[1:] == ["serve"] else run_grader(sys.argv[1:])
