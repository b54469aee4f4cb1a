"""Where a demonstration draws its frames: a live terminal, plain text, or a recording."""

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
    """Where frames are drawn. A frame is any Rich renderable; text from students goes in as `Text`, cleaned."""

    watched: bool
    """Whether somebody looks; where nobody does, a demonstration may train for a shorter time."""

    def frame(self, renderable: RenderableType, *, seconds: float = SECONDS_PER_FRAME, keep: bool = False) -> None:
        """Show this frame in place of the last one, for so long at least; a frame to keep stays above later ones."""

    def ask(self, question: str) -> str | None:
        """The line that somebody types; None when it is empty, or when nobody can type."""


class RecordingScreen:
    """Keeps every frame: a headless run."""

    watched = False

    def __init__(self) -> None:
        self.frames: list[RenderableType] = []

    def frame(self, renderable: RenderableType, *, seconds: float = SECONDS_PER_FRAME, keep: bool = False) -> None:  # noqa: ARG002
        """Keep the frame; nobody needs time to look at it."""
        self.frames.append(renderable)

    def ask(self, question: str) -> str | None:  # noqa: ARG002
        """Nobody is there."""
        return None


class LiveScreen:
    """Draws each frame over the last one on a terminal; the last one stays. Use as a context manager."""

    watched = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = self._begin()
        self._until = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._live.stop()

    def frame(self, renderable: RenderableType, *, seconds: float = SECONDS_PER_FRAME, keep: bool = False) -> None:
        """Draw the frame in place of the last one, no sooner than an eye can follow."""
        time.sleep(max(0.0, self._until - time.monotonic()))
        self._live.update("" if keep else renderable, refresh=not keep)
        if keep:
            self._live.console.print(renderable)
        self._until = time.monotonic() + seconds

    def ask(self, question: str) -> str | None:
        """Ask below what has been kept; None without a keyboard, too."""
        if not sys.stdin.isatty():
            return None
        self._live.stop()
        try:
            return self._console.input(Text(question)).strip() or None
        except EOFError:
            return None
        finally:
            self._live = self._begin()
            self._live.start()

    def _begin(self) -> Live:
        return Live(console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop")


class PlainScreen:
    """Prints the first frame, those to keep, and the last: a demonstration in a log. Use as a context manager."""

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

    def frame(self, renderable: RenderableType, *, seconds: float = SECONDS_PER_FRAME, keep: bool = False) -> None:  # noqa: ARG002
        """Print the first frame and those to keep; hold back every other one until the end."""
        if self._first or keep:
            self._console.print(renderable)
            self._first, self._last = False, None
        else:
            self._last = renderable

    def ask(self, question: str) -> str | None:  # noqa: ARG002
        """A log has no keyboard."""
        return None


def screen_for(console: Console) -> LiveScreen | PlainScreen:
    """A live screen on a terminal, the first and the last frame elsewhere."""
    return LiveScreen(console) if console.is_terminal and not console.is_dumb_terminal else PlainScreen(console)
