"""Similar submissions side by side, on a page without scripts or requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from desk.report_page import environment
from desk.similar import Pair, compare_prints
from desk.similar_read import ReadFiles, Submitted, list_submitted, read_submissions
from grading.files import write_atomically
from grading.render.progress import Watch
from grading.render.text import clean

CONTEXT = 2
"""How many lines are shown before and after a match."""
LONGEST = 60
"""How many lines of one match are shown."""
MATCHES = 40
"""How many matches of one pair are shown, the longest ones."""


@dataclass(frozen=True)
class Side:
    """One student's side of a match."""

    file: str
    lines: tuple[tuple[int, str, bool], ...]
    """Number, text, and whether the line is part of the match."""
    left_out: int
    """How many lines of the match are not shown."""


@dataclass(frozen=True)
class Shown:
    """A pair with what the page shows of it."""

    pair: Pair
    left: str
    right: str
    """The names of the two, with their section or class."""
    lines: tuple[int, int]
    """How many lines of each are like the other's."""
    matches: tuple[tuple[Side, Side], ...]
    left_out: int
    """How many matches are not shown, the shortest ones."""


def compare(root: Path, folder: Path, to: Path, watch: Watch, against: Sequence[Path] = ()) -> tuple[Pair, ...]:
    """Compare each student's latest submission with the others' and with the classes in `against`, and write the page.

    UsageError for a folder without a gradebook or repositories.
    """
    own = list_submitted(folder)
    others = [one for number, place in enumerate(against, 1) for one in list_submitted(place, f"{number}:")]
    read = read_submissions(root, [*own, *others], watch)
    watch.phase("Comparing", None)
    prints = [{one.key: read[one.key].prints for one in part if one.key in read} for part in (own, others)]
    by_key = {one.key: one for one in (*own, *others)}
    pairs = tuple(
        pair
        for pair in compare_prints(*prints)
        # A student who repeats the course may build on their own work.
        if by_key[pair.left].row.id != by_key[pair.right].row.id
    )
    names = {one.key: _describe(one, folder) for one in by_key.values()}
    write_atomically(to, page(pairs, read, names).encode())
    return pairs


def _describe(one: Submitted, folder: Path) -> str:
    """Name a student with section and, for another class, its folder: Ada Lovelace (A)."""
    where = [one.row.section] if one.row.section else []
    where += [one.folder.name] if one.folder != folder else []
    return (one.row.name or one.row.id) + (f" ({', '.join(where)})" if where else "")


def page(pairs: Sequence[Pair], read: Mapping[str, ReadFiles], names: Mapping[str, str]) -> str:
    """Render the pairs as HTML, each folded, with its matches side by side."""
    shown = [_show(pair, read[pair.left].files, read[pair.right].files, names) for pair in pairs]
    return environment().get_template("similar.html.jinja").render(shown=shown, most=MATCHES)


def _show(pair: Pair, left: Mapping[str, str], right: Mapping[str, str], names: Mapping[str, str]) -> Shown:
    """Prepare a pair for the page, with its longest matches."""
    longest = sorted(pair.matches, key=lambda m: m.left[0] - m.left[1])[:MATCHES]
    return Shown(
        pair,
        names[pair.left],
        names[pair.right],
        (
            len({(m.file, line) for m in pair.matches for line in range(m.left[0], m.left[1] + 1)}),
            len({(m.right_file, line) for m in pair.matches for line in range(m.right[0], m.right[1] + 1)}),
        ),
        tuple((_side(left, m.file, m.left), _side(right, m.right_file, m.right)) for m in longest),
        len(pair.matches) - len(longest),
    )


def _side(files: Mapping[str, str], file: str, lines: tuple[int, int]) -> Side:
    """Prepare one side of a match: its lines, with a few before and after."""
    text = files[file].splitlines()
    first, last = lines
    end = min(last, first + LONGEST - 1)
    around = range(max(1, first - CONTEXT), min(len(text), end + CONTEXT) + 1)
    shown = tuple((number, clean(text[number - 1], 200), first <= number <= last) for number in around)
    return Side(file, shown, last - end)
