"""The command `python -m grading.github report`, which reports results in a summary, a comment and a check run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from grading.errors import GraderError, UsageError
from grading.files import write_atomically
from grading.github import sticky
from grading.github.annotations import publish_check_run
from grading.github.api import ApiModel, Client, create_client, translate_errors, validate_response
from grading.github.artifact import ArtifactRefusedError, collect_run_results, read_run_plan
from grading.github.comment import ReportingRun, RunReport, build_comment, build_report_headline, build_run_summary
from grading.github.event import WorkflowEvent, read_event
from grading.github.outputs import write_step_summary
from grading.manifest.loader import load_manifest
from grading.manifest.model import Manifest
from grading.render.text import to_one_line

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


class _Repository(ApiModel):
    full_name: str


class _Head(ApiModel):
    sha: str
    repo: _Repository | None


class _PullRequest(ApiModel):
    number: int
    head: _Head


def run_report_command(
    author: Annotated[
        str,
        typer.Option(
            "--author", metavar="LOGIN", help="The token's owner, whose comments are the only ones that are updated."
        ),
    ] = sticky.AUTHOR,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write the report there.")] = None,
) -> None:
    """Report a run's results in its summary, in the pull request's comment, and in a check run with annotations.

    Exit with 0 if the report was delivered, whatever the verdict, and with 3 if it could not be delivered.
    """
    built, undelivered = deliver_report(os.environ, load_manifest(ROOT), author)
    if markdown is not None:
        write_atomically(markdown, build_run_summary(built).encode())
    print(f"Reported: {to_one_line(build_report_headline(built), 200)}.")
    for problem in built.problems:
        print(to_one_line(problem, 300))
    if undelivered:
        raise GraderError("\n".join(undelivered))


def deliver_report(
    environ: Mapping[str, str], manifest: Manifest, author: str = sticky.AUTHOR
) -> tuple[RunReport, list[str]]:
    """Deliver everything that can be delivered. Return the report, and a sentence for each part that could not be.

    Raise UsageError outside a run on GitHub. Raise GraderError if GitHub cannot be reached for the run's artifacts.
    """
    event = read_event(environ)
    if event.run_id is None:
        raise UsageError("GITHUB_RUN_ID is not set. A report describes the artifacts of a workflow run on GitHub.")
    url = f"{environ.get('GITHUB_SERVER_URL') or 'https://github.com'}/{event.repository}/actions/runs/{event.run_id}"
    undelivered: list[str] = []
    with create_client(environ) as github:
        built = gather_report(github, event, ReportingRun(event.run_id, event.run_attempt, url), manifest)
        number = _deliver_or_note_failure(undelivered, lambda: find_pull_request(github, event))
        if number is not None:
            last = _deliver_or_note_failure(
                undelivered, lambda: sticky.read_last_report_state(github, event.repository, number, author)
            )
            built = replace(built, previous=last)
        write_step_summary(environ, build_run_summary(built))
        if number is not None:
            text = build_comment(built)
            _deliver_or_note_failure(
                undelivered,
                lambda: sticky.create_or_update_comment(github, event.repository, number, text, built.run, author),
            )
        _deliver_or_note_failure(undelivered, lambda: publish_check_run(github, event.repository, built, author))
    return built, undelivered


def gather_report(github: Client, event: WorkflowEvent, run: ReportingRun, manifest: Manifest) -> RunReport:
    """Read the run's plan and results from its artifacts. A refused plan is a problem, without results."""
    empty = RunReport((), event.sha, run, from_fork=event.from_fork, manifest=manifest)
    try:
        plan = read_run_plan(github, event.repository, run.id, manifest)
    except ArtifactRefusedError as refusal:
        return replace(empty, problems=(f"plan: {refusal}.",))
    sessions = tuple(job.session for job in plan.jobs)
    found = collect_run_results(github, event.repository, run.id, sessions, event.sha, manifest)
    return replace(empty, results=found.results, problems=found.problems, reused=plan.reused, skipped=plan.skipped)


def find_pull_request(github: Client, event: WorkflowEvent) -> int | None:
    """Find the pull request to comment on, from the event or from GitHub, never from a run's artifacts.

    Return None if there is none, or if its head is now a different commit.
    """
    if event.name != "workflow_run" or event.head_repository is None:
        return event.pull_request
    owner, name = event.repository.split("/")
    label = f"{event.head_repository.split('/')[0]}:{event.ref.removeprefix('refs/heads/')}"
    with translate_errors("the pull requests of the repository"):
        pulls = validate_response(
            list[_PullRequest], github.rest.pulls.list(owner, name, state="open", head=label, per_page=100)
        )
    fitting = [
        pull.number
        for pull in pulls
        if pull.head.sha == event.sha and pull.head.repo and pull.head.repo.full_name == event.head_repository
    ]
    return min(fitting, default=None)


def _deliver_or_note_failure(undelivered: list[str], work: Callable[[], T]) -> T | None:
    """Return the value of `work`, or None if it raises GraderError, whose text is added to ``undelivered``."""
    try:
        return work()
    except GraderError as error:
        undelivered.append(str(error))
        return None
