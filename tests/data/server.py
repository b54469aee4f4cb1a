"""A mirror on this machine that can misbehave as real ones do."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mirror:
    """What a server answers and how, and the requests it received."""

    files: dict[str, bytes]
    """By name, as in the path."""
    url: str = ""
    ranges: bool = True
    """Whether it goes on where a client stopped."""
    lengths: bool = True
    """Whether it says how long an answer is."""
    calls_gz_an_encoding: bool = False
    """Whether it says that a client should unpack what it sends."""
    compresses: bool = False
    """Whether it packs what it sends for a client that accepts it."""
    breaks: list[int] = field(default_factory=list)
    """After how many bytes the next answers break off."""
    status: int = 200
    """What it answers instead of 200."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(name, Range header) of each request."""


@contextmanager
def serve_mirror(files: dict[str, bytes]) -> Iterator[Mirror]:
    """Run a mirror of these files while the block runs."""
    mirror = Mirror(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer_request(self, mirror)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer_request(request: BaseHTTPRequestHandler, mirror: Mirror) -> None:
    """Answer a request with a file or the requested range of it, with the mirror's faults."""
    name, wanted = request.path.lstrip("/"), request.headers["Range"]
    mirror.asked.append((name, wanted))
    request.close_connection = True
    content = mirror.files.get(name)
    if content is None or mirror.status != 200:
        request.send_error(mirror.status if content is not None else 404)
        return
    packs = mirror.compresses and "gzip" in request.headers.get("Accept-Encoding", "")
    content = gzip.compress(content) if packs else content
    start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and mirror.ranges else 0
    if start and start >= len(content):
        request.send_error(416)
        return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if packs or mirror.calls_gz_an_encoding:
        request.send_header("Content-Encoding", "gzip")
    if mirror.lengths:
        request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    end = start + mirror.breaks.pop(0) if mirror.breaks else len(content)
    request.wfile.write(content[start:end])


def find_closed_port() -> str:
    """Return the address of a port on which nobody listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_port
    server.server_close()
    return f"http://127.0.0.1:{port}/"
