"""A result's criteria as tests with points, for the formats of other tools. `grading.scoring` computes the points.

Some readers accept only whole numbers. If the manifest has fractional weights or partial credit, points are therefore
counted in hundredths. The maximum score is the same for the entire class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from grading.render import figure_text, words
from grading.render.text import to_one_line
from grading.result import CriterionResult, CriterionStatus, Failure, Result, Verdict
from grading.scoring import compute_earned_share


@dataclass(frozen=True)
class ScoredTest:
    """One criterion as a test.

    Its texts are cleaned, so that nothing in them has a special effect in a log or a table.
    """

    name: str
    """The test's name, such as "Milestone 2: The network reads digits"."""
    suite: str
    """The name of the test's suite, such as "Milestone 2: Computer Vision"."""
    status: CriterionStatus
    score: int
    max_score: int
    message: str
    """The measured figure and, if the criterion is not met, what to fix first."""
    failure: Failure | None
    """The criterion's first failure, if there is one."""
    reproduce: str
    """The command that measures the criterion again."""

    @property
    def passed(self) -> bool:
        """Return whether the criterion is met."""
        return self.status is CriterionStatus.PASSED


def list_scored_tests(results: Sequence[Result]) -> tuple[ScoredTest, ...]:
    """List every criterion as a test with points, all times 100 if any has partial credit or a fractional weight."""
    criteria = [criterion for result in results for criterion in result.criteria]
    scale = 100 if any(c.partial or c.weight != int(c.weight) for c in criteria) else 1
    return tuple(_build_scored_test(result, criterion, scale) for result in results for criterion in result.criteria)


def combine_verdicts(results: Sequence[Result]) -> str:
    """Return "fail" if a verdict is "not yet", else "error" if one is an error or there are none, else "pass"."""
    verdicts = {result.verdict for result in results}
    if Verdict.NOT_YET in verdicts:
        return "fail"
    return "error" if Verdict.ERROR in verdicts or not verdicts else "pass"


def _build_scored_test(result: Result, criterion: CriterionResult, scale: int) -> ScoredTest:
    """Build the test of one criterion, with its points multiplied by `scale`."""
    what = f"Module {result.module}" if result.milestone is None else f"Milestone {result.milestone}"
    return ScoredTest(
        name=to_one_line(f"{what}: {criterion.title}", 300),
        suite=words.format_result_heading(result),
        status=criterion.status,
        score=math.floor(scale * criterion.weight * compute_earned_share(criterion)),
        max_score=round(scale * criterion.weight),
        message=_describe_criterion_result(criterion),
        failure=criterion.failures[0] if criterion.failures else None,
        reproduce=to_one_line(result.command, 300),
    )


def _describe_criterion_result(criterion: CriterionResult) -> str:
    """Describe the measured figure and the first failure in one line, or explain why nothing was measured."""
    if criterion.status in (CriterionStatus.ERROR, CriterionStatus.NOT_ATTEMPTED):
        return words.explain_missing_verdict(criterion)
    parts = [f"measured {figure_text.format_measured(criterion)}, required {figure_text.format_threshold(criterion)}"]
    if criterion.failures:
        first = criterion.failures[0]
        parts.append(words.format_failure_title(first, 200))
        details = (
            ("in", words.format_failure_location(first)),
            ("got", first.got),
            ("expected", first.expected),
            ("hint", first.hint),
        )
        # Only this function may write the separator, because inside a text it would start a new part.
        parts += [f"{name} {to_one_line(text, 200).replace('; ', ', ')}" for name, text in details if text]
    return "; ".join(parts)
