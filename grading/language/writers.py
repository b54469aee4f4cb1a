"""Continue prompts token by token: greedily or by sampling, for a network as for its rivals.

A writer gives the logits of the next token for prefixes. Choosing it, and ending, is done here: so nothing is read
ahead, and no text can disagree with the probabilities it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from grading.language.corpus import END

STOP = END.encode()


class Writer(Protocol):
    """What can be asked for the next token."""

    @property
    def table(self) -> Sequence[bytes]:
        """The bytes of each token."""
        ...

    def encode(self, data: bytes) -> np.ndarray:
        """Tokens whose bytes, joined, are these: int64 (t,)."""
        ...

    def next_logits(self, prefixes: Sequence[np.ndarray]) -> np.ndarray:
        """Logits of the token after each prefix: (n, V), for prefixes of any lengths."""
        ...


@dataclass(frozen=True)
class Completion:
    """What a writer made of a prompt."""

    data: bytes
    """Without the end mark, and what came after it."""
    ended: bool
    """Whether it wrote the end mark in time."""
    tied: bool = False
    """Whether two tokens had the same largest logit, where it then stopped."""

    @property
    def text(self) -> str | None:
        """The text of a completion that ended, None for one that did not or is not UTF-8."""
        try:
            return self.data.decode() if self.ended else None
        except UnicodeDecodeError:
            return None


def complete_greedily(writer: Writer, prompts: Sequence[bytes], most_bytes: int) -> list[Completion]:
    """Each prompt continued by the likeliest tokens, up to the end mark or ``most_bytes``.

    Where two tokens are likeliest nothing is chosen: equal logits are no choice.
    """
    return _complete(writer, prompts, most_bytes, most_bytes, _choose_likeliest)


def complete_by_sampling(
    writer: Writer, prompts: Sequence[bytes], tokens: int, temperature: float, rng: np.random.Generator
) -> list[Completion]:
    """Each prompt continued by so many tokens, or fewer when the end mark comes, drawn with softmax(logits / t)."""

    def draw(logits: np.ndarray) -> np.ndarray:
        scaled = (logits - logits.max(axis=1, keepdims=True)) / temperature
        reached = np.cumsum(np.exp(scaled), axis=1)
        return (reached <= rng.random((len(reached), 1)) * reached[:, -1:]).sum(axis=1)

    longest = tokens * max(map(len, writer.table))
    return _complete(writer, prompts, tokens, longest, draw)


def _choose_likeliest(logits: np.ndarray) -> np.ndarray:
    """The token with the largest logit of each row; -1 where two have it."""
    tied = (logits == logits.max(axis=1, keepdims=True)).sum(axis=1) > 1
    return np.where(tied, -1, logits.argmax(axis=1))


def _complete(
    writer: Writer,
    prompts: Sequence[bytes],
    most_tokens: int,
    most_bytes: int,
    choose: Callable[[np.ndarray], np.ndarray],
) -> list[Completion]:
    prefixes = [writer.encode(prompt) for prompt in prompts]
    written = [b""] * len(prompts)
    done: dict[int, Completion] = {}
    for _ in range(most_tokens):
        active = [index for index in range(len(prompts)) if index not in done]
        if not active:
            break
        tokens = choose(writer.next_logits([prefixes[index] for index in active]))
        for index, token in zip(active, tokens.tolist(), strict=True):
            if token < 0:
                done[index] = Completion(written[index], ended=False, tied=True)
                continue
            piece, stop, _ = writer.table[token].partition(STOP)
            written[index] += piece
            prefixes[index] = np.append(prefixes[index], token)
            if stop or len(written[index]) > most_bytes:
                done[index] = Completion(written[index], ended=bool(stop))
    return [done.get(index, Completion(data, ended=False)) for index, data in enumerate(written)]
