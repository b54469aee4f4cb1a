"""A result as GitHub-flavoured Markdown of bounded length, in which nothing from a student's text is live."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from grading.render import figures, words
from grading.render.text import clean, cut, labelled, one_line, quote, write_count
from grading.result import CriterionResult, CriterionStatus, Failure, Result

LIMIT = 60_000
"""A GitHub comment holds 65,536."""
SHOWN = 12
MOST_CRITERIA = 60
"""Rows in a table; a milestone has about ten."""
_CUT = "The rest does not fit here. The JSON record holds all of it."

_SIGNS = {
    CriterionStatus.PASSED: "✅",
    CriterionStatus.FAILED: "❌",
    CriterionStatus.ERROR: "⚠️",
    CriterionStatus.NOT_ATTEMPTED: "➖",
}


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader unfolds."""

    summary: str
    """Our own HTML, or text from `escape_html`."""
    blocks: tuple[Block, ...]


Block = str | Fold


def markdown(result: Result) -> str:
    """Render the report, at most `MAX_REPORT_CHARACTERS` long."""
    return fit((f"## {escape(words.heading(result))}", *blocks(result)), LIMIT) + "\n"


def fit(blocks: Iterable[Block], room: int) -> str:
    """Join as many blocks as fit, close every fold, and say so when some do not fit."""
    kept, room = [], room - len(_CUT) - 2
    for block in blocks:
        text = block if isinstance(block, str) else _folded(block, room)
        if text is None or len(text) + 2 > room:
            kept.append(_CUT)
            break
        kept.append(text)
        room -= len(text) + 2
    return "\n\n".join(kept)


def _folded(fold: Fold, room: int) -> str | None:
    """Render a fold; None when there is not even room for its frame."""
    head, foot = f"<details><summary>{fold.summary}</summary>\n\n", "\n\n</details>"
    inner = room - len(head) - len(foot) - 2
    return f"{head}{fit(fold.blocks, inner)}{foot}" if inner > 2 * len(_CUT) else None


def escape(text: str, limit: int = 400) -> str:
    """Escape text for a paragraph or a table cell: no markup, HTML, links, mentions or references."""
    text = re.sub(r"([\\`*_\[\]|~$^])", r"\\\1", _entities(one_line(text, limit)))
    return _unlinked(re.sub(r"^(\d*)([#+\-=.)])", r"\1\\\2", text))


def html(text: str, limit: int = 400) -> str:
    """Escape text for one line of HTML (`<summary>`), where Markdown's escapes do not work."""
    return _unlinked(_entities(one_line(text, limit)))


def _entities(text: str) -> str:
    """Replace the characters that HTML reserves."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unlinked(text: str) -> str:
    """Insert zero-width spaces that keep GitHub from turning the text into links and mentions."""
    text = re.sub(r"(@|#|://|\bwww\.|\bGH-)(?=\\?\w)", "\\1\N{ZERO WIDTH SPACE}", text, flags=re.IGNORECASE)
    return text.replace("://", ":\N{ZERO WIDTH SPACE}//")


def code(text: str, limit: int = 200) -> str:
    """Format text as a code span that no backtick in it can end; pipes are escaped for tables."""
    text = one_line(text, limit)
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", "\\|") if text else ""


def fence(text: str, limit: int = 2000, language: str = "text") -> str:
    """Format text as a fenced block that no fence in it can end."""
    text = clean(text, limit)
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{ticks}{language}\n{text}\n{ticks}"


def blocks(result: Result, *, first_to_mend: bool = True) -> Iterator[Block]:
    """Yield the report without its heading; the first failure is left out when another place shows it."""
    medal = f" Medal: {escape(result.medal)}." if result.medal and result.verdict.exit_code == 0 else ""
    yield f"**{words.verdict(result)}.** {words.meaning(result)}{medal}"
    for reason in result.provisional_because[:SHOWN]:
        yield f"Provisional: {escape(reason)}"
    if result.first_failure and first_to_mend:
        yield "### Fix this first"
        yield failure(result.first_failure)
        yield f"Grade again: {code(result.command)}"
    yield "### Criteria"
    yield _table(result)
    if points := words.points(result):
        yield escape(points, 1000)
    if how := dict.fromkeys(c.how for c in result.criteria[:MOST_CRITERIA] if c.how):
        yield "How it was measured:\n\n" + "\n".join(f"- {escape(text, 600)}" for text in how)
    if kept := words.describe_kept(result):
        yield kept
    others = words.failures(result)[1:]
    if others:
        shown = tuple(failure(other) for other in others[:SHOWN])
        left = (f"… and {len(others) - SHOWN} more.",) if len(others) > SHOWN else ()
        yield Fold(f"{len(others)} more to fix", shown + left)
    yield from curves(result)
    if result.student_output.strip():
        yield Fold("What the code printed", (fence(quote(result.student_output), 6100),))
    yield from _notes(result)
    yield _evidence(result)


def _table(result: Result) -> str:
    """Build the table of all criteria, grouped by kind."""
    lines = ["| | Criterion | Measured | Required | |", "| --- | --- | ---: | ---: | --- |"]
    shown = result.criteria[:MOST_CRITERIA]
    one, several = words.gather_not_attempted(shown)
    for kind, criteria in words.by_kind(one):
        lines.append(f"| | **{words.KINDS[kind]}** | | | |")
        lines += [_row(criterion) for criterion in criteria]
    for why, criteria in several.items():
        name = f"{len(criteria)} criteria of {words.name_kinds(criteria)}<br>{escape(why, 600)}"
        lines.append(f"| {_describe_status(CriterionStatus.NOT_ATTEMPTED)} | {name} | | | |")
    if len(shown) < len(result.criteria):
        lines.append(f"| | … and {len(result.criteria) - len(shown)} more | | | |")
    return "\n".join(lines)


def _row(criterion: CriterionResult) -> str:
    """Format one criterion with its figures and, unless it passed, the reason."""
    name = escape(criterion.title)
    if criterion.status in (CriterionStatus.ERROR, CriterionStatus.NOT_ATTEMPTED):
        name += f"<br>{escape(words.not_measured(criterion), 600)}"
    elif criterion.status is CriterionStatus.FAILED:
        name += f"<br>{escape(criterion.explanation or criterion.why)}"
    bar = "" if criterion.measured is None else figures.bar(figures.share(criterion), 10)
    sign, measured = _describe_status(criterion.status), figures.measured(criterion)
    return f"| {sign} | {name} | {measured} | {figures.threshold(criterion)} | {bar} |"


def _describe_status(status: CriterionStatus) -> str:
    """Return the sign and the word for a status."""
    return f"{_SIGNS[status]} {words.STATUSES[status]}"


def failure(failure: Failure) -> str:
    """Render one thing to fix: what and where it is, what came back, and the command that tries it."""
    lines = [f"**{escape(words.label(failure))}**"]
    if place := words.place(failure):
        lines.append(f"In {code(place)}")
    parts = [("call", failure.call), ("got", failure.got), ("expected", failure.expected), ("detail", failure.detail)]
    shown = "\n".join(labelled(f"{name + ':':<10}", text, 1000) for name, text in parts if text)
    if shown:
        lines.append(fence(shown, 4000))
    if failure.hint:
        lines.append(f"Hint: {escape(failure.hint, 600)}")
    if fast := words.fast_loop(failure):
        lines.append(f"Try: {code(fast, 400)}")
    return "\n\n".join(lines)


def curves(result: Result) -> Iterator[str]:
    """Yield the training curves as one block, a line each; nothing when there are none."""
    lines = []
    for curve in result.curves[:6]:
        known = [v for v in curve.values if v is not None]
        if known:
            line = figures.sparkline(curve.values, 40)
            lines.append(f"{one_line(curve.name, 60)}, seed {curve.seed}: {line} {known[0]:.3g} to {known[-1]:.3g}")
    if lines:
        yield fence("\n".join(lines))


def _notes(result: Result) -> Iterator[str]:
    """Yield what was not graded and which course files have changed."""
    lines = [f"- Not graded: {code(n.path)}: {escape(n.message)}" for n in result.submission.refused[:20]]
    if len(result.submission.refused) > 20:
        lines.append(f"- … and {write_count(len(result.submission.refused) - 20, 'more file')} not graded.")
    if changed := result.course.changed:
        names = ", ".join(code(path) for path in changed[:10]) + (", …" if len(changed) > 10 else "")
        lines.append(f"- Course files changed since the release ({len(changed)}): {names}")
    if lines:
        yield "\n".join(lines)


def _evidence(result: Result) -> str:
    """Format the conditions of the measurement in small print."""
    machine, timing = result.machine, result.timing
    data = ", ".join(f"{escape(d.name)} ({code(d.digest[:12])})" for d in result.data)
    return cut(
        f"<sub>{result.started_at:%Y-%m-%d %H:%M} UTC · seed {result.seed} · "
        f"{'official' if result.official else 'not official'} · sandbox: {escape(machine.sandbox, 40)} · "
        f"{escape(machine.system, 60)}, {machine.cores} cores, Python {escape(machine.python, 20)} · "
        f"{words.seconds(timing.total)} in all, student code {words.seconds(timing.student)} · "
        f"course {escape(result.course.version, 20)} · submission {code(result.submission.digest[:12])}"
        f"{' · data: ' + data if data else ''}</sub>",
        3000,
    )
