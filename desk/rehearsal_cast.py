"""The students in a rehearsal's class, and what each of them has done, so that every report has something to show.

Training takes minutes, so most results are not measured again: `desk/recorded/` contains results of the course's own
solution. They were measured on the real data:

    nox -s milestone-2 -- --official --student course --json desk/recorded/milestone-2.json

Milestones 1 and 3 were recorded in the same way, and so was `milestone-2-not-yet.json`, with task 6.5 left unsolved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CastMember:
    """One student of the rehearsal."""

    id: str
    name: str
    section: str = "A"
    modules: int = 4
    """The number of the last module they have implemented."""
    answers: Literal["", "right", "wrong"] = "right"
    """The state of the answers to the first milestone's questions; "wrong" means that one of them is wrong."""
    change: Literal["", "unfinished", "renamed", "own", "copied"] = ""
    """How their code differs from the course's solution."""
    recorded: tuple[str, ...] = ()
    """The recorded results in the gradebook for each of their pushes."""
    days: tuple[int, ...] = (9,)
    """The age of each of their pushes, in days."""
    puts_back: bool = False
    """Whether their last push restores the skeleton of their last module; a milestone it had unlocked stays graded."""
    extension: str = ""
    public: bool = False
    """Whether their name is shown on the site and on the leaderboard."""
    before: str = ""
    """Their id at the last collection, if it was different."""


CAST = (
    CastMember("ada", "Ada, who has unlocked the first milestone", public=True),
    CastMember("ben", "Ben, who has not finished module 02", answers="", change="unfinished"),
    CastMember("chi", "Chi, who has Ben's code under other names", answers="", change="renamed"),
    CastMember("dan", "Dan, who has not begun", modules=0, answers=""),
    CastMember("eve", "Eve, who has one answer wrong", "B", answers="wrong"),
    CastMember(
        "fay",
        "Fay, who has unlocked three milestones and is starting module 11 over",
        "B",
        11,
        recorded=("milestone-2", "milestone-3"),
        days=(12, 9),
        puts_back=True,
        public=True,
    ),
    CastMember(
        "gus", "Gus, who has added code that he wrote himself", modules=6, change="own", recorded=("milestone-2",)
    ),
    CastMember(
        "ida", "Ida, who has the same code as Gus", "B", 6, change="copied", recorded=("milestone-2",), days=(8,)
    ),
    CastMember("hal", "Hal, who was late", "B", days=(6,)),
    CastMember("jon_uni", "Jon, who now has a different user name", recorded=("milestone-1",), before="jon"),
    CastMember("kim", "Kim, who is stuck", "B", 6, recorded=("milestone-2-not-yet",), days=(10, 6, 2)),
    CastMember("lee", "Lee, who has an extension", "C", 6, recorded=("milestone-2",), extension="1:3"),
)
DUE = {1: 8, 2: -14}
"""Maps each milestone to the number of days since its deadline."""

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
"""The code that Gus adds to his layers.py."""
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
"""The names that Ida changes in that code."""
