"""The grader's own byte-pair encoding, so that rivals count the same tokens whatever the student's tokenizer is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

import numpy as np

PIECES = re.compile(rb" ?[A-Za-z]+| ?[0-9]| ?[^\sA-Za-z0-9\0]+|\s+(?= )|\s+|\0")
"""The pieces of a text. No token extends from one piece into the next."""
BYTES = 256


class Tokenizer:
    """A byte-pair encoding learned from a text by merging the most frequent pair first (Sennrich et al., 2016)."""

    def __init__(self, data: bytes, vocabulary_size: int):
        self.table = [bytes([byte]) for byte in range(BYTES)]
        counts = Counter(PIECES.findall(data))
        self._pieces: dict[bytes, np.ndarray] = {}
        joined, weights = (
            _join_pieces_with_separators(counts),
            np.repeat(list(counts.values()), [len(piece) + 1 for piece in counts]),
        )
        self._merges: list[tuple[int, int]] = []
        while len(self.table) < vocabulary_size:
            inside = np.flatnonzero((joined[:-1] >= 0) & (joined[1:] >= 0))
            pairs = joined[inside] * vocabulary_size + joined[inside + 1]
            totals = np.bincount(pairs, weights[inside], minlength=1)
            pair = divmod(int(totals.argmax()), vocabulary_size)
            if totals.max() < 2:
                break
            joined, kept = _merge_token_pair(joined, pair, len(self.table))
            weights = weights[kept]
            self._merges.append(pair)
            self.table.append(self.table[pair[0]] + self.table[pair[1]])

    def encode(self, data: bytes) -> np.ndarray:
        """Encode a text as tokens: int64 (t,)."""
        pieces = PIECES.findall(data)
        new = list(dict.fromkeys(piece for piece in pieces if piece not in self._pieces))
        joined = _join_pieces_with_separators(new)
        for number, pair in enumerate(self._merges, start=BYTES):
            joined, _ = _merge_token_pair(joined, pair, number)
        parts = np.split(joined, np.flatnonzero(joined < 0) + 1)
        self._pieces |= {piece: part[:-1] for piece, part in zip(new, parts, strict=False)}
        return np.concatenate([np.empty(0, np.int64), *(self._pieces[piece] for piece in pieces)])


def _join_pieces_with_separators(pieces: Collection[bytes]) -> np.ndarray:
    """Join the bytes of all pieces, with -1 after each."""
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    return np.insert(np.frombuffer(b"".join(pieces), np.uint8).astype(np.int64), ends, -1)


def _merge_token_pair(joined: np.ndarray, pair: tuple[int, int], new_token: int) -> tuple[np.ndarray, np.ndarray]:
    """Replace each pair with ``new_token``, from left to right. Return the tokens and a mask of the positions kept."""
    places = np.flatnonzero((joined[:-1] == pair[0]) & (joined[1:] == pair[1]))
    if pair[0] == pair[1]:  # merge every other pair in a row of overlapping pairs
        run = np.cumsum(np.diff(places, prepend=-2) > 1)
        first = np.searchsorted(run, run)
        places = places[(np.arange(len(places)) - first) % 2 == 0]
    merged = joined.copy()
    merged[places] = new_token
    kept = np.ones(len(joined), bool)
    kept[places + 1] = False
    return merged[kept], kept
