"""Create temporary folders and delete them reliably, whatever student code has done to them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def create_temporary_folder(prefix: str) -> Iterator[Path]:
    """Create a temporary folder that exists while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        delete_folder(folder)


def delete_folder(folder: Path) -> None:
    """Delete a folder, if it exists, however deep or unreadable it is inside. A failure is not reported."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):  # the system's own tools have no depth limit
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*command, "--", str(folder)], capture_output=True, check=False)  # noqa: S603
