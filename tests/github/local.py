"""A small fake GitHub on this machine, which stores what it receives and can misbehave as the real one does."""

from __future__ import annotations

import copy
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

BOT = "github-actions[bot]"
NAME = r"/repos/([^/]+/[^/]+)"


@dataclass
class Request:
    """A request to the fake GitHub."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    user: str
    """The token's owner."""
    headers: dict[str, str]


@dataclass
class Answer:
    """An answer: JSON, or bytes as they are."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Fault:
    """One request that fails with this answer, before or (`done`) after it was carried out."""

    method: str
    path: str
    """A pattern somewhere in the path."""
    answer: Answer
    done: bool = False

    def matches(self, request: Request) -> bool:
        """Return whether this request is the one to fail."""
        return request.method == self.method and re.search(self.path, request.path) is not None


@dataclass
class Repository:
    """The content of one repository, in GitHub's own form."""

    visibility: str = "private"
    has_issues: bool = True
    issues: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    check_runs: list[dict[str, Any]] = field(default_factory=list)
    annotations: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    actions: bool = True
    """Whether Actions are enabled."""
    activities: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    archives: dict[int, bytes] = field(default_factory=dict)
    objects: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """Git's objects by their real ids: ("blob", bytes), ("tree", entries), ("commit", fields)."""
    refs: dict[str, str] = field(default_factory=dict)
    """Full name → commit, such as refs/heads/main."""


@dataclass
class Hub:
    """The whole fake GitHub."""

    examples: dict[str, Any]
    """Examples in GitHub's description, which fill fields that no test checks."""
    repositories: dict[str, Repository] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=lambda: {"actions": BOT})
    """Token → owner."""
    faults: list[Fault] = field(default_factory=list)
    before: list[tuple[str, str, Callable[[], None]]] = field(default_factory=list)
    """(method, path pattern, action just before it), each used once: this is how two runs race in a test."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(method, path) of each request so far."""
    url: str = ""
    """The server's own address, from which artifacts are downloaded."""
    public_url: str = ""
    """The address for clients."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    _number: int = 1000

    def repository(self, name: str) -> Repository:
        """Return the repository with this owner/name, created if necessary."""
        return self.repositories.setdefault(name, Repository())

    def number(self) -> int:
        """Return a new id."""
        self._number += 1
        return self._number

    def example(self, name: str, /, **changes: Any) -> Any:
        """Return one of the description's examples with some fields changed."""
        return {**copy.deepcopy(self.examples[name]), **changes}

    def account(self, login: str) -> dict[str, Any]:
        """Return a user in the form that objects hold."""
        kind = "Bot" if login.endswith("[bot]") else "User"
        return {**copy.deepcopy(self.examples["issue-comment"]["user"]), "login": login, "type": kind}

    def clear(self) -> None:
        """Forget everything except the addresses."""
        for kept in (self.repositories, self.faults, self.before, self.asked):
            kept.clear()
        self.users = {"actions": BOT}


Handler = Callable[..., Answer]
ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []


def declare_route(method: str, path: str) -> Callable[[Handler], Handler]:
    """Declare a handler; it receives the path's groups, of which the first is the repository."""

    def add_handler(handler: Handler) -> Handler:
        """Add the handler to the routes."""
        ROUTES.append((method, re.compile(path), handler))
        return handler

    return add_handler


def build_error(status: int, message: str) -> Answer:
    """Build an error as GitHub words it."""
    return Answer(status, {"message": message, "documentation_url": "https://docs.github.com", "status": str(status)})


def build_page(hub: Hub, request: Request, items: list[Any], key: str | None = None) -> Answer:
    """Build one page of a list, with links to the others."""
    size, number = min(int(request.query.get("per_page", 30)), 100), int(request.query.get("page", 1))
    shown, headers = items[(number - 1) * size : number * size], {}
    if number * size < len(items):
        query = urlencode({**request.query, "page": number + 1})
        headers["Link"] = f'<{hub.public_url}{request.path}?{query}>; rel="next"'
    return Answer(200, shown if key is None else {"total_count": len(items), key: shown}, headers)


def answer_request(hub: Hub, request: Request) -> Answer:
    """Answer a request as GitHub would, with the planned faults and races."""
    with hub.lock:
        due = [w for w in hub.before if request.method == w[0] and re.search(w[1], request.path)][:1]
        for waiting in due:
            hub.before.remove(waiting)
    for _, _, happens in due:
        happens()
    with hub.lock:
        hub.asked.append((request.method, request.path))
        fault = next((f for f in hub.faults if f.matches(request)), None)
        if fault is not None:
            hub.faults.remove(fault)
            if not fault.done:
                return fault.answer
        given = _call_handler(hub, request)
        return given if fault is None else fault.answer


def _call_handler(hub: Hub, request: Request) -> Answer:
    """Call the handler for a request."""
    for method, path, handler in ROUTES:
        found = path.fullmatch(request.path)
        if method == request.method and found:
            if not path.groups:  # about the token's owner
                return handler(hub, request)
            name, *groups = found.groups()
            if name not in hub.repositories:
                return build_error(404, "Not Found")
            return handler(hub, request, hub.repositories[name], *groups)
    return build_error(404, "Not Found")


@contextmanager
def serve_hub(examples: dict[str, Any]) -> Iterator[Hub]:
    """Run the fake GitHub."""
    from tests.github import about, activity, artifacts, conversation, git, issues  # noqa: F401 - they declare routes

    hub = Hub(examples)

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            """Answer a request of any method, or refuse an unknown token."""
            length = int(self.headers.get("Content-Length") or 0)
            sent, parts = self.rfile.read(length), urlsplit(self.path)
            token = (self.headers.get("Authorization") or "").split(" ")[-1]
            if token not in hub.users and not parts.path.startswith("/storage/"):
                self.give(build_error(401, "Bad credentials"))
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(sent) if sent else None
            query = dict(parse_qsl(parts.query))
            self.give(
                answer_request(hub, Request(self.command, parts.path, query, body, hub.users.get(token, ""), headers))
            )

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any  # noqa: N815 - the names the base class calls

        def give(self, given: Answer) -> None:
            """Send an answer, as JSON unless it is bytes."""
            raw = given.content if isinstance(given.content, bytes) else b""
            if given.content is not None and not raw:
                raw = json.dumps(given.content).encode()
            self.send_response(given.status)
            kind = "application/octet-stream" if isinstance(given.content, bytes) else "application/json; charset=utf-8"
            for name, value in {**({"Content-Type": kind} if raw else {}), **given.headers}.items():
                self.send_header(name, value)
            if given.status != 204:
                self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    hub.url = hub.public_url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
