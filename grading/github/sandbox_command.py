"""`python -m grading.github sandbox`: makes bubblewrap work on this machine, or says why it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import typer

from grading.errors import GraderError
from grading.sandbox import bubblewrap

RESTRICTION = "kernel.apparmor_restrict_unprivileged_userns"
PROC = Path("/proc/sys")


def sandbox_command() -> None:
    """Make the sandbox work: install bubblewrap, and let it use user namespaces where AppArmor forbids them.

    Meant for machines that are thrown away, such as GitHub's: it uses sudo and says each command before it runs.
    Nothing is done where the sandbox works already. Exit code 3 where it does not work in the end: then nothing of a
    student's is run.
    """
    prepare()
    typer.echo("The sandbox works.")


def prepare() -> None:
    """Do what is missing, in order, until a sandbox can be made; GraderError when it never can."""
    if sys.platform != "linux":
        raise GraderError("bubblewrap exists only on Linux; student code would run as a plain process here.")
    if bubblewrap.works() is None:
        return
    if shutil.which("bwrap") is None:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "bubblewrap")
    if _still() and _restricted():
        # Ubuntu 24.04: without this an unprivileged bwrap may not map users. The machine has no other user to protect.
        _run("sysctl", "-w", f"{RESTRICTION}=0")
    if reason := _still():
        raise GraderError(reason)


def _still() -> str | None:
    """Why it does not work yet, tried anew."""
    bubblewrap.works.cache_clear()
    return bubblewrap.works()


def _restricted() -> bool:
    try:
        return (PROC / RESTRICTION.replace(".", "/")).read_text().strip() == "1"
    except OSError:
        return False


def _run(*command: str) -> None:
    """One command as root; GraderError when it fails."""
    argv = command if os.geteuid() == 0 else ("sudo", "-n", *command)
    typer.echo(f"$ {' '.join(argv)}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        code = subprocess.run(argv, env=environment, check=False).returncode  # noqa: S603 - our own commands
    except OSError as error:
        raise GraderError(f"{argv[0]} cannot be run: {error.strerror}. Install bubblewrap by hand.") from None
    if code:
        raise GraderError(f"`{' '.join(argv)}` ended with {code}. Install bubblewrap by hand.")
