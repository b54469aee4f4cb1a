"""Write a student's feedback, using only their own rows. All text inserted into the Markdown is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from desk.pushes import Push
from desk.roster import RosterRow
from desk.scores import FULL, Score
from grading.manifest.model import Manifest, Milestone
from grading.render import figure_text, words
from grading.render.markdown import (
    MAX_REPORT_CHARACTERS,
    Block,
    Fold,
    escape_markdown,
    fit_blocks,
    format_code_span,
    render_failure_as_markdown,
)
from grading.result import CriterionResult, CriterionStatus, Result, Verdict

TITLE = "Your official results"
MARKER = "<!-- tinytorch:feedback {student} -->"
UNMET = 8
"""The maximum number of unmet criteria that are listed."""
RECEIPTS = 200
"""The maximum number of pushes that are listed, newest first."""


@dataclass(frozen=True)
class PushReceipt:
    """A collected push, and the milestones handed in with it."""

    push: Push
    collected: tuple[tuple[str, tuple[int, ...]], ...]
    """Pairs of a version of the course and the milestones handed in under that version."""


@dataclass(frozen=True)
class OfficialResults:
    """Everything in the gradebook that is shown to one student."""

    row: RosterRow
    scores: tuple[Score, ...]
    """One score for each available milestone."""
    results: Mapping[int, Result]
    """The record that counts for each milestone that was graded."""
    receipts: tuple[PushReceipt, ...] = ()
    zone: tzinfo = UTC
    """The time zone in which times are shown."""


def format_feedback(official: OfficialResults, manifest: Manifest) -> str:
    """Format the Markdown of the student's issue, starting with a hidden marker. Equal results give equal texts."""
    marker = MARKER.format(student=official.row.id)
    blocks = _build_feedback_blocks(official, manifest)
    return f"{marker}\n\n{fit_blocks(blocks, MAX_REPORT_CHARACTERS - len(marker) - 3)}\n"


def _build_feedback_blocks(official: OfficialResults, manifest: Manifest) -> Iterator[Block]:
    """Yield the blocks of the text: introduction, table, next step, each milestone, receipts."""
    row = official.row
    who = f"{escape_markdown(row.name)} ({format_code_span(row.id)})" if row.name else format_code_span(row.id)
    yield (
        f"These are the results for {who} in your instructor's gradebook, which are the ones that count. This text "
        "is updated automatically, and edits to it are overwritten. Ask questions in a comment below."
    )
    yield _format_results_table(official, manifest)
    yield "### What to do next"
    yield from _describe_next_step(official, manifest)
    for score in official.scores:
        yield from _describe_milestone(
            score, manifest.milestone(score.milestone), official.results.get(score.milestone)
        )
    if official.receipts:
        count = len(official.receipts)
        yield Fold(f"Receipts: {count} push{'es' * (count > 1)} collected", (_format_receipts_table(official),))


def _format_results_table(official: OfficialResults, manifest: Manifest) -> str:
    """Format a Markdown table with a row for each milestone, with deadlines and lateness if the course has any."""
    dated = manifest.deadlines is not None
    heads = ["Milestone", "Result", "Criteria met", "Points", "Pushed", *(["Due", "Lateness"] if dated else [])]
    lines = [heads, ["---", "---", "---:", "---:", *["---"] * (len(heads) - 4)]]
    for score in official.scores:
        graded, milestone = score.grading, manifest.milestone(score.milestone)
        cells = [
            f"**{milestone.id}: {escape_markdown(milestone.name, 60)}**",
            _describe_verdict(score),
            "" if graded is None else f"{graded.met} of {graded.criteria}",
            _describe_points(score),
            "" if score.push is None or graded is None else _format_local_time(score.push.at, official.zone),
        ]
        if dated:
            cells += ["" if score.terms is None else f"{score.terms.local:%Y-%m-%d %H:%M}", _describe_lateness(score)]
        lines.append(cells)
    zone = manifest.deadlines.timezone if manifest.deadlines is not None else "UTC"
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\nAll times: {escape_markdown(zone, 60)}."


def _describe_verdict(score: Score) -> str:
    """Return the verdict in words, or a note that the milestone was not begun."""
    if score.verdict is not None:
        return words.name_verdict(Verdict(score.verdict), is_module=False)
    return "Not begun in time" if score.closed else "Not begun"


def _describe_points(score: Score) -> str:
    """Format the points out of 100; if there are none, return “excused” or a dash."""
    if score.by_hand.excused:
        return "excused"
    return "—" if score.points is None else f"{score.points:g} of {FULL:g}"


def _describe_lateness(score: Score) -> str:
    """Return how late the graded push was, or an empty text without a deadline or a graded push."""
    if score.terms is None or score.push is None or score.grading is None:
        return ""
    return score.terms.describe_lateness(score.push.at)


def _describe_next_step(official: OfficialResults, manifest: Manifest) -> Iterator[Block]:
    """Yield what to do for the first milestone still to unlock (fix, begin or wait), or that nothing is left."""
    open_ones = [
        s for s in official.scores if not s.by_hand.excused and s.verdict not in (Verdict.UNLOCKED, Verdict.PROVISIONAL)
    ]
    if not open_ones:
        yield f"Nothing is left to unlock. {format_code_span('tito portfolio')} shows what your network can do."
        return
    score = open_ones[0]
    milestone, result = manifest.milestone(score.milestone), official.results.get(score.milestone)
    due = f" The deadline is {score.terms.describe_due()}." if score.terms is not None and not score.closed else ""
    if score.verdict == Verdict.ERROR:
        yield (
            f"Milestone {milestone.id} could not be judged. The grader or its machine failed, not your code. It will "
            "be graded again, so there is nothing for you to do."
        )
    elif result is not None:
        yield f"Fix this first, for milestone {milestone.id}, {escape_markdown(milestone.name, 60)}.{due}"
        unmet = next((c for c in result.criteria if c.status is CriterionStatus.FAILED), None)
        if result.first_failure is not None:
            yield render_failure_as_markdown(result.first_failure)
        elif unmet is not None:
            yield f"**{escape_markdown(unmet.title)}.** {escape_markdown(unmet.explanation or unmet.why)}"
        yield f"Grade it on your machine: {format_code_span(f'nox -s milestone-{milestone.id}')}"
    else:
        yield (
            f"Milestone {milestone.id}, {escape_markdown(milestone.name, 60)}: "
            f"{escape_markdown(milestone.victory)}.{due} "
            f"Run {format_code_span('tito')} in your repository to see the next step."
        )


def _describe_milestone(score: Score, milestone: Milestone, result: Result | None) -> Iterator[Block]:
    """Yield details of one milestone that the table does not show, unless it is neither graded nor overridden."""
    by_hand = score.by_hand.describe()
    if result is None and not by_hand and not score.by_hand.comment:
        return
    yield f"### Milestone {milestone.id}: {escape_markdown(milestone.name, 60)}"
    if score.by_hand.comment:
        yield f"From your instructor: {escape_markdown(score.by_hand.comment, 1000)}"
    if by_hand:
        yield f"Decided by your instructor: {escape_markdown(by_hand)}."
    if result is None:
        return
    for reason in result.provisional_because[:3]:
        yield f"Provisional: {escape_markdown(reason)}"
    if unmet := [c for c in result.criteria if c.status is not CriterionStatus.PASSED]:
        one, several = words.group_not_attempted(tuple(unmet))
        lines = [_describe_unmet_criterion(criterion) for criterion in one[:UNMET]]
        lines += [f"{len(criteria)} more: {escape_markdown(why, 600)}" for why, criteria in several.items()]
        lines += [f"… and {len(one) - UNMET} more"] if one[UNMET:] else []
        yield "Not met:\n\n" + "\n".join(f"- {line}" for line in lines)
    commit = format_code_span((result.submission.commit or "")[:12])
    yield f"Graded with version {escape_markdown(score.judging_course_label)} of the course, from commit {commit}."


def _describe_unmet_criterion(criterion: CriterionResult) -> str:
    """Describe an unmet criterion: the measured and required values, or why it was not measured."""
    title = escape_markdown(criterion.title)
    if criterion.status is not CriterionStatus.FAILED:
        return f"{title}: {escape_markdown(words.explain_missing_verdict(criterion))}"
    return f"{title}: {figure_text.format_measured(criterion)}, required {figure_text.format_threshold(criterion)}"


def _format_receipts_table(official: OfficialResults) -> str:
    """Format a table of the latest collected pushes, newest first, and the number of earlier ones."""
    lines = ["| Commit | Received | Course version | Handed in |", "| --- | --- | --- | --- |"]
    shown = sorted(official.receipts, key=lambda r: (r.push.at, r.push.commit), reverse=True)
    for receipt in shown[:RECEIPTS]:
        when = _format_local_time(receipt.push.at, official.zone)
        # If no server reported the time of a push, the time of the collection counts, which is later.
        seen = ", when it was first seen" if receipt.push.source == "seen" else ""
        for course, milestones in receipt.collected:
            handed_in = ", ".join(f"milestone {number}" for number in milestones) or "no milestone begun"
            lines.append(
                f"| {format_code_span(receipt.push.commit)} | {when}{seen} | "
                f"{escape_markdown(course, 60)} | {handed_in} |"
            )
    left = len(shown) - RECEIPTS
    return "\n".join(lines) + (f"\n\n… and {left} earlier pushes, which are in the gradebook." if left > 0 else "")


def _format_local_time(at: datetime, zone: tzinfo) -> str:
    """Format a time in this zone, such as `2026-11-30 05:40`, without the zone's name."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def match_receipts(
    pushes: Sequence[Push], handed_in: Mapping[str, Mapping[str, Sequence[int]]]
) -> tuple[PushReceipt, ...]:
    """Make a receipt for each collected commit with its first push; `handed_in` maps commit → course → milestones."""
    first: dict[str, Push] = {}
    for push in sorted(pushes, key=lambda p: (p.source == "seen", p.at)):
        first.setdefault(push.commit, push)
    return tuple(
        PushReceipt(push, tuple((course, tuple(sorted(m))) for course, m in sorted(handed_in[commit].items())))
        for commit, push in first.items()
        if commit in handed_in
    )
