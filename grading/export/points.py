"""How a result becomes points, in one place: a criterion that is met is worth one point, any other none.

Partial credit is thus the share of the criteria that are met. A criterion that could not be judged earns nothing
either, but its status says error: it is the grader's or the machine's, and a reason to grade again, not a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grading.render import figures, words
from grading.render.text import one_line
from grading.result import CriterionResult, CriterionStatus, Failure, Result, Verdict

WORTH = 1
"""Points of one criterion: whole numbers, since some readers take no others."""


@dataclass(frozen=True)
class Scored:
    """One criterion as a test of one line, its texts cleaned: nothing in them is live in a log or a table."""

    name: str
    """Milestone 2: The network reads digits."""
    suite: str
    """Milestone 2: Computer Vision."""
    status: CriterionStatus
    score: int
    max_score: int
    message: str
    """What was measured and, when it is not met, what to fix first."""
    failure: Failure | None
    """The first of its failures."""
    reproduce: str
    """The command that measures it again."""

    @property
    def passed(self) -> bool:
        """Whether the criterion is met."""
        return self.status is CriterionStatus.PASSED


def scored(results: Sequence[Result]) -> tuple[Scored, ...]:
    """Every criterion of every result, in order."""
    return tuple(_test(result, criterion) for result in results for criterion in result.criteria)


def score_share(result: Result) -> float:
    """The share of a result's points that is earned, 0 to 1."""
    earned = sum(1 for criterion in result.criteria if criterion.status is CriterionStatus.PASSED)
    return earned / max(1, len(result.criteria))


def verdict_of(results: Sequence[Result]) -> str:
    """Of all together: "fail" when one is not yet unlocked, else "error" when one could not be judged, else "pass"."""
    verdicts = {result.verdict for result in results}
    if Verdict.NOT_YET in verdicts:
        return "fail"
    return "error" if Verdict.ERROR in verdicts or not verdicts else "pass"


def _test(result: Result, criterion: CriterionResult) -> Scored:
    what = f"Module {result.module}" if result.milestone is None else f"Milestone {result.milestone}"
    passed = criterion.status is CriterionStatus.PASSED
    return Scored(
        name=one_line(f"{what}: {criterion.title}", 300),
        suite=words.heading(result),
        status=criterion.status,
        score=WORTH if passed else 0,
        max_score=WORTH,
        message=_message(criterion),
        failure=criterion.failures[0] if criterion.failures else None,
        reproduce=one_line(result.command, 300),
    )


def _message(criterion: CriterionResult) -> str:
    if criterion.status in (CriterionStatus.ERROR, CriterionStatus.NOT_ATTEMPTED):
        return words.not_measured(criterion)
    parts = [f"measured {figures.measured(criterion)}, needed {figures.threshold(criterion)}"]
    if criterion.failures:
        first = criterion.failures[0]
        parts.append(words.label(first, 200))
        told = (("in", words.place(first)), ("got", first.got), ("expected", first.expected), ("hint", first.hint))
        # The separator is ours alone: in a text it would begin a part of its own.
        parts += [f"{name} {one_line(text, 200).replace('; ', ', ')}" for name, text in told if text]
    return "; ".join(parts)
