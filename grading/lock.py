"""Which course files in a student's repository are no longer as they were released: `course.lock.json`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from grading.errors import UsageError

FILE = Path("course.lock.json")
BASE = Path("course.base.json")
"""The texts of the files that students may change, as they were released: what `tito module reset` puts back, and what
`tito update` merges from."""
SCHEMA = "tinytorch/lock/v1"


def lock(root: Path, course: Iterable[Path], student: Iterable[Path]) -> bytes:
    """The lock file's bytes: the SHA-256 of the course's files and, apart, of the student's as they start from.

    Both are relative to ``root``.
    """
    digests = {"files": _digests(root, course), "student": _digests(root, student)}
    return (json.dumps({"record": SCHEMA, **digests}, indent=1) + "\n").encode()


def changed_course_files(root: Path) -> tuple[str, ...]:
    """Released course files that were changed or deleted since, sorted; none without a lock file.

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
    return tuple(sorted(name for name, digest in locked.items() if digest_of(root, name) != digest))


def student_files(root: Path) -> dict[str, str]:
    """What the student's files started as: path → digest. Nothing without a lock file, as in the course itself.

    UsageError when the lock file is there and cannot be read.
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


def encode_base(texts: Mapping[Path, bytes]) -> bytes:
    """The bytes of `course.base.json`; `read_base` reads them."""
    released = {path.as_posix(): texts[path].decode() for path in sorted(texts)}
    return (json.dumps(released, indent=1, ensure_ascii=False) + "\n").encode()


def read_base(root: Path) -> dict[str, str]:
    """The texts of the files that students may change, as they were released: path → text.

    UsageError where there are none, as in the course's own repository, or where they cannot be read.
    """
    try:
        texts = json.loads((root / BASE).read_text(encoding="utf-8"))
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise ValueError
    except FileNotFoundError:
        raise UsageError(
            f"There is no {BASE} here, which says what your files began as: only a released course has one. "
            f"If you deleted it: git checkout -- {BASE}"
        ) from None
    except (OSError, ValueError, RecursionError):
        raise UsageError(f"{BASE} cannot be read. Restore it: git checkout -- {BASE}") from None
    return texts


def is_untouched(root: Path, name: str, given: Mapping[str, str]) -> bool:
    """Whether a student's file below ``root`` is still as it was given out (`student_files`)."""
    return name in given and digest_of(root, name) == given[name]


def digest_of(root: Path, name: str) -> str | None:
    """The digest of a file as it is now; None when it is gone, or is no plain file inside ``root``."""
    path = root / name
    try:
        inside = os.path.commonpath([root.resolve(), path.resolve()]) == str(root.resolve())
        if not inside or not path.is_file():
            return None
        return digest(path.read_bytes())
    except (OSError, ValueError):
        return None


def digest(data: bytes) -> str:
    """The digest of a text, however editors and git write it: line ends and a byte order mark do not count."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return hashlib.sha256(text).hexdigest()


def _digests(root: Path, files: Iterable[Path]) -> dict[str, str | None]:
    return {path.as_posix(): digest_of(root, path.as_posix()) for path in sorted(files)}
