"""Find submissions that resemble each other, by winnowing (Schleimer, Wilkerson, Aiken: SIGMOD 2003) of code tokens.

Names, numbers and layout do not count, so renaming hides nothing. Code that the course provides is left out, and so is
code that many students have written independently. A resemblance is a reason to look, never a verdict.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

GRAM = 14
"""The number of tokens in one fingerprint. A shorter match could be a coincidence."""
WINDOW = 8
"""The length of the window in which one fingerprint is kept; any match of GRAM + WINDOW - 1 tokens is found."""
COMMON = 0.25
"""A fingerprint found in more than this fraction of the class does not count."""
FEW, MANY = 4, 20
"""The bounds between which that fraction is kept, as numbers of students who may share a fingerprint."""
GROUPS = 20_000
"""The number of fingerprints for which pairs are formed in one step."""
_STRING_BEGINS = {getattr(tokenize, name) for name in ("FSTRING_START", "TSTRING_START") if hasattr(tokenize, name)}
_STRING_ENDS = {getattr(tokenize, name) for name in ("FSTRING_END", "TSTRING_END") if hasattr(tokenize, name)}
"""The tokens that begin and end f-strings (since Python 3.12) and t-strings (since 3.14).

Here each such string is one token, as in older versions.
"""
_SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


FINGERPRINT = np.dtype([("value", np.uint64), ("first", np.uint32), ("last", np.uint32)])
"""The dtype of one kept fingerprint, with its first and last line in the file."""
FileFingerprints = Mapping[str, np.ndarray]
"""The type of a student's fingerprints: file → array of `FINGERPRINT`."""


@dataclass(frozen=True)
class LineMatch:
    """Lines in one student's file that resemble lines in another student's file."""

    file: str
    left: tuple[int, int]
    right_file: str
    right: tuple[int, int]


@dataclass(frozen=True)
class SimilarPair:
    """Two students whose submissions resemble each other."""

    left: str
    right: str
    share: float
    """The number of common fingerprints as a share, 0 to 1, of the fingerprints of the student who has fewer."""
    common: int
    """The number of fingerprints that both students have."""
    alone: int
    """The number of common fingerprints that nobody else has."""
    rarity: float
    """The sum of 1 / (holders - 1) over the common fingerprints.

    A fingerprint that only these two students have adds 1; a frequent one adds little.
    """
    matches: tuple[LineMatch, ...]


def tokenize_code(source: str) -> list[tuple[str, int]]:
    """Split code into (kind of token, line) pairs without comments and docstrings, up to the first error.

    >>> [kind for kind, _ in tokenize_code("total = count + 1  # add")]
    ['n', '=', 'n', '+', '0']
    """
    found: list[tuple[str, int]] = []
    previous, inside = None, 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.ERRORTOKEN or token.string in (
                "$",
                "?",
                "!",
            ):  # after an error, Python's versions differ
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
            found.append(("s" if is_string else _name_token_kind(token), token.start[0]))
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass
    return [one for one in found if one[0]]


def _name_token_kind(token: tokenize.TokenInfo) -> str:
    """Return the kind of a token: n for names, 0 for numbers, otherwise (as for keywords) the token itself."""
    if token.type == tokenize.NAME:
        return token.string if keyword.iskeyword(token.string) else "n"
    return "0" if token.type == tokenize.NUMBER else token.string


def fingerprint_code(source: str, given_hashes: np.ndarray) -> np.ndarray:
    """Compute a file's fingerprints, each a hash with its first and last line, except those in `given_hashes`.

    Winnowing selects them: the last minimum of each window of hashes is kept.
    """
    sequence = tokenize_code(source)
    values = hash_token_runs([kind for kind, _ in sequence])
    if not len(values):
        return np.empty(0, FINGERPRINT)
    windows = np.lib.stride_tricks.sliding_window_view(values, min(WINDOW, len(values)))
    width = windows.shape[1]
    kept = np.unique(np.arange(len(windows)) + width - 1 - windows[:, ::-1].argmin(axis=1))
    lines = np.array([line for _, line in sequence], np.uint32)
    found = np.empty(len(kept), FINGERPRINT)
    found["value"], found["first"], found["last"] = values[kept], lines[kept], lines[kept + GRAM - 1]
    return found[~np.isin(found["value"], given_hashes)]


def hash_token_runs(token_kinds: Sequence[str]) -> np.ndarray:
    """Hash each run of `GRAM` tokens with a polynomial over the tokens' digests, modulo 2⁶⁴."""
    count = len(token_kinds) - GRAM + 1
    if count < 1:
        return np.empty(0, np.uint64)
    digests = np.array([_hash_token_kind(kind) for kind in token_kinds], np.uint64)
    values = np.zeros(count, np.uint64)
    for place in range(GRAM):
        values = values * np.uint64(0x9E3779B97F4A7C15) + digests[place : place + count]
    return values


@cache
def _hash_token_kind(kind: str) -> int:
    """Hash the kind of a token to 64 bits."""
    return int.from_bytes(hashlib.blake2b(kind.encode(), digest_size=8).digest())


def hash_given_code(given_texts: Iterable[str]) -> np.ndarray:
    """Hash every run of tokens in the course's texts, so that given code is recognized anywhere."""
    found = [hash_token_runs([kind for kind, _ in tokenize_code(text)]) for text in given_texts]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)


def compare_fingerprints(
    own: Mapping[str, FileFingerprints],
    others: Mapping[str, FileFingerprints],
    *,
    min_share: float = 0.2,
    max_pairs: int = 200,
) -> tuple[SimilarPair, ...]:
    """Find pairs that resemble each other, within `own` and between `own` and `others`, with the rarest matches first.

    Pairs that share less than `min_share` are left out, and only the first `max_pairs` are returned.
    Code that many students have does not count.
    """
    everybody = {**own, **others}
    names = list(everybody)
    values, holders = _list_fingerprint_holders(everybody)
    unique, starts, counts = np.unique(values, return_index=True, return_counts=True)
    limit = max(FEW, min(MANY, int(COMMON * len(names))))
    rare = counts <= limit
    sizes = np.bincount(holders[np.repeat(rare, counts)], minlength=len(names))
    codes, common, alone, rarity = _count_shared_fingerprints(holders, starts, counts, limit, len(own), len(names))
    left, right = codes // max(1, len(names)), codes % max(1, len(names))
    share = common / np.maximum(np.minimum(sizes[left], sizes[right]), 1)
    order = sorted(
        np.flatnonzero(share >= min_share).tolist(), key=lambda at: (-rarity[at], -share[at], int(codes[at]))
    )[:max_pairs]
    kept = unique[rare]
    return tuple(
        SimilarPair(
            names[left[at]],
            names[right[at]],
            round(float(share[at]), 3),
            int(common[at]),
            int(alone[at]),
            round(float(rarity[at]), 1),
            _find_line_matches(everybody[names[left[at]]], everybody[names[right[at]]], kept),
        )
        for at in order
    )


def _list_fingerprint_holders(everybody: Mapping[str, FileFingerprints]) -> tuple[np.ndarray, np.ndarray]:
    """List (fingerprints, student numbers), sorted by fingerprint, with one entry for each student who has it."""
    empty = np.empty(0, np.uint64)
    own = [np.unique(np.concatenate([empty, *(p["value"] for p in files.values())])) for files in everybody.values()]
    values = np.concatenate([empty, *own])
    holders = np.repeat(np.arange(len(own)), [len(found) for found in own])
    order = np.argsort(values, kind="stable")
    return values[order], holders[order]


def _count_shared_fingerprints(
    holders: np.ndarray, starts: np.ndarray, counts: np.ndarray, limit: int, own_count: int, student_count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return encoded pairs (left × students + right), with their shared count, exclusively shared count and rarity."""
    found = [np.zeros((0, 4))]
    for size, groups in _group_by_holder_count(starts, counts, limit):
        members = holders[groups[:, None] + np.arange(size)]
        i, j = np.triu_indices(size, 1)
        left, right = members[:, i].ravel(), members[:, j].ravel()
        codes, times = np.unique((left * student_count + right)[left < own_count], return_counts=True)
        found.append(np.column_stack([codes, times, times * (size == 2), times / (size - 1)]))
    every = np.concatenate(found)
    codes, where = np.unique(every[:, 0].astype(np.int64), return_inverse=True)
    common, alone, rarity = (np.bincount(where, every[:, column], len(codes)) for column in (1, 2, 3))
    return codes, common, alone, rarity


def _group_by_holder_count(starts: np.ndarray, counts: np.ndarray, limit: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (holder count, starts of fingerprints with 2 to `limit` holders), at most `GROUPS` starts at a time."""
    for size in range(2, limit + 1):
        of_size = starts[counts == size]
        for at in range(0, len(of_size), GROUPS):
            yield size, of_size[at : at + GROUPS]


def find_similar_pairs(
    class_files: Mapping[str, Mapping[str, str]],
    given_texts: Iterable[str],
    against: Mapping[str, Mapping[str, str]] | None = None,
) -> tuple[SimilarPair, ...]:
    """Find pairs of similar students (student → file → text), within the class and with others, ignoring given code.

    The limits are those of `compare_fingerprints`.
    """
    known = hash_given_code(given_texts)

    def fingerprint_students(students: Mapping[str, Mapping[str, str]]) -> dict[str, FileFingerprints]:
        """Compute the fingerprints of each student's files."""
        return {
            s: {f: fingerprint_code(text, known) for f, text in sorted(of.items())}
            for s, of in sorted(students.items())
        }

    return compare_fingerprints(fingerprint_students(class_files), fingerprint_students(against or {}))


def _find_line_matches(left: FileFingerprints, right: FileFingerprints, rare: np.ndarray) -> tuple[LineMatch, ...]:
    """Find the lines of the rare fingerprints that both sides have, and join adjacent matches, in left order."""
    places = {value: (file, first, last) for file, value, first, last in _list_rare_fingerprints(right, rare)}
    found = sorted(
        (file, first, last, *places[value])
        for file, value, first, last in _list_rare_fingerprints(left, rare)
        if value in places
    )
    joined: list[LineMatch] = []
    for file, first, last, other, other_first, other_last in found:
        before = joined[-1] if joined else None
        if (
            before is not None
            and (before.file, before.right_file) == (file, other)
            and first <= before.left[1] + 1
            and before.right[0] <= other_first <= before.right[1] + 1
        ):
            joined[-1] = LineMatch(
                file,
                (before.left[0], max(before.left[1], last)),
                other,
                (before.right[0], max(before.right[1], other_last)),
            )
        else:
            joined.append(LineMatch(file, (first, last), other, (other_first, other_last)))
    return tuple(joined)


def _list_rare_fingerprints(prints: FileFingerprints, rare: np.ndarray) -> Iterator[tuple[str, int, int, int]]:
    """List the file, value, first and last line of each fingerprint that few students have."""
    for file, found in prints.items():
        for value, first, last in found[np.isin(found["value"], rare)].tolist():
            yield file, value, first, last
