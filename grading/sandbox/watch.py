"""A look at a worker now and then, for what no limit of the kernel's counts where it has no sandbox of its own."""

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
    """Looks at a process and its folder until it is stopped; ``end`` is called once, with the reason, at an excess."""

    def __init__(self, pid: int, folder: Path, max_tasks: int, end: Callable[[str], None]):
        self._pid, self._folder, self._max_tasks, self._end = pid, folder, max_tasks, end
        self._stopped = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def _look(self) -> None:
        while not self._stopped.wait(SECONDS):
            reason = find_excess(self._pid, self._folder, self._max_tasks)
            if reason is not None and not self._stopped.is_set():
                self._end(reason)
                return


def find_excess(pid: int, folder: Path, max_tasks: int) -> str | None:
    """What a process has too much of, in words for a student."""
    with contextlib.suppress(OSError):
        if len(os.listdir(f"/proc/{pid}/task")) > max_tasks:  # noqa: PTH208 - only counted
            return f"it had more than {max_tasks} threads"
    files, size = _measure(folder, pid)
    if files > MAX_FILES:
        return f"it made more than {MAX_FILES:,} files"
    if size > MAX_BYTES:
        return f"it wrote more than {MAX_BYTES >> 20} MB"
    return None


def _measure(folder: Path, pid: int) -> tuple[int, int]:
    """How many files there are below a folder, and how much they and the process's unnamed ones hold.

    What cannot be looked at counts as too many: nothing but hiding makes a folder so.
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
        except (FileNotFoundError, NotADirectoryError):  # gone meanwhile
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
