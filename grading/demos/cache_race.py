"""Show what module 16's cache saves: one network writes the same tokens without the cache and with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from grading.checks.student_network import RecipeError
from grading.checks.student_writer import StudentWriter
from grading.client import Worker
from grading.testing import expect

MAX_TOKENS = 256
"""The maximum number of tokens to write. A network with a shorter context stops when the context is full."""
MIN_TOKENS = 8
REPEATS = 3
"""The number of times that the tokens are written with the cache.

Since that is quick, several repetitions give a better time.
"""


@dataclass(frozen=True)
class CacheRace:
    """The progress and times of writing without the cache and with it, measured in the worker's processor time."""

    total: int
    """The number of tokens to write."""
    written: int = 0
    """The number of tokens written so far without the cache."""
    seconds: float = 0.0
    cached_seconds: float = 0.0
    """The time in seconds for all tokens with the cache, or 0 before it has been measured."""
    same: bool = False
    """Whether writing with the cache produces the same tokens."""

    @property
    def tokens_per_second(self) -> tuple[float, float]:
        """The tokens per second without the cache and with it, or 0 before they are known."""
        return (
            self.written / self.seconds if self.seconds else 0.0,
            self.total / self.cached_seconds if self.cached_seconds else 0.0,
        )


def race_with_and_without_cache(
    worker: Worker, writer: StudentWriter, prompt: np.ndarray, on_progress: Callable[[CacheRace], None]
) -> CacheRace | None:
    """Time how fast a network continues a prompt without and with its cache. Return None if it has no cache or no room.

    It writes up to MAX_TOKENS tokens, and needs room for MIN_TOKENS in its context. ``on_progress`` is called after
    each token that is written without the cache. Exceptions in student code are not caught.
    """
    context = _read_context_length(worker, writer)
    if context is None or context - len(prompt) < MIN_TOKENS:
        return None
    total = min(MAX_TOKENS, context - len(prompt))
    _generate_tokens(worker, writer, prompt, 1)  # warm-up, because some work is slow only the first time
    writer.next_logits([prompt])
    started = worker.read_clock()
    for _ in range(REPEATS):
        cached = _generate_tokens(worker, writer, prompt, total)
    seconds = (worker.read_clock() - started) / REPEATS
    race = CacheRace(total, cached_seconds=seconds)
    tokens, taken = prompt, 0.0
    for written in range(1, total + 1):
        started = worker.read_clock()
        logits = writer.next_logits([tokens])
        taken += worker.read_clock() - started
        tokens = np.append(tokens, logits[0].argmax())
        race = CacheRace(total, written, taken, seconds, bool((tokens == cached[: len(tokens)]).all()))
        on_progress(race)
    return race


def _read_context_length(worker: Worker, writer: StudentWriter) -> int | None:
    """Read the maximum context length of module 16's network. Return None for any other network."""
    try:
        worker.request("get", writer.network, "new_caches")
        context = worker.request("get", writer.network, "context_length")
    except AttributeError:
        return None
    return context if type(context) is int else None


def _generate_tokens(worker: Worker, writer: StudentWriter, prompt: np.ndarray, count: int) -> np.ndarray:
    """Return the prompt and ``count`` tokens that `generate` adds. Raise RecipeError for a wrong type or shape."""
    module, rng = worker.module("tinygpt"), worker.rng(0)
    tokens: Any = worker.call(module, "generate", writer.network, prompt[None], count, rng=rng, temperature=0.0)
    call, shape = f"generate(network, tokens of shape (1, {len(prompt)}), {count})", (1, len(prompt) + count)
    if type(tokens) is not np.ndarray or tokens.dtype.kind not in "iu" or tokens.shape != shape:
        raise RecipeError(call, expect.describe_value(tokens), f"an integer array of shape {shape}")
    return tokens[0]


def describe_cache_race(race: CacheRace) -> str:
    """Describe how much the cache saves or, while the race runs, how many tokens have been written so far."""
    if race.written < race.total:
        return f"{race.written} of {race.total} tokens"
    slow, fast = race.tokens_per_second
    said = "the same tokens" if race.same else "different tokens"
    ratio = fast / slow if slow else 0.0
    return (
        f"{race.total} tokens. With the cache, {said} come {ratio:.1f} times as fast, because each token goes through "
        "the network only once. Without the cache, all earlier tokens go through it again for every new one."
    )
