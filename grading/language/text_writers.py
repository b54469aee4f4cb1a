"""Continue prompts token by token, greedily or by sampling, for both the network and its rivals.

A writer returns the logits of the next token after prefixes. The grader chooses the tokens and decides when to stop, so
that a writer cannot read ahead, and no text can disagree with the probabilities from which it was chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from grading.language.documents import END_MARK

STOP = END_MARK.encode()


class Writer(Protocol):
    """A model that can predict the next token."""

    @property
    def table(self) -> Sequence[bytes]:
        """The bytes that each token stands for."""
        ...

    def encode(self, data: bytes) -> np.ndarray:
        """Encode bytes as tokens whose bytes, concatenated, equal the input: int64 (t,)."""
        ...

    def next_logits(self, prefixes: Sequence[np.ndarray]) -> np.ndarray:
        """Compute the logits of the token after each prefix: (n, V), for prefixes of any length."""
        ...


@dataclass(frozen=True)
class Completion:
    """The text that a writer wrote after a prompt."""

    data: bytes
    """The bytes written before the end-of-text token."""
    ended: bool
    """Whether the writer wrote the end-of-text token in time."""
    tied: bool = False
    """Whether writing stopped because two tokens had the same largest logit."""

    @property
    def text(self) -> str | None:
        """The completion's text, or None if the completion did not end or is not UTF-8."""
        try:
            return self.data.decode() if self.ended else None
        except UnicodeDecodeError:
            return None


def complete_greedily(writer: Writer, prompts: Sequence[bytes], max_bytes: int) -> list[Completion]:
    """Continue each prompt with the likeliest tokens until END_MARK, a tie, or more than ``max_bytes`` bytes."""
    return _complete_prompts(writer, prompts, max_bytes, max_bytes, _choose_likeliest)


def complete_by_sampling(
    writer: Writer, prompts: Sequence[bytes], max_tokens: int, temperature: float, rng: np.random.Generator
) -> list[Completion]:
    """Continue each prompt with tokens drawn from softmax(logits / temperature), up to END_MARK or ``max_tokens``."""

    def draw_one_token_each(logits: np.ndarray) -> np.ndarray:
        """Draw a token for each row of logits."""
        scaled = (logits - logits.max(axis=1, keepdims=True)) / temperature
        reached = np.cumsum(np.exp(scaled), axis=1)
        return (reached <= rng.random((len(reached), 1)) * reached[:, -1:]).sum(axis=1)

    longest = max_tokens * max(map(len, writer.table))
    return _complete_prompts(writer, prompts, max_tokens, longest, draw_one_token_each)


def _choose_likeliest(logits: np.ndarray) -> np.ndarray:
    """Choose the token with the largest logit in each row, or -1 if two tokens share the largest logit."""
    tied = (logits == logits.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return np.where(tied, -1, logits.argmax(axis=1))


def _complete_prompts(
    writer: Writer,
    prompts: Sequence[bytes],
    max_tokens: int,
    max_bytes: int,
    choose_tokens: Callable[[np.ndarray], np.ndarray],
) -> list[Completion]:
    """Continue each prompt with chosen tokens until END_MARK, a tie, ``max_tokens`` or over ``max_bytes`` bytes."""
    prefixes = [writer.encode(prompt) for prompt in prompts]
    written = [b""] * len(prompts)
    done: dict[int, Completion] = {}
    for _ in range(max_tokens):
        active = [index for index in range(len(prompts)) if index not in done]
        if not active:
            break
        tokens = choose_tokens(writer.next_logits([prefixes[index] for index in active]))
        for index, token in zip(active, tokens.tolist(), strict=True):
            if token < 0:
                done[index] = Completion(written[index], ended=False, tied=True)
                continue
            piece, stop, _ = writer.table[token].partition(STOP)
            written[index] += piece
            prefixes[index] = np.append(prefixes[index], token)
            if stop or len(written[index]) > max_bytes:
                done[index] = Completion(written[index], ended=bool(stop))
    return [done.get(index, Completion(data, ended=False)) for index, data in enumerate(written)]
