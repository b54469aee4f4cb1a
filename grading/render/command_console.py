"""A console that never breaks a command, because people copy it from the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from grading.render.commands import GLUE, glue_commands, unglue_commands

MAX_COLUMNS = 100
"""The width to which reports are limited on a wide terminal."""


GLUED = re.compile(rf"(?P<command>(?:^ +)?\S+{GLUE}\S*)\s*", re.MULTILINE)
"""A command whose words were glued, with its indentation if it is on a line of its own."""


class CommandConsole(Console):
    """A console that puts a command that does not fit on a line of its own.

    A command that is too long even for that continues beyond the last column, where the terminal itself wraps it.
    Inside a table or a panel, nothing may do so, and such a command is broken between its words.
    """

    def print(self, *objects: Any, crop: bool = False, **options: Any) -> None:
        """Print as usual, but let a long command continue beyond the last column."""
        super().print(*objects, crop=crop, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as usual, but do not break lines inside a command."""
        options = options or self.options
        if isinstance(renderable, str):
            renderable = self.render_str(renderable, highlight=options.highlight, markup=options.markup)
        if not isinstance(renderable, Text) or renderable.cell_len <= options.max_width:
            yield from super().render(renderable, options)
            return
        text, parts = renderable.copy(), []
        if options.max_width >= min(self.width, MAX_COLUMNS):  # not inside a table or a panel
            text.plain = glue_commands(text.plain)
            parts = _set_long_commands_apart(text, options.max_width)
        else:
            text.plain = glue_commands(text.plain, options.max_width)
        for part in parts or [text]:
            for segment in super().render(part, options):
                yield segment._replace(text=unglue_commands(segment.text))


def _set_long_commands_apart(text: Text, max_columns: int) -> list[Text]:
    """Split the text before and after each command longer than `max_columns`, and keep the commands unwrapped."""
    parts, done = [], 0
    for found in GLUED.finditer(text.plain):
        if len(found["command"]) > max_columns:
            before, command = text[done : found.start()], text[found.start() : found.end("command")]
            before.rstrip()
            command.no_wrap, command.overflow = True, "ignore"
            parts += [before, command]
            done = found.end()
    return [part for part in (*parts, text[done:]) if part]
