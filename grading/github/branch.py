"""Read a branch and add commits to it through GitHub's Git Data API, without a clone, a checkout or a forced update."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from githubkit.exception import RequestFailed
from githubkit.utils import UNSET

from grading.errors import GraderError
from grading.render.text import to_one_line

if TYPE_CHECKING:
    from githubkit import GitHub

PARALLEL_REQUESTS = 8
"""The number of requests sent at the same time. GitHub asks for restraint, and a runner has few cores."""


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub, and the client that accesses it."""

    client: GitHub
    owner: str
    name: str


@dataclass(frozen=True)
class BranchFile:
    """One file on a branch."""

    sha: str
    """Git's digest of the content, by which a file is fetched."""
    size: int


@dataclass(frozen=True)
class Branch:
    """A branch at one commit."""

    commit: str
    tree: str
    message: str
    parents: tuple[str, ...]
    files: Mapping[str, BranchFile]
    """The branch's regular files, keyed by path, without links and submodules."""


def parse_repository_name(client: GitHub, full_name: str) -> Repository:
    """Parse a repository's name, such as octo/hello, without a request. Raise GraderError if it is malformed."""
    owner, slash, name = full_name.partition("/")
    if not (owner and slash and name) or "/" in name:
        raise GraderError(f"{full_name!r} is not a repository's name. Write it as owner/name.")
    return Repository(client, owner, name)


def fetch_repository_id(repository: Repository) -> int:
    """Fetch GitHub's number for the repository, which stays the same if the repository is renamed or moved."""
    return int(repository.client.rest.repos.get(repository.owner, repository.name).json()["id"])


def read_branch(repository: Repository, branch: str) -> Branch | None:
    """Read a branch's newest commit, and the sizes and digests of its regular files. Return None if there is no branch.

    Raise GraderError if it has too many files.
    """
    git = repository.client.rest.git
    try:
        ref = git.get_ref(repository.owner, repository.name, f"heads/{branch}").parsed_data
    except RequestFailed as error:
        if error.response.status_code == 404:
            return None
        raise
    commit = git.get_commit(repository.owner, repository.name, ref.object_.sha).parsed_data
    tree = git.get_tree(repository.owner, repository.name, commit.tree.sha, recursive="1").parsed_data
    if tree.truncated:
        raise GraderError(
            f"The branch {branch} holds more files than GitHub lists in one response, so it cannot be read in full. "
            "Remove every file that was not added by a run."
        )
    files = {
        item.path: BranchFile(item.sha, item.size or 0)
        for item in tree.tree
        if item.type == "blob" and item.mode in ("100644", "100755")
    }
    return Branch(commit.sha, commit.tree.sha, commit.message, tuple(p.sha for p in commit.parents), files)


def walk_commit_messages(repository: Repository, branch: Branch) -> Iterator[str]:
    """Yield the commit messages along first parents, newest first. Every message after the first costs a request."""
    yield branch.message
    parents = branch.parents
    while parents:
        commit = repository.client.rest.git.get_commit(repository.owner, repository.name, parents[0]).parsed_data
        yield commit.message
        parents = tuple(p.sha for p in commit.parents)


def read_files(repository: Repository, shas: Iterable[str], cache: dict[str, bytes]) -> dict[str, bytes]:
    """Fetch the files with these Git digests into `cache`, unless it already contains them, and return the cache."""
    wanted = sorted(set(shas) - set(cache))
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        cache.update(zip(wanted, pool.map(lambda sha: _read_blob(repository, sha), wanted), strict=True))
    return cache


def _read_blob(repository: Repository, sha: str) -> bytes:
    """Fetch and decode one file by Git's digest."""
    blob = repository.client.rest.git.get_blob(repository.owner, repository.name, sha).parsed_data
    if blob.encoding != "base64":
        return blob.content.encode()
    try:
        return base64.b64decode(blob.content)
    except binascii.Error as error:
        raise GraderError(f"GitHub sent a file that is not base64: {error}") from None


def try_to_commit_files(
    repository: Repository, branch: str, base: Branch | None, files: Mapping[str, bytes], message: str
) -> str | None:
    """Commit files on top of `base`. Return the commit, or None if the branch has moved; raise GraderError if refused.

    Without `base`, the branch starts with a commit that has no parent. Other files on the branch stay unchanged.
    """
    git, owner, name = repository.client.rest.git, repository.owner, repository.name
    items: list[Any] = []
    for path, data in sorted(files.items()):
        blob = git.create_blob(owner, name, content=base64.b64encode(data).decode(), encoding="base64").parsed_data
        items.append({"path": path, "mode": "100644", "type": "blob", "sha": blob.sha})
    made = git.create_tree(owner, name, tree=items, base_tree=UNSET if base is None else base.tree).parsed_data
    parents = [] if base is None else [base.commit]
    commit = git.create_commit(owner, name, message=message, tree=made.sha, parents=parents).parsed_data
    try:
        if base is None:
            git.create_ref(owner, name, ref=f"refs/heads/{branch}", sha=commit.sha)
        else:
            git.update_ref(owner, name, f"heads/{branch}", sha=commit.sha, force=False)
    except RequestFailed as error:
        # 422: the branch has been updated or created in the meantime. 409: two updates collided.
        if error.response.status_code in (409, 422) and _has_branch_moved(repository, branch, base):
            return None
        if error.response.status_code in (403, 409, 422):
            raise GraderError(
                f"GitHub does not let this run write to the branch {branch}: {_extract_refusal_reason(error)} "
                "Allow Actions to write to it: give the job `permissions: contents: write`, and make sure that no rule "
                "protects the branch."
            ) from None
        raise
    return commit.sha


def _has_branch_moved(repository: Repository, branch: str, base: Branch | None) -> bool:
    """Return whether the branch is no longer at the commit of `base`."""
    now = read_branch(repository, branch)
    return (now.commit if now else None) != (base.commit if base else None)


def _extract_refusal_reason(error: RequestFailed) -> str:
    """Return GitHub's own explanation for refusing a request, or the status code if it gave none."""
    try:
        message = to_one_line(str(error.response.json()["message"]), 300)
    except (ValueError, LookupError, TypeError):
        message = ""
    return message or f"status {error.response.status_code}."
