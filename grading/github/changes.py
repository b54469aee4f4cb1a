"""What changed since the last report, in lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from grading.github.state import Standing, State
from grading.render import figures, words
from grading.render.markdown import escape
from grading.result import CriterionResult, CriterionStatus, Result, Verdict

MOST = 6
"""Changes listed for one session."""


def changes(results: tuple[Result, ...], previous: State) -> tuple[str, ...]:
    """Describe each session in which a verdict, a criterion or a figure has changed, one line per session."""
    lines: list[str] = []
    for result in results:
        before = previous.sessions.get(result.session)
        if before is None or result.verdict is Verdict.ERROR:
            continue
        if phrases := list(_changed(result, before)):
            more = [f"and {len(phrases) - MOST} more"] if len(phrases) > MOST else []
            lines.append(f"**{escape(words.heading(result), 120)}**: {'; '.join(phrases[:MOST] + more)}")
    return tuple(lines) or ("Nothing has changed.",)


def _changed(result: Result, before: Standing) -> Iterator[str]:
    """Yield one phrase for the verdict and for each criterion that has changed."""
    was = words.verdict_word(Verdict(before.verdict), module=result.milestone is None)
    if before.verdict != result.verdict.value:
        yield f"{was.lower()} → {words.verdict(result).lower()}"
    for criterion in result.criteria:
        old = before.criteria.get(criterion.name)
        if old is None or criterion.status not in (CriterionStatus.PASSED, CriterionStatus.FAILED):
            continue
        passed = criterion.status is CriterionStatus.PASSED
        if passed != old.passed:
            yield f"{'now met' if passed else 'no longer met'}: {_moved(criterion, old.measured)}"
        elif not passed and old.measured != criterion.measured:
            yield f"{_moved(criterion, old.measured)}, required {figures.threshold(criterion)}"


def _moved(criterion: CriterionResult, old: float | None) -> str:
    """Name a criterion with its old and its new figure."""
    was = figures.figure(old, criterion.unit)
    return f"{escape(criterion.title, 200)} ({was} → {figures.measured(criterion)})"
