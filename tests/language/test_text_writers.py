"""The grader chooses each token itself, greedily or by sampling, up to the end mark or a tie."""

from __future__ import annotations

import numpy as np
import pytest

from grading.language.text_writers import Completion, complete_by_sampling, complete_greedily

TABLE = [bytes([byte]) for byte in range(256)] + [b"to", b"go\0 and"]


class ScriptedWriter:
    """A writer that continues every prefix as a script does."""

    table = TABLE

    def __init__(self, *tokens: int, flat: tuple[int, ...] = ()):
        self._tokens, self._flat = tokens, flat
        self.seen: list[list[int]] = []

    def encode(self, data: bytes) -> np.ndarray:
        """Encode each byte as a token."""
        return np.frombuffer(data, np.uint8).astype(np.int64)

    def next_logits(self, prefixes) -> np.ndarray:
        """Return logit 1 for the script's token at the prefix's length, and for its ties."""
        logits = np.zeros((len(prefixes), len(TABLE)))
        for row, prefix in enumerate(prefixes):
            self.seen.append(prefix.tolist())
            logits[row, self._tokens[(len(prefix) - 2) % len(self._tokens)]] = 1
            logits[row, list(self._flat)] = 1
        return logits


def test_it_ends_at_the_end_mark_even_inside_a_token():
    """Anything after the mark is not part of the completion."""
    assert complete_greedily(ScriptedWriter(256, 257), [b"Hi"], 100) == [Completion(b"togo", ended=True)]


def test_a_prefix_is_all_that_is_sent():
    """The writer sees only the prompt and the chosen tokens."""
    script = ScriptedWriter(256, 97, 0)
    complete_greedily(script, [b"Hi"], 100)
    assert script.seen == [[72, 105], [72, 105, 256], [72, 105, 256, 97]]


def test_a_tie_chooses_nothing():
    """Equal logits choose nothing, even if one of them is the right token's."""
    assert complete_greedily(ScriptedWriter(97, flat=(98,)), [b"Hi"], 100) == [Completion(b"", ended=False, tied=True)]


def test_what_does_not_end_is_cut_and_has_no_text():
    """A completion without the end mark does not count as text."""
    (found,) = complete_greedily(ScriptedWriter(97), [b"Hi"], 10)
    assert found.data[:10] == b"a" * 10
    assert (found.ended, found.text) == (False, None)


def test_bytes_that_are_no_utf_8_are_no_text():
    """They cannot be a function or a story."""
    assert complete_greedily(ScriptedWriter(255, 0), [b"Hi"], 10)[0].text is None


def test_prompts_of_any_lengths_are_continued_together():
    """Each has its own completion."""
    found = complete_greedily(ScriptedWriter(97, 98, 0), [b"Hi", b"Hi!"], 100)
    assert [one.data for one in found] == [b"ab", b"b"]


def test_samples_follow_the_probabilities():
    """At temperature 1/2, a token with logit 1 is drawn e² times as often as one with logit 0."""

    class Coin(ScriptedWriter):
        def next_logits(self, prefixes) -> np.ndarray:
            """Return logits of 1 for `a` and 0 for `b`; nothing else is possible."""
            return np.tile(
                np.where(np.arange(258) == 97, 1.0, np.where(np.arange(258) == 98, 0.0, -np.inf)), (len(prefixes), 1)
            )

    found = complete_by_sampling(Coin(0), [b"Hi"] * 30, 100, 0.5, np.random.default_rng(1))
    text = b"".join(one.data for one in found)
    assert len(text) == 3000
    assert text.count(b"a") / 3000 == pytest.approx(np.exp(2) / (1 + np.exp(2)), abs=0.02)
