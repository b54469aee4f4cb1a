"""The terminal report fits, tells all, and shows hostile text as text."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from grading.render import terminal_report, words
from grading.render.command_console import CommandConsole
from grading.render.progress_watch import create_watch
from grading.render.screen import RecordingScreen, create_screen
from grading.result import CourseRecord, Curve, Note, Result, SubmissionRecord, Verdict
from tests.render.results import build_criterion, build_failure, build_loss_criterion, build_not_yet, build_result

HOSTILE = "[bold red]x[/] \x1b[31m\x1b]0;title\x07 \x00 [/nothing] [link=https://example.org]l[/link]\n::error::forged\n##[group]g"


def print_to_text(
    record: Result, width: int = 100, *, terminal_like: bool = False, encoding: str = "utf-8", **options
) -> str:
    """Return the report as a terminal prints it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    console = CommandConsole(file=stream, width=width, force_terminal=terminal_like, **options)
    terminal_report.print_result_report(console, record)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def test_a_hints_command_that_the_frame_would_break_is_repeated_below_it() -> None:
    """On a line of its own, without a border; in a wide terminal it is whole where it is."""
    command = "pytest modules/04_layers -k recipe"
    failure = build_failure(hint=f"Run the recipe's tests first: {command}")
    record = build_result(build_criterion("failed", 0.9, failures=(failure,)), verdict=Verdict.NOT_YET, curves=())
    narrow, wide = (print_to_text(record, width).splitlines() for width in (40, 100))
    assert [line.strip() for line in narrow].count(command) == 1
    assert command not in [line.strip() for line in wide]
    assert any(command in line for line in wide)


def test_a_failure_is_told_with_place_and_commands() -> None:
    """Call, got, expected, hint, file and line, the test to run and the way to grade again are all there."""
    text = print_to_text(build_not_yet())
    for part in (
        "NOT YET",
        "Task 2.3: A row is added to every row of a matrix",
        "Tensor([[1, 2], [3, 4]]) + Tensor([10, 20])",
        "[[11, 12], [3, 4]]",
        "[[11, 22], [13, 24]]",
        "NumPy broadcasts",
        "modules/02_tensor/tinytorch/tensor.py:41",
        "pytest modules/02_tensor/test_tensor.py::test_rows_are_added",
        "nox -s milestone-1 -- --seed 42",
        "fix the module tests first",
    ):
        assert part in text


def test_commands_stay_whole_on_a_narrow_terminal() -> None:
    """What is to be copied is one line at any width."""
    assert "  pytest modules/02_tensor/test_tensor.py::test_rows_are_added\n" in print_to_text(build_not_yet(), 40)


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_everything_but_commands_fits(width: int) -> None:
    """No other line is wider than the terminal."""
    wide = [line for line in print_to_text(build_not_yet(), width).splitlines() if len(line) > width]
    assert all(line.startswith(("  pytest", "  nox")) for line in wide)


def test_without_a_terminal_there_are_no_escapes() -> None:
    """A pipe gets plain text."""
    assert "\x1b" not in print_to_text(build_not_yet())


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR a terminal gets no colour codes."""
    monkeypatch.setenv("NO_COLOR", "1")
    assert not any(
        f"\x1b[{code}m" in print_to_text(build_not_yet(), terminal_like=True) for code in (31, 32, 33, 36, "1;33")
    )
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[1;33m" in print_to_text(build_not_yet(), terminal_like=True, color_system="standard")


def test_an_old_terminal_gets_ascii() -> None:
    """Where only ASCII can be written, the report's own signs are ASCII."""
    assert "ok   The tests" in print_to_text(build_result(), encoding="ascii")
    assert ">= 100%" in print_to_text(build_result(), encoding="ascii")


def build_hostile_result() -> Result:
    """Build a record in which everything from a submission is hostile."""
    bad = build_failure(
        title=HOSTILE, call=HOSTILE, got=HOSTILE, expected=HOSTILE, hint=HOSTILE, detail=HOSTILE, file=HOSTILE
    )
    return build_not_yet(
        criteria=(build_criterion("failed", 0.5, failures=(bad, bad), explanation=HOSTILE, how=HOSTILE),),
        student_output=HOSTILE * 1000,
        submission=SubmissionRecord(digest="d", files=(), refused=(Note(path=HOSTILE, message=HOSTILE),) * 30),
        course=CourseRecord(name="TinyTorch", version="0.1.0", digest="c", changed=(HOSTILE,) * 30),
        curves=(Curve(name=HOSTILE, seed=1, steps=(0.0, 1.0), values=(1.0, None)),),
    )


@pytest.mark.parametrize("width", [20, 40, 100])
def test_hostile_text_stays_text(width: int) -> None:
    """Markup is printed, not obeyed; no escape and no workflow command reaches the screen; its length is bounded."""
    text = print_to_text(build_hostile_result(), width)
    assert "[bold" in text
    assert "\x1b" not in text
    assert "\x00" not in text
    assert not any(line.lstrip(" │").startswith(("::error::", "##[")) for line in text.splitlines())
    assert "more characters)" in " ".join(text.split()) or width == 20
    assert len(text) < 60_000


def test_an_error_is_not_put_on_the_student() -> None:
    """An error says that the grader or the machine failed."""
    record = build_result(
        build_criterion("error", None, explanation="No space left on the disk."), verdict=Verdict.ERROR
    )
    text = print_to_text(record)
    assert "COULD NOT BE GRADED" in text
    assert "not your code" in text
    assert "No space left on the disk." in text


def test_a_failure_beside_an_error_stays_the_students() -> None:
    """Where a criterion failed as well, only those that say error are laid on the grader or the machine."""
    record = build_result(
        build_criterion("failed", 0.5), build_criterion("error", None, explanation="No disk."), verdict=Verdict.ERROR
    )
    expected = "0 of 2 criteria met. Where it says error, the grader or this machine failed, not your code."
    assert words.summarize_criteria(record) == expected


def test_a_shared_reason_is_written_once() -> None:
    """Ten criteria that were not attempted for one reason do not repeat it ten times."""
    waiting = [
        build_loss_criterion("not_attempted", None, name=f"c{i}", explanation="Not attempted: first fix it.")
        for i in range(9)
    ]
    assert print_to_text(build_not_yet(criteria=tuple(waiting))).count("first fix it") == 1


def test_every_figure_says_how_it_was_measured_once() -> None:
    """A way of measuring that several figures share is written with the first of them."""
    text = print_to_text(
        build_result(
            build_criterion(),
            build_loss_criterion(how="5 seeds"),
            build_loss_criterion(name="b", how="5 seeds"),
            build_loss_criterion(name="c", how="3 runs"),
        )
    )
    assert (text.count("5 seeds"), text.count("3 runs")) == (1, 1)


def test_a_shared_hint_is_written_once() -> None:
    """Five failures of one task show its hint in the box of the first, and each its own values."""
    failures = tuple(build_failure(got=f"value {i}", hint="Look at broadcasting.") for i in range(5))
    text = print_to_text(build_not_yet(criteria=(build_criterion("failed", 0.1, failures=failures),)))
    assert text.count("Look at broadcasting.") == 1
    assert all(f"value {i}" in text for i in range(5))


def test_a_watch_off_a_terminal_prints_phases_only() -> None:
    """One line per phase, nothing for each step."""
    stream = io.StringIO()
    with create_watch(Console(file=stream, width=80)) as watch:
        watch.begin_phase("Training five networks \x1b[31m[bold]", 5)
        watch.report_steps_done(1, "seed 7")
    assert stream.getvalue() == "· Training five networks [bold]\n"


def test_a_watch_on_a_terminal_moves() -> None:
    """Title and note appear on a terminal, as text."""
    stream = io.StringIO()
    with create_watch(Console(file=stream, width=120, force_terminal=True, force_interactive=True)) as watch:
        watch.begin_phase("Training [bold]", 5)
        watch.report_steps_done(3, "seed [red]7")
    assert "Training [bold]" in stream.getvalue()
    assert "seed [red]7" in stream.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_a_watch_on_a_narrow_terminal_cuts_its_texts_visibly(width: int) -> None:
    """An ellipsis ends a text that does not fit, and the bar and the time keep their places."""
    stream = io.StringIO()
    with create_watch(
        Console(file=stream, width=width, force_terminal=True, force_interactive=True, color_system=None)
    ) as watch:
        watch.begin_phase("Training a network on rotated images, seed 12345 of three", 20)
        watch.report_steps_done(10, "a note that is longer than the place that is left for it")
    shown = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", stream.getvalue()).splitlines()
    last = next(line for line in reversed(shown) if "Training" in line)
    assert "…" in last
    assert len(last.rstrip()) <= width
    assert width < 60 or ("━━━━━━" in last and "0:00:0" in last)


def test_screens_show_or_keep_frames() -> None:
    """A pipe gets the first and the last frame, a recording all of them, a terminal each one."""
    stream = io.StringIO()
    with create_screen(Console(file=stream, width=80)) as screen:
        for i in range(5):
            screen.show_frame(Text(f"frame {i}"))
    assert stream.getvalue() == "frame 0\nframe 4\n"
    recording = RecordingScreen()
    recording.show_frame(Text("a"))
    assert recording.frames == [Text("a")]
    live = io.StringIO()
    with create_screen(Console(file=live, width=80, force_terminal=True)) as screen:
        for i in range(5):
            screen.show_frame(Text(f"frame {i}"))
    assert all(f"frame {i}" in live.getvalue() for i in range(5))


class FakeKeyboard(io.StringIO):
    """Standard input on which somebody types these lines."""

    def isatty(self) -> bool:
        """Claim to be a terminal."""
        return True


def test_only_who_looks_on_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal with a keyboard, line by line until one is empty or none comes; elsewhere there is no answer."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdin", FakeKeyboard("  the sum [bold] \n\n"))
    with create_screen(Console(file=out, width=80, force_terminal=True)) as screen:
        screen.show_frame(Text("kept"), keep=True)
        assert [screen.ask("Yours [red]: ") for _ in range(3)] == ["the sum [bold]", None, None]
        screen.show_frame(Text("after"))
    assert "Yours [red]: " in out.getvalue()
    assert out.getvalue().index("kept") < out.getvalue().index("Yours") < out.getvalue().index("after")
    with create_screen(Console(file=io.StringIO(), width=80)) as log:
        assert log.ask("Yours: ") is None
    assert RecordingScreen().ask("Yours: ") is None
    monkeypatch.setattr("sys.stdin", io.StringIO("the sum\n"))
    with create_screen(Console(file=io.StringIO(), width=80, force_terminal=True)) as piped:
        assert piped.ask("Yours: ") is None


def test_who_looks_on_is_known() -> None:
    """A log has readers; a recording has none."""
    consoles = Console(file=io.StringIO()), Console(file=io.StringIO(), force_terminal=True)
    assert [create_screen(console).watched for console in consoles] == [True, True]
    assert not RecordingScreen().watched
