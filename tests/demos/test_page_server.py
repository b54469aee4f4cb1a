"""The server of a page: which requests it answers and refuses, and how it ends."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from grading.demos.web import page_server
from grading.demos.web.page_server import MAX_BODY, PageServer
from grading.demos.web.state_feed import StateFeed

ROOT = Path(__file__).resolve().parents[2]


class RunningServer:
    """A running page and a way to talk to it."""

    def __init__(self, served: PageServer, feed: StateFeed, asked: list):
        self.address, self.feed, self.asked = served.address, feed, asked
        parts = urlsplit(served.address)
        self.host, self.path = parts.netloc, parts.path
        self.port = parts.port

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str | None) -> tuple[int, Any, str]:
        """Send a request, and return status, headers and text. A header of None is left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        given = {"Host": self.host, "Content-Length": None if body is None else str(len(body))}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, response.headers, text

    def ask(self, body: bytes, **headers: str | None) -> tuple[int, Any]:
        """Ask a question as the page does, apart from these headers, and return status and parsed answer."""
        given = {"Origin": f"http://{self.host}", "Content_Type": "application/json"} | headers
        status, _, text = self.request("POST", f"{self.path}double", body, **given)
        return status, json.loads(text) if text.startswith("{") else text


@pytest.fixture
def page() -> Iterator[RunningServer]:
    """Run a page with one file and one call, which doubles a number."""
    asked: list = []

    def double(question: Any) -> dict[str, Any]:
        """Return twice the number; raise ValueError for anything else."""
        asked.append(question)
        if type(question) is not int:
            raise ValueError("that is no <number>")
        return {"twice": 2 * question}

    feed = StateFeed()
    with PageServer({"": "digits.html", "live.js": "live.js"}, {"double": double}, feed) as served:
        yield RunningServer(served, feed, asked)


def test_the_page_and_its_files_are_served(page: RunningServer) -> None:
    """They have their types, and headers that let nothing else in."""
    status, headers, text = page.request("GET", page.path)
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert text == (page_server.STATIC / "digits.html").read_text("utf-8")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "Server" not in headers
    status, headers, _ = page.request("GET", f"{page.path}live.js")
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")


def test_a_question_is_answered(page: RunningServer) -> None:
    """JSON goes in and comes out, and an invalid question gets the reason."""
    assert page.ask(b"21") == (200, {"twice": 42})
    assert page.ask(b'"x"') == (400, {"error": "that is no <number>"})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"])
def test_another_host_name_is_refused(page: RunningServer, host: str) -> None:
    """A foreign name that points here is not ours."""
    named = host.format(port=page.port)
    assert page.request("GET", page.path, Host=named)[0] == 403
    assert page.ask(b"1", Host=named, Origin=f"http://{named}")[0] == 403
    assert page.asked == []


def test_no_host_name_is_refused(page: RunningServer) -> None:
    """HTTP requires a host name."""
    assert page.request("GET", page.path, Host=None)[0] == 400


def test_localhost_is_this_machine_too(page: RunningServer) -> None:
    """It works typed by hand, or through a forwarded port."""
    local = f"localhost:{page.port}"
    assert page.request("GET", page.path, Host=local)[0] == 200
    assert page.ask(b"1", Host=local, Origin=f"http://{local}")[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1", None]
)
def test_another_origin_is_refused(page: RunningServer, origin: str | None) -> None:
    """Only the page itself may ask, and a question without an origin does not come from a page."""
    assert page.ask(b"1", Origin=origin and origin.format(port=page.port))[0] == 403
    if origin:
        assert page.request("GET", f"{page.path}events", Origin=origin)[0] == 403
    assert page.asked == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_says_another_page_asks_is_believed(page: RunningServer, site: str) -> None:
    """It is refused even without an origin, as for images and scripts."""
    assert page.request("GET", f"{page.path}live.js", Sec_Fetch_Site=site)[0] == 403


@pytest.mark.parametrize(
    "path", ["/", "/{t}", "/{w}/", "//{t}/", "/{t}x/", "/x{t}/live.js", "/{t}//live.js", "/live.js"]
)
def test_without_the_token_there_is_nothing(page: RunningServer, path: str) -> None:
    """A wrong, cut or missing token gets the same answer for every path."""
    token = page.path.strip("/")
    status, headers, text = page.request("GET", path.format(t=token, w="A" * len(token)))
    assert status == 404
    assert "Content-Security-Policy" in headers
    assert token not in text


@pytest.mark.parametrize(
    "name", ["server.py", "../server.py", "%2e%2e/server.py", "..%2fserver.py", "look.css", "live.js/", "double", "etc"]
)
def test_only_what_is_named_is_served(page: RunningServer, name: str) -> None:
    """Other files in the folder, files outside it, and questions by GET are not served."""
    assert page.request("GET", f"{page.path}{name}")[0] in (404, 405)


def test_every_page_has_a_token_of_its_own(page: RunningServer) -> None:
    """The token has 128 bits."""
    with PageServer({}, {}, StateFeed()) as other:
        token = urlsplit(other.address).path.strip("/")
    assert len(token) >= 22
    assert token not in page.path


def test_it_listens_to_this_machine_only(page: RunningServer) -> None:
    """The machine's other addresses do not listen on this port."""
    for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
        if not address.startswith("127.0.0.1"):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, page.port), 2).close()


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_only_json_is_a_question(page: RunningServer, kind: str | None) -> None:
    """Anything that another page's form could send without a preflight is refused."""
    assert page.ask(b"1", Content_Type=kind)[0] == 415


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 60_000, b"1 2"], ids=lambda body: repr(body[:8]))
def test_what_is_not_json_is_refused(page: RunningServer, body: bytes) -> None:
    """It gets a sentence, and no answer is computed."""
    assert page.ask(body) == (400, {"error": "the question is not JSON"})
    assert page.asked == []


def test_a_large_question_is_refused(page: RunningServer) -> None:
    """It is refused whether or not its size is announced."""
    large = b" " * (MAX_BODY + 1)
    assert page.ask(large)[0] == 413
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
    assert page.ask(chunk, Content_Length=None, Transfer_Encoding="chunked")[0] == 413
    assert page.ask(b" " * (MAX_BODY - 1) + b"1")[0] == 200


def test_a_question_that_never_comes_is_not_waited_for(page: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that stops sending gets an answer after some seconds."""
    monkeypatch.setattr(page_server, "BODY_SECONDS", 0.2)
    assert page.ask(b"1", Content_Length="100")[0] == 408


def test_methods_that_nobody_needs_are_refused(page: RunningServer) -> None:
    """They are PUT, DELETE and the rest."""
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert page.request(method, page.path, Origin=f"http://{page.host}")[0] == 405


def test_a_late_page_gets_the_state_as_it_is(page: RunningServer) -> None:
    """It gets the newest state immediately, then each later one."""
    page.feed.publish({"step": 1})
    page.feed.publish({"step": 2})
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.request("GET", f"{page.path}events", headers={"Host": page.host})
    response = connection.getresponse()
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert response.readline() == b'data: {"step": 2}\n'
    assert response.readline() == b"\n"
    page.feed.publish({"step": 3, "text": "two\nlines"})
    assert json.loads(response.readline().removeprefix(b"data: ")) == {"step": 3, "text": "two\nlines"}
    connection.close()


def test_a_quiet_feed_breathes(monkeypatch: pytest.MonkeyPatch, page: RunningServer) -> None:
    """The server notices a closed page by it."""
    monkeypatch.setattr("grading.demos.web.state_feed.BREATH_SECONDS", 0.05)
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.request("GET", f"{page.path}events", headers={"Host": page.host})
    response = connection.getresponse()
    assert [response.readline() for _ in range(3)] == [b"data: {}\n", b"\n", b": still here\n"]
    connection.close()


def test_it_ends_at_once_with_pages_open() -> None:
    """Followers are released, the port is free, and no thread is left."""
    feed = StateFeed()
    with PageServer({}, {}, feed) as served:
        parts = urlsplit(served.address)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
        connection.request("GET", f"{parts.path}events", headers={"Host": parts.netloc})
        response = connection.getresponse()
        response.readline()
        began = time.monotonic()
    assert time.monotonic() - began < 4
    response.read()
    connection.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "page"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", parts.port), 2).close()


def test_nothing_else_needs_the_server() -> None:
    """The command line, the grader and the demonstration in the terminal do not import it."""
    probe = (
        "import sys, tito.commands, tito.attempt, grading.grade, grading.demos.demo_runner; print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.strip(" '").split(".")[0] for name in done.stdout.strip("[]\n").split(",")}
    assert "grading" in loaded
    assert not loaded & {"starlette", "uvicorn", "anyio", "h11"}
