"""Commands that a message asks people to type stay on one line, however narrow the terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import RenderableType
from rich.panel import Panel
from rich.text import Text

from grading.render.command_console import CommandConsole
from tito.console import format_list_item, open_console

LONG = "nox -s milestone-1 -- --submission ../tinytorch-student --official --student ada"
SHORT = "tito module test 04 --task 4.2"


def print_lines(renderable: RenderableType, width: int) -> list[str]:
    """Print on a console of this width, and return the lines without trailing spaces."""
    stream = io.StringIO()
    CommandConsole(file=stream, width=width, highlight=False, markup=False).print(renderable)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("width", [32, 40, 60])
@pytest.mark.parametrize("command", [SHORT, LONG])
@pytest.mark.parametrize(
    "message",
    [
        "The module is graded as your teacher does it. To do so: {}",
        "Run `{}`, and after it anything else.",
        "Now:\n  {}\nDone.",
    ],
)
def test_a_command_is_never_broken(message: str, command: str, width: int) -> None:
    """Not in a sentence, after a colon or on a line of its own; the rest is wrapped, and no word is lost."""
    lines = print_lines(message.format(command), width)
    (line,) = (line for line in lines if command in line)
    assert len(line) <= width or line.strip("`, ") == command
    assert all(len(other) <= width for other in lines if other != line)
    assert " ".join(lines).split() == message.format(command).split()


def test_a_long_command_keeps_the_lines_and_the_styles_around_it() -> None:
    """An empty line before the message stays, and so does what is bold."""
    text = Text.assemble(f"\nOnce: {LONG}\nand ", ("then", "bold"), " the rest")
    stream = io.StringIO()
    CommandConsole(file=stream, width=40, force_terminal=True, color_system="standard").print(text)
    assert stream.getvalue() == f"\nOnce:\n{LONG}\nand \x1b[1mthen\x1b[0m the rest\n"


def test_a_command_fits_into_a_panel_or_is_broken_between_words() -> None:
    """Its border stays where it is, and a list item has no border but an indent."""
    assert print_lines(Panel(f"To run one task: {SHORT}"), 40)[2] == f"│ {SHORT}       │"
    lines = print_lines(Panel(f"To grade: {LONG}"), 40)
    assert {len(line) for line in lines} == {40}
    assert " ".join(line.strip("│ ") for line in lines[1:-1]) == f"To grade: {LONG}"
    assert f"    {SHORT}" in print_lines(format_list_item("✗", f"It is missing here. Run: {SHORT}"), 40)


def test_text_without_a_command_is_wrapped_as_always() -> None:
    """Words longer than a line are folded."""
    assert print_lines("x" * 50, 40) == ["x" * 40, "x" * 10]
    assert isinstance(open_console(), CommandConsole)
