"""Which submissions resemble each other: winnowing (Schleimer, Wilkerson, Aiken: SIGMOD 2003) of the code's tokens.

Names, numbers and layout do not count, so renaming hides nothing. What the course gives everybody is left out, and so
is what many have found by themselves. A resemblance is a reason to look, never a verdict.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

GRAM = 14
"""Tokens of one fingerprint: a shorter match is chance."""
WINDOW = 8
"""Of so many fingerprints in a row one is kept: every match of GRAM + WINDOW - 1 tokens is found."""
COMMON = 0.25
"""What more than this share of the class has is everybody's."""
FEW, MANY = 4, 20
"""So many may have the same before it can count as common, however small the class; and no more, however large."""
_STRING_BEGINS = {getattr(tokenize, name) for name in ("FSTRING_START", "TSTRING_START") if hasattr(tokenize, name)}
_STRING_ENDS = {getattr(tokenize, name) for name in ("FSTRING_END", "TSTRING_END") if hasattr(tokenize, name)}
"""From Python 3.12 on f-strings come in parts, from 3.14 on t-strings; before, one is a single token, as here."""
_SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


@dataclass(frozen=True)
class Print:
    """One kept fingerprint of a file, and the lines it stands on."""

    value: int
    file: str
    first: int
    last: int


@dataclass(frozen=True)
class Match:
    """Lines of one student's file that resemble lines of another's."""

    file: str
    left: tuple[int, int]
    right_file: str
    right: tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """Two students, by how much of the smaller one's own work the other has as well."""

    left: str
    right: str
    share: float
    """Of the fingerprints of whoever has fewer, 0 to 1."""
    common: int
    matches: tuple[Match, ...]


def tokens(source: str) -> list[tuple[str, int]]:
    """The code as kinds of tokens with their lines; what cannot be read ends the list.

    >>> [kind for kind, _ in tokens("total = count + 1  # add")]
    ['n', '=', 'n', '+', '0']
    """
    found: list[tuple[str, int]] = []
    previous, inside = None, 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.ERRORTOKEN or token.string in ("$", "?", "!"):  # versions differ in what follows
                break
            is_string = token.type == tokenize.STRING or token.type in _STRING_BEGINS
            inside += (token.type in _STRING_BEGINS) - (token.type in _STRING_ENDS)
            if token.type in _STRING_ENDS or inside > (token.type in _STRING_BEGINS):
                continue
            line_begins = previous in (None, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
            if token.type in _SKIPPED:
                previous = token.type if token.type not in (tokenize.COMMENT, tokenize.NL) else previous
                continue
            if is_string and line_begins:  # a docstring
                continue
            previous = token.type
            found.append(("s" if is_string else _kind(token), token.start[0]))
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass
    return [one for one in found if one[0]]


def _kind(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.NAME:
        return token.string if keyword.iskeyword(token.string) else "n"
    return "0" if token.type == tokenize.NUMBER else token.string


def prints(file: str, source: str) -> list[Print]:
    """The fingerprints that winnowing keeps of a file: of each window the smallest, the last of equals."""
    sequence = tokens(source)
    grams = [
        Print(_hash([kind for kind, _ in part]), file, part[0][1], part[-1][1])
        for part in (sequence[start : start + GRAM] for start in range(len(sequence) - GRAM + 1))
    ]
    kept: dict[int, Print] = {}
    for start in range(max(1, len(grams) - WINDOW + 1)) if grams else ():
        window = range(start, min(start + WINDOW, len(grams)))
        place = min(window, key=lambda index: (grams[index].value, -index))
        kept[place] = grams[place]
    return list(kept.values())


def _hash(kinds: Sequence[str]) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(kinds).encode(), digest_size=8).digest())


def grams_of(source: str) -> set[int]:
    """Every fingerprint of a text, not only those that are kept: what is given must be known wherever it stands."""
    sequence = tokens(source)
    return {_hash([kind for kind, _ in sequence[s : s + GRAM]]) for s in range(len(sequence) - GRAM + 1)}


def similar(
    class_files: Mapping[str, Mapping[str, str]], given: Iterable[str], *, least: float = 0.2, most: int = 200
) -> tuple[Pair, ...]:
    """The pairs that resemble each other most: student → file → text; `given` are texts of the course.

    Pairs below `least` are left out, and all but the first `most`. Cost: one pass over the files, then over what is
    shared.
    """
    known = set().union(*map(grams_of, given))
    own = {
        student: [p for name, text in sorted(files.items()) for p in prints(name, text) if p.value not in known]
        for student, files in sorted(class_files.items())
    }
    holders: dict[int, list[str]] = defaultdict(list)
    for student, found in own.items():
        for value in {p.value for p in found}:
            holders[value].append(student)
    limit = max(FEW, min(MANY, int(COMMON * len(own))))
    rare = {value for value, students in holders.items() if len(students) <= limit}
    shared: Counter[tuple[str, str]] = Counter()
    for value in rare:
        shared.update(combinations(holders[value], 2))
    sizes = {student: len({p.value for p in found if p.value in rare}) for student, found in own.items()}
    pairs = [(common / min(sizes[left], sizes[right]), common, left, right) for (left, right), common in shared.items()]
    chosen = sorted((p for p in pairs if p[0] >= least), key=lambda p: (-p[0], -p[1], p[2], p[3]))[:most]
    return tuple(
        Pair(left, right, round(share, 3), n, _matches(own[left], own[right], rare)) for share, n, left, right in chosen
    )


def _matches(left: Sequence[Print], right: Sequence[Print], rare: set[int]) -> tuple[Match, ...]:
    """The lines the shared fingerprints stand on, neighbours joined, in the order of the left files."""
    places = {p.value: p for p in right if p.value in rare}
    found = sorted(
        (p.file, p.first, p.last, places[p.value].file, places[p.value].first, places[p.value].last)
        for p in left
        if p.value in places
    )
    joined: list[Match] = []
    for file, first, last, other, other_first, other_last in found:
        before = joined[-1] if joined else None
        if (
            before is not None
            and (before.file, before.right_file) == (file, other)
            and first <= before.left[1] + 1
            and before.right[0] <= other_first <= before.right[1] + 1
        ):
            joined[-1] = Match(
                file,
                (before.left[0], max(before.left[1], last)),
                other,
                (before.right[0], max(before.right[1], other_last)),
            )
        else:
            joined.append(Match(file, (first, last), other, (other_first, other_last)))
    return tuple(joined)
