"""Copy a submission, but only the files that the manifest lists."""

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
from grading.manifest.model import BuildStatus, Manifest, Milestone, Module
from grading.result import FileRecord, Note, SubmissionRecord

MAX_BYTES = 256 << 10
"""The maximum size of a student's file, in bytes. The course's longest file is a tenth of this."""
KEPT = "kept-"
"""The prefix of the copies that `tito` keeps next to the files that it replaces."""
MAX_NOTES = 20
MAX_NAMES = 100_000
"""The maximum number of file names read from one folder."""


@dataclass(frozen=True)
class Submission:
    """The copy of a submission, and the record that describes the submission."""

    folder: Path
    """The student's Python files, the only ones that a worker sees."""
    answers: Path
    """`student.yaml` and the answers to questions, which no worker sees."""
    record: SubmissionRecord
    missing: tuple[str, ...]
    """The files that the manifest lists but the student did not hand in."""

    def read_text(self, path: Path) -> str | None:
        """Read the text of one of the Python files; return None if it is missing or was refused."""
        copied = self.folder / path
        return copied.read_text("utf-8") if copied.is_file() else None


@dataclass(frozen=True)
class SourceFile:
    """A Python file that a student writes."""

    path: Path
    module: Module
    is_recipe: bool


def list_source_files(manifest: Manifest, modules: Iterable[Module]) -> list[SourceFile]:
    """List the files that students write for these modules: each module's file, and a built milestone's recipe."""
    files = []
    for module in modules:
        files.append(SourceFile(module.code, module, is_recipe=False))
        milestone = manifest.find_triggered_milestone(module)
        if milestone is not None and milestone.status is BuildStatus.BUILT:
            files.append(SourceFile(milestone.recipe, module, is_recipe=True))
    return files


OWN = Path("course", "solution")
"""The folder for `student.yaml` and `answers/` in the course's own repository. A student has both at the top level."""


def list_answer_files(milestone: Milestone | None) -> list[Path]:
    """List the files with a student's id and answers for a milestone, or none if there is no milestone."""
    return [Path("student.yaml"), Path("answers", f"milestone-{milestone.id}.yaml")] if milestone else []


def copy_submission(
    tree: Path, manifest: Manifest, modules: tuple[Module, ...], milestone: Milestone | None, into: Path
) -> Submission:
    """Copy these modules' and the milestone's files into folders in ``into``; record the missing and refused ones.

    A file that may not be copied is refused, and the reason is recorded.

    Never follow a link, and never open anything but a regular file. Raise UsageError if ``tree`` is not a folder.
    """
    if not tree.is_dir():
        raise UsageError(f"{tree} is not a folder. Pass the folder of a student's repository.")
    files: list[FileRecord] = []
    refused: list[Note] = []
    missing: list[str] = []
    code, answers = into / "code", into / "answers"
    for folder in (code, answers):
        folder.mkdir(parents=True)
    targets = {f.path: code for f in list_source_files(manifest, modules)} | dict.fromkeys(
        list_answer_files(milestone), answers
    )
    prefix = OWN if (tree / OWN).is_dir() else Path()
    for path, folder in targets.items():
        data = _read_student_file(tree, path if folder == code else prefix / path)
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
    refused += _make_ignored_file_notes(tree, manifest, modules)
    lines = "".join(f"{f.sha256}  {f.path}\n" for f in sorted(files, key=lambda f: f.path))
    digest = hashlib.sha256(lines.encode()).hexdigest()
    record = SubmissionRecord(digest=digest, files=tuple(files), refused=tuple(refused[:MAX_NOTES]))
    return Submission(code, answers, record, tuple(missing))


def copy_module_code(submission: Submission, modules: Iterable[Module], into: Path) -> Submission:
    """Copy these modules' files, without recipes, into ``into``; return the submission with that folder as its code."""
    for module in modules:
        text = submission.read_text(module.code)
        if text is not None:
            (into / module.code).parent.mkdir(parents=True, exist_ok=True)
            (into / module.code).write_text(text, "utf-8")
    return replace(submission, folder=into)


def _read_student_file(tree: Path, path: Path) -> bytes | str | None:
    """Return a file's bytes, or the reason why it is refused, or None if it does not exist."""
    folder, full = tree, tree / path
    try:
        for part in path.parts[:-1]:
            folder = folder / part
            if folder.is_symlink():
                return f"{folder.relative_to(tree).as_posix()} is a symbolic link; hand in the folder itself"
            if os.path.lexists(folder / ".git"):
                return f"{folder.relative_to(tree).as_posix()} is a separate git repository; hand in its files instead"
        descriptor = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return f"{path.parent.as_posix()} is not a folder"
    except OSError as error:
        return "it is a symbolic link; hand in the file itself" if error.errno == errno.ELOOP else "it cannot be read"
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
        return f"it is not UTF-8 text (line {_find_line_number(data, error.start)}); save it as UTF-8"
    if "\0" in text:
        return f"it contains a null byte (line {_find_line_number(data, data.index(0))})"
    return data


def _find_line_number(data: bytes, position: int) -> int:
    """Find the line number of a byte position."""
    return data.count(b"\n", 0, position) + 1


def _make_ignored_file_notes(tree: Path, manifest: Manifest, modules: tuple[Module, ...]) -> list[Note]:
    """Make a note for each unexpected entry in the modules' code folders, saying that it is not used."""
    notes = []
    expected = {m.code for m in manifest.modules}
    for module in modules:
        folder = tree / module.code.parent
        for entry in _list_first_file_names(folder):
            path = module.code.parent / entry
            if path in expected or entry == "__pycache__" or entry.startswith(KEPT):
                continue
            shown = path.as_posix().encode("ascii", "backslashreplace").decode()
            notes.append(
                Note(path=shown[:200], message=f"not used: the module consists of a single file, {module.code.name}")
            )
    return notes


def _list_first_file_names(folder: Path) -> list[str]:
    """List up to 1,000 names in a folder, sorted, or none if it is a link, is not a folder or cannot be read."""
    try:
        if folder.is_symlink():
            return []
        with os.scandir(folder) as entries:
            return sorted((e.name for e in itertools.islice(entries, MAX_NAMES)), key=str.casefold)[:1000]
    except OSError:
        return []
