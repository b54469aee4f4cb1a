"""A network trained on a text in one process and carried to another, where it is asked: for each of milestone 5's."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from grading.checks.network import Weights, differ_by
from grading.checks.seeds import own_draws
from grading.checks.writer import LONGEST_TOKEN, StudentWriter, learn_merges
from grading.client import Worker
from grading.language.corpus import END
from grading.manifest.model import LanguageExperiment, Milestone
from grading.measured import Context
from grading.result import Curve

CAUSAL_ROWS, CAUSAL_TOKENS = 8, 32
"""Sequences whose ends are changed to see that nothing before them changes, and their length."""
PROBE_BYTES = (CAUSAL_TOKENS + 1) * LONGEST_TOKEN
"""These are at least as many tokens as a probe has."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Places of the training text: what stands before a token in its document, and the token."""

    prefixes: np.ndarray
    targets: np.ndarray

    def probabilities(self, writer: StudentWriter) -> np.ndarray:
        """Of all tokens at each place: (n, V)."""
        return softmax(writer.next_logits(list(self.prefixes)))

    def loss(self, writer: StudentWriter) -> float:
        """Mean cross-entropy in nats."""
        found = self.probabilities(writer)[np.arange(len(self.targets)), self.targets]
        return float(-np.log(np.maximum(found, 1e-9)).mean())

    def ratio(self, writer: StudentWriter) -> float:
        """The loss, divided by that of equal probabilities."""
        return self.loss(writer) / float(np.log(len(writer.table)))


@dataclass(frozen=True, eq=False)
class TextRun:
    """One network: asked when fresh, trained on a text, and carried into a process that saw no training."""

    name: str
    probe: Probe
    writer: StudentWriter
    """Where it is measured: it has the weights of training, made noisy."""
    learned: Weights
    own: Weights
    """Those it was built with there."""
    fresh_ratio: float
    """Cross-entropy of fresh weights ÷ that of equal probabilities; the smaller of both processes."""
    difference: float
    """Between what the trained process answers and what the fresh one does with its weights."""
    causality: float
    """The largest change of a logit by what comes after it, or by whether anything does."""
    numbers: int
    """In parameters, buffers and merges."""
    held_out: list[np.ndarray]
    """The tokens of passages that are not in the text."""
    seconds: float
    curve: Curve


def experiment_of(context: Context) -> tuple[Milestone, LanguageExperiment]:
    """The milestone, and how it is measured."""
    assert context.milestone is not None
    assert isinstance(context.milestone.experiment, LanguageExperiment)
    return context.milestone, context.milestone.experiment


def train_and_carry(
    context: Context, worker: Worker, elsewhere: Worker, seed: int, name: str, text: np.ndarray, held_out: list[bytes]
) -> TextRun:
    """Train on a text in one process, and put what was learned into a network of another, which stays open.

    The first encodes the held-out passages when its weights have been copied, and is closed before the second begins:
    neither who trained nor who answers sees what comes next.
    """
    milestone, experiment = experiment_of(context)
    rng = own_draws(seed, name)
    merges = learn_merges(worker, milestone.trigger, text, context.budget.call_seconds)
    trained = StudentWriter(worker, milestone.trigger, seed, merges)
    trained.weights()  # the contract, before minutes are spent on training
    probe = _draw_probe(trained, text, experiment, rng)
    fresh = probe.ratio(trained)
    curve, seconds = _train(context, trained, seed, name, text, probe)
    answered, weights = probe.probabilities(trained), trained.weights()
    passages = [trained.encode(passage) for passage in held_out]
    worker.close()

    writer = StudentWriter(elsewhere, milestone.trigger, seed + 1, merges)
    own = writer.weights()
    fresh = min(fresh, probe.ratio(writer))
    learned = weights.with_noise(experiment.weight_noise, rng)
    writer.put(learned)
    return TextRun(
        name=name,
        probe=probe,
        writer=writer,
        learned=learned,
        own=own,
        fresh_ratio=fresh,
        difference=differ_by(probe.probabilities(writer), answered),
        causality=_measure_causality(writer, probe.prefixes[:CAUSAL_ROWS, :CAUSAL_TOKENS], rng),
        numbers=weights.numbers + merges.size,
        held_out=passages,
        seconds=seconds,
        curve=curve,
    )


def _draw_probe(
    writer: StudentWriter, text: np.ndarray, experiment: LanguageExperiment, rng: np.random.Generator
) -> Probe:
    """A place in each of some documents, and the tokens before it, from where a network is trained to begin."""
    data = text.tobytes()
    ends = np.flatnonzero(text == ord(END))
    begins = np.append(0, ends + 1)
    starts = rng.choice(begins[begins < len(data) - PROBE_BYTES], experiment.probe_places)
    windows = [writer.encode(data[start : start + PROBE_BYTES])[: CAUSAL_TOKENS + 1] for start in starts.tolist()]
    stacked = np.stack(windows)
    return Probe(stacked[:, :-1], stacked[:, -1])


def _train(
    context: Context, network: StudentWriter, seed: int, name: str, text: np.ndarray, probe: Probe
) -> tuple[Curve, float]:
    """Run the recipe's training; between its steps, measure the loss at fixed places of the training text."""
    _, experiment = experiment_of(context)
    steps: list[float] = []
    losses: list[float] = []

    def progress(step: float, total: float) -> None:
        points = experiment.curve_points
        if step >= len(steps) * total / points and len(steps) <= points:
            steps.append(step)
            losses.append(probe.loss(network))
        context.watch.advance(int(100 * step / total) if 0 < step <= total else 0, f"loss {losses[-1]:.2f}")

    progress(0, 1)
    started = time.monotonic()
    network.train_on(text, seed, context.budget.train_seconds, progress)
    seconds = time.monotonic() - started
    context.watch.advance(100, f"{seconds:.0f} s")
    values = tuple(round(loss, 5) for loss in losses)
    return Curve(name=f"loss on {name}", seed=seed, steps=tuple(steps), values=values), seconds


def _measure_causality(writer: StudentWriter, tokens: np.ndarray, rng: np.random.Generator) -> float:
    """How much the logits before a place change when what follows is another, or nothing at all."""
    half = tokens.shape[1] // 2
    other = tokens.copy()
    other[:, half:] = rng.integers(0, len(writer.table), other[:, half:].shape)
    before = writer.logits(tokens)[:, :half]
    changed = np.abs(before - writer.logits(other)[:, :half]).max()
    alone = max(
        np.abs(before[:, length - 1] - writer.next_logits(list(tokens[:, :length]))).max()
        for length in (1, half // 2, half)
    )
    return float(max(changed, alone))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
