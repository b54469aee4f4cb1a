"""Who is in a rehearsal's class, and what each of them has done: every report has something to show.

Results that are not measured again are recorded: `desk/recorded/` holds what gradings of the course's own solution
found once, since training takes minutes. They were made, with the real data at hand, by

    nox -s milestone-2 -- --official --student course --json desk/recorded/milestone-2.json

likewise for milestones 1 and 3, and for `milestone-2-not-yet.json` with the gap of task 6.5 open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Character:
    """One student of the rehearsal."""

    id: str
    name: str
    section: str = "A"
    modules: int = 4
    """Up to which one they have written."""
    answers: Literal["", "right", "wrong"] = "right"
    """To the first milestone's questions; wrong is one of them."""
    change: Literal["", "unfinished", "renamed", "own", "copied"] = ""
    """What they have done with the course's solution."""
    recorded: tuple[str, ...] = ()
    """Results of each push that are in the gradebook already."""
    days: tuple[int, ...] = (9,)
    """So many days ago they have pushed."""
    puts_back: bool = False
    """Whether their last push has their last module as it was given out: what it unlocked is not graded again."""
    extension: str = ""
    public: bool = False
    """Named on the site, and on the leaderboard."""
    before: str = ""
    """Their id when they were collected last, if it was another."""


CAST = (
    Character("ada", "Ada, who has unlocked the first milestone", public=True),
    Character("ben", "Ben, who has not finished module 02", answers="", change="unfinished"),
    Character("chi", "Chi, who has Ben's code under other names", answers="", change="renamed"),
    Character("dan", "Dan, who has not begun", modules=0, answers=""),
    Character("eve", "Eve, who has one answer wrong", "B", answers="wrong"),
    Character(
        "fay",
        "Fay, who has three milestones and begins module 11 again",
        "B",
        11,
        recorded=("milestone-2", "milestone-3"),
        days=(12, 9),
        puts_back=True,
        public=True,
    ),
    Character("gus", "Gus, who has written something of his own", modules=6, change="own", recorded=("milestone-2",)),
    Character("ida", "Ida, who has that too", "B", 6, change="copied", recorded=("milestone-2",), days=(8,)),
    Character("hal", "Hal, who was late", "B", days=(6,)),
    Character("jon_uni", "Jon, who has another user name now", recorded=("milestone-1",), before="jon"),
    Character("kim", "Kim, who is stuck", "B", 6, recorded=("milestone-2-not-yet",), days=(10, 6, 2)),
    Character("lee", "Lee, who has more time", "C", 6, recorded=("milestone-2",), extension="1:3"),
)
DUE = {1: 8, 2: -14}
"""By milestone: so many days ago it was due."""

OWN = '''

def describe_network(network):
    """One line for each layer, with how many numbers it can learn."""
    lines, total = [], 0
    for place, layer in enumerate(network.layers):
        sizes = [parameter.data.size for parameter in layer.parameters()]
        shapes = " and ".join(str(parameter.data.shape) for parameter in layer.parameters())
        total += sum(sizes)
        lines.append(f"{place:3} {type(layer).__name__:<12} {sum(sizes):8,} {shapes or 'nothing to learn'}")
    lines.append(f"{'all':>3} {'':<12} {total:8,}")
    return "\\n".join(lines)


def draw_regions(network, size=24, low=-0.5, high=1.5):
    """What a network with two inputs and one output answers on a square, as characters."""
    points = np.linspace(low, high, size, dtype=np.float32)
    grid = np.stack(np.meshgrid(points, points[::-1]), axis=-1).reshape(-1, 2)
    answers = network(Tensor(grid)).numpy().reshape(size, size)
    darkest, brightest = float(answers.min()), float(answers.max())
    if brightest == darkest:
        return "the same everywhere"
    shades = " .:-=+*#%@"
    levels = ((answers - darkest) / (brightest - darkest) * (len(shades) - 1)).round().astype(int)
    return "\\n".join("".join(shades[level] for level in row) for row in levels)
'''
"""What Gus adds to his layers."""
COPIED = {
    "describe_network": "summary",
    "draw_regions": "ascii_plot",
    "place": "i",
    "layer": "part",
    "sizes": "counts",
    "shapes": "dims",
    "total": "n_all",
    "lines": "out",
    "points": "xs",
    "answers": "zs",
    "darkest": "lo",
    "brightest": "hi",
    "shades": "ramp",
    "levels": "idx",
    "level": "k",
    "row": "r",
}
"""What Ida calls it."""
