"""A milestone's state as shields.io reads it: the JSON of its endpoint badge."""

from __future__ import annotations

import json

from grading.render import words
from grading.render.text import one_line
from grading.result import Result, Verdict

_COLOURS = {Verdict.UNLOCKED: "brightgreen", Verdict.PROVISIONAL: "blue"}


def shields(number: int, name: str, best: Result | None) -> str:
    """The document for a milestone and the best result there is for it.

    >>> print(shields(1, "Basic Inference", None), end="")
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
