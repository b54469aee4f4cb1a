"""A milestone's badges: an SVG for screen readers and for light and dark pages, and the JSON for shields.io."""

from __future__ import annotations

import json
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from grading.manifest.model import Kind, Unit
from grading.render import figures, words
from grading.render.medal import draw_medal, name_medal
from grading.render.text import one_line
from grading.result import Result, Verdict

_COLOURS = {Verdict.UNLOCKED: "brightgreen", Verdict.PROVISIONAL: "blue"}


def badge(result: Result) -> str:
    """Render the SVG of an unlocked (or provisionally unlocked) milestone; ValueError for any other result."""
    if result.milestone is None or result.verdict.exit_code != 0:
        raise ValueError("only an unlocked milestone has a badge")
    measured = [c for c in result.criteria if c.kind is Kind.PERFORMANCE and c.measured is not None]
    # A share of right answers tells a stranger more than a loss or the accuracy before training.
    best = min(measured, key=lambda c: (c.unit is not Unit.FRACTION, c.comparison == "at_most"), default=None)
    facts = [f"{words.verdict(result)} on {result.started_at:%Y-%m-%d}"]
    if result.medal:
        facts.append(f"Medal: {one_line(name_medal(result.medal), 50)}")
    if best is not None:
        facts.append(f"{one_line(best.title, 60)}: {figures.measured(best)}")
    return _template().render(
        title=f"{one_line(result.course.name, 40)}, {words.heading(result)}",
        medal=draw_medal(result.milestone, result.medal or "", provisional=result.verdict is Verdict.PROVISIONAL),
        name=one_line(result.name, 40),
        facts=facts,
    )


def pending_badge(course: str, number: int, name: str, best: Result | None = None) -> str:
    """Render the SVG of a milestone that is not unlocked yet, with the result of the best attempt."""
    facts = ["Not yet unlocked"]
    if best is not None:
        facts.append(f"Best attempt: {words.meaning(best).partition('.')[0]}")
    return _template().render(
        title=f"{one_line(course, 40)}, {one_line(f'Milestone {number}: {name}')}",
        medal=draw_medal(number, "", earned=False),
        name=one_line(name, 40),
        facts=facts,
    )


@cache
def _template() -> Template:
    """Load the badge's template, which escapes all texts for XML."""
    environment = Environment(
        loader=PackageLoader("grading", "render"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("badge.svg.jinja")


def shields(number: int, name: str, best: Result | None) -> str:
    """Render a milestone's badge for shields.io from its best result.

    >>> print(render_shields_badge(1, "Basic Inference", None), end="")
    {"schemaVersion": 1, "label": "Milestone 1: Basic Inference", "message": "not yet", "color": "lightgrey"}
    """
    passed = best is not None and best.verdict in _COLOURS
    document = {
        "schemaVersion": 1,
        "label": one_line(f"Milestone {number}: {name}", 80),
        "message": words.verdict(best).lower() if best is not None and passed else "not yet",
        "color": _COLOURS[best.verdict] if best is not None and passed else "lightgrey",
    }
    return json.dumps(document) + "\n"
