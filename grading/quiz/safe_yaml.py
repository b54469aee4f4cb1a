"""Parse the small YAML files that students hand in as plain data, or reject them with a one-sentence reason."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from pathlib import Path

import yaml

from grading.errors import UsageError
from grading.manifest.problems import KeyPath as Where
from grading.manifest.problems import ManifestError
from grading.manifest.yaml_source import DECIMAL, INTEGER, WORDS, parse_yaml

MAX_BYTES = 64 << 10


class InvalidFileError(UsageError):
    """The error raised if a file cannot be used. The message names the file and line, and says how to fix it."""

    def __init__(self, path: Path, line: int, message: str):
        super().__init__(f"{path.as_posix()}:{line}: {message}")
        self.path, self.line, self.message = path, line, message


@dataclass(frozen=True)
class YamlMapping:
    """A file's top-level mapping, whose keys are text. Its values contain only str, int, float, bool, list and dict."""

    path: Path
    data: dict[str, object]
    lines: dict[Where, int]

    def build_error_at(self, key_path: Where, message: str) -> InvalidFileError:
        """Build the error for the part of the file at this path, with its line."""
        return InvalidFileError(self.path, self.lines.get(key_path, 1), message)


def read_mapping(root: Path, path: Path) -> YamlMapping | None:
    """Read the YAML mapping at ``path`` below ``root``, or None without a file; raise InvalidFileError if unusable.

    That is anything else: more than 64 KiB, not UTF-8, not YAML, tags, anchors, aliases, duplicate keys, deep nesting,
    empty values, or a top level that is not a mapping.
    """
    full = root / path
    try:
        if not full.is_file():
            if full.exists():
                raise InvalidFileError(
                    path, 1, "this is not a regular file. Move it elsewhere and run the command again."
                )
            return None
        with full.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidFileError(path, 1, f"cannot be read: {error.strerror}. Make it readable, or delete it.") from None
    return parse_mapping(data, path)


def parse_mapping(data: bytes, path: Path) -> YamlMapping:
    """Parse a YAML mapping in which every key has a value; else raise InvalidFileError, which mentions ``path``."""
    if len(data) > MAX_BYTES:
        raise InvalidFileError(path, 1, f"larger than {MAX_BYTES >> 10} KiB. Keep only what belongs in it.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidFileError(path, line, "not UTF-8 text. Save the file as UTF-8.") from None
    try:
        source = parse_yaml(text)
    except ManifestError as error:
        first = error.problems[0]
        raise InvalidFileError(path, first.line, f"{first.message} {first.repair}") from None
    if not isinstance(source.data, dict):
        raise InvalidFileError(path, 1, "this is not a list of `key: value` lines. Write one key on each line.")
    found = YamlMapping(path, source.data, source.lines)
    if (empty := _find_empty_value(source.data, ())) is not None:
        raise found.build_error_at(empty, f"`{empty[-1]}` has no value. Write one, or delete the line.")
    return found


def _find_empty_value(value: object, key_path: Where) -> Where | None:
    """Return the key path of the first null value at any depth, or None if there is none."""
    if value is None:
        return key_path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next(
        (found for key, part in parts if (found := _find_empty_value(part, (*key_path, key))) is not None), None
    )


def dump_yaml(data: abc.Mapping[str, object]) -> str:
    """Encode ``data`` as YAML that is read back as the same data. A tuple becomes a list on one line."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes every text that would be read as something else."""

    def ignore_aliases(self, _data: object) -> bool:
        """Return True, so that a repeated value is written in full each time."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Represent a text, in quotes if YAML would read it as another type or if it has unprintable characters."""
    plain = text.lower() not in WORDS and not INTEGER.fullmatch(text) and not DECIMAL.fullmatch(text)
    # Line endings in a folded or multi-line text can change. In double quotes, they are escaped.
    style = None if plain and text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_letters(dumper: yaml.SafeDumper, letters: tuple[str, ...]) -> yaml.SequenceNode:
    """Write letters as a list on one line."""
    return dumper.represent_sequence("tag:yaml.org,2002:seq", letters, flow_style=True)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(tuple, _represent_letters)
