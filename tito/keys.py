"""Single keys from a terminal, as they are pressed."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ARROWS = re.compile(rb"\x1b(?:\[[0-9;]*[A-Za-z~]|O?.)?")
"""Arrow keys and their like are several characters, and mean nothing here."""
END = "\x04"
"""Ctrl-D, and what a terminal that has been closed comes to."""
STOP = b"\0"
"""No signal has this number."""


def has_keyboard() -> bool:
    """Whether standard input is a terminal, and this process the one that it talks to."""
    with contextlib.suppress(OSError, ValueError):
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


@contextmanager
def read_keys(put: Callable[[str], None]) -> Iterator[None]:
    """Hand over each key that is pressed while the block runs. Ctrl-C stays an interrupt, and nothing is echoed."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    awake, wake = os.pipe()
    os.set_blocking(wake, False)

    def take_over() -> None:
        if has_keyboard():
            tty.setcbreak(keyboard, termios.TCSANOW)

    def read() -> None:
        while True:
            ready = select.select([keyboard, awake], [], [])[0]
            if awake in ready:
                if STOP in os.read(awake, 64):
                    return
                take_over()
                continue
            try:
                data = os.read(keyboard, 64)
            except OSError:
                data = b""
            for key in ARROWS.sub(b"", data).decode(errors="ignore") if data else END:
                put(key)
            if not data:
                return

    take_over()
    # After Ctrl-Z and `fg` the terminal is as the shell had it. The signal may come to any thread, and its handler
    # would run only once the main one wakes up: so the reader is told by the pipe.
    continued = signal.signal(signal.SIGCONT, lambda *_: None)
    told = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(told)
        signal.signal(signal.SIGCONT, continued)
        os.write(wake, STOP)
        reader.join()
        for descriptor in (awake, wake):
            os.close(descriptor)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
