"""Serve a page on 127.0.0.1 in a thread until it is stopped, with its files, its JSON calls and its feed.

This module knows nothing about what the page shows.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from grading.demos.web.request_guard import RequestGuard
from grading.demos.web.state_feed import StateFeed
from grading.errors import GraderError

STATIC = Path(__file__).parent / "static"
MAX_BODY = 64 << 10
BODY_SECONDS = 5.0
START_SECONDS, STOP_SECONDS = 10.0, 5.0
MAX_CONNECTIONS = 64
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

PageCall = Callable[[Any], dict[str, Any]]
"""A function that answers parsed JSON, in its own thread. It raises ValueError if the question is invalid."""


class PageServer:
    """A running page, used as a context manager. `address` is the URL to open, including the token."""

    def __init__(self, files: Mapping[str, str], calls: Mapping[str, PageCall], feed: StateFeed):
        """``files`` maps each name in the address to its file in STATIC. The page itself has the name ""."""
        self._feed = feed
        self._socket = _open_local_socket()
        port, token = self._socket.getsockname()[1], secrets.token_urlsafe(16)
        self.address = f"http://127.0.0.1:{port}/{token}/"
        routes = [
            Route(f"/{name}", _make_file_endpoint(STATIC / file), methods=["GET"]) for name, file in files.items()
        ]
        routes += [Route(f"/{name}", _make_json_endpoint(call), methods=["POST"]) for name, call in calls.items()]
        routes.append(Route("/events", self._stream_events, methods=["GET"]))
        handlers: Any = {HTTPException: _send_refusal}
        inner = Starlette(routes=routes, exception_handlers=handlers)
        inner.router.redirect_slashes = False
        app = RequestGuard(inner, port=port, token=token)
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True, name="page")

    def __enter__(self) -> Self:
        self._thread.start()
        until = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                self.__exit__()
                raise GraderError("the page's server did not start")
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.end()
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._socket.close()

    async def _stream_events(self, _request: Request) -> Response:
        """Stream the page's states as server-sent events."""
        return StreamingResponse(self._feed.follow(), media_type="text/event-stream")


def _open_local_socket() -> socket.socket:
    """Listen on a port that the system chooses, for this machine only. Raise GraderError if that is impossible."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.bind(("127.0.0.1", 0))
        listening.listen(MAX_CONNECTIONS)
    except OSError as error:
        listening.close()
        raise GraderError(f"cannot listen on any port of 127.0.0.1: {error}") from error
    return listening


def _make_file_endpoint(path: Path) -> Callable[[Request], Any]:
    """Make an endpoint that sends a file."""

    async def send_file(_request: Request) -> Response:
        """Send this file."""
        return FileResponse(path, media_type=TYPES[path.suffix])

    return send_file


def _make_json_endpoint(call: PageCall) -> Callable[[Request], Any]:
    """Make an endpoint that sends the call's answer to a request as JSON, or status 400 if it raises ValueError."""

    async def answer_call(request: Request) -> Response:
        """Answer one request, or refuse an invalid question."""
        question = await _read_json_body(request)
        try:
            return JSONResponse(await asyncio.to_thread(call, question))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    return answer_call


async def _read_json_body(request: Request) -> Any:
    """Parse the request's body. Raise HTTPException if the body is too large, arrives too slowly or is not JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the question must be application/json")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MAX_BODY:
                    raise HTTPException(413, f"the question is larger than {MAX_BODY >> 10} KiB")
    except TimeoutError:
        raise HTTPException(408, f"the question did not arrive within {BODY_SECONDS:.0f} s") from None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "the question is not JSON") from None


async def _send_refusal(_request: Request, error: HTTPException) -> Response:
    """Answer a refused request in JSON, like any other request."""
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
