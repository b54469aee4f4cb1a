"""Report the progress of a grading run, and show it on a terminal."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from grading.render.text import cut_line, to_one_line

SPINNER_WIDTH, BAR_WIDTH, TIME_WIDTH = 2, 21, 8
"""The widths of the columns around a progress line's title, each with a space."""


class ProgressWatch(Protocol):
    """A listener for the progress of a grading run. Listeners must sanitise notes, which may contain untrusted text."""

    def begin_phase(self, title: str, total: int | None) -> None:
        """Called when a phase of `total` steps begins (None if unknown). Each listener decides what to show."""

    def report_steps_done(self, steps_done: int, note: str = "") -> None:
        """Called when this many steps of the phase are done in all. Each listener decides what to show."""


class SilentWatch:
    """A listener that shows nothing."""

    def begin_phase(self, title: str, total: int | None) -> None:
        """Show nothing when a phase begins."""

    def report_steps_done(self, steps_done: int, note: str = "") -> None:
        """Show nothing when steps are done."""


class PlainWatch:
    """A listener for logs, pipes and CI that shows one line per phase."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        pass

    def begin_phase(self, title: str, total: int | None) -> None:  # noqa: ARG002 - a line in a log has no bar
        """Print the phase's title on its own line. A broken pipe does not stop the grading."""
        sign = "-" if self._console.options.ascii_only else "·"
        with contextlib.suppress(OSError, SystemExit):  # Rich raises the latter on a broken pipe
            self._console.print(Text(f"{sign} {to_one_line(title, 200)}"))

    def report_steps_done(self, steps_done: int, note: str = "") -> None:
        """Show nothing, because a log keeps only the phases."""


class RichWatch:
    """A listener that shows a spinner and a bar until grading is done. Use it as a context manager."""

    def __init__(self, console: Console) -> None:
        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        # Rich would narrow all columns alike, down to nothing, so the texts take only what the others leave.
        self._console, self._taken = console, SPINNER_WIDTH + 1
        if console.width >= 60:
            self._taken += BAR_WIDTH + TIME_WIDTH
            columns += [
                BarColumn(bar_width=BAR_WIDTH - 1),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}", markup=False),
            ]
        self._progress = Progress(*columns, console=console, transient=True)
        self._task: TaskID | None = None
        self._title = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._progress.stop()

    def begin_phase(self, title: str, total: int | None) -> None:
        """Replace the progress line with one that has the phase's title and an empty bar."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._title = cut_line(title, min(60, self._console.width - self._taken))
        self._task = self._progress.add_task(self._title, total=total, note="")

    def report_steps_done(self, steps_done: int, note: str = "") -> None:
        """Set the bar to this many steps done in all, and show the note next to it."""
        if self._task is not None:
            room = self._console.width - self._taken - len(self._title)
            self._progress.update(self._task, completed=steps_done, note=cut_line(note, min(40, room)))


def create_watch(console: Console) -> RichWatch | PlainWatch:
    """Create a watch that animates a line on a terminal, or else one that prints a line per phase."""
    return RichWatch(console) if console.is_terminal and not console.is_dumb_terminal else PlainWatch(console)
