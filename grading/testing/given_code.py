"""Distinguish the lines in a student's file that the course provided from those that the student wrote."""

from __future__ import annotations

from pathlib import Path

from grading import lock
from grading.errors import UsageError
from grading.gaps import get_function_lines, map_functions_by_name, map_gaps_to_tasks, split_python_lines
from grading.remote import Frame


class GivenCode:
    """The functions that a release provides in full, read from the original versions of the student's files."""

    def __init__(self, root: Path):
        self._root = root
        self._texts: dict[str, str] | None = None
        self._lines: dict[str, frozenset[tuple[str, str]]] = {}

    def is_given_frame(self, frame: Frame) -> bool:
        """Return whether a traceback's line is the course's own: unchanged, and in a function without a gap.

        Return False if the release is not known.
        """
        if frame.file not in self._lines:
            if self._texts is None:
                self._texts = _read_released_texts(self._root)
            self._lines[frame.file] = list_lines_of_given_functions(self._texts.get(frame.file, ""))
        return (frame.function, frame.text) in self._lines[frame.file]


def list_lines_of_given_functions(text: str) -> frozenset[tuple[str, str]]:
    """List every line of the functions without a gap, as pairs of the function's name and the stripped line.

    The list is empty if ``text`` is not Python.

    A traceback shows a function without its class. So if the student writes this function in one class, every function
    with that name counts as the student's.
    """
    try:
        functions, gaps = map_functions_by_name(text), map_gaps_to_tasks(text)
    except (SyntaxError, ValueError, RecursionError):  # the original versions are in the student's repository
        return frozenset()
    lines, left = split_python_lines(text), {name.rpartition(".")[2] for name in gaps}
    given = {name: node for name, node in functions.items() if node.name not in left}
    ranges = {name: get_function_lines(node) for name, node in given.items()}
    return frozenset(
        (node.name, line.strip())
        for name, node in given.items()
        for line in lines[ranges[name][0] - 1 : ranges[name][1]]
    )


def _read_released_texts(root: Path) -> dict[str, str]:
    """Read the original versions of the student's files. The result is empty in the course's own repository."""
    try:
        return lock.read_released_texts(root)
    except UsageError:
        return {}
