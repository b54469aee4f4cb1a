"""Render a result as GitHub-flavoured Markdown of limited length, in which text from students has no special effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from grading.render import figure_text, words
from grading.render.text import clean_text, format_count, prefix_text_with_label, quote_text, to_one_line, truncate_text
from grading.result import CriterionResult, CriterionStatus, Failure, Result

MAX_REPORT_CHARACTERS = 60_000
"""The maximum length of a report. A GitHub comment holds 65,536 characters."""
SHOWN_FAILURES = 12
MAX_CRITERIA = 60
"""The maximum number of rows in a table. A milestone has about ten."""
_TRUNCATION_NOTE = "The rest does not fit here. The JSON record contains all of it."

_SIGNS = {
    CriterionStatus.PASSED: "✅",
    CriterionStatus.FAILED: "❌",
    CriterionStatus.ERROR: "⚠️",
    CriterionStatus.NOT_ATTEMPTED: "➖",
}


@dataclass(frozen=True)
class Fold:
    """Blocks that are hidden until a reader expands them."""

    summary: str
    """The fold's summary: our own HTML, or text from `escape_html`."""
    blocks: tuple[Block, ...]


Block = str | Fold


def render_markdown(result: Result) -> str:
    """Render the report with at most `MAX_REPORT_CHARACTERS` characters."""
    return (
        fit_blocks(
            (f"## {escape_markdown(words.format_result_heading(result))}", *build_report_blocks(result)),
            MAX_REPORT_CHARACTERS,
        )
        + "\n"
    )


def fit_blocks(blocks: Iterable[Block], max_characters: int) -> str:
    """Join as many blocks as fit, close every fold, and add a note if some blocks do not fit."""
    kept, max_characters = [], max_characters - len(_TRUNCATION_NOTE) - 2
    for block in blocks:
        text = block if isinstance(block, str) else _render_fold(block, max_characters)
        if text is None or len(text) + 2 > max_characters:
            kept.append(_TRUNCATION_NOTE)
            break
        kept.append(text)
        max_characters -= len(text) + 2
    return "\n\n".join(kept)


def _render_fold(fold: Fold, max_characters: int) -> str | None:
    """Render a fold; return None if there is not even room for its frame."""
    head, foot = f"<details><summary>{fold.summary}</summary>\n\n", "\n\n</details>"
    inner = max_characters - len(head) - len(foot) - 2
    return f"{head}{fit_blocks(fold.blocks, inner)}{foot}" if inner > 2 * len(_TRUNCATION_NOTE) else None


def escape_markdown(text: str, max_characters: int = 400) -> str:
    """Put text on one line, cut it, and escape it: no markup, HTML, links, mentions or references."""
    text = re.sub(r"([\\`*_\[\]|~$^])", r"\\\1", _escape_entities(to_one_line(text, max_characters)))
    return _break_links(re.sub(r"^(\d*)([#+\-=.)])", r"\1\\\2", text))


def escape_html(text: str, max_characters: int = 400) -> str:
    """Cut text to one line, then escape it for HTML and break its links, which can make it longer."""
    return _break_links(_escape_entities(to_one_line(text, max_characters)))


def _escape_entities(text: str) -> str:
    """Replace &, < and > with HTML entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _break_links(text: str) -> str:
    """Insert zero-width spaces that keep GitHub from turning the text into links and mentions."""
    text = re.sub(r"(@|#|://|\bwww\.|\bGH-)(?=\\?\w)", "\\1\N{ZERO WIDTH SPACE}", text, flags=re.IGNORECASE)
    return text.replace("://", ":\N{ZERO WIDTH SPACE}//")


def format_code_span(text: str, max_characters: int = 200) -> str:
    """Format text as a code span that no backtick in the text can close. Pipes are escaped for tables."""
    text = to_one_line(text, max_characters)
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", "\\|") if text else ""


def format_code_block(text: str, max_characters: int = 2000, language: str = "text") -> str:
    """Format text as a fenced block that no fence in the text can close."""
    text = clean_text(text, max_characters)
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{ticks}{language}\n{text}\n{ticks}"


def build_report_blocks(result: Result, *, with_first_failure: bool = True) -> Iterator[Block]:
    """Yield the report's blocks without its heading. Leave out the first failure if it is shown elsewhere."""
    medal = f" Medal: {escape_markdown(result.medal)}." if result.medal and result.verdict.exit_code == 0 else ""
    yield f"**{words.describe_verdict(result)}.** {words.summarize_criteria(result)}{medal}"
    for reason in result.provisional_because[:SHOWN_FAILURES]:
        yield f"Provisional: {escape_markdown(reason)}"
    if result.first_failure and with_first_failure:
        yield "### Fix this first"
        yield render_failure_as_markdown(result.first_failure)
        yield f"Grade again: {format_code_span(result.command)}"
    yield "### Criteria"
    yield _build_criteria_table(result)
    if points := words.describe_points_and_scheme(result):
        yield escape_markdown(points, 1000)
    if how := dict.fromkeys(c.how for c in result.criteria[:MAX_CRITERIA] if c.how):
        yield "How it was measured:\n\n" + "\n".join(f"- {escape_markdown(text, 600)}" for text in how)
    if kept := words.describe_reused_measurements(result):
        yield kept
    others = words.list_failures(result)[1:]
    if others:
        shown = tuple(render_failure_as_markdown(other) for other in others[:SHOWN_FAILURES])
        left = (f"… and {len(others) - SHOWN_FAILURES} more.",) if len(others) > SHOWN_FAILURES else ()
        yield Fold(f"{len(others)} more to fix", shown + left)
    yield from render_curves(result)
    if result.student_output.strip():
        yield Fold("What the code printed", (format_code_block(quote_text(result.student_output), 6100),))
    yield from _list_submission_notes(result)
    yield _format_measurement_conditions(result)


def _build_criteria_table(result: Result) -> str:
    """Build the table of the first criteria by kind; those not attempted for the same reason share one last row."""
    lines = ["| | Criterion | Measured | Required | |", "| --- | --- | ---: | ---: | --- |"]
    shown = result.criteria[:MAX_CRITERIA]
    one, several = words.group_not_attempted(shown)
    for kind, criteria in words.group_by_kind(one):
        lines.append(f"| | **{words.KIND_NAMES[kind]}** | | | |")
        lines += [_format_criterion_row(criterion) for criterion in criteria]
    for why, criteria in several.items():
        name = f"{len(criteria)} criteria of {words.join_kind_names(criteria)}<br>{escape_markdown(why, 600)}"
        lines.append(f"| {_format_status(CriterionStatus.NOT_ATTEMPTED)} | {name} | | | |")
    if len(shown) < len(result.criteria):
        lines.append(f"| | … and {len(result.criteria) - len(shown)} more | | | |")
    return "\n".join(lines)


def _format_criterion_row(criterion: CriterionResult) -> str:
    """Format one criterion as a row of a Markdown table, with its figures and, unless it passed, the reason."""
    name = escape_markdown(criterion.title)
    if criterion.status in (CriterionStatus.ERROR, CriterionStatus.NOT_ATTEMPTED):
        name += f"<br>{escape_markdown(words.explain_missing_verdict(criterion), 600)}"
    elif criterion.status is CriterionStatus.FAILED:
        name += f"<br>{escape_markdown(criterion.explanation or criterion.why)}"
    bar = "" if criterion.measured is None else figure_text.draw_bar(figure_text.compute_closeness(criterion), 10)
    sign, measured = _format_status(criterion.status), figure_text.format_measured(criterion)
    return f"| {sign} | {name} | {measured} | {figure_text.format_threshold(criterion)} | {bar} |"


def _format_status(status: CriterionStatus) -> str:
    """Return the symbol and the word for a status."""
    return f"{_SIGNS[status]} {words.STATUS_NAMES[status]}"


def render_failure_as_markdown(failure: Failure) -> str:
    """Render one failure as Markdown: what and where it is, what was returned, and the command that tests it."""
    lines = [f"**{escape_markdown(words.format_failure_title(failure))}**"]
    if place := words.format_failure_location(failure):
        lines.append(f"In {format_code_span(place)}")
    parts = [("call", failure.call), ("got", failure.got), ("expected", failure.expected), ("detail", failure.detail)]
    shown = "\n".join(prefix_text_with_label(f"{name + ':':<10}", text, 1000) for name, text in parts if text)
    if shown:
        lines.append(format_code_block(shown, 4000))
    if failure.hint:
        lines.append(f"Hint: {escape_markdown(failure.hint, 600)}")
    if fast := words.build_test_command(failure):
        lines.append(f"Try: {format_code_span(fast, 400)}")
    return "\n\n".join(lines)


def render_curves(result: Result) -> Iterator[str]:
    """Yield the first six training curves as one block, with a line for each. Yield nothing if there are no curves."""
    lines = []
    for curve in result.curves[:6]:
        known = [v for v in curve.values if v is not None]
        if known:
            line = figure_text.draw_sparkline(curve.values, 40)
            lines.append(f"{to_one_line(curve.name, 60)}, seed {curve.seed}: {line} {known[0]:.3g} to {known[-1]:.3g}")
    if lines:
        yield format_code_block("\n".join(lines))


def _list_submission_notes(result: Result) -> Iterator[str]:
    """Yield one block of notes on files that were not graded and on changed course files, or nothing."""
    lines = [
        f"- Not graded: {format_code_span(n.path)}: {escape_markdown(n.message)}"
        for n in result.submission.refused[:20]
    ]
    if len(result.submission.refused) > 20:
        lines.append(f"- … and {format_count(len(result.submission.refused) - 20, 'more file')} not graded.")
    if changed := result.course.changed:
        names = ", ".join(format_code_span(path) for path in changed[:10]) + (", …" if len(changed) > 10 else "")
        lines.append(f"- Course files changed since the release ({len(changed)}): {names}")
    if lines:
        yield "\n".join(lines)


def _format_measurement_conditions(result: Result) -> str:
    """Format the conditions of the measurement in small print."""
    machine, timing = result.machine, result.timing
    data = ", ".join(f"{escape_markdown(d.name)} ({format_code_span(d.digest[:12])})" for d in result.data)
    return truncate_text(
        f"<sub>{result.started_at:%Y-%m-%d %H:%M} UTC · seed {result.seed} · "
        f"{'official' if result.official else 'not official'} · sandbox: {escape_markdown(machine.sandbox, 40)} · "
        f"{escape_markdown(machine.system, 60)}, {machine.cores} cores, Python {escape_markdown(machine.python, 20)} · "
        f"{words.format_duration(timing.total)} in all, student code {words.format_duration(timing.student)} · "
        f"course {escape_markdown(result.course.version, 20)} · "
        f"submission {format_code_span(result.submission.digest[:12])}"
        f"{' · data: ' + data if data else ''}</sub>",
        3000,
    )
