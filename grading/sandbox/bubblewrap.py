"""Build the command that runs a worker in bubblewrap, where it sees only Python, NumPy and the student's files."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from grading.sandbox.identity import can_change_user
from grading.sandbox.view import PACKAGES, FileView, find_real_interpreter, make_worker_file_view

TMP = "/tmp"  # noqa: S108 - inside the sandbox
TMP_BYTES = 256 << 20
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
INSIDE = Path("/worker")
SUBMISSION = Path("/submission")


@functools.cache
def find_bubblewrap_problem() -> str | None:
    """Try bubblewrap, once per process. Return why it cannot be used on this machine, or None if it works."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian, Ubuntu: sudo apt-get install bubblewrap)"
    reason = ""
    for _ in range(2):  # a machine may briefly be out of processes or memory
        try:
            argv = [
                *build_bwrap_command(make_worker_file_view(find_real_interpreter(), PACKAGES, frozenset()), {}, {}),
                "-I",
                "-S",
                "-c",
                "",
            ]
            tried = subprocess.run(argv, capture_output=True, timeout=60, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = str(error)
            continue
        if not tried.returncode:
            return None
        reason = tried.stderr.decode(errors="replace").strip()
    return f"bubblewrap cannot create a sandbox here: {reason[:300]}"


def build_bwrap_command(seen: FileView, mounted: Mapping[Path, Path], environment: Mapping[str, str]) -> list[str]:
    """Build the bwrap command line up to the interpreter's arguments.

    ``mounted`` maps the names of folders inside the sandbox to the folders themselves.
    """
    rules = seen.list_paths_by_depth()
    binds = [
        part
        for path in _list_parent_folders(path for path, _ in rules)
        for part in ("--perms", "0755", "--dir", str(path))
    ]
    for path, shown in rules:
        binds += ["--ro-bind", str(path), str(path)] if shown else ["--tmpfs", str(path)]
    for inside, outside in mounted.items():
        binds += ["--ro-bind", str(outside), str(inside)]
    # These in-memory file systems have no size limit, so nothing may be written there.
    for place in ("/", *(str(path) for path, shown in rules if not shown)):
        binds += ["--remount-ro", place]
    # The variables come after --clearenv, which is one of the isolation options, because bwrap applies options in
    # order.
    variables = [part for name, value in environment.items() for part in ("--setenv", name, value)]
    bwrap = shutil.which("bwrap") or "bwrap"
    return [bwrap, *_list_isolation_options(), *variables, *binds, "--chdir", TMP, "--", str(seen.python)]


def _list_isolation_options() -> list[str]:
    """List the options for separate namespaces, an empty /tmp and four devices.

    There is no /proc, because it describes the machine.

    Root inside a user namespace still counts as root for many files. So a grader that runs as root creates no user
    namespace. Its worker switches to another user before it loads anything (`grading/worker/confine.py`). Before
    that, the worker uses its right to mount to limit the number of files in /tmp.
    """
    rights = ["CAP_SYS_ADMIN", *(["CAP_SETUID", "CAP_SETGID"] if can_change_user() else [])]
    return [
        *([] if can_change_user() else ["--unshare-user"]), "--cap-drop", "ALL",
        *(part for right in rights for part in ("--cap-add", right)),
        "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--die-with-parent", "--new-session", "--clearenv", "--hostname", "worker",
        # The folder is made here, so that every user may enter it: bwrap makes a device's folder only for its own user.
        "--perms", "0755", "--dir", "/dev", *(part for device in DEVICES for part in ("--dev-bind", device, device)),
        "--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", TMP,
    ]  # fmt: skip


def _list_parent_folders(paths: Iterable[Path]) -> list[Path]:
    """List every folder above these paths except the root, topmost first. In the sandbox, every user may enter them."""
    return sorted({parent for path in paths for parent in path.parents[:-1]}, key=lambda path: len(path.parts))
