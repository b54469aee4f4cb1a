"""Texts made of documents, prompts for these texts, and words that nobody knows before a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

END_MARK = "\0"
"""The end-of-text token. It follows each document, and occurs nowhere else."""
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True)
class Prompt:
    """The beginning of a document that is not in the training text, and a correct continuation."""

    text: str
    answer: str


def encode_documents(documents: Iterable[str]) -> np.ndarray:
    """Join the documents into one array of bytes, uint8 of shape (n,), with END_MARK after each."""
    return np.frombuffer("".join(document + END_MARK for document in documents).encode(), np.uint8)


def make_up_words(count: int, rng: np.random.Generator, known_words: Iterable[str]) -> list[str]:
    """Make up five-letter words such as bamiv. None shares its first three letters with another or a known word."""
    words: list[str] = []
    taken = {word[:3] for word in known_words}
    while len(words) < count:
        word = "".join(letters[rng.integers(len(letters))] for letters in (CONSONANTS, VOWELS) * 2 + (CONSONANTS,))
        if word[:3] not in taken:
            words.append(word)
            taken.add(word[:3])
    return words


def choose_held_out_pairs(
    pairs: Sequence[tuple[str, str]], count: int, max_per_element: int, rng: np.random.Generator
) -> set[tuple[str, str]]:
    """Choose up to ``count`` pairs. At most ``max_per_element`` of them have the same element in the same position."""
    chosen: set[tuple[str, str]] = set()
    for index in rng.permutation(len(pairs)):
        pair = pairs[index]
        rare = all(sum(pair[side] == other[side] for other in chosen) < max_per_element for side in (0, 1))
        if rare and len(chosen) < count:
            chosen.add(pair)
    return chosen
