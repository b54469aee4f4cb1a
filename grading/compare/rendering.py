"""Show a comparison with PyTorch on a terminal, with a table of differences and times, and a bar for each time."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from grading.compare.case_comparison import TOLERANCE, Comparison
from grading.render import figure_text

WIDE, BAR_WIDTH = 76, 40
NOTE = (
    f"The table shows the largest difference between corresponding values. Results differ if it exceeds {TOLERANCE:g} "
    f"times the largest value, or {TOLERANCE:g} if that is larger. Each side uses one thread, and times are medians "
    f"over several turns. "
    "No verdict depends on any of this."
)


def print_comparison(console: Console, comparisons: Iterable[Comparison]) -> None:
    """Print the table, a note that explains it, and bars for the times, in the terminal's width."""
    rows, ascii_only = tuple(comparisons), console.options.ascii_only
    console.print(build_comparison_table(rows, is_wide=console.width >= WIDE, ascii_only=ascii_only))
    console.print(Text(NOTE, style="dim"))
    console.print(build_time_bars(rows, min(BAR_WIDTH, max(8, console.width - 24)), ascii_only=ascii_only))


def build_comparison_table(comparisons: Iterable[Comparison], *, is_wide: bool, ascii_only: bool) -> RenderableType:
    """Build a table with a row for each case. On a narrow terminal, the figures are below the case's name."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, collapse_padding=True, header_style="bold")
    table.add_column("")
    table.add_column("op", overflow="fold")
    for heading in ("values", "gradients", "yours", "PyTorch", "ratio") if is_wide else ():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in comparisons:
        good, bad = ("ok", "no") if ascii_only else ("✓", "✗")
        sign = Text(good, style="green") if row.same else Text(bad, style="red")
        name = Text.assemble(
            _replace_symbols_if_ascii_only(row.name, ascii_only),
            "\n",
            (_replace_symbols_if_ascii_only(row.size, ascii_only), "dim"),
        )
        if row.problem is not None:
            name.append(f"\n{row.problem}", style="yellow")
        told = format_comparison_figures(row, ascii_only=ascii_only)
        if not is_wide and row.problem is None:
            name.append(f"\nvalues {told[0]}, gradients {told[1]}\nyours {told[2]}, PyTorch {told[3]}, ratio {told[4]}")
        table.add_row(sign, name, *(told if is_wide else ()))
    return table


def format_comparison_figures(comparison: Comparison, *, ascii_only: bool = False) -> tuple[str, str, str, str, str]:
    """Format both differences, the student's time, PyTorch's and their ratio, in this order; each may be a dash."""
    none = "-" if ascii_only else "—"
    differences = [
        none if gap is None else f"{gap:.1e}" for gap in (comparison.difference, comparison.gradient_difference)
    ]
    times = [
        none if seconds is None else format_short_duration(seconds, ascii_only=ascii_only)
        for seconds in (comparison.seconds, comparison.their_seconds)
    ]
    ratio = none
    if comparison.seconds is not None and comparison.their_seconds:
        times_as_long = comparison.seconds / comparison.their_seconds
        digits = f"{times_as_long:.1f}" if times_as_long >= 1 else f"{times_as_long:.2g}"
        ratio = f"{digits}{'x' if ascii_only else '×'}"
    return differences[0], differences[1], times[0], times[1], ratio


def build_time_bars(comparisons: Iterable[Comparison], width: int, *, ascii_only: bool) -> RenderableType:
    """Build two bars for each timed case. The slower side's bar is the full length."""
    lines: list[RenderableType] = [Text("\nTime for each case (the slower side fills the bar)", style="bold")]
    for row in comparisons:
        if row.seconds is None or row.their_seconds is None:
            continue
        slower = max(row.seconds, row.their_seconds, 1e-12)
        lines.append(Text(_replace_symbols_if_ascii_only(row.name, ascii_only)))
        for who, seconds, colour in (("yours", row.seconds, "cyan"), ("PyTorch", row.their_seconds, "magenta")):
            bar = figure_text.draw_bar(seconds / slower, width, ascii_only=ascii_only)
            lines.append(
                Text.assemble(f"  {who:8}", (bar, colour), f" {format_short_duration(seconds, ascii_only=ascii_only)}")
            )
    return Group(*lines) if len(lines) > 1 else Text()


def format_short_duration(seconds: float, *, ascii_only: bool = False) -> str:
    """Format a short duration in s, ms or µs.

    >>> format_short_duration(0.00123), format_short_duration(0.0000456), format_short_duration(2)
    ('1.23 ms', '45.6 µs', '2 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us" if ascii_only else "µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.2g} {'us' if ascii_only else 'µs'}"


def _replace_symbols_if_ascii_only(text: str, ascii_only: bool) -> str:
    """If ``ascii_only``, replace each × and …, but no other character that ASCII lacks."""
    return text.replace("×", "x").replace("…", "...") if ascii_only else text
