"""One network writes the same tokens twice, without a cache and with module 16's: what the cache saves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from grading.checks.network import RecipeError
from grading.checks.writer import StudentWriter
from grading.client import Worker
from grading.testing import expect

TOKENS = 256
"""So many are written at most; a network with less context writes until it is full."""
FEWEST = 8
REPEATS = 3
"""So often the cache writes them: it takes little time."""


@dataclass(frozen=True)
class CacheRace:
    """How far both have come, in processor time of the worker."""

    total: int
    """Tokens to write."""
    written: int = 0
    """Without the cache."""
    seconds: float = 0.0
    cached_seconds: float = 0.0
    """For all of them; 0 before it was measured."""
    same: bool = False
    """Whether both have written the same tokens."""

    @property
    def speeds(self) -> tuple[float, float]:
        """Tokens in a second without the cache and with it; 0 before they are known."""
        return (
            self.written / self.seconds if self.seconds else 0.0,
            self.total / self.cached_seconds if self.cached_seconds else 0.0,
        )


def race_cache(
    worker: Worker, writer: StudentWriter, prompt: np.ndarray, tell: Callable[[CacheRace], None]
) -> CacheRace | None:
    """Continue some tokens until the network's context is full; ``tell`` is called after each token.

    None for a network that is not made like module 16's and has no caches. Raises what student code raises.
    """
    context = _read_context_length(worker, writer)
    if context is None or context - len(prompt) < FEWEST:
        return None
    total = min(TOKENS, context - len(prompt))
    _generate(worker, writer, prompt, 1)  # what is slow at first only is over then
    writer.next_logits([prompt])
    started = worker.read_clock()
    for _ in range(REPEATS):
        cached = _generate(worker, writer, prompt, total)
    seconds = (worker.read_clock() - started) / REPEATS
    race = CacheRace(total, cached_seconds=seconds)
    tokens, taken = prompt, 0.0
    for written in range(1, total + 1):
        started = worker.read_clock()
        logits = writer.next_logits([tokens])
        taken += worker.read_clock() - started
        tokens = np.append(tokens, logits[0].argmax())
        race = CacheRace(total, written, taken, seconds, bool((tokens == cached[: len(tokens)]).all()))
        tell(race)
    return race


def _read_context_length(worker: Worker, writer: StudentWriter) -> int | None:
    """The most tokens that module 16's network takes; None for one that is no such network."""
    try:
        worker.request("get", writer.network, "new_caches")
        context = worker.request("get", writer.network, "context_length")
    except AttributeError:
        return None
    return context if type(context) is int else None


def _generate(worker: Worker, writer: StudentWriter, prompt: np.ndarray, count: int) -> np.ndarray:
    """The prompt and so many tokens after it, by module 16's `generate`."""
    module, rng = worker.module("tinygpt"), worker.rng(0)
    tokens: Any = worker.call(module, "generate", writer.network, prompt[None], count, rng=rng, temperature=0.0)
    call, shape = f"generate(network, tokens of shape (1, {len(prompt)}), {count})", (1, len(prompt) + count)
    if type(tokens) is not np.ndarray or tokens.dtype.kind not in "iu" or tokens.shape != shape:
        raise RecipeError(call, expect.describe(tokens), f"an integer array of shape {shape}")
    return tokens[0]


def summarize_cache(race: CacheRace) -> str:
    """How much the cache saves, or how far it has come."""
    if race.written < race.total:
        return f"{race.written} of {race.total} tokens"
    slow, fast = race.speeds
    said = "the same tokens" if race.same else "other tokens"
    ratio = fast / slow if slow else 0.0
    return (
        f"{race.total} tokens, and with the cache {said} {ratio:.1f} times as fast: there each goes through the "
        "network once. Without it all of them do, for every new one."
    )
