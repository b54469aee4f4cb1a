"""The command that runs a worker in bubblewrap: nothing of the machine but Python, NumPy and the student's files."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from grading.sandbox.identity import is_root
from grading.sandbox.view import PACKAGES, View, interpreter, view

TMP = "/tmp"  # noqa: S108 - the sandbox's own
TMP_BYTES = 256 << 20
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
INSIDE = Path("/worker")
SUBMISSION = Path("/submission")


@functools.cache
def works() -> str | None:
    """Why bubblewrap cannot be used here, or None when it can. It is tried, not looked up."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian, Ubuntu: sudo apt-get install bubblewrap)"
    reason = ""
    for _ in range(2):  # a machine may be out of processes or memory for a moment
        try:
            argv = [*command(view(interpreter(), PACKAGES, frozenset()), {}, {}), "-I", "-S", "-c", ""]
            tried = subprocess.run(argv, capture_output=True, timeout=60, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
            continue
        if not tried.returncode:
            return None
        reason = tried.stderr.decode(errors="replace").strip()
    return f"bubblewrap cannot make a sandbox here: {reason[:300]}"


def command(seen: View, mounted: Mapping[Path, Path], environment: Mapping[str, str]) -> list[str]:
    """The bwrap command line up to the interpreter's arguments.

    ``mounted`` shows folders (the values) under other names (the keys).
    """
    rules = seen.by_depth()
    binds = [part for path in _parents(path for path, _ in rules) for part in ("--perms", "0755", "--dir", str(path))]
    for path, shown in rules:
        binds += ["--ro-bind", str(path), str(path)] if shown else ["--tmpfs", str(path)]
    for inside, outside in mounted.items():
        binds += ["--ro-bind", str(outside), str(inside)]
    # These are file systems in memory without a size: nothing may be written there.
    for place in ("/", *(str(path) for path, shown in rules if not shown)):
        binds += ["--remount-ro", place]
    # After --clearenv, which is in _isolation: bwrap applies its options in their order.
    variables = [part for name, value in environment.items() for part in ("--setenv", name, value)]
    bwrap = shutil.which("bwrap") or "bwrap"
    return [bwrap, *_isolation(), *variables, *binds, "--chdir", TMP, "--", str(seen.python)]


def _isolation() -> list[str]:
    """Namespaces of its own, no file but an empty /tmp and four devices, and no /proc: that would name the machine's.

    Root inside a user namespace still counts as root for many files. So a root grader makes no user namespace; its
    worker switches to another user before it loads anything (`grading/worker/confine.py`). First it uses its right to
    mount to bound the number of files in /tmp.
    """
    rights = ["CAP_SYS_ADMIN", *(["CAP_SETUID", "CAP_SETGID"] if is_root() else [])]
    return [
        *([] if is_root() else ["--unshare-user"]), "--cap-drop", "ALL",
        *(part for right in rights for part in ("--cap-add", right)),
        "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--die-with-parent", "--new-session", "--clearenv", "--hostname", "worker",
        # Made by us, for anybody to pass: bwrap makes the folder above a device for its own user alone.
        "--perms", "0755", "--dir", "/dev", *(part for device in DEVICES for part in ("--dev-bind", device, device)),
        "--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", TMP,
    ]  # fmt: skip


def _parents(paths: Iterable[Path]) -> list[Path]:
    """The folders above some paths, those above first: anybody may pass them, though the real ones may be private."""
    return sorted({parent for path in paths for parent in path.parents[:-1]}, key=lambda path: len(path.parts))
