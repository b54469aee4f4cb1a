"""Open a newer release of the course from a folder, a zip archive or a git repository."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grading import lock
from grading.errors import GraderError, UsageError
from grading.manifest.loader import ManifestError, load_manifest
from grading.manifest.model import Manifest
from grading.sandbox.folders import create_temporary_folder

MAX_UNPACKED_BYTES = 200 << 20
"""The maximum unpacked size of an archive, in bytes. A release has a few million bytes."""


@dataclass(frozen=True)
class Release:
    """An unchanged release: its files and their bytes."""

    manifest: Manifest
    course: dict[Path, bytes]
    """The files that belong to the course, including the lock."""
    student: dict[Path, bytes]
    """The files that students may change: code, recipes, lessons."""


@contextmanager
def open_release(source: str, branch: str | None) -> Iterator[Release]:
    """Open the release in a folder, zip archive or git repository (cloned); raise UsageError unless it is unchanged."""
    path = Path(source).expanduser()
    with create_temporary_folder("tinytorch-update-") as temporary:
        if path.is_dir() and branch is None and (path / lock.FILE).is_file():
            folder = path
        elif path.is_file():
            folder = _unpack_archive(path, temporary)
        elif path.is_dir() or "://" in source or source.endswith(".git") or source.partition(":")[0].count("@") == 1:
            folder = _clone_repository(source, branch, temporary)
        else:
            raise UsageError(
                f"{source} does not exist. Give a folder, a zip archive or a git repository that contains a release."
            )
        yield read_release(folder, source)


def read_release(folder: Path, source: str) -> Release:
    """Read every file listed in a release's lock; raise UsageError if the folder is not an unchanged release."""
    try:
        said = json.loads((folder / lock.FILE).read_bytes())
        digests = {**said["files"], **said["student"]}
        if said["record"] != lock.SCHEMA or not all(map(_is_safe_release_path, digests)):
            raise ValueError
    except FileNotFoundError:
        raise UsageError(f"{source} is not a release of the course: it has no {lock.FILE}.") from None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise UsageError(f"{source} is not a release of the course: its {lock.FILE} cannot be read.") from None
    changed = sorted(name for name, digest in digests.items() if lock.digest_file_below(folder, name) != digest)
    if changed:
        shown = ", ".join(changed[:3]) + (" …" if changed[3:] else "")
        raise UsageError(
            f"{source} has changed since it was released: {shown}. Use a fresh copy of the release, not a repository "
            "in which somebody has worked."
        )
    try:
        manifest = load_manifest(folder)
    except ManifestError as error:
        raise UsageError(f"{source} cannot be used: {error}") from None
    lock.read_released_texts(folder)
    contents = {name: (folder / name).read_bytes() for name in [*digests, lock.FILE.as_posix()]}
    student = {Path(name): contents.pop(name) for name in said["student"]}
    return Release(manifest, {Path(name): data for name, data in contents.items()}, student)


def _is_safe_release_path(path_in_lock: str) -> bool:
    """Return whether an entry in the lock refers to a file inside the release, but not to one of git's own files."""
    parts = PurePosixPath(path_in_lock).parts
    return (
        bool(parts)
        and not path_in_lock.startswith("/")
        and not {"..", ".git"} & set(parts)
        and "\\" not in path_in_lock
    )


def _unpack_archive(archive_path: Path, into: Path) -> Path:
    """Unpack a zip archive and return the release's folder in it; raise UsageError if it is unreadable or too large."""
    try:
        with zipfile.ZipFile(archive_path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise UsageError(f"{archive_path} is too large for a release of the course.")
            archive.extractall(into)  # `extractall` keeps every member inside the folder
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise UsageError(f"{archive_path} cannot be read as a zip archive: {error}") from None
    inner = [folder for folder in into.iterdir() if folder.is_dir()]
    return inner[0] if len(inner) == 1 and not (into / lock.FILE).is_file() else into


def _clone_repository(source: str, branch: str | None, into: Path) -> Path:
    """Clone a branch's (or the default branch's) newest commit and return the folder; raise UsageError if it fails.

    Raise GraderError if git is not installed.
    """
    if shutil.which("git") is None:
        raise GraderError("git is not installed. Install it, or give a folder or a zip archive.")
    folder = into / "clone"
    which = ["--branch", branch] if branch else []
    command = ["git", "clone", "--quiet", "--depth", "1", *which, "--", source, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or ["git gave no reason"]
        raise UsageError(f"{source}{f', branch {branch},' if branch else ''} cannot be cloned: {why[0]}")
    return folder
