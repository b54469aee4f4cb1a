"""Run module tests against workers, with pytest in this process, and return each test's outcome."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Container, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grading.errors import GraderError
from grading.manifest.model import Manifest
from grading.memory import get_shape_too_large_for_memory, limit_memory
from grading.remote import RemoteError
from grading.render.progress_watch import ProgressWatch, SilentWatch
from grading.result import Failure
from grading.testing import plugin
from grading.testing.expect import Mismatch
from grading.testing.failures import FailedTest, explain_failure, find_gap_task
from grading.testing.given_code import GivenCode
from grading.testing.students import WorkerPool

TEST_HEADROOM = 160 << 20
"""The memory in bytes that a test may use. With correct code, a test uses a tenth of this."""
DRAIN_SECONDS = 0.02
"""The time to wait for printed output to arrive, in seconds."""
INI = Path(__file__).with_name("pytest.ini")


@dataclass(frozen=True)
class TestOutcome:
    """The outcome of one test."""

    __test__ = False  # a record, not a test class

    node: str
    """The test's file and name, in pytest's notation."""
    task: str | None
    title: str
    failure: Failure | None
    """The failure, or None if the test passed."""
    gap: str | None = None
    """The task whose unfilled gap the test reached."""


def run_tests(
    root: Path,
    files: Iterable[Path],
    students: WorkerPool,
    manifest: Manifest,
    *,
    seed: int,
    task: str | None = None,
    nodes: Container[str] | None = None,
    watch: ProgressWatch | None = None,
    is_enough: Callable[[TestOutcome], bool] = lambda _: False,
) -> tuple[TestOutcome, ...]:
    """Run tests in ``files`` (relative to ``root``): all, one task's, or those in ``nodes``. Return each outcome.

    The tests after the first outcome for which ``is_enough`` returns True are not run. Raise GraderError if the machine
    fails, or if pytest cannot collect the tests, which means that a course file is broken.
    """
    files = tuple(files)
    collector = _Collector(root, manifest, students, seed, nodes, watch or SilentWatch(), is_enough)
    arguments = [
        "-c", str(INI), "--rootdir", str(root), "--noconftest", "--import-mode=importlib", "-p", "no:cacheprovider",
        "-p", "no:terminal", "-p", "no:junitxml", "-p", "no:unraisableexception", "--capture=no",
        *([f"--task={task}"] if task else []), *(str(root / file) for file in files),
    ]  # fmt: skip
    # unraisableexception would collect garbage for 50 ms per run, to find exceptions in the grader's own finalizers.
    with _hide_pytest_settings(), _forget_imports_afterwards(files):
        code = pytest.main(arguments, plugins=[plugin, collector])
    if collector.machine_failure is not None:
        raise collector.machine_failure
    if code == pytest.ExitCode.INTERRUPTED and not collector.broken:  # pytest swallows Ctrl-C
        raise KeyboardInterrupt
    if collector.broken or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        names = " ".join(file.as_posix() for file in files)
        why = collector.broken[0] if collector.broken else f"pytest ended with {pytest.ExitCode(code).name}"
        advice = f"If you changed them, restore them: git checkout -- {names}"
        raise GraderError(f"the course's tests cannot be run: {why}. {advice}")
    return tuple(collector.outcomes)


class _Collector:
    """A pytest plugin that supplies the workers and collects the outcomes."""

    def __init__(
        self,
        root: Path,
        manifest: Manifest,
        students: WorkerPool,
        seed: int,
        nodes: Container[str] | None,
        watch: ProgressWatch,
        is_enough: Callable[[TestOutcome], bool],
    ):
        self.nodes, self.is_enough = nodes, is_enough
        self.root, self.manifest, self.students, self.seed, self.watch = root, manifest, students, seed, watch
        self.outcomes: list[TestOutcome] = []
        self.broken: list[str] = []
        self.machine_failure: GraderError | None = None
        self.given = GivenCode(root)
        self.place = ""
        self.done_there = 0
        """How many of the tests in this file have ended."""
        self.printed_before = 0
        """The number of characters that were printed before the test."""

    def pytest_configure(self, config: pytest.Config) -> None:
        """Pass the workers and the seed to the plugin that provides the fixtures, and shorten pytest's tracebacks."""
        config.stash[plugin.STUDENTS] = self.students
        config.stash[plugin.SEED] = self.seed
        config.option.tbstyle = "value"  # pytest's own tracebacks are not used here, and they are slow to build

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep only the tests that are to be run."""
        if self.nodes is not None:
            items[:] = [item for item in items if plugin.identify_test(item, self.root).node in self.nodes]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a test file that cannot be collected, which is the course's error."""
        if report.failed:
            self.broken.append(f"{report.nodeid}: {report.longreprtext[-500:]}")

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Report which module's tests are running, and which test is next."""
        if item.path.name != self.place:
            self.place, self.done_there = item.path.name, 0
            total = sum(other.path == item.path for other in item.session.items)
            self.watch.begin_phase(f"Testing {item.path.parent.name} ({item.path.name})", total)
        self.watch.report_steps_done(self.done_there, plugin.identify_test(item, self.root).title)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, None, None]:
        """Run a test with a memory limit, since broadcasting a student's array may create a huge array."""
        self.printed_before = len(self.students.output)
        with limit_memory(TEST_HEADROOM):
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Record the outcome of a call or failed setup; end the run if the machine failed or ``is_enough`` says so."""
        report = yield
        if call.when == "call" or (call.when == "setup" and call.excinfo is not None):
            test = plugin.identify_test(item, self.root)
            error = call.excinfo.value if call.excinfo else None
            if isinstance(error, OSError) and not isinstance(error, RemoteError):
                error = GraderError(f"the machine failed in {test.node}: {error}")
            if isinstance(error, MemoryError) and not isinstance(error, RemoteError):
                if (shape := get_shape_too_large_for_memory(error)) is None:
                    error = GraderError(f"the grader ran out of memory in {test.node}")
                else:
                    got = f"values so large that checking them takes an array of shape {shape}"
                    error = Mismatch(call=test.title, got=got, expected="values of the shape that the task asks for")
            if isinstance(error, GraderError):
                self.machine_failure, item.session.shouldstop = error, "the machine failed"
            failure = self._explain_failed_test(error, test) if error else None
            self.outcomes.append(TestOutcome(test.node, test.task, test.title, failure, gap=find_gap_task(error)))
            self.done_there += 1
            self.watch.report_steps_done(self.done_there, test.title)
            if self.is_enough(self.outcomes[-1]):
                item.session.shouldfail = "the remaining tests need not be run"
        return report

    def _explain_failed_test(self, error: BaseException, test: FailedTest) -> Failure:
        """Explain a failed test, including what student code printed instead of returning."""
        printed = ""
        if isinstance(error, Mismatch) and error.returned_nothing:
            time.sleep(DRAIN_SECONDS)
            printed = self.students.output[self.printed_before :]
        tasks = {t.id: t for m in self.manifest.modules for t in m.tasks}
        return explain_failure(error, test, tasks, printed=printed, is_given=self.given.is_given_frame)


@contextmanager
def _hide_pytest_settings() -> Iterator[None]:
    """While the block runs, unset all PYTEST_ variables, and keep pytest from loading installed plugins."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYTEST_")}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(kept)


@contextmanager
def _forget_imports_afterwards(files: Iterable[Path]) -> Iterator[None]:
    """Drop the imported test modules after the block, so that the next run imports their current text."""
    try:
        yield
    finally:
        places = tuple(file.as_posix() for file in files)
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").endswith(places):
                del sys.modules[name]
