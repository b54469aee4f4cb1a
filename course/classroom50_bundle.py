"""Write an autograder for Classroom 50: `autograder.py` and the released course in one folder."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

from course.release import TEMPLATES, write_release
from grading.errors import UsageError

AUTOGRADER = "autograder.py"
MAX_PACKED_BYTES = 10 << 20
"""The size of the largest archive that Classroom 50's runner fetches, in bytes."""


def write_autograder_folder(root: Path, target: Path, *, force: bool = False) -> int:
    """Write the folder of an assignment's autograder, and return its size in bytes when compressed.

    It contains the course as released to students, with sealed keys and without solutions, because anyone who finds
    the address can read what Classroom 50 publishes. Raise UsageError if the folder contains anything else or becomes
    too large for the runner to fetch.
    """
    target = target.resolve()
    strange = (
        sorted(p.name for p in target.glob("*") if p.name not in (AUTOGRADER, "course")) if target.is_dir() else []
    )
    if strange:
        raise UsageError(
            f"{target} contains {strange[0]}, which is not part of an autograder. Choose a different folder."
        )
    target.mkdir(parents=True, exist_ok=True)
    write_release(root, target / "course", force=force)
    shutil.copyfile(TEMPLATES / "classroom50" / AUTOGRADER, target / AUTOGRADER)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(target, target.name)
    size = packed.tell()
    if size > MAX_PACKED_BYTES:
        raise UsageError(f"{target} is {size >> 20} MiB packed; Classroom 50 fetches at most {MAX_PACKED_BYTES >> 20}.")
    return size
