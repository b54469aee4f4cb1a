"""The command that runs a worker in bubblewrap: nothing of the machine but Python, NumPy and the student's files."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime")
TMP = "/tmp"  # noqa: S108 - the sandbox's own
TMP_BYTES = 256 << 20
NOBODY = 65534
INSIDE = Path("/worker")
SUBMISSION = Path("/submission")


@functools.cache
def works() -> str | None:
    """Why bubblewrap cannot be used here, or None when it can. It is tried, not looked up."""
    path = shutil.which("bwrap")
    if path is None:
        return "bubblewrap is not installed (Debian, Ubuntu: sudo apt-get install bubblewrap)"
    tried = subprocess.run(  # noqa: S603 - a fixed command
        [path, *_isolation(), *_system(), "--", "/usr/bin/env", "true"], capture_output=True, timeout=20, check=False
    )
    if tried.returncode:
        reason = tried.stderr.decode(errors="replace").strip()[:300]
        return f"bubblewrap cannot make a sandbox here: {reason}"
    return None


def command(
    python: Path,
    submission: Path,
    worker: Path,
    packages: list[Path],
    hidden: Path,
    seccomp_fd: int | None,
    environment: Mapping[str, str],
) -> list[str]:
    """The bwrap command line up to where the worker's own begins.

    ``packages`` are the folders of what student code may import; whatever else is installed is covered over, and so is
    ``hidden``, the course's folder, should it lie below something that is shown.
    """
    prefix, hidden = Path(sys.base_prefix).resolve(), hidden.resolve()
    shown = [Path(name) for name in SYSTEM]
    binds: list[str] = []
    if not any(prefix.is_relative_to(path) for path in shown):
        binds += _bind(prefix)
    covered = [*_installed(prefix), *([hidden] if any(hidden.is_relative_to(p) for p in (prefix, *shown)) else [])]
    for folder in covered:
        binds += ["--tmpfs", str(folder)]
    for folder in packages:
        binds += _bind(folder)
    binds += ["--ro-bind", str(worker), str(INSIDE), "--ro-bind", str(submission), str(SUBMISSION)]
    filtered = ["--seccomp", str(seccomp_fd)] if seccomp_fd is not None else []
    # These are file systems in memory without a size: nothing may be written there.
    closed = [part for place in ("/", "/dev", *map(str, covered)) for part in ("--remount-ro", place)]
    bwrap = shutil.which("bwrap") or "bwrap"
    # After --clearenv, which is in _isolation: bwrap applies its options in their order.
    variables = [part for name, value in environment.items() for part in ("--setenv", name, value)]
    return [bwrap, *_isolation(), *variables, *_system(), *binds, *filtered, *closed, "--chdir", TMP, "--", str(python)]


def unprivileged_id() -> int | None:
    """Who the worker has to become, when the grader is root: None otherwise.

    A root of a user namespace is still root to files of /proc such as sys/kernel/core_pattern. So for root there is
    no user namespace: the worker starts with nothing but the right to become somebody else, and does so first.
    """
    return NOBODY if os.geteuid() == 0 else None


def _installed(prefix: Path) -> list[Path]:
    """Where the system's Python and this one keep packages, each folder once."""
    roots = (prefix, Path("/usr"), Path("/usr/local"))
    found = {path.resolve() for root in roots for path in root.glob("lib*/python3*/*-packages") if path.is_dir()}
    return sorted(found)


def _isolation() -> list[str]:
    if unprivileged_id() is None:
        who = ["--unshare-user", "--cap-drop", "ALL"]
    else:
        who = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return [
        *who, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--die-with-parent", "--new-session", "--clearenv", "--hostname", "worker", "--proc", "/proc", "--dev", "/dev",
        "--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", TMP,
    ]  # fmt: skip


def _bind(path: Path) -> list[str]:
    """Show a folder in its own place, behind parents that anybody may pass (the real ones may be private)."""
    parents = [part for parent in reversed(path.parents[:-1]) for part in ("--perms", "0755", "--dir", str(parent))]
    return [*parents, "--ro-bind", str(path), str(path)]


def _system() -> list[str]:
    binds: list[str] = []
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink() and path.is_dir():
            binds += ["--symlink", str(path.readlink()), name]
        elif path.exists():
            binds += ["--ro-bind", name, name]
    return binds
