"""The client for GitHub's API, with authentication, retries, and errors written as sentences."""

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
from grading.render.text import to_one_line

Client = GitHub[TokenAuthStrategy]
T = TypeVar("T")

TRIES = 4
MAX_WAIT = timedelta(minutes=5)
"""The maximum time that a job waits for GitHub's rate limit to reset. After that, it reports the problem and can be
rerun.
"""
IDEMPOTENT_METHODS = {"GET", "HEAD", "PUT", "DELETE"}
"""The methods of requests that can safely be sent twice.

A POST or PATCH whose response was lost may have been carried out, and a second PATCH would add its annotations again
(see `retry_lost_requests`).
"""


class RateLimitedError(GraderError):
    """The error raised if GitHub temporarily accepts no more requests from this account.

    Retrying soon would be pointless.
    """


def create_client(environ: Mapping[str, str]) -> Client:
    """Create a client from GITHUB_TOKEN and GITHUB_API_URL. Raise UsageError if there is no token."""
    token = environ.get("GITHUB_TOKEN", "")
    if not token:
        raise UsageError("GITHUB_TOKEN is not set. In a workflow: env: GITHUB_TOKEN: ${{ github.token }}")
    return GitHub(
        token,
        base_url=environ.get("GITHUB_API_URL") or None,
        user_agent=f"tinytorch-grading/{__version__}",
        timeout=httpx.Timeout(30, connect=10),
        http_cache=False,  # every response describes something that other runs may change
        auto_retry=decide_retry,
    )


def decide_retry(error: GitHubException, attempts: int) -> RetryOption:
    """Decide whether and when to send a failed request again. `githubkit` calls this function after each failure."""
    if attempts + 1 >= TRIES:
        return RetryOption(False)
    pause = timedelta(seconds=2**attempts)
    if isinstance(error, RateLimitExceeded):
        # The request was not carried out. A wait of 0 means that our clock is ahead of GitHub's.
        wait = max(error.retry_after, pause)
        return RetryOption(wait <= MAX_WAIT, wait)
    if isinstance(error, RequestError) and isinstance(error.exc, httpx.ConnectError):
        return RetryOption(True, pause)
    return RetryOption(_is_outcome_unknown(error) and _find_request_method(error) in IDEMPOTENT_METHODS, pause)


def retry_lost_requests(work: Callable[[], T]) -> T:
    """Return the value of `work`. Run it again if one of its responses was lost or reported a server error.

    `work` must first check what already exists, so that a second run does not write anything twice.
    """
    for tried in range(TRIES):
        try:
            return work()
        except RequestError as error:
            if not _is_outcome_unknown(error) or tried + 1 == TRIES:
                raise
            time.sleep(2**tried)
    raise AssertionError("unreachable")


class ApiModel(BaseModel):
    """The base class for objects of GitHub's API, with only the fields that we read.

    The client's own models require every field of the newest API description. With those models, a missing field that
    we never read would be an error.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")


def validate_response(model: type[T], response: Response[Any]) -> T:
    """Parse a response as this type, an `ApiModel` or a list of them. Raise ValidationError if it does not fit."""
    return TypeAdapter(model).validate_json(response.content)


def _is_outcome_unknown(error: GitHubException) -> bool:
    """Return whether the request may have been carried out and another attempt may succeed."""
    if isinstance(error, RequestFailed):
        return error.response.status_code >= 500
    return isinstance(error, RequestError) and isinstance(error.exc, httpx.TransportError)


def _find_request_method(error: GitHubException) -> str:
    """Return the HTTP method of the failed request. If it is unknown, return POST, the least safe method."""
    request = error.request if isinstance(error, RequestFailed | RequestTimeout) else _find_failed_request(error)
    return request.method if request is not None else "POST"


def _find_failed_request(error: GitHubException) -> httpx.Request | None:
    """Return the request that caused a connection error, if httpx recorded it."""
    try:
        return error.exc.request if isinstance(error, RequestError) else None
    except (AttributeError, RuntimeError):  # httpx does not always attach the request
        return None


@contextmanager
def translate_errors(subject: str) -> Iterator[None]:
    """Convert every GitHub error to a GraderError that says what was being accessed, such as "the comment"."""
    try:
        yield
    except RateLimitExceeded as error:
        minutes = round(error.retry_after.total_seconds() / 60) + 1
        raise RateLimitedError(
            f"GitHub's rate limit is exhausted ({subject}). Run the job again in {minutes} minutes."
        ) from None
    except RequestFailed as error:
        raise GraderError(f"{_describe_refused_request(error)} ({subject}).") from None
    except ValidationError:
        raise GraderError(f"GitHub's response does not match its description ({subject}). Run the job again.") from None
    except GitHubException as error:
        reason = to_one_line(str(getattr(error, "exc", error)), 200)
        raise GraderError(f"GitHub could not be reached ({subject}): {reason}. Run the job again.") from None


def _describe_refused_request(error: RequestFailed) -> str:
    """Describe a refused request, GitHub's reason and sometimes what to do, without the final full stop."""
    status = error.response.status_code
    try:
        said = to_one_line(str(error.response.json()["message"]), 200)
    except (ValueError, LookupError, TypeError):
        said = "no reason given"
    match status:
        case 401:
            return f"GitHub rejected this GITHUB_TOKEN: {said}"
        case 403 | 404:
            repair = "check `permissions:` in the workflow's job, and the repository's name"
            return f"GITHUB_TOKEN lacks the permission, or the resource does not exist: {said}; {repair}"
        case _ if status >= 500:
            return f"GitHub itself is having problems (status {status}): {said}. Run the job again"
    return f"GitHub refused the request (status {status}): {said}"
