"""The command `python -m grading.github publish`, which records a run's results after a push to the default branch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import typer

from grading.errors import GraderError, UsageError
from grading.github.api import create_client, retry_lost_requests, translate_errors
from grading.github.artifact import ArtifactRefusedError, CollectedResults, collect_run_results, read_run_plan
from grading.github.branch_records import BRANCH
from grading.github.event import WorkflowEvent, read_event
from grading.github.outputs import write_step_summary
from grading.github.publish import Publication, publish_results
from grading.manifest.loader import load_manifest
from grading.render.markdown import escape_markdown, format_code_span
from grading.render.text import to_one_line

ROOT = Path(__file__).resolve().parents[2]


def run_publish_command() -> None:
    """Add the run's results to the `progress` branch, with records, a line in the ledger for each record, and badges.

    The run's plan determines which results to expect. If one is missing or invalid, the command reports it, publishes
    the others and exits with code 3. Running the command again changes nothing.
    """
    environ = os.environ
    event, manifest = read_event(environ), load_manifest(ROOT)
    run_id = _require_publishable_run(event)
    github = create_client(environ)
    try:
        plan = read_run_plan(github, event.repository, run_id, manifest)
    except ArtifactRefusedError as refusal:
        raise GraderError(
            f"This run's plan cannot be used, so it is unknown what was graded: {refusal}. Nothing was published."
        ) from None
    expected = tuple(job.session for job in plan.jobs)
    collected = collect_run_results(github, event.repository, run_id, expected, event.sha, manifest)
    with translate_errors(f"the branch {BRANCH}"):
        published = retry_lost_requests(
            lambda: publish_results(github, event.repository, collected.results, run_id, manifest)
        )
    for line in describe_publication(collected, published):
        typer.echo(line)
    write_step_summary(environ, build_publication_summary(collected, published))
    if collected.problems:
        raise typer.Exit(3)


def _require_publishable_run(event: WorkflowEvent) -> int:
    """Return the event's run id if the run's results may be published. Otherwise raise UsageError."""
    if not event.is_default_branch_push:
        raise UsageError(
            "Only pushes to the default branch are published, and this is "
            f"{event.name} of {to_one_line(event.ref, 80)}."
        )
    if event.run_id is None:
        raise UsageError("GITHUB_RUN_ID is not set. Records are identified by the run that made them.")
    return event.run_id


def describe_publication(collected: CollectedResults, published: Publication) -> Iterator[str]:
    """Yield the lines of the log that describe what was published."""
    yield from (f"Published {file}" for file in published.added)
    if not published.added:
        yield "Nothing new to publish."
    yield f"The ledger has {published.head.number} lines and ends with {published.head.digest}."
    yield from (f"Not published: {to_one_line(problem, 400)}" for problem in collected.problems)


def build_publication_summary(collected: CollectedResults, published: Publication) -> str:
    """Describe in Markdown what was published. A copy of it can later show whether the ledger was rewritten."""
    parts = ["### Published", ""]
    parts += [f"- {format_code_span(file)}" for file in published.added] or ["Nothing new."]
    parts += [f"- Not published: {escape_markdown(problem)}" for problem in collected.problems]
    parts += [
        "",
        f"The ledger has {published.head.number} lines and ends with {format_code_span(published.head.digest)}.",
        "",
    ]
    return "\n".join(parts)
