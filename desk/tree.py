"""What a commit hands in, as a checkout would leave it, but only what the grader looks at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from desk.git import TreeEntry, contents, entries
from grading.manifest.model import Manifest, Status
from grading.submission import MAX_BYTES, answer_files, source_files

BESIDE = 200
"""Other names in a module's folder that are written, for the notes on what is not used."""
LINK, FILES, REPOSITORY = "120000", ("100644", "100755"), "160000"


@dataclass(frozen=True)
class Tree:
    """What counts of a commit, as plain data that another machine can be handed."""

    files: Mapping[str, bytes | None]
    """By path; None for one that is larger than may be handed in."""
    links: Mapping[str, str]
    """By path: where they lead."""
    beside: tuple[str, ...] = ()
    """Other names in the same folders, as empty files."""

    def write(self, into: Path) -> None:
        """Write it to an empty folder, as a checkout would leave it."""
        for name in self.beside:
            _touch(into / name)
        for name, data in self.files.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(b" " * (MAX_BYTES + 1) if data is None else data)
        for name, leads_to in self.links.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).symlink_to(leads_to)


def write_tree(repository: Path, commit: str, manifest: Manifest, into: Path) -> None:
    """Write what counts of a commit into the empty folder ``into``; the grader refuses there what it refuses anywhere.

    GitError when the commit cannot be read.
    """
    read_tree(repository, commit, manifest).write(into)


def read_tree(repository: Path, commit: str, manifest: Manifest) -> Tree:
    """What counts of a commit. GitError when it cannot be read.

    A link stays a link, another repository inside stays one, a file that is too large stays too large; no filter, line
    end or attribute of the repository changes a byte.
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
    others: dict[PurePosixPath, int] = {}
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    beside: list[str] = []
    for path, entry in sorted(found.items()):
        if path in wanted and entry.mode in FILES:
            files[path.as_posix()] = entry.digest
        elif entry.mode == LINK and (path in wanted or path in above):
            links[path.as_posix()] = entry.digest
        elif entry.mode == REPOSITORY and path in above:
            beside.append(f"{path.as_posix()}/.git")
        elif path not in wanted and path.parent in folders and others.get(path.parent, 0) < BESIDE:
            others[path.parent] = others.get(path.parent, 0) + 1
            beside.append(path.as_posix())
    read = contents(repository, [*files.values(), *links.values()], largest=MAX_BYTES)
    return Tree(
        {name: read[digest] for name, digest in files.items()},
        {name: os.fsdecode((read[digest] or b"?").replace(b"\0", b"?")[:1000]) for name, digest in links.items()},
        tuple(beside),
    )


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
