"""Train a network on one of milestone 5's texts in one process, and test its weights in another one."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from grading.checks.grader_seeds import make_grader_rng
from grading.checks.student_network import Weights, compute_mean_difference
from grading.checks.student_writer import LONGEST_TOKEN, StudentWriter, request_merges
from grading.client import Worker
from grading.language.documents import END_MARK
from grading.manifest.model import LanguageExperiment
from grading.measurement import CheckContext, get_milestone_and_experiment
from grading.result import Curve

CAUSAL_ROWS, CAUSAL_TOKENS = 8, 32
"""The number of sequences in the causality test, and their length in tokens. Only their second halves change."""
PROBE_BYTES = (CAUSAL_TOKENS + 1) * LONGEST_TOKEN
"""The number of bytes that always contain at least as many tokens as a probe."""


@dataclass(frozen=True, eq=False)
class TextProbe:
    """Positions in the training text: for each one, its token and the tokens before it in its document."""

    prefixes: np.ndarray
    targets: np.ndarray

    def request_probabilities(self, writer: StudentWriter) -> np.ndarray:
        """Request the next token's probabilities after each of the n prefixes: (n, V)."""
        return compute_softmax(writer.next_logits(list(self.prefixes)))

    def measure_loss(self, writer: StudentWriter) -> float:
        """Measure the mean cross-entropy of the targets in nats."""
        found = self.request_probabilities(writer)[np.arange(len(self.targets)), self.targets]
        return float(-np.log(np.maximum(found, 1e-9)).mean())

    def measure_loss_ratio(self, writer: StudentWriter) -> float:
        """Measure the loss and divide it by the loss of equal probabilities."""
        return self.measure_loss(writer) / float(np.log(len(writer.table)))


@dataclass(frozen=True, eq=False)
class TextRun:
    """One network: tested when fresh, trained on a text, and carried into a process that saw no training."""

    name: str
    probe: TextProbe
    writer: StudentWriter
    """The network that is measured, with noise added to the trained weights."""
    learned: Weights
    own: Weights
    """The fresh weights that `writer` was built with."""
    fresh_ratio: float
    """The loss with fresh weights, divided by the loss of equal probabilities, in the process where it is smaller."""
    difference: float
    """The mean difference between the training process's answers and the fresh process's, with the same weights."""
    causality: float
    """The largest change in a logit when later tokens change or are left out."""
    numbers: int
    """The number of values in parameters, buffers and merges."""
    held_out: list[np.ndarray]
    """The tokens of passages that are not in the text."""
    seconds: float
    curve: Curve


def train_and_measure_writer(
    context: CheckContext,
    training_worker: Worker,
    fresh_worker: Worker,
    seed: int,
    text_name: str,
    text: np.ndarray,
    held_out: list[bytes],
) -> TextRun:
    """Train on a text, close that worker, load the weights, with noise, into the other, and return figures of both.

    The first process encodes the held-out passages only after its weights have been copied. It is closed before the
    second process begins. So neither the network that trains nor the one that answers sees the passages in advance.
    """
    milestone, experiment = get_milestone_and_experiment(context, LanguageExperiment)
    rng = make_grader_rng(seed, text_name)
    merges = request_merges(training_worker, milestone.trigger, text, context.budget.call_seconds)
    trained = StudentWriter(training_worker, milestone.trigger, seed, merges)
    trained.copy_weights()  # check the contract before minutes are spent on training
    probe = _draw_probe(trained, text, experiment, rng)
    fresh = probe.measure_loss_ratio(trained)
    curve, seconds = _train_with_measurements(context, trained, seed, text_name, text, probe)
    answered, weights = probe.request_probabilities(trained), trained.copy_weights()
    passages = [trained.encode(passage) for passage in held_out]
    training_worker.close()

    writer = StudentWriter(fresh_worker, milestone.trigger, seed + 1, merges)
    own = writer.copy_weights()
    fresh = min(fresh, probe.measure_loss_ratio(writer))
    learned = weights.add_noise(experiment.weight_noise, rng)
    writer.load_weights(learned)
    return TextRun(
        name=text_name,
        probe=probe,
        writer=writer,
        learned=learned,
        own=own,
        fresh_ratio=fresh,
        difference=compute_mean_difference(probe.request_probabilities(writer), answered),
        causality=_measure_causality(writer, probe.prefixes[:CAUSAL_ROWS, :CAUSAL_TOKENS], rng),
        numbers=weights.value_count + merges.size,
        held_out=passages,
        seconds=seconds,
        curve=curve,
    )


def _draw_probe(
    writer: StudentWriter, text: np.ndarray, experiment: LanguageExperiment, rng: np.random.Generator
) -> TextProbe:
    """Draw documents, and encode the first `CAUSAL_TOKENS` tokens of each, with the token after them as its target."""
    data = text.tobytes()
    ends = np.flatnonzero(text == ord(END_MARK))
    begins = np.append(0, ends + 1)
    starts = rng.choice(begins[begins < len(data) - PROBE_BYTES], experiment.probe_places)
    windows = [writer.encode(data[start : start + PROBE_BYTES])[: CAUSAL_TOKENS + 1] for start in starts.tolist()]
    stacked = np.stack(windows)
    return TextProbe(stacked[:, :-1], stacked[:, -1])


def _train_with_measurements(
    context: CheckContext, network: StudentWriter, seed: int, text_name: str, text: np.ndarray, probe: TextProbe
) -> tuple[Curve, float]:
    """Run the recipe's training; return the curve of losses at fixed positions between its steps, and the seconds."""
    _, experiment = get_milestone_and_experiment(context, LanguageExperiment)
    steps: list[float] = []
    losses: list[float] = []

    def measure_if_due(step: float, total: float) -> None:
        """Measure the loss if the next measurement is due, and show how far training has come."""
        points = experiment.curve_points
        if step >= len(steps) * total / points and len(steps) <= points:
            steps.append(step)
            losses.append(probe.measure_loss(network))
        context.watch.report_steps_done(int(100 * step / total) if 0 < step <= total else 0, f"loss {losses[-1]:.2f}")

    measure_if_due(0, 1)
    started = time.monotonic()
    network.train_on(text, seed, context.budget.train_seconds, measure_if_due)
    seconds = time.monotonic() - started
    context.watch.report_steps_done(100, f"{seconds:.0f} s")
    values = tuple(round(loss, 5) for loss in losses)
    return Curve(name=f"loss on {text_name}", seed=seed, steps=tuple(steps), values=values), seconds


def _measure_causality(writer: StudentWriter, tokens: np.ndarray, rng: np.random.Generator) -> float:
    """Measure the largest change of a logit before a position when later tokens are replaced or removed."""
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


def compute_softmax(logits: np.ndarray) -> np.ndarray:
    """Compute each row's probabilities from its logits."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
