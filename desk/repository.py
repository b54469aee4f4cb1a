"""Check that names of repositories in a roster are safe to pass to git, and compare and convert such names."""

from __future__ import annotations

import re

SHORT = re.compile(r"[\w-]{1,39}/[\w.-]{1,100}", re.ASCII)
ADDRESS = re.compile(r"(?:https|ssh|file)://[^\s]+", re.ASCII)
SECURE_SHELL = re.compile(r"[\w.-]+@[\w.-]+:[\w./~-]+", re.ASCII)
PATH = re.compile(r"(?:/|\./|\.\./)[^\0]+")
PASSWORD = re.compile(r"https://[^/@]*@")
HOST = "https://github.com"


def find_repository_problem(text: str) -> tuple[str, str] | None:
    """Return what is wrong with a repository's name and how to fix it, or None if it is safe to pass to git."""
    if PASSWORD.match(text):
        return "the address contains a user name or a password.", "Delete it: git asks your credential helper."
    if any(kind.fullmatch(text) for kind in (SHORT, ADDRESS, SECURE_SHELL, PATH)):
        return None
    return (
        f"{text[:80]!r} is not the name of a repository.",
        "Write owner/name, an address (https:// or ssh://), or a path (./ or /).",
    )


def build_git_address(text: str, host: str = HOST) -> str:
    """Build the address for git: owner/name becomes an address on `host`, and an address is returned unchanged."""
    return f"{host}/{text}.git" if SHORT.fullmatch(text) else text


def parse_github_name(text: str) -> str | None:
    """Return the owner/name of a repository on GitHub, or None if the repository is not on GitHub.

    >>> parse_github_name("git@github.com:octo/hello.git")
    'octo/hello'
    """
    found = re.fullmatch(
        r"(?:https://github\.com/|ssh://git@github\.com/|git@github\.com:)?([\w-]+/[\w.-]+?)(?:\.git)?/?", text
    )
    return found[1] if found else None


def build_commit_address(text: str | None, commit: str) -> str | None:
    """Build the URL of a commit's page, or return None if the repository is not on GitHub.

    >>> build_commit_address("octo/hello", "c0ffee")
    'https://github.com/octo/hello/commit/c0ffee'
    """
    name = parse_github_name(text) if text else None
    return f"{HOST}/{name}/commit/{commit}" if name else None


def normalize_repository(text: str) -> str:
    """Return a lower-case form of a repository's name for comparison, which is equal for all spellings of the name."""
    return (parse_github_name(text) or text.rstrip("/").removesuffix(".git")).casefold()
