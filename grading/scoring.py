"""What a result is worth, in one place: the weight of each criterion, and what one that is not met still earns.

By default every criterion counts the same and is earned whole or not at all. The manifest may give criteria a `weight`,
and let one of code quality earn the share of its tests that pass (`partial`). A criterion that could not be judged
earns nothing, but its status says error: a reason to grade again, not a failure.
"""

from __future__ import annotations

from collections.abc import Sequence

from grading.manifest.model import Criterion
from grading.result import CriterionResult, CriterionStatus, Result

FULL = 100
"""Points of a milestone whose every criterion is met."""


def earned_share(criterion: CriterionResult) -> float:
    """What a criterion earns of its weight, 0 to 1; 1 only when it is met."""
    if criterion.status is CriterionStatus.PASSED:
        return 1.0
    if criterion.status is CriterionStatus.FAILED and criterion.partial and criterion.measured is not None:
        return min(max(criterion.measured, 0.0), 0.9999)
    return 0.0


def score_share(result: Result) -> float:
    """The share of a result's points that is earned, 0 to 1."""
    weights = sum(criterion.weight for criterion in result.criteria)
    earned = sum(criterion.weight * earned_share(criterion) for criterion in result.criteria)
    return earned / weights if weights else 0.0


def describe_scheme(criteria: Sequence[Criterion | CriterionResult]) -> str:
    """How criteria become points, in a sentence or two.

    >>> describe_scheme([])
    'Nothing is measured.'
    """
    if not criteria:
        return "Nothing is measured."
    weights = [criterion.weight for criterion in criteria]
    usual = min(set(weights), key=lambda weight: (-weights.count(weight), weight))
    other = [f"“{c.title}” {c.weight:g}" for c in criteria if c.weight != usual]
    if other:
        rest = f", every other {usual:g}" if len(other) < len(criteria) else ""
        told = f"Of {sum(weights):g} shares of the points, {', '.join(other)}{rest}."
    else:
        told = f"Each of the {len(criteria)} criteria is worth the same."
    partial = [f"“{c.title}”" for c in criteria if c.partial]
    if partial:
        return (
            f"{told} {' and '.join(partial)} {'earns' if len(partial) == 1 else 'earn'} the share of tests that pass."
        )
    return f"{told} One that is not met earns nothing."
