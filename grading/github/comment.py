"""The comment under a pull request: a pure function of the report, of bounded length, in which no text is live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfoNotFoundError

from grading.deadlines import DeadlineTerms, find_deadline_terms
from grading.github.changes import changes
from grading.github.plan import Reused
from grading.github.state import State, state_after, written
from grading.journey import find_goal_after
from grading.manifest.model import Kind, Manifest
from grading.render import figures, words
from grading.render.markdown import Block, Fold, blocks, code, curves, escape, failure, fit, html
from grading.result import CriterionStatus, Result, Verdict

MARKER = "<!-- tinytorch:report -->"
LIMIT = 60_000
"""GitHub accepts 65,536."""
FRONT = 40_000
"""Limit for the unfolded part; only hostile text ever needs more than a tenth."""
LIST = 5_000
"""Limit for one list."""
MOST_ROWS = 40
TROUBLE = (
    "This is a problem with the grader, the machine or GitHub, not with your code. "
    "Run the job again. If the problem persists, tell your instructor."
)
LATENESS = (
    "Lateness counts from the start of this run, without your own or your section's extension. "
    "The gradebook counts from when the server received your push."
)
SIGNS = {Verdict.UNLOCKED: "✅", Verdict.PROVISIONAL: "☑️", Verdict.NOT_YET: "❌", Verdict.ERROR: "⚠️"}


@dataclass(frozen=True)
class Run:
    """The workflow run that reports."""

    id: int
    attempt: int
    url: str | None = None
    """The address of its log."""


@dataclass(frozen=True)
class Report:
    """Everything that a report says."""

    results: tuple[Result, ...]
    commit: str
    """The student's commit, 40 hex digits."""
    run: Run
    reused: tuple[Reused, ...] = ()
    problems: tuple[str, ...] = ()
    """Failures of the grader, the machine or GitHub, in words; never the student's."""
    skipped: tuple[str, ...] = ()
    previous: State | None = None
    """State left by the last report."""
    from_fork: bool = False
    """Whether another repository's own workflow did the grading."""
    manifest: Manifest | None = None
    """The course, for its deadlines and for what comes next."""

    @property
    def ordered(self) -> tuple[Result, ...]:
        """The results in the course's order, so that what to fix first comes first."""
        return tuple(sorted(self.results, key=_order))[:MOST_ROWS]


def comment(report: Report) -> str:
    """Build the whole comment, from its marker to its state, at most `MAX_CHARACTERS` long."""
    run = report.run
    foot = written(state_after(report.ordered, report.previous, run=run.id, attempt=run.attempt, commit=report.commit))
    return f"{MARKER}\n\n{_body(report, LIMIT - len(MARKER) - len(foot) - 10)}\n\n{foot}\n"


def summary(report: Report) -> str:
    """Build the report for the summary on the run's page, far below its limit of 1 MiB."""
    return _body(report, LIMIT) + "\n"


def _body(report: Report, room: int) -> str:
    """Join the front and the folded results."""
    head = front(report)
    return "\n\n".join([head, *_sections(report.ordered, room - len(head))])


def front(report: Report) -> str:
    """Build what a reader sees before unfolding anything: verdicts, problems, what to fix first, what changed."""
    return fit(_front(report), FRONT)


def headline(report: Report) -> str:
    """Summarize the report in one line: "Milestone 1: Basic Inference: unlocked", "2 of 3 passed"."""
    results = report.ordered
    if not results:
        if report.problems:
            return "could not be graded"
        return "nothing has changed" if report.reused else "nothing to grade"
    if len(results) == 1 and not report.problems:
        return f"{words.heading(results[0])}, {words.verdict(results[0]).lower()}"
    passed = sum(r.verdict.exit_code == 0 for r in results)
    return f"{passed} of {len(results)} passed"


def _front(report: Report) -> Iterator[Block]:
    """Yield the blocks of the front from top to bottom."""
    results = report.ordered
    course = results[0].course.name if results else "TinyTorch"
    yield f"## {escape(course, 60)}: {escape(headline(report))}"
    yield _which(report)
    if results or report.reused:
        yield _verdicts(report)
    if report.problems:
        yield "### Could not be graded"
        yield TROUBLE
        yield _listed(escape(problem, 300) for problem in report.problems)
    first = _first(results)
    if first is not None and first.first_failure is not None:
        yield "### Fix this first"
        yield failure(first.first_failure)
        yield f"Grade again: {code(first.command)}"
    passes = [result for result in results if result.verdict.exit_code == 0]
    for result in passes:
        if result.milestone is not None:
            yield from _passed(result)
    if report.manifest is not None and passes == list(results) and passes and not report.problems:
        modules = [result.module for result in passes if result.module is not None]
        goal = find_goal_after(report.manifest, modules, [r.milestone for r in passes if r.milestone is not None])
        yield f"### Next\n\n{escape(goal.sentence)} Type {code(goal.command)}."
    if report.previous is not None and results:
        yield f"### Since {code(report.previous.commit[:7])}"
        yield _listed(changes(results, report.previous))
    if report.skipped:
        yield f"Not begun: {', '.join(code(name, 60) for name in report.skipped[:MOST_ROWS])}."


def _first(results: tuple[Result, ...]) -> Result | None:
    """Return the result that holds what to fix first."""
    return next((r for r in results if r.first_failure is not None), None)


def _which(report: Report) -> str:
    """Say which run this is and what it counts for."""
    run = f"[run {report.run.id}]({report.run.url})" if report.run.url else f"run {report.run.id}"
    if report.results and all(r.official for r in report.results) and not report.from_fork:
        counts = "An official grading, like the instructor's own run."
    else:
        fork = " The fork's own workflow did the grading." if report.from_fork else ""
        counts = f"This is feedback. The instructor's own run, with other seeds, is what counts.{fork}"
    return f"Commit {code(report.commit[:7])}, {run}. {counts}"


def _verdicts(report: Report) -> str:
    """Build a row for each new and each reused result, with points and deadlines where there are any."""
    due = {r.session: terms for r in report.ordered if (terms := _find_terms(report.manifest, r)) is not None}
    pointed = any(words.points(result) for result in report.ordered)
    more = [*(["Points"] if pointed else []), *(["Due"] if due else [])]
    lines = [_line("", "", "Verdict", "Criteria met", "", *more)]
    lines.append(_line("---", "---", "---", "---:", "---", *["---:" if name == "Points" else "---" for name in more]))
    for result in report.ordered:
        met = sum(c.status is CriterionStatus.PASSED for c in result.criteria)
        medal = f": {escape(result.medal, 40)}" if result.medal and result.verdict.exit_code == 0 else ""
        bar = figures.bar(met / len(result.criteria) if result.criteria else 0.0, 10)
        cells = [_sign(result), f"**{escape(words.heading(result), 60)}**", f"{words.verdict(result)}{medal}"]
        cells += [f"{met} of {len(result.criteria)}", bar]
        cells += [words.reached_points(result) if words.points(result) else ""] if pointed else []
        cells += [_describe_due(due.get(result.session), result)] if due else []
        lines.append(_line(*cells))
    for reused in report.reused[: MOST_ROWS - len(report.ordered)]:
        name, verdict = words.heading_of(reused.session, reused.title), Verdict(reused.verdict)
        outcome = words.verdict_word(verdict, module=reused.session.startswith("module-"))
        when = f"{outcome} on {reused.started_at:%Y-%m-%d %H:%M} UTC; nothing has changed since"
        lines.append(_line(SIGNS[verdict], f"**{escape(name, 60)}**", when, "", "", *[""] * len(more)))
    table = "\n".join(lines)
    return f"{table}\n\n{LATENESS}" if due else table


def _line(*cells: str) -> str:
    """Format one row of a Markdown table."""
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def _find_terms(manifest: Manifest | None, result: Result) -> DeadlineTerms | None:
    """Return the course's deadline; an unknown time zone is for the desk to correct and stops no report."""
    if manifest is None or result.milestone is None:
        return None
    try:
        return find_deadline_terms(manifest.deadlines, result.milestone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _describe_due(terms: DeadlineTerms | None, result: Result) -> str:
    """Describe when a milestone is due and how late the run was."""
    if terms is None:
        return ""
    return f"{terms.describe_due()}: {terms.describe_lateness(result.started_at)}"


def _passed(result: Result) -> Iterator[Block]:
    """Yield what a pass has achieved: each figure with its margin, and the training curves."""
    yield f"### {_sign(result)} {escape(words.heading(result), 120)}"
    rows = [
        f"| {escape(c.title)} | {figures.measured(c)} | {figures.threshold(c)} | {figures.margin(c)} |"
        for c in result.criteria[:MOST_ROWS]
        if c.kind is Kind.PERFORMANCE and c.status is CriterionStatus.PASSED
    ]
    if rows:
        yield "\n".join(["| | Measured | Required | Margin |", "| --- | ---: | ---: | --- |", *rows])
    yield from curves(result)


def _order(result: Result) -> tuple[int, str]:
    """Return the sort key that puts modules before milestones, each in the course's order."""
    return (result.milestone or 0, result.module or "")


def _sign(result: Result) -> str:
    """Return a medal for an unlocked milestone, otherwise the verdict's sign."""
    return "🏅" if result.verdict is Verdict.UNLOCKED and result.milestone is not None else SIGNS[result.verdict]


def _listed(lines: Iterable[str]) -> str:
    """Format a bulleted list, cut off after `MAX_LIST_CHARACTERS`."""
    shown, room = [], LIST
    for number, line in enumerate(lines := list(lines)):
        room -= len(line)
        if room < 0:
            shown.append(f"… and {len(lines) - number} more")
            break
        shown.append(line)
    return "\n".join(f"- {line}" for line in shown)


def _sections(results: tuple[Result, ...], room: int) -> Iterator[str]:
    """Yield each result folded; room that one does not need goes to the next ones."""
    first = _first(results)
    for position, result in enumerate(results):
        share = room // (len(results) - position)
        title = f"{_sign(result)} {html(words.heading(result), 120)} ({words.verdict(result).lower()})"
        section = fit([Fold(title, tuple(blocks(result, first_to_mend=result is not first)))], share - 2)
        room -= len(section) + 2
        yield section
