"""Show a regrade or its preview in the terminal and as a web page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from rich.console import RenderableType

from desk.class_report import WORDS
from desk.printing import make_plain_table
from desk.regrade import RegradeSummary, format_points_without_maximum
from desk.report_page import build_template_environment
from desk.score_export import escape_formula
from grading.render.text import to_one_line

MOST = 30
"""The maximum number of rows that the terminal shows; the page and the CSV file have all of them."""


def render_regrade_page(summary: RegradeSummary, *, preview: bool) -> str:
    """Render the page as HTML that needs no scripts, makes no requests, has a dark mode and can be printed."""
    title = "What a regrade would change" if preview else "What the regrade has changed"
    template = build_template_environment().get_template("regrade.html.jinja")
    return template.render(
        found=summary,
        title=title,
        summary=summarize_regrade(summary, preview=preview),
        points=format_points_without_maximum,
    )


def summarize_regrade(summary: RegradeSummary, *, preview: bool) -> str:
    """Summarize in one line how many grades change, are unchanged, or still come from an earlier course."""
    verb = "would change" if preview else "changed"
    told = f"{len(summary.changes)} grades {verb}, and {summary.unchanged} are unchanged."
    if summary.earlier:
        told += f" {len(summary.earlier)} still come from an earlier version of the course."
    return told


def render_regrade_for_terminal(summary: RegradeSummary, *, preview: bool) -> Iterator[RenderableType]:
    """Render the first changes for the terminal, each with the criteria whose outcomes differ, and a summary."""
    if summary.changes:
        table = make_plain_table("student", "milestone", "before", "after", "verdict", "criteria")
        for change in summary.changes[:MOST]:
            verdicts = (WORDS[score.verdict or "not_begun"] for score in (change.before, change.after))
            table.add_row(
                to_one_line(change.row.name or change.row.id, 40),
                str(change.after.milestone),
                format_points_without_maximum(change.before),
                format_points_without_maximum(change.after),
                " → ".join(dict.fromkeys(verdicts)),
                "\n".join(f"{c.title}: {c.before} → {c.after}" for c in change.criteria),
            )
        yield table
        if summary.changes[MOST:]:
            yield f"… and {len(summary.changes) - MOST} more."
    yield f"{summarize_regrade(summary, preview=preview)} The course: {summary.course}."
    if preview:
        yield "Nothing has changed. To decide, run inv regrade by itself, or with --keep-better or --pin."


HEAD = ("id", "name", "milestone", "points_before", "points_after", "verdict_before", "verdict_after",
        "course_before", "course_after", "criteria")  # fmt: skip


def format_regrade_csv(summary: RegradeSummary) -> str:
    """Format the changes as CSV: a header, and a row for each grade that changes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEAD)
    for change in summary.changes:
        row, before, after = change.row, change.before, change.after
        criteria = "; ".join(f"{c.title}: {c.before} → {c.after}" for c in change.criteria)
        cells = [
            row.id,
            row.name or "",
            after.milestone,
            format_points_without_maximum(before),
            format_points_without_maximum(after),
        ]
        cells += [
            before.verdict or "",
            after.verdict or "",
            before.judging_course_label,
            after.judging_course_label,
            criteria,
        ]
        writer.writerow([cell if isinstance(cell, int) else escape_formula(str(cell)) for cell in cells])
    return text.getvalue()
