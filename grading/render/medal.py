"""Draw a milestone's medal as SVG, without any font. Badges and pages draw the same medal."""

from __future__ import annotations

import re

WIDTH, HEIGHT = 64, 84
METALS = {
    "bronze": ("#d9a066", "#8a4f1d", "#3d2008"),
    "silver": ("#d5dade", "#68727b", "#22282e"),
    "gold": ("#f5b041", "#b9770e", "#4a2c00"),
    "platinum": ("#cfe0e6", "#3f6675", "#142b34"),
    "diamond": ("#aee0f7", "#20749e", "#08334a"),
}
"""The colours of each metal's disc, rim and number. A medal with any other name is gold."""
UNEARNED_COLOURS = ("#eaeded", "#7f8c8d", "#4d5656")
_SYMBOLS = re.compile(r"^[^\w]+")


def strip_medal_symbol(medal: str) -> str:
    """Return the medal's name without the symbol before it, which some fonts do not have.

    >>> strip_medal_symbol("\N{THIRD PLACE MEDAL} Bronze — First Light")
    'Bronze — First Light'
    """
    return _SYMBOLS.sub("", medal)


def draw_medal(number: int, medal: str, *, earned: bool = True, provisional: bool = False) -> str:
    """Return the SVG elements of a medal, WIDTH by HEIGHT in size: a ribbon, a disc and the milestone's number.

    A medal that has not been earned yet is grey and has no ribbon. A provisional medal has a dashed rim.
    """
    metal = strip_medal_symbol(medal).split(" ")[0].lower()
    disc, rim, ink = METALS.get(metal, METALS["gold"]) if earned else UNEARNED_COLOURS
    dashes = ' stroke-dasharray="6 5"' if provisional or not earned else ""
    ribbon = (
        f'<path d="M10 0h16l12 30-12 8zM54 0H38L26 30l12 8z" fill="{rim}"/>'
        f'<path d="M15 0h5l12 30-4 3zM49 0h-5L32 30l4 3z" fill="{disc}"/>'
    )
    return (
        f"{ribbon if earned else ''}"
        f'<circle cx="32" cy="54" r="28" fill="{disc}" stroke="{rim}" stroke-width="4"{dashes}/>'
        f'<circle cx="32" cy="54" r="21.5" fill="none" stroke="{rim}" stroke-opacity="0.45"/>'
        f'<text x="32" y="64" text-anchor="middle" font-size="28" font-weight="700" fill="{ink}">{number:d}</text>'
    )
