"""Show a result on a terminal of any width and encoding, with untrusted text as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.panel import Panel
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from grading.render import figure_text, words
from grading.render.command_console import MAX_COLUMNS
from grading.render.commands import list_commands_to_type
from grading.render.text import QUOTE_BAR, clean_text, format_count, to_one_line
from grading.result import CriterionResult, CriterionStatus, Failure, Result, Verdict

WIDE_COLUMNS, FRAME_COLUMNS = 76, 13
SHOWN_FAILURES = 6
"""The number of failures shown in full after the first one."""

_COLOURS = {Verdict.UNLOCKED: "green", Verdict.PROVISIONAL: "cyan", Verdict.NOT_YET: "yellow", Verdict.ERROR: "red"}
_SIGNS = {
    CriterionStatus.PASSED: ("✓", "ok ", "green"),
    CriterionStatus.FAILED: ("✗", "no ", "red"),
    CriterionStatus.ERROR: ("!", "ERR", "magenta"),
    CriterionStatus.NOT_ATTEMPTED: ("–", "-  ", "dim"),
}


@dataclass(frozen=True)
class TerminalReport:
    """A result as a renderable; `print_result_report` prints it."""

    result: Result
    again: str | None = None
    """The command that repeats the grading. The default is the session's command."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield the parts from top to bottom. The part about what to do next comes last."""
        result, wide, plain = self.result, options.max_width >= WIDE_COLUMNS, options.ascii_only
        yield _build_verdict_panel(result)
        yield from _build_criteria_tables(result, wide, plain)
        if kept := words.describe_reused_measurements(result):
            yield Text(f"\n{kept}", style="dim")
        yield from _list_other_failures(result)
        yield from _draw_curves(result, options.max_width, plain)
        yield from _quote_student_output(result)
        yield from _list_submission_notes(result)
        yield from _list_first_failure_lines(result, self.again or result.command, options.max_width)
        yield _build_timing_footer(result)


@dataclass(frozen=True)
class HangingText:
    """A text in which all lines after the first are indented, wherever the terminal breaks lines.

    A quoted text has a bar before every line instead, if it has several lines or `always` is set.
    """

    text: Text
    quoted: bool = False
    always: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        """Yield the lines with their indents or bars."""
        indent = self._indent if not options.ascii_only else self._indent.replace("│", "|")
        width = max(1, options.max_width - len(indent))
        lines = console.render_lines(self.text, options.update(width=width, height=None), pad=False)
        bare = 0 if self.always or (self.quoted and len(lines) > 1) else 1
        for number, line in enumerate(lines):
            yield Segment(indent if number >= bare else "")
            yield from line
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the width of the text with its indent."""
        inner, more = Measurement.get(console, options, self.text), len(self._indent)
        return Measurement(inner.minimum + more, inner.maximum + more).clamp(max_width=options.max_width)

    @property
    def _indent(self) -> str:
        """The bar of a quoted text, or spaces."""
        return QUOTE_BAR if self.quoted else "    "


def print_result_report(console: Console, result: Result, *, again: str | None = None) -> None:
    """Print the report for a terminal of any width. ``again`` is the command that repeats the grading."""
    console.print(TerminalReport(result, again), width=min(console.width, MAX_COLUMNS), crop=False)


def print_first_failure_and_notes(console: Console, result: Result) -> None:
    """Print only a grader error, the code's printed output, the notes on files, and the failure to fix first."""
    parts = [
        *_list_first_error_lines(result),
        *_quote_student_output(result),
        *_list_submission_notes(result),
        *_list_first_failure_lines(result, None, min(console.width, MAX_COLUMNS)),
    ]
    console.print(Group(*parts), width=min(console.width, MAX_COLUMNS), crop=False)


def _build_verdict_panel(result: Result) -> RenderableType:
    """Build the panel with the verdict, the medal and the points."""
    colour = _COLOURS[result.verdict]
    parts = [
        Text.assemble(
            (words.describe_verdict(result).upper(), f"bold {colour}"), "  ", words.summarize_criteria(result)
        )
    ]
    if result.medal and result.verdict in (Verdict.UNLOCKED, Verdict.PROVISIONAL):
        parts.append(Text(f"Medal: {to_one_line(result.medal)}"))
    if (points := words.describe_points_and_scheme(result)) is not None:
        parts.append(Text(points, style="dim"))
    parts += [Text(f"Provisional: {to_one_line(reason, 400)}") for reason in result.provisional_because]
    return Panel(
        Group(*map(HangingText, parts)),
        title=Text(words.format_result_heading(result), style="bold"),
        title_align="left",
        border_style=colour,
    )


def _build_criteria_tables(result: Result, is_wide: bool, ascii_only: bool) -> Iterator[RenderableType]:
    """Yield a heading and a table for each kind of criterion."""
    told: set[str] = set()
    for kind, criteria in words.group_by_kind(result.criteria):
        yield Text(f"\n{words.KIND_NAMES[kind]}", style="bold")
        table = Table.grid(padding=(0, 2, 0, 0), expand=is_wide)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1 if is_wide else None, overflow="fold")
        for _ in range(3 if is_wide else 0):
            table.add_column(no_wrap=True, justify="right")
        for criterion in criteria:
            table.add_row(*_build_criterion_row(criterion, is_wide, ascii_only, told))
        yield Padding(table, (0, 0, 0, 1))


def _build_criterion_row(
    criterion: CriterionResult, is_wide: bool, ascii_only: bool, shown_texts: set[str]
) -> list[RenderableType]:
    """Build a criterion's row. Leave out a reason or method in ``shown_texts``, and add the others to that set."""
    sign, ascii_sign, colour = _SIGNS[criterion.status]
    bar = Text(figure_text.draw_bar(figure_text.compute_closeness(criterion), 10, ascii_only=ascii_only), style=colour)
    name = Text(to_one_line(criterion.title, 300))
    if criterion.status in (CriterionStatus.ERROR, CriterionStatus.NOT_ATTEMPTED):
        why = words.explain_missing_verdict(criterion)
        name.append("" if why in shown_texts else f"\n{why}", style=colour)
        shown_texts.add(why)
    elif criterion.status is CriterionStatus.FAILED:
        for more in (criterion.explanation, criterion.why):
            name.append(f"\n{to_one_line(more, 600)}" if more else "", style="dim")
    if criterion.how and criterion.how not in shown_texts:
        name.append(f"\n{to_one_line(criterion.how, 600)}", style="dim")
        shown_texts.add(criterion.how)
    first = Text(ascii_sign if ascii_only else sign, style=f"bold {colour}")
    measured, threshold = figure_text.format_measured(criterion), figure_text.format_threshold(criterion)
    if ascii_only:
        measured, threshold = _spell_symbols_in_ascii(measured), _spell_symbols_in_ascii(threshold)
    if is_wide:
        return [first, name, Text(measured, style=colour), Text(threshold, style="dim"), bar]
    if criterion.measured is not None:
        name.append(f"\n{measured} ({threshold})", style=colour)
    return [first, name]


def _spell_symbols_in_ascii(figure: str) -> str:
    """Replace ≥, ≤, ×, —, ∞ and − in a figure with ASCII, and leave all other characters."""
    for sign, word in (("≥", ">="), ("≤", "<="), ("×", "x"), ("—", "-"), ("∞", "inf"), ("−", "-")):
        figure = figure.replace(sign, word)
    return figure


def _list_other_failures(result: Result) -> Iterator[RenderableType]:
    """Yield up to six of the other failures and the number of further ones. A shared hint is shown only once."""
    others = words.list_failures(result)[1:]
    if not others:
        return
    yield Text("\nAlso to fix", style="bold")
    told = {result.first_failure.hint} if result.first_failure else set()
    for failure in others[:SHOWN_FAILURES]:
        shared = failure.hint in told
        told.add(failure.hint)
        shown = failure.model_copy(update={"hint": None}) if shared else failure
        yield Padding(build_failure_view(shown, is_brief=True), (0, 0, 0, 1))
    if len(others) > SHOWN_FAILURES:
        yield Text(
            f" … and {len(others) - SHOWN_FAILURES} more, which usually disappear once the first ones are fixed.",
            style="dim",
        )


def build_failure_view(failure: Failure, *, is_brief: bool) -> Group:
    """Build the failure's title with its place, call, values, hint and, unless ``is_brief``, detail below it."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    limit = 300 if is_brief else 1200
    if place := words.format_failure_location(failure):
        table.add_row("where", Text(place))
    for name, text in (("call", failure.call), ("got", failure.got), ("expected", failure.expected)):
        if text:
            table.add_row(name, HangingText(Text(clean_text(text, limit), overflow="fold"), quoted=True))
    if failure.hint:
        table.add_row("hint", Text(to_one_line(failure.hint, limit), style="cyan"))
    if failure.detail and not is_brief:
        table.add_row("detail", HangingText(Text(clean_text(failure.detail, limit), overflow="fold"), quoted=True))
    return Group(HangingText(Text(words.format_failure_title(failure), style="bold")), table)


def _draw_curves(result: Result, width: int, ascii_only: bool) -> Iterator[RenderableType]:
    """Yield up to five curves, each on one line if the terminal is wide enough."""
    heading = None
    for curve in result.curves[:5]:
        known = [v for v in curve.values if v is not None]
        line = figure_text.draw_sparkline(curve.values, min(40, width - 2), ascii_only=ascii_only)
        if not line:
            continue
        if curve.name != heading:
            yield Text(f"\n{to_one_line(curve.name, 60)}, in the course of training", style="bold")
            heading = curve.name
        break_ = "  " if width >= WIDE_COLUMNS else "\n "
        ends = f"{known[0]:.3g} to {known[-1]:.3g}, seed {curve.seed}"
        yield Text.assemble(" ", (line, "cyan"), break_, (ends, "dim"))


def _quote_student_output(result: Result) -> Iterator[RenderableType]:
    """Yield the student code's printed output, unless the milestone is unlocked."""
    text = clean_text(result.student_output, 1000).strip()
    if text and result.verdict is not Verdict.UNLOCKED:
        yield Text("\nYour code printed", style="bold")
        yield Padding(HangingText(Text(text, overflow="fold"), quoted=True, always=True), (0, 0, 0, 1))


def _list_submission_notes(result: Result) -> Iterator[RenderableType]:
    """Yield notes on files that were not graded and on changed course files."""
    for note in result.submission.refused[:10]:
        yield Text()
        yield HangingText(
            Text(f"Not graded: {to_one_line(note.path)}: {to_one_line(note.message, 400)}", style="yellow")
        )
    if len(result.submission.refused) > 10:
        yield Text(
            f"… and {format_count(len(result.submission.refused) - 10, 'more file')} not graded.", style="yellow"
        )
    if changed := result.course.changed:
        names = ", ".join(to_one_line(path, 80) for path in changed[:5]) + (", …" if len(changed) > 5 else "")
        text = f"Course files changed since the release ({len(changed)}): {names}. "
        yield Text()
        yield HangingText(Text(f"{text}The verdict that counts uses the released files.", style="yellow"))


def _list_first_error_lines(result: Result) -> Iterator[RenderableType]:
    """Yield the error of the grader or this machine, if there was one."""
    for criterion in result.criteria:
        if criterion.status is CriterionStatus.ERROR:
            yield HangingText(
                Text(f"{words.summarize_criteria(result)}\n{words.explain_missing_verdict(criterion)}", style="magenta")
            )
            return


def _list_first_failure_lines(result: Result, again: str | None, width: int) -> Iterator[RenderableType]:
    """Yield the failure to fix first and the commands that test the fix."""
    failure = result.first_failure
    if failure is None:
        return
    yield Text()
    title = Text("Fix this first", style="bold")
    yield Panel(build_failure_view(failure, is_brief=False), title=title, title_align="left", border_style="yellow")
    for command in list_commands_to_type(failure.hint or ""):
        if len(command) > width - FRAME_COLUMNS:
            yield Text("The hint's command:", style="dim")
            yield format_command(to_one_line(command, 300))
    if fast := words.build_test_command(failure):
        yield Text("Try it, with a debugger at hand:", style="dim")
        yield format_command(fast)
    if again is not None:
        yield Text("Grade again:", style="dim")
        yield format_command(to_one_line(again, 300))


def format_command(command_line: str) -> Text:
    """Format a command line for copying. It is never wrapped, whatever the terminal's width."""
    return Text(f"  {command_line}", style="bold", no_wrap=True, overflow="ignore")


def _build_timing_footer(result: Result) -> RenderableType:
    """Build the line with the times, the seed and the sandbox."""
    timing, machine = result.timing, result.machine
    return Text(
        f"\n{words.format_duration(timing.total)} in all: your code {words.format_duration(timing.student)}, "
        f"the grader {words.format_duration(timing.grader)}. "
        f"Seed {result.seed}, in {words.name_sandbox(machine.sandbox)}"
        f"{', official' if result.official else ''}.",
        style="dim",
    )
