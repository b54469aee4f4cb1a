"""The pytest plugin for module tests, with the fixtures `student` and `rng` and the mark `task`.

Without a grader, the student's code runs in this process, which is fast and allows a debugger. The grader puts a pool
of workers into pytest's stash, and the same tests then run against these workers.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import linecache
import os
import time
import weakref
import zlib
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from grading.errors import UsageError
from grading.remote import DeadlineError, Frame
from grading.shadow import REMOVE_SHADOW, find_shadowing_package
from grading.testing.expect import Mismatch
from grading.testing.loop_limit import limit_cpu_seconds
from grading.worker.frames import list_student_frames

if TYPE_CHECKING:
    from grading.manifest.model import Task
    from grading.testing.given_code import GivenCode

STUDENTS = pytest.StashKey[Any]()
SEED = pytest.StashKey[int]()
TASKS = pytest.StashKey["dict[str, Task]"]()
"""The manifest's tasks, loaded when the first failure needs their hints."""
GIVEN: pytest.StashKey[GivenCode] = pytest.StashKey()
"""The lines that the course provided, loaded when the first failure needs them."""
CAUSES = pytest.StashKey[dict[tuple[str, int | None, str | None], str]]()
"""The first test that failed for each cause, where a cause is an exception and the file and line that raised it."""
TEST_SECONDS = 30.0
"""The CPU time that a test may take in this process, in seconds."""


@dataclass(frozen=True)
class FailedTest:
    """The identity of a failed test."""

    node: str
    """The test's file and name, in pytest's notation."""
    title: str
    """The first line of the test's docstring."""
    task: str | None


class DirectStudent:
    """The `student` fixture for code in this process: `student.tensor` is `tinytorch.tensor`."""

    def __init__(self, root: Path, new_folder: Callable[[], Path]):
        self._root, self._new_folder = root, new_folder

    def __getattr__(self, name: str) -> ModuleType:
        full = f"tinytorch.{name}"
        try:
            module = importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name == "numba":
                pytest.fail(f'{full} needs Numba. To install it: pip install "numba>=0.61"', pytrace=False)
            if error.name not in (full, "tinytorch"):
                raise
            pytest.fail(f"{full} cannot be imported. To install the course: pip install -e .", pytrace=False)
        home = (self._root / "modules").resolve()
        if home not in Path(module.__file__ or "").resolve().parents:
            pytest.fail(
                f"{full} comes from {module.__file__}, not from this repository. In this repository's folder, run: "
                "pip install -e .",
                pytrace=False,
            )
        return module

    def recipe(self, module_id: str) -> ModuleType:
        """Load modules/MODULE_ID/recipe.py, the recipe of the milestone that this module unlocks."""
        path = self._root / "modules" / module_id / "recipe.py"
        spec = importlib.util.spec_from_file_location(f"recipe_{module_id}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @staticmethod
    def rng(seed: int) -> np.random.Generator:
        """Create a random number generator for the student's code."""
        return np.random.default_rng(seed)

    def folder(self) -> Path:
        """Create an empty folder for the files of one test."""
        return self._new_folder()

    @staticmethod
    def hold(thing: Any, name: str) -> Any:
        """Return the attribute itself rather than a copy, so that later changes to it can be seen."""
        return getattr(thing, name)

    @staticmethod
    def hold_result(function: Callable[..., Any], *arguments: Any) -> Any:
        """Return the result of a call itself rather than a copy, so that later changes to it can be seen."""
        return function(*arguments)

    @staticmethod
    def define(function: Callable[..., Any]) -> Any:
        """Return a test's own function unchanged, since it already runs in the same process as student code."""
        return function

    @staticmethod
    def read_clock() -> float:
        """Read this process's CPU time in seconds.

        A busy machine barely affects the difference between two readings.
        """
        return time.process_time()

    @staticmethod
    def lives(thing: Any, name: str) -> Callable[[], bool]:
        """Make a function that returns whether anything still keeps an attribute alive."""
        reference = weakref.ref(getattr(thing, name))
        return lambda: reference() is not None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--task 2.3`, which runs only the tests of this task."""
    parser.getgroup("tinytorch").addoption(
        "--task", action="append", default=[], metavar="ID", help="only the tests of this task: 2.3, or 3 in module 02"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Given `--task`, deselect all tests of other tasks; raise UsageError if a given task has no test here.

    When VS Code lists the tests, put each test's task before its name.
    """
    if config.option.collectonly and config.pluginmanager.has_plugin("vscode_pytest"):
        prefix_tests_with_tasks(items)
    if given := config.getoption("--task"):
        tasks = {item: {str(mark.args[0]) for mark in item.iter_markers("task")} for item in items}
        known = set().union(*tasks.values())
        wanted: set[str] = set()
        for name in given:
            found = resolve_task_name(name, known)
            if items and not found:
                here = ", ".join(sorted(known, key=lambda task: [int(part) for part in task.split(".")]))
                raise pytest.UsageError(f"no test here belongs to task {name}; the tasks are {here}")
            wanted |= found
        config.hook.pytest_deselected(items=[item for item in items if not tasks[item] & wanted])
        items[:] = [item for item in items if tasks[item] & wanted]


def prefix_tests_with_tasks(items: Iterable[pytest.Item]) -> None:
    """Put each test's task before its name in VS Code's list of tests. The node id stays the same."""
    for item in items:
        for mark in item.iter_markers("task"):
            item.name = f"{mark.args[0]} {item.name}"
            if isinstance(item, pytest.Function):
                item.originalname = f"{mark.args[0]} {item.originalname}"


def resolve_task_name(name: str, known: set[str]) -> set[str]:
    """Return the known tasks that "2.3" means, or "3": task 3 if there is only one module, else all of module 3."""
    modules = {task.partition(".")[0] for task in known}
    if name in known:
        return {name}
    if len(modules) == 1:
        return known & {f"{task}.{name}" for task in modules}
    return {task for task in known if task.partition(".")[0] == name.lstrip("0")}


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark `task`; raise UsageError if a different package hides the student's code."""
    if config.stash.get(STUDENTS, None) is None and (shadow := find_shadowing_package()) is not None:
        raise pytest.UsageError(
            f"another package named tinytorch hides your code: {shadow}. To remove it: {REMOVE_SHADOW}"
        )
    config.addinivalue_line("markers", "task(id): the task of the module this test belongs to, such as 2.3")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """End a test of student code in this process after 30 s of CPU time, and do not run the tests after it."""
    is_numba_off = "NUMBA_DISABLE_JIT" in os.environ  # its loops then run as Python, which takes minutes
    if is_numba_off or not _is_student_test_in_this_process(item):
        return (yield)
    try:
        with limit_cpu_seconds(TEST_SECONDS, item.config.rootpath / "modules"):
            return (yield)
    except Exception as error:
        if DeadlineError in (type(error), type(error.__cause__)):
            item.session.shouldfail = "not run: the tests after the endless loop, which may call the same code"
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Explain a failed test of student code in this process in a few lines, without pytest's full traceback.

    With `-vv` or an explicit `--tb`, pytest's own report is kept.
    """
    report = yield
    error, config = call.excinfo and call.excinfo.value, item.config
    brief = config.get_verbosity() < 2 and config.option.tbstyle == "auto"
    if brief and _is_student_test_in_this_process(item) and report.failed and isinstance(error, Exception):
        report.longrepr = _explain_test_failure(error, item, report.capstdout)
    return report


def _is_student_test_in_this_process(item: pytest.Item) -> bool:
    """Return whether a test uses student code, and no worker runs that code."""
    return "student" in getattr(item, "fixturenames", ()) and item.config.stash.get(STUDENTS, None) is None


def identify_test(item: pytest.Item, root: Path) -> FailedTest:
    """Return a test's node ID (`path::name`, below ``root``), the first line of its docstring, and its task."""
    mark = item.get_closest_marker("task")
    title = (inspect.getdoc(getattr(item, "function", None)) or item.name).splitlines()[0]
    node = f"{item.path.relative_to(root).as_posix()}::{item.name}"
    return FailedTest(node, title, str(mark.args[0]) if mark and mark.args else None)


def _explain_test_failure(error: Exception, item: pytest.Item, printed: str) -> str:
    """Explain in a few lines why a test of a student's code failed."""
    # Slow to import, and not needed for a test that passes.
    from grading.testing.failures import explain_failure, format_brief_failure
    from grading.testing.given_code import GivenCode

    root = item.config.rootpath
    raised = error.__cause__ if isinstance(error, Mismatch) and error.__cause__ is not None else error
    frames = [
        Frame(file, line, function, linecache.getline(str(root / file), line).strip())
        for file, line, function in list_student_frames(raised, str(root))
        if file.startswith("modules") and not Path(file).name.startswith("test_")
    ]
    if TASKS not in item.config.stash:
        item.config.stash[TASKS] = _read_tasks_by_id(root)
    given = item.config.stash.setdefault(GIVEN, GivenCode(root))
    test, tasks = identify_test(item, root), item.config.stash[TASKS]
    failure = explain_failure(error, test, tasks, frames=frames, printed=printed, is_given=given.is_given_frame)
    if failure.file is not None:
        causes = item.config.stash.setdefault(CAUSES, {})
        first = causes.setdefault((failure.file, failure.line, failure.got), test.node)
        if first != test.node:
            hint = f"The reason is the same as in {first.rpartition('::')[2]}. Fix that one first."
            failure = failure.model_copy(update={"call": None, "expected": None, "hint": hint})
    return format_brief_failure(failure)


def _read_tasks_by_id(root: Path) -> dict[str, Task]:
    """Read all tasks, keyed by id, or none if the manifest is unreadable. Failures can be explained without tasks."""
    from grading.manifest.loader import load_manifest

    try:
        return {task.id: task for module in load_manifest(root).modules for task in module.tasks}
    except UsageError:
        return {}


@pytest.fixture
def student(request: pytest.FixtureRequest) -> Any:
    """Provide access to the student's code: `student.tensor`, `student.recipe("04_layers")` and so on."""
    students = request.config.stash.get(STUDENTS, None)
    if students is not None:
        return students.student()

    def new_folder() -> Path:
        """Create a temporary folder."""
        return request.getfixturevalue("tmp_path_factory").mktemp("student")

    return DirectStudent(request.config.rootpath, new_folder)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Provide the test's own random number generator, which depends on the seed and the test."""
    name = f"{request.path.name}::{request.node.name}"
    return np.random.default_rng([request.config.stash.get(SEED, 0), zlib.crc32(name.encode())])
