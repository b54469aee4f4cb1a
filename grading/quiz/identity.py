"""The student's id: `student.yaml` in their repository holds one line, `id: ada`."""

from __future__ import annotations

import re
from pathlib import Path

from grading.errors import UsageError
from grading.files import write_atomically
from grading.quiz.safe_yaml import dump, read_mapping

FILE = Path("student.yaml")
LONGEST = 39
NAME = re.compile(r"[a-z0-9_-]*[a-z0-9][a-z0-9_-]*", re.ASCII)
"""GitHub's user names: managed users have an underscore (dana_uni), and old names have hyphens anywhere."""
HEADER = "# Your user name. Your capability questions depend on it, so do not change it.\n"


def student_id(root: Path) -> str | None:
    """Read the id in lower case, as case does not matter; None without a file, InvalidFileError for a damaged one."""
    found = read_mapping(root, FILE)
    if found is None:
        return None
    for key in found.data:
        if key != "id":
            raise found.bad((key,), f"unknown key `{key[:40]}`. Keep one line: id: your-user-name")
    id_ = found.data.get("id")
    if not isinstance(id_, str):
        raise found.bad(("id",), 'write one line `id: "your-user-name"`, in quotes if it looks like a number.')
    try:
        return valid_id(id_)
    except UsageError as error:
        raise found.bad(("id",), str(error)) from None


def save_student_id(root: Path, id_: str) -> None:
    """Write `student.yaml`; UsageError when the id is not a user name."""
    write_atomically(root / FILE, (HEADER + dump({"id": valid_id(id_)})).encode())


def valid_id(id_: str) -> str:
    """Return the id in lower case; UsageError unless GitHub could have such a user name."""
    lower = id_.strip().lower()
    if len(lower) > LONGEST or not NAME.fullmatch(lower):
        raise UsageError(
            f"{id_[:60]!r} is not a user name. Use letters a to z, digits, hyphens and underscores, "
            f"at most {LONGEST} characters."
        )
    return lower
