"""Celebrate an unlocked milestone with a medal in ASCII art and, on a terminal, a short animation."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from grading.manifest.model import Milestone
from tito.console import format_list_item

MEDAL = r"""
   \  \     /  /
    \  \   /  /
     \  \_/  /
     .-"   "-.
   .'  *   *  '.
  /     .-.     \
 |  *   |N|   *  |
  \     '-'     /
   '.  *   *  .'
     '-.___.-'
"""
FRAMES = 24
SECONDS = 1.6
_CONFETTI = "*+.o'"
_COLOURS = ("red", "yellow", "green", "cyan", "magenta")


def celebrate_milestone(
    console: Console, milestone: Milestone, *, provisional: bool, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Print the medal and what it unlocks. If the output is a terminal, play a short animation first."""
    if can_animate(console):
        rng = random.Random(milestone.id)  # noqa: S311 - confetti
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for frame in range(FRAMES):
                live.update(_draw_confetti(rng, min(console.width, 60), frame), refresh=True)
                sleep(SECONDS / FRAMES)
    console.print(build_medal_card(milestone, provisional=provisional))


def can_animate(console: Console) -> bool:
    """Return whether the output can be animated: it is a real terminal, and this is not a CI run."""
    return console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI")


def build_medal_card(milestone: Milestone, *, provisional: bool) -> RenderableType:
    """Build the medal card: the milestone's name, its sentence, and what the student can do now."""
    medal = MEDAL.strip("\n").replace("N", str(milestone.id)[:1])
    word = "PROVISIONALLY UNLOCKED" if provisional else "MILESTONE UNLOCKED"
    return Group(
        Text(),
        Align.center(Text(medal, style="bold yellow", no_wrap=True)),
        Align.center(Text(f"{word}: {milestone.name}", style="bold green", justify="center")),
        Align.center(Text(milestone.medal, style="yellow", justify="center")),
        Text(),
        Align.center(Text(f"“{milestone.unlocks}”", style="bold", justify="center")),
        Text(),
        *(format_list_item("+", capability) for capability in milestone.capabilities),
        Text(f"\n{milestone.impact}\n"),
    )


def _draw_confetti(rng: random.Random, width: int, frame: int) -> Text:
    """Draw one frame of confetti, which grows denser from frame to frame."""
    text = Text(no_wrap=True)
    for _ in range(8):
        for _ in range(width - 1):
            shown = rng.random() < 0.02 + 0.12 * frame / FRAMES
            text.append(rng.choice(_CONFETTI) if shown else " ", style=rng.choice(_COLOURS) if shown else "")
        text.append("\n")
    return text
