"""The user that a worker becomes if the grader is root: an unused user id that owns no files."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

NOBODY = 65534
FIRST = 1 << 30
"""The first user id for workers. No system assigns ids from this number upwards to users."""
_started = itertools.count()


def can_change_user() -> bool:
    """Return whether the grader is root and can change its workers' user. In a small container, root cannot."""
    return os.geteuid() == 0 and _is_user_and_group_id_mapped(NOBODY)


def choose_worker_user_id() -> int | None:
    """Choose an unused user id for one worker, or else nobody's. Return None if the grader is not root.

    Each worker has its own id, since the kernel counts threads per user. If there are no such ids, choose the user
    `nobody`.
    """
    if not can_change_user():
        return None
    wanted = FIRST + os.getpid() % (1 << 22) * 256 + next(_started) % 256
    return wanted if _is_user_and_group_id_mapped(wanted) else NOBODY


def _is_user_and_group_id_mapped(number: int) -> bool:
    """Return whether this user namespace has a user and a group with this id."""
    try:
        maps = [Path(f"/proc/self/{kind}_map").read_text().splitlines() for kind in ("uid", "gid")]
    except OSError:
        return number == NOBODY
    ranges = [[tuple(map(int, line.split())) for line in lines] for lines in maps]
    return all(any(first <= number < first + count for first, _, count in parts) for parts in ranges)


def let_only_workers_read_if_root(submission: Path) -> None:
    """If the grader is root, let only the workers' group read the copy of a submission."""
    if not can_change_user() or submission.stat().st_gid == NOBODY:
        return
    for folder, _, names in os.walk(submission):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            os.chown(path, -1, NOBODY, follow_symlinks=False)
            if not path.is_symlink():
                path.chmod(0o750 if path.is_dir() else 0o640)


def is_reachable_by_all(*paths: Path) -> bool:
    """Return whether every user may enter all the folders above these paths."""
    return all(folder.stat().st_mode & 0o001 for path in paths for folder in path.absolute().parents)
