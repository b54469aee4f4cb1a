"""A gate in front of the local copy of GitHub. It allows a job's token only what the job's permissions allow."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.workflows.world import Token

RULES = (
    # (method, path below the repository, permission, level), as GitHub's documentation of each request says
    ("GET", r"", "metadata", "none"),
    ("GET", r"/git/.*", "contents", "read"),
    ("POST|PATCH|PUT|DELETE", r"/git/.*", "contents", "write"),
    ("GET", r"/actions/.*", "actions", "read"),
    ("GET", r"/pulls.*|/issues/.*", "pull-requests", "read"),
    ("POST|PATCH|DELETE", r"/issues/.*", "pull-requests", "write"),
    ("GET", r"/check-runs/.*|/commits/[^/]+/check-runs", "checks", "read"),
    ("POST|PATCH", r"/check-runs.*", "checks", "write"),
)
PASSED_ON = ("content-type", "accept", "x-github-api-version", "user-agent")


@dataclass
class Gate:
    """The requests that reached the gate."""

    upstream: str
    known: str
    """The token that the copy behind it knows."""
    tokens: dict[str, Token]
    url: str = ""
    allowed: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, why)."""

    def find_refusal_reason(self, method: str, path: str, token: str) -> tuple[int, str] | None:
        """Return why a request is refused, with its status."""
        if token not in self.tokens:
            return 401, "Bad credentials"
        holder = self.tokens[token]
        found = re.fullmatch(r"/repos/([^/]+/[^/]+)(.*)", path)
        if found is None or found[1] != holder.repository:
            return 404, "Not Found"
        for methods, pattern, permission, level in RULES:
            if re.fullmatch(methods, method) and re.fullmatch(pattern, found[2]):
                if holder.permits(permission, level):
                    return None
                return 403, f"Resource not accessible by integration: {permission}: {level}"
        return 501, f"these tests do not know what {method} {path} needs"


@contextmanager
def open_gate(upstream: str, known: str, tokens: dict[str, Token]) -> Iterator[Gate]:
    """Open the gate for these tokens, in front of a server that knows one token."""
    gate = Gate(upstream, known, tokens)

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            """Refuse a request that its token does not permit, or pass it on with the known token."""
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            token = (self.headers.get("Authorization") or "").split(" ")[-1]
            if refused := gate.find_refusal_reason(self.command, path, token):
                status, why = refused
                gate.refused.append((self.command, path, why))
                self.give(status, b'{"message": "%s"}' % why.encode(), {"Content-Type": "application/json"})
                return
            gate.allowed.append((self.command, path))
            headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            headers["Authorization"] = f"Bearer {gate.known}"
            answer = httpx.request(self.command, gate.upstream + self.path, content=sent, headers=headers, timeout=60)
            kept = {n: v for n, v in answer.headers.items() if n in ("content-type", "link", "location", "retry-after")}
            self.give(answer.status_code, answer.content, kept)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any  # noqa: N815 - http.server's names

        def give(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            """Send an answer with this status, content and headers."""
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    gate.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
