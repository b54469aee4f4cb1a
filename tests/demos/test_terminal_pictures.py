"""Pictures, bars and curves on all kinds of terminals."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console, RenderableType

from grading.demos.terminal_pictures import DigitBars, GreyPicture, TextCurve, shrink_image


def draw_to_text(
    renderable: RenderableType, *, width: int = 80, colour: str | None = None, encoding: str = "utf-8"
) -> str:
    """Draw a renderable on this kind of console, and return the text."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(
        file=stream, width=width, color_system=colour, force_terminal=bool(colour), no_color=False, legacy_windows=False
    )
    console.print(renderable)
    stream.flush()
    return stream.buffer.getvalue().decode()


HALVES = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]])


def test_without_colour_a_character_is_two_pixels() -> None:
    """Either half, both or neither is inked, and a row is added to an odd number."""
    assert draw_to_text(GreyPicture(HALVES)) == "▀▄█ \n▀▀  \n"


def test_with_colour_every_pixel_has_its_own() -> None:
    """It is white, black or, below zero, orange: the upper pixel as foreground, the lower as background."""
    text = draw_to_text(GreyPicture(np.array([[1.0], [-1.0]])), colour="truecolor")
    assert "38;2;255;255;255" in text
    assert "48;2;255;140;0" in text


def test_where_there_is_only_ascii_ink_is_a_ramp() -> None:
    """A blank is no ink, @ is full ink, and half ink is in between."""
    assert draw_to_text(GreyPicture(HALVES), encoding="ascii") == "==@ \n==  \n"


def test_bars_name_every_digit() -> None:
    """They take ten lines, or five in two columns, and only near certainty is 100%."""
    p = np.array([0.0, 0.004, 0.0, 0.994, 0.0, 0.001, 0.0, 0.001, 0.0, 0.0])
    lines = draw_to_text(DigitBars(p, width=4)).splitlines()
    assert lines[3] == "3 ███░  99%"
    assert len(lines) == 10
    assert draw_to_text(DigitBars(p, width=4, columns=2)).splitlines()[3] == "3 ███░  99%  8 ░░░░   0%"
    assert draw_to_text(DigitBars(np.eye(10)[2], width=4), encoding="ascii").splitlines()[2] == "2 #### 100%"


@pytest.mark.parametrize("width", [20, 80])
@pytest.mark.parametrize("values", [[1.0], [2.3, 1.0, 0.1], [0.0, 0.0], [1e9, 1e-9], list(range(100))])
def test_a_curve_fits(values: list[float], width: int) -> None:
    """With any values, it has its lines and stays within the width."""
    lines = draw_to_text(TextCurve(values, lines=4), width=width).splitlines()
    assert len(lines) >= 5
    assert max(map(len, lines)) <= width
    assert set("".join(lines[:4])) <= set(" ▁▂▃▄▅▆▇█")


def test_a_falling_loss_falls() -> None:
    """The first column is full and the last nearly empty, with both values below."""
    lines = draw_to_text(TextCurve([2.0, 0.1], lines=4, title="loss")).splitlines()
    assert [line[:1] for line in lines[:4]] == ["█"] * 4
    assert len(lines[0].rstrip()) < len(lines[3].rstrip())
    assert lines[4] == "loss: 2.00 at first, 0.10 now"


@pytest.mark.parametrize("shape", [(28, 28), (26, 14), (5, 3), (15, 29)])
def test_shrinking_keeps_the_mean(shape: tuple[int, int]) -> None:
    """Each side has at most the given pixels, none is left out, and a small image stays as it is."""
    values = np.random.default_rng(0).random(shape)
    small = shrink_image(values, 14)
    assert small.shape == tuple(min(n, 14) for n in shape)
    assert small.mean() == pytest.approx(values.mean(), abs=0.05)
    assert shrink_image(np.ones(shape), 14).min() == 1


def test_a_curve_leaves_room_for_what_is_to_come() -> None:
    """Half of training takes half the width, and a fixed top leaves the remaining height free."""
    lines = draw_to_text(
        TextCurve([0.0, 0.5, 0.5], lines=4, title="accuracy", top=1.0, number=".0%", part=0.5)
    ).splitlines()
    assert [line.strip() for line in lines[:2]] == ["", ""]
    assert len(lines[3]) == 20
    assert lines[4] == "accuracy: 0% at first, 50% now"
