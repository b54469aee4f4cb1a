"""Resembling submissions side by side, as a page of its own: no script, no request."""

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
"""Lines shown before and after a match."""
LONGEST = 60
"""Lines of one match that are shown."""
MATCHES = 40
"""Matches of one pair that are shown, the longest."""


@dataclass(frozen=True)
class Side:
    """One student's end of a match."""

    file: str
    lines: tuple[tuple[int, str, bool], ...]
    """Number, text, whether it is part of the match."""
    left_out: int
    """Lines of the match that are not shown."""


@dataclass(frozen=True)
class Shown:
    """A pair with what the page shows of it."""

    pair: Pair
    left: str
    right: str
    """Who they are, and of which section or class."""
    lines: tuple[int, int]
    """How many lines of each are like the other's."""
    matches: tuple[tuple[Side, Side], ...]
    left_out: int
    """Matches that are not shown, the shortest."""


def compare(root: Path, folder: Path, to: Path, watch: Watch, against: Sequence[Path] = ()) -> tuple[Pair, ...]:
    """Compare what each student has handed in last with the others, and with the classes in `against`; write the page.

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
        # Whoever takes the course again may build on their own work.
        if by_key[pair.left].row.id != by_key[pair.right].row.id
    )
    names = {one.key: _describe(one, folder) for one in by_key.values()}
    write_atomically(to, page(pairs, read, names).encode())
    return pairs


def _describe(one: Submitted, folder: Path) -> str:
    """Ada Lovelace (A); the class's folder, where it is another class."""
    where = [one.row.section] if one.row.section else []
    where += [one.folder.name] if one.folder != folder else []
    return (one.row.name or one.row.id) + (f" ({', '.join(where)})" if where else "")


def page(pairs: Sequence[Pair], read: Mapping[str, ReadFiles], names: Mapping[str, str]) -> str:
    """The pairs as HTML, each folded, with its matches side by side."""
    shown = [_show(pair, read[pair.left].files, read[pair.right].files, names) for pair in pairs]
    return environment().get_template("similar.html.jinja").render(shown=shown, most=MATCHES)


def _show(pair: Pair, left: Mapping[str, str], right: Mapping[str, str], names: Mapping[str, str]) -> Shown:
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
    text = files[file].splitlines()
    first, last = lines
    end = min(last, first + LONGEST - 1)
    around = range(max(1, first - CONTEXT), min(len(text), end + CONTEXT) + 1)
    shown = tuple((number, clean(text[number - 1], 200), first <= number <= last) for number in around)
    return Side(file, shown, last - end)
