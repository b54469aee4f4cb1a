"""The allowlisted copy of what was handed in: the files the manifest names, and nothing else of the tree."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from grading.errors import UsageError
from grading.manifest.model import Manifest, Milestone, Module, Status
from grading.result import FileRecord, Note, SubmissionRecord

MAX_BYTES = 256 << 10
"""A student's file is source text; the longest of the course is a tenth of this."""
KEPT = "kept-"
"""How the names of copies begin that `tito` keeps beside a file it replaces."""
MAX_NOTES = 20
MAX_NAMES = 100_000
"""Looked at in one folder."""


@dataclass(frozen=True)
class Submission:
    """The copy, and what is said about it."""

    folder: Path
    """The student's Python files: all that a worker sees."""
    answers: Path
    """`student.yaml` and the answers to questions, which no worker sees."""
    record: SubmissionRecord
    missing: tuple[str, ...]
    """Files the manifest names that were not handed in."""

    def text(self, path: Path) -> str | None:
        """One file's text, or None when it is missing or was refused."""
        copied = self.folder / path
        return copied.read_text("utf-8") if copied.is_file() else None


@dataclass(frozen=True)
class SourceFile:
    """One file of Python that a student writes."""

    path: Path
    module: Module
    is_recipe: bool


def source_files(manifest: Manifest, modules: Iterable[Module]) -> list[SourceFile]:
    """What students write for these modules, in the course's order: each one's file, and a trigger's recipe."""
    files = []
    for module in modules:
        files.append(SourceFile(module.code, module, is_recipe=False))
        milestone = manifest.triggered_by(module)
        if milestone is not None and milestone.status is Status.BUILT:
            files.append(SourceFile(milestone.recipe, module, is_recipe=True))
    return files


OWN = Path("course", "solution")
"""Where the course's own repository keeps what a student has at the top: `student.yaml` and `answers/`."""


def answer_files(milestone: Milestone | None) -> list[Path]:
    """The student's data files: who they are and what they answered."""
    return [Path("student.yaml"), Path("answers", f"milestone-{milestone.id}.yaml")] if milestone else []


def take(
    tree: Path, manifest: Manifest, modules: tuple[Module, ...], milestone: Milestone | None, into: Path
) -> Submission:
    """Copy what counts from ``tree`` into ``into``. What may not be copied is refused with a reason.

    Raises UsageError when ``tree`` is no folder. Never follows a link, never opens anything but a regular file.
    """
    if not tree.is_dir():
        raise UsageError(f"{tree} is not a folder. Name the folder of a student's repository.")
    files: list[FileRecord] = []
    refused: list[Note] = []
    missing: list[str] = []
    code, answers = into / "code", into / "answers"
    for folder in (code, answers):
        folder.mkdir(parents=True)
    targets = {f.path: code for f in source_files(manifest, modules)} | dict.fromkeys(answer_files(milestone), answers)
    prefix = OWN if (tree / OWN).is_dir() else Path()
    for path, folder in targets.items():
        data = _read(tree, path if folder == code else prefix / path)
        if data is None:
            if path.suffix == ".py":
                missing.append(path.as_posix())
            continue
        if isinstance(data, str):
            refused.append(Note(path=path.as_posix(), message=data))
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        files.append(FileRecord(path=path.as_posix(), sha256=hashlib.sha256(data).hexdigest(), size=len(data)))
    refused += _ignored(tree, manifest, modules)
    lines = "".join(f"{f.sha256}  {f.path}\n" for f in sorted(files, key=lambda f: f.path))
    digest = hashlib.sha256(lines.encode()).hexdigest()
    record = SubmissionRecord(digest=digest, files=tuple(files), refused=tuple(refused[:MAX_NOTES]))
    return Submission(code, answers, record, tuple(missing))


def copy_modules(submission: Submission, modules: Iterable[Module], into: Path) -> Submission:
    """Copy the code of these modules alone, for a worker that is to see nothing of the others."""
    for module in modules:
        text = submission.text(module.code)
        if text is not None:
            (into / module.code).parent.mkdir(parents=True, exist_ok=True)
            (into / module.code).write_text(text, "utf-8")
    return replace(submission, folder=into)


def _read(tree: Path, path: Path) -> bytes | str | None:
    """A file's bytes; a sentence when it is refused; None when it is not there."""
    folder, full = tree, tree / path
    try:
        for part in path.parts[:-1]:
            folder = folder / part
            if folder.is_symlink():
                return f"{folder.relative_to(tree).as_posix()} is a link; hand in a real folder"
            if os.path.lexists(folder / ".git"):
                return f"{folder.relative_to(tree).as_posix()} is a repository of its own; hand in its files instead"
        descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return f"{path.parent.as_posix()} is not a folder"
    except OSError as error:
        return "it is a link; hand in a real file" if error.errno == errno.ELOOP else "it cannot be read"
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return "it is not a regular file"
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return f"it is larger than {MAX_BYTES >> 10} KiB"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 text (line {_line(data, error.start)}); save it as UTF-8"
    if "\0" in text:
        return f"it contains a null byte (line {_line(data, data.index(0))})"
    return data


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _ignored(tree: Path, manifest: Manifest, modules: tuple[Module, ...]) -> list[Note]:
    """Files beside the student's own that look as if they should count, and do not."""
    notes = []
    expected = {m.code for m in manifest.modules}
    for module in modules:
        folder = tree / module.code.parent
        for entry in _names_in(folder):
            path = module.code.parent / entry
            if path in expected or entry == "__pycache__" or entry.startswith(KEPT):
                continue
            shown = path.as_posix().encode("ascii", "backslashreplace").decode()
            notes.append(Note(path=shown[:200], message=f"not used: the module is one file, {module.code.name}"))
    return notes


def _names_in(folder: Path) -> list[str]:
    """The first names in a folder, in order; none if it is a link, no folder, or may not be read."""
    try:
        if folder.is_symlink():
            return []
        with os.scandir(folder) as entries:
            return sorted((e.name for e in itertools.islice(entries, MAX_NAMES)), key=str.casefold)[:1000]
    except OSError:
        return []
