"""Untrusted text comes out harmless."""

from __future__ import annotations

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.render.text import clean_text, to_one_line, truncate_text
from grading.render.words import format_duration


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;https://example.org\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x9b2Jgone", "gone"),
        ("a\x1bPdevice\x1b\\b", "ab"),
        ("bell\x07 null\x00 back\x08", "bell null back"),
        ("right\N{RIGHT-TO-LEFT OVERRIDE}left", "rightleft"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("tab\tand\nnewline stay", "tab\tand\nnewline stay"),
    ],
)
def test_what_cannot_be_seen_is_taken_out(said: str, shown: str) -> None:
    """Escape sequences, control characters and direction marks vanish, and nothing else does."""
    assert clean_text(said) == shown


@pytest.mark.parametrize(
    "command",
    ["::error::x", "::error file=a.py,line=1::x", "  ::add-mask::x", "##[group]x", "text ::set-output name=a::b"],
)
def test_workflow_commands_are_broken(command: str) -> None:
    """No text reads as a GitHub workflow command, at the start of a line or where a line may be wrapped."""
    shown = clean_text(f"before\n{command}\n")
    assert "##[" not in shown
    assert not re.search(r"::[a-z-]+( [^\n]*)?::", shown)


@pytest.mark.parametrize("code", ["x[::2]", "x[::step]", "tests/test_a.py::test_b", "std::vector"])
def test_colons_in_ordinary_code_stay(code: str) -> None:
    """Slices and test ids are shown as they are."""
    assert clean_text(code) == code


def test_cutting_is_visible_and_counts_right() -> None:
    """A cut text says how many characters are missing, those dropped early included."""
    assert truncate_text("abcdef", 5) == "abcde… (1 more character)"
    assert clean_text("a" * 1_000_000, 10) == "a" * 10 + "… (999,990 more characters)"
    assert to_one_line("a\n" * 50, 9) == "a a a a a… (90 more characters)"


@pytest.mark.parametrize(
    "unit",
    ["\x90", "\x1b]", "\x1b[", "\x9b0", "\x9d ", "::a ", "::a\t", "::a::", "::", "##[", "\x1b ", "`", "\u202e", "\r"],
)
def test_cleaning_takes_no_longer_than_the_text_is(unit: str) -> None:
    """Hundreds of thousands of unterminated escapes are cleaned quickly."""
    started = time.process_time()
    to_one_line(unit * 300_000, 600)
    assert time.process_time() - started < 3


@pytest.mark.parametrize("text", ["::a b::c", "x ::error f=1 :: y", "::a::b::c", "::group::\t::endgroup::"])
def test_a_command_is_broken_wherever_its_second_colons_stand(text: str) -> None:
    """Nothing that the runner would split at two pairs of colons is left."""
    assert not re.search(r"::[A-Za-z-]+(?:[ \t][^\n]*)?::", clean_text(text))


@given(st.text(st.characters(), max_size=200))
def test_nothing_invisible_survives(text: str) -> None:
    """Whatever goes in, no control, format or surrogate character comes out but newline and tab."""
    bad = {c for c in clean_text(text) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert bad <= {"\n", "\t"}


@given(st.lists(st.sampled_from(["\x1b", "[", "]", ";", "31m", "\x07", "\\", "::", "##", "[", "error", "a", "\n"])))
def test_pieces_never_join_to_an_escape_or_a_command(pieces: list[str]) -> None:
    """Taking one thing out never puts another together."""
    shown = clean_text("".join(pieces))
    assert "\x1b" not in shown
    assert "##[" not in shown
    assert "::error::" not in shown


def test_no_duration_has_sixty_seconds() -> None:
    """Rounding carries over to the minutes."""
    shown = {0.04: "0.0 s", 59.94: "59.9 s", 59.96: "1 min 0 s", 119.6: "2 min 0 s", 125.4: "2 min 5 s"}
    assert {seconds: format_duration(seconds) for seconds in shown} == shown
