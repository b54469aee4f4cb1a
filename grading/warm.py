"""Grade one module after every save, with everything prepared in advance."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from grading.client import Worker
from grading.errors import GraderError
from grading.grade import MODULE_BUDGET, grade_module, list_built_modules_up_to, prepare_grading
from grading.manifest.loader import load_manifest
from grading.manifest.model import Budget, Manifest, Module
from grading.render.progress_watch import ProgressWatch
from grading.result import Result, SubmissionRecord
from grading.sandbox.folders import create_temporary_folder, delete_folder
from grading.sandbox.identity import let_only_workers_read_if_root
from grading.submission import Submission
from grading.testing.runner import TestOutcome
from grading.workers import start_worker


@dataclass(frozen=True)
class SpareWorker:
    """A worker that has already been started, with NumPy imported, the sandbox ready, and an empty folder."""

    worker: Worker
    folder: Path


class WarmGrader:
    """A grader for one module that always starts the next worker in advance.

    Results and isolation are the same as in `grade_module`, because each grading run has a new copy of the files in a
    new worker. Only `abort` may be called from another thread.
    """

    def __init__(self, root: Path, module_id: str):
        self.root, self.module_id = root, module_id
        self._spare: SpareWorker | None = None
        self._used: list[Path] = []
        """The folders of the current grading run."""
        self._workers: list[Worker] = []
        """The workers of the current grading run."""
        self._aborted = threading.Event()
        self._lock = threading.Lock()
        self.reload_course()

    def reload_course(self) -> None:
        """Read the manifest and the course's files again. Raise ManifestError or GraderError if they are not usable."""
        self._prepared = replace(
            prepare_grading(self.root, load_manifest(self.root)), start=self._take_spare_or_start_worker
        )

    @property
    def last_read_manifest(self) -> Manifest:
        """The manifest that was last read."""
        return self._prepared.manifest

    def start_spare_worker(self) -> None:
        """Start the next worker in the background unless it is already there.

        Raise GraderError if none can be started.
        """
        if self._spare is not None:
            return
        folder = Path(tempfile.mkdtemp(prefix="tinytorch-warm-"))
        try:
            modules = list_built_modules_up_to(self.last_read_manifest, self.last_read_manifest.module(self.module_id))
            empty = Submission(folder, folder, SubmissionRecord(digest="", files=()), missing=())
            self._spare = SpareWorker(start_worker(empty, modules, MODULE_BUDGET, self._prepared.sandbox), folder)
        except BaseException:
            delete_folder(folder)
            raise

    def grade(
        self,
        *,
        task: str | None = None,
        watch: ProgressWatch | None = None,
        is_enough: Callable[[TestOutcome], bool] = lambda _: False,
        aborted: threading.Event | None = None,
    ) -> Result | None:
        """Grade the module's current files. Return None if the event ``aborted`` is set before the end."""
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
                delete_folder(self._used.pop())
        return None if self._aborted.is_set() else result

    def abort(self, aborted: threading.Event) -> None:
        """Abort the grading run that has this event, without a result. Any thread may call this method."""
        with self._lock:
            aborted.set()
            if aborted is self._aborted:
                for worker in self._workers:
                    worker.abort()

    def close(self) -> None:
        """Stop the spare worker."""
        if self._spare is not None:
            self._spare.worker.close()
            delete_folder(self._spare.folder)
            self._spare = None

    def _take_spare_or_start_worker(
        self, submission: Submission, modules: tuple[Module, ...], budget: Budget, sandbox: str
    ) -> Worker:
        """Provide a worker for these files, the unused spare or a new one; raise GraderError if the run was aborted."""
        spare, self._spare = self._spare, None
        worker = start_worker(submission, modules, budget, sandbox) if spare is None else spare.worker
        try:
            if spare is not None:
                self._used.append(spare.folder)
                _copy_files_into(spare.folder, submission)
            with self._lock:
                if self._aborted.is_set():
                    raise GraderError("the files were saved again")
                self._workers.append(worker)
        except BaseException:
            worker.close()
            raise
        return worker


def _copy_files_into(folder: Path, submission: Submission) -> None:
    """Copy the submission's files into the folder of a running worker."""
    with create_temporary_folder("tinytorch-copy-") as copy:
        shutil.copytree(submission.folder, copy, dirs_exist_ok=True)
        let_only_workers_read_if_root(copy)
        for path in copy.iterdir():
            path.rename(folder / path.name)
