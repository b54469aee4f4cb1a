"""Untrusted text made harmless, in one place: what students' code printed, raised or named."""

from __future__ import annotations

import re
import unicodedata

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|[\x1b\x9d][\]PX^_]?[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC and other strings: titles, links, clipboard
    r"|\x1b[@-Z\\-_]?"  # what is left
    r"|\x9b[0-?]*[ -/]*[@-~]"  # CSI as one character
)
_WORKFLOW_COMMAND = re.compile(r"^(\s*)(::|##\[)", re.MULTILINE)
_ALLOWED_CONTROLS = {"\n", "\t"}


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of the text, and how many are not shown."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} more characters)"


def clean(text: str, limit: int = 2000) -> str:
    """The text without escapes, control characters and workflow commands, cut visibly.

    Direction marks and other invisible format characters go too: they make text read otherwise than it is.
    A line that starts like a GitHub workflow command (`::error::`, `##[group]`) gets a visible mark before it.
    """
    # An escape is worth stripping only where it can be shown; a longer text is cut first so that work stays bounded.
    dropped = max(0, len(text) - 20 * limit)
    text = text[: 20 * limit].replace("\r\n", "\n").replace("\r", "\n")
    text = _ESCAPES.sub("", text)
    text = "".join(c for c in text if c in _ALLOWED_CONTROLS or unicodedata.category(c) not in _INVISIBLE)
    text = _WORKFLOW_COMMAND.sub("\\1\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}\\2", text)
    if len(text) + dropped <= limit:
        return text
    return f"{text[:limit]}… ({len(text) + dropped - limit} more characters)"


# Control, format (direction marks, zero width), surrogate, private use, line and paragraph separators.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def one_line(text: str, limit: int = 200) -> str:
    """The cleaned text on one line, with single spaces."""
    return cut(" ".join(clean(text, 4 * limit).split()), limit)
