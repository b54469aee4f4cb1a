"""What was measured, in the words of listings: figures of a result, and the listings' JSON shapes."""

from __future__ import annotations

from typing import Any

from grading import journey
from grading.journey import CourseLike
from grading.manifest.model import Kind
from grading.progress import History
from grading.render import figures
from grading.render.text import one_line
from grading.result import CriterionResult, CriterionStatus, Result


def figures_of(result: Result | None) -> list[str]:
    """Each measured performance figure beside its threshold: "Loss after training: 0.042 (≤ 0.05)"."""
    return [f"{one_line(c.title, 120)}: {figures.measured(c)} ({figures.threshold(c)})" for c in _performance(result)]


def fold_figures(result: Result | None) -> list[str]:
    """The figures of `figures_of`, but those met in full, with nothing to spare, share one line, as on the site."""
    full = [c for c in _performance(result) if c.status is CriterionStatus.PASSED and not figures.margin(c)]
    if result is None or len(full) < 2:
        return figures_of(result)
    others = result.model_copy(update={"criteria": tuple(c for c in result.criteria if c not in full)})
    return [*figures_of(others), f"Met in full: {'; '.join(one_line(c.title, 120) for c in full)}"]


def figures_json(result: Result | None) -> list[dict[str, Any]]:
    """The same as data."""
    keys = ("name", "title", "measured", "threshold", "comparison", "unit")
    return [{key: getattr(c, key) for key in keys} for c in _performance(result)]


def timeline_json(course: CourseLike, history: History) -> dict[str, Any]:
    """Modules and milestones in order; documented in docs/result-format.md."""
    modules = journey.module_states(course, history)
    keys = ("id", "title", "state", "planned", "started_at", "completed_at")
    states = journey.milestone_states(course, history)
    return {
        "modules": [{key: getattr(m, key) for key in keys} for m in modules],
        "milestones": [
            {
                "id": s.id,
                "name": s.name,
                "after": m.trigger,
                "state": s.state.value,
                "planned": s.planned,
                "provisional": s.provisional,
                "unlocked_at": s.unlocked_at,
                "figures": figures_json(s.best.result) if s.best else [],
            }
            for m, s in zip(course.milestones, states, strict=True)
        ],
    }


def _performance(result: Result | None) -> list[CriterionResult]:
    return [c for c in (result.criteria if result else ()) if c.kind is Kind.PERFORMANCE and c.measured is not None]
