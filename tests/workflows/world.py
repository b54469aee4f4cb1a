"""The world in which workflows run: repositories with commits, a run's artifacts, tokens and their permissions."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LEVELS = ("none", "read", "write")


@dataclass(frozen=True)
class Token:
    """A job's token, with its permissions and repository."""

    repository: str
    permissions: dict[str, str]

    def permits(self, permission: str, level: str) -> bool:
        """Tell whether the token has this permission at this level or above."""
        return LEVELS.index(self.permissions.get(permission, "none")) >= LEVELS.index(level)


@dataclass
class Repository:
    """A repository on GitHub: trees by commit, and the commits that its branches and tags point to."""

    commits: dict[str, Path] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False

    def commit(self, tree: Path, ref: str | None = None) -> str:
        """Add a tree as a commit, and point a branch or tag to it."""
        sha = secrets.token_hex(20)
        self.commits[sha] = tree
        if ref is not None:
            self.refs[ref] = sha
        return sha

    def resolve(self, ref: str) -> tuple[str, Path]:
        """Return the commit of a branch, tag or SHA; raise KeyError if it does not exist."""
        sha = self.refs.get(ref.removeprefix("refs/heads/"), ref)
        return sha, self.commits[sha]


@dataclass
class World:
    """All repositories, and the tokens that are valid while their jobs run."""

    repositories: dict[str, Repository]
    environ: dict[str, str]
    """What a runner's machine has in its environment."""
    environments: Path
    """Where nox keeps its environments, for all jobs: on GitHub each job makes its own."""
    api_url: str
    uploaded: Callable[[str, int, str, bytes], None]
    """Told of each artifact: repository, run, name, archive."""
    tokens: dict[str, Token] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """Of the repository whose workflows are run."""

    def create_token(self, repository: str, permissions: dict[str, str]) -> str:
        """Create a new token."""
        value = f"ghs_{secrets.token_hex(18)}"
        self.tokens[value] = Token(repository, permissions)
        return value


@dataclass(frozen=True)
class Event:
    """An event that triggers a run."""

    name: str
    repository: str
    sha: str
    """github.sha: of a pull request, its merge."""
    ref: str
    payload: dict[str, Any]
    run_id: int
    actor: str = "ada"

    @property
    def from_fork(self) -> bool:
        """Tell whether this is a pull request from a fork, whose tokens may only read."""
        head = self.payload.get("pull_request", {}).get("head", {}).get("repo")
        return self.name == "pull_request" and (head or {}).get("full_name") != self.repository


@dataclass
class StepRun:
    """One `run:` or `uses:` as it was executed."""

    workflow: str
    job: str
    name: str
    command: str | None = None
    action: str | None = None
    environ: dict[str, str] = field(default_factory=dict)
    code: int = 0
    output: str = ""
    seconds: float = 0.0
    """Of a command."""


@dataclass
class JobRun:
    """One job, or one cell of its matrix."""

    workflow: str
    job: str
    result: str
    """success, failure or skipped."""
    outputs: dict[str, str] = field(default_factory=dict)
    permissions: dict[str, str] = field(default_factory=dict)
    concurrency: dict[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """A complete run of one workflow file."""

    event: Event
    workflow: str
    folder: Path
    concurrency: dict[str, Any] = field(default_factory=dict)
    jobs: list[JobRun] = field(default_factory=list)
    steps: list[StepRun] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    """Name → archive."""
    attested: list[str] = field(default_factory=list)
    summary: str = ""

    def map_job_results(self) -> dict[str, str]:
        """Map each job to its result; a matrix has one result for all cells."""
        found: dict[str, str] = {}
        for job in self.jobs:
            name = f"{job.workflow}:{job.job}"
            found[name] = "failure" if "failure" in (found.get(name), job.result) else job.result
        return found

    def join_log(self) -> str:
        """Return everything that the run printed, for a failed test."""
        return "\n".join(f"--- {s.workflow} {s.job}: {s.name} ({s.code})\n{s.output[-3000:]}" for s in self.steps)
