"""Resembling submissions side by side, as a page of its own: no script, no request."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from course.skeleton import skeleton
from desk.git import GitError
from desk.gradebook import FILE, open_gradebook
from desk.report_page import environment
from desk.similar import Pair, similar
from desk.tree import write_tree
from grading.files import write_atomically
from grading.manifest.load import load
from grading.manifest.model import Manifest, Status
from grading.render.progress import Watch
from grading.render.text import clean
from grading.submission import source_files

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


def compare(root: Path, folder: Path, to: Path, watch: Watch) -> tuple[Pair, ...]:
    """Compare what each student has handed in last, and write the page. UsageError without a gradebook."""
    manifest = load(root)
    with open_gradebook(folder / FILE) as book:
        visits, rows = book.visits(), book.students()
    watch.phase(f"Reading {len(rows)} submissions", len(rows))
    files: dict[str, dict[str, str]] = {}
    for done, row in enumerate(rows, start=1):
        visit = visits.get(row.id)
        repository = folder / "repositories" / f"{row.id}.git"
        if visit is not None and visit.commit is not None and repository.is_dir():
            try:
                files[row.id] = _read(repository, visit.commit, manifest)
            except GitError:
                continue  # the report says what is wrong with it
        watch.advance(done, row.id)
    watch.phase("Comparing", None)
    given = [skeleton((root / path).read_text("utf-8"), manifest, path) for path in _sources(manifest)]
    pairs = similar(files, given)
    names = {row.id: row.name or row.id for row in rows}
    write_atomically(to, page(pairs, files, names).encode())
    return pairs


def _sources(manifest: Manifest) -> list[Path]:
    return [f.path for f in source_files(manifest, [m for m in manifest.modules if m.status is Status.BUILT])]


def _read(repository: Path, commit: str, manifest: Manifest) -> dict[str, str]:
    """A commit's files of Python that students write; what is a link or no text is left out."""
    with tempfile.TemporaryDirectory(prefix="tinytorch-similar-") as tree:
        write_tree(repository, commit, manifest, Path(tree))
        found = {}
        for path in _sources(manifest):
            file = Path(tree, path)
            if file.is_file() and not any(p.is_symlink() for p in (file, *file.parents) if p.is_relative_to(tree)):
                found[path.as_posix()] = file.read_text("utf-8", errors="replace")
    return found


def page(pairs: Sequence[Pair], files: Mapping[str, Mapping[str, str]], names: Mapping[str, str]) -> str:
    """The pairs as HTML, each with its matches side by side."""
    shown = [
        {
            "pair": pair,
            "matches": [
                (_side(files[pair.left], m.file, m.left), _side(files[pair.right], m.right_file, m.right))
                for m in sorted(pair.matches, key=lambda m: m.left[0] - m.left[1])[:MATCHES]
            ],
        }
        for pair in pairs
    ]
    return environment().get_template("similar.html.jinja").render(shown=shown, names=names)


def _side(files: Mapping[str, str], file: str, lines: tuple[int, int]) -> Side:
    text = files[file].splitlines()
    first, last = lines
    end = min(last, first + LONGEST - 1)
    around = range(max(1, first - CONTEXT), min(len(text), end + CONTEXT) + 1)
    shown = tuple((number, clean(text[number - 1], 200), first <= number <= last) for number in around)
    return Side(file, shown, last - end)
