"""Compute a confusion matrix, and show it on a terminal as a table (if it fits) and a list of the worst confusions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from grading.demos.terminal_pictures import has_many_colours
from grading.render.figure_text import draw_bar

CELL = 6
"""The width of a class's column in characters."""
WORST = 5
"""The number of confusions that are listed."""
MARKED = 0.1
"""The share of its class that a mistake must reach to be marked on consoles that cannot show shades."""


def count_confusions(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Count how often the network gave each answer (column) for each true class (row): int64 (classes, classes)."""
    classes = probabilities.shape[1]
    return np.bincount(labels * classes + probabilities.argmax(1), minlength=classes**2).reshape(classes, classes)


def find_worst_confusions(counts: np.ndarray, at_most: int = WORST) -> list[tuple[int, int]]:
    """Find up to ``at_most`` confusions (true class, answer), by their share of their true class, largest first."""
    parts = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    np.fill_diagonal(parts, 0)
    order = np.argsort(-parts, axis=None, kind="stable")[:at_most]
    pairs = (divmod(int(place), len(counts)) for place in order)
    return [(row, column) for row, column in pairs if parts[row, column] > 0]


class ConfusionTable:
    """A confusion matrix with its classes. Rows are the images' true classes, and columns are the network's answers."""

    def __init__(self, counts: np.ndarray, classes: Sequence[str]):
        self._counts, self._classes = counts, classes

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Show the table if it fits, and the worst confusions."""
        names = max(map(len, self._classes))
        if options.max_width >= names + CELL * len(self._classes):
            yield Text("rows: the true class; columns: the network's answer\n")
            yield self._make_table(console, "." if options.ascii_only else "·")
            yield Text()
        yield from self._list_worst(options, names)

    def _make_table(self, console: Console, zero_text: str) -> Table:
        """Make the table of counts."""
        table = Table(box=None, padding=0, pad_edge=False, show_edge=False)
        table.add_column()
        for name in shorten_class_names(self._classes):
            table.add_column(name, justify="right", width=CELL)
        shaded = has_many_colours(console)
        for row, (name, counts) in enumerate(zip(self._classes, self._counts.tolist(), strict=True)):
            total = max(sum(counts), 1)
            cells = [
                _make_cell(n or zero_text, n / total, is_right=row == i, is_shaded=shaded) for i, n in enumerate(counts)
            ]
            table.add_row(Text(name), *cells)
        return table

    def _list_worst(self, options: ConsoleOptions, name_width: int) -> Iterator[RenderableType]:
        """Yield a heading, then a line for each of the worst confusions, with a bar if there is room."""
        pairs = find_worst_confusions(self._counts)
        yield Text("most frequent confusions:" if pairs else "no confusions")
        for row, column in pairs:
            count, total = int(self._counts[row, column]), int(self._counts[row].sum())
            words = f"{self._classes[row]} called {self._classes[column]}"
            part = draw_bar(count / total, 20, ascii_only=options.ascii_only)
            told = f"{count} of {total}"
            room = options.max_width >= 2 * name_width + 40
            yield Text(f"{words:{2 * name_width + 8}}  {part}  {told}" if room else f"{words}: {told}")


def shorten_class_names(classes: Sequence[str]) -> list[str]:
    """Shorten the class names to fit above a column, or use numbers if two short names would be the same."""
    short = [name[: CELL - 1] for name in classes]
    return short if len(set(short)) == len(short) else [str(number) for number in range(1, len(classes) + 1)]


def _make_cell(count: int | str, share: float, *, is_right: bool, is_shaded: bool) -> Text:
    """Show a count, shaded by its share of the row: blue for correct answers, orange for mistakes.

    Without shading, correct answers are bold green, and mistakes with at least the share MARKED are bold yellow.
    """
    text = f"{count:>{CELL - 1}} "
    if not is_shaded:
        return Text(text, style="bold green" if is_right else "bold yellow" if share >= MARKED else "")
    strength = share if is_right else min(1.0, 2 * share)
    full = np.array([40, 110, 190] if is_right else [200, 95, 20])
    red, green, blue = np.rint(full * strength + 24 * (1 - strength)).astype(int)
    ink = "rgb(255,255,255)" if share else "dim"
    return Text(text, style=f"{ink} on rgb({red},{green},{blue})")
