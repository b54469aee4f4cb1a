"""The preview image for links to a portfolio (Open Graph): 1200×630 pixels, drawn with nothing but Pillow.

Each pixel is one byte. Values 0 to 127 run from the background colour to the ink, and 128 to 255 from the background to
the accent. So files are small and quick to create, and letters keep their smooth edges.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

STATIC = Path(__file__).parents[1] / "static"
SERIF, SERIF_EXTENDED = "source-serif-4-latin.woff2", "source-serif-4-latin-ext.woff2"
SANS = "source-sans-3-latin.woff2"
SIZE = (1200, 630)
MARGIN = 84
BACKGROUND, INK, ACCENT = (19, 30, 42), (246, 241, 232), (245, 176, 65)
FULL = 127


@dataclass(frozen=True)
class CardLine:
    """A milestone in the picture."""

    number: int
    name: str
    unlocked: bool
    provisional: bool = False


@cache
def load_font(file: str, size: int, weight: int) -> ImageFont.FreeTypeFont:
    """Load one of the site's fonts in this size and weight."""
    found = ImageFont.truetype(STATIC / file, size)
    found.set_variation_by_axes([weight])
    return found


def draw_preview_card(course: str, name: str, lines: Sequence[CardLine], *, verified: bool = True) -> bytes:
    """Draw the preview picture for a link, as a PNG. A name that the fonts cannot display is left out.

    If `verified` is False, the picture states that the records are not verified.
    """
    picture = _draw_card_without_name(course, tuple(lines), verified).copy()
    draw = ImageDraw.Draw(picture)
    if can_fonts_draw(name):
        _draw_fitted_text(draw, (MARGIN, 150), name, 76, SIZE[0] - 2 * MARGIN)
    file = io.BytesIO()
    picture.putpalette(_compute_palette())
    # Three times as fast as the default level, at the cost of a fifth more bytes.
    picture.save(file, "PNG", compress_level=3)
    return file.getvalue()


def can_fonts_draw(text: str) -> bool:
    """Return whether the fonts have every letter in a text, which they do for Latin script."""
    return all(_find_font_for_letter(c) is not None for c in text)


def _find_font_for_letter(letter: str) -> str | None:
    """Find the font file that has this letter."""
    code = ord(letter)
    if 0x20 <= code < 0x7F or 0xA0 <= code <= 0xFF or letter in "’‘–":
        return SERIF
    return SERIF_EXTENDED if 0x100 <= code <= 0x24F or 0x1E00 <= code <= 0x1EFF else None


@cache
def _draw_card_without_name(course: str, lines: tuple[CardLine, ...], verified: bool) -> Image.Image:
    """Draw everything except the name. The picture is cached for many students, so draw only on a copy."""
    ink, accent = Image.new("L", SIZE), Image.new("L", SIZE)
    on_ink, on_accent = ImageDraw.Draw(ink), ImageDraw.Draw(accent)
    on_accent.rectangle((0, 0, 14, SIZE[1]), fill=FULL)
    on_accent.text((MARGIN, 76), course, font=load_font(SANS, 34, 600), fill=FULL)
    count = sum(line.unlocked for line in lines)
    told = f"{count} of {len(lines)} capabilities measured in a deep-learning framework of their own"
    if count and not verified:
        told = "A deep-learning framework of their own, according to unverified records"
    on_ink.text((MARGIN, 262), told, font=load_font(SANS, 31, 400), fill=90)
    top, step = 338, 46
    for index, line in enumerate(lines[:5]):
        y = top + step * index
        target, style = (accent, {"fill": FULL}) if line.unlocked else (ink, {"outline": 50, "width": 8})
        if line.provisional:
            style = {"outline": FULL, "width": 16}
        _draw_circle(target, (MARGIN + 14, y + 19), 13, style)
        weight, shade = (600, FULL) if line.unlocked else (400, 62)
        said = line.name + (" (provisional)" if line.provisional else "")
        on_ink.text((MARGIN + 48, y), said, font=load_font(SANS, 32, weight), fill=shade)
    return _merge_layers(ink, accent)


def _draw_circle(picture: Image.Image, centre: tuple[int, int], radius: int, style: dict[str, int]) -> None:
    """Draw a smooth circle on a blank square that replaces this part of the picture; widths are in quarter pixels."""
    box = 2 * radius + 2
    large = Image.new("L", (4 * box, 4 * box))
    ImageDraw.Draw(large).ellipse((4, 4, 4 * box - 5, 4 * box - 5), **style)
    picture.paste(large.resize((box, box), Image.Resampling.LANCZOS), (centre[0] - radius - 1, centre[1] - radius - 1))


def _merge_layers(ink: Image.Image, accent: Image.Image) -> Image.Image:
    """Paste the accent layer, moved to the second half of the palette, over the ink layer, and return the ink layer."""
    lifted = accent.point(lambda value: 128 + min(value, FULL))
    ink.paste(lifted, mask=accent.point(lambda value: 255 if value else 0))
    return ink


def _draw_fitted_text(draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, size: int, width: int) -> None:
    """Write a text on one line, at `size` or smaller to fit `width`, each run of letters in the font that has them."""
    runs = ["".join(letters) for _, letters in groupby(text, _find_font_for_letter)]
    while sum(_measure_width(draw, run, size) for run in runs) > width and size > 12:
        size -= 4
    x, baseline = float(position[0]), position[1] + 76
    for run in runs:
        draw.text(
            (x, baseline),
            run,
            font=load_font(_find_font_for_letter(run[0]) or SERIF, size, 650),
            fill=FULL,
            anchor="ls",
        )
        x += _measure_width(draw, run, size)


def _measure_width(draw: ImageDraw.ImageDraw, run: str, size: int) -> float:
    """Measure a run of letters in the font that has them."""
    return draw.textlength(run, font=load_font(_find_font_for_letter(run[0]) or SERIF, size, 650))


@cache
def _compute_palette() -> list[int]:
    """Return the palette's 768 numbers (red, green, blue): from background to ink, then from background to accent."""

    def build_colour_ramp(colour: tuple[int, int, int]) -> list[int]:
        """Build 128 colours from the background towards this one, as a flat list of red, green and blue."""
        pairs = list(zip(BACKGROUND, colour, strict=True))
        return [round(a + (b - a) * i / FULL) for i in range(128) for a, b in pairs]

    return build_colour_ramp(INK) + build_colour_ramp(ACCENT)
