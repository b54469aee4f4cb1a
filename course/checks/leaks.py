"""No part of the solutions, of the answer keys or of the maintainers' tools is in the release."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from course.checks.course import Course
from course.release import SOLUTIONS, release_files
from course.skeleton import MENTION, Gap, find_gaps, solution_lines
from grading.manifest.model import Module, NumberQuestion
from grading.manifest.problems import FILE, Problem
from grading.render.progress import Watch

SHORTEST = 20
"""Characters, without blanks, that make a solution's line distinctive; `return x` is anyone's."""
COMPUTES = re.compile(r"[-+*/@%<>\[\d]|==|\b(np|math)\.")
"""A line that computes matches this; `network.backward(criterion.backward())` does not."""
TOP = {
    ".devcontainer",
    ".gitignore",
    ".vscode",
    "AGENTS.md",
    "LICENSE",
    "README.md",
    "constraints.txt",
    "course.base.json",
    "docs",
    "grading",
    "milestones.yaml",
    "modules",
    "noxfile.py",
    "pyproject.toml",
    "tito",
}
SHORTEST_IN_A_HINT = 8
"""The limit for hints, which are read next to the gap: `np.maximum(x, 0)` is all of ReLU."""
SHORTEST_CALL = 12
"""The limit for plain calls: a hint may mention `disable()`."""
STATEMENT = re.compile(r"^(return|yield|raise|if|elif|while|with) ")
ASSIGNMENT = re.compile(r" (?:[-+*/@|&]|//|\*\*)?= ")
BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Secret:
    """A text that must not be in any released file, without its blanks."""

    text: str
    what: str
    is_solution: bool = False
    """Whether it is a line of a solution, which the manifest may allow in a release."""


def no_leaks(course: Course, watch: Watch) -> list[Problem]:
    """The release holds no marker, solution line, answer key, course-only file or path of this machine."""
    watch.phase("Searching the release for leaks", None)
    files, hidden, given = release_files(course.root), secrets(course), {}
    if course.manifest.course.gives_solutions(datetime.now(UTC).date()):
        # Only these files may then hold lines of solutions.
        given = {path: data for path, data in files.items() if path.parts[0] == SOLUTIONS.name}
    problems = find_leaks({path: data for path, data in files.items() if path not in given}, hidden)
    return problems + find_leaks(given, [secret for secret in hidden if not secret.is_solution], {SOLUTIONS.name})


def find_leaks(files: Mapping[Path, bytes], hidden: list[Secret], top: Set[str] = TOP) -> list[Problem]:
    """Find every leak in these files (path → bytes); ``top`` names what a release may have at its top."""
    return sorted({problem for path, data in files.items() for problem in _leaks(path, data, hidden, top)})


def secrets(course: Course) -> list[Secret]:
    """Find distinctive solution lines, formulas of answers, and this repository's path."""
    found = [Secret(str(course.root), "the path of this repository")]
    for path, source in course.sources.items():
        gaps = find_gaps(source, course.manifest, path)
        given = _squeezed(_given_text(source, gaps))
        for number, line in solution_lines(source, gaps):
            text = _squeezed(line.strip().removeprefix("return ").partition("  # ")[0])
            if len(text) >= SHORTEST and COMPUTES.search(text) and text not in given:
                found.append(Secret(text, f"line {number} of {path.as_posix()}'s solution", is_solution=True))
    questions = [q for milestone in course.manifest.milestones for q in milestone.questions]
    found += [
        Secret(_squeezed(q.answer), f"the answer to question {q.id}")
        for q in questions
        if isinstance(q, NumberQuestion) and q.answer
    ]
    return found


def hints_hide_solutions(course: Course, watch: Watch) -> list[Problem]:
    """No hint holds a line of its module's solution, nor what such a line computes."""
    watch.phase("Comparing hints with solutions", None)
    return [problem for module in course.built for problem in _telling_hints(course, module)]


def _telling_hints(course: Course, module: Module) -> Iterator[Problem]:
    """Yield hints with code that neither the lesson nor the given files reveal."""
    sources = {path: source for path, source in course.sources.items() if module.folder in path.parents}
    gaps = {path: find_gaps(source, course.manifest, path) for path, source in sources.items()}
    given = _squeezed("\n".join([course.text(module.lesson), *(_given_text(sources[p], gaps[p]) for p in sources)]))
    lines = [line for path, source in sources.items() for _, line in solution_lines(source, gaps[path])]
    secret = {part for line in lines for part in _parts(line) if part not in given}
    for task in module.tasks:
        for number, hint in enumerate(task.hints, start=1):
            squeezed = _squeezed(hint)
            if part := max((part for part in secret if part in squeezed), key=len, default=None):
                message = f"hint {number} of task {task.id} holds code of the solution: {part[:60]}"
                yield Problem(FILE, 1, message, "Say it in words, or as the lesson's formula.")


def _parts(line: str) -> Iterator[str]:
    """Yield what a line of code computes, without blanks: itself and the value it assigns, if long enough."""
    code = STATEMENT.sub("", line.partition("  # ")[0].strip()).removesuffix(":")
    for part in (code, *ASSIGNMENT.split(code, maxsplit=1)[1:]):
        if len(text := _squeezed(part)) >= (SHORTEST_IN_A_HINT if COMPUTES.search(part) else SHORTEST_CALL):
            yield text


def _given_text(source: str, gaps: tuple[Gap, ...]) -> str:
    """Return the lines of a source file outside its solutions."""
    hidden = {number for number, _ in solution_lines(source, gaps)}
    return "\n".join(line for number, line in enumerate(source.splitlines(), start=1) if number not in hidden)


def _leaks(path: Path, data: bytes, hidden: list[Secret], top: Set[str]) -> Iterator[Problem]:
    """Yield every leak in one file."""
    name = path.as_posix()
    if path.parts[0] not in top or "__pycache__" in path.parts:
        yield Problem(name, 1, "is not for students.", "Leave it out in course/release.py.")
    text = data.decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if MENTION.search(line):
            yield Problem(name, number, "a solution's marker is left.", "Write the line without marker words.")
    squeezed = _squeezed(text)
    for secret in hidden:
        at = squeezed.find(secret.text)
        if at >= 0:
            repair = "Use other words, or show it outside the solution if students should have it."
            yield Problem(name, _line(text, at), f"{secret.what} leaks: {secret.text[:60]}", repair)


def _squeezed(text: str) -> str:
    """Remove blanks and make all quotes double."""
    return BLANKS.sub("", text).replace("'", '"')


def _line(text: str, at: int) -> int:
    """Return the line of the character at this offset, blanks not counted."""
    seen = 0
    for number, line in enumerate(text.splitlines(), start=1):
        seen += len(_squeezed(line))
        if seen > at:
            return number
    return 1
