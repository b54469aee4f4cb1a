"""Detect which course files in a student's repository have changed since the release, with `course.lock.json`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from grading.errors import UsageError

FILE = Path("course.lock.json")
BASE = Path("course.base.json")
"""The file with the released texts of all files that students may change. `tito module reset` restores the texts, and
`tito update` uses them as the base of its merge.
"""
SCHEMA = "tinytorch/lock/v1"


def encode_lock_file(root: Path, course: Iterable[Path], student: Iterable[Path]) -> bytes:
    """Return the lock file's content: the SHA-256 of the course's files and, separately, of the student's.

    Both lists are relative to ``root``.
    """
    digests = {"files": _digest_files(root, course), "student": _digest_files(root, student)}
    return (json.dumps({"record": SCHEMA, **digests}, indent=1) + "\n").encode()


def find_changed_course_files(root: Path) -> tuple[str, ...]:
    """List the course files that were changed or deleted since the release, or none if there is no lock file.

    If the lock file is unreadable or empty, it counts as the changed file.
    """
    try:
        locked = json.loads((root / FILE).read_bytes())["files"]
        if not locked or not all(isinstance(digest, str) for digest in locked.values()):
            return (FILE.as_posix(),)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return (FILE.as_posix(),)
    return tuple(sorted(name for name, digest in locked.items() if digest_file_below(root, name) != digest))


def read_student_digests(root: Path) -> dict[str, str]:
    """Map each of the student's files to its released digest. The result is empty if there is no lock file.

    Raise UsageError if the lock file cannot be read.
    """
    try:
        given = json.loads((root / FILE).read_bytes())["student"]
        if not isinstance(given, dict) or not all(isinstance(digest, str) for digest in given.values()):
            raise ValueError
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise UsageError(f"{root / FILE} cannot be read. Release the course again: inv release --to DIR") from None
    return given


def encode_base_file(texts: Mapping[Path, bytes]) -> bytes:
    """Return the bytes of the file `course.base.json`, which contains these released texts."""
    released = {path.as_posix(): texts[path].decode() for path in sorted(texts)}
    return (json.dumps(released, indent=1, ensure_ascii=False) + "\n").encode()


def read_released_texts(root: Path) -> dict[str, str]:
    """Map each file that students may change to its released text. Raise UsageError if there is no base file.

    The course's own repository has no base file. Raise UsageError also for a file that cannot be read.
    """
    try:
        texts = json.loads((root / BASE).read_text(encoding="utf-8"))
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise ValueError
    except FileNotFoundError:
        raise UsageError(
            f"There is no {BASE}, which contains the original text of your files. Only a released course has this "
            f"file. If you deleted it, restore it: git checkout -- {BASE}"
        ) from None
    except (OSError, ValueError, RecursionError):
        raise UsageError(f"{BASE} cannot be read. Restore it: git checkout -- {BASE}") from None
    return texts


def is_unchanged_since_release(root: Path, name: str, released_digests: Mapping[str, str]) -> bool:
    """Return whether a student's file below ``root`` still matches the release (`read_student_digests`)."""
    return name in released_digests and digest_file_below(root, name) == released_digests[name]


def digest_file_below(root: Path, name: str) -> str | None:
    """Compute a file's digest, ignoring line endings; return None unless it is a plain file inside ``root``."""
    path = root / name
    try:
        inside = os.path.commonpath([root.resolve(), path.resolve()]) == str(root.resolve())
        if not inside or not path.is_file():
            return None
        return digest_text_ignoring_line_ends(path.read_bytes())
    except (OSError, ValueError):
        return None


def digest_text_ignoring_line_ends(data: bytes) -> str:
    """Compute a digest of a text that ignores line endings and a byte order mark."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return hashlib.sha256(text).hexdigest()


def _digest_files(root: Path, files: Iterable[Path]) -> dict[str, str | None]:
    """Map each file to its digest, or to None if it is missing or is not a plain file."""
    return {path.as_posix(): digest_file_below(root, path.as_posix()) for path in sorted(files)}
