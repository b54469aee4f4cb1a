"""`python -m grading.github publish`: turns a run's results into records after a push to the default branch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import typer

from grading.errors import GraderError, UsageError
from grading.github.api import client, settled, translate_errors
from grading.github.artifact import ArtifactRefusedError, Collected, planned, read_artifacts
from grading.github.event import Event, read_event
from grading.github.outputs import write_summary
from grading.github.publish import Published, publish
from grading.github.reading import BRANCH
from grading.manifest.load import load
from grading.render.markdown import code, escape
from grading.render.text import one_line

ROOT = Path(__file__).resolve().parents[2]


def publish_command() -> None:
    """Add the run's results to the branch `progress`: records, a line of the ledger for each, badges.

    The run's plan says which results to expect. A missing or invalid one is reported, and the command ends with exit
    code 3 after publishing the others. Running it again changes nothing.
    """
    environ = os.environ
    event, manifest = read_event(environ), load(ROOT)
    run_id = _publishable(event)
    github = client(environ)
    try:
        plan = planned(github, event.repository, run_id, manifest)
    except ArtifactRefusedError as refusal:
        raise GraderError(f"It is unknown what this run has graded: {refusal}. Nothing was published.") from None
    expected = tuple(job.session for job in plan.jobs)
    collected = read_artifacts(github, event.repository, run_id, expected, event.sha, manifest)
    with translate_errors(f"the branch {BRANCH}"):
        published = settled(lambda: publish(github, event.repository, collected.results, run_id, manifest))
    for line in lines(collected, published):
        typer.echo(line)
    write_summary(environ, summary(collected, published))
    if collected.problems:
        raise typer.Exit(3)


def _publishable(event: Event) -> int:
    """Return the number of a run whose results may be published; UsageError when they may not."""
    if not event.on_default_branch:
        raise UsageError(
            f"Only pushes to the default branch are published, and this is {event.name} of {one_line(event.ref, 80)}."
        )
    if event.run_id is None:
        raise UsageError("GITHUB_RUN_ID is not set. Records are identified by the run that made them.")
    return event.run_id


def lines(collected: Collected, published: Published) -> Iterator[str]:
    """Yield what was done, line by line, for the log."""
    yield from (f"Published {file}" for file in published.added)
    if not published.added:
        yield "Nothing new to publish."
    yield f"The ledger has {published.head.number} lines and ends with {published.head.digest}."
    yield from (f"Not published: {one_line(problem, 400)}" for problem in collected.problems)


def summary(collected: Collected, published: Published) -> str:
    """Write what was done as Markdown; a kept copy later shows whether the ledger was rewritten."""
    parts = ["### Published", ""]
    parts += [f"- {code(file)}" for file in published.added] or ["Nothing new."]
    parts += [f"- Not published: {escape(problem)}" for problem in collected.problems]
    parts += ["", f"The ledger has {published.head.number} lines and ends with {code(published.head.digest)}.", ""]
    return "\n".join(parts)
