"""How a worker gives up what it could do, before it loads anything but these files and Python's own."""

import contextlib
import ctypes
import os
import resource
import struct

import landlock
import seccomp

NOGROUP = 65534
"""Whose members may read a submission's copy; see `grading/sandbox/identity.py`."""
PR_SET_NO_NEW_PRIVS = 38
MS_NOSUID, MS_NODEV, MS_REMOUNT = 2, 4, 32

_libc = ctypes.CDLL(None, use_errno=True)


def confine(fence: dict) -> None:
    """Become nobody in particular, with limits that cannot be raised again, few files and few system calls.

    OSError when the kernel refuses what the grader has found it to know.
    """
    if fence["tmpfs"]:
        bound_files(fence["tmpfs"])
    if fence["become"] is not None:
        os.setgroups([])
        os.setgid(NOGROUP)
        os.setuid(fence["become"])
    set_limits(fence["limits"])
    if fence["calls"]:
        drop_rights()
    if fence["files"] is not None:
        landlock.restrict_files(fence["files"])
    if fence["calls"]:
        seccomp.restrict_calls()


def bound_files(options: str) -> None:
    """How much and how many files /tmp takes, where it is a file system of this worker's own.

    Where the system does not let bubblewrap hand on the right to do so, it takes as many as memory does.
    """
    _libc.mount(b"tmpfs", b"/tmp", None, MS_REMOUNT | MS_NOSUID | MS_NODEV, options.encode())


def drop_rights() -> None:
    """No capability, and none to be had from a program that is started."""
    if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel does not let a process give up new privileges")
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)
    if _libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "the kernel does not let a process give up its capabilities")


def set_limits(limits: dict[str, int]) -> None:
    """Limits that student code cannot raise again. What the system does not know is left out."""
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            _, hard = resource.getrlimit(kind)
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            # The soft limit sends SIGXCPU, which names the reason; a second later the hard limit kills.
            soft = value - 1 if name == "RLIMIT_CPU" else value
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (soft, value))
