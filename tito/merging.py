"""Three versions of a student's file → one: what the student wrote and what the course changed, both."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from grading.errors import GraderError
from tito.gaps import GAP, find_gaps, list_functions, split_lines

SEAM = "#\x02"
"""Begins a line between what is given of a function and what is left to the student, while they are merged."""
LABELS = ("what you wrote", "the release you began from", "the new release")


@dataclass(frozen=True)
class Merged:
    """The text, and the lines at which a conflict begins."""

    text: str
    conflicts: tuple[int, ...]


def merge(mine: str, base: str, theirs: str) -> Merged:
    """What became of ``base`` on both sides, by `git merge-file`.

    Two changes of the course must not collide with everybody who has filled a gap. New hints: gaps are compared by
    their tasks alone, and those that are still open then say what the new release says. And docstrings, which end in
    the line before: a line that all three versions have comes between.
    """
    line_end = "\r\n" if "\r\n" in mine else "\n"
    mine, base, theirs = (text.replace("\r\n", "\n") for text in (mine, base, theirs))
    text = _merge_files(*_mark_seams(mine, base, theirs))
    text = "\n".join(line for line in text.split("\n") if not line.startswith(SEAM))
    hints = {
        (found["indent"], found["task"]): found[0] for version in (mine, theirs) for found in GAP.finditer(version)
    }
    text = GAP.sub(lambda found: hints.get((found["indent"], found["task"]), found[0]), text)
    starts = tuple(n for n, line in enumerate(text.split("\n"), 1) if line == f"<<<<<<< {LABELS[0]}")
    return Merged(text.replace("\n", line_end), starts)


def _name_gaps(text: str) -> str:
    """The text with each gap naming its task and no more."""
    return GAP.sub(r'\g<indent>raise NotImplementedError("Task \g<task>")', text)


def _mark_seams(mine: str, base: str, theirs: str) -> list[str]:
    """The three texts with their gaps named, and a seam before and after what is left to the student."""
    texts = [_name_gaps(text) for text in (mine, base, theirs)]
    try:
        functions = [list_functions(text) for text in texts]
        given = [find_gaps(text) for text in texts[1:]]
    except SyntaxError:  # of a file that is not finished: merged line by line
        return texts
    names = [name for name in given[0] if name in given[1] and name in functions[0]]
    marked = []
    for text, known, like in zip(texts, functions, (functions[1], functions[1], functions[2]), strict=True):
        lines = split_lines(text)
        seams: list[tuple[int, str]] = []
        for name in names:
            node, count = known[name], len(like[name].body) - 1
            before = node.body[count - 1].end_lineno if count else node.body[0].lineno - 1
            if len(node.body) >= count:
                seams += [(before or 0, f"{SEAM} {name} begins"), (node.end_lineno or 0, f"{SEAM} {name} ends")]
        for line, seam in sorted(seams, reverse=True):
            lines.insert(line, seam)
        marked.append("\n".join(lines))
    return marked


def _merge_files(mine: str, base: str, theirs: str) -> str:
    git = shutil.which("git")
    if git is None:
        raise GraderError("git is not installed, and it merges what you wrote with the new release. Install it first.")
    with tempfile.TemporaryDirectory(prefix="tinytorch-merge-") as folder:
        paths = []
        for name, text in zip(("mine", "base", "theirs"), (mine, base, theirs), strict=True):
            paths.append(Path(folder, name))
            paths[-1].write_bytes(text.encode())
        labels = [part for label in LABELS for part in ("-L", label)]
        command = [git, "merge-file", "-p", *labels, *map(str, paths)]
        done = subprocess.run(command, capture_output=True, cwd=folder, check=False)  # noqa: S603
    if done.returncode < 0 or done.returncode > 127:  # else it is the number of conflicts
        raise GraderError(f"git merge-file failed: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout.decode()
