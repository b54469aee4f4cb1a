"""Show the class report as a page and in the terminal. Names and titles are escaped, since students wrote them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from rich.console import RenderableType

from desk.class_report import STATES, WORDS, ClassReport, get_score_state
from desk.item_statistics import DISCRIMINATION
from desk.printing import make_plain_table
from desk.repository import build_commit_address
from desk.stuck import FORMULA_OF_RESULTS, SELECTION
from grading.render.text import to_one_line

TEMPLATES = Path(__file__).with_name("templates")
SCRIPTS = (TEMPLATES.parents[1] / "site" / "static" / "class.js", TEMPLATES / "report.js")
"""The scripts that sort and filter the page's tables; the site also uses the first one."""
MOST = 15
"""The maximum number of rows in each list in the terminal; the page has all of them."""


def build_template_environment() -> Environment:
    """Build the desk's Jinja environment, which escapes all text; its filter `line` makes a text one clean line."""
    made = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    made.filters["line"] = lru_cache(4096)(to_one_line)  # the same titles occur in many rows
    made.filters["words"] = WORDS.__getitem__
    made.tests["graded"] = lambda score: score.grading is not None
    return made


def render_report_page(report: ClassReport, evidence: str = "") -> str:
    """Render the report as HTML that makes no requests, has a dark mode and can be printed.

    Its one script sorts and filters. ``evidence`` is the folder next to the page that contains each student's evidence
    (`desk.evidence_pages`).
    """
    script = "\n".join(path.read_text("utf-8") for path in SCRIPTS)
    return (
        build_template_environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            states=STATES,
            state=get_score_state,
            evidence=evidence,
            commit_of=build_commit_address,
            formula=FORMULA_OF_RESULTS,
            selection=SELECTION,
            discrimination=DISCRIMINATION,
            script=Markup(script),  # noqa: S704 - our own files
            script_digest=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        )
    )


def render_report_for_terminal(report: ClassReport) -> Iterator[RenderableType]:
    """Render the report for the terminal as lines and tables, with only the first `MOST` students and failures."""
    yield f"{to_one_line(report.course)}: {len(report.lines)} students" + (
        f", as of {report.at:%Y-%m-%d %H:%M} UTC" if report.at else ", not collected yet"
    )
    if report.earlier_grade_count:
        yield (
            f"Grades from an earlier version of the course: {report.earlier_grade_count}. "
            "To see which grades would change, run: inv regrade --preview"
        )
    table = make_plain_table("milestone", *(WORDS[name] for name in STATES), "mean points", "late")
    for one in report.distributions:
        mean = "—" if one.mean is None else f"{one.mean:g}"
        table.add_row(f"{one.milestone} {one.name}", *(str(one.counts[name]) for name in STATES), mean, str(one.late))
    yield table
    if report.stale_grade_count:
        yield f"Grades that may be out of date: {report.stale_grade_count}. The page shows which ones, and why."
    if report.sections:
        yield ""
        numbers = [str(one.milestone) for one in report.distributions]
        table = make_plain_table(
            "section", "students", *(f"milestone {number}" for number in numbers), "mean of total points"
        )
        for section in report.sections:
            having = map(str, section.having)
            name = to_one_line(section.name or "none", 40)
            table.add_row(name, str(section.students), *having, f"{section.total:g}")
        yield table
    if report.stuck:
        yield ""
        table = make_plain_table("stuck", "milestone", "days", "tries", "first failure")
        for stuck in report.stuck[:MOST]:
            who = to_one_line(stuck.row.name or stuck.row.id, 40)
            table.add_row(
                who, str(stuck.milestone), str(stuck.days), str(stuck.tries), to_one_line(stuck.first_failure, 80)
            )
        yield table
    for title, items in (("fails most", report.items), ("missed most", report.questions)):
        if items:
            yield ""
            table = make_plain_table(title, "milestone", "students")
            for item in items[:MOST]:
                table.add_row(to_one_line(item.title, 100), str(item.milestone), f"{item.students} of {item.of}")
            yield table
    if report.troubles:
        yield ""
        table = make_plain_table("left out", "why")
        for row, problem in report.troubles[:MOST]:
            table.add_row(to_one_line(row.name or row.id, 40), to_one_line(problem, 200))
        yield table
