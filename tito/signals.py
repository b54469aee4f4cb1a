"""Handle signals while the main thread waits. Python runs signal handlers only once that thread wakes up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals sent by Ctrl-C, `kill` and a closed terminal."""
STOP = 0
"""A number that no signal has. It stops the listening thread."""


@contextmanager
def forward_signals(on_signal: Callable[[int], None]) -> Iterator[None]:
    """During the block, call ``on_signal`` in a thread with the number of each SIGINT, SIGTERM, SIGHUP and SIGCONT.

    It does not matter which thread the kernel delivers the signal to. All but SIGCONT also raise KeyboardInterrupt in
    the main thread.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)

    def listen() -> None:
        """Report each signal's number until the stop byte arrives."""
        while (number := os.read(heard, 1)[0]) != STOP:
            on_signal(number)

    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDING}
    before[signal.SIGCONT] = signal.signal(signal.SIGCONT, lambda *_: None)
    told_before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(told_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(told, bytes([STOP]))
        listener.join()
        os.close(heard)
        os.close(told)
