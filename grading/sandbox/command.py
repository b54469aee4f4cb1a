"""The command that starts a worker: what it sees, where it writes, and what it gives up before it loads anything."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grading.sandbox import bubblewrap
from grading.sandbox.identity import NOBODY, anybody_may_reach, let_workers_read, unprivileged_id
from grading.sandbox.view import PACKAGES, View, folders_of_data, interpreter, view
from grading.sandbox.watch import MAX_FILES, MAX_TASKS
from grading.worker import landlock

if TYPE_CHECKING:
    from grading.sandbox.launch import Confinement

WORKER = Path(__file__).resolve().parent.parent / "worker"
COURSE = Path(__file__).resolve().parents[2]

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip
"""Each library reads its number of threads from one of these when it is loaded."""


@dataclass(frozen=True)
class Places:
    """Where a worker finds what it needs, by the names that it sees."""

    home: Path
    """Its current folder, and all it may write."""
    worker: Path
    submission: Path
    site: tuple[Path, ...]
    """What goes on the import path for packages."""


def command(confinement: Confinement, private: Path, pipe: int) -> tuple[list[str], dict[str, str]]:
    """A worker's command line and environment. Outside bubblewrap its home is ``private / "home"``."""
    seen = view(interpreter(), (*PACKAGES, *confinement.packages), frozenset({COURSE, *folders_of_data()}))
    let_workers_read(confinement.submission)
    if confinement.sandbox == "bubblewrap":
        places = Places(
            Path(bubblewrap.TMP),
            bubblewrap.INSIDE,
            bubblewrap.SUBMISSION,
            tuple(sorted({path.parent for path in seen.packages})),
        )
        fence = _fence_in_bubblewrap(confinement, seen, places)
    else:
        places = _prepare_folders(confinement, seen, private)
        fence = _fence_outside(confinement, seen, places)
    environment = {**_environment(places.home, confinement.threads), **confinement.environment}
    config = {
        "site": [str(folder) for folder in places.site],
        "submission": str(places.submission),
        "folders": list(confinement.folders),
        "home": str(places.home),
        "fence": fence,
    }
    argv = [str(seen.python)]
    if confinement.sandbox == "bubblewrap":
        mounted = {places.worker: WORKER, places.submission: confinement.submission.resolve()}
        argv = bubblewrap.command(seen, mounted, environment)
    script = places.worker / "main.py"
    # Unbuffered: what student code has printed must not be lost when its worker is ended.
    return [*argv, "-u", "-I", "-S", "-B", "-X", "utf8", str(script), str(pipe), json.dumps(config)], environment


def _prepare_folders(confinement: Confinement, seen: View, private: Path) -> Places:
    """A home, and a folder of links to the packages: whatever else is installed beside them is not to be found."""
    home, site = private / "home", private / "site"
    home.mkdir()
    site.mkdir()
    for path in seen.packages:
        (site / path.name).symlink_to(path)
    return Places(home, WORKER, confinement.submission.resolve(), (site,))


def _fence_in_bubblewrap(confinement: Confinement, seen: View, places: Places) -> dict[str, object]:
    """Once more by Landlock, where the kernel has it, what the mounts say; and no more system calls than are needed."""
    shown = [*seen.shown, places.worker, places.submission]
    names = [path.parent for path in seen.packages]
    rights = {**dict.fromkeys(names, landlock.LIST), **dict.fromkeys(shown, landlock.READ)}
    become = unprivileged_id()
    # A user namespace counts for itself since Linux 5.14.
    alone = become != NOBODY if become is not None else _release() >= (5, 14)
    return {
        "tmpfs": f"size={bubblewrap.TMP_BYTES},nr_inodes={MAX_FILES}",
        "become": become,
        "limits": _limits(confinement, alone=alone),
        "files": _rights(rights, places) if landlock.version() else None,
        "calls": True,
    }


def _fence_outside(confinement: Confinement, seen: View, places: Places) -> dict[str, object]:
    """Landlock, few system calls and limits; or, in a plain process, the limits alone."""
    fence: dict[str, object] = {"tmpfs": None, "become": None, "limits": _limits(confinement, alone=False)}
    if confinement.sandbox == "process":
        return fence | {"files": None, "calls": False}
    shown = {path: landlock.READ if whole else landlock.LIST for path, whole in seen.readable}
    shown |= dict.fromkeys((places.worker, places.submission), landlock.READ)
    private, become = places.home.parent, unprivileged_id()
    if become is not None and anybody_may_reach(*shown, private):
        with contextlib.suppress(PermissionError):  # a root without that right
            for folder in (private, places.home, *places.site):
                os.chown(folder, become, NOBODY)
            fence |= {"become": become, "limits": _limits(confinement, alone=become != NOBODY)}
    shown |= dict.fromkeys(places.site, landlock.READ)
    return fence | {"files": _rights(shown, places), "calls": True}


def _rights(shown: dict[Path, int], places: Places) -> dict[str, int]:
    devices = dict.fromkeys(bubblewrap.DEVICES, landlock.READ | landlock.WRITE_FILE)
    return {str(path): right for path, right in shown.items()} | devices | {str(places.home): landlock.WRITE}


def _release() -> tuple[int, ...]:
    """The kernel's version, as far as it is made of numbers."""
    return tuple(int(part) for part in platform.release().partition("-")[0].split(".")[:2] if part.isdigit())


def _environment(home: Path, threads: int) -> dict[str, str]:
    """All the worker gets to see: nothing of the grader's or the machine's environment comes through."""
    count = str(threads)
    return {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **dict.fromkeys(THREAD_VARIABLES, count),
        "NUMBA_CACHE_DIR": str(home),
    }


def _limits(confinement: Confinement, *, alone: bool) -> dict[str, int]:
    """Setrlimit values; the worker sets them before it loads student code, and cannot raise them again.

    The kernel counts threads by user: that is a limit of one worker's where it is ``alone`` under its number.
    """
    limits = {
        "RLIMIT_AS": confinement.memory_mb << 20,
        "RLIMIT_CPU": confinement.cpu_seconds,
        "RLIMIT_FSIZE": 64 << 20,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
    }
    if alone:
        limits["RLIMIT_NPROC"] = MAX_TASKS + confinement.threads
    if sys.platform == "darwin":  # macOS counts shared caches into the address space: no useful limit there
        del limits["RLIMIT_AS"]
    return limits
