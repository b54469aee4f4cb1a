"""Check that solutions pass and gaps fail, by running the students' tests with no gap, one gap or all gaps open."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from course.checks.course_tree import CourseTree
from course.skeleton import make_partial_skeleton, make_skeleton, mark_gaps
from grading.client import Worker
from grading.grade import MODULE_BUDGET
from grading.manifest.model import Module, Task
from grading.manifest.problems import Problem
from grading.render.progress_watch import ProgressWatch
from grading.result import Failure
from grading.sandbox.launch import Confinement, choose_fence
from grading.testing.runner import TestOutcome, run_tests
from grading.testing.students import WorkerPool
from grading.workers import list_worker_packages

WALL_SECONDS = 600
Result = TypeVar("Result")
REACHED = """
tasks = set()


def take_tasks():
    found = sorted(tasks)
    tasks.clear()
    return found
"""
"""The text of `tinytorch/reached.py`, in which marked gaps note their tasks; `take_tasks` lists and forgets them."""


def check_solutions_pass(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """Every solution passes its module's tests and the integration tests."""
    fix = "Fix the solution or the test."
    return [
        _build_problem(course, o, f"fails with the solution: {_shorten_failure(o.failure)}", fix)
        for o in _run_all_tests(course, course.solutions, watch)
        if o.failure
    ]


def check_gaps_fail_alone(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """With the gaps of one task open, all its tests fail, and every test that fails gives that task's message."""
    modules, tasks = zip(*((module, task) for module in course.built_modules for task in module.tasks), strict=True)
    watch.begin_phase("Finding the gaps that each test reaches", len(course.built_modules))
    search, names = partial(find_tests_by_gap, course, course.solutions), [module.id for module in course.built_modules]
    found = _map_in_processes(search, course.built_modules, names=names, watch=watch)
    nodes = [tests for tests_by_task in found for tests in tests_by_task.values()]
    watch.begin_phase("Opening each gap on its own", len(tasks))
    check, names = partial(_check_gap_alone, course, course.solutions), [f"task {task.id}" for task in tasks]
    checked = _map_in_processes(check, modules, tasks, nodes, names=names, watch=watch)
    return [problem for problems in checked for problem in problems]


def check_skeletons_fail(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """With all gaps open, as students start, no test passes and each failure names a task."""
    skeletons = {path: make_skeleton(source, course.manifest, path) for path, source in course.sources.items()}
    problems = []
    for outcome in _run_all_tests(course, skeletons, watch):
        if outcome.failure is None:
            fix = "Make it call code that belongs to a task."
            problems.append(_build_problem(course, outcome, "passes on the untouched skeleton.", fix))
        elif outcome.gap is None:
            message = f"fails with the skeleton but does not name a task: {_shorten_failure(outcome.failure)}"
            problems.append(
                _build_problem(course, outcome, message, "Call student code inside the test, not at import time.")
            )
    return problems


def find_tests_by_gap(course: CourseTree, solutions: Mapping[Path, str], module: Module) -> dict[str, tuple[str, ...]]:
    """Map each task of a module to the tests that its open gap can affect: its own, and those that enter its blocks.

    A test that enters none of them with the solutions behaves the same while the gap is open. If the marks make a test
    fail, it is listed for every task. A task with an unmarked block gets all tests.
    """
    texts, unmarked = dict(solutions), frozenset[str]()
    for path, source in course.sources.items():
        if module.folder in path.parents:
            texts[path], skipped = mark_gaps(source, course.manifest, path)
            unmarked |= skipped
    texts[module.folder / "tinytorch" / "reached.py"] = REACHED
    reached: dict[str, list[str]] = {}

    def note_reached_tasks(outcome: TestOutcome, students: WorkerPool) -> bool:
        """Note which tasks a passed test reached, and ask for the next test."""
        if outcome.failure is None:
            reached[outcome.node] = students.student().reached.take_tasks()
        return False

    outcomes = _run_tests(course, texts, module.tests, is_enough=note_reached_tasks)
    return {
        task.id: tuple(
            test.node
            for test in outcomes
            if task.id == test.task or task.id in unmarked or task.id in reached.get(test.node, (task.id,))
        )
        for task in module.tasks
    }


def _check_gap_alone(
    course: CourseTree, solutions: Mapping[Path, str], module: Module, task: Task, nodes: tuple[str, ...]
) -> list[Problem]:
    """Return what is wrong with these tests of a module while only this task's gap is open."""
    opened = {
        path: make_partial_skeleton(source, course.manifest, path, task.id)
        for path, source in course.sources.items()
        if module.folder in path.parents
    }
    problems = []
    for outcome in _run_tests(course, {**solutions, **opened}, module.tests, nodes) if nodes else ():
        own = outcome.task == task.id
        if outcome.failure is None:
            if own:
                fix = "Make it call the task's code, or mark it with the task that it tests."
                problems.append(_build_problem(course, outcome, f"passes while its task {task.id} is open.", fix))
        elif outcome.gap != task.id:
            named = (
                f"names task {outcome.gap}" if outcome.gap else f"names no task: {_shorten_failure(outcome.failure)}"
            )
            message = f"fails while only task {task.id} is open, and {named}"
            problems.append(
                _build_problem(course, outcome, message, "Make sure that the gap's own message reaches the student.")
            )
    return problems


def _run_all_tests(course: CourseTree, texts: Mapping[Path, str], watch: ProgressWatch) -> list[TestOutcome]:
    """Run all modules' tests and the integration tests on these texts, one file per core; return each outcome."""
    files = [*(module.tests for module in course.built_modules), *course.integration_tests]
    watch.begin_phase("Running the tests of each module", len(files))
    names = [file.name for file in files]
    found = _map_in_processes(partial(_run_tests, course, texts), files, names=names, watch=watch)
    return [outcome for outcomes in found for outcome in outcomes]


def _map_in_processes(
    function: Callable[..., Result], *arguments: Sequence[Any], names: Sequence[str], watch: ProgressWatch
) -> list[Result]:
    """Call a function as `map` does, in one process per core, and report the name of each call that is done."""
    results: list[Result] = []
    with _start_pool() as pool:
        for name, result in zip(names, pool.map(function, *arguments), strict=True):
            results.append(result)
            watch.report_steps_done(len(results), name)
    return results


def _start_pool() -> ProcessPoolExecutor:
    """Return a pool with one spawned process per core, so that many test files can be run at the same time."""
    return ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))


def _run_tests(
    course: CourseTree,
    texts: Mapping[Path, str],
    file: Path,
    nodes: Container[str] | None = None,
    is_enough: Callable[[TestOutcome, WorkerPool], bool] = lambda *_: False,
) -> tuple[TestOutcome, ...]:
    """Run a file's tests, or only ``nodes``, on a temporary submission that consists of these texts.

    Return each outcome, up to the first for which ``is_enough``, which also gets the workers, returns True.
    """
    with tempfile.TemporaryDirectory(prefix="tinytorch-course-") as folder:
        for path, text in texts.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        confinement = Confinement(
            submission=Path(folder),
            folders=tuple(module.folder.as_posix() for module in course.built_modules),
            memory_mb=MODULE_BUDGET.memory_mb,
            cpu_seconds=WALL_SECONDS,
            sandbox=choose_fence(official=False),
            packages=list_worker_packages(course.built_modules),
        )
        call_seconds = max([MODULE_BUDGET.call_seconds, *(m.budget.call_seconds for m in course.manifest.milestones)])
        students = WorkerPool(lambda: Worker(confinement, call_seconds=call_seconds), wall_seconds=WALL_SECONDS)
        try:
            return run_tests(
                course.root,
                [file],
                students,
                course.manifest,
                seed=0,
                nodes=nodes,
                is_enough=lambda outcome: is_enough(outcome, students),
            )
        finally:
            students.close()


def _shorten_failure(failure: Failure | None) -> str:
    """Return what the failed call returned, or else the failure's title, in at most 150 characters; "" for None."""
    got = " ".join((failure.got or failure.title).split()) if failure else ""
    return got if len(got) <= 150 else f"{got[:149]}…"


def _build_problem(course: CourseTree, outcome: TestOutcome, message: str, fix: str) -> Problem:
    """Build a problem at the test's own line, with the test's name before the message."""
    file, _, name = outcome.node.partition("::")
    line = next((case.line for case in course.test_cases if (case.path.as_posix(), case.name) == (file, name)), 1)
    return Problem(file, line, f"{name} {message}", fix)
