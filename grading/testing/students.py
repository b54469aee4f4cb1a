"""Workers for module tests: one for all, a new one after each that died, and an end to patience."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from grading.client import Worker
from grading.errors import GraderError
from grading.limits import find_passed_limit
from grading.remote import WorkerDiedError

TEST_MEMORY = 32 << 20
"""Bytes that all answers to one test may take: those of right code take 8 MB at most."""
PATIENCE = 4
"""So many workers may die before the rest of the tests is not run."""


class WorkerStudent:
    """The fixture `student` in a verdict: the student's modules, in a worker."""

    def __init__(self, worker: Worker):
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        return self._worker.module(name)

    def recipe(self, module_id: str) -> Any:
        """The recipe.py of a trigger module."""
        return self._worker.recipe(module_id)

    def rng(self, seed: int) -> Any:
        """A generator on the student's side."""
        return self._worker.rng(seed)

    def folder(self) -> Any:
        """A new, empty folder there, a `pathlib.Path`: it can be asked to write and to read files."""
        return self._worker.request("folder")

    def hold(self, thing: Any, name: str) -> Any:
        """An attribute itself, on the student's side, where pulling it would make a copy."""
        return self._worker.request("hold", thing, name)

    def hold_result(self, function: Any, *arguments: Any) -> Any:
        """What a call returns, likewise: a dict or an array stays there, and what happens to it can be seen."""
        return self._worker.request("hold_result", function, arguments)

    def define(self, function: Callable[..., Any]) -> Any:
        """A function of a test's own, defined there from its source: it imports what it needs inside of itself."""
        source = "from __future__ import annotations\n" + inspect.getsource(
            function
        )  # no annotation is looked at there
        return self._worker.request("define", source, function.__name__)

    def lives(self, thing: Any, name: str) -> Callable[[], bool]:
        """A function that tells whether anything on the student's side still keeps an attribute alive."""
        reference = self._worker.request("weakref", thing, name)
        return lambda: reference() is not None


class Students:
    """Hands each test a living worker."""

    def __init__(self, start: Callable[[], Worker], *, wall_seconds: float):
        """All of them together may take ``wall_seconds`` of CPU time."""
        self._start, self._wall_seconds = start, wall_seconds
        self._workers: list[Worker] = []

    def student(self) -> WorkerStudent:
        """The running worker, or a new one. Raises WorkerDiedError when it is not worth another try."""
        if self._workers and isinstance(self._workers[-1].failure, GraderError):
            raise self._workers[-1].failure
        if not self._workers or self._workers[-1].failure is not None:
            if len(self._workers) >= PATIENCE:
                last = self._workers[-1].failure
                raise WorkerDiedError(f"not run: your code ended {PATIENCE} workers, the last one so: {last}")
            self._workers.append(self._start())
        cpu, wall = sum(w.cpu_seconds for w in self._workers), sum(w.student_seconds for w in self._workers)
        if (passed := find_passed_limit(cpu, wall, self._wall_seconds)) is not None:
            raise WorkerDiedError(f"not run: the tests before it took more than {passed} in all")
        self._workers[-1].memory = TEST_MEMORY  # what the test before kept is gone
        return WorkerStudent(self._workers[-1])

    @property
    def output(self) -> str:
        """What student code printed."""
        return "".join(w.output for w in self._workers)

    def close(self) -> None:
        """End the last worker; the others are dead."""
        for worker in self._workers:
            worker.close()
