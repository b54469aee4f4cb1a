"""Describe what has changed since the last report, in lines of Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from grading.github.comment_state import ReportState, SessionState
from grading.render import figure_text, words
from grading.render.markdown import escape_markdown
from grading.result import CriterionResult, CriterionStatus, Result, Verdict

MAX_CHANGES = 6
"""The maximum number of changes listed for one session."""


def describe_changes_since_report(results: tuple[Result, ...], previous: ReportState) -> tuple[str, ...]:
    """Return a line for each session that has changed, ignoring new ones and errors, or one that says nothing has."""
    lines: list[str] = []
    for result in results:
        before = previous.sessions.get(result.session)
        if before is None or result.verdict is Verdict.ERROR:
            continue
        if phrases := list(_describe_session_changes(result, before)):
            more = [f"and {len(phrases) - MAX_CHANGES} more"] if len(phrases) > MAX_CHANGES else []
            heading = escape_markdown(words.format_result_heading(result), 120)
            lines.append(f"**{heading}**: {'; '.join(phrases[:MAX_CHANGES] + more)}")
    return tuple(lines) or ("Nothing has changed.",)


def _describe_session_changes(result: Result, before: SessionState) -> Iterator[str]:
    """Yield a phrase for a changed verdict, and each criterion now met, no longer met, or missed with a new figure."""
    was = words.name_verdict(Verdict(before.verdict), is_module=result.milestone is None)
    if before.verdict != result.verdict.value:
        yield f"{was.lower()} → {words.describe_verdict(result).lower()}"
    for criterion in result.criteria:
        old = before.criteria.get(criterion.name)
        if old is None or criterion.status not in (CriterionStatus.PASSED, CriterionStatus.FAILED):
            continue
        passed = criterion.status is CriterionStatus.PASSED
        if passed != old.passed:
            yield f"{'now met' if passed else 'no longer met'}: {_format_figure_change(criterion, old.measured)}"
        elif not passed and old.measured != criterion.measured:
            threshold = figure_text.format_threshold(criterion)
            yield f"{_format_figure_change(criterion, old.measured)}, required {threshold}"


def _format_figure_change(criterion: CriterionResult, previous_figure: float | None) -> str:
    """Format a criterion's title with its old and its new figure."""
    was = figure_text.format_figure(previous_figure, criterion.unit)
    return f"{escape_markdown(criterion.title, 200)} ({was} → {figure_text.format_measured(criterion)})"
