"""Pages in a real browser: Debian's Chromium, or the one that CHROMIUM names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync""".split()

IN_A_BROWSER = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]
"""What every file of tests in a browser is marked with."""

Open = Callable[..., Page]

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start one browser for all tests of a file. A conftest.py that imports this fixture provides it."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@contextmanager
def open_pages(browser: Browser, address: str) -> Iterator[Open]:
    """Yield `opened(width, height, path=…)`, which opens a page and by default waits until it has finished working.

    In the end nothing may have been said in any console, and nothing asked of another host.
    """
    said: list[str] = []
    contexts = []

    def console(message: ConsoleMessage) -> None:
        said.append(f"{message.type}: {message.text}")

    def opened(width: int = 1280, height: int = 900, *, path: str = "", finished: bool = True, **options: Any) -> Page:
        """Open a page in its own context, and record errors, messages and requests to other addresses."""
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", console)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: request.url.startswith((address, "data:")) or said.append(request.url))
        page.goto(address + path)
        if finished:
            expect(page.locator("#working")).to_be_hidden()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
