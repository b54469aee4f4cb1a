"""The records that runs on GitHub have published, read from the clone at hand: nothing is fetched or checked out."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from grading.errors import UsageError
from grading.github.reading import BRANCH, COMMITS, Records, read_records
from grading.render.text import one_line
from tito.console import item

FETCH = f"git fetch origin {BRANCH}"
REF = f"refs/remotes/origin/{BRANCH}"


def published(root: Path) -> Records:
    """The records of the branch as it was fetched last; UsageError without git, or without the branch.

    Which repository they were published in cannot be told from a clone; GitHub's own runs check that, too.
    """
    found = _git(root, "rev-parse", "--verify", "--quiet", f"{REF}^{{commit}}", check=False).strip().decode()
    if not found:
        raise UsageError(f"There is no branch origin/{BRANCH} here. Fetch it, once a run has published: {FETCH}")
    sizes, blobs = {}, {}
    for line in _git(root, "ls-tree", "-r", "-l", "-z", "--full-tree", found).split(b"\0"):
        about, tab, name = line.partition(b"\t")
        if tab and about[:6] in (b"100644", b"100755"):
            path = name.decode("utf-8", "backslashreplace")
            _, _, blobs[path], size = about.decode().split()
            sizes[path] = int(size)

    def read(paths: Collection[str]) -> Mapping[str, bytes]:
        return dict(zip(paths, _contents(root, [blobs[path] for path in paths]), strict=True))

    log = _git(root, "log", "--first-parent", f"--max-count={COMMITS}", "--format=%B%x00", found)
    messages = log.decode("utf-8", "replace").split("\0")
    return read_records(sizes, messages, read, repository=None)


def unverified(records: Records) -> Iterator[RenderableType]:
    """How many records there are, and which of them nothing vouches for."""
    count = len(records.entries)
    verified = count - len(records.unverified)
    yield Text(
        f"From the branch {BRANCH}: {count} record{'s' if count != 1 else ''}, {verified} verified.", style="dim"
    )
    for entry in records.unverified:
        told = f"Unverified and not counted: {one_line(entry.file)}: {one_line(entry.reason or '', 300)}"
        yield item("!", Text(told, style="yellow"), indent=0)


def unverified_json(records: Records) -> list[dict[str, Any]]:
    """The same as data."""
    return [{"file": entry.file, "reason": entry.reason} for entry in records.unverified]


def _contents(root: Path, blobs: list[str]) -> Iterator[bytes]:
    """The bytes of these blobs, in order."""
    out = _git(root, "cat-file", "--batch", said="".join(f"{blob}\n" for blob in blobs).encode())
    for _ in blobs:
        head, _, out = out.partition(b"\n")
        size = int(head.split()[2])
        yield out[:size]
        out = out[size + 1 :]


def _git(root: Path, *arguments: str, said: bytes = b"", check: bool = True) -> bytes:
    command = ["git", "-C", str(root), *arguments]
    try:
        ran = subprocess.run(command, input=said, capture_output=True, check=False)  # noqa: S603 - our own arguments
    except OSError:
        raise UsageError("git is not installed; the published records are read with it.") from None
    if check and ran.returncode:
        raise UsageError(f"git {arguments[0]} failed: {one_line(ran.stderr.decode('utf-8', 'replace'), 300)}")
    return ran.stdout
