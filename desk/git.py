"""Run git safely on a student's repository, without hooks, filters, submodules, prompts or checkouts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grading.errors import GraderError
from grading.files import write_atomically
from grading.render.text import to_one_line

SECONDS = 300
"""The time limit for a transfer, in seconds."""
LARGEST_OUTPUT = 4 << 20
"""The maximum number of bytes of git's output, since a repository may contain any number of names."""
SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.interactive=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "protocol.version=2",
    "transfer.bundleURI=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "advice.detachedHead=false",
)
HEX = re.compile(r"[0-9a-f]{40}")
_HELPER = '!f() { echo username=x-access-token; echo "password=$GITHUB_TOKEN"; }; f'
"""The credential helper that gives git the token from the environment, but only for GitHub.

The token never appears in a command line or a file.
"""
_REF = re.compile(r"refs/heads/[^\s\0-\x1f\x7f~^:?*\[\\]{1,200}")


class GitError(Exception):
    """The error raised if a git command fails; the message is the most informative line of git's own errors."""


@dataclass(frozen=True)
class RemoteHeads:
    """The commits that a remote repository's branches point to."""

    branch: str | None
    """The repository's default branch, such as refs/heads/main."""
    commit: str | None
    """The commit that the default branch points to; None if the repository is empty."""
    records: str | None
    """The commit that the `progress` branch points to."""


@dataclass(frozen=True)
class TreeEntry:
    """One entry of a commit's tree."""

    mode: str
    kind: str
    digest: str
    path: str


def read_git_version() -> tuple[int, ...]:
    """Read git's version, such as (2, 39, 5); raise GraderError if git is not installed."""
    try:
        said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        raise GraderError("git is not installed. On Debian and Ubuntu: sudo apt-get install git") from None
    found = re.search(r"\d+(?:\.\d+)+", said)
    return tuple(map(int, found[0].split("."))) if found else ()


def list_remote_heads(address: str) -> RemoteHeads:
    """Ask a remote repository for its default branch and its `progress` branch in a single request.

    Raise GitError if the request fails.
    """
    said = _run_git(None, ["ls-remote", "--symref", "--", address, "HEAD", "refs/heads/progress"]).decode(
        "utf-8", "replace"
    )
    branch, refs = None, {}
    for line in said.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            branch = value[5:]
        elif HEX.fullmatch(value):
            refs[name] = value
    if branch is not None and not _REF.fullmatch(branch):
        raise GitError(f"the default branch has an invalid name: {to_one_line(branch, 80)}")
    return RemoteHeads(branch, refs.get("HEAD"), refs.get("refs/heads/progress"))


def init_bare_repository(repository: Path) -> None:
    """Create a bare repository at this path unless there already is one."""
    if not (repository / "HEAD").is_file():
        repository.parent.mkdir(parents=True, exist_ok=True)
        _run_git(None, ["init", "--quiet", "--bare", "--template=", "--", str(repository)])


def fetch_commits(repository: Path, address: str, commits: Iterable[str], *, largest: int, depth: int = 1) -> None:
    """Fetch these commits, with `depth` commits of history and without files larger than `largest` bytes.

    Commits that were fetched before are not requested again. A server that cannot filter by size also sends
    larger files. Raise GitError if git fails.
    """
    wanted = [c for c in dict.fromkeys(commits) if not has_commit(repository, c)]
    if not wanted:
        return
    specs = [f"+{commit}:refs/tinytorch/{commit}" for commit in wanted]
    options = [
        "--quiet",
        f"--depth={depth}",
        f"--filter=blob:limit={largest + 1}",
        "--no-tags",
        "--no-write-fetch-head",
    ]
    _run_git(repository, ["fetch", *options, "--no-recurse-submodules", "--force", "--", address, *specs])


def has_commit(repository: Path, commit: str) -> bool:
    """Return whether `fetch_commits` has fetched this commit completely, as its reference, written last, shows."""
    return (repository / "refs" / "tinytorch" / commit).is_file()


def list_tree_entries(repository: Path, commit: str, paths: Sequence[str]) -> list[TreeEntry]:
    """List the entries of a commit's tree at these paths; a path with a trailing slash means the folder's contents."""
    said = _run_git(repository, ["ls-tree", "-z", "--full-tree", commit, "--", *paths])
    found = []
    for line in said.split(b"\0"):
        meta, tab, name = line.partition(b"\t")
        if tab:
            mode, kind, digest = meta.decode("ascii").split(" ")
            found.append(TreeEntry(mode, kind, digest, os.fsdecode(name)))
    return found


def read_files(
    repository: Path, digests: Iterable[str], *, largest: int, total_limit: int = 64 << 20
) -> dict[str, bytes | None]:
    """Map each file's git digest to its bytes, or None if too large or not fetched. Remove the repository's remote.

    A file is too large if it has more than `largest` bytes, or if it would bring the total above `total_limit` bytes.
    Without its remote, the repository cannot fetch what is missing while it is read.
    """
    wanted = list(dict.fromkeys(digests))
    if not wanted:
        return {}
    _forget_remote(repository)
    sizes = _run_git(
        repository, ["cat-file", "--batch-check=%(objectname) %(objectsize)"], _join_lines(wanted), lazy=False
    )
    small: dict[str, int] = {}
    for line in sizes.decode("ascii").splitlines():
        digest, _, told = line.partition(" ")
        if told.isdigit() and int(told) <= largest and sum(small.values()) + int(told) <= total_limit:
            small[digest] = int(told)
    room = sum(small.values()) + 200 * (len(small) + 1)
    data = _run_git(repository, ["cat-file", "--batch=%(objectname)"], _join_lines(small), lazy=False, limit=room)
    found: dict[str, bytes | None] = dict.fromkeys(wanted)
    place = 0
    for digest, size in small.items():
        place = data.index(b"\n", place) + 1
        found[digest] = data[place : place + size]
        place += size + 1
    return found


def _forget_remote(repository: Path) -> None:
    """If the settings name a remote, reset all of them, so that git treats files that were filtered out as missing.

    Otherwise, git would fetch these files just to determine their sizes.
    """
    config = repository / "config"
    if b"[remote" in config.read_bytes():
        write_atomically(config, b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n")


def list_commit_messages(repository: Path, commit: str, limit: int) -> list[str]:
    """List the messages of a commit and of its first-parent ancestors, as far as they were fetched, newest first."""
    # "format:", unlike "%B" alone, puts a NUL between messages and none after the last one.
    arguments = ["log", "-z", "--first-parent", f"--max-count={limit}", "--format=format:%B", commit, "--"]
    said = _run_git(repository, arguments, lazy=False)
    return said.decode("utf-8", "replace").split("\0")


def _join_lines(names: Iterable[str]) -> bytes:
    """Join names as lines of input for git."""
    return "".join(f"{name}\n" for name in names).encode("ascii")


def _run_git(
    repository: Path | None,
    arguments: Sequence[str],
    standard_input: bytes = b"",
    *,
    lazy: bool = True,
    limit: int = LARGEST_OUTPUT,
) -> bytes:
    """Run git and return what it printed; raise GitError if it fails, takes too long or prints too much."""
    command = [
        "git",
        *(word for setting in (*SAFE, *_build_credential_settings(os.environ)) for word in ("-c", setting)),
    ]
    if repository is not None:
        command += ["--git-dir", str(repository)]
    if not lazy:  # do not fetch files on demand that were filtered out
        command += ["-c", "protocol.allow=never"]
    process = subprocess.Popen(  # noqa: S603
        [*command, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=build_git_environment(os.environ, lazy=lazy),
        start_new_session=True,  # no terminal for prompts; git's helpers are stopped together with it
    )
    try:
        output, errors = process.communicate(standard_input, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} took longer than {SECONDS} seconds") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        raise GitError(_summarize_git_errors(arguments[0], errors.decode("utf-8", "replace")))
    if len(output) > limit:
        raise GitError(f"git {arguments[0]} listed more than {limit >> 20} MB")
    return output


def _build_credential_settings(environ: os._Environ[str] | dict[str, str]) -> tuple[str, ...]:
    """Return the git settings (`key=value`) that send GITHUB_TOKEN to GitHub; there are none if it is not set."""
    here = "credential.https://github.com.helper"
    return (f"{here}=", f"{here}={_HELPER}") if environ.get("GITHUB_TOKEN") else ()


def build_git_environment(environ: os._Environ[str] | dict[str, str], *, lazy: bool = True) -> dict[str, str]:
    """Build an environment in which git is never redirected, never prompts, and transfers nothing unless `lazy`."""
    kept = {name: value for name, value in environ.items() if not name.startswith("GIT_") or name in _KEPT}
    kept |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GCM_INTERACTIVE": "never",
        "GIT_ALLOW_PROTOCOL": "https:ssh:file" if lazy else "none",
        "GIT_NO_LAZY_FETCH": "0" if lazy else "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }
    kept.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20")
    return kept


_KEPT = {
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_EXEC_PATH",
}


def _summarize_git_errors(command: str, errors: str) -> str:
    """Return the most informative line of git's errors, or our own sentence for it, without secrets from addresses."""
    for pattern, sentence in _SENTENCES:
        if found := re.search(pattern, errors):
            return to_one_line(sentence.format(*map(_remove_credentials, found.groups())), 300)
    lines = [line for line in errors.splitlines() if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))]
    said = lines[-1] if lines else (errors.splitlines() or ["no reason given"])[-1]
    return to_one_line(f"git {command}: {_remove_credentials(said)}", 300)


def _remove_credentials(text: str) -> str:
    """Remove user names and passwords from addresses in a text."""
    return re.sub(r"//[^/@ ]*@", "//", text)


_SENTENCES = (
    (
        r"could not read Username|Authentication failed",
        """the repository is private, and neither GITHUB_TOKEN nor a stored credential gives access to it.
        Log in once: gh auth login, then gh auth setup-git""",
    ),
    (
        r"Permission denied \(publickey|Host key verification failed",
        """its server accepts none of your SSH keys. Enter its https:// address in the roster, or give the server
        your key""",
    ),
    (
        r"'(?:file://)?(/[^']*)' does not (?:appear to be a git repository|exist)",
        "there is no repository {0}. If it was moved, correct the `repository` column of the roster",
    ),
    (
        r"(?i)repository (?:'[^']*' )?(?:not found|does not exist)|'[^']*' does not appear to be a git repository",
        """its server has no such repository, or your account has no access. Compare the roster's `repository` column
        with the repository's address in a browser""",
    ),
    (
        r"dubious ownership in repository at '([^']*)'",
        "{0} belongs to another user. If you trust it: git config --global --add safe.directory {0}",
    ),
    (r"Could not resolve host(?:name)?:? ([^\s;]+)", "this machine cannot find {0}. Is it online?"),
    (
        r"(?:[Ff]ailed to connect to|connect to host) (\S+) ",
        "{0} cannot be reached from here. Check its address in the roster, and collect again later",
    ),
    (r"No space left on device", "the disk is full. Free some space, and collect again"),
)
"""Patterns that match common git errors, each with a replacement message that says how to fix the problem."""
