"""Grades one module as often as a file is saved: whatever can be ready before the save is ready."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from grading.client import Worker
from grading.errors import GraderError
from grading.grade import MODULE_BUDGET, grade_module, modules_up_to, prepare
from grading.manifest.load import load
from grading.manifest.model import Budget, Manifest, Module
from grading.render.progress import Watch
from grading.result import Result, SubmissionRecord
from grading.sandbox.folders import remove, temporary_folder
from grading.sandbox.identity import let_workers_read
from grading.submission import Submission
from grading.testing.runner import TestOutcome
from grading.workers import start_worker


@dataclass(frozen=True)
class Spare:
    """A worker that has started: NumPy is imported, the fence is up, and its submission is a folder still empty."""

    worker: Worker
    folder: Path


class WarmGrader:
    """The grader of one module, with the next worker always started ahead.

    Results and isolation are those of `grade_module`: each grading has a new copy of the files in a new worker. All but
    `abort` belongs to one thread.
    """

    def __init__(self, root: Path, module_id: str):
        self.root, self.module_id = root, module_id
        self._spare: Spare | None = None
        self._used: list[Path] = []
        """Folders of the grading that runs."""
        self._workers: list[Worker] = []
        """Its workers."""
        self._aborted = threading.Event()
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Read the manifest and the course's files again. ManifestError or GraderError where they are of no use."""
        self._prepared = replace(prepare(self.root, load(self.root)), start=self._start)

    @property
    def manifest(self) -> Manifest:
        """The course as it was read last."""
        return self._prepared.manifest

    def warm_up(self) -> None:
        """Start the next worker in the background, unless it is there. GraderError where none can be started."""
        if self._spare is not None:
            return
        folder = Path(tempfile.mkdtemp(prefix="tinytorch-warm-"))
        try:
            modules = modules_up_to(self.manifest, self.manifest.module(self.module_id))
            empty = Submission(folder, folder, SubmissionRecord(digest="", files=()), missing=())
            self._spare = Spare(start_worker(empty, modules, MODULE_BUDGET, self._prepared.sandbox), folder)
        except BaseException:
            remove(folder)
            raise

    def grade(
        self,
        *,
        task: str | None = None,
        watch: Watch | None = None,
        is_enough: Callable[[TestOutcome], bool] = lambda _: False,
        aborted: threading.Event | None = None,
    ) -> Result | None:
        """The files as they are now, graded; None if it was `aborted` by this event."""
        self._aborted = aborted or threading.Event()
        try:
            result = grade_module(
                self.root,
                self.module_id,
                task=task,
                watch=watch,
                prepared=self._prepared,
                is_enough=lambda outcome: self._aborted.is_set() or is_enough(outcome),
            )
        finally:
            with self._lock:
                self._workers.clear()
            while self._used:
                remove(self._used.pop())
        return None if self._aborted.is_set() else result

    def abort(self, aborted: threading.Event) -> None:
        """From another thread: let the grading with this event end soon, and without a result."""
        with self._lock:
            aborted.set()
            if aborted is self._aborted:
                for worker in self._workers:
                    worker.abort()

    def close(self) -> None:
        """End the worker that waits."""
        if self._spare is not None:
            self._spare.worker.close()
            remove(self._spare.folder)
            self._spare = None

    def _start(self, submission: Submission, modules: tuple[Module, ...], budget: Budget, sandbox: str) -> Worker:
        """A worker for these files: the spare one, or once that is used a new one."""
        spare, self._spare = self._spare, None
        worker = start_worker(submission, modules, budget, sandbox) if spare is None else spare.worker
        try:
            if spare is not None:
                self._used.append(spare.folder)
                _fill(spare.folder, submission)
            with self._lock:
                if self._aborted.is_set():
                    raise GraderError("the files were saved again")
                self._workers.append(worker)
        except BaseException:
            worker.close()
            raise
        return worker


def _fill(folder: Path, submission: Submission) -> None:
    """Put a copy of the submission's files into a folder that a worker already looks at."""
    with temporary_folder("tinytorch-copy-") as copy:
        shutil.copytree(submission.folder, copy, dirs_exist_ok=True)
        let_workers_read(copy)
        for path in copy.iterdir():
            path.rename(folder / path.name)
