"""The measured figures of a result, as text and as JSON for listings."""

from __future__ import annotations

from typing import Any

from grading import journey
from grading.journey import CourseLike
from grading.manifest.model import CriterionKind
from grading.progress import History
from grading.render import figure_text
from grading.render.text import to_one_line
from grading.result import CriterionResult, CriterionStatus, Result


def format_performance_figures(result: Result | None) -> list[str]:
    """Format each measured performance figure with its threshold: "Loss after training: 0.042 (≤ 0.05)"."""
    return [
        f"{to_one_line(c.title, 120)}: {figure_text.format_measured(c)} ({figure_text.format_threshold(c)})"
        for c in _list_performance_criteria(result)
    ]


def format_performance_figures_compactly(result: Result | None) -> list[str]:
    """Format performance figures, but put those met in full, as at 100%, on one line that has only their titles."""
    full = [
        c
        for c in _list_performance_criteria(result)
        if c.status is CriterionStatus.PASSED and not figure_text.format_margin(c)
    ]
    if result is None or len(full) < 2:
        return format_performance_figures(result)
    others = result.model_copy(update={"criteria": tuple(c for c in result.criteria if c not in full)})
    return [*format_performance_figures(others), f"Met in full: {'; '.join(to_one_line(c.title, 120) for c in full)}"]


def collect_performance_figures(result: Result | None) -> list[dict[str, Any]]:
    """Collect each measured performance figure with its threshold as JSON."""
    keys = ("name", "title", "measured", "threshold", "comparison", "unit")
    return [{key: getattr(c, key) for key in keys} for c in _list_performance_criteria(result)]


def collect_timeline_for_json(course: CourseLike, history: History) -> dict[str, Any]:
    """Collect modules and milestones with their states, dates and figures, as documented in docs/result-format.md."""
    modules = journey.list_module_states(course, history)
    keys = ("id", "title", "state", "planned", "started_at", "completed_at")
    states = journey.list_milestone_states(course, history)
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
                "figures": collect_performance_figures(s.best.result) if s.best else [],
            }
            for m, s in zip(course.milestones, states, strict=True)
        ],
    }


def _list_performance_criteria(result: Result | None) -> list[CriterionResult]:
    """List the performance criteria of a result that have a measured value."""
    return [
        c for c in (result.criteria if result else ()) if c.kind is CriterionKind.PERFORMANCE and c.measured is not None
    ]
