"""Who a worker becomes when the grader is root: a user that nobody else is, and that owns nothing."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

NOBODY = 65534
FIRST = 1 << 30
"""Numbers from here on belong to no user of any system."""
_started = itertools.count()


def is_root() -> bool:
    """Whether the grader is a root that can make its workers somebody else: the root of a small container cannot."""
    return os.geteuid() == 0 and _exists(NOBODY)


def unprivileged_id() -> int | None:
    """A user's number for one worker; None when the grader is not root, and its workers stay what they are.

    Each worker has another one, since the kernel counts threads by user; where such numbers do not exist, it is nobody.
    """
    if not is_root():
        return None
    wanted = FIRST + os.getpid() % (1 << 22) * 256 + next(_started) % 256
    return wanted if _exists(wanted) else NOBODY


def _exists(number: int) -> bool:
    """Whether this user namespace has a user and a group of that number."""
    try:
        maps = [Path(f"/proc/self/{kind}_map").read_text().splitlines() for kind in ("uid", "gid")]
    except OSError:
        return number == NOBODY
    ranges = [[tuple(map(int, line.split())) for line in lines] for lines in maps]
    return all(any(first <= number < first + count for first, _, count in parts) for parts in ranges)


def let_workers_read(submission: Path) -> None:
    """Give a root's copy of a submission to the workers' group: they may read it, and nobody else may."""
    if not is_root() or submission.stat().st_gid == NOBODY:
        return
    for folder, _, names in os.walk(submission):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            os.chown(path, -1, NOBODY, follow_symlinks=False)
            if not path.is_symlink():
                path.chmod(0o750 if path.is_dir() else 0o640)


def anybody_may_reach(*paths: Path) -> bool:
    """Whether every folder above these may be passed by everybody."""
    return all(folder.stat().st_mode & 0o001 for path in paths for folder in path.absolute().parents)
