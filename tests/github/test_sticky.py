"""One comment, ours, whatever others write and however runs race."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from grading.errors import GraderError
from grading.github.api import Client, create_client
from grading.github.comment import MARKER, ReportingRun, RunReport, build_comment
from grading.github.comment_state import decode_report_state
from grading.github.sticky import create_or_update_comment, find_own_comments, read_last_report_state
from tests.github.conversation import add_comment, add_run
from tests.github.local import BOT, Fault, build_error
from tests.github.runs import COMMIT, REPOSITORY, Runs, build_unlocked

OTHER = "d" * 40


def build_body(run: int, *, commit: str = COMMIT, attempt: int = 1) -> str:
    """Build the report of a run."""
    return build_comment(RunReport((build_unlocked(),), commit, ReportingRun(run, attempt)))


@pytest.fixture
def post(runs: Runs, client: Client) -> Callable[..., str]:
    """Return `post(run)`, which reports as this run; GitHub knows both runs of the tests."""
    for number in (5, 6):
        add_run(runs.hub, runs.repository, number, branch="my-work", sha=COMMIT, run_attempt=1)

    def posted(run: int, attempt: int = 1) -> str:
        """Create or update the comment as this run, and return the outcome."""
        return create_or_update_comment(
            client, REPOSITORY, 7, build_body(run, attempt=attempt), ReportingRun(run, attempt)
        )

    return posted


def test_the_comment_is_made_once_and_then_brought_up_to_date(runs: Runs, post: Callable[..., str]) -> None:
    """Two reports, one comment, with what the second says; the same again changes nothing."""
    assert [post(5), post(6), post(6)] == ["created", "updated", "unchanged"]
    assert [decode_report_state(b).run for b in runs.bodies] == [6]


def test_a_comment_beyond_the_first_hundred_is_found(runs: Runs, post: Callable[..., str]) -> None:
    """However much was said before it."""
    for number in range(230):
        add_comment(runs.hub, runs.repository, 7, f"comment {number}", "alice")
    assert [post(5), post(6)] == ["created", "updated"]
    assert len(runs.bodies) == 231


def test_another_pull_requests_comment_is_another(runs: Runs, post: Callable[..., str]) -> None:
    """A report under pull request 8 is not touched."""
    add_comment(runs.hub, runs.repository, 8, build_body(1), BOT)
    assert post(5) == "created"


@pytest.mark.parametrize("author", ["alice", "github-actions", "GitHub-Actions[bot]", "other[bot]"])
def test_a_forged_comment_is_left_alone(runs: Runs, post: Callable[..., str], client: Client, author: str) -> None:
    """The marker in somebody else's comment makes it neither ours nor a last report."""
    forged = build_body(999_999_999_999)
    add_comment(runs.hub, runs.repository, 7, forged, author)
    assert read_last_report_state(client, REPOSITORY, 7) is None
    assert post(5) == "created"
    assert runs.bodies[0] == forged
    assert len(runs.bodies) == 2


def test_the_marker_counts_at_the_start_only(runs: Runs, post: Callable[..., str]) -> None:
    """Another comment of the bot's that quotes ours stays as it is."""
    add_comment(runs.hub, runs.repository, 7, f"> {MARKER}\n\nquoted", BOT)
    assert post(5) == "created"
    assert runs.bodies[0].startswith("> ")


@pytest.mark.parametrize(
    "state",
    [
        "",
        "<!-- tinytorch:state AAAA -->",
        "<!-- tinytorch:state !!!! -->",
        f"<!-- tinytorch:state {'QUJD' * 9999} -->",
        "<!-- tinytorch:state eyJ2ZXJzaW9uIjoyfQ== -->",
    ],
)
def test_an_edited_state_is_as_good_as_none(runs: Runs, post: Callable[..., str], client: Client, state: str) -> None:
    """The comment is still ours and is brought up to date."""
    add_comment(runs.hub, runs.repository, 7, f"{MARKER}\n\nUnlocked, honestly!\n\n{state}", BOT)
    assert read_last_report_state(client, REPOSITORY, 7) is None
    assert post(5) == "updated"
    assert runs.bodies == [build_body(5)]


def test_a_state_that_claims_a_later_run_is_checked(runs: Runs, post: Callable[..., str]) -> None:
    """Neither a run that GitHub does not know nor one of another commit keeps a report from being updated."""
    add_comment(runs.hub, runs.repository, 7, build_body(888), BOT)
    assert post(5) == "updated"
    runs.repository.comments[0]["body"] = build_body(6, commit=OTHER)
    assert post(5) == "updated"
    runs.repository.comments[0]["body"] = build_body(6, attempt=3)
    assert post(5) == "updated"


def test_an_older_run_that_ends_later_leaves_the_newer_report(runs: Runs, post: Callable[..., str]) -> None:
    """Out of order, the newer run's report stays."""
    assert [post(6), post(5)] == ["created", "left to a newer run"]
    assert runs.bodies == [build_body(6)]


def test_a_run_that_is_tried_again_counts_as_newer(runs: Runs, post: Callable[..., str]) -> None:
    """The second attempt of a run replaces the first, and not the other way round."""
    runs.repository.runs[0]["run_attempt"] = 2
    assert [post(5, 2), post(5, 1)] == ["created", "left to a newer run"]


@pytest.mark.parametrize(("mine", "theirs"), [(5, 6), (6, 5)])
def test_two_runs_that_both_find_none_leave_one_comment(
    runs: Runs, post: Callable[..., str], mine: int, theirs: int
) -> None:
    """Another run's comment appears between our look and ours: one stays, with the newer run's report."""
    runs.hub.before.append(("POST", "/comments$", lambda: post(theirs)))
    post(mine)
    assert runs.bodies == [build_body(6)]


def test_the_other_run_may_make_its_comment_after_ours(runs: Runs, post: Callable[..., str]) -> None:
    """The second look finds both, and the younger comment goes."""
    second = [("GET", "/comments$", lambda: add_comment(runs.hub, runs.repository, 7, build_body(5), BOT))]
    runs.hub.before.append(("POST", "/comments$", lambda: runs.hub.before.extend(second)))
    assert post(6) == "created"
    assert runs.bodies == [build_body(6)]


def test_runs_that_really_race_leave_one_comment(runs: Runs, environ: dict[str, str]) -> None:
    """Six runs start together and find no comment at first; one comment is left."""
    for number in range(1, 7):
        add_run(runs.hub, runs.repository, number, branch="my-work", sha=COMMIT, run_attempt=1)
    gate = threading.Barrier(6)

    def one(number: int) -> None:
        """Wait for the other run, then create or update the comment."""
        own = create_client(environ)
        gate.wait()
        create_or_update_comment(own, REPOSITORY, 7, build_body(number), ReportingRun(number, 1))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs.bodies) == 1


def test_a_duplicate_from_before_is_removed(runs: Runs, post: Callable[..., str]) -> None:
    """If we ever have two comments, the older is updated and the newer is deleted."""
    for number in (1, 2):
        add_comment(runs.hub, runs.repository, 7, build_body(number), BOT)
    kept = runs.repository.comments[0]["id"]
    assert post(5) == "updated"
    assert [c["id"] for c in runs.repository.comments] == [kept]


def test_a_comment_that_is_deleted_meanwhile_is_made_again(runs: Runs, post: Callable[..., str]) -> None:
    """Gone between look and update: a new one is made."""
    post(5)
    runs.hub.before.append(("PATCH", "/comments/", runs.repository.comments.clear))
    assert post(6) == "created"
    assert runs.bodies == [build_body(6)]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_lost_answer_makes_no_second_comment(
    runs: Runs, post: Callable[..., str], waits: list[float], status: int
) -> None:
    """The comment was made, but GitHub's answer got lost: it is looked for before it is made again."""
    runs.hub.faults.append(Fault("POST", "/comments$", build_error(status, "oops"), done=True))
    assert post(5) == "unchanged"
    assert len(runs.bodies) == 1
    assert waits == [1]


def test_a_comment_that_may_not_be_written_is_said(runs: Runs, post: Callable[..., str]) -> None:
    """A token without the permission is reported, with the place to fix it."""
    denied = build_error(403, "Resource not accessible by integration")
    runs.hub.faults.append(Fault("POST", "/comments$", denied))
    with pytest.raises(GraderError, match=r"not accessible.*permissions.*the comment of the pull request"):
        post(5)


def test_only_comments_of_the_account_that_writes_are_ours(runs: Runs, environ: dict[str, str]) -> None:
    """An app of the class's own, named by the setting, keeps a comment of its own."""
    runs.hub.users["app"] = "class-app[bot]"
    own = create_client({**environ, "GITHUB_TOKEN": "app"})
    add_comment(runs.hub, runs.repository, 7, build_body(1), BOT)
    assert (
        create_or_update_comment(own, REPOSITORY, 7, build_body(5), ReportingRun(5, 1), "class-app[bot]") == "created"
    )
    assert [len(find_own_comments(own, REPOSITORY, 7, login)) for login in (BOT, "class-app[bot]")] == [1, 1]


def test_the_last_report_is_read_back(client: Client, post: Callable[..., str]) -> None:
    """What a report keeps is what the next one compares with."""
    post(5)
    assert read_last_report_state(client, REPOSITORY, 7).sessions["milestone-1"].verdict == "unlocked"
