"""Untrusted text made harmless, in one place: what students' code printed, raised or named."""

from __future__ import annotations

import re
import unicodedata

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}+[ -/]{0,16}+[@-~]"  # CSI: colours, cursor
    # Strings: titles, links, clipboard. Not longer, so that thousands without an end do not take minutes.
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,256}+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"  # what is left
)
# Anywhere, not at line starts only: a narrow table may break the line just before it.
_COMMAND_START = re.compile(r"::(?=(?P<name>[A-Za-z][\w-]*)(?:[ \t]|::))")
# Control, format (direction marks, zero width), surrogate, private use, line and paragraph separators.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def cut(text: str, limit: int, dropped: int = 0) -> str:
    """At most `limit` characters of the text, and how many are not shown (`dropped`: cut off before).

    >>> cut("abcdef", 4)
    'abcd… (2 more characters)'
    """
    missing = max(0, len(text) - limit) + dropped
    if not missing:
        return text
    return f"{text[:limit]}… ({missing} more character{'s' if missing != 1 else ''})"


def clean(text: str, limit: int = 2000) -> str:
    """The text without escapes, control and other invisible characters, cut visibly after `limit` characters.

    What GitHub would read as a workflow command (`::error::`, `##[group]`) gets a space that breaks it.
    """
    # Cutting roughly first keeps the work bounded whatever a worker sent.
    rough = text[: 20 * limit]
    dropped = len(text) - len(rough)
    rough = _ESCAPE.sub("", rough.replace("\r\n", "\n").replace("\r", "\n"))
    # Each character is looked up once, however often it stands there.
    hidden = {c for c in set(rough) if unicodedata.category(c) in _INVISIBLE} - {"\n", "\t"}
    rough = rough.translate(dict.fromkeys(map(ord, hidden)))
    rough = "\n".join(map(_no_command, rough.split("\n")))
    return cut(rough.replace("##[", "## ["), limit, dropped)


def _no_command(line: str) -> str:
    """The line with every `::name` broken that another `::` follows."""
    last = line.rfind("::")
    return _COMMAND_START.sub(lambda start: ": :" if start.end("name") <= last else "::", line)


def one_line(text: str, limit: int = 200) -> str:
    """The cleaned text on one line, with single spaces.

    >>> one_line("a\\n  b")
    'a b'
    """
    return cut(" ".join(clean(text, 20 * limit).split()), limit)
