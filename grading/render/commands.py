"""Find the commands in a message, so that no line break splits a command that people copy."""

from __future__ import annotations

import re

PROGRAMS = "tito|nox|pytest|inv|pip|git|python3?|cd|mv|wsl"
COMMAND = re.compile(
    r"`[^`\n]+`"  # in a sentence
    rf"|(?<=: )(?:{PROGRAMS}) .+?(?=\. [A-Z]|\n|$)"  # after a colon
    rf"|^ *(?:{PROGRAMS}) .+$",  # on a line of its own
    re.MULTILINE,
)
GLUE = "\ue000"
"""A character as wide as a space, at which no line is broken. `clean_text` removes it from all untrusted text."""


def glue_commands(text: str, max_columns: int | None = None) -> str:
    """Replace each space in a command with the character GLUE, unless the command is longer than ``max_columns``.

    >>> glue_commands("To run it again: tito module test 04").split()
    ['To', 'run', 'it', 'again:', 'tito\\ue000module\\ue000test\\ue00004']
    """

    def glue(command: re.Match[str]) -> str:
        """Glue one command, but not the spaces before it."""
        words = command[0].lstrip(" ")
        if max_columns is not None and len(words) > max_columns:
            return command[0]
        return words.replace(" ", GLUE).rjust(len(command[0]))

    return COMMAND.sub(glue, text)


def list_commands_to_type(text: str) -> list[str]:
    """List the commands that a message tells people to type.

    >>> list_commands_to_type("Write `a + b`, then run `tito watch`. To check: tito doctor")
    ['tito watch', 'tito doctor']
    """
    found = (command.strip("` ") for command in COMMAND.findall(text))
    return [command for command in found if re.match(rf"({PROGRAMS}) ", command)]


def unglue_commands(text: str) -> str:
    """Replace each GLUE character with a space."""
    return text.replace(GLUE, " ")
