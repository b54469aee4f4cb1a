"""With a seccomp filter, restrict this process to the system calls needed for computing with threads and files.

Everything else is refused, including new processes, other programs, sockets, signals to other processes, and shared
memory or anonymous memory files. Without fork, one process's limits apply to all student code. The filter is classic
BPF, described in the kernel's Documentation/userspace-api/seccomp_filter.rst.
"""

import ctypes
import os
import platform
import struct

LOAD, JUMP_EQUAL, JUMP_ATLEAST, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, ENOSYS = 1, 38
OFFSET_NR, OFFSET_ARCH, OFFSET_ARGUMENTS = 0, 4, 16
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000
"""The first call number of the other interface on x86_64 (x32), which Python does not use."""
YOUNG = 424
"""The first number of the recent calls, which have the same number everywhere. C libraries work without them."""

# Each call's number on x86_64 and on aarch64, or None if the processor has no such call.
ALLOWED = {
    # Reading and writing open files
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "pwrite64": (18, 68), "lseek": (8, 62), "close": (3, 57), "close_range": (436, 436), "dup": (32, 23),
    "dup2": (33, None), "dup3": (292, 24), "fsync": (74, 82), "fdatasync": (75, 83), "ftruncate": (77, 46),
    "sendfile": (40, 71), "copy_file_range": (326, 285), "sendto": (44, 206), "recvfrom": (45, 207),
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None),
    "pselect6": (270, 72),
    # File names; Landlock and the sandbox's mounts decide which files may be opened or changed
    "stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "getdents64": (217, 61), "statfs": (137, 43), "fstatfs": (138, 44), "getcwd": (79, 17),
    "chdir": (80, 49), "fchdir": (81, 50), "umask": (95, 166), "mkdir": (83, None), "mkdirat": (258, 34),
    "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38),
    "renameat2": (316, 276),
    # Memory
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "msync": (26, 227),
    "mincore": (27, 232), "brk": (12, 214),
    # Threads, waiting, clocks
    "futex": (202, 98), "set_tid_address": (218, 96), "set_robust_list": (273, 99), "get_robust_list": (274, 100),
    "rseq": (334, 293), "membarrier": (324, 283), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "sched_getscheduler": (145, 120), "sched_getparam": (143, 121), "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126), "getcpu": (309, 168), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "times": (100, 153), "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
    "arch_prctl": (158, None),
    # Its own signals
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    # Its identity and usage
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175),
    "getgid": (104, 176), "getegid": (108, 177), "getgroups": (115, 158), "uname": (63, 160),
    "sysinfo": (99, 179), "getrlimit": (97, 163), "getrusage": (98, 165), "getrandom": (318, 278),
}  # fmt: skip
BOUNDED = {
    "clone": (56, 220), "open": (2, None), "openat": (257, 56), "ioctl": (16, 29), "fcntl": (72, 25),
    "madvise": (28, 233), "prctl": (157, 167), "kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261),
}  # fmt: skip
"""Calls that are allowed only with certain arguments."""

CLONE_THREAD = 0x10000
O_TRUNC, WRITING = 0x200, 0x3
TERMINAL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, which Python uses on descriptors."""
DESCRIPTOR = (0, 1, 2, 3, 4, 1030)
"""F_DUPFD to F_SETFL, F_DUPFD_CLOEXEC. Signals to other processes, larger pipes and locks are not allowed. With locks,
two workers could communicate through a file that both may only read.
"""
ADVICE = (0, 1, 2, 3, 4, 8, 14, 15, 102, 103)
"""Advice on memory use. MADV_COLD, MADV_PAGEOUT and fadvise64 are not allowed: the system's cached pages of a file
outlive a process, so the next one could detect which pages this one has evicted."""
NAMES = (15, 16, 0x53564D41)
"""PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, for the names of threads and memory."""


def build_seccomp_filter(machine: str, pid: int) -> bytes | None:
    """Build the filter for a processor and the process ``pid``, or return None if the call numbers are not known."""
    if machine not in ARCHITECTURES:
        return None
    column = list(ARCHITECTURES).index(machine)
    code = [
        _encode_bpf_instruction(LOAD, OFFSET_ARCH),
        _encode_bpf_instruction(JUMP_EQUAL, ARCHITECTURES[machine], 1, 0),
        _encode_bpf_instruction(RETURN, KILL),
        _encode_bpf_instruction(LOAD, OFFSET_NR),
    ]
    if machine == "x86_64":
        code += [_encode_bpf_instruction(JUMP_ATLEAST, X32, 0, 1), _encode_bpf_instruction(RETURN, ERRNO | EPERM)]
    for numbers in ALLOWED.values():
        if (number := numbers[column]) is not None:
            code += [_encode_bpf_instruction(JUMP_EQUAL, number, 0, 1), _encode_bpf_instruction(RETURN, ALLOW)]
    for name, numbers in BOUNDED.items():
        if (number := numbers[column]) is not None:
            bounded = _build_argument_check(name, pid)
            code += [_encode_bpf_instruction(JUMP_EQUAL, number, 0, len(bounded)), *bounded]
    code += [_encode_bpf_instruction(JUMP_ATLEAST, YOUNG, 0, 1), _encode_bpf_instruction(RETURN, ERRNO | ENOSYS)]
    return b"".join([*code, _encode_bpf_instruction(RETURN, ERRNO | EPERM)])


def install_seccomp_filter() -> None:
    """Install the filter, if there is one for this processor; raise OSError if the kernel refuses.

    The process must still be single-threaded. The grader checks beforehand whether there is a filter.
    """
    code = build_seccomp_filter(platform.machine(), os.getpid())
    if code is None:
        return
    instructions = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel refused the seccomp filter")


def _build_argument_check(name: str, pid: int) -> list[bytes]:
    """Build the instructions that check the arguments of one call. Every path through them ends in a return."""
    if name == "clone":
        return [
            _build_load_instruction(0),
            _encode_bpf_instruction(JUMP_SET, CLONE_THREAD, 0, 1),
            _encode_bpf_instruction(RETURN, ALLOW),
            _encode_bpf_instruction(RETURN, ERRNO | EPERM),
        ]
    if name in ("open", "openat"):
        # O_TRUNC empties a file that is opened for reading, and Landlock before version 3 counts that as reading.
        return [
            _build_load_instruction(1 if name == "open" else 2),
            _encode_bpf_instruction(JUMP_SET, O_TRUNC, 0, 1),
            _encode_bpf_instruction(JUMP_SET, WRITING, 0, 1),
            _encode_bpf_instruction(RETURN, ALLOW),
            _encode_bpf_instruction(RETURN, ERRNO | EPERM),
        ]
    argument, values = {
        "ioctl": (1, TERMINAL),
        "fcntl": (1, DESCRIPTOR),
        "madvise": (2, ADVICE),
        "prctl": (0, NAMES),
        "kill": (0, (pid,)),
        "tgkill": (0, (pid,)),
        "prlimit64": (0, (0, pid)),
    }[name]
    checks = [
        part
        for value in values
        for part in (_encode_bpf_instruction(JUMP_EQUAL, value, 0, 1), _encode_bpf_instruction(RETURN, ALLOW))
    ]
    return [_build_load_instruction(argument), *checks, _encode_bpf_instruction(RETURN, ERRNO | EPERM)]


def _build_load_instruction(index: int) -> bytes:
    """Build the instruction that loads an argument's lower half. The kernel reads all these arguments as ints."""
    return _encode_bpf_instruction(LOAD, OFFSET_ARGUMENTS + 8 * index)


def _encode_bpf_instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Encode one BPF instruction. A jump skips ``if_true`` or ``if_false`` of the instructions after it."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
