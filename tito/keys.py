"""Read single keys from a terminal as they are pressed."""

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
"""The beginnings of what arrow keys and other special keys send. These keys have no function here."""
END = "\x04"
"""The character that Ctrl-D sends. Closing the terminal has the same effect."""


def has_keyboard() -> bool:
    """Return whether standard input is a terminal with this process in its foreground."""
    with contextlib.suppress(OSError, ValueError):
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


def enable_single_keys() -> None:
    """If standard input is our terminal, switch it to unbuffered input without echo. Ctrl-Z and `fg` undo this."""
    if has_keyboard():
        tty.setcbreak(sys.stdin.fileno(), termios.TCSANOW)


@contextmanager
def read_keys(on_key: Callable[[str], None]) -> Iterator[None]:
    """During the block, call ``on_key`` in a thread with each key but special ones. This needs a terminal as input.

    If the keyboard closes, ``on_key`` is called with END. Afterwards, the terminal is as it was before.
    """
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    awake, wake = os.pipe()

    def forward_keys_until_woken() -> None:
        """Read keys and report each, until the keyboard closes or this thread is woken."""
        while awake not in select.select([keyboard, awake], [], [])[0]:
            try:
                data = os.read(keyboard, 64)
            except OSError:
                data = b""
            for key in ARROWS.sub(b"", data).decode(errors="ignore") if data else END:
                on_key(key)
            if not data:
                return

    enable_single_keys()
    reader = threading.Thread(target=forward_keys_until_woken, daemon=True)
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
