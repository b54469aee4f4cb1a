"""A milestone's badges: an SVG that suits screen readers and light and dark pages, and the JSON for shields.io."""

from __future__ import annotations

import json
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from grading.manifest.model import CriterionKind, Unit
from grading.render import figure_text, words
from grading.render.medal import draw_medal, strip_medal_symbol
from grading.render.text import to_one_line
from grading.result import Result, Verdict

_COLOURS = {Verdict.UNLOCKED: "brightgreen", Verdict.PROVISIONAL: "blue"}


def render_badge(result: Result) -> str:
    """Render the SVG of an unlocked (or provisionally unlocked) milestone; raise ValueError for any other result."""
    if result.milestone is None or result.verdict.exit_code != 0:
        raise ValueError("only an unlocked milestone has a badge")
    measured = [c for c in result.criteria if c.kind is CriterionKind.PERFORMANCE and c.measured is not None]
    # A share of correct answers tells an outsider more than a loss or the accuracy before training.
    best = min(measured, key=lambda c: (c.unit is not Unit.FRACTION, c.comparison == "at_most"), default=None)
    facts = [f"{words.describe_verdict(result)} on {result.started_at:%Y-%m-%d}"]
    if result.medal:
        facts.append(f"Medal: {to_one_line(strip_medal_symbol(result.medal), 50)}")
    if best is not None:
        facts.append(f"{to_one_line(best.title, 60)}: {figure_text.format_measured(best)}")
    return _load_badge_template().render(
        title=f"{to_one_line(result.course.name, 40)}, {words.format_result_heading(result)}",
        medal=draw_medal(result.milestone, result.medal or "", provisional=result.verdict is Verdict.PROVISIONAL),
        name=to_one_line(result.name, 40),
        facts=facts,
    )


def render_not_yet_unlocked_badge(course_name: str, number: int, name: str, best_result: Result | None = None) -> str:
    """Render the SVG of a milestone that is not unlocked yet, with the result of the best attempt."""
    facts = ["Not yet unlocked"]
    if best_result is not None:
        facts.append(f"Best attempt: {words.summarize_criteria(best_result).partition('.')[0]}")
    return _load_badge_template().render(
        title=f"{to_one_line(course_name, 40)}, {to_one_line(f'Milestone {number}: {name}')}",
        medal=draw_medal(number, "", earned=False),
        name=to_one_line(name, 40),
        facts=facts,
    )


@cache
def _load_badge_template() -> Template:
    """Load the badge's template, which escapes all texts for XML."""
    environment = Environment(
        loader=PackageLoader("grading", "render"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("badge.svg.jinja")


def render_shields_badge(number: int, name: str, best_result: Result | None) -> str:
    """Render the JSON for a milestone's badge on shields.io. It says "not yet" if the best result unlocks nothing.

    >>> print(render_shields_badge(1, "Basic Inference", None), end="")
    {"schemaVersion": 1, "label": "Milestone 1: Basic Inference", "message": "not yet", "color": "lightgrey"}
    """
    passed = best_result is not None and best_result.verdict in _COLOURS
    document = {
        "schemaVersion": 1,
        "label": to_one_line(f"Milestone {number}: {name}", 80),
        "message": words.describe_verdict(best_result).lower() if best_result is not None and passed else "not yet",
        "color": _COLOURS[best_result.verdict] if best_result is not None and passed else "lightgrey",
    }
    return json.dumps(document) + "\n"
