"""Make untrusted text harmless, such as anything that student code has printed, raised or named.

Only this file does so.
"""

from __future__ import annotations

import re
import unicodedata

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}+[ -/]{0,16}+[@-~]"  # CSI: colours, cursor
    # Strings: titles, links, clipboard. Without the limit, thousands of unterminated strings would take minutes.
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,256}+(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"  # any other escape
)
# The pattern matches anywhere, not only at the start of a line: a narrow table may break the line just before it.
_COMMAND_START = re.compile(r"::(?=(?P<name>[A-Za-z][\w-]*)(?:[ \t]|::))")
# Control, format (direction marks, zero width), surrogate, private use, line and paragraph separators.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# Blank characters in any other category: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and the
# blank letters and symbols that it does not list (Braille without dots, the null notehead, Egyptian and Khitan
# fillers).
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\ufffc"
    "\U00013441\U00013442\U00016fe4\U0001d159\U000e0000-\U000e0fff]"
)
_JOINERS = re.compile("[\u200c\u200d]+")
_VIRAMA = 9
"""The combining class of marks that remove a consonant's vowel."""
MAX_MARKS = 4
"""The maximum number of combining marks on one letter. No language stacks more."""
QUOTE_BAR = "│ "
"""The bar before quoted text. No line of the grader's own begins with it."""


def format_count(count: int, noun: str) -> str:
    """Format a count and its noun, with commas between thousands and an added s unless the count is 1.

    >>> format_count(1, "file"), format_count(2000, "file")
    ('1 file', '2,000 files')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def truncate_text(text: str, max_characters: int, dropped: int = 0) -> str:
    """Cut the text after `max_characters` and append how many are missing, including `dropped` ones cut earlier.

    >>> truncate_text("abcdef", 4)
    'abcd… (2 more characters)'
    """
    missing = max(0, len(text) - max_characters) + dropped
    if not missing:
        return text
    return f"{text[:max_characters]}… ({format_count(missing, 'more character')})"


def clean_text(text: str, max_characters: int = 2000) -> str:
    """Remove escape sequences, invisible characters and excess stacked marks. Cut text over a limit visibly.

    A space breaks anything that GitHub would read as a workflow command (`::error::`, `##[group]`).
    """
    # A rough cut up front limits the work, whatever a worker has sent.
    rough = text[: 20 * max_characters]
    dropped = len(text) - len(rough)
    rough = _ESCAPE.sub("", rough.replace("\r\n", "\n").replace("\r", "\n"))
    rough = remove_invisible_characters(rough)
    rough = "\n".join(map(_break_workflow_commands, rough.split("\n")))
    return truncate_text(rough.replace("##[", "## ["), max_characters, dropped)


def remove_invisible_characters(text: str) -> str:
    """Remove invisible characters, and all but `MAX_MARKS` of the marks stacked on a letter.

    Newlines and tabs stay. So do the joiners U+200C and U+200D where words are spelt with them: between letters
    (Persian, Bengali) and after a virama (Sinhala, Malayalam). Any other kind of space becomes an ordinary space.
    """
    # Each character is looked up once, however often it occurs.
    kinds = {c: unicodedata.category(c) for c in set(text)}
    hidden = {c for c, kind in kinds.items() if kind in _INVISIBLE or _BLANK.match(c)} - set("\n\t\u200c\u200d")
    spaces = {ord(c): " " for c, kind in kinds.items() if kind == "Zs"}
    text = text.translate(spaces | dict.fromkeys(map(ord, hidden)))
    text = _JOINERS.sub(_keep_joiner, text)
    marks = re.escape("".join(c for c, kind in kinds.items() if kind[0] == "M"))
    stacked = re.escape("".join(c for c, kind in kinds.items() if kind in ("Mn", "Me")))
    if marks:  # without a letter of its own, a mark would be drawn over whatever precedes the text
        text = re.sub(f"^[{marks}\u200c\u200d]+", "", text, flags=re.MULTILINE)
    if stacked:
        text = re.sub(f"([{stacked}]{{{MAX_MARKS}}})[{stacked}]+", r"\1", text)
        text = _JOINERS.sub(_keep_joiner, text)  # the virama before a joiner may have been cut off
    return text


def _keep_joiner(match: re.Match[str]) -> str:
    """Keep one joiner where a word may contain it, and remove all others.

    Two marks with only a joiner between them would stack.
    """
    text, (start, end) = match.string, match.span()
    before, after = text[max(0, start - 1) : start] or "\n", text[end : end + 1] or "\n"
    kinds = unicodedata.category(before)[0] + unicodedata.category(after)[0]
    ends_in_virama = unicodedata.combining(before) == _VIRAMA and kinds[1] != "M"
    return match[0][0] if kinds in ("LL", "LM", "ML") or ends_in_virama else ""


def _break_workflow_commands(line: str) -> str:
    """Put a space into the `::` of every `::name` that a later `::` would complete to a workflow command."""
    last = line.rfind("::")
    return _COMMAND_START.sub(lambda start: ": :" if start.end("name") <= last else "::", line)


def to_one_line(text: str, max_characters: int = 200) -> str:
    """Clean the text, put it on one line with single spaces, and cut it visibly after `max_characters`.

    >>> to_one_line("a\\n  b")
    'a b'
    """
    return truncate_text(" ".join(clean_text(text, 20 * max_characters).split()), max_characters)


def cut_line(text: str, max_columns: int) -> str:
    """Clean the text, put it on one line, and cut it to `max_columns` characters, including the ellipsis.

    Use it only where more text soon follows.

    >>> cut_line("Testing module 04_layers", 10)
    'Testing m…'
    """
    line = to_one_line(text, 400)
    return line if len(line) <= max_columns else f"{line[: max_columns - 1]}…" if max_columns > 0 else ""


def quote_text(text: str, max_characters: int = 2000) -> str:
    """Clean the text and put a bar before each line, so that it is recognisably quoted."""
    return QUOTE_BAR + clean_text(text, max_characters).replace("\n", "\n" + QUOTE_BAR)


def prefix_text_with_label(label: str, text: str, max_characters: int = 2000) -> str:
    """Put a label before the cleaned text. Quote text of several lines, so that no line looks like a label.

    >>> print(prefix_text_with_label("got: ", "[[1, 2],\\n [3, 4]]"))
    got: │ [[1, 2],
         │  [3, 4]]
    """
    text = clean_text(text, max_characters)
    return label + (QUOTE_BAR + text.replace("\n", "\n" + " " * len(label) + QUOTE_BAR) if "\n" in text else text)
