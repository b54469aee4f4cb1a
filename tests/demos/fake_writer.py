"""A network that learns functions without a worker, for the tests of demonstration 5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from grading.demos import function_writer
from grading.demos.function_writer import MOST_BYTES, WritingTask
from grading.demos.web import language_page
from grading.language.text_writers import STOP

CONTEXT = 240


class FakeWriter:
    """A writer of bytes that first babbles, then writes functions that parse, and finally the right ones."""

    table = tuple(bytes([byte]) for byte in range(256))
    answers: ClassVar[dict[str, str]] = {}
    """Of each beginning that it is asked for."""
    stages: ClassVar[tuple[str, ...]] = ("?(?", "\n    return 1\n", "")
    steps = 12
    at: Callable[[int], None] = staticmethod(lambda _step: None)

    def __init__(self, *_: object):
        self.stage, self.shown = 0, []
        self.network = self

    def train_on(self, text: np.ndarray, _seed: int, _seconds: float, progress: Callable[[float, float], None]) -> None:
        """Spend a third of the steps in each stage."""
        self.shown.append(text)
        for step in range(1, self.steps + 1):
            self.at(step)
            self.stage = min(2, step * 3 // self.steps)
            progress(step, self.steps)

    def encode(self, data: bytes) -> np.ndarray:
        """Encode a text as its bytes."""
        return np.frombuffer(data, np.uint8).astype(np.int64)

    def next_logits(self, prefixes: list[np.ndarray]) -> np.ndarray:
        """Return logits that give nine in ten to the intended byte."""
        self.shown += prefixes
        logits = np.tile(np.linspace(0, 0.01, 256), (len(prefixes), 1))
        for row, prefix in enumerate(prefixes):
            logits[row, self._next_byte(bytes(prefix.astype(np.uint8)))] += np.log(9 * 256)
        return logits

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Return, at each position, the logits for the next byte."""
        return np.stack([self.next_logits(list(tokens[:, : end + 1])) for end in range(tokens.shape[1])], axis=1)

    def attention_maps(self, tokens: np.ndarray) -> np.ndarray:
        """Return maps of two layers of three heads that attend to all earlier tokens."""
        seen = np.tril(np.ones((tokens.shape[1], tokens.shape[1])))
        return np.tile(seen / seen.sum(-1, keepdims=True), (len(tokens), 2, 3, 1, 1))

    def _next_byte(self, data: bytes) -> int:
        """Return the byte that continues an exercise's text as intended at this stage, or `#` for any other text."""
        for text, answer in self.answers.items():
            whole = text.encode() + (self.stages[self.stage] or answer).encode() + STOP
            end = whole.rfind(data) + len(data)  # a window may begin anywhere
            if len(text) <= end < len(whole) and whole[:end].endswith(data):
                return whole[end]
        return ord("#")


class FakeWriterWorker:
    """Replaces a worker with module 16's functions for a FakeWriter: a call takes 10 ms, or 30 ms without the cache."""

    def __init__(self) -> None:
        self.now = 0.0

    def read_clock(self) -> float:
        """Return the seconds that have passed."""
        self.now += 0.01
        return self.now

    def module(self, name: str) -> str:
        """Return a module's name, which stands for the module."""
        return name

    def rng(self, seed: int) -> np.random.Generator:
        """Make a NumPy generator from this seed."""
        return np.random.default_rng(seed)

    def request(self, verb: str, network: FakeWriter, name: str) -> Any:
        """Return an attribute of module 16's network."""
        assert (verb, type(network)) == ("get", FakeWriter)
        return {"new_caches": object(), "context_length": CONTEXT}[name]

    def call(self, module: str, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call one of module 16's functions."""
        assert module == "tinygpt"
        return getattr(self, f"_{name}")(*args, **kwargs)

    def _sampling_probabilities(self, logits: np.ndarray, *, temperature: float, top_p: float) -> np.ndarray:
        """Compute probabilities like module 16's function, with a simple cut-off for `top_p`."""
        p = np.exp((logits - logits.max()) / max(temperature, 1e-3))
        p /= p.sum()
        p[p < p.max() * (1 - top_p)] = 0
        return p / p.sum()

    def _generate(
        self, network: FakeWriter, tokens: np.ndarray, count: int, *, rng: np.random.Generator, temperature: float
    ) -> np.ndarray:
        """Append this number of likeliest tokens."""
        assert rng is not None
        assert temperature == 0
        for _ in range(count):
            tokens = np.append(tokens, network.next_logits(list(tokens)).argmax(1)[None], axis=1)
        return tokens


def list_right_answers(task: WritingTask) -> dict[str, str]:
    """Map each exercise's prompt to its right answer."""
    return {exercise.prompt.text: exercise.prompt.answer for exercise in task.exercises}


def install_fake_writer(patch: Any, task: WritingTask) -> None:
    """Make the demonstration use a FakeWriter, which learns to do this task."""
    patch.setattr(function_writer, "request_merges", lambda *_: np.zeros((0, 2), np.int64))
    patch.setattr(function_writer, "StudentWriter", FakeWriter)
    patch.setattr(FakeWriter, "answers", list_right_answers(task))
    for module in (function_writer, language_page):  # unlike the networks of other tests, it finishes its functions
        patch.setattr(module, "MOST_BYTES", MOST_BYTES)
