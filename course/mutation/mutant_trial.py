"""Test whether the students' tests notice a mutant, using `pytest` in direct mode in a copy of the course."""

from __future__ import annotations

import os
import queue
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.testing import run_tests
from cosmic_ray.util import restore_contents
from cosmic_ray.work_item import TestOutcome

from course.mutation.mutants import Mutant
from course.mutation.task_order import FIRST

COPIED = ("pyproject.toml", "grading", "modules")
COURSE = Path(__file__).parents[2]
"""The folder that contains the plugin. The copy precedes it on the path."""
PATIENCE, MACHINE = 4, 10
"""The limit on CPU time as a multiple of the solution's, and the wall-clock limit as a multiple of the CPU limit."""
WORKERS = min(os.cpu_count() or 1, 8)


class TrialError(Exception):
    """The error raised if a copy of the course cannot tell right from wrong. The message states the reason."""


@dataclass(frozen=True)
class MutantTrial:
    """One copy of the course, in which one mutant at a time replaces its file."""

    root: Path
    folders: tuple[Path, ...]
    """The modules' folders, which together make up `tinytorch`."""
    tests: tuple[Path, ...]
    cpu_seconds: int = 600
    timeout: float = 1200
    """The limit in wall-clock seconds, for a mutant that waits and computes nothing."""

    def build_pytest_command(self, first_task: str = "") -> list[str]:
        """Build a pytest command that runs the first task's tests first, stops at a failure and limits its CPU time."""
        paths = os.pathsep.join(map(str, [self.root, *(self.root / folder for folder in self.folders), COURSE]))
        # A shell sets the limit: an endless mutant is killed by a signal, which counts as a failed test.
        limit = ["sh", "-c", f'ulimit -t {self.cpu_seconds} && exec "$@"', "sh"]
        environment = [
            f"PYTHONPATH={paths}",
            "OPENBLAS_NUM_THREADS=1",
            "OMP_NUM_THREADS=1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1",
            f"{FIRST}={first_task}",
        ]
        plugins = ["-p", "no:cacheprovider", "-p", "course.mutation.task_order"]
        pytest = [sys.executable, "-P", "-m", "pytest", "-q", "-x", *plugins]
        where = ["-c", str(self.root / "pyproject.toml"), "--rootdir", str(self.root)]
        return [*limit, "env", *environment, *pytest, *where, *(str(self.root / file) for file in self.tests)]

    def kills_mutant(self, path: Path, source: str, first_task: str = "") -> bool:
        """Return whether the tests fail, or do not finish in time, while this source replaces the file.

        Restore the file afterwards. Raise TrialError if the tests cannot be started.
        """
        with restore_contents(self.root / path):
            (self.root / path).write_text(source, encoding="utf-8")
            outcome, output = run_tests(shlex.join(self.build_pytest_command(first_task)), self.timeout)
        if outcome is TestOutcome.INCOMPETENT:
            raise TrialError(f"the tests could not be started:\n{output}")
        return outcome is TestOutcome.KILLED

    def measure_limits(self, path: Path) -> MutantTrial:
        """Run the solution's tests, and return a copy of this trial with time limits based on their duration.

        Raise TrialError if the solution fails, or if the tests pass without it because they import another file.
        """
        before = os.times()
        done = subprocess.run(self.build_pytest_command(), capture_output=True, text=True, check=False)  # noqa: S603 - our own
        if done.returncode:
            raise TrialError(f"the solution itself fails its tests:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
        after = os.times()
        seconds = after.children_user + after.children_system - before.children_user - before.children_system
        limit = round(PATIENCE * seconds + 5)
        # Python would run the compiled solution instead of a mutant of the same length written in the same second.
        shutil.rmtree((self.root / path).parent / "__pycache__", ignore_errors=True)
        trial = MutantTrial(self.root, self.folders, self.tests, limit, MACHINE * limit)
        if not trial.kills_mutant(path, 'raise ImportError("no solution")\n'):
            raise TrialError(f"{path}: the tests import a file that is not the copy's, so the trial proves nothing.")
        return trial


def judge_mutants(
    mutants: Sequence[Mutant], root: Path, folders: Sequence[Path], tests: Sequence[Path], *, workers: int = WORKERS
) -> Iterator[tuple[Mutant, bool]]:
    """Test mutants in ``workers`` copies at a time, and yield (mutant, whether it was killed) as each is finished."""
    with tempfile.TemporaryDirectory(prefix="tinytorch-mutation-") as folder, ThreadPoolExecutor(workers) as pool:
        copies: queue.Queue[MutantTrial] = queue.Queue()
        for number in range(workers if mutants else 0):
            copy = _copy_course(root, Path(folder, str(number)))
            copies.put(MutantTrial(copy, tuple(folders), tuple(tests)).measure_limits(mutants[0].path))

        def judge_mutant_in_free_copy(mutant: Mutant) -> tuple[Mutant, bool]:
            """Judge a mutant in the next free copy."""
            trial = copies.get()
            try:
                return mutant, trial.kills_mutant(mutant.path, mutant.source, mutant.task)
            finally:
                copies.put(trial)

        tasks = [pool.submit(judge_mutant_in_free_copy, mutant) for mutant in mutants]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _copy_course(root: Path, target: Path) -> Path:
    """Copy the parts of the course that the tests need to a new folder, `target`, and return its path."""
    target.mkdir()
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(root / name, target / name)
    return target
