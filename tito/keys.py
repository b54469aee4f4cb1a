"""Single keys from a terminal, as they are pressed."""

from __future__ import annotations

import contextlib
import os
import re
import select
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


def has_keyboard() -> bool:
    """Whether standard input is a terminal, and this process the one that it talks to."""
    with contextlib.suppress(OSError, ValueError):
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


def take_keyboard() -> None:
    """Get each key at once and without an echo; again after Ctrl-Z and `fg`, when the shell has had the terminal."""
    if has_keyboard():
        tty.setcbreak(sys.stdin.fileno(), termios.TCSANOW)


@contextmanager
def read_keys(put: Callable[[str], None]) -> Iterator[None]:
    """Hand over each key that is pressed while the block runs. Ctrl-C stays an interrupt."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    awake, wake = os.pipe()

    def read() -> None:
        while awake not in select.select([keyboard, awake], [], [])[0]:
            try:
                data = os.read(keyboard, 64)
            except OSError:
                data = b""
            for key in ARROWS.sub(b"", data).decode(errors="ignore") if data else END:
                put(key)
            if not data:
                return

    take_keyboard()
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield
    finally:
        os.write(wake, b".")
        reader.join()
        for descriptor in (awake, wake):
            os.close(descriptor)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
