"""A seccomp filter for the worker: threads yes, processes no, and none of the kernel's wider doors.

Student code needs no second process. Without fork, the memory limit of one process bounds them all, and nothing can
outlive the worker. The filter is classic BPF as described in the kernel's Documentation/userspace-api/seccomp_filter.
"""

from __future__ import annotations

import platform
import struct

LOAD, JUMP_EQUAL, JUMP_ATLEAST, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = 1, 38
CLONE_THREAD = 0x00010000
OFFSET_NR, OFFSET_ARCH, OFFSET_ARG0 = 0, 4, 16

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
REFUSED = {
    "x86_64": {
        "fork": 57, "vfork": 58, "ptrace": 101, "mount": 165, "umount2": 166, "unshare": 272, "setns": 308,
        "add_key": 248, "request_key": 249, "keyctl": 250, "perf_event_open": 298, "process_vm_readv": 310,
        "process_vm_writev": 311, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
        # Memory that no limit of the process counts:
        "shmget": 29, "shmat": 30, "semget": 64, "msgget": 68, "mq_open": 240, "memfd_create": 319, "memfd_secret": 447,
    },
    "aarch64": {
        "umount2": 39, "mount": 40, "unshare": 97, "ptrace": 117, "add_key": 217, "request_key": 218, "keyctl": 219,
        "perf_event_open": 241, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271, "bpf": 280,
        "userfaultfd": 282, "io_uring_setup": 425,
        "mq_open": 180, "msgget": 186, "semget": 190, "shmget": 194, "shmat": 196, "memfd_create": 279,
        "memfd_secret": 447,
    },
}  # fmt: skip


def program(machine: str | None = None) -> bytes | None:
    """The filter for this processor, or None where its system call numbers are not known to us."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        return None
    code = [
        _op(LOAD, OFFSET_ARCH),
        _op(JUMP_EQUAL, ARCHITECTURES[machine], 1, 0),
        _op(RETURN, KILL),
        _op(LOAD, OFFSET_NR),
    ]
    if machine == "x86_64":  # the x32 numbers start here; nothing of ours uses them
        code += [_op(JUMP_ATLEAST, 0x40000000, 0, 1), _op(RETURN, ERRNO | EPERM)]
    for number in REFUSED[machine].values():
        code += [_op(JUMP_EQUAL, number, 0, 1), _op(RETURN, ERRNO | EPERM)]
    # clone3 hides its flags behind a pointer; told it is missing, the C library falls back to clone.
    code += [_op(JUMP_EQUAL, CLONE3, 0, 1), _op(RETURN, ERRNO | ENOSYS)]
    code += [
        _op(JUMP_EQUAL, CLONE[machine], 0, 3),
        _op(LOAD, OFFSET_ARG0),
        _op(JUMP_SET, CLONE_THREAD, 1, 0),
        _op(RETURN, ERRNO | EPERM),
        _op(RETURN, ALLOW),
    ]
    return b"".join(code)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
