"""Interpolated Kneser–Ney n-grams (Kneser and Ney, 1995; Chen and Goodman, 1999), the best models that only count.

An n-gram is encoded as one integer, Σ token · size^position. So n-grams can be counted by sorting and found by binary
search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class _NgramCounts:
    """The counts of all n-grams of one length."""

    keys: np.ndarray
    """The integers of all n-grams, sorted."""
    shares: np.ndarray
    """Each n-gram's share of its context's probability: (count - discount) / total."""
    contexts: np.ndarray
    """The integers of all contexts, sorted. A context is an n-gram without its last token."""
    starts: np.ndarray
    """The index in ``keys`` at which each context's n-grams begin, followed by the length of ``keys``."""
    left: np.ndarray
    """The part of each context's probability that is left for shorter contexts."""


class KneserNey:
    """A model that predicts the next token from the ``order`` - 1 tokens before it."""

    def __init__(self, tokens: np.ndarray, vocabulary_size: int, order: int):
        if vocabulary_size**order > np.iinfo(np.int64).max:
            raise ValueError(f"{order}-grams of {vocabulary_size} tokens do not fit in 64 bits")
        self.size, self.order = vocabulary_size, order
        keys = np.zeros(len(tokens) - order + 1, np.int64)
        for place in range(order):
            keys = keys * vocabulary_size + tokens[place : place + len(keys)]
        keys, counts = np.unique(keys, return_counts=True)
        self._orders: list[_NgramCounts] = []
        for length in range(order, 0, -1):
            self._orders.insert(0, _count_ngrams(keys, counts, vocabulary_size))
            # The count of a shorter n-gram is the number of different tokens that precede it, not the number of its
            # occurrences.
            keys, counts = np.unique(keys % vocabulary_size ** (length - 1), return_counts=True)

    def compute_probabilities(self, prefixes: Sequence[np.ndarray]) -> np.ndarray:
        """Compute the probability of each token after each prefix: (n, size)."""
        found = np.full((len(prefixes), self.size), 1 / self.size)
        for length, order in enumerate(self._orders):
            whole = [row for row, prefix in enumerate(prefixes) if len(prefix) >= length]
            contexts = np.array([self._encode_context_as_int(prefixes[row], length) for row in whole], np.int64)
            for row, place, known in zip(whole, *_find_sorted(order.contexts, contexts), strict=True):
                if known:
                    start, end = order.starts[place : place + 2]
                    found[row] *= order.left[place]
                    found[row, order.keys[start:end] % self.size] += order.shares[start:end]
        return found

    def compute_last_token_probability(self, windows: np.ndarray) -> np.ndarray:
        """Compute the probability of each row's last token, given the tokens before it: (n, length ≤ order) → (n,)."""
        found = np.full(len(windows), 1 / self.size)
        for length, order in enumerate(self._orders[: windows.shape[1]]):
            part = windows[:, windows.shape[1] - 1 - length :].astype(np.int64)
            keys = part @ self.size ** np.arange(length, -1, -1)
            place, known = _find_sorted(order.contexts, keys // self.size)
            found = np.where(known, found * order.left[place], found)
            place, known = _find_sorted(order.keys, keys)
            found += np.where(known, order.shares[place], 0)
        return found

    def _encode_context_as_int(self, prefix: np.ndarray, length: int) -> int:
        """Encode the last ``length`` tokens of a prefix as one integer."""
        key = 0
        for token in prefix[len(prefix) - length :].tolist():
            key = key * self.size + token
        return key


class NgramWriter:
    """An n-gram model with the interface of `text_writers.Writer`."""

    def __init__(self, model: KneserNey, table: Sequence[bytes], encode: Callable[[bytes], np.ndarray]):
        self.table, self.encode, self._model = table, encode, model

    def next_logits(self, prefixes: Sequence[np.ndarray]) -> np.ndarray:
        """Compute each token's log probability after each prefix: (n, V). Of equally likely tokens, the first wins."""
        return np.log(self._model.compute_probabilities(prefixes)) - 1e-12 * np.arange(self._model.size)


def _count_ngrams(keys: np.ndarray, counts: np.ndarray, vocabulary_size: int) -> _NgramCounts:
    """Convert the counts of sorted n-grams to discounted shares of their contexts."""
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    discount = once / (once + 2 * twice) if once and twice else 0.5
    contexts, starts, different = np.unique(keys // vocabulary_size, return_index=True, return_counts=True)
    totals = np.add.reduceat(counts, starts)
    shares = (counts - discount) / np.repeat(totals, different)
    return _NgramCounts(keys, shares, contexts, np.append(starts, len(keys)), discount * different / totals)


def _find_sorted(sorted_array: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each wanted value's position in a sorted array, and whether the array contains it."""
    place = np.minimum(np.searchsorted(sorted_array, wanted), len(sorted_array) - 1)
    return place, sorted_array[place] == wanted
