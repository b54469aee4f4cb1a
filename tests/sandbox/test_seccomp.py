"""The filter is an exact list, in numbers that the kernel's own headers confirm."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from grading.worker import seccomp

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
PID = 77


def run_filter(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """Return the filter's result for a call, computed as the kernel does."""
    code = list(struct.iter_unpack("=HBBI", seccomp.build_seccomp_filter(machine, PID)))
    words = struct.pack(
        "=iIQ6Q", number, arch or seccomp.ARCHITECTURES[machine], 0, *arguments, *[0] * (6 - len(arguments))
    )
    at, value = 0, 0
    while True:
        kind, if_true, if_false, k = code[at]
        if kind == seccomp.RETURN:
            return k
        if kind == seccomp.LOAD:
            (value,) = struct.unpack_from("=I", words, k)
            at += 1
            continue
        held = {
            seccomp.JUMP_EQUAL: value == k, seccomp.JUMP_ATLEAST: value >= k, seccomp.JUMP_SET: bool(value & k)
        }[kind]  # fmt: skip
        at += 1 + (if_true if held else if_false)


def read_kernel_numbers(machine: str) -> dict[str, int]:
    """Read the name of each system call number from the kernel's header."""
    if not HEADERS[machine].is_file():
        pytest.skip("the kernel's headers are not installed")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    named = {name: int(number) for name, number in found}
    return named | ({"newfstatat": named["fstatat"]} if machine == "aarch64" else {})


@pytest.mark.parametrize(("column", "machine"), list(enumerate(seccomp.ARCHITECTURES)))
def test_each_number_is_the_kernel_s(column, machine):
    """A wrong number would open something else."""
    known = read_kernel_numbers(machine)
    for name, call in {**seccomp.ALLOWED, **seccomp.BOUNDED}.items():
        assert call[column] == known.get(name), name


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_every_number_that_is_not_listed_is_refused(machine):
    """New calls are refused as missing, so that a C library does without them; the others as forbidden."""
    column = list(seccomp.ARCHITECTURES).index(machine)
    listed = {call[column] for call in (*seccomp.ALLOWED.values(), *seccomp.BOUNDED.values())}
    for number in range(600):
        if number not in listed:
            errno = seccomp.ENOSYS if number >= seccomp.YOUNG else seccomp.EPERM
            assert run_filter(machine, number) == seccomp.ERRNO | errno, number


@pytest.mark.parametrize("machine", seccomp.ARCHITECTURES)
def test_arguments_decide_where_a_call_has_two_sides(machine):
    """Threads and no processes, signals to itself alone, its own limits, no locks, no file emptied by reading it."""
    column = list(seccomp.ARCHITECTURES).index(machine)
    allowed = [
        ("clone", 0x3D0F00), ("kill", PID, 9), ("tgkill", PID, 5, 9), ("prlimit64", 0), ("prlimit64", PID),
        ("openat", 0, 0, 0), ("openat", 0, 0, 0x241), ("ioctl", 1, 0x5401), ("fcntl", 1, 1), ("prctl", 15),
        ("madvise", 0, 1, 4),
    ]  # fmt: skip
    refused = [
        ("clone", 17), ("clone", 0x10000000), ("kill", 1, 9), ("kill", 0, 9), ("kill", 2**64 - 1, 9),
        ("tgkill", 1, 1, 9), ("prlimit64", 1), ("openat", 0, 0, 0x200), ("ioctl", 1, 0x5412), ("fcntl", 1, 1031),
        ("fcntl", 1, 5), ("fcntl", 1, 6), ("fcntl", 1, 7),
        ("prctl", 4), ("prctl", 22), ("madvise", 0, 1, 20), ("madvise", 0, 1, 21),
    ]  # fmt: skip
    for calls, expected in ((allowed, seccomp.ALLOW), (refused, seccomp.ERRNO | seccomp.EPERM)):
        for name, *arguments in calls:
            assert run_filter(machine, seccomp.BOUNDED[name][column], *arguments) == expected, (name, arguments)


def test_another_interface_of_the_same_processor_is_closed():
    """The 32-bit calls end the process, and the x32 numbers are refused."""
    assert run_filter("x86_64", 1, arch=0x40000003) == seccomp.KILL
    assert run_filter("x86_64", seccomp.X32 + 1) == seccomp.ERRNO | seccomp.EPERM


def test_the_filter_is_made_for_known_processors_only():
    """If the system call numbers are not known, there is no filter rather than a wrong one."""
    assert seccomp.build_seccomp_filter("riscv64", PID) is None
