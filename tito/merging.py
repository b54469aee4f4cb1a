"""Merge three versions of a student's file into one that keeps the student's work and the course's changes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from grading.errors import GraderError
from grading.gaps import GAP, map_functions_by_name, map_gaps_to_tasks, split_python_lines

SEAM = "#\x02"
"""A line that, during a merge, marks the boundary between a function's provided lines and those left to the student."""
LABELS = ("what you wrote", "the release you began from", "the new release")


@dataclass(frozen=True)
class MergedText:
    """A merged text, and the lines at which its conflicts begin."""

    text: str
    conflicts: tuple[int, ...]


def merge_student_and_course_text(student_text: str, old_course_text: str, new_course_text: str) -> MergedText:
    """Merge the student's changes and the new release's to ``old_course_text``, marking conflicts as Git does.

    Two kinds of course changes must not conflict with every filled gap. The first are new hints: gaps are compared only
    by their tasks, and gaps that are still open then get the new release's hints. The second are new docstrings: they
    end on the line before a gap, so a line that all three versions share is inserted between them.
    """
    line_end = "\r\n" if "\r\n" in student_text else "\n"
    student_text, old_course_text, new_course_text = (
        text.replace("\r\n", "\n") for text in (student_text, old_course_text, new_course_text)
    )
    text = _merge_with_git(*_insert_seams_around_gaps(student_text, old_course_text, new_course_text))
    text = "\n".join(line for line in text.split("\n") if not line.startswith(SEAM))
    hints = {
        (found["indent"], found["task"]): found[0]
        for version in (student_text, new_course_text)
        for found in GAP.finditer(version)
    }
    text = GAP.sub(lambda found: hints.get((found["indent"], found["task"]), found[0]), text)
    starts = tuple(n for n, line in enumerate(text.split("\n"), 1) if line == f"<<<<<<< {LABELS[0]}")
    return MergedText(text.replace("\n", line_end), starts)


def _reduce_gaps_to_task_ids(text: str) -> str:
    """Replace each gap in the text with a short one that mentions only its task."""
    return GAP.sub(r'\g<indent>raise NotImplementedError("Task \g<task>")', text)


def _insert_seams_around_gaps(student_text: str, old_course_text: str, new_course_text: str) -> list[str]:
    """Return the texts with short gaps and, if all are valid Python, seams around the lines left to the student."""
    texts = [_reduce_gaps_to_task_ids(text) for text in (student_text, old_course_text, new_course_text)]
    try:
        functions = [map_functions_by_name(text) for text in texts]
        given = [map_gaps_to_tasks(text) for text in texts[1:]]
    except SyntaxError:  # an unfinished file is merged line by line
        return texts
    names = [name for name in given[0] if name in given[1] and name in functions[0]]
    marked = []
    for text, known, like in zip(texts, functions, (functions[1], functions[1], functions[2]), strict=True):
        lines = split_python_lines(text)
        seams: list[tuple[int, str]] = []
        for name in names:
            node, count = known[name], len(like[name].body) - 1
            if len(node.body) >= count:  # else the student has removed some of the lines that the course gives
                before = node.body[count - 1].end_lineno if count else node.body[0].lineno - 1
                seams += [(before or 0, f"{SEAM} {name} begins"), (node.end_lineno or 0, f"{SEAM} {name} ends")]
        for line, seam in sorted(seams, reverse=True):
            lines.insert(line, seam)
        marked.append("\n".join(lines))
    return marked


def _merge_with_git(student_text: str, old_course_text: str, new_course_text: str) -> str:
    """Merge three texts with `git merge-file`, marking conflicts; raise GraderError if git is missing or fails."""
    git = shutil.which("git")
    if git is None:
        raise GraderError(
            "git is not installed. tito needs it to merge your code with the new release. Install it first."
        )
    with tempfile.TemporaryDirectory(prefix="tinytorch-merge-") as folder:
        paths = []
        for name, text in zip(
            ("mine", "base", "theirs"), (student_text, old_course_text, new_course_text), strict=True
        ):
            paths.append(Path(folder, name))
            paths[-1].write_bytes(text.encode())
        labels = [part for label in LABELS for part in ("-L", label)]
        command = [git, "merge-file", "-p", *labels, *map(str, paths)]
        done = subprocess.run(command, capture_output=True, cwd=folder, check=False)  # noqa: S603
    if done.returncode < 0 or done.returncode > 127:  # any other exit code is the number of conflicts
        raise GraderError(f"git merge-file failed: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout.decode()
