"""The command `python -m grading.github plan`, which plans what to grade and writes step outputs or a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from grading.files import write_atomically
from grading.github.event import read_event
from grading.github.outputs import write_outputs, write_step_summary
from grading.github.plan import GradingPlan, plan_gradings_of_changes
from grading.manifest.loader import load_manifest
from grading.render.markdown import escape_markdown, format_code_span
from grading.result import Result

ROOT = Path(__file__).resolve().parents[2]


def run_plan_command(
    context: typer.Context,
    student: Annotated[Path, typer.Option("--student", metavar="DIR", help="The student's tree.")],
    again: Annotated[bool, typer.Option("--again", help="Reuse no records.")] = False,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the plan there.")] = None,
) -> None:
    """Plan which modules and milestones to grade, and print a table. In a workflow, write outputs and a summary too.

    Records come from the `progress` branch of the repository in GITHUB_REPOSITORY. If it is not set, as outside GitHub,
    no records are used. A run that is started by hand measures everything again.
    """
    environ, manifest = os.environ, load_manifest(ROOT)
    event = read_event(environ) if environ.get("GITHUB_OUTPUT") else None
    history: tuple[Result, ...] = ()
    if environ.get("GITHUB_REPOSITORY"):
        from grading.github.verified_results import fetch_verified_results  # slow to import, and needed only on GitHub

        history = fetch_verified_results(environ)
    by_hand = event is not None and event.name == "workflow_dispatch"
    given = context.obj(ROOT, manifest) if context.obj else None
    found = plan_gradings_of_changes(ROOT, student, history, manifest, given=given, again=again or by_hand)
    if json is not None:
        write_atomically(json, found.to_json().encode())
    if event is not None:
        write_outputs(Path(environ["GITHUB_OUTPUT"]), build_workflow_outputs(found, event.sha))
        write_step_summary(environ, build_plan_summary(found))
    Console().print(build_plan_table(found))


def build_workflow_outputs(plan: GradingPlan, commit: str) -> Mapping[str, str]:
    """Build the outputs for later jobs. Every value is generated here or checked to have the right form."""
    return {
        "any": "true" if plan.jobs else "false",
        "matrix": plan.to_matrix_json(),
        "plan": plan.to_json(),
        "commit": commit,
    }


def describe_each_session(plan: GradingPlan) -> Iterator[tuple[str, str]]:
    """Yield each session and what will be done with it."""
    for job in plan.jobs:
        yield job.session, f"is graded: {job.title}"
    for record in plan.reused:
        yield record.session, f"as on {record.started_at:%Y-%m-%d %H:%M} UTC: {record.verdict.replace('_', ' ')}"
    for session in plan.skipped:
        yield session, "not begun"


def build_plan_summary(plan: GradingPlan) -> str:
    """Build the plan as Markdown."""
    lines = [
        f"| {format_code_span(session)} | {escape_markdown(what)} |" for session, what in describe_each_session(plan)
    ]
    return "\n".join(["### What is graded", "", "| session | |", "| --- | --- |", *lines, ""])


def build_plan_table(plan: GradingPlan) -> Table:
    """Build the plan as a table for a terminal."""
    shown = Table(box=None, show_header=False)
    for session, what in describe_each_session(plan):
        shown.add_row(session, what)
    return shown
