"""What a commit hands in, written to a folder as a checkout would leave it, but only what the grader looks at."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from desk.git import TreeEntry, contents, entries
from grading.manifest.model import Manifest, Status
from grading.submission import MAX_BYTES, answer_files, source_files

BESIDE = 200
"""Other names in a module's folder that are written, for the notes on what is not used."""
LINK, FILES, REPOSITORY = "120000", ("100644", "100755"), "160000"


def write_tree(repository: Path, commit: str, manifest: Manifest, into: Path) -> None:
    """Write what counts of a commit into the empty folder ``into``; the grader refuses there what it refuses anywhere.

    A link stays a link, another repository inside stays one, a file that is too large stays too large; no filter, line
    end or attribute of the repository changes a byte. GitError when the commit cannot be read.
    """
    wanted = _wanted(manifest)
    folders = {path.parent for path in wanted if path.parent.name == "tinytorch"}
    above = {parent for path in wanted for parent in path.parents if parent.parts}
    found: dict[PurePosixPath, TreeEntry] = {}
    depths = sorted({len(path.parts) for path in above})
    # Git names a folder only once: asked for it and for one inside it, it shows the inner one alone.
    levels = [_names(path for path in above if len(path.parts) == depth) for depth in depths]
    for names in (*levels, _names(wanted) + [f"{name}/" for name in _names(folders)]):
        for entry in entries(repository, commit, names):
            found[PurePosixPath(entry.path)] = entry
    beside: dict[PurePosixPath, int] = {}
    files: dict[PurePosixPath, str] = {}
    links: dict[PurePosixPath, str] = {}
    for path, entry in sorted(found.items()):
        if path in wanted and entry.mode in FILES:
            files[path] = entry.digest
        elif entry.mode == LINK and (path in wanted or path in above):
            links[path] = entry.digest
        elif entry.mode == REPOSITORY and path in above:
            _touch(into / path / ".git")
        elif path not in wanted and path.parent in folders and beside.get(path.parent, 0) < BESIDE:
            beside[path.parent] = beside.get(path.parent, 0) + 1
            _touch(into / path)
    read = contents(repository, [*files.values(), *links.values()], largest=MAX_BYTES)
    for path, digest in files.items():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        data = read[digest]
        (into / path).write_bytes(b" " * (MAX_BYTES + 1) if data is None else data)
    for path, digest in links.items():
        (into / path).parent.mkdir(parents=True, exist_ok=True)
        leads_to = os.fsdecode((read[digest] or b"?").replace(b"\0", b"?")[:1000])
        (into / path).symlink_to(leads_to)


def _wanted(manifest: Manifest) -> set[PurePosixPath]:
    """Every file a student may hand in, of what is built."""
    sources = source_files(manifest, [m for m in manifest.modules if m.status is Status.BUILT])
    answers = [path for m in manifest.milestones if m.status is Status.BUILT for path in answer_files(m)]
    return {PurePosixPath(path.as_posix()) for path in [*(f.path for f in sources), *answers]}


def _names(paths: Iterable[PurePosixPath]) -> list[str]:
    return [path.as_posix() for path in sorted(paths)]


def _touch(path: Path) -> None:
    """An empty file; a name the file system does not take is left out."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        pass
