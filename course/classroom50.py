"""Writes what Classroom 50 grades an assignment with: its `autograder.py` and the released course beside it."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

from course.release import TEMPLATES, write_release
from grading.errors import UsageError

AUTOGRADER = "autograder.py"
LARGEST = 10 << 20
"""Bytes that Classroom 50's runner fetches at most, packed."""


def write_bundle(root: Path, target: Path, *, force: bool = False) -> int:
    """Write the folder of an assignment's autograder; how many bytes it has when packed, as it is published.

    The course in it is the release that students get, with sealed keys and without solutions: what Classroom 50
    publishes for its runner can be read by whoever finds its address. UsageError when the folder holds anything else,
    or is too large for the runner to fetch.
    """
    target = target.resolve()
    strange = (
        sorted(p.name for p in target.glob("*") if p.name not in (AUTOGRADER, "course")) if target.is_dir() else []
    )
    if strange:
        raise UsageError(f"{target} holds {strange[0]}, which is no part of an autograder. Name another folder.")
    target.mkdir(parents=True, exist_ok=True)
    write_release(root, target / "course", force=force)
    shutil.copyfile(TEMPLATES / "classroom50" / AUTOGRADER, target / AUTOGRADER)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(target, target.name)
    size = packed.tell()
    if size > LARGEST:
        raise UsageError(f"{target} is {size >> 20} MiB packed; Classroom 50 fetches at most {LARGEST >> 20}.")
    return size
