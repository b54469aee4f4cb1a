"""Compute the points of a result from the weights of its criteria, with partial credit.

By default, every criterion has the same weight, and a criterion that is not met earns nothing. The manifest may assign
a `weight` to a criterion, and may let a code quality criterion earn points in proportion to its passing tests
(`partial`). A criterion that could not be judged earns nothing, but its status is error, which is a reason to grade
again.
"""

from __future__ import annotations

from collections.abc import Sequence

from grading.manifest.model import Criterion
from grading.result import CriterionResult, CriterionStatus, Result

FULL = 100
"""The points of a milestone whose criteria are all met."""


def compute_earned_share(criterion: CriterionResult) -> float:
    """Compute the share of its weight that a criterion earns, from 0 to 1.

    The share is 1 only if the criterion is met.
    """
    if criterion.status is CriterionStatus.PASSED:
        return 1.0
    if criterion.status is CriterionStatus.FAILED and criterion.partial and criterion.measured is not None:
        return min(max(criterion.measured, 0.0), 0.9999)
    return 0.0


def compute_score_share(result: Result) -> float:
    """Compute the share of all points that a result earns, from 0 to 1."""
    weights = sum(criterion.weight for criterion in result.criteria)
    earned = sum(criterion.weight * compute_earned_share(criterion) for criterion in result.criteria)
    return earned / weights if weights else 0.0


def describe_scoring_scheme(criteria: Sequence[Criterion | CriterionResult]) -> str:
    """Describe how criteria become points, in a sentence or two.

    >>> describe_scoring_scheme([])
    'Nothing is measured.'
    """
    if not criteria:
        return "Nothing is measured."
    weights = [criterion.weight for criterion in criteria]
    usual = min(set(weights), key=lambda weight: (-weights.count(weight), weight))
    other = [f"“{c.title}” counts {c.weight:g}" for c in criteria if c.weight != usual]
    if other:
        rest = f", and every other counts {usual:g}" if len(other) < len(criteria) else ""
        told = f"The weights add up to {sum(weights):g}: {', '.join(other)}{rest}."
    else:
        told = f"Each of the {len(criteria)} criteria is worth the same."
    partial = [f"“{c.title}”" for c in criteria if c.partial]
    if partial:
        return (
            f"{told} {' and '.join(partial)} {'earns' if len(partial) == 1 else 'earn'} the share of tests that pass."
        )
    return f"{told} A criterion that is not met earns nothing."
