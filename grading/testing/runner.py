"""Runs module tests against workers with pytest in this process, and gives each test's outcome as a value."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grading.errors import GraderError
from grading.manifest.model import Manifest
from grading.memory import find_too_large_shape, limit_memory
from grading.remote import RemoteError
from grading.render.progress import Silent, Watch
from grading.result import Failure
from grading.testing import plugin
from grading.testing.expect import Mismatch
from grading.testing.failures import FailedTest, explain_failure, find_gap
from grading.testing.students import Students

TEST_HEADROOM = 160 << 20
"""Bytes that a test may take; with right answers it takes a tenth."""
DRAIN_SECONDS = 0.02
"""For what was printed to arrive."""
INI = Path(__file__).with_name("pytest.ini")


@dataclass(frozen=True)
class TestOutcome:
    """What one test found."""

    __test__ = False  # a record of pytest's, not a test of ours

    node: str
    """File and name, as `pytest` takes it."""
    task: str | None
    title: str
    failure: Failure | None
    """None when it passed."""
    gap: str | None = None
    """The task whose gap the test fell into."""


def run_tests(
    root: Path,
    files: Iterable[Path],
    students: Students,
    manifest: Manifest,
    *,
    seed: int,
    task: str | None = None,
    watch: Watch | None = None,
    is_enough: Callable[[TestOutcome], bool] = lambda _: False,
) -> tuple[TestOutcome, ...]:
    """Run the tests in ``files`` (relative to ``root``, the course), or those of one ``task``, and tell each outcome.

    The first outcome that ``is_enough`` is the last one: the tests after it are not run.
    Raises GraderError when pytest cannot collect them, since then a course's file is broken, or when the machine fails.
    """
    files = tuple(files)
    collector = _Collector(root, manifest, students, seed, watch or Silent(), is_enough)
    arguments = [
        "-c", str(INI), "--rootdir", str(root), "--noconftest", "--import-mode=importlib", "-p", "no:cacheprovider",
        "-p", "no:terminal", "-p", "no:junitxml", "-p", "no:unraisableexception", "--capture=no",
        *([f"--task={task}"] if task else []), *(str(root / file) for file in files),
    ]  # fmt: skip
    # The plugin left out collects garbage for 50 ms a run, to find exceptions of finalizers: ours, not the student's.
    with _plain_environment(), _forget_imports(files):
        code = pytest.main(arguments, plugins=[plugin, collector])
    if collector.machine_failure is not None:
        raise collector.machine_failure
    if code == pytest.ExitCode.INTERRUPTED and not collector.broken:  # pytest takes Ctrl-C for its own
        raise KeyboardInterrupt
    if collector.broken or code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        names = " ".join(file.as_posix() for file in files)
        why = collector.broken[0] if collector.broken else f"pytest ended with {pytest.ExitCode(code).name}"
        advice = f"If they were changed, restore them: git checkout -- {names}"
        raise GraderError(f"the course's tests cannot be run: {why}. {advice}")
    return tuple(collector.outcomes)


class _Collector:
    """A pytest plugin that puts the workers in, and the outcomes out."""

    def __init__(
        self,
        root: Path,
        manifest: Manifest,
        students: Students,
        seed: int,
        watch: Watch,
        is_enough: Callable[[TestOutcome], bool],
    ):
        self.is_enough = is_enough
        self.root, self.manifest, self.students, self.seed, self.watch = root, manifest, students, seed, watch
        self.outcomes: list[TestOutcome] = []
        self.broken: list[str] = []
        self.machine_failure: GraderError | None = None
        self.place = ""
        self.printed_before = 0
        """Characters of output from before the test."""

    def pytest_configure(self, config: pytest.Config) -> None:
        """Hand the plugin of the fixtures its workers."""
        config.stash[plugin.STUDENTS] = self.students
        config.stash[plugin.SEED] = self.seed
        config.option.tbstyle = "value"  # nobody reads pytest's own tracebacks here, and they take long to make

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A test file that cannot be collected is the course's error."""
        if report.failed:
            self.broken.append(f"{report.nodeid}: {report.longreprtext[-500:]}")

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Say which module's tests run now."""
        if item.path.name != self.place:
            self.place = item.path.name
            total = sum(other.path == item.path for other in item.session.items)
            self.watch.phase(f"Testing {item.path.parent.name} ({item.path.name})", total)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, None, None]:
        """Run a test with an end to what it may compute from what it was given, by broadcasting for instance."""
        self.printed_before = len(self.students.output)
        with limit_memory(TEST_HEADROOM):
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note the outcome: of the call, or of a setup that already failed."""
        report = yield
        if call.when == "call" or (call.when == "setup" and call.excinfo is not None):
            test = plugin.describe_test(item, self.root)
            error = call.excinfo.value if call.excinfo else None
            if isinstance(error, OSError) and not isinstance(error, RemoteError):
                error = GraderError(f"the machine failed in {test.node}: {error}")
            if isinstance(error, MemoryError) and not isinstance(error, RemoteError):
                if (shape := find_too_large_shape(error)) is None:
                    error = GraderError(f"the grader ran out of memory in {test.node}")
                else:
                    got = f"values so large that judging them takes an array of shape {shape}"
                    error = Mismatch(call=test.title, got=got, expected="values of the size that the task asks for")
            if isinstance(error, GraderError):
                self.machine_failure, item.session.shouldstop = error, "the machine failed"
            failure = self._explain(error, test) if error else None
            self.outcomes.append(TestOutcome(test.node, test.task, test.title, failure, gap=find_gap(error)))
            done = sum(o.node.startswith(test.node.partition("::")[0]) for o in self.outcomes)
            self.watch.advance(done, test.title)
            if self.is_enough(self.outcomes[-1]):
                item.session.shouldfail = "the others need not be run"
        return report

    def _explain(self, error: BaseException, test: FailedTest) -> Failure:
        printed = ""
        if isinstance(error, Mismatch) and error.returned_nothing:
            time.sleep(DRAIN_SECONDS)
            printed = self.students.output[self.printed_before :]
        tasks = {t.id: t for m in self.manifest.modules for t in m.tasks}
        return explain_failure(error, test, tasks, printed=printed)


@contextmanager
def _plain_environment() -> Iterator[None]:
    """No pytest option or plugin from the environment, for as long as the tests run."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYTEST_")}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(kept)


@contextmanager
def _forget_imports(files: Iterable[Path]) -> Iterator[None]:
    """Let each run import the tests as they are then: pytest takes a module that was imported before as it is."""
    try:
        yield
    finally:
        places = tuple(file.as_posix() for file in files)
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").endswith(places):
                del sys.modules[name]
