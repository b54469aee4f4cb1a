"""The criteria of a grading run.

A milestone's criteria are in the manifest, and all modules share the same criteria.
"""

from __future__ import annotations

from typing import Any

from grading.manifest.model import Criterion, CriterionKind, Manifest, Unit

MODULE_CRITERIA = (
    Criterion(
        kind=CriterionKind.CODE_QUALITY,
        name="source",
        title="Every file is pure Python source",
        check="source",
        figure="unusable",
        unit=Unit.COUNT,
        at_most=0,
        why="A file that Python cannot parse cannot be measured, and results must come from code, not from stored "
        "data.",
    ),
    Criterion(
        kind=CriterionKind.CODE_QUALITY,
        name="imports",
        title="The code imports only what the course has introduced",
        check="imports",
        figure="violations",
        unit=Unit.COUNT,
        at_most=0,
        why="Each module builds only on NumPy and on the modules before it.",
    ),
    Criterion(
        kind=CriterionKind.CODE_QUALITY,
        name="module_tests",
        title="The module's tests pass",
        check="module_tests",
        figure="passed",
        unit=Unit.FRACTION,
        at_least=1.0,
        why="Every value, shape, error and gradient that the lesson asks for is correct.",
    ),
)


REPEATED = ("kind", "name", "title", "unit", "why", "threshold", "comparison", "weight", "partial")
"""The fields of a criterion that a record repeats, so that it can be read without the manifest."""


def list_criteria(manifest: Manifest, milestone: int | None) -> tuple[Criterion, ...]:
    """List the milestone's criteria in order, or a module's if it is None; raise KeyError for an unknown milestone."""
    return MODULE_CRITERIA if milestone is None else manifest.milestone(milestone).criteria


def copy_repeated_criterion_fields(criterion: Criterion) -> dict[str, Any]:
    """Map the name of each criterion field that a result record repeats to its value."""
    return {name: getattr(criterion, name) for name in REPEATED}
