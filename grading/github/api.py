"""The client of GitHub's API: who we are, when a request is tried again, and errors as sentences."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import httpx
from githubkit import GitHub
from githubkit.auth import TokenAuthStrategy
from githubkit.exception import GitHubException, RateLimitExceeded, RequestError, RequestFailed, RequestTimeout
from githubkit.response import Response
from githubkit.retry import RetryOption
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from grading import __version__
from grading.errors import GraderError, UsageError
from grading.render.text import one_line

Client = GitHub[TokenAuthStrategy]
T = TypeVar("T")

TRIES = 4
LONGEST_WAIT = timedelta(minutes=5)
"""Longer than this a job does not wait for GitHub's rate limit: it says so, and can be run again."""
SAFE = {"GET", "HEAD", "PUT", "DELETE"}
"""What may be sent twice. A POST whose answer got lost may have been carried out, and so may a PATCH, which adds
annotations to those that are there: see `settled`."""


class RateLimitedError(GraderError):
    """GitHub takes no more requests of this account for a while; none of them would go better at once."""


def client(environ: Mapping[str, str]) -> Client:
    """A client from GITHUB_TOKEN and GITHUB_API_URL; UsageError when there is no token."""
    token = environ.get("GITHUB_TOKEN", "")
    if not token:
        raise UsageError("GITHUB_TOKEN is not set. In a workflow: env: GITHUB_TOKEN: ${{ github.token }}")
    return GitHub(
        token,
        base_url=environ.get("GITHUB_API_URL") or None,
        user_agent=f"tinytorch-grading/{__version__}",
        timeout=httpx.Timeout(30, connect=10),
        http_cache=False,  # each answer is about something that other runs change
        auto_retry=again,
    )


def again(error: GitHubException, tried: int) -> RetryOption:
    """Whether to send a request once more, and after how long: `githubkit` asks after each that went wrong."""
    if tried + 1 >= TRIES:
        return RetryOption(False)
    pause = timedelta(seconds=2**tried)
    if isinstance(error, RateLimitExceeded):
        # Not carried out, whatever it was. A wait of 0 is a clock that differs from GitHub's.
        wait = max(error.retry_after, pause)
        return RetryOption(wait <= LONGEST_WAIT, wait)
    if isinstance(error, RequestError) and isinstance(error.exc, httpx.ConnectError):
        return RetryOption(True, pause)
    return RetryOption(_lost(error) and _method(error) in SAFE, pause)


def settled(work: Callable[[], T]) -> T:
    """The value of `work`, which first reads what is there; done again when the answer to what it wrote got lost."""
    for tried in range(TRIES):
        try:
            return work()
        except RequestError as error:
            if not _lost(error) or tried + 1 == TRIES:
                raise
            time.sleep(2**tried)
    raise AssertionError("unreachable")


class Part(BaseModel):
    """What we read of an object of GitHub's.

    The models that the client comes with demand every field of the newest description: one that an answer lacks, and
    nobody here looks at, would be an error.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


def taken(kind: type[T], answer: Response[Any]) -> T:
    """An answer as this kind (a Part, or a list of them); pydantic's ValidationError when it is none."""
    return TypeAdapter(kind).validate_json(answer.content)


def _lost(error: GitHubException) -> bool:
    """Whether it is unknown if the request was carried out, and another may go better."""
    if isinstance(error, RequestFailed):
        return error.response.status_code >= 500
    return isinstance(error, RequestError) and isinstance(error.exc, httpx.TransportError)


def _method(error: GitHubException) -> str:
    request = error.request if isinstance(error, RequestFailed | RequestTimeout) else _asked(error)
    return request.method if request is not None else "POST"


def _asked(error: GitHubException) -> httpx.Request | None:
    try:
        return error.exc.request if isinstance(error, RequestError) else None
    except (AttributeError, RuntimeError):  # an error of httpx may not know its request
        return None


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Whatever goes wrong at GitHub becomes a GraderError that says what was being done ("the comment")."""
    try:
        yield
    except RateLimitExceeded as error:
        minutes = round(error.retry_after.total_seconds() / 60) + 1
        raise RateLimitedError(
            f"GitHub's rate limit is used up ({what}). Run the job again in {minutes} minutes."
        ) from None
    except RequestFailed as error:
        raise GraderError(f"{_sentence(error)} ({what}).") from None
    except ValidationError:
        raise GraderError(f"GitHub's answer is not what its description says ({what}). Run the job again.") from None
    except GitHubException as error:
        reason = one_line(str(getattr(error, "exc", error)), 200)
        raise GraderError(f"GitHub could not be reached ({what}): {reason}. Run the job again.") from None


def _sentence(error: RequestFailed) -> str:
    status = error.response.status_code
    try:
        said = one_line(str(error.response.json()["message"]), 200)
    except (ValueError, LookupError, TypeError):
        said = "no reason given"
    match status:
        case 401:
            return f"GitHub does not know this GITHUB_TOKEN: {said}"
        case 403 | 404:
            mend = "look at `permissions:` of the workflow's job and at the repository's name"
            return f"GITHUB_TOKEN may not do this, or it is not there: {said}; {mend}"
        case _ if status >= 500:
            return f"GitHub has trouble of its own (status {status}): {said}. Run the job again"
    return f"GitHub refused the request (status {status}): {said}"
