"""Nothing of the solutions, of the answer keys or of the maintainers' side is in the release."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from course.checks.course import Course
from course.release import release_files
from course.skeleton import MENTION, find_gaps, skeleton, solution_lines
from grading.manifest.model import NumberQuestion
from grading.manifest.problems import Problem
from grading.render.progress import Watch

SHORTEST = 20
"""Characters, without blanks, from which on a line of a solution is its own and not everybody's, as `return x` is."""
COMPUTES = re.compile(r"[-+*/@%<>\[\d]|==|\b(np|math)\.")
"""What a line must hold to say how something is done; `network.backward(criterion.backward())` only says what."""
TOP = {
    ".gitignore",
    "LICENSE",
    "README.md",
    "docs",
    "grading",
    "milestones.yaml",
    "modules",
    "noxfile.py",
    "pyproject.toml",
    "tito",
}
BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Secret:
    """A text that may stand in no released file, without its blanks."""

    text: str
    what: str


def no_leaks(course: Course, watch: Watch) -> list[Problem]:
    """No marker, solution line, answer key, course-only file or path of this machine is in the release."""
    watch.phase("Searching the release for leaks", None)
    return find_leaks(release_files(course.root), secrets(course))


def find_leaks(files: Mapping[Path, bytes], hidden: list[Secret]) -> list[Problem]:
    """Every leak in these files: path → bytes."""
    return sorted({problem for path, data in files.items() for problem in _leaks(path, data, hidden)})


def secrets(course: Course) -> list[Secret]:
    """Distinctive solution lines, formulas of answers, and where this repository is."""
    found = [Secret(str(course.root), "the path of this repository")]
    for path, source in course.sources.items():
        given = _squeezed(skeleton(source, course.manifest, path))
        for number, line in solution_lines(source, find_gaps(source, course.manifest, path)):
            text = _squeezed(line.strip().removeprefix("return ").partition("  # ")[0])
            if len(text) >= SHORTEST and COMPUTES.search(text) and text not in given:
                found.append(Secret(text, f"line {number} of {path.as_posix()}'s solution"))
    questions = [q for milestone in course.manifest.milestones for q in milestone.questions]
    found += [
        Secret(_squeezed(q.answer), f"the answer to question {q.id}")
        for q in questions
        if isinstance(q, NumberQuestion) and q.answer
    ]
    return found


def _leaks(path: Path, data: bytes, hidden: list[Secret]) -> Iterator[Problem]:
    name = path.as_posix()
    if path.parts[0] not in TOP or "__pycache__" in path.parts:
        yield Problem(name, 1, "is not for students.", "Leave it out in course/release.py.")
    text = data.decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if MENTION.search(line):
            yield Problem(name, number, "a solution's marker is left.", "Write the line without marker words.")
    squeezed = _squeezed(text)
    for secret in hidden:
        at = squeezed.find(secret.text)
        if at >= 0:
            mend = "Say it in other words, or show it outside the solution if students are to have it."
            yield Problem(name, _line(text, at), f"{secret.what} leaks: {secret.text[:60]}", mend)


def _squeezed(text: str) -> str:
    return BLANKS.sub("", text)


def _line(text: str, at: int) -> int:
    """The line of the character that is number ``at`` when blanks are not counted."""
    seen = 0
    for number, line in enumerate(text.splitlines(), start=1):
        seen += len(_squeezed(line))
        if seen > at:
            return number
    return 1
