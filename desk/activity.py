"""Push times from GitHub: the list of a repository's activities, which its server keeps and nobody can write to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from githubkit.utils import UNSET

from desk.pushes import NONE, Push, PushTimes, Reflogs
from desk.repository import full_name
from grading.errors import GraderError
from grading.github.api import Client, client, translate_errors
from grading.github.branch import repository_of

PAGES = 50
"""Of 100 activities each; a branch that was pushed to more often has its oldest pushes left out."""


class Activities:
    """Repositories on GitHub."""

    def __init__(self, github: Client) -> None:
        self._github = github

    def pushes(self, repository: str, branch: str, since: datetime | None) -> tuple[Push, ...]:
        """What the branch was set to since then: pushes, merges, forced pushes; none for a repository elsewhere."""
        name = full_name(repository)
        if name is None:
            return ()
        found: list[Push] = []
        place = repository_of(self._github, name)
        after: str | None = None
        with translate_errors(f"the activities of {name}"):
            for _ in range(PAGES):
                answer = place.client.rest.repos.list_activities(
                    place.owner, place.name, ref=branch, per_page=100, direction="desc", after=after or UNSET
                )
                page = [_push(one, branch) for one in answer.json()]
                found += [push for push in page if push is not None and (since is None or push.at > since)]
                older = any(push is not None and since is not None and push.at <= since for push in page)
                link = answer.raw_response.links.get("next", {}).get("url")
                after = parse_qs(urlsplit(link).query).get("after", [None])[0] if link else None
                if older or after is None:
                    break
        return tuple(sorted(found, key=lambda push: push.at))


class Times:
    """Whoever knows: GitHub with a token, a bare repository's reflog on this machine."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._sources: list[PushTimes] = [Reflogs()]
        if environ.get("GITHUB_TOKEN"):
            self._sources.append(Activities(client(environ)))

    def pushes(self, repository: str, branch: str, since: datetime | None) -> tuple[Push, ...]:
        """The pushes of the first source that knows any."""
        found = (source.pushes(repository, branch, since) for source in self._sources)
        return next(filter(None, found), ())


def _push(activity: object, branch: str) -> Push | None:
    """One activity as a push; None for the end of a branch."""
    try:
        assert isinstance(activity, dict)
        commit, at = str(activity["after"]), datetime.fromisoformat(activity["timestamp"])
        if activity["ref"] != branch or commit == NONE:
            return None
        return Push(branch, commit, at.astimezone(UTC), "github")
    except (AssertionError, LookupError, TypeError, ValueError):
        raise GraderError("GitHub lists an activity that is none.") from None
