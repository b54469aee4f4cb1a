"""Landlock, put on by the worker itself: from then on it opens no file but those it was given.

It needs no rights and no namespace, and cannot be taken off again. What each version of the kernel's interface adds:
1 (Linux 5.13) files; 2 moving files between folders; 3 emptying them; 4 TCP; 5 commands to devices; 6 signals and
abstract sockets of other processes. Described in the kernel's Documentation/userspace-api/landlock.rst.
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
"""Every right to files that a version knows, and so can take away."""
ALL_TCP, ALL_SCOPES = 0b11, 0b11
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
"""The rights that apply to a file; the others apply to folders only."""

LIST = READ_DIR
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER

_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Which version of the interface the kernel has; 0 when it has none, or has it switched off."""
    return max(0, _libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION))


def restrict_files(rights: dict[str, int]) -> None:
    """Allow these paths their rights (LIST, READ or WRITE), everything below them too, and nothing else.

    Processes of others get no signal, and there is no TCP, as far as the kernel's version knows how. Paths that do not
    exist are left out. OSError when the kernel refuses it.
    """
    known = version()
    handled = ALL_FILES[min(known, 5)]
    # An older kernel takes a shorter description.
    described = struct.pack("QQQ", handled, ALL_TCP, ALL_SCOPES)[: 8 if known < 4 else 16 if known < 6 else 24]
    ruleset = _call(CREATE_RULESET, described, ctypes.c_size_t(len(described)), 0)
    for path, allowed in rights.items():
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):  # noqa: PTH112 - pathlib costs start-up time here
            allowed &= OF_FILES
        rule = struct.pack("=Qi", allowed & handled, descriptor)
        _call(ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
        os.close(descriptor)
    _call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _call(number: int, *arguments: object) -> int:
    result = _libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "the kernel takes no Landlock rule")
    return result
