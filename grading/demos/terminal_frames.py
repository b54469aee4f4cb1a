"""Building blocks for terminal demonstrations: a titled frame, pictures in rows, and the phases of a download."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from grading.demos.terminal_pictures import ColourPhoto, GreyPicture
from grading.render.screen import Screen

WIDEST = 100
FEW = 3
"""The number of pictures that a gallery shows if only one fits in a row."""


class ScreenWatch:
    """A progress watch that shows the phases of a download as frames."""

    def __init__(self, screen: Screen):
        self._screen = screen
        self._title, self._total = "", 0

    def begin_phase(self, title: str, total: int | None) -> None:
        """Show a frame with the phase's title."""
        self._title, self._total = title, total or 0
        self._screen.show_frame(Text(title))

    def report_steps_done(self, steps_done: int, note: str = "") -> None:
        """Show a frame with the fraction completed."""
        share = f" {steps_done / self._total:.0%}" if self._total else ""
        self._screen.show_frame(Text(f"{self._title}{share} {note}"))


class Frame:
    """A titled frame, as wide as the console, but never too wide to read comfortably."""

    def __init__(self, title: str, body: RenderableType):
        self._title, self._body = title, body

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Render the frame as a panel."""
        yield Panel(self._body, title=Text(self._title), title_align="left", width=min(options.max_width, WIDEST))


def lay_out_side_by_side(picture: RenderableType, body: RenderableType) -> Table:
    """Lay out a picture, which never shrinks, with a body to its right."""
    grid = Table.grid(padding=(0, 3, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_row(picture, body)
    return grid


class Gallery:
    """Pictures with captions, as many in a row as fit. If only one fits, just a few pictures are shown."""

    def __init__(self, pictures: Sequence[tuple[GreyPicture | ColourPhoto, str]]):
        self._pictures = pictures

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Lay the pictures out row by row, each caption below its picture."""
        width = max(console.measure(picture, options=options).maximum for picture, _ in self._pictures)
        across = max(1, (options.max_width + 2) // (width + 2))
        grid = Table.grid(padding=(0, 2, 0, 0))
        for _ in range(across):
            grid.add_column(width=width)
        shown = self._pictures[:FEW] if across == 1 else self._pictures
        for first in range(0, len(shown), across):
            if first:
                grid.add_row()
            row = shown[first : first + across]
            grid.add_row(*(Group(picture, Text(caption)) for picture, caption in row))
        yield grid
