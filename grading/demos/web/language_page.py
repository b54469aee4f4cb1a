"""Demonstration 5 in a browser: a function that you ask for is written token by token, run and inspected."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np

from grading.client import Worker
from grading.demos.cache_race import CacheRace, describe_cache_race, race_with_and_without_cache
from grading.demos.function_requests import (
    FunctionBeginning,
    NotUnderstoodError,
    describe_grammar,
    extract_docstring_phrase,
    parse_function_request,
)
from grading.demos.function_trial import list_parameter_names, run_typed_inputs, try_function, try_rivals
from grading.demos.function_writer import (
    MOST_BYTES,
    NETWORK,
    ExerciseAttempt,
    FunctionWriter,
    WritingPoint,
    WritingTask,
    choose_attempts_to_show,
    count_right_attempts,
    count_right_by_kind,
    describe_attempt_counts,
    draw_writing_task,
    judge_network_and_rivals,
)
from grading.demos.web.answering_page import AnsweringPage
from grading.demos.web.image_page import encode_base64
from grading.demos.web.network_page import FailureReporter, ReadyCallback
from grading.demos.web.page_server import PageCall
from grading.demos.web.state_feed import StateFeed
from grading.language.rivals import Completer, make_function_rivals
from grading.manifest.model import Milestone
from grading.render.progress_watch import ProgressWatch
from grading.render.text import clean_text, to_one_line

EXAMPLES = 6
"""The number of functions that the page offers."""
HISTORY = 6
"""The number of attempts at one function that are shown, with the newest last."""
LOOKED_AT = 64
"""The number of tokens at the end of a text whose attention is shown. Milestone 5 never requests more."""
MOST_HEADS = 32
HOTTEST = 2.0
LINGER_SECONDS = 0.15
"""The time for which training waits for the next question after an answer. Each token is a separate question."""
MOST_TYPED = 2000

ParsedQuestion = Callable[[FunctionWriter], dict[str, Any]]
"""A parsed question: a function that takes the network and returns the answer."""


class LanguagePage(AnsweringPage):
    """The page that writes functions.

    The browser requests one token after another, and keeps the tokens written so far.
    """

    name = "language"

    def __init__(self, feed: StateFeed, task: WritingTask):
        self._task = task
        self._points: list[WritingPoint] = []
        self._rivals: Mapping[str, Completer] = {}
        self._rng = np.random.default_rng()
        super().__init__(feed)

    @classmethod
    def create(cls, feed: StateFeed, milestone: Milestone, seed: int, watch: ProgressWatch) -> Self:
        """Make a page whose training text and exercises are drawn with this seed."""
        watch.begin_phase("Generating the training text", None)
        return cls(feed, draw_writing_task(milestone, seed))

    def list_page_calls(self) -> Mapping[str, PageCall]:
        """List the page's calls. The network answers `continue` and `attend`, and the grader answers the others."""
        return {
            "continue": lambda question: self._await_answer(self._parse_continue_question(question)),
            "attend": lambda question: self._await_answer(self._parse_attend_question(question)),
            "offer": self.offer_examples,
            "understand": self.parse_typed_request,
            "run": self.run_written_function,
            "rivals": self.ask_rivals,
        }

    def offer_examples(self, question: Any) -> dict[str, Any]:
        """Return example requests and a description of the grammar. Raise ValueError if the question is not `{}`."""
        _require_fields(question)
        phrases = [extract_docstring_phrase(exercise.prompt) for exercise in self._task.exercises[:EXAMPLES]]
        return {"examples": phrases, "language": describe_grammar(self._task.functions.language)}

    def parse_typed_request(self, question: Any) -> dict[str, Any]:
        """Return a requested function's beginning, or why it is refused. Raise ValueError for an invalid question."""
        (typed,) = _require_fields(question, typed=str)
        try:
            beginning = parse_function_request(typed, self._task.functions.language)
        except NotUnderstoodError as error:
            return {"refused": str(error)}
        return {"text": beginning.text, "understood": beginning.understood}

    def run_written_function(self, question: Any) -> dict[str, Any]:
        """Run a written function on typed inputs, or else drawn ones. Raise ValueError for an invalid question."""
        text, written, typed = _require_fields(question, text=str, written=str, arguments=list)
        beginning = self._parse_beginning(text)
        _check_length(written)
        if typed:
            try:
                return {"own": asdict(run_typed_inputs(beginning.text + written, typed))}
            except ValueError as error:
                return {"refused": str(error)}
        trial = try_function(beginning, written, np.random.default_rng())
        return {"parameters": list_parameter_names(beginning.text + written), **asdict(trial)}

    def ask_rivals(self, question: Any) -> dict[str, Any]:
        """Have each rival continue a beginning, and run the result. Raise ValueError for an invalid question."""
        (text,) = _require_fields(question, text=str)
        tried = try_rivals(self._parse_beginning(text), self._rivals, seed=0)
        return {
            "rivals": [
                {"name": name, "written": clean_text(written, 200), "verdict": trial.verdict, "right": trial.right}
                for name, (written, trial) in tried.items()
            ]
        }

    def _parse_beginning(self, text: str) -> FunctionBeginning:
        """Recover a function's beginning from a text that was sent to a page.

        Raise ValueError if `parse_typed_request` never returns this text.
        """
        beginning = parse_function_request(text, self._task.functions.language)
        if beginning.text != text:
            raise ValueError("that is not a beginning that `understand` returned")
        return beginning

    def _require_valid_tokens(self, text: str, written: list) -> str:
        """Return a beginning's text. Raise ValueError if it is not valid or the tokens written after it are not."""
        if len(written) > MOST_BYTES or not all(type(token) is int and 0 <= token < 1 << 16 for token in written):
            raise ValueError(f"the written part must have at most {MOST_BYTES} tokens, each a small number")
        return self._parse_beginning(text).text

    def _parse_continue_question(self, question: Any) -> ParsedQuestion:
        """Return a function that draws the next token with a network. Raise ValueError if the question is not valid."""
        text, written, temperature, top_p = _require_fields(
            question, text=str, written=list, temperature=(int, float), top_p=(int, float)
        )
        if not 0 <= temperature <= HOTTEST or not 0 < top_p <= 1:
            raise ValueError(f"temperature must be from 0 to {HOTTEST:g}, and top_p above 0 and at most 1")
        beginning = self._require_valid_tokens(text, written)
        return functools.partial(self._draw_next_token, beginning, written, float(temperature), float(top_p))

    def _parse_attend_question(self, question: Any) -> ParsedQuestion:
        """Return a function that computes attention with a network. Raise ValueError if the question is not valid."""
        text, written = _require_fields(question, text=str, written=list)
        return functools.partial(self._compute_attention, self._require_valid_tokens(text, written), written)

    def _answer_question(self, network: FunctionWriter, parsed: ParsedQuestion) -> dict[str, Any]:
        """Answer a parsed question with this network."""
        return parsed(network)

    def _draw_next_token(
        self, text: str, written: list[int], temperature: float, top_p: float, writer: FunctionWriter
    ) -> dict[str, Any]:
        """Draw the next token; return it, its candidates, and whether it ends the text or is the last that fits."""
        token = writer.draw_next_token(writer.encode_with_tokens(text, written), temperature, top_p, self._rng)
        size = sum(len(piece.encode()) for piece in writer.decode_tokens_separately([*written, token.number]))
        return {
            "token": token.number,
            "text": clean_text(token.text),
            "probability": round(token.probability, 4),
            "ended": token.ends,
            "full": size > MOST_BYTES or len(written) + 1 >= MOST_BYTES,
            "candidates": [
                [clean_text(one.text.replace("\0", "␄")), round(one.probability, 4), round(one.chance, 4)]
                for one in token.candidates
            ],
        }

    def _compute_attention(self, text: str, written: list[int], writer: FunctionWriter) -> dict[str, Any]:
        """Compute up to MOST_HEADS heads' attention among a text's last tokens, scaled to 0 to 255 and in base64."""
        tokens = writer.encode_with_tokens(text, written)
        maps = writer.compute_attention(tokens[-LOOKED_AT:])
        layers, heads, size, _ = maps.shape
        if layers * heads > MOST_HEADS:
            maps = maps[: max(1, MOST_HEADS // heads), :MOST_HEADS]
            layers, heads = maps.shape[:2]
        return {
            "tokens": [
                clean_text(piece.replace("\0", "␄")) for piece in writer.decode_tokens_separately(tokens.tolist())
            ],
            "first": len(tokens) - size,
            "begins": len(tokens) - len(written),
            "layers": layers,
            "heads": heads,
            "values": encode_base64(np.rint(maps * 255).astype(np.uint8)),
        }

    def _train_and_serve(
        self, worker: Worker, milestone: Milestone, seed: int, ready: ReadyCallback, report: FailureReporter
    ) -> None:
        """Train a writer, compare it with its rivals, and answer questions until the page is closed."""
        self._rivals = make_function_rivals(self._task.functions)
        writer = FunctionWriter(worker, milestone, seed, self._task.functions.text)
        writer.train(self._task, self._add_training_point, lambda: self._serve_during_training(writer, report))
        exercises = self._task.exercises
        attempts = judge_network_and_rivals(writer, self._rivals, exercises)
        right = {name: [count_right_attempts(some), *count_right_by_kind(some)] for name, some in attempts.items()}
        prompt = writer.encode(exercises[0].prompt.text)
        race = race_with_and_without_cache(
            worker, writer.student_writer, prompt, lambda _: self._serve_during_training(writer, report)
        )
        self._publish_state("ready", right=right, asked=len(exercises), cache=race and _describe_cache(race))
        ready(
            f"Your network writes {right[NETWORK][0]} of {len(exercises)} functions correctly. Now ask it for one "
            f"of your own."
        )
        self._serve_after_training(writer, report)

    def _serve_during_training(self, network: FunctionWriter, report: FailureReporter) -> None:
        """Answer waiting questions, then wait a moment for the question about the next token."""
        while not self._waiting.empty():
            super()._serve_during_training(network, report)
            self._ended.wait(LINGER_SECONDS)

    def _add_training_point(self, point: WritingPoint) -> None:
        """Add a measurement from the training run, and publish the page's state."""
        self._points.append(point)
        self._publish_state("training")

    def _publish_state(self, phase: str, **more: Any) -> None:
        """Publish the phase, the curves, the attempts at one function and ``more``, which replace the page's state."""
        points = self._points
        state = {
            "about": self._task.about,
            "points": [
                [p.step, p.steps, round(p.loss, 4), p.right_attempt_count, p.parsed_count, len(p.attempts)]
                for p in points
            ],
            "summary": describe_attempt_counts(points[-1]) if points else "",
            "exercise": self._task.exercises[0].prompt.text,
            "history": [_describe_attempt(step, attempt) for step, attempt in choose_attempts_to_show(points, HISTORY)],
        }
        super()._publish_state(phase, **state | more)


def _describe_attempt(step: float, attempt: ExerciseAttempt) -> dict[str, Any]:
    """Describe an attempt at an exercise for the page, as JSON."""
    right = attempt.mistake is None
    return {"step": step, "written": to_one_line(attempt.written), "parses": attempt.parses, "right": right}


def _describe_cache(race: CacheRace) -> dict[str, Any]:
    """Describe a race with and without the cache for the page, as JSON."""
    return {"speeds": [round(speed, 1) for speed in race.tokens_per_second], "summary": describe_cache_race(race)}


def _require_fields(question: Any, **types: Any) -> list[Any]:
    """Return a question's values in the order of ``types``. Raise ValueError unless it has these keys and types."""
    if type(question) is not dict or set(question) != set(types):
        raise ValueError(f"ask with {{{', '.join(types)}}} and nothing else")
    for name, kind in types.items():
        if isinstance(question[name], bool) or not isinstance(question[name], kind):
            raise ValueError(f"{name} has the wrong type")
    return [question[name] for name in types]


def _check_length(written: str) -> None:
    """Raise ValueError if a typed function is too long."""
    if len(written) > MOST_TYPED:
        raise ValueError(f"a function may have at most {MOST_TYPED:,} characters")
