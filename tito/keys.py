"""Single keys from a terminal, as they are pressed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ESCAPE = b"\x1b"
"""What arrow keys and their like begin with: they are several characters, and mean nothing here."""
GONE = "q"
"""What a terminal that has been closed comes to."""


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

    def read() -> None:
        while awake not in select.select([keyboard, awake], [], [])[0]:
            try:
                data = os.read(keyboard, 64)
            except OSError:
                data = b""
            if not data:
                put(GONE)
                return
            if not data.startswith(ESCAPE):
                for key in data.decode(errors="ignore"):
                    put(key)

    def take_over(*_: object) -> None:
        if has_keyboard():  # after `fg` the shell has put its own settings back
            tty.setcbreak(keyboard)

    reader = threading.Thread(target=read, daemon=True)
    continued = signal.signal(signal.SIGCONT, take_over)
    take_over()
    reader.start()
    try:
        yield
    finally:
        os.write(wake, b".")
        reader.join()
        signal.signal(signal.SIGCONT, continued)
        for descriptor in (awake, wake):
            os.close(descriptor)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
