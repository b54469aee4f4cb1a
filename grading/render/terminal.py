"""A result on a terminal: a Rich renderable for any width and encoding that shows untrusted text as plain text."""

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

from grading.render import figures, words
from grading.render.text import BAR, clean, one_line, write_count
from grading.result import CriterionResult, CriterionStatus, Failure, Result, Verdict

WIDE, WIDEST = 76, 100
SHOWN = 6
"""Failures shown in full besides the first."""

_COLOURS = {Verdict.UNLOCKED: "green", Verdict.PROVISIONAL: "cyan", Verdict.NOT_YET: "yellow", Verdict.ERROR: "red"}
_SIGNS = {
    CriterionStatus.PASSED: ("✓", "ok ", "green"),
    CriterionStatus.FAILED: ("✗", "no ", "red"),
    CriterionStatus.ERROR: ("!", "ERR", "magenta"),
    CriterionStatus.NOT_ATTEMPTED: ("–", "-  ", "dim"),
}


@dataclass(frozen=True)
class Report:
    """A result as a renderable; `print_report` prints it."""

    result: Result
    again: str | None = None
    """The command to grade again; by default the session's."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The parts from top to bottom, what to do next last."""
        result, wide, plain = self.result, options.max_width >= WIDE, options.ascii_only
        yield _verdict(result)
        yield from _criteria(result, wide, plain)
        if kept := words.describe_kept(result):
            yield Text(f"\n{kept}", style="dim")
        yield from _other_failures(result)
        yield from _curves(result, options.max_width, plain)
        yield from _output(result)
        yield from _notes(result)
        yield from _first_to_mend(result, self.again or result.command)
        yield _footer(result)


@dataclass(frozen=True)
class Hanging:
    """A text whose lines are indented after the first, wherever a terminal of this width breaks them.

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
        return BAR if self.quoted else "    "


def show(console: Console, result: Result, *, again: str | None = None) -> None:
    """Print the report for a terminal of any width; ``again`` is the command that repeats the grading."""
    console.print(Report(result, again), width=min(console.width, WIDEST), crop=False)


def show_first_failure(console: Console, result: Result) -> None:
    """Print only what to fix first, what the code printed, and what was not graded."""
    parts = [*_errors(result), *_output(result), *_notes(result), *_first_to_mend(result, again=None)]
    console.print(Group(*parts), width=min(console.width, WIDEST), crop=False)


def _verdict(result: Result) -> RenderableType:
    """Build the panel with the verdict, the medal and the points."""
    colour = _COLOURS[result.verdict]
    parts = [Text.assemble((words.verdict(result).upper(), f"bold {colour}"), "  ", words.meaning(result))]
    if result.medal and result.verdict in (Verdict.UNLOCKED, Verdict.PROVISIONAL):
        parts.append(Text(f"Medal: {one_line(result.medal)}"))
    if (points := words.points(result)) is not None:
        parts.append(Text(points, style="dim"))
    parts += [Text(f"Provisional: {one_line(reason, 400)}") for reason in result.provisional_because]
    return Panel(
        Group(*map(Hanging, parts)),
        title=Text(words.heading(result), style="bold"),
        title_align="left",
        border_style=colour,
    )


def _criteria(result: Result, wide: bool, plain: bool) -> Iterator[RenderableType]:
    """Yield a heading and a table for each kind of criterion."""
    told: set[str] = set()
    for kind, criteria in words.by_kind(result.criteria):
        yield Text(f"\n{words.KINDS[kind]}", style="bold")
        table = Table.grid(padding=(0, 2, 0, 0), expand=wide)
        table.add_column(no_wrap=True)
        table.add_column(ratio=1 if wide else None, overflow="fold")
        for _ in range(3 if wide else 0):
            table.add_column(no_wrap=True, justify="right")
        for criterion in criteria:
            table.add_row(*_row(criterion, wide, plain, told))
        yield Padding(table, (0, 0, 0, 1))


def _row(criterion: CriterionResult, wide: bool, plain: bool, told: set[str]) -> list[RenderableType]:
    """Build a criterion's row; a reason or method that several rows share is written only once."""
    sign, ascii_sign, colour = _SIGNS[criterion.status]
    bar = Text(figures.bar(figures.share(criterion), 10, ascii_only=plain), style=colour)
    name = Text(one_line(criterion.title, 300))
    if criterion.status in (CriterionStatus.ERROR, CriterionStatus.NOT_ATTEMPTED):
        why = words.not_measured(criterion)
        name.append("" if why in told else f"\n{why}", style=colour)
        told.add(why)
    elif criterion.status is CriterionStatus.FAILED:
        for more in (criterion.explanation, criterion.why):
            name.append(f"\n{one_line(more, 600)}" if more else "", style="dim")
    if criterion.how and criterion.how not in told:
        name.append(f"\n{one_line(criterion.how, 600)}", style="dim")
        told.add(criterion.how)
    first = Text(ascii_sign if plain else sign, style=f"bold {colour}")
    measured, threshold = figures.measured(criterion), figures.threshold(criterion)
    if plain:
        measured, threshold = _ascii(measured), _ascii(threshold)
    if wide:
        return [first, name, Text(measured, style=colour), Text(threshold, style="dim"), bar]
    if criterion.measured is not None:
        name.append(f"\n{measured} ({threshold})", style=colour)
    return [first, name]


def _ascii(figure: str) -> str:
    """Replace signs that plain ASCII lacks."""
    for sign, word in (("≥", ">="), ("≤", "<="), ("×", "x"), ("—", "-"), ("∞", "inf"), ("−", "-")):
        figure = figure.replace(sign, word)
    return figure


def _other_failures(result: Result) -> Iterator[RenderableType]:
    """Yield the other failures; a hint that several share is written only once."""
    others = words.failures(result)[1:]
    if not others:
        return
    yield Text("\nAlso to fix", style="bold")
    told = {result.first_failure.hint} if result.first_failure else set()
    for failure in others[:SHOWN]:
        shared = failure.hint in told
        told.add(failure.hint)
        shown = failure.model_copy(update={"hint": None}) if shared else failure
        yield Padding(failure_parts(shown, brief=True), (0, 0, 0, 1))
    if len(others) > SHOWN:
        yield Text(f" … and {len(others) - SHOWN} more, most often fixed along with the first ones.", style="dim")


def failure_parts(failure: Failure, *, brief: bool) -> Group:
    """Build the failure's title with its place, call, values and hint below it."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    limit = 300 if brief else 1200
    if place := words.place(failure):
        table.add_row("where", Text(place))
    for name, text in (("call", failure.call), ("got", failure.got), ("expected", failure.expected)):
        if text:
            table.add_row(name, Hanging(Text(clean(text, limit), overflow="fold"), quoted=True))
    if failure.hint:
        table.add_row("hint", Text(one_line(failure.hint, limit), style="cyan"))
    if failure.detail and not brief:
        table.add_row("detail", Hanging(Text(clean(failure.detail, limit), overflow="fold"), quoted=True))
    return Group(Hanging(Text(words.label(failure), style="bold")), table)


def _curves(result: Result, width: int, plain: bool) -> Iterator[RenderableType]:
    """Yield up to five curves, one line each where the terminal is wide enough."""
    heading = None
    for curve in result.curves[:5]:
        known = [v for v in curve.values if v is not None]
        line = figures.sparkline(curve.values, min(40, width - 2), ascii_only=plain)
        if not line:
            continue
        if curve.name != heading:
            yield Text(f"\n{one_line(curve.name, 60)}, as training went on", style="bold")
            heading = curve.name
        break_ = "  " if width >= WIDE else "\n "
        ends = f"{known[0]:.3g} to {known[-1]:.3g}, seed {curve.seed}"
        yield Text.assemble(" ", (line, "cyan"), break_, (ends, "dim"))


def _output(result: Result) -> Iterator[RenderableType]:
    """Yield what the student's code printed, unless the milestone is unlocked."""
    text = clean(result.student_output, 1000).strip()
    if text and result.verdict is not Verdict.UNLOCKED:
        yield Text("\nYour code printed", style="bold")
        yield Padding(Hanging(Text(text, overflow="fold"), quoted=True, always=True), (0, 0, 0, 1))


def _notes(result: Result) -> Iterator[RenderableType]:
    """Yield what was not graded and which course files have changed."""
    for note in result.submission.refused[:10]:
        yield Text()
        yield Hanging(Text(f"Not graded: {one_line(note.path)}: {one_line(note.message, 400)}", style="yellow"))
    if len(result.submission.refused) > 10:
        yield Text(f"… and {write_count(len(result.submission.refused) - 10, 'more file')} not graded.", style="yellow")
    if changed := result.course.changed:
        names = ", ".join(one_line(path, 80) for path in changed[:5]) + (", …" if len(changed) > 5 else "")
        text = f"Course files changed since the release ({len(changed)}): {names}. "
        yield Text()
        yield Hanging(Text(f"{text}The verdict that counts uses the released files.", style="yellow"))


def _errors(result: Result) -> Iterator[RenderableType]:
    """Yield what the grader or this machine could not do, if anything."""
    for criterion in result.criteria:
        if criterion.status is CriterionStatus.ERROR:
            yield Hanging(Text(f"{words.meaning(result)}\n{words.not_measured(criterion)}", style="magenta"))
            return


def _first_to_mend(result: Result, again: str | None) -> Iterator[RenderableType]:
    """Yield the failure to fix first and the commands that try the fix."""
    failure = result.first_failure
    if failure is None:
        return
    yield Text()
    title = Text("Fix this first", style="bold")
    yield Panel(failure_parts(failure, brief=False), title=title, title_align="left", border_style="yellow")
    if fast := words.fast_loop(failure):
        yield Text("Try it, with a debugger at hand:", style="dim")
        yield command(fast)
    if again is not None:
        yield Text("Grade again:", style="dim")
        yield command(one_line(again, 300))


def command(line: str) -> Text:
    """Format a line to copy, which is never wrapped, whatever the width."""
    return Text(f"  {line}", style="bold", no_wrap=True, overflow="ignore")


def _footer(result: Result) -> RenderableType:
    """Build the line with the times, the seed and the sandbox."""
    timing, machine = result.timing, result.machine
    return Text(
        f"\n{words.seconds(timing.total)} in all: your code {words.seconds(timing.student)}, "
        f"the grader {words.seconds(timing.grader)}. Seed {result.seed}, in {words.describe_sandbox(machine.sandbox)}"
        f"{', official' if result.official else ''}.",
        style="dim",
    )
