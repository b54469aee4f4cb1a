"""The client: what is tried again, how long it waits, and what is said when nothing helps."""

from __future__ import annotations

import httpx
import pytest
from githubkit.exception import RequestFailed

from grading.github.api import Client
from tests.github.conversation import add_comment
from tests.github.local import Hub


def comments(client: Client) -> list[str]:
    return [c.body for c in client.rest.issues.list_comments("class", "alice", 7).parsed_data]


def test_the_proxy_holds_both_sides_to_the_description(hub: Hub, client: Client) -> None:
    """A request that GitHub does not describe is refused, and so is an answer that it would not give."""
    add_comment(hub, hub.repository("class/alice"), 7, "hello", "alice")
    assert comments(client) == ["hello"]
    with pytest.raises(RequestFailed) as wrong:
        client.request("POST", "/repos/class/alice/issues/7/comments", json={"text": "no body"})
    assert wrong.value.response.status_code == 422
    assert ("POST", "/repos/class/alice/issues/7/comments") not in hub.asked
    del hub.repository("class/alice").comments[0]["user"]
    answer = httpx.get(f"{hub.public_url}/repos/class/alice/issues/7/comments", headers={"Authorization": "x actions"})
    assert answer.status_code == 500
    assert "response" in answer.text
