"""A process that grades one task after another for `inv collect`: a line of JSON in, a line of JSON out.

One for each core, so that a grading that brings its process down brings down nothing else.
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
from desk.tree import write_tree
from grading.errors import GraderError, UsageError
from grading.grade import grade_milestone
from grading.manifest.load import load
from grading.render.record import to_json

PRIVATE = "tinytorch-grading-"
"""What the temporary folder of each grading process begins with."""


@dataclass(frozen=True)
class Task:
    """One milestone of one commit of one student."""

    student: str
    milestone: int
    commit: str
    repository: str
    """The bare repository on this machine that holds the commit."""
    asked: str | None = None
    """Whose questions these are, where the student had another id then."""
    folder: str | None = None
    """Where the files have been written already, on a machine that has no repository."""

    def to_json(self) -> str:
        """On one line."""
        return json.dumps(asdict(self))


def grade(task: Task, root: Path) -> str:
    """The result record as JSON. GraderError, UsageError or GitError when there is none."""
    with tempfile.TemporaryDirectory(prefix="tinytorch-handed-in-") as folder:
        if task.folder is None:
            write_tree(Path(task.repository), task.commit, load(root), Path(folder))
        result = grade_milestone(
            root,
            task.milestone,
            submission=Path(task.folder or folder),
            official=True,
            student=task.asked or task.student,
            commit=task.commit,
        )
    return to_json(result)


def serve(root: Path) -> None:
    """Answer tasks until there are no more; what a grading prints by mistake goes to standard error."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        for line in sys.stdin:
            try:
                answer = {"result": grade(Task(**json.loads(line)), root)}
            except (GraderError, UsageError, GitError) as error:
                answer = {"problem": str(error)}
            except Exception as error:  # whatever it is, the next student is graded
                answer = {"problem": f"the grader failed: {error!r}"}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
    except BrokenPipeError:
        pass  # nobody is there any more
    finally:
        _clear()


def _end_with(parent: int) -> None:
    """A collection that is killed leaves nobody grading for it; the sandbox's processes end with this one."""
    while os.getppid() == parent:
        time.sleep(1)
    _clear()
    os._exit(1)


def _clear() -> None:
    """Leave nothing in the temporary folder of our own; a grading that still goes on may write there meanwhile."""
    private = Path(tempfile.gettempdir())
    for _ in range(20 if private.name.startswith(PRIVATE) else 0):
        shutil.rmtree(private, ignore_errors=True)
        if not private.exists():
            return
        time.sleep(0.05)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
