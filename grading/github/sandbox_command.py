"""The command `python -m grading.github sandbox`, which makes a sandbox work or reports why none does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import typer

from grading.errors import GraderError
from grading.render import words
from grading.sandbox import bubblewrap, launch

USERNS_RESTRICTION = "kernel.apparmor_restrict_unprivileged_userns"
PROC_SYS = Path("/proc/sys")


def run_sandbox_command() -> None:
    """Make the sandbox work: install bubblewrap, and let it use user namespaces if AppArmor forbids them.

    This command is for disposable machines such as GitHub's. It uses sudo and prints each command before running it. If
    bubblewrap already works, nothing is done. If bubblewrap cannot be made to work, Landlock is enough. If neither
    works, the exit code is 3 and no student code is run.
    """
    typer.echo(f"The sandbox works: {words.name_sandbox(prepare_sandbox())}.")


def prepare_sandbox() -> str:
    """Make bubblewrap work, as root if necessary, or fall back to Landlock. Return the sandbox that grading will use.

    If a different sandbox is requested, nothing is installed. Raise GraderError if official grading would refuse this
    machine.
    """
    if sys.platform == "linux" and os.environ.get(launch.VARIABLE) in (None, "", "bubblewrap"):
        try:
            _make_bubblewrap_work()
        except GraderError as error:
            if os.environ.get(launch.VARIABLE):
                raise
            if reason := launch.find_landlock_problem():
                raise GraderError(f"{error} ({reason})") from None
            typer.echo(f"{error} Landlock is used instead.")
    return launch.choose_fence(official=True)


def _make_bubblewrap_work() -> None:
    """Install bubblewrap and lift AppArmor's restriction, if necessary. Raise GraderError if it still does not work."""
    if bubblewrap.find_bubblewrap_problem() is None:
        return
    if shutil.which("bwrap") is None:
        _run_as_root("apt-get", "update", "-qq")
        _run_as_root("apt-get", "install", "-y", "-qq", "bubblewrap")
    if _retry_bubblewrap() and _is_userns_restricted():
        # On Ubuntu 24.04, an unprivileged bwrap may not map users without this. The machine has no other user to
        # protect.
        _run_as_root("sysctl", "-w", f"{USERNS_RESTRICTION}=0")
    if reason := _retry_bubblewrap():
        raise GraderError(f"{reason}.")


def _retry_bubblewrap() -> str | None:
    """Try bubblewrap again. Return the reason why it does not work, or None if it works."""
    bubblewrap.find_bubblewrap_problem.cache_clear()
    return bubblewrap.find_bubblewrap_problem()


def _is_userns_restricted() -> bool:
    """Return whether AppArmor forbids unprivileged user namespaces."""
    try:
        return (PROC_SYS / USERNS_RESTRICTION.replace(".", "/")).read_text().strip() == "1"
    except OSError:
        return False


def _run_as_root(*command: str) -> None:
    """Print one command and run it as root; raise GraderError if it fails."""
    argv = command if os.geteuid() == 0 else ("sudo", "-n", *command)
    typer.echo(f"$ {' '.join(argv)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        code = subprocess.run(argv, env=environment, check=False).returncode  # noqa: S603 - our own commands
    except OSError as error:
        raise GraderError(f"{argv[0]} cannot be run: {error.strerror}. Install bubblewrap by hand.") from None
    if code:
        raise GraderError(f"`{' '.join(argv)}` ended with {code}. Install bubblewrap by hand.")
