"""The wording of verdicts, statuses and kinds, in one place for all reports."""

from __future__ import annotations

import math
import shlex
from datetime import UTC

from grading.manifest.model import CriterionKind
from grading.render.text import to_one_line
from grading.result import CriterionResult, CriterionStatus, Failure, Result, Verdict, Writing
from grading.scoring import FULL, compute_score_share, describe_scoring_scheme

KIND_NAMES = {
    CriterionKind.CODE_QUALITY: "Code quality",
    CriterionKind.PERFORMANCE: "Performance",
    CriterionKind.RELIABILITY: "Reliability",
    CriterionKind.UNDERSTANDING: "Understanding",
}
STATUS_NAMES = {
    CriterionStatus.PASSED: "passed",
    CriterionStatus.FAILED: "failed",
    CriterionStatus.ERROR: "error",
    CriterionStatus.NOT_ATTEMPTED: "not attempted",
}
_VERDICT_NAMES = {
    Verdict.UNLOCKED: "Unlocked",
    Verdict.PROVISIONAL: "Provisionally unlocked",
    Verdict.NOT_YET: "Not yet",
    Verdict.ERROR: "Could not be graded",
}
_WRITINGS = {
    "function": ("A function", "computes something different", "does what its docstring says"),
    "story": ("A story", "not all of it is true", "all of it is true"),
    "text": ("Real text", "", ""),
}


def format_result_heading(result: Result) -> str:
    """Format a heading for the result, such as "Milestone 1: Basic Inference" or "Module 02_tensor: Tensors"."""
    return format_session_heading(result.session, result.name)


def format_session_heading(session: str, name: str) -> str:
    """Format a heading for what `nox -s SESSION` grades, such as "Milestone 1: Basic Inference"."""
    what, _, which = session.partition("-")
    return to_one_line(f"{what.capitalize()} {which}: {name}")


def describe_verdict(result: Result) -> str:
    """Return the result's verdict in words, such as "Unlocked" or, for a module, "Passed"."""
    return name_verdict(result.verdict, is_module=result.milestone is None)


def name_verdict(verdict: Verdict, *, is_module: bool) -> str:
    """Return a verdict in words, such as "Provisionally unlocked" or, for a module, "Provisionally passed"."""
    if is_module and verdict in (Verdict.UNLOCKED, Verdict.PROVISIONAL):
        return "Passed" if verdict is Verdict.UNLOCKED else "Provisionally passed"
    return _VERDICT_NAMES[verdict]


def summarize_criteria(result: Result) -> str:
    """Summarize how many criteria are met and, if the verdict is an error, say that it is not the student's fault."""
    met = sum(c.status is CriterionStatus.PASSED for c in result.criteria)
    counts = f"{met} of {len(result.criteria)} criteria met."
    if result.verdict is Verdict.ERROR:
        failed = any(c.status is CriterionStatus.FAILED for c in result.criteria)
        subject = "Where it says error, the" if failed else "The"
        return f"{counts} {subject} grader or this machine failed, not your code."
    return counts


def describe_points_and_scheme(result: Result) -> str | None:
    """Describe a milestone's points and their scheme; return None for a module or a result that could not be judged."""
    if result.milestone is None or result.verdict is Verdict.ERROR:
        return None
    return f"{format_result_points(result)} points. {to_one_line(describe_scoring_scheme(result.criteria), 1000)}"


def format_result_points(result: Result) -> str:
    """Format the points, rounded down, such as "92.3 of 100"."""
    share = (
        math.floor(1000 * compute_score_share(result)) / 1000
    )  # rounded down, never up to a score that was not reached
    return f"{FULL * share:g} of {FULL}"


def explain_missing_verdict(criterion: CriterionResult) -> str:
    """Explain why a criterion does not have its own verdict, as in "not attempted: fix the module tests first"."""
    status, why = STATUS_NAMES[criterion.status], to_one_line(criterion.explanation or "", 600)
    return why if why.lower().startswith(status) else f"{status}: {why}" if why else status


def group_not_attempted(
    criteria: tuple[CriterionResult, ...],
) -> tuple[tuple[CriterionResult, ...], dict[str, list[CriterionResult]]]:
    """Return criteria to list singly, and, by reason, those not attempted for a reason that two or more share."""
    groups: dict[str, list[CriterionResult]] = {}
    for criterion in criteria:
        if criterion.status is CriterionStatus.NOT_ATTEMPTED:
            groups.setdefault(explain_missing_verdict(criterion), []).append(criterion)
    several = {why: found for why, found in groups.items() if len(found) > 1}
    one = [
        c
        for c in criteria
        if c.status is not CriterionStatus.NOT_ATTEMPTED or explain_missing_verdict(c) not in several
    ]
    return tuple(one), several


def join_kind_names(criteria: list[CriterionResult]) -> str:
    """List the kinds of these criteria as text, such as "performance, reliability and understanding"."""
    *first, last = [KIND_NAMES[kind].lower() for kind, _ in group_by_kind(tuple(criteria))]
    return f"{', '.join(first)} and {last}" if first else last


def group_by_kind(criteria: tuple[CriterionResult, ...]) -> list[tuple[CriterionKind, list[CriterionResult]]]:
    """Group the criteria by kind, in the manifest's order of kinds, without empty kinds."""
    groups = [(kind, [c for c in criteria if c.kind is kind]) for kind in CriterionKind]
    return [(kind, criteria) for kind, criteria in groups if criteria]


def list_failures(result: Result) -> list[Failure]:
    """List every failure in the order in which they should be fixed."""
    return [f for c in result.criteria for f in c.failures]


def format_failure_location(failure: Failure) -> str | None:
    """Format the failure's location as "FILE:LINE", or "FILE" if it has no line. Return None if it has no file."""
    if failure.file is None:
        return None
    return to_one_line(failure.file if failure.line is None else f"{failure.file}:{failure.line}")


def format_failure_title(failure: Failure, max_characters: int = 400) -> str:
    """Format the failure on one line: its task, then its title, which is cut after `max_characters` with a note."""
    title = to_one_line(failure.title, max_characters)
    return title if failure.task is None else f"Task {to_one_line(failure.task, 10)}: {title}"


def build_test_command(failure: Failure) -> str | None:
    """Build the shell command that runs only this failure's test with pytest. Return None if it names no test."""
    if failure.test is None:
        return None
    # Only printable ASCII, because the command is meant to be pasted into a shell.
    node = "".join(c if c.isascii() and c.isprintable() else "?" for c in failure.test)[:300]
    return f"pytest {shlex.quote(node)}"


def describe_reused_measurements(result: Result) -> str | None:
    """State in a sentence when the reused measurements were made. Return None if none are reused."""
    moments = sorted({c.measured_at for c in result.criteria if c.measured_at is not None})
    if not moments:
        return None
    rest = [c for c in result.criteria if c.measured_at is None and c.kind is not CriterionKind.UNDERSTANDING]
    which = "Some figures were" if any(c.measured is not None for c in rest) else "All figures but the answers were"
    at = " and ".join(f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for moment in moments[-2:])
    return f"{which} measured at {at}; nothing they depend on has changed since."


def describe_writing(writing: Writing) -> tuple[str, str]:
    """Return a caption for a text that a network wrote, by its kind, and the verdict; empty if it has none."""
    what, wrong, right = _WRITINGS[writing.kind]
    judged = "" if writing.right is None else right if writing.right else wrong
    return f"{what} that was started, and the network's continuation", judged


def format_duration(seconds: float) -> str:
    """Format a duration, such as "0.4 s" or "2 min 5 s"."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def name_sandbox(sandbox: str) -> str:
    """Return a readable name for a record's sandbox: "bubblewrap", "Landlock" or "a limited process"."""
    return {"bubblewrap": "bubblewrap", "landlock": "Landlock"}.get(sandbox, "a limited process")
