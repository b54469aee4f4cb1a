"""Find out when a server received a commit.

Only the server's record of pushes counts, since authors can choose the dates in commits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

NONE = "0" * 40
"""The commit id that a deleted branch points to."""
LARGEST = 8 << 20
_LINE = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) [^\n]*> (\d{1,12}) [+-]\d{4}(?:\t[^\n]*)?")


@dataclass(frozen=True)
class Push:
    """A push, and the time at which the branch began to point to the commit."""

    branch: str
    """The branch's full name, such as refs/heads/main."""
    commit: str
    at: datetime
    source: str
    """The source of the time: github, reflog, or seen (noticed by `inv collect` itself, some time after the push)."""


class PushTimeSource(Protocol):
    """A source of push times."""

    def list_pushes(self, address: str, ref: str, since: datetime | None) -> tuple[Push, ...]:
        """Each source defines how it lists pushes to ``ref`` after `since`, oldest first; empty for an unknown address.

        ``address`` is what git fetches from, with `file://` for a folder on this machine. ``ref`` is a branch's full
        name, such as refs/heads/main.

        Raise GraderError if the source should know the repository but cannot be queried.
        """


class ReflogSource:
    """A source of push times for bare repositories on this machine that keep reflogs (`core.logAllRefUpdates`)."""

    def list_pushes(self, address: str, ref: str, since: datetime | None) -> tuple[Push, ...]:
        """List the updates after `since` in the reflog of a ref such as refs/heads/main; empty without a reflog.

        Only a `file://` address has one.
        """
        if not address.startswith("file://"):
            return ()
        folder = Path(unquote(address.removeprefix("file://")))
        try:
            with (folder / "logs" / ref).open("rb") as file:
                data = file.read(LARGEST)
        except OSError:
            return ()
        found = [_LINE.fullmatch(line) for line in data.splitlines()]
        times = [(m[2].decode(), datetime.fromtimestamp(int(m[3]), UTC)) for m in found if m]
        return tuple(Push(ref, c, at, "reflog") for c, at in times if c != NONE and (since is None or at > since))


def find_last_push(pushes: Iterable[Push], deadline: datetime) -> Push | None:
    """Find the last push at or before the deadline, which determines where the branch pointed at that time."""
    before = [push for push in pushes if push.at <= deadline]
    return max(before, key=lambda p: p.at, default=None)


def find_first_push(pushes: Sequence[Push], commit: str) -> Push | None:
    """Find the first push that set the branch to this commit, preferring reported ones; return None if there is none.

    A push that a server reported is preferred to one that was only noticed later.
    """
    of_it = [push for push in pushes if push.commit == commit]
    told = [push for push in of_it if push.source != "seen"]
    return min(told or of_it, key=lambda p: p.at, default=None)
