"""The client: what is tried again, how long it waits, and what is said when nothing helps."""

from __future__ import annotations

import time

import httpx
import pytest
from githubkit.exception import RequestError, RequestFailed, RequestTimeout
from pydantic import ValidationError

from grading.errors import GraderError, UsageError
from grading.github import api
from grading.github.api import Client, retry_lost_requests, translate_errors
from grading.github.sticky import find_own_comments, read_last_report_state
from tests.data.server import find_closed_port
from tests.github.conversation import add_comment
from tests.github.local import Answer, Fault, Hub, build_error


def list_comments(client: Client) -> list[str]:
    """List the comments under pull request 7."""
    return [c.body for c in client.rest.issues.list_comments("class", "alice", 7).parsed_data]


def test_the_proxy_holds_both_sides_to_the_description(hub: Hub, client: Client) -> None:
    """A request that GitHub does not describe is refused, and so is an answer that it would not give."""
    add_comment(hub, hub.repository("class/alice"), 7, "hello", "alice")
    assert list_comments(client) == ["hello"]
    with pytest.raises(RequestFailed) as wrong:
        client.request("POST", "/repos/class/alice/issues/7/comments", json={"text": "no body"})
    assert wrong.value.response.status_code == 422
    assert ("POST", "/repos/class/alice/issues/7/comments") not in hub.asked
    del hub.repository("class/alice").comments[0]["user"]
    answer = httpx.get(f"{hub.public_url}/repos/class/alice/issues/7/comments", headers={"Authorization": "x actions"})
    assert answer.status_code == 500
    assert "response" in answer.text


def test_without_a_token_it_says_what_to_set() -> None:
    """No token is wrong usage."""
    with pytest.raises(UsageError, match="GITHUB_TOKEN is not set"):
        api.create_client({})


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_tried_again(hub: Hub, client: Client, waits: list[float], status: int) -> None:
    """Twice in a row, after a longer wait each time."""
    add_comment(hub, hub.repository("class/alice"), 7, "hello", "alice")
    hub.faults += [Fault("GET", "/comments$", build_error(status, f"oops {n}")) for n in range(2)]
    assert list_comments(client) == ["hello"]
    assert waits == [1, 2]


def test_what_never_gets_better_is_said(hub: Hub, client: Client, waits: list[float]) -> None:
    """Four tries, then a sentence with the status and what was being done."""
    hub.repository("class/alice")
    hub.faults += [Fault("GET", "/comments$", build_error(503, f"try later {n}")) for n in range(4)]
    with (
        pytest.raises(GraderError, match=r"status 503.*Run the job again \(the comments\)"),
        translate_errors("the comments"),
    ):
        list_comments(client)
    assert waits == [1, 2, 4]


@pytest.mark.parametrize("status", [403, 429])
def test_a_rate_limit_is_waited_out_as_long_as_it_says(
    hub: Hub, client: Client, waits: list[float], status: int
) -> None:
    """Retry-after counts, for reading and for writing: the request was not carried out."""
    hub.repository("class/alice")
    limited = Answer(
        status, build_error(status, "You have exceeded a secondary rate limit").content, {"Retry-After": "17"}
    )
    hub.faults.append(Fault("POST", "/comments$", limited))
    client.rest.issues.create_comment("class", "alice", 7, body="once")
    assert waits == [17]
    assert [c["body"] for c in hub.repository("class/alice").comments] == ["once"]


def test_a_used_up_limit_is_waited_for_until_its_reset(hub: Hub, client: Client, waits: list[float]) -> None:
    """Without retry-after, until the time at which the limit is renewed."""
    hub.repository("class/alice")
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 60)}
    hub.faults.append(
        Fault("GET", "/comments$", Answer(403, build_error(403, "API rate limit exceeded").content, reset))
    )
    assert list_comments(client) == []
    assert 50 < waits[0] <= 60


def test_a_long_wait_is_not_waited_but_said(hub: Hub, client: Client, waits: list[float]) -> None:
    """An hour is longer than a job has; the sentence says how long."""
    hub.repository("class/alice")
    limited = Answer(403, build_error(403, "secondary rate limit").content, {"Retry-After": "3600"})
    hub.faults.append(Fault("GET", "/comments$", limited))
    said = r"rate limit is exhausted \(the comments\). Run the job again in 61 minutes"
    with pytest.raises(GraderError, match=said), translate_errors("the comments"):
        list_comments(client)
    assert waits == []


def test_what_may_have_been_carried_out_is_not_sent_again_unread(hub: Hub, client: Client, waits: list[float]) -> None:
    """A POST whose answer got lost is not repeated by the client; `retry_lost_requests` looks first."""
    repository = hub.repository("class/alice")
    hub.faults.append(Fault("POST", "/comments$", build_error(502, "oops"), done=True))
    with pytest.raises(RequestFailed):
        client.rest.issues.create_comment("class", "alice", 7, body="once")
    assert len(repository.comments) == 1
    hub.faults.append(Fault("POST", "/comments$", build_error(502, "oops"), done=True))

    def work() -> int:
        """Create a comment unless it exists, and return how many there were."""
        known = list_comments(client)
        if "twice" not in known:
            client.rest.issues.create_comment("class", "alice", 7, body="twice")
        return len(known)

    assert retry_lost_requests(work) == 2
    assert waits == [1]


def test_only_what_is_used_of_an_answer_must_be_there(hub: Hub) -> None:
    """A response without an unused field is read; an invalid response is reported as such."""
    add_comment(hub, hub.repository("class/alice"), 7, "hello", "alice")
    direct = api.create_client({"GITHUB_TOKEN": "actions", "GITHUB_API_URL": hub.url})
    hub.repository("class/alice").comments[0].pop("html_url")
    with pytest.raises(ValidationError):
        list_comments(direct)
    assert find_own_comments(direct, "class/alice", 7) == ()
    hub.repository("class/alice").comments[0].pop("id")
    with pytest.raises(GraderError, match=r"does not match its description \(the comments"):
        read_last_report_state(direct, "class/alice", 7)


def test_settling_ends(hub: Hub, client: Client, waits: list[float]) -> None:
    """What fails each time is given up."""
    hub.repository("class/alice")
    hub.faults += [Fault("POST", "/comments$", build_error(500, f"oops {n}")) for n in range(4)]
    with pytest.raises(RequestFailed):
        retry_lost_requests(lambda: client.rest.issues.create_comment("class", "alice", 7, body="once"))
    assert waits == [1, 2, 4]


@pytest.mark.parametrize(("method", "sent_again"), [("GET", True), ("DELETE", True), ("POST", False), ("PATCH", False)])
@pytest.mark.parametrize("kind", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])
def test_what_got_no_answer_is_sent_again_if_it_may_be(
    method: str, sent_again: bool, kind: type[httpx.TransportError]
) -> None:
    """Reading and deleting twice is as good as once; what writes is looked at first."""
    lost = kind("no answer", request=httpx.Request(method, "https://api.github.com/x"))
    error = RequestTimeout(lost) if isinstance(lost, httpx.TimeoutException) else RequestError(lost)
    assert api.decide_retry(error, 0).do_retry is sent_again
    assert not api.decide_retry(error, api.TRIES - 1).do_retry


def test_what_was_never_sent_is_sent_again() -> None:
    """Nobody was reached: nothing can have been carried out."""
    unreached = httpx.ConnectError("refused", request=httpx.Request("POST", "https://api.github.com/x"))
    assert api.decide_retry(RequestError(unreached), 0).do_retry


def test_nobody_at_the_address_is_said(waits: list[float]) -> None:
    """No connection: tried again, then told."""
    lonely = api.create_client({"GITHUB_TOKEN": "x", "GITHUB_API_URL": find_closed_port()})
    with pytest.raises(GraderError, match=r"could not be reached \(the comments\)"), translate_errors("the comments"):
        list_comments(lonely)
    assert waits == [1, 2, 4]


@pytest.mark.parametrize(
    ("token", "repository", "said"),
    [("wrong", "class/alice", "rejected this GITHUB_TOKEN"), ("actions", "class/nobody", "permissions")],
)
def test_a_wrong_token_or_repository_is_said(hub: Hub, token: str, repository: str, said: str) -> None:
    """Not tried again; the sentence says where to look."""
    own = api.create_client({"GITHUB_TOKEN": token, "GITHUB_API_URL": hub.public_url})
    with pytest.raises(GraderError, match=said), translate_errors("the comments"):
        own.rest.issues.list_comments(*repository.split("/"), 7)


def test_what_github_says_is_one_clean_line(hub: Hub, client: Client) -> None:
    """A message that holds commands or lines of its own is text."""
    hub.repository("class/alice")
    hub.faults.append(Fault("GET", "/comments$", build_error(404, "no\n::error::x\x1b[31m")))
    with pytest.raises(GraderError) as failure, translate_errors("the comments"):
        list_comments(client)
    assert "::error::" not in str(failure.value)
    assert "\n" not in str(failure.value)
    assert "\x1b" not in str(failure.value)
