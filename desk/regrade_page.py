"""Shows a regrade, or its preview, in the terminal and as a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from rich.console import RenderableType

from desk.export import harmless
from desk.regrade import Regraded, format_points
from desk.report import WORDS
from desk.report_page import environment
from desk.show import plain_table
from grading.render.text import one_line

MOST = 30
"""How many rows the terminal shows; the page and the CSV file have all of them."""


def page(found: Regraded, *, preview: bool) -> str:
    """Render the page, which needs no script and no request, has a dark form and can be printed."""
    title = "What a regrade would change" if preview else "What the regrade has changed"
    template = environment().get_template("regrade.html.jinja")
    return template.render(found=found, title=title, summary=summarize(found, preview=preview), points=format_points)


def summarize(found: Regraded, *, preview: bool) -> str:
    """Summarize in one line how many grades change."""
    verb = "would change" if preview else "changed"
    told = f"{len(found.changes)} grades {verb}, {found.unchanged} stay as they are."
    if found.earlier:
        told += f" {len(found.earlier)} are still judged by an earlier course."
    return told


def terminal(found: Regraded, *, preview: bool) -> Iterator[RenderableType]:
    """Render the changes for the terminal, with a line for each criterion that is judged differently."""
    if found.changes:
        table = plain_table("student", "milestone", "before", "after", "verdict", "criteria")
        for change in found.changes[:MOST]:
            verdicts = (WORDS[score.verdict or "not_begun"] for score in (change.before, change.after))
            table.add_row(
                one_line(change.row.name or change.row.id, 40),
                str(change.after.milestone),
                format_points(change.before),
                format_points(change.after),
                " → ".join(dict.fromkeys(verdicts)),
                "\n".join(f"{c.title}: {c.before} → {c.after}" for c in change.criteria),
            )
        yield table
        if found.changes[MOST:]:
            yield f"… and {len(found.changes) - MOST} more."
    yield f"{summarize(found, preview=preview)} The course: {found.course}."
    if preview:
        yield "Nothing has changed. To decide: inv regrade, inv regrade --keep-better, or inv regrade --pin."


HEAD = ("id", "name", "milestone", "points_before", "points_after", "verdict_before", "verdict_after",
        "course_before", "course_after", "criteria")  # fmt: skip


def format_csv(found: Regraded) -> str:
    """Write the changes as CSV, one row for each grade."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEAD)
    for change in found.changes:
        row, before, after = change.row, change.before, change.after
        criteria = "; ".join(f"{c.title}: {c.before} → {c.after}" for c in change.criteria)
        cells = [row.id, row.name or "", after.milestone, format_points(before), format_points(after)]
        cells += [before.verdict or "", after.verdict or "", before.judged_by, after.judged_by, criteria]
        writer.writerow([cell if isinstance(cell, int) else harmless(str(cell)) for cell in cells])
    return text.getvalue()
