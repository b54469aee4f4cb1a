"""With Landlock, restrict this process to the files that it was given.

Landlock needs no rights and no namespace, and cannot be undone. Version 1 of the kernel's interface (Linux 5.13)
restricts files. Later versions can restrict more: moving files between folders (2), truncating files (3), TCP (4),
device commands (5), and signals and abstract sockets of other processes (6). Landlock is described in the kernel's
Documentation/userspace-api/landlock.rst.
"""

import ctypes
import os
import struct

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION = 1
PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG = 1 << 7, 1 << 8
REFER, TRUNCATE = 1 << 13, 1 << 14
ALL_FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All file rights that each version can restrict."""
ALL_TCP, ALL_SCOPES = 0b11, 0b11
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
"""The rights that apply to a file. The other rights apply only to folders."""

LIST = READ_DIR
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER

_libc = ctypes.CDLL(None, use_errno=True)


def read_landlock_version() -> int:
    """Ask the kernel for its Landlock version. Return 0 if Landlock is missing or disabled."""
    return max(0, _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION))


def restrict_files(rights: dict[str, int]) -> None:
    """Allow only these paths and all below them, with rights LIST, READ or WRITE, and if possible no TCP or signals.

    If the kernel's version supports it, signals to other processes and TCP are forbidden as well. Paths that do not
    exist are skipped. Raise OSError if the kernel refuses.
    """
    known = read_landlock_version()
    handled = ALL_FILES[min(known, 5)]
    # Older kernels accept only a shorter description.
    described = struct.pack("QQQ", handled, ALL_TCP, ALL_SCOPES)[: 8 if known < 4 else 16 if known < 6 else 24]
    ruleset = _call_kernel(CREATE_RULESET, described, ctypes.c_size_t(len(described)), 0)
    for path, allowed in rights.items():
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib costs start-up time here
            allowed &= OF_FILES
        rule = struct.pack("=Qi", allowed & handled, descriptor)
        _call_kernel(ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
        os.close(descriptor)
    _call_kernel(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _call_kernel(number: int, *arguments: object) -> int:
    """Make a Landlock system call; raise OSError if it fails."""
    result = _libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "the kernel refused a Landlock rule")
    return result
