"""Hold passages of a real text out of training, and measure how much of a network's text is copied or repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grading.language.documents import END_MARK, encode_documents

PASSAGE_CHARACTERS = 4_000
"""The approximate length of a passage in characters. Every passage ends at the end of a paragraph."""
HELD_OUT_EVERY = 10
"""One passage in this many is held out of the training text."""
COPIED_WORDS, REPEATED_WORDS = 8, 4
"""The number of consecutive words that count as copied if the training text contains them, and as repeated if they
recur.
"""
FEWEST_WORDS = 10
"""The minimum number of words in a valid sample. A shorter sample counts as pure repetition."""


@dataclass(frozen=True, eq=False)
class PassageSplit:
    """A text without its held-out passages, and the passages themselves."""

    text: np.ndarray
    train: str
    held_out: tuple[str, ...]


def hold_out_passages(data: bytes, rng: np.random.Generator) -> PassageSplit:
    """Cut a text into passages, drop a short rest at the end, and hold a random tenth out of the training text."""
    passages, current = [], ""
    for paragraph in data.decode(errors="replace").replace(END_MARK, "").split("\n\n"):
        current += paragraph + "\n\n"
        if len(current) >= PASSAGE_CHARACTERS:
            passages.append(current)
            current = ""
    held = set(rng.permutation(len(passages))[: max(1, len(passages) // HELD_OUT_EVERY)].tolist())
    train = [passage for number, passage in enumerate(passages) if number not in held]
    return PassageSplit(encode_documents(train), "".join(train), tuple(passages[number] for number in sorted(held)))


def measure_copied_share(samples: Sequence[str], training_text: str) -> float:
    """Measure the share of eight-word sequences that the training text also contains, or 1 if the samples have none."""
    known = f" {' '.join(training_text.split())} "
    runs = [f" {' '.join(run)} " for sample in samples for run in _list_word_sequences(sample.split(), COPIED_WORDS)]
    return sum(run in known for run in runs) / len(runs) if runs else 1.0


def measure_repeated_share(samples: Sequence[str]) -> float:
    """Measure the mean share of four-word sequences that a sample repeats. A sample that is too short counts as 1."""

    def measure_repetition(sample: str) -> float:
        """Return the share of a sample's word runs that repeat an earlier one, or 1 if the sample is too short."""
        runs = _list_word_sequences(sample.split(), REPEATED_WORDS)
        return 1 - len(set(runs)) / len(runs) if len(runs) > FEWEST_WORDS - REPEATED_WORDS else 1.0

    return sum(map(measure_repetition, samples)) / max(1, len(samples))


def _list_word_sequences(words: list[str], length: int) -> list[tuple[str, ...]]:
    """List every run of ``length`` consecutive words."""
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]
