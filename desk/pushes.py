"""When a server was given a commit: pushes as it saw them. The dates inside commits are their author's to choose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

NONE = "0" * 40
"""What a branch that is deleted points to afterwards."""
LARGEST = 8 << 20
_LINE = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) [^\n]*> (\d{1,12}) [+-]\d{4}(?:\t[^\n]*)?")


@dataclass(frozen=True)
class Push:
    """From this time on a branch pointed to this commit."""

    branch: str
    """refs/heads/main."""
    commit: str
    at: datetime
    source: str
    """Who says so: github, reflog, or seen (by `inv collect` itself, which came some time after the push)."""


class PushTimes(Protocol):
    """Who knows when a repository was pushed to."""

    def pushes(self, repository: str, branch: str, since: datetime | None) -> tuple[Push, ...]:
        """The pushes to a branch (those after `since`, when it can tell), oldest first; none when nobody knows.

        GraderError when it should know and cannot be asked.
        """


class Reflogs:
    """Bare repositories on this machine that keep reflogs (`core.logAllRefUpdates`): its clock is the server's."""

    def pushes(self, repository: str, branch: str, since: datetime | None) -> tuple[Push, ...]:
        """The updates of the branch since then, as the reflog has them; none for a repository elsewhere."""
        if not repository.startswith("file://"):
            return ()
        folder = Path(unquote(repository.removeprefix("file://")))
        try:
            with (folder / "logs" / branch).open("rb") as file:
                data = file.read(LARGEST)
        except OSError:
            return ()
        found = [_LINE.fullmatch(line) for line in data.splitlines()]
        times = [(m[2].decode(), datetime.fromtimestamp(int(m[3]), UTC)) for m in found if m]
        return tuple(Push(branch, c, at, "reflog") for c, at in times if c != NONE and (since is None or at > since))


def at_deadline(pushes: Iterable[Push], deadline: datetime) -> Push | None:
    """What a branch pointed to at this time: the last push until then."""
    before = [push for push in pushes if push.at <= deadline]
    return max(before, key=lambda p: p.at, default=None)


def arrived(pushes: Sequence[Push], commit: str) -> Push | None:
    """The push that brought a commit: the first that set the branch to it; one a server told before one only seen."""
    of_it = [push for push in pushes if push.commit == commit]
    told = [push for push in of_it if push.source != "seen"]
    return min(told or of_it, key=lambda p: p.at, default=None)
