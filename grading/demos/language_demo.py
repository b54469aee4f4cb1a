"""Demonstration 5: a network learns to write functions, writes them token by token, and is compared with rivals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from grading.client import Worker
from grading.demos.cache_race import CacheRace, describe_cache_race, race_with_and_without_cache
from grading.demos.function_requests import (
    FunctionBeginning,
    NotUnderstoodError,
    describe_grammar,
    parse_function_request,
)
from grading.demos.function_trial import UNENDED_TRIAL, FunctionTrial, try_function, try_rivals
from grading.demos.function_writer import (
    EXERCISE_KINDS,
    UNWATCHED_SECONDS,
    ChosenToken,
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
from grading.demos.terminal_frames import Frame, Gallery
from grading.demos.terminal_pictures import GreyPicture, LikeliestClasses, TextCurve, shrink_image
from grading.language.rivals import Completer, make_function_rivals
from grading.manifest.model import Milestone
from grading.render.figure_text import draw_bar
from grading.render.screen import Screen
from grading.render.text import clean_text, to_one_line

DESCRIPTIONS = (
    "Its parts never occur together in the training text.",
    "It contains a word that was made up for this run.",
    "Its names never occur together in the training text.",
)
"""The descriptions of the three kinds of exercises, in their order."""
TOKEN_SECONDS = 0.12
"""The time for which each token is shown."""
HISTORY = 4
"""The number of attempts at one function that are shown, with the newest last."""
SURE, UNSURE = 0.9, 0.5
"""The probability at or above which a token is shown in green, and the one below which it is shown in red."""
MAP_SIDE = 14
CACHE = "the cache"
QUESTION = "Your function, in words (press Enter to stop): "


def play_language_demo(worker: Worker, screen: Screen, milestone: Milestone, seed: int) -> None:
    """Train a network, show what it writes, then take requests. Exceptions in student code are not caught."""
    task = draw_writing_task(milestone, seed)
    screen.show_frame(Text("The rivals are counting the training text."))
    rivals = make_function_rivals(task.functions)
    writer = FunctionWriter(worker, milestone, seed, task.functions.text)
    show_function_training(writer, task, screen)
    for description, exercise in zip(DESCRIPTIONS, task.exercises, strict=False):
        beginning = FunctionBeginning(exercise.prompt.text, exercise.prompt.answer, description)
        show_writing(writer, beginning, rivals, seed, screen, "a function it has never seen")
    tokens = writer.encode(task.exercises[0].prompt.text + task.exercises[0].prompt.answer)
    screen.show_frame(Frame("what its heads attend to", AttentionHeads(writer.compute_attention(tokens))), keep=True)
    attempts = judge_network_and_rivals(writer, rivals, task.exercises)
    screen.show_frame(Frame("your network and its rivals", RivalTable(attempts)), keep=True)
    prompt = writer.encode(task.exercises[0].prompt.text)
    race = race_with_and_without_cache(
        worker, writer.student_writer, prompt, lambda race: screen.show_frame(Frame(CACHE, CacheSpeeds(race)))
    )
    screen.show_frame(Frame(CACHE, Text(NO_CACHE) if race is None else CacheSpeeds(race)), keep=True)
    answer_requests(writer, task, rivals, seed, screen)


def show_function_training(writer: FunctionWriter, task: WritingTask, screen: Screen) -> None:
    """Train with a frame for each measured point, and keep the last one. Stop early if nobody is watching."""
    points: list[WritingPoint] = []

    def add_and_show_point(point: WritingPoint) -> None:
        """Add a measurement from the training run, and redraw the screen."""
        points.append(point)
        screen.show_frame(Frame(format_training_step(points), LearningView(tuple(points), task)))

    writer.train(task, add_and_show_point, cpu_seconds=math.inf if screen.watched else UNWATCHED_SECONDS)
    screen.show_frame(Frame(format_training_step(points), LearningView(points, task)), keep=True)


def show_writing(
    writer: FunctionWriter,
    beginning: FunctionBeginning,
    rivals: Mapping[str, Completer],
    seed: int,
    screen: Screen,
    title: str,
) -> None:
    """Continue a beginning token by token, run the finished function, and have the rivals continue it as well."""
    tokens: list[ChosenToken] = []
    for token in writer.write(beginning.text):
        tokens.append(token)
        screen.show_frame(Frame(title, WritingView(beginning, tuple(tokens))), seconds=TOKEN_SECONDS)
    text = "".join(token.text for token in tokens)
    trial = try_function(beginning, text, np.random.default_rng(seed)) if tokens[-1].ends else UNENDED_TRIAL
    tried = try_rivals(beginning, rivals, seed)
    screen.show_frame(Frame(title, WrittenView(beginning, tokens, trial, tried)), keep=True)


def answer_requests(
    writer: FunctionWriter, task: WritingTask, rivals: Mapping[str, Completer], seed: int, screen: Screen
) -> None:
    """Ask the viewer for functions and write them, until the viewer presses Enter without typing anything."""
    language = task.functions.language
    told = False
    while typed := screen.ask(QUESTION if told else f"{describe_grammar(language)}\n{QUESTION}"):
        told = True
        try:
            beginning = parse_function_request(typed, language)
        except NotUnderstoodError as error:
            screen.show_frame(Text(str(error), style="yellow"), keep=True)
            continue
        show_writing(writer, beginning, rivals, seed, screen, "your function")


def format_training_step(points: Sequence[WritingPoint]) -> str:
    """Describe the training progress, as in "step 40 of 200", or "before training: fresh weights"."""
    last = points[-1]
    return f"step {last.step:.0f} of {last.steps:.0f}" if len(points) > 1 else "before training: fresh weights"


class LearningView:
    """The loss curve so far, the number of correct functions, and the attempts at one function."""

    def __init__(self, points: Sequence[WritingPoint], task: WritingTask):
        self._points, self._task = points, task

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show the curve, and each attempt on its own line."""
        last = self._points[-1]
        part = last.step / last.steps if last.steps else float(len(self._points) > 1)
        yield TextCurve([point.loss for point in self._points], lines=4, part=part)
        yield Text(describe_attempt_counts(last))
        yield Text(f"\n{self._task.exercises[0].prompt.text}", style="dim")
        for step, attempt in choose_attempts_to_show(self._points, HISTORY):
            yield render_attempt(f"{step:6.0f} ", attempt, options.max_width)
        yield Text(f"\n{self._task.about}", style="dim")


def render_attempt(label: str, attempt: ExerciseAttempt, width: int) -> Text:
    """Render an attempt on one line, and state whether it is correct."""
    word = "right" if attempt.mistake is None else "wrong" if attempt.parses else "no function"
    style = "green" if attempt.mistake is None else "yellow" if attempt.parses else "red"
    room = max(8, width - len(label) - len(word) - 1)
    line = Text(label, no_wrap=True, overflow="crop")
    written = to_one_line(attempt.written, 200)
    line.append(f"{shorten_text(written, room):{room}} ")
    line.append(word, style=style)
    return line


def shorten_text(text: str, width: int) -> str:
    """Replace the end of a text with an ellipsis if it does not fit."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


class WritingView:
    """The part of a function written so far, with the candidates for its last token."""

    def __init__(self, beginning: FunctionBeginning, tokens: Sequence[ChosenToken]):
        self._beginning, self._tokens = beginning, tokens

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show the function, and the candidates as bars."""
        yield render_program(self._beginning.text, self._tokens)
        yield Text()
        candidates = self._tokens[-1].candidates
        names = [shorten_text(format_token(candidate.text), 16) for candidate in candidates]
        p = np.array([candidate.probability for candidate in candidates])
        width = max(4, min(30, options.max_width - max(map(len, names)) - 6))
        yield LikeliestClasses(p, names, width=width)


def render_program(beginning: str, tokens: Sequence[ChosenToken]) -> Text:
    """Render a beginning dimmed, and colour each token after it by its probability."""
    program = Text(beginning, style="dim")
    for token in tokens:
        style = "green" if token.probability >= SURE else "yellow" if token.probability >= UNSURE else "red"
        program.append(clean_text(token.text), style=f"not dim {style}")
    program.rstrip()
    return program


def format_token(text: str) -> str:
    """Format a token as a Python literal, in which spaces and line breaks are visible, and the end of text as "end"."""
    return "end" if text == "\0" else ascii(text)


class WrittenView:
    """A finished function: its tokens' probabilities, its values, and what the rivals wrote."""

    def __init__(
        self,
        beginning: FunctionBeginning,
        tokens: Sequence[ChosenToken],
        trial: FunctionTrial,
        rivals: Mapping[str, tuple[str, FunctionTrial]],
    ):
        self._beginning, self._tokens, self._trial, self._rivals = beginning, tokens, trial, rivals

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show all parts, from the program at the top to the rivals at the bottom."""
        yield Text(self._beginning.understood, style="dim")
        yield Text()
        yield render_program(self._beginning.text, self._tokens)
        yield Text()
        shown = [f"{format_chosen_token_text(token)} {token.probability:.0%}" for token in self._tokens]
        yield Text(fill_lines_with_words(shown, options.max_width), style="dim")
        yield Text()
        for run in self._trial.runs:
            style = "" if run.right is None else "green" if run.right else "yellow"
            yield Text(f"{run.call} = {run.returned}", style=style)
        yield Text(self._trial.verdict, style="green" if self._trial.right else "yellow")
        yield Text("\nIts rivals continue like this:")
        for name, (written, trial) in self._rivals.items():
            word = {True: "right", False: "wrong", None: "unknown"}[trial.right]
            yield Text.assemble(f"{name} ", (f"({word})", "green" if trial.right else "dim"))
            line = to_one_line(written) or "nothing complete"
            yield Text(f"  {shorten_text(line, options.max_width - 2)}", style="dim", no_wrap=True)


def fill_lines_with_words(words: Sequence[str], width: int) -> str:
    """Fill lines with words, two spaces apart. Lines break only between words."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 2 + len(word) <= width:
            lines[-1] += f"  {word}"
        else:
            lines.append(word)
    return "\n".join(lines)


def format_chosen_token_text(token: ChosenToken) -> str:
    """Format a chosen token's text, without its probability. The end of text, which has no text, becomes "end"."""
    return "end" if token.ends and not token.text else format_token(token.text)


class AttentionHeads:
    """The attention maps of up to sixteen heads: a row for each token, and a column for each token it attends to."""

    def __init__(self, maps: np.ndarray):
        self._maps = maps

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show the maps in rows, smaller on a narrow console."""
        side = MAP_SIDE if options.max_width >= 60 else MAP_SIDE - 4
        layers, heads = self._maps.shape[:2]
        shown = []
        for layer, head in list(np.ndindex(layers, heads))[:16]:
            small = shrink_image(self._maps[layer, head], side)
            small /= np.maximum(small.max(axis=1, keepdims=True), 1e-12)
            shown.append((GreyPicture(small), f"{layer + 1}.{head + 1}"))
        yield Text(
            "Each token has a row, and the first token's row is at the top. Bright pixels are the tokens that it "
            "attends to most. 2.1 is the first head of the second layer.\n"
        )
        yield Gallery(shown)


class RivalTable:
    """The number of functions that the network and each rival write correctly."""

    def __init__(self, attempts: Mapping[str, Sequence[ExerciseAttempt]]):
        self._attempts = attempts

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show a bar for the student's network, then one for each rival, best first."""
        own, *others = self._attempts.items()
        others.sort(key=lambda row: -count_right_attempts(row[1]))
        asked = len(own[1])
        yield Text(f"Correct functions of {asked} that are not in the training text.")
        yield Text(
            "In brackets: the correct functions with new pairs of parts, made-up words and new pairs of names, each "
            f"out of {asked // EXERCISE_KINDS}.\n"
        )
        names = max(map(len, self._attempts))
        beside = options.max_width >= names + 30
        for name, attempts in (own, *others):
            right, kinds = count_right_attempts(attempts), " + ".join(map(str, count_right_by_kind(attempts)))
            width = max(4, min(30, options.max_width - (names + 1 if beside else 2) - 20))
            shown = f"{draw_bar(right / asked, width, ascii_only=options.ascii_only)} {right:2} ({kinds})"
            style = "bold" if name == own[0] else ""
            yield Text(f"{name:{names}} {shown}" if beside else f"{name}\n  {shown}", style=style)


NO_CACHE = "There is no cache to compare: your network is not module 16's, or its context is full."


class CacheSpeeds:
    """The tokens per second without the cache and with it."""

    def __init__(self, race: CacheRace):
        self._race = race

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show a bar for each speed, and a summary."""
        slow, fast = self._race.tokens_per_second
        table = Table.grid(padding=(0, 1, 0, 0))
        width = max(4, min(40, options.max_width - 34))
        for name, speed in (("without the cache", slow), ("with the cache", fast)):
            part = draw_bar(speed / max(fast, slow, 1e-9), width, ascii_only=options.ascii_only)
            table.add_row(name, Text(part, no_wrap=True), Text(f"{speed:,.0f} tokens/s", justify="right", no_wrap=True))
        yield table
        yield Text(f"\n{describe_cache_race(self._race)}")
