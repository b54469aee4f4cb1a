"""`inv resume`: start a workflow run with the gradebook that an earlier run uploaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from desk.gradebook import FILE, open_gradebook
from desk.shards import merge_gradebooks
from grading.errors import GraderError, UsageError
from grading.files import write_atomically
from grading.github.api import ApiModel, Client, create_client, translate_errors, validate_response
from grading.github.artifact import ArtifactRefusedError, download_artifact_file, list_artifacts

ARTIFACT = "gradebook"
PACKED, UNPACKED = 1 << 30, 4 << 30
RUNS = 50
"""The number of runs to search for the last one that uploaded a gradebook."""
_WORKFLOW = re.compile(r"[^@]+/\.github/workflows/([\w.-]+)@.+")


class _Repository(ApiModel):
    """A repository's name, as GitHub's API describes it."""

    full_name: str


class _Run(ApiModel):
    """One run of a workflow, as GitHub's API describes it."""

    id: int
    event: str
    head_repository: _Repository | None = None


class _Runs(ApiModel):
    """A page of runs, as GitHub's API describes it."""

    workflow_runs: list[_Run]


def resume_gradebook(folder: Path, environ: Mapping[str, str], workflow: str = "") -> int | None:
    """Download the newest gradebook of a workflow's earlier runs and merge it into the folder's; return the run's id.

    The workflow is the one that runs this command, unless the file of another workflow is given. Only runs on our
    own default branch count, since a pull request's run could upload anything. Raise UsageError outside a workflow, and
    GraderError if GitHub cannot be queried or sends something other than a gradebook.
    """
    repository, own, branch = _read_workflow_environment(environ)
    github = create_client(environ)
    open_gradebook(folder / FILE, make=True).__exit__()
    for run in _list_earlier_runs(github, repository, workflow or own, branch):
        artifacts = list_artifacts(github, repository, run)
        if ARTIFACT not in artifacts or artifacts[ARTIFACT].expired:
            continue
        try:
            data = download_artifact_file(
                github, repository, artifacts, ARTIFACT, FILE, max_archive_bytes=PACKED, max_file_bytes=UNPACKED
            )
        except ArtifactRefusedError as refusal:
            raise GraderError(f"the gradebook of run {run} cannot be used: {refusal}.") from None
        earlier = folder / f"earlier-{run}.sqlite"
        write_atomically(earlier, data)
        try:
            merge_gradebooks(folder / FILE, [earlier])
        except UsageError as error:
            raise GraderError(str(error)) from None
        finally:
            earlier.unlink()
        return run
    return None


def _read_workflow_environment(environ: Mapping[str, str]) -> tuple[str, str, str]:
    """Read a workflow's repository, file and branch from the environment; raise UsageError outside a workflow."""
    found = _WORKFLOW.fullmatch(environ.get("GITHUB_WORKFLOW_REF", ""))
    repository, branch = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_REF_NAME", "")
    if found is None or not repository or not branch:
        raise UsageError(
            "`inv resume` is for workflows. Your own machine already has the gradebook, so run: inv collect"
        )
    return repository, found[1], branch


def _list_earlier_runs(github: Client, repository: str, workflow: str, branch: str) -> list[int]:
    """List the ids of the workflow's last finished runs on this branch, newest first, but none for pull requests."""
    owner, name = repository.split("/")
    with translate_errors(f"the earlier runs of {workflow}"):
        answer = github.rest.actions.list_workflow_runs(
            owner, name, workflow, branch=branch, status="completed", per_page=RUNS
        )
    runs = validate_response(_Runs, answer).workflow_runs
    ours = [
        r.id
        for r in runs
        if r.event != "pull_request" and r.head_repository and r.head_repository.full_name == repository
    ]
    return sorted(ours, reverse=True)
