"""Request merges and next-token logits from a student's language network in a worker, and check them.

The recipe returns merges, from which the grader builds the table of each token's bytes. The recipe's encoding of a text
is valid only if the tokens' bytes add up to the text. The network predicts the next token after prefixes, and never
sees which token really follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grading.checks.student_network import (
    ProgressCallback,
    RecipeError,
    StudentNetwork,
    require_distributions,
    require_finite_floats,
)
from grading.client import MAX_MEMORY, Worker
from grading.testing import expect

BYTES = 256
MOST_MERGES = 1_000
LONGEST_TOKEN = 100
"""The maximum number of bytes in a token."""
TOKENS_PER_CALL = 8_192
"""The maximum number of prefix tokens in one request."""


def request_merges(worker: Worker, module_id: str, text: np.ndarray, time_limit: float) -> np.ndarray:
    """Have the recipe learn merges from a text; return them as int64 (m, 2), or raise RecipeError if invalid."""
    call = f"learn_merges(text of {len(text):,} bytes)"
    with worker.limit_time(time_limit):
        merges = worker.recipe(module_id).learn_merges(text)
    expected = "an int64 array of shape (m, 2), each row two earlier tokens"
    if type(merges) is not np.ndarray or merges.dtype.kind not in "iu" or merges.shape[1:] != (2,):
        raise RecipeError(call, expect.describe_value(merges), expected)
    if len(merges) > MOST_MERGES:
        raise RecipeError(call, f"{len(merges):,} merges", f"at most {MOST_MERGES:,}")
    if ((merges < 0) | (merges >= BYTES + np.arange(len(merges))[:, None])).any():
        raise RecipeError(call, "a merge of a token that does not exist yet", expected)
    merges = merges.astype(np.int64)
    table = build_token_table(merges)
    longest = max(table, key=len)
    if len(longest) > LONGEST_TOKEN:
        raise RecipeError(call, f"a token of {len(longest)} bytes: {longest[:60]!r}", f"at most {LONGEST_TOKEN} bytes")
    if len(set(table)) < len(table):
        twice = next(piece for number, piece in enumerate(table) if piece in table[:number])
        raise RecipeError(call, f"two tokens that both stand for {twice!r}", "only one token for the same bytes")
    return merges


def build_token_table(merges: np.ndarray) -> list[bytes]:
    """List the bytes of each token: the single bytes, then each merge's two parts joined, cut if they are very long."""
    table = [bytes([byte]) for byte in range(BYTES)]
    for left, right in merges.tolist():
        if len(table[left]) + len(table[right]) > 2 * LONGEST_TOKEN:  # otherwise it could double with each merge
            table.append(table[left][:LONGEST_TOKEN] + table[right][:LONGEST_TOKEN])
        else:
            table.append(table[left] + table[right])
    return table


class StudentWriter(StudentNetwork):
    """A student's language network in one worker. It implements `grading.language.text_writers.Writer`."""

    def __init__(self, worker: Worker, module_id: str, seed: int, merges: np.ndarray):
        self.table = build_token_table(merges)
        self._merges = merges
        super().__init__(worker, module_id, seed, merges, outputs=len(self.table))

    def train_on(self, text: np.ndarray, seed: int, time_limit: float, progress: ProgressCallback) -> None:
        """Run the recipe's training on a text, and pass its reports of steps on to ``progress``."""
        self._run_training((text,), seed, time_limit, progress)

    def encode(self, data: bytes) -> np.ndarray:
        """Have the recipe encode bytes as int64 (t,). Raise RecipeError unless its tokens stand for these bytes."""
        shown = f"{data[:40]!r}{'…' if len(data) > 40 else ''}"
        call = f"encode(merges, {shown})"
        tokens = self._get_recipe_function("encode")(self._merges, data)
        self._worker.memory = MAX_MEMORY  # answers are checked and dropped
        if type(tokens) is not np.ndarray or tokens.dtype.kind not in "iu" or tokens.ndim != 1:
            raise RecipeError(call, expect.describe_value(tokens), "an int64 array of shape (t,)")
        if tokens.size and not 0 <= tokens.min() <= tokens.max() < len(self.table):
            raise RecipeError(call, f"tokens up to {tokens.max()}", f"tokens below {len(self.table)}")
        joined = b"".join(self.table[token] for token in tokens.tolist())
        if joined != data:
            raise RecipeError(call, f"tokens that stand for {joined[:60]!r}", "tokens whose bytes add up to the text")
        return tokens.astype(np.int64)

    def next_logits(self, prefixes: Sequence[np.ndarray]) -> np.ndarray:
        """Request the logits of the token after each prefix: float64 (n, V). Raise RecipeError if they are invalid.

        Prefixes of equal length share a request.
        """
        lengths = np.array([len(prefix) for prefix in prefixes])
        logits = np.empty((len(prefixes), len(self.table)))
        for length in np.unique(lengths):
            rows, most = np.flatnonzero(lengths == length), max(1, TOKENS_PER_CALL // int(length))
            for start in range(0, len(rows), most):
                part = rows[start : start + most]
                logits[part] = self._request_logits("next_logits", np.stack([prefixes[row] for row in part]))
        return logits

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Request the logits after each of (n, t) tokens: float64 (n, t, V). Raise RecipeError if they are invalid."""
        return self._request_logits("logits", tokens, tokens.shape[1])

    def attention_maps(self, tokens: np.ndarray) -> np.ndarray:
        """Request attention weights for (n, t) tokens: float64 (n, layers, heads, t, t); raise RecipeError if wrong."""
        answer: Any = self._get_recipe_function("attention_maps")(self._network, tokens)
        self._worker.memory = MAX_MEMORY
        call = f"attention_maps(network, tokens of shape {tokens.shape})"
        maps = require_finite_floats(answer, call, (len(tokens), None, None, tokens.shape[1], tokens.shape[1]))
        require_distributions(maps, call, "attention weights")
        return maps

    @property
    def network(self) -> Any:
        """A reference to the network that `build` returned in the worker, for student functions that take it."""
        return self._network

    def _request_logits(self, function_name: str, tokens: np.ndarray, *steps: int) -> np.ndarray:
        """Request logits: float64 of shape (n, *steps, V). Raise RecipeError if the function returns anything else."""
        answer: Any = self._get_recipe_function(function_name)(self._network, tokens)
        self._worker.memory = MAX_MEMORY
        call = f"{function_name}(network, tokens of shape {tokens.shape})"
        return require_finite_floats(answer, call, (len(tokens), *steps, len(self.table)))
