"""Read and write the student's id. `student.yaml` in the student's repository contains one line, `id: ada`."""

from __future__ import annotations

import re
from pathlib import Path

from grading.errors import UsageError
from grading.files import write_atomically
from grading.quiz.safe_yaml import dump_yaml, read_mapping

STUDENT_FILE = Path("student.yaml")
MAX_ID_LENGTH = 39
USER_NAME = re.compile(r"[a-z0-9_-]*[a-z0-9][a-z0-9_-]*", re.ASCII)
"""A pattern that matches GitHub's user names.

Those of managed users contain an underscore (dana_uni), and old names may have hyphens anywhere.
"""
HEADER = "# Your user name. Your capability questions depend on it, so do not change it.\n"


def read_student_id(root: Path) -> str | None:
    """Read the id in `student.yaml` in lower case, or None without a file. Raise InvalidFileError if it is invalid."""
    found = read_mapping(root, STUDENT_FILE)
    if found is None:
        return None
    for key in found.data:
        if key != "id":
            raise found.build_error_at((key,), f"unknown key `{key[:40]}`. Keep one line: id: your-user-name")
    id_ = found.data.get("id")
    if not isinstance(id_, str):
        raise found.build_error_at(
            ("id",), 'write one line `id: "your-user-name"`, in quotes if it looks like a number.'
        )
    try:
        return normalize_student_id(id_)
    except UsageError as error:
        raise found.build_error_at(("id",), str(error)) from None


def save_student_id(root: Path, student_id: str) -> None:
    """Write the id, in lower case, to `student.yaml`; raise UsageError if it is not a user name."""
    write_atomically(root / STUDENT_FILE, (HEADER + dump_yaml({"id": normalize_student_id(student_id)})).encode())


def normalize_student_id(student_id: str) -> str:
    """Return the id in lower case. Raise UsageError unless it could be a user name on GitHub."""
    lower = student_id.strip().lower()
    if len(lower) > MAX_ID_LENGTH or not USER_NAME.fullmatch(lower):
        raise UsageError(
            f"{student_id[:60]!r} is not a user name. Use letters a to z, digits, hyphens and underscores, "
            f"at most {MAX_ID_LENGTH} characters."
        )
    return lower
