"""Watch a worker outside bubblewrap for excessive use of resources that no kernel limit covers."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

SECONDS = 0.2
MAX_TASKS = 64
MAX_FILES = 4096
MAX_BYTES = 256 << 20


class Watchdog:
    """A thread that checks a process and its folder. If they exceed a limit, it calls ``end`` once, with the reason."""

    def __init__(self, pid: int, folder: Path, max_tasks: int, end: Callable[[str], None]):
        self._pid, self._folder, self._max_tasks, self._end = pid, folder, max_tasks, end
        self._stopped = threading.Event()
        threading.Thread(target=self._check_at_intervals, daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def _check_at_intervals(self) -> None:
        """Check the process at intervals until stopped or until it exceeds a limit, which is reported to ``end``."""
        while not self._stopped.wait(SECONDS):
            reason = describe_exceeded_resource_limit(self._pid, self._folder, self._max_tasks)
            if reason is not None and not self._stopped.is_set():
                self._end(reason)
                return


def describe_exceeded_resource_limit(pid: int, folder: Path, max_tasks: int) -> str | None:
    """Describe in a clause which limit on threads, files or bytes a process exceeds; return None if it exceeds none.

    An example, for a student's message, is "it created more than 4,096 files".
    """
    with contextlib.suppress(OSError):
        if len(os.listdir(f"/proc/{pid}/task")) > max_tasks:  # noqa: PTH208 - only counted
            return f"it had more than {max_tasks} threads"
    files, size = _count_files_and_bytes(folder, pid)
    if files > MAX_FILES:
        return f"it created more than {MAX_FILES:,} files"
    if size > MAX_BYTES:
        return f"it wrote more than {MAX_BYTES >> 20} MB"
    return None


def _count_files_and_bytes(folder: Path, pid: int) -> tuple[int, int]:
    """Count the files below a folder, up to just above MAX_FILES, and the bytes in them and in unnamed open files.

    Folders are counted as well. An unreadable folder counts as too many files, since only an attempt to hide files
    makes a folder unreadable.
    """
    files, size, folders = 0, 0, [str(folder)]
    while folders and files <= MAX_FILES:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):  # deleted in the meantime
            continue
        except OSError:
            return MAX_FILES + 1, size
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                held = descriptor.stat()
                if stat.S_ISREG(held.st_mode) and held.st_nlink == 0:
                    size += held.st_blocks * 512
    return files, size
