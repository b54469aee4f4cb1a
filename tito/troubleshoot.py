"""`tito milestone troubleshoot`: show the troubleshooting topics that fit the last failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markdown import Markdown
from rich.panel import Panel
from rich.text import Text

from grading import progress
from grading.manifest.loader import load_manifest
from grading.manifest.model import Milestone
from grading.manifest.topics import DOCUMENT, Topic, find_troubleshooting_topics, read_topics
from grading.render import words
from grading.render.terminal_report import build_failure_view, format_command
from grading.render.text import to_one_line
from grading.result import CriterionStatus, Result
from tito.console import format_list_item, open_console, print_json
from tito.status import describe_damaged_records


def show_troubleshooting(root: Path, number: int, as_json: bool) -> int:
    """Show help for the last attempt's failures, or an overview if there are none. Always return 0."""
    milestone, history = load_manifest(root).milestone(number), progress.read_history(root)
    attempts = history.list_attempts(number)
    result = attempts[-1].result if attempts else None
    known = read_topics(root)
    topics = [known[t] for t in find_troubleshooting_topics(milestone, result.criteria if result else ()) if t in known]
    if as_json:
        print_json(
            {
                "milestone": number,
                "attempted_at": attempts[-1].at if attempts else None,
                "verdict": result.verdict.value if result else None,
                "first_to_mend": _convert_first_failure_to_json(result),
                "topics": [{"topic": t.slug, "heading": t.heading, "text": t.text} for t in topics],
            }
        )
        return 0
    out = open_console()
    for line in describe_damaged_records(history):
        out.print(line)
    if result is None or not topics:
        _show_help_without_failures(milestone, result, known)
        return 0
    out.print(Text(f"Your last attempt at milestone {number}, {attempts[-1].at:%Y-%m-%d %H:%M} UTC", style="bold"))
    for criterion in result.criteria:
        if criterion.status in (CriterionStatus.FAILED, CriterionStatus.ERROR):
            out.print(format_list_item("·", f"{words.STATUS_NAMES[criterion.status]}: {to_one_line(criterion.title)}"))
    if result.first_failure:
        title = Text("Fix this first", style="bold")
        out.print(Panel(build_failure_view(result.first_failure, is_brief=False), title=title, title_align="left"))
        if fast := words.build_test_command(result.first_failure):
            out.print(Text("To run it where a debugger works:", style="dim"))
            out.print(format_command(fast), crop=False)
    for topic in topics:
        out.print(Text(f"\n{topic.heading}", style="bold cyan"))
        out.print(Markdown(topic.text))
    return 0


def _show_help_without_failures(milestone: Milestone, result: Result | None, known: dict[str, Topic]) -> None:
    """List a milestone's topics by heading, and its hints, when its last attempt failed nothing or there is none."""
    out = open_console()
    passed = result is not None and result.verdict.exit_code == 0
    what = "is unlocked" if passed else "has no failed attempts on record"
    out.print(Text(f"Milestone {milestone.id}, {milestone.name}, {what}. Help is available for:", style="bold"))
    for slug in milestone.troubleshooting:
        if slug in known:
            out.print(format_list_item("·", known[slug].heading))
    out.print(Text("\nHints", style="bold"))
    for hint in milestone.hints:
        out.print(format_list_item("·", hint))
    out.print(Text(f"\nThe complete page is {DOCUMENT.as_posix()}. To find out what fails:", style="dim"))
    out.print(Text(f"  tito milestone test {milestone.id}", style="bold"))


def _convert_first_failure_to_json(result: Result | None) -> dict[str, Any] | None:
    """Convert the result's first failure to JSON."""
    failure = result.first_failure if result else None
    return failure.model_dump(mode="json") if failure else None
