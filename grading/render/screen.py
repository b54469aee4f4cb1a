"""The screens on which a demonstration draws its frames: a live terminal, a log, or a recording."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

SECONDS_PER_FRAME = 0.05


class Screen(Protocol):
    """A place to draw frames. A frame is any Rich renderable in which every text from a student is a cleaned `Text`."""

    watched: bool
    """Whether somebody is watching. If nobody is, a demonstration may train for a shorter time."""

    def show_frame(self, renderable: RenderableType, *, seconds: float = SECONDS_PER_FRAME, keep: bool = False) -> None:
        """Show this frame for at least `seconds` on a terminal. Other screens print or keep frames.

        If `keep` is set, it stays above later frames.
        """

    def ask(self, question: str) -> str | None:
        """Return the line that somebody enters, or None if it is empty or nobody can type."""


class RecordingScreen:
    """A screen that keeps every frame of a headless run."""

    watched = False

    def __init__(self) -> None:
        self.frames: list[RenderableType] = []

    def show_frame(self, renderable: RenderableType, *, seconds: float = SECONDS_PER_FRAME, keep: bool = False) -> None:  # noqa: ARG002
        """Append the frame to `frames` without waiting, whether or not `keep` is set."""
        self.frames.append(renderable)

    def ask(self, question: str) -> str | None:  # noqa: ARG002
        """Return None, as nobody is there to answer."""
        return None


class LiveScreen:
    """A screen that draws each frame over the last one on a terminal. Use it as a context manager."""

    watched = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = self._create_live_display()
        self._until = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._live.stop()

    def show_frame(self, renderable: RenderableType, *, seconds: float = SECONDS_PER_FRAME, keep: bool = False) -> None:
        """Wait until the last frame has had its time, then replace it. With `keep`, later frames go below this one."""
        time.sleep(max(0.0, self._until - time.monotonic()))
        self._live.update("" if keep else renderable, refresh=not keep)
        if keep:
            self._live.console.print(renderable)
        self._until = time.monotonic() + seconds

    def ask(self, question: str) -> str | None:
        """Ask the question below the kept frames. Return None if the answer is empty or nobody can type."""
        if not sys.stdin.isatty():
            return None
        self._live.stop()
        try:
            return self._console.input(Text(question)).strip() or None
        except EOFError:
            return None
        finally:
            self._live = self._create_live_display()
            self._live.start()

    def _create_live_display(self) -> Live:
        """Create the display that draws the frames."""
        return Live(console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop")


class PlainScreen:
    """A screen that prints a demonstration's first, last and kept frames in a log. Use it as a context manager."""

    watched = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._first = True
        self._last: RenderableType | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._last is not None:
            self._console.print(self._last)

    def show_frame(self, renderable: RenderableType, *, seconds: float = SECONDS_PER_FRAME, keep: bool = False) -> None:  # noqa: ARG002
        """Print the first frame and the kept frames. On exit, print the last frame if it has not been printed."""
        if self._first or keep:
            self._console.print(renderable)
            self._first, self._last = False, None
        else:
            self._last = renderable

    def ask(self, question: str) -> str | None:  # noqa: ARG002
        """Return None, as a log has no keyboard."""
        return None


def create_screen(console: Console) -> LiveScreen | PlainScreen:
    """Create a live screen on a terminal, or else one that prints the first, kept and last frames."""
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else PlainScreen(console)
