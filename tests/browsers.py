"""Pages in a real browser: Debian's Chromium, or the one that CHROMIUM names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

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
KEPT: WeakKeyDictionary[Browser, dict[str, Page]] = WeakKeyDictionary()
"""The pages that each browser has open, by the options of their contexts."""

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start one browser for all tests of a file. A conftest.py that imports this fixture provides it."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


MEDIA = {"color_scheme": "light", "reduced_motion": "no-preference", "forced_colors": "none", "media": "screen"}
"""The media settings that can change while a page is open, with their defaults."""


@contextmanager
def open_pages(browser: Browser, address: str) -> Iterator[Open]:
    """Yield `opened(width, height, path=…)`, which opens a page and by default waits until it has finished working.

    All tests of a file share a page, since a new one takes a second of processor time: a test that opens two pages
    sees the second one instead of the first, unless they differ in options of their contexts. In the end nothing may
    have been said in any console, and nothing asked of another host.
    """
    said: list[str] = []
    used: list[Page] = []
    listeners = {
        "console": lambda message: said.append(f"{message.type}: {message.text}"),
        "pageerror": lambda error: said.append(str(error)),
        "request": lambda request: request.url.startswith((address, "data:", "about:")) or said.append(request.url),
    }

    def opened(width: int = 1280, height: int = 900, *, path: str = "", finished: bool = True, **options: Any) -> Page:
        """Open a page, and record errors, messages and requests to other addresses."""
        media = {name: options.pop(name, usual) for name, usual in MEDIA.items()}
        page = find_or_open_page(browser, **options)
        if page not in used:
            used.append(page)
            for event, listener in listeners.items():
                page.on(event, listener)
        page.emulate_media(**media)
        page.set_viewport_size({"width": width, "height": height})
        page.mouse.move(0, 0)
        page.goto(address + path)
        if finished:
            expect(page.locator("#working")).to_be_hidden()
        return page

    try:
        yield opened
    finally:
        for page in used:
            page.goto("about:blank")  # closes its connections
            for event, listener in listeners.items():
                page.remove_listener(event, listener)
    assert said == []


def find_or_open_page(browser: Browser, **options: Any) -> Page:
    """Return the page of this browser's context with these options; create both if there is none."""
    pages = KEPT.setdefault(browser, {})
    key = repr(sorted(options.items()))
    if key not in pages:
        pages[key] = browser.new_context(**options).new_page()
    return pages[key]


def assert_accessible(page: Page) -> None:
    """Assert that axe finds no violation of its rules on a page as it is now."""
    found = Axe().run(page, options={"resultTypes": ["violations"]})  # what passes is thousands of elements
    assert found.violations_count == 0, found.generate_report()
