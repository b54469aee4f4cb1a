"""The command that runs a worker in bubblewrap: nothing of the machine but Python, NumPy and the student's files."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime")
TMP_BYTES = 256 << 20
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
    python: Path, submission: Path, worker: Path, site: list[Path], hidden: Path, seccomp_fd: int | None
) -> list[str]:
    """The bwrap command line up to where the worker's own begins.

    ``hidden`` is the course's folder: should Python live above it, it is covered over.
    """
    binds: list[str] = []
    prefix = Path(sys.base_prefix).resolve()
    if not any(prefix.is_relative_to(p) for p in ("/usr", "/lib")):
        binds += ["--ro-bind", str(prefix), str(prefix)]
    if hidden.resolve().is_relative_to(prefix):
        binds += ["--tmpfs", str(hidden.resolve())]
    for folder in site:
        binds += ["--ro-bind", str(folder), str(folder)]
    binds += ["--ro-bind", str(worker), str(INSIDE), "--ro-bind", str(submission), str(SUBMISSION)]
    filtered = ["--seccomp", str(seccomp_fd)] if seccomp_fd is not None else []
    bwrap = shutil.which("bwrap") or "bwrap"
    return [
        bwrap,
        *_isolation(),
        *_system(),
        *binds,
        *filtered,
        "--remount-ro",
        "/",
        "--chdir",
        "/tmp",
        "--",
        str(python),
    ]  # noqa: S108 - the sandbox's own


def _isolation() -> list[str]:
    return [
        "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL",
        "--hostname", "worker", "--proc", "/proc", "--dev", "/dev", "--size", str(TMP_BYTES), "--tmpfs", "/tmp",  # noqa: S108
    ]  # fmt: skip


def _system() -> list[str]:
    binds: list[str] = []
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink() and path.is_dir():
            binds += ["--symlink", str(path.readlink()), name]
        elif path.exists():
            binds += ["--ro-bind", name, name]
    return binds
