"""Whatever a student's YAML file holds, it is read or refused in one sentence."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.quiz.answer_file import Answers, load_answers
from grading.quiz.safe_yaml import MAX_BYTES, InvalidFileError, parse_mapping, read_mapping

FILE = Path("answers/milestone-1.yaml")
PIECES = ["a", "b:", ": ", "- ", "\n", "  ", "[", "]", "{", "}", ",", "&x ", "*x", "!!python/object ", "!t ", "'", '"']
PIECES += [
    "|",
    ">",
    "#",
    "?",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "\t",
    "<<: ",
    "1e999",
    "0x1F",
    "~",
    "é",
    "\ufeff",
    "\\U",
]


def is_plain(value: object) -> bool:
    """Return whether a value consists only of the six plain types."""
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(is_plain, value.values()))
    if type(value) is list:
        return all(map(is_plain, value))
    return type(value) in (str, int, float, bool)


@given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=40).map(lambda p: "".join(p).encode()))
def test_any_bytes_are_plain_data_or_refused(data):
    """No bytes raise anything but InvalidFileError, and what is read holds plain types only."""
    try:
        found = parse_mapping(data, FILE)
    except InvalidFileError as refused:
        error = refused
    else:
        assert is_plain(found.data)
        return
    assert str(error).startswith(f"{FILE.as_posix()}:{error.line}: ")
    assert error.line >= 1


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: 1\nb: !!python/object/apply:os.system [ls]", 2, "tag"),
        ("a: &x [1]\nb: [*x, *x]", 1, "anchor"),
        ("a: *x", 1, "alias"),
        ("a: 1\nb: 2\na: 3", 3, "twice"),
        ("a: " + "[" * 5000, 1, "deeper|nesting"),  # PyYAML has a limit of its own since 6.0.4, and may come first
        ("a: " + "{a: " * 5000, 1, "deeper|nesting"),
        ("- 1\n- 2", 1, "key: value"),
        ("", 1, "key: value"),
        ("a: 1\nb:\n", 2, "no value"),
        ("a: [1, ~]", 1, "no value"),
        ("a: 1\n---\nb: 2", 2, "second"),
        ("a: 1\nb: [1\n", 3, "not valid YAML"),
        ("[1]: 2", 1, "key"),
        ("a: \0", 1, "YAML"),
        ("a: 1\n" + "#" * MAX_BYTES, 1, "64 KiB"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_line(text, line, says):
    """Tags, anchors, repeated keys, deep nesting and broken syntax are each named with the line they stand on."""
    with pytest.raises(InvalidFileError, match=says) as caught:
        parse_mapping(text.encode(), FILE)
    assert caught.value.line == line


def test_bytes_that_are_not_utf_8_are_refused_with_their_line():
    """A file in another encoding is distinguished from a broken one."""
    with pytest.raises(InvalidFileError, match=r"milestone-1\.yaml:2: not UTF-8"):
        parse_mapping(b"a: 1\nb: \xff", FILE)


def test_a_missing_file_is_none(tmp_path):
    """Handing in nothing is not an error."""
    assert read_mapping(tmp_path, FILE) is None


@pytest.mark.parametrize("make", [lambda p: p.mkdir(), lambda p: os.mkfifo(p)], ids=["folder", "pipe"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, make):
    """A folder or a pipe in the file's place is named, not read."""
    make(tmp_path / "student.yaml")
    with pytest.raises(InvalidFileError, match="regular file"):
        read_mapping(tmp_path, Path("student.yaml"))


@given(st.binary(max_size=200))
def test_any_answers_file_is_answers_or_refused(tmp_path_factory, data):
    """Reading answers raises nothing but InvalidFileError either."""
    root = tmp_path_factory.getbasetemp()
    (root / "answers").mkdir(exist_ok=True)
    (root / FILE).write_bytes(b"student: ada\nanswers: " + data)
    with contextlib.suppress(InvalidFileError):
        assert isinstance(load_answers(root, 1), Answers)
