"""The published records of a repository, read from its `progress` branch through GitHub's API."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from grading.github import branch_records
from grading.github.branch import (
    Branch,
    Repository,
    fetch_repository_id,
    parse_repository_name,
    read_branch,
    read_files,
    walk_commit_messages,
)
from grading.github.branch_records import BRANCH, BranchRecords

if TYPE_CHECKING:
    from githubkit import GitHub


def fetch_branch_records(client: GitHub, repository: str) -> BranchRecords:
    """Fetch and verify the records of a repository (owner/name). There are none if it has no `progress` branch yet.

    Errors on GitHub's side raise githubkit's exceptions.
    """
    place = parse_repository_name(client, repository)
    branch = read_branch(place, BRANCH)
    return BranchRecords() if branch is None else fetch_records_at(place, branch, fetch_repository_id(place), {})


def fetch_records_at(
    repository: Repository, branch: Branch, repository_id: int, cache: dict[str, bytes]
) -> BranchRecords:
    """Fetch and verify a branch's records. Files, keyed by Git's digest, come from `cache` or are added to it."""

    def fetch_contents(paths: Collection[str]) -> Mapping[str, bytes]:
        """Fetch the contents of these paths on the branch."""
        shas = {path: branch.files[path].sha for path in paths}
        contents = read_files(repository, shas.values(), cache)
        return {path: contents[sha] for path, sha in shas.items()}

    sizes = {path: file.size for path, file in branch.files.items()}
    return branch_records.verify_branch_records(
        sizes, walk_commit_messages(repository, branch), fetch_contents, repository_id=repository_id
    )
