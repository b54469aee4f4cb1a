"""The terminal from which a page was started: show the address, open a browser, and handle Ctrl+C."""

from __future__ import annotations

import os
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

IN_A_TERMINAL = {"www-browser", "links", "elinks", "lynx", "w3m"}
"""The browsers that would take over the terminal."""
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME")
"""Environment variables. At least one of them must be set to open a browser on Linux."""


def print_page_address(console: Console, address: str, *, browser: bool) -> None:
    """Print a page's address on its own line for copying, and open it if ``browser`` is True."""
    console.print(Text.assemble("\nYour network's page: ", (address, "bold")), soft_wrap=True)
    opened = browser and open_in_browser(address)
    how = "It opens in your browser now." if opened else "Open this address in your browser."
    console.print(Text(f"{how} Only this machine can reach it. Ctrl+C stops it.\n"))


@contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Treat SIGTERM like Ctrl+C within this context. In any thread but the main one, change nothing."""

    def raise_interrupt(*_: Any) -> NoReturn:
        """Raise KeyboardInterrupt, as Ctrl-C does."""
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, raise_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def open_in_browser(address: str) -> bool:
    """Have a graphical browser open an address, without waiting for it. Return False if there is no such browser."""
    if sys.platform == "linux" and not any(map(os.environ.get, DISPLAYS)):
        return False
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    if PurePath(getattr(browser, "name", "")).name in IN_A_TERMINAL:
        return False
    threading.Thread(target=browser.open, args=(address,), daemon=True, name="browser").start()
    return True
