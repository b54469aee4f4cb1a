"""Build the command that starts a worker.

The command determines what the worker sees, where it may write, and which rights it gives up.
"""

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
from grading.sandbox.identity import NOBODY, choose_worker_user_id, is_reachable_by_all, let_only_workers_read_if_root
from grading.sandbox.view import PACKAGES, FileView, find_real_interpreter, list_data_folders, make_worker_file_view
from grading.sandbox.watch import MAX_FILES, MAX_TASKS
from grading.worker import landlock

if TYPE_CHECKING:
    from grading.sandbox.launch import Confinement

WORKER = Path(__file__).resolve().parent.parent / "worker"
COURSE = Path(__file__).resolve().parents[2]

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip
"""Environment variables from which numerical libraries read their number of threads when they are loaded."""
ALLOCATOR_SETTINGS = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Settings that let glibc reuse freed memory, in bytes.

Otherwise it returns the memory of small arrays to the system after each training step, and the page faults of the next
step take up to a fifth of its time.
"""


@dataclass(frozen=True)
class WorkerPaths:
    """The folders that a worker uses, with the paths that it sees."""

    home: Path
    """The worker's current folder, the only one that it may write to."""
    worker: Path
    submission: Path
    site: tuple[Path, ...]
    """The folders of packages on the worker's import path."""


def prepare_worker_command(
    confinement: Confinement, private: Path, pipe_descriptor: int
) -> tuple[list[str], dict[str, str]]:
    """Prepare a worker's folders and their permissions, and return its command line and environment.

    Outside bubblewrap, its home is ``private / "home"``.
    """
    seen = make_worker_file_view(
        find_real_interpreter(), (*PACKAGES, *confinement.packages), frozenset({COURSE, *list_data_folders()})
    )
    let_only_workers_read_if_root(confinement.submission)
    if confinement.sandbox == "bubblewrap":
        places = WorkerPaths(
            Path(bubblewrap.TMP),
            bubblewrap.INSIDE,
            bubblewrap.SUBMISSION,
            tuple(sorted({path.parent for path in seen.packages})),
        )
        fence = _build_bubblewrap_fence(confinement, seen, places)
    else:
        places = _prepare_worker_folders(confinement, seen, private)
        fence = _build_plain_fence(confinement, seen, places)
    environment = {**_build_worker_environment(places.home, confinement.threads), **confinement.environment}
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
        argv = bubblewrap.build_bwrap_command(seen, mounted, environment)
    script = places.worker / "main.py"
    # Unbuffered, so that printed output is not lost when the worker is killed.
    return [
        *argv,
        "-u",
        "-I",
        "-S",
        "-B",
        "-X",
        "utf8",
        str(script),
        str(pipe_descriptor),
        json.dumps(config),
    ], environment


def _prepare_worker_folders(confinement: Confinement, seen: FileView, private: Path) -> WorkerPaths:
    """Create a home folder, and a folder of links to the packages, so that no other installed package is found."""
    home, site = private / "home", private / "site"
    home.mkdir()
    site.mkdir()
    for path in seen.packages:
        (site / path.name).symlink_to(path)
    return WorkerPaths(home, WORKER, confinement.submission.resolve(), (site,))


def _build_bubblewrap_fence(confinement: Confinement, seen: FileView, places: WorkerPaths) -> dict[str, object]:
    """Build the settings with which a worker confines itself inside bubblewrap: user, limits, files, system calls.

    Landlock enforces the mounts' rules again, and seccomp limits the system calls.
    """
    shown = [*seen.shown, places.worker, places.submission]
    names = [path.parent for path in seen.packages]
    rights = {**dict.fromkeys(names, landlock.LIST), **dict.fromkeys(shown, landlock.READ)}
    become = choose_worker_user_id()
    # Since Linux 5.14, a user namespace has its own counts.
    has_own_user = become != NOBODY if become is not None else _read_kernel_release() >= (5, 14)
    return {
        "tmpfs": f"size={bubblewrap.TMP_BYTES},nr_inodes={MAX_FILES}",
        "become": become,
        "limits": _compute_resource_limits(confinement, has_own_user=has_own_user),
        "files": _map_paths_to_rights(rights, places) if landlock.read_landlock_version() else None,
        "calls": True,
    }


def _build_plain_fence(confinement: Confinement, seen: FileView, places: WorkerPaths) -> dict[str, object]:
    """Build a worker's confinement settings without bubblewrap, and chown its folders to its own user, if any.

    The fence is either Landlock, seccomp and limits, or only limits in a plain process.
    """
    fence: dict[str, object] = {
        "tmpfs": None,
        "become": None,
        "limits": _compute_resource_limits(confinement, has_own_user=False),
    }
    if confinement.sandbox == "process":
        return fence | {"files": None, "calls": False}
    shown = {path: landlock.READ if whole else landlock.LIST for path, whole in seen.readable}
    shown |= dict.fromkeys((places.worker, places.submission), landlock.READ)
    private, become = places.home.parent, choose_worker_user_id()
    if become is not None and is_reachable_by_all(*shown, private):
        with contextlib.suppress(PermissionError):  # even root may lack this right
            for folder in (private, places.home, *places.site):
                os.chown(folder, become, NOBODY)
            fence |= {"become": become, "limits": _compute_resource_limits(confinement, has_own_user=become != NOBODY)}
    shown |= dict.fromkeys(places.site, landlock.READ)
    return fence | {"files": _map_paths_to_rights(shown, places), "calls": True}


def _map_paths_to_rights(shown: dict[Path, int], places: WorkerPaths) -> dict[str, int]:
    """Map each path to its Landlock rights, including the devices and the home folder."""
    devices = dict.fromkeys(bubblewrap.DEVICES, landlock.READ | landlock.WRITE_FILE)
    return {str(path): right for path, right in shown.items()} | devices | {str(places.home): landlock.WRITE}


def _read_kernel_release() -> tuple[int, ...]:
    """Return the first two numbers of the kernel's version, such as (5, 14)."""
    return tuple(int(part) for part in platform.release().partition("-")[0].split(".")[:2] if part.isdigit())


def _build_worker_environment(home: Path, threads: int) -> dict[str, str]:
    """Build the worker's environment, which contains none of the grader's own variables."""
    count = str(threads)
    return {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **dict.fromkeys(THREAD_VARIABLES, count),
        **ALLOCATOR_SETTINGS,
        "NUMBA_CACHE_DIR": str(home),
    }


def _compute_resource_limits(confinement: Confinement, *, has_own_user: bool) -> dict[str, int]:
    """Compute the worker's setrlimit values.

    The kernel counts threads per user. So they are limited only if the worker has its own user id.
    """
    limits = {
        "RLIMIT_AS": confinement.memory_mb << 20,
        "RLIMIT_CPU": confinement.cpu_seconds,
        "RLIMIT_FSIZE": 64 << 20,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_CORE": 0,
    }
    if has_own_user:
        limits["RLIMIT_NPROC"] = MAX_TASKS + confinement.threads
    if sys.platform == "darwin":  # macOS counts shared caches as address space, so no limit would be useful
        del limits["RLIMIT_AS"]
    return limits
