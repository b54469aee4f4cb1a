"""What submissions import that try things, and a way to make system calls that Python has no name for."""

ATTEMPTS = """
import ctypes, fcntl, glob, os, platform, resource, socket, subprocess, sys, threading, time
import numpy as np
NUMBERS = {
    "ptrace": (101, 117), "mount": (165, 40), "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280),
    "process_vm_readv": (310, 270), "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "prctl": (157, 167),
    "perf_event_open": (298, 241), "keyctl": (250, 219), "open_by_handle_at": (304, 265), "shmget": (29, 194),
    "personality": (135, 92),
}
def call(name, *arguments):
    number = NUMBERS[name][platform.machine() == "aarch64"]
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    if done < 0:
        refused = ctypes.get_errno() in (1, 38)
        raise OSError("refused") if refused else SystemExit(f"errno {ctypes.get_errno()}")
"""
