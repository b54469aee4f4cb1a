"""What a page is told as it happens: server-sent events, each holding the whole state, so that none can be missed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

BREATH_SECONDS = 15.0
"""After so long without news a comment is sent, to notice a page that has gone."""


class Feed:
    """The newest state. Any thread may publish; any number of pages follow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number, self._text = 0, "{}"
        self._ended = False
        self._followers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def publish(self, state: dict[str, Any]) -> None:
        """Send this state to every page that follows, now or later."""
        text = json.dumps(state, allow_nan=False)
        with self._lock:
            self._number, self._text = self._number + 1, text
            self._wake()

    def end(self) -> None:
        """No more will come: close every stream."""
        with self._lock:
            self._ended = True
            self._wake()

    async def follow(self) -> AsyncIterator[str]:
        """The state as it is, then each one published; pages too slow for every one get the newest."""
        follower = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._followers.add(follower)
        sent = -1
        try:
            while True:
                follower[1].clear()
                with self._lock:
                    number, text, ended = self._number, self._text, self._ended
                if number != sent:
                    sent = number
                    yield f"data: {text}\n\n"
                if ended:
                    return
                try:
                    await asyncio.wait_for(follower[1].wait(), BREATH_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            with self._lock:
                self._followers.discard(follower)

    def _wake(self) -> None:
        for loop, event in self._followers:
            loop.call_soon_threadsafe(event.set)
