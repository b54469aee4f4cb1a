"""The release contains no part of the solutions, the answer keys or the maintainers' tools."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from course.checks.course_tree import CourseTree
from course.release import SOLUTIONS, build_release_files
from course.skeleton import MARKER_MENTION, Gap, find_gaps, list_solution_lines
from grading.manifest.model import Module, NumberQuestion
from grading.manifest.problems import MANIFEST_FILE, Problem
from grading.render.progress_watch import ProgressWatch

MIN_SECRET_LENGTH = 20
"""The length, without whitespace, from which a solution's line is distinctive. Anyone could write `return x`."""
COMPUTES = re.compile(r"[-+*/@%<>\[\d]|==|\b(np|math)\.")
"""A pattern that matches a line with a computation, but not `network.backward(criterion.backward())`."""
RELEASED_NAMES = {
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
MIN_HINT_LENGTH = 8
"""The limit for hints, which are read next to the gap: `np.maximum(x, 0)` is all of ReLU."""
MIN_CALL_LENGTH = 12
"""The limit for plain calls in hints, because a hint may mention `disable()`."""
STATEMENT = re.compile(r"^(return|yield|raise|if|elif|while|with) ")
ASSIGNMENT = re.compile(r" (?:[-+*/@|&]|//|\*\*)?= ")
BLANKS = re.compile(r"\s+")


@dataclass(frozen=True)
class Secret:
    """A text, without whitespace, that must not be in any released file."""

    text: str
    what: str
    is_solution: bool = False
    """Whether the text is a line of a solution, which the manifest may allow in a release."""


def check_no_leaks(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """The release contains no marker, solution line, answer key, course-only file or path of this machine."""
    watch.begin_phase("Searching the release for leaks", None)
    files, hidden, given = build_release_files(course.root), find_secrets(course), {}
    if course.manifest.course.includes_solutions(datetime.now(UTC).date()):
        # Only these files may contain lines of solutions.
        given = {path: data for path, data in files.items() if path.parts[0] == SOLUTIONS.name}
    problems = find_leaks({path: data for path, data in files.items() if path not in given}, hidden)
    return problems + find_leaks(given, [secret for secret in hidden if not secret.is_solution], {SOLUTIONS.name})


def find_leaks(
    files: Mapping[Path, bytes], secrets: list[Secret], allowed_top_names: Set[str] = RELEASED_NAMES
) -> list[Problem]:
    """Find every leak in a release's files (path → bytes), including top-level names that are not allowed."""
    return sorted(
        {
            problem
            for path, data in files.items()
            for problem in _find_file_leaks(path, data, secrets, allowed_top_names)
        }
    )


def find_secrets(course: CourseTree) -> list[Secret]:
    """Find distinctive solution lines, the formulas of answers, and this repository's path."""
    found = [Secret(str(course.root), "the path of this repository")]
    for path, source in course.sources.items():
        gaps = find_gaps(source, course.manifest, path)
        given = _unify_blanks_and_quotes(_remove_solutions(source, gaps))
        for number, line in list_solution_lines(source, gaps):
            text = _unify_blanks_and_quotes(line.strip().removeprefix("return ").partition("  # ")[0])
            if len(text) >= MIN_SECRET_LENGTH and COMPUTES.search(text) and text not in given:
                found.append(Secret(text, f"line {number} of {path.as_posix()}'s solution", is_solution=True))
    questions = [q for milestone in course.manifest.milestones for q in milestone.questions]
    found += [
        Secret(_unify_blanks_and_quotes(q.answer), f"the answer to question {q.id}")
        for q in questions
        if isinstance(q, NumberQuestion) and q.answer
    ]
    return found


def check_hints_hide_solutions(course: CourseTree, watch: ProgressWatch) -> list[Problem]:
    """No hint contains a line of its module's solution, or what it assigns, that students cannot read elsewhere."""
    watch.begin_phase("Comparing hints with solutions", None)
    return [problem for module in course.built_modules for problem in _find_hints_with_solution_code(course, module)]


def _find_hints_with_solution_code(course: CourseTree, module: Module) -> Iterator[Problem]:
    """Yield a problem for each hint with code of the solution that neither the lesson nor the given files reveal."""
    sources = {path: source for path, source in course.sources.items() if module.folder in path.parents}
    gaps = {path: find_gaps(source, course.manifest, path) for path, source in sources.items()}
    given = _unify_blanks_and_quotes(
        "\n".join([course.read_text(module.lesson), *(_remove_solutions(sources[p], gaps[p]) for p in sources)])
    )
    lines = [line for path, source in sources.items() for _, line in list_solution_lines(source, gaps[path])]
    secret = {part for line in lines for part in _extract_computations(line) if part not in given}
    for task in module.tasks:
        for number, hint in enumerate(task.hints, start=1):
            squeezed = _unify_blanks_and_quotes(hint)
            if part := max((part for part in secret if part in squeezed), key=len, default=None):
                message = f"hint {number} of task {task.id} contains code of the solution: {part[:60]}"
                yield Problem(MANIFEST_FILE, 1, message, "Describe it in words, or use the lesson's formula.")


def _extract_computations(line: str) -> Iterator[str]:
    """Yield a line of code and the expression that it assigns, without whitespace, if they are long enough."""
    code = STATEMENT.sub("", line.partition("  # ")[0].strip()).removesuffix(":")
    for part in (code, *ASSIGNMENT.split(code, maxsplit=1)[1:]):
        if len(text := _unify_blanks_and_quotes(part)) >= (
            MIN_HINT_LENGTH if COMPUTES.search(part) else MIN_CALL_LENGTH
        ):
            yield text


def _remove_solutions(source: str, gaps: tuple[Gap, ...]) -> str:
    """Return a source file without the lines of its solutions."""
    hidden = {number for number, _ in list_solution_lines(source, gaps)}
    return "\n".join(line for number, line in enumerate(source.splitlines(), start=1) if number not in hidden)


def _find_file_leaks(path: Path, data: bytes, secrets: list[Secret], allowed_top_names: Set[str]) -> Iterator[Problem]:
    """Yield the leaks in one file, each secret once, and a problem if the file may not be in the release."""
    name = path.as_posix()
    if path.parts[0] not in allowed_top_names or "__pycache__" in path.parts:
        yield Problem(name, 1, "is not for students.", "Leave it out in course/release.py.")
    text = data.decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if MARKER_MENTION.search(line):
            yield Problem(name, number, "a solution's marker is left.", "Write the line without marker words.")
    squeezed = _unify_blanks_and_quotes(text)
    for secret in secrets:
        at = squeezed.find(secret.text)
        if at >= 0:
            repair = "Use other words, or show it outside the solution if students should have it."
            yield Problem(name, _find_line(text, at), f"{secret.what} leaks: {secret.text[:60]}", repair)


def _unify_blanks_and_quotes(text: str) -> str:
    """Remove whitespace, and replace single quotes with double quotes."""
    return BLANKS.sub("", text).replace("'", '"')


def _find_line(text: str, offset: int) -> int:
    """Return the number of the line that holds the character at this offset, which does not count whitespace."""
    seen = 0
    for number, line in enumerate(text.splitlines(), start=1):
        seen += len(_unify_blanks_and_quotes(line))
        if seen > offset:
            return number
    return 1
