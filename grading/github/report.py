"""`python -m grading.github report`: what a run has graded, told in its summary, a comment and a check run."""

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
from grading.github.annotations import check
from grading.github.api import Client, Part, client, taken, translate_errors
from grading.github.artifact import Refused, planned, read_artifacts
from grading.github.comment import Report, Run, comment, headline, summary
from grading.github.event import Event, read_event
from grading.github.outputs import write_summary
from grading.manifest.load import load
from grading.manifest.model import Manifest
from grading.render.text import one_line

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


class _Repository(Part):
    full_name: str


class _Head(Part):
    sha: str
    repo: _Repository | None


class _Pull(Part):
    number: int
    head: _Head


def report_command(
    author: Annotated[
        str, typer.Option("--author", metavar="LOGIN", help="Whose token this is; only comments of theirs are ours.")
    ] = sticky.AUTHOR,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="Write the report there.")] = None,
) -> None:
    """Report what a run has graded: in its summary, the pull request's comment and a check run with annotations.

    Ends with 0 whatever the verdict, for the report is then where it belongs; with 3 when it could not be delivered.
    """
    made, undelivered = report(os.environ, load(ROOT), author)
    if markdown is not None:
        write_atomically(markdown, summary(made).encode())
    print(f"Reported: {one_line(headline(made), 200)}.")
    for problem in made.problems:
        print(one_line(problem, 300))
    if undelivered:
        raise GraderError("\n".join(undelivered))


def report(environ: Mapping[str, str], manifest: Manifest, author: str = sticky.AUTHOR) -> tuple[Report, list[str]]:
    """What was reported, and why some of it could not be delivered, in sentences; whatever can be delivered is.

    UsageError when this is no run on GitHub; GraderError when GitHub cannot be asked what the run has left.
    """
    event = read_event(environ)
    if event.run_id is None:
        raise UsageError("GITHUB_RUN_ID is not set. A report tells of the artifacts of a workflow run on GitHub.")
    url = f"{environ.get('GITHUB_SERVER_URL') or 'https://github.com'}/{event.repository}/actions/runs/{event.run_id}"
    undelivered: list[str] = []
    with client(environ) as github:
        made = gather(github, event, Run(event.run_id, event.run_attempt, url), manifest)
        number = _tried(undelivered, lambda: pull_request(github, event))
        if number is not None:
            last = _tried(undelivered, lambda: sticky.previous(github, event.repository, number, author))
            made = replace(made, previous=last)
        write_summary(environ, summary(made))
        if number is not None:
            text = comment(made)
            _tried(undelivered, lambda: sticky.put(github, event.repository, number, text, made.run, author))
        _tried(undelivered, lambda: check(github, event.repository, made, author))
    return made, undelivered


def gather(github: Client, event: Event, run: Run, manifest: Manifest) -> Report:
    """What was planned and what of it the run has handed over."""
    empty = Report((), event.sha, run, from_fork=event.from_fork, manifest=manifest)
    try:
        plan = planned(github, event.repository, run.id, manifest)
    except Refused as refusal:
        return replace(empty, problems=(f"plan: {refusal}.",))
    sessions = tuple(job.session for job in plan.jobs)
    found = read_artifacts(github, event.repository, run.id, sessions, event.sha, manifest)
    return replace(empty, results=found.results, problems=found.problems, reused=plan.reused, skipped=plan.skipped)


def pull_request(github: Client, event: Event) -> int | None:
    """The pull request to comment on, by the event or by GitHub, never by anything that a run has left.

    None when there is none, or when it has moved on to another commit.
    """
    if event.name != "workflow_run" or event.head_repository is None:
        return event.pull_request
    owner, name = event.repository.split("/")
    label = f"{event.head_repository.split('/')[0]}:{event.ref.removeprefix('refs/heads/')}"
    with translate_errors("the pull requests of the repository"):
        pulls = taken(list[_Pull], github.rest.pulls.list(owner, name, state="open", head=label, per_page=100))
    fitting = [
        pull.number
        for pull in pulls
        if pull.head.sha == event.sha and pull.head.repo and pull.head.repo.full_name == event.head_repository
    ]
    return min(fitting, default=None)


def _tried(undelivered: list[str], work: Callable[[], T]) -> T | None:
    """The value of `work`, or None and one more sentence: the rest of the report goes on."""
    try:
        return work()
    except GraderError as error:
        undelivered.append(str(error))
        return None
