"""Write and lock shared files so that no process ever reads a half-written one."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path
from typing import IO, Any

from grading.errors import GraderError, UsageError


class BusyError(GraderError):
    """The error raised if another process holds the lock."""


def require_folder(path: Path) -> None:
    """Raise UsageError if the folder for a file to be written does not exist."""
    if not path.absolute().parent.is_dir():
        raise UsageError(f"Cannot write {path}: the folder {path.parent} does not exist.")


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` in one step, replacing any existing file. The file's folder must exist."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def lock_file(file: IO[Any], *, wait: bool = False) -> bool:
    """Lock an open file until it is closed. Return False if the file system cannot; raise BusyError if it is locked.

    If ``wait`` is set, wait for the process that holds the lock instead. Lustre and some NFS cannot lock files.
    """
    import fcntl  # not on Windows, which `explain_unsupported_platform` reports

    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise BusyError(f"{file.name} is locked by another process.") from None
        return False
    return True
