"""Access control for a page's server: only a browser on this machine may use the address printed in the terminal.

A page from another site can make a browser send requests to 127.0.0.1. But it does not know the token in the path. Its
host name is not ours, even if DNS rebinding resolves it to 127.0.0.1. And requests that it may send without a preflight
have neither our origin nor JSON's content type.
"""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class RequestGuard:
    """ASGI middleware that passes on requests for `/TOKEN/…`, refuses all others, and adds security headers."""

    def __init__(self, app: ASGIApp, *, port: int, token: str):
        self._app, self._token = app, token
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or refuse one request."""

        async def send_with_security_headers(message: Message) -> None:
            """Send a part of the response, and add the security headers to its first part."""
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = self._find_refusal_reason(scope)
        if refused is not None:
            status, why = refused
            await JSONResponse({"error": why}, status)(scope, receive, send_with_security_headers)
            return
        inner: MutableMapping[str, Any] = dict(scope, path=scope["path"].removeprefix(f"/{self._token}"))
        await self._app(inner, receive, send_with_security_headers)

    def _find_refusal_reason(self, scope: Scope) -> tuple[int, str] | None:
        """Return the status and reason with which to refuse a request, or None if it may pass."""
        headers = Headers(scope=scope)
        if headers.getlist("host") not in [[host] for host in self._hosts]:
            return 403, "this page answers to 127.0.0.1 only"
        origin = headers.get("origin")
        if origin is None and scope["method"] not in ("GET", "HEAD"):
            return 403, "only the page itself may send requests"
        if origin is not None and origin not in {f"http://{host}" for host in self._hosts}:
            return 403, "other pages may not send requests"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "other pages may not send requests"
        first, slash, _ = scope["path"].removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(first.encode(), self._token.encode()):
            return 404, "there is nothing here: use the complete address that the terminal printed"
        return None
