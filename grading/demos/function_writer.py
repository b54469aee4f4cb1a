"""Train a student's network to write functions, and query it, for demonstration 5 in the terminal and on a page."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grading.checks.student_network import require_distributions, require_finite_floats
from grading.checks.student_writer import StudentWriter, request_merges
from grading.checks.text_training import CAUSAL_TOKENS, compute_softmax
from grading.client import Worker
from grading.demos.training_points import ProgressReport, measure_training
from grading.language.documents import END_MARK, Prompt
from grading.language.function_corpus import FunctionCorpus, draw_function_corpus
from grading.language.function_evaluation import (
    FunctionCase,
    RefusedError,
    draw_function_cases,
    find_completion_mistake,
    parse_function,
)
from grading.language.rivals import Completer
from grading.language.text_writers import STOP, complete_greedily
from grading.manifest.model import LanguageExperiment, Milestone

EXERCISE_KINDS = 3
"""The number of kinds of exercises. The kinds are new pairs of parts, made-up operations, and new pairs of names."""
EXERCISES_PER_KIND = 10
"""The number of functions of each kind that are requested at the end."""
WATCHED = 9
"""The number of functions that are requested at each measurement during training."""
POINTS = 24
"""The approximate number of times that training is measured."""
MOST_BYTES = 100
"""The maximum number of bytes in a completion. The longest correct one has 80."""
UNWATCHED_SECONDS = 15.0
"""The processor time after which training is stopped if nobody is watching, in seconds."""
NETWORK = "your network"
"""The network's name in lists of its rivals."""
LIKELIEST = 5
"""The number of candidates that are shown for each token."""


@dataclass(frozen=True)
class WritingExercise:
    """A function to write, with the correct function's values."""

    prompt: Prompt
    cases: Sequence[FunctionCase]


@dataclass(frozen=True)
class ExerciseAttempt:
    """The text written for an exercise, and whether it is correct."""

    written: str
    parses: bool
    mistake: str | None
    """The mistake in the function, or None if it does what the docstring says."""


@dataclass(frozen=True)
class WritingPoint:
    """A measurement of training progress that the demonstration makes on functions outside the training text."""

    step: float
    steps: float
    loss: float
    """The loss on the correct completions, in nats per token."""
    attempts: Sequence[ExerciseAttempt]

    @property
    def parsed_count(self) -> int:
        """The number of attempts that parse as functions."""
        return sum(attempt.parses for attempt in self.attempts)

    @property
    def right_attempt_count(self) -> int:
        """The number of attempts that do what their docstrings say."""
        return count_right_attempts(self.attempts)


@dataclass(frozen=True)
class TokenCandidate:
    """A candidate for the next token, with its probabilities."""

    text: str
    probability: float
    """The network's own probability."""
    chance: float
    """The probability with which the token is drawn, after temperature and top-p."""


@dataclass(frozen=True)
class ChosenToken:
    """A token that was chosen, with its candidates."""

    number: int
    text: str
    """The token's text before the end-of-text token."""
    probability: float
    """The network's own probability."""
    ends: bool
    candidates: Sequence[TokenCandidate]


@dataclass(frozen=True)
class WritingTask:
    """The training text and the exercises."""

    functions: FunctionCorpus
    exercises: Sequence[WritingExercise]
    """The exercises, which cycle through the EXERCISE_KINDS."""
    about: str


def draw_writing_task(milestone: Milestone, seed: int) -> WritingTask:
    """Draw a training text as large as the milestone's, and exercises that are not in it."""
    assert isinstance(milestone.experiment, LanguageExperiment)
    rng = np.random.default_rng(seed)
    made = draw_function_corpus(rng, documents=milestone.experiment.functions, prompts=EXERCISES_PER_KIND)
    prompts = [prompt for three in zip(made.compositions, made.made_up, made.names, strict=True) for prompt in three]
    words = sorted(made.language.made_up)
    return WritingTask(
        made,
        [WritingExercise(prompt, draw_function_cases(prompt, rng)) for prompt in prompts],
        f"Trained on {len(made.documents):,} small functions, made for seed {seed}. Words made up for it: "
        f"{', '.join(words)}.",
    )


class FunctionWriter:
    """A fresh network that writes functions in a worker. It trains while somebody watches and is then queried."""

    def __init__(self, worker: Worker, milestone: Milestone, seed: int, text: np.ndarray):
        self._worker, self._seed, self._seconds = worker, seed, milestone.budget.train_seconds
        merges = request_merges(worker, milestone.trigger, text, milestone.budget.call_seconds)
        self._writer = StudentWriter(worker, milestone.trigger, seed, merges)

    def train(
        self,
        task: WritingTask,
        on_point: Callable[[WritingPoint], None],
        on_report: Callable[[], None] = lambda: None,
        cpu_seconds: float = math.inf,
    ) -> None:
        """Train the network. Pass a point to ``on_point`` before training, about POINTS times during it, and after it.

        ``on_report`` is called at each report of the student's training, and may query the network. After
        ``cpu_seconds``, training is abandoned. The worker then stays in the student's training function, but still
        answers requests, as it does at any report.
        """
        watched = task.exercises[:WATCHED]
        started = 0.0 if cpu_seconds == math.inf else self._worker.read_clock()

        def report_training_point(step: float, steps: float) -> None:
            """Measure the loss after this step, have the exercises written, and pass both to ``on_point``."""
            on_point(WritingPoint(step, steps, self._measure_loss(watched), self.complete_exercises(watched)))

        def stop_if_too_long() -> None:
            """Answer the page's requests, and abandon training if its time has run out."""
            on_report()
            if cpu_seconds < math.inf and self._worker.read_clock() - started > cpu_seconds:
                raise _TooLongError

        def train_network(progress: ProgressReport) -> None:
            """Train on the functions until the time has run out."""
            with contextlib.suppress(_TooLongError):
                self._writer.train_on(task.functions.text, self._seed, self._seconds, progress)

        measure_training(train_network, report_training_point, POINTS, stop_if_too_long)

    def complete_exercises(self, exercises: Sequence[WritingExercise]) -> list[ExerciseAttempt]:
        """Have the network write each exercise's function, always choosing the likeliest token, and judge it."""
        prompts = [exercise.prompt.text.encode() for exercise in exercises]
        attempts = []
        for exercise, completion in zip(exercises, complete_greedily(self._writer, prompts, MOST_BYTES), strict=True):
            unended = "two tokens are equally likely" if completion.tied else "it does not end"
            mistake = None if completion.ended else unended
            attempts.append(judge_attempt(exercise, completion.data.decode(errors="replace"), mistake))
        return attempts

    def encode(self, text: str) -> np.ndarray:
        """Encode a text as tokens."""
        return self._writer.encode(text.encode())

    def decode_tokens_separately(self, tokens: Sequence[int]) -> list[str]:
        """Decode each token separately. Bytes that are not UTF-8 become escapes."""
        return [self._writer.table[token].decode(errors="backslashreplace") for token in tokens]

    def encode_with_tokens(self, text: str, new_tokens: Sequence[int]) -> np.ndarray:
        """Encode a text and append the tokens written after it. Raise ValueError if a token does not exist."""
        if not all(token < len(self._writer.table) for token in new_tokens):
            raise ValueError(f"the network has only {len(self._writer.table)} tokens")
        return np.append(self.encode(text), np.array(new_tokens, np.int64))

    def draw_next_token(
        self, tokens: np.ndarray, temperature: float, top_p: float, rng: np.random.Generator
    ) -> ChosenToken:
        """Draw the next token with the student's own `sampling_probabilities`, and list the likeliest candidates."""
        logits = self._writer.next_logits([tokens])
        own, chances = compute_softmax(logits)[0], self._request_sampling_probabilities(logits, temperature, top_p)
        number = int(rng.choice(len(chances), p=chances / chances.sum()))
        data, stop, _ = self._writer.table[number].partition(STOP)
        likeliest = np.argsort(-own, kind="stable")[:LIKELIEST].tolist()
        shown = likeliest if number in likeliest else [*likeliest[:-1], number]
        candidates = [
            TokenCandidate(text, float(own[place]), float(chances[place]))
            for text, place in zip(self.decode_tokens_separately(shown), shown, strict=True)
        ]
        return ChosenToken(number, data.decode(errors="replace"), float(own[number]), bool(stop), candidates)

    def write(self, text: str) -> Iterator[ChosenToken]:
        """Yield the tokens that continue a text, each the likeliest, up to the end-of-text token or MOST_BYTES."""
        tokens, rng, size = self.encode(text), np.random.default_rng(self._seed), 0
        while size <= MOST_BYTES:
            token = self.draw_next_token(tokens, 0.0, 1.0, rng)
            yield token
            if token.ends:
                return
            tokens = np.append(tokens, token.number)
            size += len(self._writer.table[token.number])

    def compute_attention(self, tokens: np.ndarray) -> np.ndarray:
        """Compute each token's attention to itself and earlier tokens: (layers, heads, t, t). Rows add up to 1."""
        return self._writer.attention_maps(tokens[None])[0].clip(0, 1)

    @property
    def student_writer(self) -> StudentWriter:
        """The student's network."""
        return self._writer

    def _request_sampling_probabilities(self, logits: np.ndarray, temperature: float, top_p: float) -> np.ndarray:
        """Request the student's sampling probabilities, (V,). Raise RecipeError unless they are valid probabilities."""
        call = f"sampling_probabilities(logits, temperature={temperature:g}, top_p={top_p:g})"
        module = self._worker.module("tinygpt")
        found = self._worker.call(module, "sampling_probabilities", logits, temperature=temperature, top_p=top_p)
        chances = require_finite_floats(found, call, logits.shape)[0]
        require_distributions(chances, call, "probabilities")
        return chances

    def _measure_loss(self, exercises: Sequence[WritingExercise]) -> float:
        """Measure the mean cross-entropy of the tokens in correct completions, in nats."""
        losses = []
        for exercise in exercises:
            tokens = self.encode(exercise.prompt.text + exercise.prompt.answer + END_MARK)
            ends = np.cumsum([len(self._writer.table[token]) for token in tokens.tolist()])
            first = int(np.searchsorted(ends, len(exercise.prompt.text.encode()), side="right"))
            cut = max(0, len(tokens) - 1 - CAUSAL_TOKENS)
            first, tokens = max(1, first - cut), tokens[cut:]
            found = compute_softmax(self._writer.logits(tokens[None, :-1])[0, first - 1 :])
            losses.append(-np.log(np.maximum(found[np.arange(len(found)), tokens[first:]], 1e-9)))
        return float(np.concatenate(losses).mean())


class _TooLongError(Exception):
    """The exception raised to abandon a training run that has taken too long."""


def judge_attempt(exercise: WritingExercise, written: str, mistake: str | None = None) -> ExerciseAttempt:
    """Run the text written for an exercise on its inputs and judge it, unless a ``mistake`` is already known."""
    try:
        parse_function(exercise.prompt.text + written)
    except RefusedError as error:
        return ExerciseAttempt(written, False, mistake or str(error))
    return ExerciseAttempt(written, True, mistake or find_completion_mistake(exercise.prompt, written, exercise.cases))


def count_right_by_kind(attempts: Sequence[ExerciseAttempt]) -> list[int]:
    """Count the correct attempts of each kind. Attempts cycle through the three kinds, as exercises do."""
    return [count_right_attempts(attempts[kind::EXERCISE_KINDS]) for kind in range(EXERCISE_KINDS)]


def count_right_attempts(attempts: Sequence[ExerciseAttempt]) -> int:
    """Count the attempts that do what their docstrings say."""
    return sum(attempt.mistake is None for attempt in attempts)


def judge_network_and_rivals(
    writer: FunctionWriter, rivals: Mapping[str, Completer], exercises: Sequence[WritingExercise]
) -> dict[str, list[ExerciseAttempt]]:
    """Have the network and each rival do the exercises. Map each name, NETWORK first, to judged attempts."""
    prompts = [exercise.prompt for exercise in exercises]
    return {NETWORK: writer.complete_exercises(exercises)} | {
        name: [judge_attempt(*pair) for pair in zip(exercises, complete(prompts), strict=True)]
        for name, complete in rivals.items()
    }


def describe_attempt_counts(point: WritingPoint) -> str:
    """Describe how many functions parse and how many are correct."""
    asked = len(point.attempts)
    return (
        f"{asked} functions it has never seen: {point.parsed_count} parse, {point.right_attempt_count} compute the "
        f"correct values"
    )


def choose_attempts_to_show(points: Sequence[WritingPoint], at_most: int) -> list[tuple[float, ExerciseAttempt]]:
    """Choose up to ``at_most`` attempts at the first exercise that show how its function developed, in order of steps.

    Each attempt differs from the previous one. They include the first attempt, the first that parses, the first that is
    correct, and the newest.
    """
    found: list[tuple[float, ExerciseAttempt]] = []
    for point in points:
        if not found or found[-1][1].written != point.attempts[0].written:
            found.append((point.step, point.attempts[0]))
    parsed = [place for place, (_, attempt) in enumerate(found) if attempt.parses]
    right = [place for place, (_, attempt) in enumerate(found) if attempt.mistake is None]
    places = dict.fromkeys([0, len(found) - 1, *parsed[:1], *right[:1], *reversed(range(len(found)))])
    return [found[place] for place in sorted(list(places)[:at_most])] if found else []
