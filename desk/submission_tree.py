"""Read and write the files in a commit that the grader needs, as they would be in a checkout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from desk.git import TreeEntry, list_tree_entries, read_files
from grading.manifest.model import BuildStatus, Manifest
from grading.submission import MAX_BYTES, list_answer_files, list_source_files

BESIDE = 200
"""The maximum number of other names that are kept for a module's folder, for the notes on unused files."""
LINK, FILES, REPOSITORY = "120000", ("100644", "100755"), "160000"


@dataclass(frozen=True)
class SubmissionTree:
    """The files in a commit that the grader needs, as plain data that can be sent to another machine."""

    files: Mapping[str, bytes | None]
    """The files' contents, keyed by path; the content is None if a file is too large to be handed in."""
    links: Mapping[str, str]
    """The targets of symbolic links, keyed by path."""
    beside: tuple[str, ...] = ()
    """The other files in the same folders, which are written as empty files."""

    def write_to(self, into: Path) -> None:
        """Write the files and links to an empty folder, with spaces for oversized files and empty files for `beside`.

        The spaces exceed the size limit, so that the grader rejects the file as in a checkout. Of the files
        beside, only the names matter.
        """
        for name in self.beside:
            _create_empty_file(into / name)
        for name, data in self.files.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(b" " * (MAX_BYTES + 1) if data is None else data)
        for name, leads_to in self.links.items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).symlink_to(leads_to)


def write_commit_tree(repository: Path, commit: str, manifest: Manifest, into: Path) -> None:
    """Write a commit's relevant files to the empty folder ``into``. Raise GitError if the commit cannot be read.

    Links remain links and oversized files remain oversized, so that the grader rejects them as in a checkout.
    """
    read_commit_tree(repository, commit, manifest).write_to(into)


def read_commit_tree(repository: Path, commit: str, manifest: Manifest) -> SubmissionTree:
    """Read the files in a commit that the grader needs. Raise GitError if the commit cannot be read.

    Links, nested repositories and oversized files are kept as such, and rejected later. No filter, line-ending setting
    or attribute of the repository changes a byte.
    """
    wanted = _list_gradable_paths(manifest)
    folders = {path.parent for path in wanted if path.parent.name == "tinytorch"}
    above = {parent for path in wanted for parent in path.parents if parent.parts}
    found: dict[PurePosixPath, TreeEntry] = {}
    depths = sorted({len(path.parts) for path in above})
    # If git is given a folder and one of its subfolders, it lists only the subfolder.
    levels = [_sort_path_names(path for path in above if len(path.parts) == depth) for depth in depths]
    for names in (*levels, _sort_path_names(wanted) + [f"{name}/" for name in _sort_path_names(folders)]):
        for entry in list_tree_entries(repository, commit, names):
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
    read = read_files(repository, [*files.values(), *links.values()], largest=MAX_BYTES)
    return SubmissionTree(
        {name: read[digest] for name, digest in files.items()},
        {name: os.fsdecode((read[digest] or b"?").replace(b"\0", b"?")[:1000]) for name, digest in links.items()},
        tuple(beside),
    )


def _list_gradable_paths(manifest: Manifest) -> set[PurePosixPath]:
    """List every file that students may hand in for the available milestones."""
    sources = list_source_files(manifest, [m for m in manifest.modules if m.status is BuildStatus.BUILT])
    answers = [path for m in manifest.milestones if m.status is BuildStatus.BUILT for path in list_answer_files(m)]
    return {PurePosixPath(path.as_posix()) for path in [*(f.path for f in sources), *answers]}


def _sort_path_names(paths: Iterable[PurePosixPath]) -> list[str]:
    """Sort paths and convert them to names for git."""
    return [path.as_posix() for path in sorted(paths)]


def _create_empty_file(path: Path) -> None:
    """Create an empty file and its folder, or do nothing if the file system refuses the name."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        pass
