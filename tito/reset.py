"""`tito module reset`: a module, or the functions of one task, as they were given; what was there is kept beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from grading import lock
from grading.errors import UsageError
from grading.files import write_atomically
from grading.submission import KEPT
from tito.gaps import find_gaps, lines_of, list_functions, split_lines


@dataclass(frozen=True)
class Kept:
    """A file that was reset, and where the text from before is now; both relative to the repository."""

    file: Path
    copy: Path


def reset_module(root: Path, folder: Path, task: str | None = None, *, now: datetime | None = None) -> list[Kept]:
    """Put a module's files back as they were released, or only the functions that the task leaves to the student.

    What a file held is in a copy beside it. UsageError, and nothing is changed, where the released text is not known or
    a function of the task cannot be found.
    """
    released, new = {Path(name): text for name, text in lock.read_base(root).items()}, {}
    files = [file for file in released if file.is_relative_to(folder) and file.suffix == ".py"]
    if not files:
        raise UsageError(f"{lock.BASE} knows no file of {folder.as_posix()}, so none can be put back.")
    for file in files:
        given = released[file]
        if task is None:
            new[file] = given
        elif task in find_gaps(given).values():
            new[file] = put_back(_read(root / file), given, task, file) if (root / file).exists() else given
    return [
        _replace(root, file, text, now or datetime.now()) for file, text in new.items() if _differs(root, file, text)
    ]


def put_back(mine: str, given: str, task: str, file: Path) -> str:
    """The student's text with each function that has a gap of this task replaced by the given one."""
    try:
        own = list_functions(mine)
    except SyntaxError as error:
        raise UsageError(
            f"{file.as_posix()} is not valid Python in line {error.lineno}, so its functions cannot be told apart. "
            "Fix that line, or put back the whole module: leave out --task."
        ) from None
    lines, given_lines, functions = split_lines(mine), split_lines(given), list_functions(given)
    left = [name for name, gap in find_gaps(given).items() if gap == task]
    if missing := [name for name in left if name not in own]:
        raise UsageError(
            f"{file.as_posix()} has no `{missing[0]}` any more, so task {task} has no place in it. "
            "Put back the whole module: leave out --task."
        )
    for name in sorted(left, key=lambda name: own[name].lineno, reverse=True):
        (first, last), (start, end) = lines_of(own[name]), lines_of(functions[name])
        lines[first - 1 : last] = given_lines[start - 1 : end]
    return "\n".join(lines)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}). Put back the whole module: leave out --task.") from None


def _differs(root: Path, file: Path, text: str) -> bool:
    return lock.digest_of(root, file.as_posix()) != lock.digest(text.encode())


def _replace(root: Path, file: Path, text: str, now: datetime) -> Kept:
    path, copy = root / file, keep_copy(root, file, now)
    write_atomically(path, text.encode())
    return Kept(file, copy)


def keep_copy(root: Path, file: Path, now: datetime) -> Path:
    """Copy a file to a name beside it that says when, never over another; the copy, relative to the repository.

    tensor.py → kept-2026-11-30-093000-tensor.py: pytest takes no such name for a test. A file that is not there needs
    no copy: then it is the file itself.
    """
    path = root / file
    if not path.exists():
        return file
    start = f"{KEPT}{now:%Y-%m-%d-%H%M%S}"
    names = (f"{start}{more}-{path.name}" for more in ("", *(f"-{number}" for number in range(2, 1000))))
    copy = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    write_atomically(copy, path.read_bytes())
    return copy.relative_to(root)
