"""Push times from GitHub, which lists each repository's activities and lets nobody change the list."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from githubkit.utils import UNSET

from desk.pushes import NONE, Push, PushTimeSource, ReflogSource
from desk.repository import parse_github_name
from grading.errors import GraderError
from grading.github.api import Client, create_client, translate_errors
from grading.github.branch import parse_repository_name

MAX_PAGES = 50
"""The maximum number of pages to read, with 100 activities each.

If a branch has more activities, the oldest pushes are left out.
"""


class GitHubActivity:
    """Push times of repositories on GitHub."""

    def __init__(self, github: Client) -> None:
        self._github = github

    def list_pushes(self, address: str, ref: str, since: datetime | None) -> tuple[Push, ...]:
        """List pushes, force pushes and merges to ``ref`` after `since`, oldest first; none outside GitHub.

        At most 5,000 of the newest activities are read. Raise GraderError if GitHub cannot be queried.
        """
        name = parse_github_name(address)
        if name is None:
            return ()
        found: list[Push] = []
        place = parse_repository_name(self._github, name)
        after: str | None = None
        with translate_errors(f"the activities of {name}"):
            for _ in range(MAX_PAGES):
                answer = place.client.rest.repos.list_activities(
                    place.owner, place.name, ref=ref, per_page=100, direction="desc", after=after or UNSET
                )
                page = [_parse_activity(one, ref) for one in answer.json()]
                found += [push for push in page if push is not None and (since is None or push.at > since)]
                older = any(push is not None and since is not None and push.at <= since for push in page)
                link = answer.raw_response.links.get("next", {}).get("url")
                after = parse_qs(urlsplit(link).query).get("after", [None])[0] if link else None
                if older or after is None:
                    break
        return tuple(sorted(found, key=lambda push: push.at))


class PushSourceChain:
    """A chain of sources that are queried in turn: reflogs on this machine, then GitHub if there is a token."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._sources: list[PushTimeSource] = [ReflogSource()]
        if environ.get("GITHUB_TOKEN"):
            self._sources.append(GitHubActivity(create_client(environ)))

    def list_pushes(self, address: str, ref: str, since: datetime | None) -> tuple[Push, ...]:
        """List the pushes to ``ref`` after `since` from the first source that has any; empty if none has."""
        found = (source.list_pushes(address, ref, since) for source in self._sources)
        return next(filter(None, found), ())


def _parse_activity(activity: object, ref: str) -> Push | None:
    """Parse one activity as a push; None if it deleted the branch or is on another. Raise GraderError if invalid."""
    try:
        assert isinstance(activity, dict)
        commit, at = str(activity["after"]), datetime.fromisoformat(activity["timestamp"])
        if activity["ref"] != ref or commit == NONE:
            return None
        return Push(ref, commit, at.astimezone(UTC), "github")
    except (AssertionError, LookupError, TypeError, ValueError):
        raise GraderError("GitHub returned an activity that cannot be parsed.") from None
