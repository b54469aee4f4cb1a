"""`inv collect --cluster`: grade on the workers of a Dask cluster, for a class that is too large for one machine.

A task contains the submission's files and the digest of the course, so a worker needs neither git nor the gradebook. As
on one machine (`desk.pool`), each grading task runs in its own process, so student code cannot kill the worker. Results
arrive one by one, in the order in which they finish.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import socket
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from desk.git import GitError
from desk.grading_process import GradingTask
from desk.pool import TRIES, TaskOutcome, grade_in_processes
from desk.submission_tree import SubmissionTree, read_commit_tree
from grading.errors import GraderError, UsageError
from grading.grade import build_course_record
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest
from grading.render.progress_watch import ProgressWatch
from grading.render.record import encode_result
from grading.render.text import to_one_line
from grading.result import CourseRecord, Result
from grading.sandbox.launch import choose_fence

ROOT = Path(__file__).resolve().parent.parent
CONNECT_SECONDS = 30
WORKERS_SECONDS = 1800
"""The maximum wait for the first worker, in seconds; a batch queue starts a worker only when a node is free."""
LOOK_SECONDS = 5
"""The time in seconds to wait for a result before checking whether workers have joined."""
RETIREMENTS = 50
"""The number of times that a worker is asked to shut down."""


def require_dask() -> None:
    """Raise UsageError if Dask is not installed; only clusters need it."""
    if importlib.util.find_spec("distributed") is None:
        raise UsageError("--cluster needs Dask. Run: pip install -e . --group course --group desk --group cluster")


def grade_on_cluster(
    tasks: Sequence[GradingTask], *, address: str, root: Path, manifest: Manifest, watch: ProgressWatch
) -> Iterator[TaskOutcome]:
    """Grade every task on a scheduler's workers; `address` may also be the path of the file that the scheduler wrote.

    Raise GraderError if no scheduler or worker answers, or if the scheduler stops. Outcomes that were already yielded
    remain valid.
    """
    import distributed

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we report problems ourselves, once
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    watch.begin_phase(f"Waiting for workers at {address}", None)
    try:
        client = distributed.Client(**where, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise GraderError(
            f"No Dask scheduler answers at {address}: {to_one_line(str(error), 200)}. To start one, see docs/slurm.md"
        ) from None
    arrived = 0
    with client:
        try:
            client.run_on_scheduler(allow_one_retry)
            _wait_for_first_worker(client, address)
            watch.begin_phase(f"Grading {len(tasks)} submissions on the cluster at {address}", len(tasks))
            for graded in _ClusterGrading(client, build_course_record(root, manifest), manifest, tasks).grade_tasks():
                arrived += 1
                yield graded
        except ImportError as error:
            raise GraderError(_explain_missing_course_code("The scheduler", error)) from None
        except (OSError, distributed.CancelledError, distributed.client.FutureCancelledError) as error:
            raise GraderError(
                f"The connection to {address} was lost: {to_one_line(str(error), 200)}. {arrived} of {len(tasks)} "
                "results had arrived and are kept.\n"
                "Start its scheduler and workers again, and run the same command to continue."
            ) from None


def _explain_missing_course_code(program: str, error: BaseException) -> str:
    """Explain that a scheduler or worker lacks the course's code, and how to fix this."""
    return (
        f"{program} of the cluster cannot run the course's code: {to_one_line(repr(error), 300)}. Start the "
        "scheduler and the workers in the course's repository, with its packages installed. See docs/slurm.md"
    )


def _wait_for_first_worker(client: Any, address: str) -> None:
    """Wait until a worker has joined; raise GraderError after half an hour."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError:
        raise GraderError(
            f"No worker joined {address} within {WORKERS_SECONDS // 60} minutes. To start one, see docs/slurm.md"
        ) from None


def allow_one_retry(dask_scheduler: Any) -> None:
    """Make the scheduler that runs this function retry a task once, and not three times, if its worker dies."""
    dask_scheduler.allowed_failures = TRIES - 1


class _ClusterGrading:
    """Grades the tasks of one collection on a cluster."""

    def __init__(self, client: Any, course: CourseRecord, manifest: Manifest, tasks: Sequence[GradingTask]) -> None:
        self._client, self._course, self._manifest = client, course, manifest
        self._waiting = deque(tasks)
        self._running: dict[Any, GradingTask] = {}
        self._refusals: Counter[GradingTask] = Counter()

    def grade_tasks(self) -> Iterator[TaskOutcome]:
        """Grade every task, and yield each as soon as it is done."""
        import distributed

        while self._waiting or self._running:
            if self._client.status != "running":
                raise distributed.CancelledError("its scheduler has stopped")
            yield from self._submit_tasks()
            if not self._running:
                continue
            try:
                done = distributed.wait(list(self._running), timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED").done
            except TimeoutError:  # workers may have joined in the meantime
                continue
            for future in done:
                graded = self._read_outcome(future, self._running.pop(future))
                if graded is not None:
                    yield graded

    def _submit_tasks(self) -> Iterator[TaskOutcome]:
        """Give each free worker thread one task, and yield an outcome for each task whose commit cannot be read.

        No thread gets a second task in advance, so that if a worker dies, only its running tasks are lost.
        """
        room = max(1, sum(self._client.nthreads().values())) - len(self._running)
        while self._waiting and room > 0:
            task = self._waiting.popleft()
            try:
                tree = read_commit_tree(Path(task.repository), task.commit, self._manifest)
            except GitError as error:
                yield TaskOutcome(task, problem=str(error))
                continue
            # Only plain data, under a key that reveals nothing: the scheduler's page shows keys to anyone who opens it.
            handed = (json.dumps(asdict(task)), dict(tree.files), dict(tree.links), tree.beside, self._course.digest)
            future = self._client.submit(grade_on_worker, *handed, pure=False)
            self._running[future] = task
            room -= 1

    def _read_outcome(self, future: Any, task: GradingTask) -> TaskOutcome | None:
        """Read a task's outcome; retire a worker that refused it, and return None if another will retry it.

        Raise GraderError if the worker cannot run the course's code, or if the last worker is gone.
        """
        import distributed

        error = future.exception()
        if isinstance(error, distributed.KilledWorker):
            return TaskOutcome(task, problem=f"the worker that graded it died {TRIES} times")
        if error is not None:
            raise GraderError(_explain_missing_course_code("A worker", error))
        answer: Mapping[str, str] = future.result()
        future.release()
        if "refused" in answer:
            return self._retire_refusing_worker(task, answer)
        if "problem" in answer:
            return TaskOutcome(task, problem=answer["problem"])
        try:
            return TaskOutcome(task, Result.model_validate_json(answer["result"]))
        except ValueError:
            return TaskOutcome(task, problem="its worker did not return a result")

    def _retire_refusing_worker(self, task: GradingTask, answer: Mapping[str, str]) -> TaskOutcome | None:
        """Retire a worker that refused a task. Return None if the task will be retried, or else its outcome.

        A worker that cannot grade refuses so quickly that every task would soon be sent to it. Raise GraderError if no
        worker is left.
        """
        reason = f"A cluster worker refuses the task: {answer['refused']}"
        for _ in range(RETIREMENTS):  # it does not shut down while the scheduler still waits for its answer
            if answer["worker"] not in self._client.nthreads():
                break
            self._client.retire_workers(workers=[answer["worker"]], close_workers=True)
            time.sleep(0.1)
        self._refusals[task] += 1
        if not self._client.nthreads():
            raise GraderError(f"{reason}\nNo other worker is left. Fix this problem, and run the same command again.")
        if self._refusals[task] < TRIES:
            self._waiting.append(task)
            return None
        return TaskOutcome(task, problem=reason)


def grade_on_worker(
    task: str, files: dict[str, bytes | None], links: dict[str, str], other_names: tuple[str, ...], course_digest: str
) -> dict[str, str]:
    """Grade one task in a worker; return its `result` as JSON, its `problem`, or why this worker has `refused` it.

    A worker that refuses also returns its own address, as `worker`.
    """
    import distributed

    try:
        reason = find_refusal_reason(course_digest)
        if reason is None:
            with tempfile.TemporaryDirectory(prefix="tinytorch-cluster-") as folder:
                SubmissionTree(files, links, other_names).write_to(Path(folder))
                here = replace(GradingTask(**json.loads(task)), folder=folder)
                [graded] = grade_in_processes([here], ROOT, load_manifest(ROOT), jobs=1)
            if graded.result is not None:
                return {"result": encode_result(graded.result)}
            return {"problem": graded.problem or "no reason given"}
    except OSError as error:  # a problem of the machine, such as a full disk or a read-only folder
        reason = f"{socket.gethostname()}: {error}"
    return {"refused": reason, "worker": distributed.get_worker().address}


def find_refusal_reason(course_digest: str) -> str | None:
    """Return why this machine cannot grade with this version of the course, or None if it can.

    It may have a different version, or no sandbox.
    """
    here = socket.gethostname()
    try:
        own = build_course_record(ROOT, load_manifest(ROOT))
        if own.digest != course_digest:
            return (
                f"{here} has a different version of the course in {ROOT}: {own.version} ({own.digest[:8]}), "
                f"not {course_digest[:8]}. Check out the same commit there, and start the worker again."
            )
        choose_fence(official=True)
    except (GraderError, UsageError) as error:
        return f"{here}: {error}"
    return None
