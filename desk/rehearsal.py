"""`inv rehearse`: a small class on this machine, to try everything with before there is a real one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from course.answers import right_answers
from course.skeleton import skeleton, solved
from desk.folder import make_class_folder
from desk.git import environment
from desk.roster import FILE
from grading.errors import GraderError, UsageError
from grading.files import write_atomically
from grading.manifest.load import load
from grading.manifest.model import Manifest, Status
from grading.quiz.answers import save_answers
from grading.quiz.identity import save_student_id
from grading.submission import source_files

STUDENTS = {
    "ada": "Ada, who has unlocked the first milestone",
    "ben": "Ben, who has not finished module 02",
    "chi": "Chi, who has Ben's code under other names",
    "dan": "Dan, who has not begun",
}
SERVER = "repositories-of-the-rehearsal"
UNFINISHED = "\n\ndef next_thing_to_write(:\n"
MARKER = "student_"
"""What Chi puts before some names."""


def rehearse(root: Path, folder: Path) -> Path:
    """Write a class into a new folder: a roster, and a bare repository for each student; the roster's path.

    UsageError when the folder holds a roster, GraderError when git fails.
    """
    if (folder / FILE).exists():
        raise UsageError(f"{folder / FILE} is there already: this folder is somebody's class. Name another --folder.")
    manifest = load(root)
    make_class_folder(folder)
    for student in STUDENTS:
        tree = folder / SERVER / f"{student}.work"
        _hand_in(root, manifest, student, tree)
        _push(tree, folder / SERVER / f"{student}.git", student)
    lines = ["id,name,email,section,repository"]
    lines += [f'{s},"{name}",{s}@example.org,A,./{SERVER}/{s}.git' for s, name in STUDENTS.items()]
    write_atomically(folder / FILE, "".join(f"{line}\n" for line in lines).encode())
    return folder / FILE


def _hand_in(root: Path, manifest: Manifest, student: str, tree: Path) -> None:
    """What this student has written, in a folder."""
    first = next(m for m in manifest.milestones if m.status is Status.BUILT)
    upto = manifest.module(first.trigger).number
    built = [module for module in manifest.modules if module.status is Status.BUILT]
    for file in source_files(manifest, built):
        text = (root / file.path).read_text("utf-8")
        begun = student != "dan" and file.module.number <= upto
        written = (solved if begun else skeleton)(text, manifest, file.path)
        if student in ("ben", "chi") and file.module.number == 2:
            written += UNFINISHED
        if student == "chi":
            written = written.replace("result", f"{MARKER}result").replace("value", f"{MARKER}value")
        path = tree / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written, "utf-8")
    save_student_id(tree, student)
    if student == "ada":
        (tree / "answers").mkdir()
        save_answers(tree, first.id, right_answers(first, student))


def _push(tree: Path, bare: Path, student: str) -> None:
    """Commit the folder and push it to a repository that keeps when it was pushed to."""
    who = {
        "GIT_AUTHOR_NAME": student,
        "GIT_AUTHOR_EMAIL": f"{student}@example.org",
        "GIT_COMMITTER_NAME": student,
        "GIT_COMMITTER_EMAIL": f"{student}@example.org",
    }
    _git(["init", "--quiet", "--bare", "--initial-branch=main", str(bare)], who)
    _git(["--git-dir", str(bare), "config", "core.logAllRefUpdates", "true"], who)
    _git(["--git-dir", str(bare), "config", "uploadpack.allowFilter", "true"], who)
    _git(["init", "--quiet", "--initial-branch=main", str(tree)], who)
    _git(["-C", str(tree), "add", "--all"], who)
    _git(["-C", str(tree), "-c", "commit.gpgSign=false", "commit", "--quiet", "--message", "My work"], who)
    _git(["-C", str(tree), "push", "--quiet", str(bare.resolve()), "HEAD:main"], who)


def _git(words: list[str], who: dict[str, str]) -> None:
    done = subprocess.run(  # noqa: S603
        ["git", *words],  # noqa: S607
        env=environment(os.environ) | who,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GraderError(f"git {words[0]} failed: {done.stderr.strip()}")
