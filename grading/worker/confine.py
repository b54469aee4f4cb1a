"""Confine a worker process before it loads anything but these files and the standard library."""

import contextlib
import ctypes
import os
import resource
import struct

import landlock
import seccomp

NOGROUP = 65534
"""The group that may read the copy of a submission (see `grading/sandbox/identity.py`)."""
PR_SET_NO_NEW_PRIVS = 38
MS_NOSUID, MS_NODEV, MS_REMOUNT = 2, 4, 32

_libc = ctypes.CDLL(None, use_errno=True)


def confine(fence: dict) -> None:
    """Permanently restrict this process as far as `fence` says: its user, resources, files and system calls.

    Raise OSError if the kernel refuses a restriction that the grader expects to work.
    """
    if fence["tmpfs"]:
        limit_tmp(fence["tmpfs"])
    if fence["become"] is not None:
        os.setgroups([])
        os.setgid(NOGROUP)
        os.setuid(fence["become"])
    set_limits(fence["limits"])
    if fence["calls"]:
        drop_capabilities()
    if fence["files"] is not None:
        landlock.restrict_files(fence["files"])
    if fence["calls"]:
        seccomp.install_seccomp_filter()


def limit_tmp(options: str) -> None:
    """Try to limit the size and the number of files of /tmp, this worker's own file system. Ignore a refusal.

    If bubblewrap cannot pass on the right to mount, only memory limits the number of files.
    """
    _libc.mount(b"tmpfs", b"/tmp", None, MS_REMOUNT | MS_NOSUID | MS_NODEV, options.encode())


def drop_capabilities() -> None:
    """Give up all capabilities, and the right to gain any by running a program."""
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel does not let a process give up new privileges")
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)
    if _libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "the kernel does not let a process give up its capabilities")


def set_limits(limits: dict[str, int]) -> None:
    """Set limits that student code cannot raise again, and skip limits that the system does not have or refuses."""
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            _, hard = resource.getrlimit(kind)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            # The soft limit sends SIGXCPU, which identifies the reason. The hard limit kills the worker a second later.
            soft = value - 1 if name == "RLIMIT_CPU" else value
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (soft, value))
