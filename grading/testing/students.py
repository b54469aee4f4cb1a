"""Workers for module tests: one for all tests, and a new one each time a worker dies, up to a limit."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from typing import Any

from grading.client import Worker
from grading.errors import GraderError
from grading.limits import LOOK_SECONDS, describe_exceeded_limit
from grading.remote import WorkerDiedError

TEST_MEMORY = 32 << 20
"""The memory that all answers to one test may take, in bytes. Correct code needs at most 8 MB."""
PATIENCE = 4
"""The number of dead workers after which the remaining tests are not run."""


class WorkerStudent:
    """The `student` fixture for a grading run, with the student's modules in a worker."""

    def __init__(self, worker: Worker):
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        return self._worker.module(name)

    def recipe(self, module_id: str) -> Any:
        """Load modules/MODULE_ID/recipe.py, a milestone's recipe, in the worker, and return a proxy of the module."""
        return self._worker.recipe(module_id)

    def rng(self, seed: int) -> Any:
        """Create a random number generator in the student's process."""
        return self._worker.rng(seed)

    def folder(self) -> Any:
        """Create an empty folder in the worker, as a `pathlib.Path` that can write and read files."""
        return self._worker.request("folder")

    def hold(self, thing: Any, name: str) -> Any:
        """Return a proxy of an attribute, which stays in the worker. Reading it normally would fetch a copy."""
        return self._worker.request("hold", thing, name)

    def hold_result(self, function: Any, *arguments: Any) -> Any:
        """Call a function and return a proxy of the result, which stays in the worker. Later changes can be seen."""
        return self._worker.request("hold_result", function, arguments)

    def define(self, function: Callable[..., Any]) -> Any:
        """Define a test's function in the worker from its source, and return a proxy. It must import what it needs."""
        source = "from __future__ import annotations\n" + inspect.getsource(
            function
        )  # the worker must not evaluate annotations
        return self._worker.request("define", source, function.__name__)

    def read_clock(self) -> float:
        """Read the worker's CPU time in seconds. A busy machine barely affects the difference between two readings."""
        return self._worker.read_clock()

    def lives(self, thing: Any, name: str) -> Callable[[], bool]:
        """Make a function that returns whether anything in the worker still keeps an attribute alive."""
        reference = self._worker.request("weakref", thing, name)
        return lambda: reference() is not None


class WorkerPool:
    """A pool that provides a running worker for each test."""

    def __init__(self, start: Callable[[], Worker], *, wall_seconds: float):
        """Limit the CPU time of all workers together to ``wall_seconds``."""
        self._start, self._wall_seconds = start, wall_seconds
        self._workers: list[Worker] = []
        self._look_seconds, self._next_look = min(LOOK_SECONDS, wall_seconds / 4), 0.0

    def student(self) -> WorkerStudent:
        """Provide the running worker, or a new one; raise WorkerDiedError if too many have died or taken too long."""
        if self._workers and isinstance(self._workers[-1].failure, GraderError):
            raise self._workers[-1].failure
        if not self._workers or self._workers[-1].failure is not None:
            if len(self._workers) >= PATIENCE:
                last = self._workers[-1].failure
                raise WorkerDiedError(f"not run: your code killed {PATIENCE} workers, the last one because {last}")
            self._workers.append(self._start())
        if (now := time.monotonic()) >= self._next_look:  # reading the CPU time takes as long as a small test
            cpu, wall = sum(w.cpu_seconds for w in self._workers), sum(w.student_seconds for w in self._workers)
            if (passed := describe_exceeded_limit(cpu, wall, self._wall_seconds)) is not None:
                raise WorkerDiedError(f"not run: the earlier tests took more than {passed} in total")
            self._next_look = now + self._look_seconds
        self._workers[-1].memory = TEST_MEMORY  # the values of the previous test are no longer needed
        return WorkerStudent(self._workers[-1])

    @property
    def output(self) -> str:
        """The student code's printed output."""
        return "".join(w.output for w in self._workers)

    def close(self) -> None:
        """Close all workers, of which only the last can still be running."""
        for worker in self._workers:
            worker.close()
