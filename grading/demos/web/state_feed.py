"""A page's live updates: server-sent events that each contain the complete state, so that no change can be missed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

BREATH_SECONDS = 15.0
"""The time without a new state after which a comment is sent to find out whether the page was closed."""


class StateFeed:
    """The newest state of a page. Any thread may publish a state, and any number of pages may follow it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number, self._text = 0, "{}"
        self._ended = False
        self._followers: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def publish(self, state: dict[str, Any]) -> None:
        """Send a state to every follower. Later followers, and those that are too slow, get only the newest state."""
        text = json.dumps(state, allow_nan=False)
        with self._lock:
            self._number, self._text = self._number + 1, text
            self._wake_followers()

    def end(self) -> None:
        """Close every stream, since there will be no more states."""
        with self._lock:
            self._ended = True
            self._wake_followers()

    async def follow(self) -> AsyncIterator[str]:
        """Yield the current state, then each new one, as texts of server-sent events, until the feed ends.

        A page that is too slow to receive every state gets the newest one. While there is no new state, a comment shows
        that the stream is alive.
        """
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

    def _wake_followers(self) -> None:
        """Wake all followers that are waiting for the next state. Any thread that holds the lock may call this."""
        for loop, event in self._followers:
            loop.call_soon_threadsafe(event.set)
