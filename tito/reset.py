"""`tito module reset`: reset a module, or one task's functions, to the release, and keep a copy of the old code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from grading import lock
from grading.errors import UsageError
from grading.files import write_atomically
from grading.gaps import get_function_lines, map_functions_by_name, map_gaps_to_tasks, split_python_lines
from grading.submission import KEPT


@dataclass(frozen=True)
class ResetFile:
    """A file that was reset, and the copy of its old text. Both paths are relative to the repository."""

    file: Path
    copy: Path


def reset_module(root: Path, folder: Path, task: str | None = None, *, now: datetime | None = None) -> list[ResetFile]:
    """Reset a module or one task to the release, keeping copies; return changed files. Raise UsageError if impossible.

    The copy of each old file is next to it. Nothing is changed if the released version is not known or a function of
    the task cannot be found.
    """
    released, new = {Path(name): text for name, text in lock.read_released_texts(root).items()}, {}
    files = [file for file in released if file.is_relative_to(folder) and file.suffix == ".py"]
    if not files:
        raise UsageError(f"{lock.BASE} does not contain any file of {folder.as_posix()}, so none can be reset.")
    for file in files:
        given = released[file]
        if task is None:
            new[file] = given
        elif task in map_gaps_to_tasks(given).values():
            new[file] = (
                restore_task_functions(_read_student_text(root / file), given, task, file)
                if (root / file).exists()
                else given
            )
    return [
        _replace_file_and_keep_copy(root, file, text, now or datetime.now())
        for file, text in new.items()
        if _differs_from_text(root, file, text)
    ]


def restore_task_functions(student_text: str, released_text: str, task_id: str, file: Path) -> str:
    """Return the student's text with the task's functions as released; raise UsageError if they cannot be found."""
    try:
        own = map_functions_by_name(student_text)
    except SyntaxError as error:
        raise UsageError(
            f"{file.as_posix()} is not valid Python (line {error.lineno}), so its functions cannot be found. "
            "Fix that line, or leave out --task to reset the entire module."
        ) from None
    lines, given_lines, functions = (
        split_python_lines(student_text),
        split_python_lines(released_text),
        map_functions_by_name(released_text),
    )
    left = [name for name, gap in map_gaps_to_tasks(released_text).items() if gap == task_id]
    if missing := [name for name in left if name not in own]:
        raise UsageError(
            f"{file.as_posix()} no longer has `{missing[0]}`, so task {task_id} cannot be reset on its own. "
            "Leave out --task to reset the entire module."
        )
    for name in sorted(left, key=lambda name: own[name].lineno, reverse=True):
        (first, last), (start, end) = get_function_lines(own[name]), get_function_lines(functions[name])
        lines[first - 1 : last] = given_lines[start - 1 : end]
    return "\n".join(lines)


def _read_student_text(path: Path) -> str:
    """Read a student's file; raise UsageError if it is not readable text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}). Leave out --task to reset the entire module.") from None


def _differs_from_text(root: Path, file: Path, old_text: str) -> bool:
    """Return whether a file is missing or its content, apart from line ends, differs from this text."""
    return lock.digest_file_below(root, file.as_posix()) != lock.digest_text_ignoring_line_ends(old_text.encode())


def _replace_file_and_keep_copy(root: Path, file: Path, text: str, now: datetime) -> ResetFile:
    """Replace a file's content and keep a copy of the old one."""
    path, copy = root / file, copy_file_aside(root, file, now)
    write_atomically(path, text.encode())
    return ResetFile(file, copy)


def copy_file_aside(root: Path, file: Path, now: datetime) -> Path:
    """Copy a file to a dated name in its folder; return the copy's path below ``root``, or ``file`` if it is missing.

    tensor.py becomes kept-2026-11-30-093000-tensor.py, a name that pytest does not collect. If the file does not
    exist, nothing is copied and its own path is returned.
    """
    path = root / file
    if not path.exists():
        return file
    start = f"{KEPT}{now:%Y-%m-%d-%H%M%S}"
    names = (f"{start}{more}-{path.name}" for more in ("", *(f"-{number}" for number in range(2, 1000))))
    copy = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    write_atomically(copy, path.read_bytes())
    return copy.relative_to(root)
