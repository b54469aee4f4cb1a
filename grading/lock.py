"""Which course files in a student's repository are no longer as they were released."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

FILE = Path("course.lock.json")
SCHEMA = "tinytorch/lock/v1"


def lock(root: Path, files: Iterable[Path]) -> bytes:
    """The lock file's bytes: the SHA-256 of each of these files, given relative to ``root``."""
    digests = {path.as_posix(): _digest(root / path) for path in sorted(files)}
    return (json.dumps({"record": SCHEMA, "files": digests}, indent=1) + "\n").encode()


def changed_course_files(root: Path) -> tuple[str, ...]:
    """Released files that were changed or deleted since, sorted; none without a lock file.

    A lock file that cannot be read, or locks nothing, is itself what changed.
    """
    try:
        locked = json.loads((root / FILE).read_bytes())["files"]
        if not locked or not all(isinstance(digest, str) for digest in locked.values()):
            return (FILE.as_posix(),)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return (FILE.as_posix(),)
    return tuple(sorted(name for name, digest in locked.items() if _current(root, name) != digest))


def _current(root: Path, name: str) -> str | None:
    """The digest of a released file as it is now; None when it is gone, or is no plain file inside the repository."""
    path = root / name
    try:
        inside = os.path.commonpath([root.resolve(), path.resolve()]) == str(root.resolve())
        return _digest(path) if inside and path.is_file() else None
    except (OSError, ValueError):
        return None


def _digest(path: Path) -> str:
    """SHA-256 of a text file, with line ends as on every system: git may check it out with CRLF."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
