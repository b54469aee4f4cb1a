"""What a session measures: a milestone's criteria are the manifest's, a module's are the same for every module."""

from __future__ import annotations

from typing import Any

from grading.manifest.model import Criterion, Kind, Manifest, Unit

MODULE_CRITERIA = (
    Criterion(
        kind=Kind.CODE_QUALITY,
        name="source",
        title="Every file is Python source, and nothing else",
        check="source",
        figure="unusable",
        unit=Unit.COUNT,
        at_most=0,
        why="What Python cannot read cannot be measured, and what is measured comes from code, not from stored data.",
    ),
    Criterion(
        kind=Kind.CODE_QUALITY,
        name="imports",
        title="Only what the course has introduced is imported",
        check="imports",
        figure="violations",
        unit=Unit.COUNT,
        at_most=0,
        why="Each module builds on the ones before it and on NumPy, and on nothing else.",
    ),
    Criterion(
        kind=Kind.CODE_QUALITY,
        name="module_tests",
        title="The module's tests pass",
        check="module_tests",
        figure="passed",
        unit=Unit.FRACTION,
        at_least=1.0,
        why="Every value, shape, error and gradient the lesson asks for is as it should be.",
    ),
)


REPEATED = ("kind", "name", "title", "unit", "why", "threshold", "comparison", "weight", "partial")
"""What a record repeats of a criterion, so that it can be read without the manifest."""


def asked(manifest: Manifest, milestone: int | None) -> tuple[Criterion, ...]:
    """The criteria of a milestone, in order, or of any module; KeyError for a milestone that is not there."""
    return MODULE_CRITERIA if milestone is None else manifest.milestone(milestone).criteria


def stated(criterion: Criterion) -> dict[str, Any]:
    """A criterion as records repeat it."""
    return {name: getattr(criterion, name) for name in REPEATED}
