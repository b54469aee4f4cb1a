"""Read a worker's printed output so that the worker never blocks, and keep only as much as a person would read."""

from __future__ import annotations

import threading
from collections import deque
from typing import IO


class OutputTail:
    """The beginning and the end of a stream, read by a separate thread until the stream ends."""

    def __init__(self, stream: IO[bytes] | None, max_bytes: int):
        self._stream, self._half = stream, max_bytes // 2
        self._head, self._size = b"", 0
        self._chunks: deque[bytes] = deque()
        self._kept = 0
        self._thread = threading.Thread(target=self._keep_first_and_last_output, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return the output as text or, if it is too long, its beginning and end, with a note about the gap."""
        tail = b"".join(self._chunks)
        dropped = self._size - len(self._head) - len(tail)
        middle = f"\n… {dropped:,} bytes omitted …\n".encode() if dropped > 0 else b""
        return (self._head + middle + tail).decode(errors="replace")

    def stop(self) -> None:
        """Wait up to a second for the stream to end, and close it if it has; otherwise leave it open."""
        self._thread.join(1)
        if self._stream is not None and not self._thread.is_alive():
            self._stream.close()

    def _keep_first_and_last_output(self) -> None:
        """Read the whole stream and keep its beginning and its end."""
        if self._stream is None:
            return
        while part := self._stream.read1(1 << 16):  # type: ignore[attr-defined]
            self._size += len(part)
            if len(self._head) < self._half:
                room = self._half - len(self._head)
                self._head, part = self._head + part[:room], part[room:]
            if part:
                self._chunks.append(part)
                self._kept += len(part)
                while self._kept - len(self._chunks[0]) >= self._half:
                    self._kept -= len(self._chunks.popleft())
