"""Parse YAML text into plain data and the line of each part.

The parser reads events instead of objects. So the line of every key is known, and duplicate keys are detected. Tags are
refused, and so are anchors, with which a small file could expand into a large one. Plain scalars follow YAML 1.2's core
schema, as in editors: `yes` is a word and `2.10` is a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from grading.manifest.problems import MANIFEST_FILE, KeyPath, ManifestError, Problem

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_DEPTH = 20
WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}
INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True)
class YamlSource:
    """Parsed data and the line of each part."""

    data: object
    lines: dict[KeyPath, int] = field(repr=False)

    def find_line(self, path: KeyPath) -> int:
        """Return the line of a path, or of the nearest enclosing part that has one."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse_yaml(text: str) -> YamlSource:
    """Parse one YAML document into data and line numbers. Raise ManifestError for bad syntax, tags or repeated keys."""
    return _YamlReader(text).read_document()


class _YamlReader:
    """A reader that makes one pass over the events of a text."""

    def __init__(self, text: str):
        self.text = text
        self.events = yaml.parse(text, Loader=LOADER)
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []

    def read_document(self) -> YamlSource:
        """Read the only document of the text. Raise ManifestError if there are several or if it is not plain YAML."""
        try:
            event = self._next_event()
            while not isinstance(event, yaml.NodeEvent | yaml.StreamEndEvent):
                event = self._next_event()
            data = self._read_value(event, ()) if isinstance(event, yaml.NodeEvent) else None
            for event in self.events:
                if isinstance(event, yaml.DocumentStartEvent):
                    self._add_problem(event, "a second YAML document begins here.", "Keep one: delete this `---`.")
                    break
        except yaml.YAMLError as error:
            raise ManifestError([self._describe_syntax_error(error)]) from None
        if self.problems:
            raise ManifestError(self.problems)
        return YamlSource(data, self.lines)

    def _next_event(self) -> yaml.Event:
        """Return the next event."""
        return next(self.events)

    def _read_value(self, event: yaml.Event, path: KeyPath) -> object:
        """Read the value that this event begins, and note its line. Raise ManifestError if it is nested too deeply."""
        self.lines.setdefault(path, _get_event_line(event))
        if anchor := getattr(event, "anchor", None):
            what = "alias" if isinstance(event, yaml.AliasEvent) else "anchor"
            self._add_problem(event, f"`{anchor}` is a YAML {what}, which the manifest does not use.", "Write it out.")
        if tag := getattr(event, "tag", None):
            self._add_problem(event, f"`{tag}` is a YAML tag, which the manifest does not use.", "Delete the tag.")
        if len(path) > MAX_DEPTH:
            self._add_problem(
                event, f"nested deeper than {MAX_DEPTH} levels.", "Check the brackets and the indentation."
            )
            raise ManifestError(self.problems)
        if isinstance(event, yaml.MappingStartEvent):
            return self._read_mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._read_sequence(path)
        if isinstance(event, yaml.ScalarEvent):
            return _convert_unquoted_scalar(event.value) if event.implicit[0] else event.value
        return None

    def _read_mapping(self, path: KeyPath) -> dict[str, object]:
        """Read the keys and values of a mapping, whose first event has been read, up to its end."""
        found: dict[str, object] = {}
        while not isinstance(event := self._next_event(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._add_problem(
                    event, "a key is a list or a mapping.", "Write a key as one word followed by a colon."
                )
                raise ManifestError(self.problems)
            key = event.value
            here = (*path, key)
            if key in found:
                first = self.lines[here]
                self._add_problem(event, f"`{key}` is given twice, first on line {first}.", "Keep one of the two.")
            self.lines.setdefault(here, _get_event_line(event))
            found[key] = self._read_value(self._next_event(), here)
        return found

    def _read_sequence(self, path: KeyPath) -> list[object]:
        """Read the values of a sequence, whose first event has been read, up to its end."""
        found: list[object] = []
        while not isinstance(event := self._next_event(), yaml.SequenceEndEvent):
            found.append(self._read_value(event, (*path, len(found))))
        return found

    def _add_problem(self, event: yaml.Event, message: str, repair: str) -> None:
        """Note a problem on the line of this event."""
        self.problems.append(Problem(MANIFEST_FILE, _get_event_line(event), message, repair))

    def _describe_syntax_error(self, error: yaml.YAMLError) -> Problem:
        """Describe a syntax error with its line number and the line's text."""
        if not isinstance(error, yaml.MarkedYAMLError) or (mark := error.problem_mark) is None:
            return Problem(MANIFEST_FILE, 1, f"cannot be read as YAML: {error}.", "Delete the character named here.")
        lines = self.text.splitlines() or [""]
        line = lines[mark.line].strip() if mark.line < len(lines) else "(end of file)"
        line = line if len(line) <= 100 else f"{line[:99]}…"
        what = error.problem or error.context or "unexpected text"
        return Problem(
            MANIFEST_FILE,
            mark.line + 1,
            f"not valid YAML at column {mark.column + 1}: {what}. The line is: {line}",
            "Check the indentation, colons and quotes on this line and the line before it.",
        )


def _get_event_line(event: yaml.Event) -> int:
    """Return the line on which an event begins."""
    return event.start_mark.line + 1 if event.start_mark else 1


def _convert_unquoted_scalar(value: str) -> object:
    """Convert an unquoted scalar to None, a bool or a number, or return its text if it represents none of these."""
    if value.lower() in WORDS:
        return WORDS[value.lower()]
    if INTEGER.fullmatch(value):
        return int(value)
    if DECIMAL.fullmatch(value):
        return float(value)
    return value
