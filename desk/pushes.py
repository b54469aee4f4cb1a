"""When a server received a commit: pushes as it saw them, since authors choose the dates inside commits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

NONE = "0" * 40
"""What a deleted branch points to."""
LARGEST = 8 << 20
_LINE = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) [^\n]*> (\d{1,12}) [+-]\d{4}(?:\t[^\n]*)?")


@dataclass(frozen=True)
class Push:
    """A push: from this time on, a branch pointed to this commit."""

    branch: str
    """Its full name, such as refs/heads/main."""
    commit: str
    at: datetime
    source: str
    """Who reported it: github, reflog, or seen (`inv collect` itself, which runs some time after the push)."""


class PushTimeSource(Protocol):
    """A source of push times."""

    def list_pushes(self, repository: str, branch: str, since: datetime | None) -> tuple[Push, ...]:
        """List the pushes to a branch after `since`, oldest first; empty when this source does not know the repository.

        GraderError when the source should know it but cannot be asked.
        """


class ReflogSource:
    """Push times of bare repositories on this machine that keep reflogs (`core.logAllRefUpdates`)."""

    def list_pushes(self, repository: str, branch: str, since: datetime | None) -> tuple[Push, ...]:
        """List the updates of the branch since then from its reflog; empty for a repository on another machine."""
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


def find_last_push(pushes: Iterable[Push], deadline: datetime) -> Push | None:
    """Find the last push until this time, which is what the branch pointed to."""
    before = [push for push in pushes if push.at <= deadline]
    return max(before, key=lambda p: p.at, default=None)


def find_first_push(pushes: Sequence[Push], commit: str) -> Push | None:
    """Find the first push that set the branch to a commit, preferring one that a server reported to one only seen."""
    of_it = [push for push in pushes if push.commit == commit]
    told = [push for push in of_it if push.source != "seen"]
    return min(told or of_it, key=lambda p: p.at, default=None)
