"""Draw pictures on terminals: images made of half blocks, bars and curves, in colour, Unicode or plain ASCII."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.text import Text

from grading.render.figure_text import draw_bar

RAMP = " .:-=+*#%@"
"""The characters from no ink to full ink, for consoles that can show only ASCII."""
SHADES = " ░▒▓█"
"""The characters from dark to bright, for photographs on consoles with Unicode but no colour."""
EIGHTHS = " ▁▂▃▄▅▆▇█"
HALVES = " ▄▀█"
"""The characters for a cell with neither half inked, only the lower half, only the upper half, and both halves."""
INKED = 0.4
"""The amount of ink above which half a cell counts as inked on consoles without colour."""


class GreyPicture:
    """A grey picture of shape (h, w), with two rows of pixels per line of text.

    Values below 0, down to -1, are orange.
    """

    def __init__(self, values: np.ndarray):
        self._values = np.pad(values, ((0, len(values) % 2), (0, 0)))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Measure the width: one character per column."""
        width = self._values.shape[1]
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the picture line by line, using only characters that this console can display."""
        for upper, lower in zip(self._values[::2], self._values[1::2], strict=True):
            if options.ascii_only:
                ink = np.clip((upper + lower) / 2, 0, 1) * (len(RAMP) - 1)
                yield Text("".join(RAMP[round(float(i))] for i in ink), no_wrap=True)
            elif console.color_system is None or console.no_color:
                which = 2 * (upper > INKED) + (lower > INKED)
                yield Text("".join(HALVES[i] for i in which), no_wrap=True)
            else:
                line = Text(no_wrap=True)
                for above, below in zip(upper, lower, strict=True):
                    sign = "▀" if above != below else "█" if above > INKED else " "  # visible in copied text
                    line.append(sign, style=f"{_format_rgb(above)} on {_format_rgb(below)}")
                yield line


def _format_rgb(value: float) -> str:
    """Format a value as Rich's `rgb(…)`: white for 1, black for 0, orange for -1, and mixtures in between."""
    strength = float(np.clip(abs(value), 0, 1))
    red, green, blue = (255, 255, 255) if value >= 0 else (255, 140, 0)
    return f"rgb({round(strength * red)},{round(strength * green)},{round(strength * blue)})"


class ColourPhoto:
    """A colour picture, uint8 of shape (3, h, w), with two rows of pixels per line.

    It is grey if there are few colours.
    """

    def __init__(self, image: np.ndarray):
        self._pixels = np.pad(np.moveaxis(image, 0, -1), ((0, image.shape[1] % 2), (0, 0), (0, 0)), mode="edge")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Measure the width: one character per column."""
        width = self._pixels.shape[1]
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the picture line by line, using only characters that this console can display."""
        pixels = self._pixels
        if has_many_colours(console) and not options.ascii_only:
            for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
                line = Text(no_wrap=True)
                for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
                    line.append("▀", style=f"rgb({_join_rgb(above)}) on rgb({_join_rgb(below)})")
                yield line
            return
        grey = pixels @ np.array([0.299, 0.587, 0.114])
        grey = (grey[::2] + grey[1::2]) / 2
        ramp = RAMP if options.ascii_only else SHADES
        levels = (grey - grey.min()) / max(float(np.ptp(grey)), 1) * (len(ramp) - 1)
        for line in np.rint(levels).astype(int):
            yield Text("".join(ramp[level] for level in line), no_wrap=True)


def has_many_colours(console: Console) -> bool:
    """Return whether a console has enough colours for photographs and shading."""
    return console.color_system in ("256", "truecolor") and not console.no_color


def _join_rgb(colour: list[int]) -> str:
    """Join the components of a colour as Rich writes them: `255,0,128`."""
    return ",".join(map(str, colour))


class DigitBars:
    """The probabilities of the ten digits, one per line or in two columns, with the largest in bold."""

    def __init__(self, probabilities: np.ndarray, *, width: int = 12, columns: int = 1):
        self._probabilities, self._width, self._columns = probabilities, width, columns

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Measure the width needed for digits, bars and percentages."""
        width = self._columns * (self._width + 7) + 2 * (self._columns - 1)
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the digits from top to bottom, column by column."""
        lines = len(self._probabilities) // self._columns
        answer = int(self._probabilities.argmax())
        for row in range(lines):
            line = Text(no_wrap=True)
            for digit in range(row, len(self._probabilities), lines):
                p = float(self._probabilities[digit])
                shown = f"{digit} {draw_bar(p, self._width, ascii_only=options.ascii_only)} {_format_percent(p)}"
                line.append("  " if digit >= lines else "")
                line.append(shown, style="bold green" if digit == answer else "")
            yield line


class LikeliestClasses:
    """The most probable classes with a bar for each, and with the first one in bold."""

    def __init__(self, probabilities: np.ndarray, classes: Sequence[str], *, count: int = 3, width: int = 12):
        order = np.argsort(-probabilities, kind="stable")[:count]
        self._rows = [(classes[i], float(probabilities[i])) for i in order]
        self._names, self._width = max(map(len, classes)), width

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Measure the width needed for names, bars and percentages."""
        width = self._names + self._width + 6
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the classes from the most probable down."""
        for place, (name, p) in enumerate(self._rows):
            shown = (
                f"{name:{self._names}} {draw_bar(p, self._width, ascii_only=options.ascii_only)} {_format_percent(p)}"
            )
            yield Text(shown, style="" if place else "bold", no_wrap=True)


def _format_percent(share: float) -> str:
    """Format a share in four characters. Only shares very close to 1 become 100%."""
    return f"{min(100 * share, 99) if share < 0.995 else 100:3.0f}%"


class TextCurve:
    """A curve of values over time, drawn with block characters, with the first and last values below it."""

    def __init__(
        self,
        values: Sequence[float],
        *,
        lines: int = 6,
        title: str = "loss",
        top: float | None = None,
        number: str = ".2f",
        part: float = 1.0,
    ):
        """``top`` is the value at the upper edge. ``part`` is the share of the width that the values fill."""
        self._values, self._lines, self._title = list(values), lines, title
        self._top, self._number, self._part = top, number, part

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Measure the width: the available room, but at most forty columns."""
        width = min(options.max_width, 40)
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the curve, which does not reach its full width until all values have arrived."""
        width = max(1, round(min(options.max_width, 40) * self._part))
        places = np.linspace(0, len(self._values) - 1, width)
        heights = np.interp(places, np.arange(len(self._values)), self._values)
        top = float(np.max(self._values)) if self._top is None else self._top
        heights = heights / max(top, 1e-12) * self._lines
        for line in reversed(range(self._lines)):
            eighths = np.clip(np.rint((heights - line) * 8), 0, 8).astype(int)
            signs = "".join(("#" if e >= 4 else " ") if options.ascii_only else EIGHTHS[e] for e in eighths)
            yield Text(signs, style="cyan", no_wrap=True)
        first, last = (format(value, self._number) for value in (self._values[0], self._values[-1]))
        yield Text(f"{self._title}: {first} at first, {last} now")


def shrink_image(values: np.ndarray, max_side: int) -> np.ndarray:
    """Shrink a picture by averaging blocks of pixels: (h, w) → at most (max_side, max_side)."""
    for axis in (0, 1):
        size = values.shape[axis]
        if size > max_side:
            edges = np.linspace(0, size, max_side + 1).round().astype(int)
            parts = [values.take(range(a, b), axis).mean(axis) for a, b in pairwise(edges)]
            values = np.stack(parts, axis)
    return values
