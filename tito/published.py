"""Read, from the local clone, the records that runs on GitHub have published. This needs no fetch or checkout."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from grading.errors import UsageError
from grading.github.branch_records import BRANCH, MAX_COMMITS, BranchRecords, verify_branch_records
from grading.render.text import to_one_line
from tito.console import format_list_item

FETCH = f"git fetch origin {BRANCH}"
REF = f"refs/remotes/origin/{BRANCH}"


def read_published_records(root: Path) -> BranchRecords:
    """Read and verify the records on origin/progress as last fetched; raise UsageError if git or the branch is missing.

    A clone cannot tell which repository published the records. The runs on GitHub check that as well.
    """
    found = _run_git(root, "rev-parse", "--verify", "--quiet", f"{REF}^{{commit}}", check=False).strip().decode()
    if not found:
        raise UsageError(f"This clone has no branch origin/{BRANCH}. After a run has published it, run: {FETCH}")
    sizes, blobs = {}, {}
    for line in _run_git(root, "ls-tree", "-r", "-l", "-z", "--full-tree", found).split(b"\0"):
        about, tab, name = line.partition(b"\t")
        if tab and about[:6] in (b"100644", b"100755"):
            path = name.decode("utf-8", "backslashreplace")
            _, _, blobs[path], size = about.decode().split()
            sizes[path] = int(size)

    def read_files(paths: Collection[str]) -> Mapping[str, bytes]:
        """Read the bytes of these files from the branch, keyed by path."""
        return dict(zip(paths, _read_blobs(root, [blobs[path] for path in paths]), strict=True))

    log = _run_git(root, "log", "--first-parent", f"--max-count={MAX_COMMITS}", "--format=%B%x00", found)
    messages = log.decode("utf-8", "replace").split("\0")
    return verify_branch_records(sizes, messages, read_files, repository_id=None)


def describe_unverified_records(records: BranchRecords) -> Iterator[RenderableType]:
    """Describe how many records there are and which of them are unverified."""
    count = len(records.entries)
    verified = count - len(records.unverified_records)
    yield Text(
        f"From the branch {BRANCH}: {count} record{'s' if count != 1 else ''}, {verified} verified.", style="dim"
    )
    for entry in records.unverified_records:
        told = f"Unverified and not counted: {to_one_line(entry.file)}: {to_one_line(entry.reason or '', 300)}"
        yield format_list_item("!", Text(told, style="yellow"), indent=0)


def collect_unverified_records(records: BranchRecords) -> list[dict[str, Any]]:
    """Collect the files and reasons of the unverified records, as plain values for JSON."""
    return [{"file": entry.file, "reason": entry.reason} for entry in records.unverified_records]


def _read_blobs(root: Path, blobs: list[str]) -> Iterator[bytes]:
    """Read the bytes of these blobs from git, in order."""
    out = _run_git(root, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode())
    for _ in blobs:
        head, _, out = out.partition(b"\n")
        size = int(head.split()[2])
        yield out[:size]
        out = out[size + 1 :]


def _run_git(root: Path, *arguments: str, stdin: bytes = b"", check: bool = True) -> bytes:
    """Run git in the repository and return its output; raise UsageError if it is missing or, with ``check``, fails."""
    command = ["git", "-C", str(root), *arguments]
    try:
        ran = subprocess.run(command, input=stdin, capture_output=True, check=False)  # noqa: S603 - our own arguments
    except OSError:
        raise UsageError("git is not installed. tito needs it to read the published records.") from None
    if check and ran.returncode:
        raise UsageError(f"git {arguments[0]} failed: {to_one_line(ran.stderr.decode('utf-8', 'replace'), 300)}")
    return ran.stdout
