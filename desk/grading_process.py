"""A process that grades tasks one by one for `inv collect`: it reads a line of JSON and answers with a line of JSON.

There is one such process for each core. Student code that kills its process therefore affects nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from desk.git import GitError
from desk.submission_tree import write_commit_tree
from grading.errors import GraderError, UsageError
from grading.grade import grade_milestone
from grading.manifest.loader import load_manifest
from grading.render.record import encode_result

PRIVATE = "tinytorch-grading-"
"""The prefix of each grading process's temporary folder."""


@dataclass(frozen=True)
class GradingTask:
    """One milestone to grade, in one student's commit."""

    student: str
    milestone: int
    commit: str
    repository: str
    """The bare repository on this machine that contains the commit."""
    asked: str | None = None
    """The id for which the questions were generated, if the student had a different id then."""
    folder: str | None = None
    """The folder that already contains the files, on a machine without the repository."""

    def to_json(self) -> str:
        """Return the task as one line of JSON."""
        return json.dumps(asdict(self))


def grade_task(task: GradingTask, root: Path) -> str:
    """Grade one task, and return the result record as JSON.

    Raise GraderError, UsageError or GitError if there is no result.
    """
    with tempfile.TemporaryDirectory(prefix="tinytorch-handed-in-") as folder:
        if task.folder is None:
            write_commit_tree(Path(task.repository), task.commit, load_manifest(root), Path(folder))
        result = grade_milestone(
            root,
            task.milestone,
            submission=Path(task.folder or folder),
            official=True,
            student=task.asked or task.student,
            commit=task.commit,
        )
    return encode_result(result)


def serve_tasks(root: Path) -> None:
    """Grade each task that arrives on standard input, and print its answer as a line of JSON. Exit with the parent.

    Whatever else prints goes to standard error.
    """
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        for line in sys.stdin:
            try:
                answer = {"result": grade_task(GradingTask(**json.loads(line)), root)}
            except (GraderError, UsageError, GitError) as error:
                answer = {"problem": str(error)}
            except Exception as error:  # whatever happened, continue with the next student
                answer = {"problem": f"the grader failed: {error!r}"}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    except BrokenPipeError:
        pass  # nobody is reading the answers any longer
    finally:
        _delete_own_temporary_folder()


def _exit_with_parent(parent_pid: int) -> None:
    """Wait until the parent has ended, then delete the temporary folder and exit, which also stops the sandbox."""
    while os.getppid() == parent_pid:
        time.sleep(1)
    _delete_own_temporary_folder()
    os._exit(1)


def _delete_own_temporary_folder() -> None:
    """Delete this process's own temporary folder, if any; retry while unfinished grading still writes to it."""
    private = Path(tempfile.gettempdir())
    for _ in range(20 if private.name.startswith(PRIVATE) else 0):
        shutil.rmtree(private, ignore_errors=True)
        if not private.exists():
            return
        time.sleep(0.05)


if __name__ == "__main__":
    serve_tasks(Path(sys.argv[1]))
