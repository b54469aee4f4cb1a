"""The published records of a repository, read from its branch `progress` through GitHub's API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from grading.github import reading
from grading.github.branch import Branch, Repository, messages, number_of, read_branch, read_files, repository_of
from grading.github.reading import BRANCH, Records

if TYPE_CHECKING:
    from githubkit import GitHub


def read_history(client: GitHub, repository: str) -> Records:
    """Fetch the records of a repository (owner/name); none when it has no branch `progress` yet.

    GitHub's own errors are raised as githubkit's exceptions.
    """
    place = repository_of(client, repository)
    branch = read_branch(place, BRANCH)
    return Records() if branch is None else read_records(place, branch, number_of(place), {})


def read_records(place: Repository, branch: Branch, number: int, known: dict[str, bytes]) -> Records:
    """Fetch a branch's records; `cache` holds files that were fetched before, by Git's digest."""

    def read(paths: Collection[str]) -> Mapping[str, bytes]:
        """Fetch the contents of these paths on the branch."""
        shas = {path: branch.files[path].sha for path in paths}
        contents = read_files(place, shas.values(), known)
        return {path: contents[sha] for path, sha in shas.items()}

    sizes = {path: file.size for path, file in branch.files.items()}
    return reading.read_records(sizes, messages(place, branch), read, repository=number)
