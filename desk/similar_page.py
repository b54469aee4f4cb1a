"""Show similar submissions side by side, on a page without scripts or requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from desk.report_page import build_template_environment
from desk.similar import SimilarPair, compare_fingerprints
from desk.similar_read import LatestSubmission, SubmissionFiles, list_latest_submissions, read_submissions
from grading.files import write_atomically
from grading.render.progress_watch import ProgressWatch
from grading.render.text import clean_text

CONTEXT = 2
"""The number of lines shown before and after a match."""
LONGEST = 60
"""The maximum number of lines shown for one match."""
MATCHES = 40
"""The maximum number of matches shown for one pair; the longest are shown."""


@dataclass(frozen=True)
class MatchSide:
    """One student's side of a match."""

    file: str
    lines: tuple[tuple[int, str, bool], ...]
    """The lines, each with its number, its text, and whether it is part of the match."""
    left_out: int
    """The number of lines of the match that are not shown."""


@dataclass(frozen=True)
class ShownPair:
    """A pair of students as the page shows it."""

    pair: SimilarPair
    left: str
    right: str
    """The name of the student on the right, with the section or class; `left` has the same format."""
    lines: tuple[int, int]
    """The number of each student's lines that resemble the other student's."""
    matches: tuple[tuple[MatchSide, MatchSide], ...]
    left_out: int
    """The number of matches that are not shown; the shortest are omitted first."""


def write_similarity_page(
    root: Path, folder: Path, target: Path, watch: ProgressWatch, against: Sequence[Path] = ()
) -> tuple[SimilarPair, ...]:
    """Compare a class's latest submissions, also with classes in `against`; write a page of similar pairs; return them.

    Raise UsageError if a folder has no gradebook or no repositories.
    """
    own = list_latest_submissions(folder)
    others = [one for number, place in enumerate(against, 1) for one in list_latest_submissions(place, f"{number}:")]
    read = read_submissions(root, [*own, *others], watch)
    watch.begin_phase("Comparing", None)
    prints = [{one.key: read[one.key].prints for one in part if one.key in read} for part in (own, others)]
    by_key = {one.key: one for one in (*own, *others)}
    pairs = tuple(
        pair
        for pair in compare_fingerprints(*prints)
        # Students who repeat the course may build on their own work.
        if by_key[pair.left].row.id != by_key[pair.right].row.id
    )
    names = {one.key: _format_student_label(one, folder) for one in by_key.values()}
    write_atomically(target, render_similarity_page(pairs, read, names).encode())
    return pairs


def _format_student_label(submission: LatestSubmission, folder: Path) -> str:
    """Return a name with the section, such as Ada Lovelace (A), and the folder if the student is in another class."""
    where = [submission.row.section] if submission.row.section else []
    where += [submission.folder.name] if submission.folder != folder else []
    return (submission.row.name or submission.row.id) + (f" ({', '.join(where)})" if where else "")


def render_similarity_page(
    pairs: Sequence[SimilarPair], read: Mapping[str, SubmissionFiles], names: Mapping[str, str]
) -> str:
    """Render the pairs as HTML. Each pair is collapsed and has its matches side by side."""
    shown = [_build_shown_pair(pair, read[pair.left].files, read[pair.right].files, names) for pair in pairs]
    return build_template_environment().get_template("similar.html.jinja").render(shown=shown, most=MATCHES)


def _build_shown_pair(
    pair: SimilarPair, left: Mapping[str, str], right: Mapping[str, str], names: Mapping[str, str]
) -> ShownPair:
    """Prepare a pair for the page, with its longest matches."""
    longest = sorted(pair.matches, key=lambda m: m.left[0] - m.left[1])[:MATCHES]
    return ShownPair(
        pair,
        names[pair.left],
        names[pair.right],
        (
            len({(m.file, line) for m in pair.matches for line in range(m.left[0], m.left[1] + 1)}),
            len({(m.right_file, line) for m in pair.matches for line in range(m.right[0], m.right[1] + 1)}),
        ),
        tuple(
            (_build_match_side(left, m.file, m.left), _build_match_side(right, m.right_file, m.right)) for m in longest
        ),
        len(pair.matches) - len(longest),
    )


def _build_match_side(files: Mapping[str, str], file: str, lines: tuple[int, int]) -> MatchSide:
    """Prepare one side of a match: at most `LONGEST` of its lines, with a few lines before and after."""
    text = files[file].splitlines()
    first, last = lines
    end = min(last, first + LONGEST - 1)
    around = range(max(1, first - CONTEXT), min(len(text), end + CONTEXT) + 1)
    shown = tuple((number, clean_text(text[number - 1], 200), first <= number <= last) for number in around)
    return MatchSide(file, shown, last - end)
