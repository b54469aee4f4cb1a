"""Build the comment on a pull request from the report.

Its length is limited, and texts have no special effect in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfoNotFoundError

from grading.deadlines import DeadlineTerms, find_deadline_terms
from grading.github.changes import describe_changes_since_report
from grading.github.comment_state import ReportState, encode_report_state, merge_report_state
from grading.github.plan import ReusedResult
from grading.journey import find_goal_after_passing
from grading.manifest.model import CriterionKind, Manifest
from grading.render import figure_text, words
from grading.render.markdown import (
    Block,
    Fold,
    build_report_blocks,
    escape_html,
    escape_markdown,
    fit_blocks,
    format_code_span,
    render_curves,
    render_failure_as_markdown,
)
from grading.result import CriterionStatus, Result, Verdict

MARKER = "<!-- tinytorch:report -->"
MAX_CHARACTERS = 60_000
"""The maximum length of a comment. GitHub accepts 65,536 characters."""
MAX_FRONT_CHARACTERS = 40_000
"""The maximum length of the visible part. Only hostile text ever needs more than a tenth of it."""
MAX_LIST_CHARACTERS = 5_000
"""The maximum length of one list."""
MAX_ROWS = 40
TROUBLE = (
    "This is a problem with the grader, the machine or GitHub, not with your code. "
    "Run the job again. If the problem persists, tell your instructor."
)
LATENESS = (
    "Lateness is computed from the time at which this run started, and ignores any extension that you or your section "
    "have. "
    "The gradebook uses the time at which the server received your push."
)
SIGNS = {Verdict.UNLOCKED: "✅", Verdict.PROVISIONAL: "☑️", Verdict.NOT_YET: "❌", Verdict.ERROR: "⚠️"}


@dataclass(frozen=True)
class ReportingRun:
    """The workflow run that reports."""

    id: int
    attempt: int
    url: str | None = None
    """The address of the run's log."""


@dataclass(frozen=True)
class RunReport:
    """Everything that a report contains."""

    results: tuple[Result, ...]
    commit: str
    """The student's commit, as 40 hexadecimal digits."""
    run: ReportingRun
    reused: tuple[ReusedResult, ...] = ()
    problems: tuple[str, ...] = ()
    """Descriptions of failures of the grader, the machine or GitHub. They are never the student's fault."""
    skipped: tuple[str, ...] = ()
    previous: ReportState | None = None
    """The state that the last report left."""
    from_fork: bool = False
    """Whether the workflow of another repository did the grading."""
    manifest: Manifest | None = None
    """The course, for its deadlines and for what comes next."""

    @property
    def first_results_in_order(self) -> tuple[Result, ...]:
        """The first MAX_ROWS results in the course's order, so that the failure to fix first comes first."""
        return tuple(sorted(self.results, key=_get_course_order_key))[:MAX_ROWS]


def build_comment(report: RunReport) -> str:
    """Build the complete comment, from its marker to its state, with at most `MAX_CHARACTERS` characters."""
    run = report.run
    foot = encode_report_state(
        merge_report_state(
            report.first_results_in_order, report.previous, run=run.id, attempt=run.attempt, commit=report.commit
        )
    )
    return f"{MARKER}\n\n{_build_comment_body(report, MAX_CHARACTERS - len(MARKER) - len(foot) - 10)}\n\n{foot}\n"


def build_run_summary(report: RunReport) -> str:
    """Build the report for the summary on the run's page. It is far shorter than the limit of 1 MiB."""
    return _build_comment_body(report, MAX_CHARACTERS) + "\n"


def _build_comment_body(report: RunReport, max_characters: int) -> str:
    """Join the visible part and the collapsed results."""
    head = build_visible_part(report)
    return "\n\n".join([head, *_fold_results(report.first_results_in_order, max_characters - len(head))])


def build_visible_part(report: RunReport) -> str:
    """Build the part that is always visible, cut to fit: verdicts, problems, what to fix first, and changes."""
    return fit_blocks(_build_visible_blocks(report), MAX_FRONT_CHARACTERS)


def build_report_headline(report: RunReport) -> str:
    """Summarize the report in one line, such as "Milestone 1: Basic Inference, unlocked" or "2 of 3 passed"."""
    results = report.first_results_in_order
    if not results:
        if report.problems:
            return "could not be graded"
        return "nothing has changed" if report.reused else "nothing to grade"
    if len(results) == 1 and not report.problems:
        return f"{words.format_result_heading(results[0])}, {words.describe_verdict(results[0]).lower()}"
    passed = sum(r.verdict.exit_code == 0 for r in results)
    return f"{passed} of {len(results)} passed"


def _build_visible_blocks(report: RunReport) -> Iterator[Block]:
    """Yield the blocks of the visible part from top to bottom."""
    results = report.first_results_in_order
    course = results[0].course.name if results else "TinyTorch"
    yield f"## {escape_markdown(course, 60)}: {escape_markdown(build_report_headline(report))}"
    yield _describe_reported_run(report)
    if results or report.reused:
        yield _build_verdict_table(report)
    if report.problems:
        yield "### Could not be graded"
        yield TROUBLE
        yield _format_capped_bullet_list(escape_markdown(problem, 300) for problem in report.problems)
    first = _find_result_to_fix(results)
    if first is not None and first.first_failure is not None:
        yield "### Fix this first"
        yield render_failure_as_markdown(first.first_failure)
        yield f"Grade again: {format_code_span(first.command)}"
    passes = [result for result in results if result.verdict.exit_code == 0]
    for result in passes:
        if result.milestone is not None:
            yield from _list_pass_blocks(result)
    if report.manifest is not None and passes == list(results) and passes and not report.problems:
        modules = [result.module for result in passes if result.module is not None]
        goal = find_goal_after_passing(
            report.manifest, modules, [r.milestone for r in passes if r.milestone is not None]
        )
        yield f"### Next\n\n{escape_markdown(goal.sentence)} Type {format_code_span(goal.command)}."
    if report.previous is not None and results:
        yield f"### Since {format_code_span(report.previous.commit[:7])}"
        yield _format_capped_bullet_list(describe_changes_since_report(results, report.previous))
    if report.skipped:
        yield f"Not begun: {', '.join(format_code_span(name, 60) for name in report.skipped[:MAX_ROWS])}."


def _find_result_to_fix(results: tuple[Result, ...]) -> Result | None:
    """Return the first result with a failure, or None if none has one."""
    return next((r for r in results if r.first_failure is not None), None)


def _describe_reported_run(report: RunReport) -> str:
    """Describe in Markdown the commit, the workflow run, and whether this is official or only feedback."""
    run = f"[run {report.run.id}]({report.run.url})" if report.run.url else f"run {report.run.id}"
    if report.results and all(r.official for r in report.results) and not report.from_fork:
        counts = "This is an official grading run, like the instructor's own."
    else:
        fork = " The fork's own workflow did the grading." if report.from_fork else ""
        counts = f"This is feedback. What counts is the instructor's own run, which uses different seeds.{fork}"
    return f"Commit {format_code_span(report.commit[:7])}, {run}. {counts}"


def _build_verdict_table(report: RunReport) -> str:
    """Build a table of up to `MAX_ROWS` new and reused results, with points and deadlines if there are any."""
    due = {
        r.session: terms
        for r in report.first_results_in_order
        if (terms := _find_milestone_deadline(report.manifest, r)) is not None
    }
    pointed = any(words.describe_points_and_scheme(result) for result in report.first_results_in_order)
    more = [*(["Points"] if pointed else []), *(["Due"] if due else [])]
    lines = [_format_table_row("", "", "Verdict", "Criteria met", "", *more)]
    lines.append(
        _format_table_row("---", "---", "---", "---:", "---", *["---:" if name == "Points" else "---" for name in more])
    )
    for result in report.first_results_in_order:
        met = sum(c.status is CriterionStatus.PASSED for c in result.criteria)
        medal = f": {escape_markdown(result.medal, 40)}" if result.medal and result.verdict.exit_code == 0 else ""
        bar = figure_text.draw_bar(met / len(result.criteria) if result.criteria else 0.0, 10)
        cells = [
            _choose_result_sign(result),
            f"**{escape_markdown(words.format_result_heading(result), 60)}**",
            f"{words.describe_verdict(result)}{medal}",
        ]
        cells += [f"{met} of {len(result.criteria)}", bar]
        cells += (
            [words.format_result_points(result) if words.describe_points_and_scheme(result) else ""] if pointed else []
        )
        cells += [_describe_deadline(due.get(result.session), result)] if due else []
        lines.append(_format_table_row(*cells))
    for reused in report.reused[: MAX_ROWS - len(report.first_results_in_order)]:
        name, verdict = words.format_session_heading(reused.session, reused.title), Verdict(reused.verdict)
        outcome = words.name_verdict(verdict, is_module=reused.session.startswith("module-"))
        when = f"{outcome} on {reused.started_at:%Y-%m-%d %H:%M} UTC; nothing has changed since then"
        lines.append(
            _format_table_row(SIGNS[verdict], f"**{escape_markdown(name, 60)}**", when, "", "", *[""] * len(more))
        )
    table = "\n".join(lines)
    return f"{table}\n\n{LATENESS}" if due else table


def _format_table_row(*cells: str) -> str:
    """Format one row of a Markdown table from cells whose Markdown is escaped already."""
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _find_milestone_deadline(manifest: Manifest | None, result: Result) -> DeadlineTerms | None:
    """Return a milestone's deadline, or None for a module, without a deadline, or if the time zone is unknown.

    Only the instructor can fix the time zone, so the report is built anyway.
    """
    if manifest is None or result.milestone is None:
        return None
    try:
        return find_deadline_terms(manifest.deadlines, result.milestone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _describe_deadline(terms: DeadlineTerms | None, result: Result) -> str:
    """Describe when a milestone is due and how late the run was. Return "" if there is no deadline."""
    if terms is None:
        return ""
    return f"{terms.describe_due()}: {terms.describe_lateness(result.started_at)}"


def _list_pass_blocks(result: Result) -> Iterator[Block]:
    """Yield the achievements of a passed result: performance figures with their margins, and the training curves."""
    yield f"### {_choose_result_sign(result)} {escape_markdown(words.format_result_heading(result), 120)}"
    rows = [
        f"| {escape_markdown(c.title)} | {figure_text.format_measured(c)} | {figure_text.format_threshold(c)} "
        f"| {figure_text.format_margin(c)} |"
        for c in result.criteria[:MAX_ROWS]
        if c.kind is CriterionKind.PERFORMANCE and c.status is CriterionStatus.PASSED
    ]
    if rows:
        yield "\n".join(["| | Measured | Required | Margin |", "| --- | ---: | ---: | --- |", *rows])
    yield from render_curves(result)


def _get_course_order_key(result: Result) -> tuple[int, str]:
    """Return the sort key that puts modules before milestones, each in the course's order."""
    return (result.milestone or 0, result.module or "")


def _choose_result_sign(result: Result) -> str:
    """Return a medal for an unlocked milestone, or the verdict's symbol for any other result."""
    return "🏅" if result.verdict is Verdict.UNLOCKED and result.milestone is not None else SIGNS[result.verdict]


def _format_capped_bullet_list(lines: Iterable[str]) -> str:
    """Format a bulleted list, cut off after `MAX_LIST_CHARACTERS`."""
    shown, room = [], MAX_LIST_CHARACTERS
    for number, line in enumerate(lines := list(lines)):
        room -= len(line)
        if room < 0:
            shown.append(f"… and {len(lines) - number} more")
            break
        shown.append(line)
    return "\n".join(f"- {line}" for line in shown)


def _fold_results(results: tuple[Result, ...], max_characters: int) -> Iterator[str]:
    """Yield each result as a collapsed section. Space that one result does not need is available to the next ones."""
    first = _find_result_to_fix(results)
    for position, result in enumerate(results):
        share = max_characters // (len(results) - position)
        heading, verdict = words.format_result_heading(result), words.describe_verdict(result).lower()
        title = f"{_choose_result_sign(result)} {escape_html(heading, 120)} ({verdict})"
        section = fit_blocks(
            [Fold(title, tuple(build_report_blocks(result, with_first_failure=result is not first)))], share - 2
        )
        max_characters -= len(section) + 2
        yield section
