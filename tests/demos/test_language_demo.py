"""Demonstration 5 on a terminal and without one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from grading.checks.student_network import RecipeError
from grading.demos import DEMOS
from grading.demos import language_demo as demo
from grading.demos.cache_race import CacheRace, describe_cache_race, race_with_and_without_cache
from grading.demos.function_writer import (
    EXERCISE_KINDS,
    EXERCISES_PER_KIND,
    MOST_BYTES,
    POINTS,
    WATCHED,
    ExerciseAttempt,
    FunctionWriter,
    WritingPoint,
    WritingTask,
    choose_attempts_to_show,
    describe_attempt_counts,
)
from grading.demos.language_demo import (
    HISTORY,
    CacheSpeeds,
    RivalTable,
    format_token,
    play_language_demo,
)
from grading.manifest.model import Milestone
from grading.remote import RemoteError
from grading.render.screen import RecordingScreen
from tests.demos.conftest import Start
from tests.demos.fake_writer import CONTEXT, FakeWriter, FakeWriterWorker, install_fake_writer
from tests.demos.test_terminal_pictures import draw_to_text
from tests.demos.test_training_demo import strip_colours


class TypingScreen(RecordingScreen):
    """A screen with a viewer who types some lines."""

    watched = True

    def __init__(self, *lines: str):
        super().__init__()
        self.lines, self.asked = list(lines), []

    def ask(self, question: str) -> str | None:
        """Return the next line, if there is one."""
        self.asked.append(question)
        return self.lines.pop(0) if self.lines else None


@pytest.fixture(scope="module")
def screen(writing_task: WritingTask, language_milestone: Milestone) -> TypingScreen:
    """Play the demonstration with a FakeWriter and a viewer who asks for two functions and one invalid line."""
    known = writing_task.exercises[5].prompt
    with pytest.MonkeyPatch.context() as patch:
        install_fake_writer(patch, writing_task)
        shown = TypingScreen("what is this?", known.text.replace("\n", " "), "def root(width):")
        play_language_demo(FakeWriterWorker(), shown, language_milestone, 1)
    return shown


def draw_frames(screen: RecordingScreen) -> list[str]:
    """Draw the frames as text in 80 columns."""
    return [draw_to_text(frame) for frame in screen.frames]


def join_lines(text: str) -> str:
    """Join a frame's text into one line, without the frame."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


def test_every_part_is_shown_in_order(screen: TypingScreen) -> None:
    """They are training, three functions token by token, attention, rivals, the cache and the typed functions."""
    shown = [join_lines(text) for text in draw_frames(screen)]
    order = [
        "The rivals are counting",
        "before training",
        "step 12 of 12",
        "a function it has never seen",
        "what its heads",
    ]
    order += [
        "your network and its rivals",
        "the cache",
        "Not understood",
        "Understood: a signature;",
        "def root(width)",
    ]
    places = [next((i for i, text in enumerate(shown) if part in text), part) for part in order]
    assert places == sorted(places)


def test_functions_improve_before_ones_eyes(screen: TypingScreen) -> None:
    """First there is no function, then a wrong one, then the right one, each on its own line with its step."""
    learned = [text for text in draw_frames(screen) if "╭─ step 12 of 12" in text][-1]
    lines = [line.strip("│ ").split() for line in learned.splitlines()]
    ends = [(line[0], line[-1]) for line in lines if line and line[-1] in ("function", "wrong", "right")]
    assert [end for _, end in ends] == ["function", "wrong", "right"]
    assert [step for step, _ in ends] == ["0", "4", "8"]
    assert (
        f"{WATCHED} functions it has never seen: {WATCHED} parse, {WATCHED} compute the correct values"
        in join_lines(learned)
    )


def test_a_function_is_written_token_by_token_and_run(screen: TypingScreen, writing_task: WritingTask) -> None:
    """Each frame has one more token, with its candidates as bars. The last has inputs, values and rivals."""
    exercise = writing_task.exercises[0]
    title = "a function it has never seen"
    frames = [text for text in draw_frames(screen) if title in text]
    written = len(exercise.prompt.answer) + 1
    assert re.search(r"'\\n' +█+░* +\d+%", frames[0])
    whole = frames[written]
    body = exercise.prompt.answer.strip()
    assert body in join_lines(frames[written - 1])
    assert body[: len(body) // 2] in join_lines(frames[written - 1 - len(body) // 2])
    assert "Its parts never occur together" in whole
    assert "It is correct for all 12 inputs." in whole
    assert re.search(r"_\w+\(.+\) = ", whole)
    assert "nearest neighbour with the prompt's words (" in whole
    assert "end 90%" in join_lines(whole)


def test_what_is_typed_is_written(screen: TypingScreen, writing_task: WritingTask) -> None:
    """The screen says what was understood and what was not, and the question names this run's words once."""
    assert len(screen.asked) == 4
    assert all(word in screen.asked[0] for word in writing_task.functions.language.made_up)
    assert screen.asked[1] == screen.asked[2]
    shown = [join_lines(text) for text in draw_frames(screen)]
    assert any("Understood: a signature; the" in text and "correct for all" in text for text in shown)
    assert any("The network also writes the docstring." in text for text in shown)


def test_rivals_are_compared_on_the_same_functions(screen: TypingScreen) -> None:
    """Yours comes first. The FakeWriter gets all thirty functions right, and counting rivals get fewer."""
    ladder = next(text for text in draw_frames(screen) if "your network and its rivals" in text)
    counts = {name.strip("│ "): int(right) for name, right in re.findall(r"(.+?) [█░]+ +(\d+) \(", ladder)}
    assert next(iter(counts)) == "your network"
    assert counts["your network"] == EXERCISE_KINDS * EXERCISES_PER_KIND
    assert "30 (10 + 10 + 10)" in ladder
    assert re.search(r"prompt's words [█░]+ +\d+ \(0 \+ ", ladder)
    assert len(counts) == 6
    assert max(list(counts.values())[1:]) < 20


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("colour", [None, "standard", "truecolor"])
def test_every_frame_fits(screen: TypingScreen, width: int, colour: str | None) -> None:
    """No line is longer than the terminal is wide, and colour is only where it is asked for."""
    for frame in screen.frames[:8] + screen.frames[12::9] + screen.frames[-2:]:
        text = draw_to_text(frame, width=width, colour=colour)
        assert colour or "\x1b" not in text
        assert max(map(len, strip_colours(text).splitlines())) <= width
        assert "…" not in text


def test_ascii_is_enough(screen: TypingScreen) -> None:
    """Where only ASCII can be written, only ASCII is."""
    for frame in screen.frames[::5] + screen.frames[-3:]:
        for width in (40, 80):
            assert draw_to_text(frame, width=width, encoding="ascii").isascii()
    assert all(question.isascii() for question in screen.asked)


def test_frames_that_move_fit_a_narrow_terminal(screen: TypingScreen) -> None:
    """They fit into 40 columns and 24 lines."""
    moving = [
        text
        for frame in screen.frames
        if "rivals continue" not in (text := draw_to_text(frame, width=40)) and "heads look" not in text
    ]
    assert max(len(text.splitlines()) for text in moving) <= 24


def test_expected_values_stay_here(
    writing_task: WritingTask, language_milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network gets the training text and beginnings, but never a right answer before it is written."""
    install_fake_writer(monkeypatch, writing_task)
    monkeypatch.setattr(FakeWriter, "stages", ("?(?", "?(?", "?(?"))
    writer = FunctionWriter(FakeWriterWorker(), language_milestone, 1, writing_task.functions.text)
    writer.complete_exercises(writing_task.exercises)
    shown = [bytes(prefix.astype(np.uint8)).decode() for prefix in writer.student_writer.shown]
    assert shown
    assert not any(exercise.prompt.answer in text for text in shown for exercise in writing_task.exercises)


def test_points_are_few_and_measured_here(
    writing_task: WritingTask, language_milestone: Milestone, monkeypatch
) -> None:
    """From fresh weights to the end there are at most POINTS + 1, and the loss falls as the FakeWriter learns."""
    install_fake_writer(monkeypatch, writing_task)
    monkeypatch.setattr(FakeWriter, "steps", 120)
    points: list[WritingPoint] = []
    between: list[int] = []
    writer = FunctionWriter(FakeWriterWorker(), language_milestone, 1, writing_task.functions.text)
    writer.train(writing_task, points.append, lambda: between.append(len(points)))
    assert (points[0].step, points[-1].step, points[-1].steps) == (0, 120, 120)
    assert len(points) <= POINTS + 1
    assert len(between) == 120
    assert points[0].loss > 5 > 1 > points[-1].loss
    assert [points[0].right_attempt_count, points[-1].right_attempt_count] == [0, WATCHED]
    assert "0 parse, 0 compute" in describe_attempt_counts(points[0])


def test_training_that_nobody_watches_is_cut_short(
    writing_task: WritingTask, language_milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends after the given processor time, and the network answers from where it is."""
    install_fake_writer(monkeypatch, writing_task)
    monkeypatch.setattr(FakeWriter, "steps", 1000)
    points: list[WritingPoint] = []
    writer = FunctionWriter(FakeWriterWorker(), language_milestone, 1, writing_task.functions.text)
    writer.train(writing_task, points.append, cpu_seconds=0.5)
    assert 0 < points[-1].step < 100
    assert points[-1].steps == 1000
    assert len(points[-1].attempts) == WATCHED


def test_what_has_no_end_is_said(
    writing_task: WritingTask, language_milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A completion is cut after MOST_BYTES, and is not right, whatever it begins with."""
    install_fake_writer(monkeypatch, writing_task)
    monkeypatch.setattr(FakeWriter, "stages", ("a" * 500,) * 3)
    writer = FunctionWriter(FakeWriterWorker(), language_milestone, 1, writing_task.functions.text)
    (attempt,) = writer.complete_exercises(writing_task.exercises[:1])
    assert attempt.mistake == "it does not end"
    tokens = list(writer.write(writing_task.exercises[0].prompt.text))
    assert len(tokens) == MOST_BYTES + 1
    assert not tokens[-1].ends


def test_the_attempts_shown_tell_how_it_came_to_be() -> None:
    """They include the first, the first that parses, the first right one and the newest, without repetition."""
    verdicts = {"a": (False, "x"), "b": (True, "x"), "d": (True, None)}
    points = [
        WritingPoint(step, 9, 0.0, [ExerciseAttempt(text, *verdicts.get(text, (False, "x")))])
        for step, text in enumerate("aabbcdefgg")
    ]

    def shown(most: int) -> list[tuple[float, str]]:
        return [(step, attempt.written) for step, attempt in choose_attempts_to_show(points, most)]

    assert shown(HISTORY) == [(0, "a"), (2, "b"), (5, "d"), (8, "g")]
    assert shown(6) == [(0, "a"), (2, "b"), (5, "d"), (6, "e"), (7, "f"), (8, "g")]
    assert [text for _, text in shown(99)] == list("abcdefg")
    assert len(choose_attempts_to_show(points[:3], HISTORY)) == 2


def test_the_cache_is_timed_by_processor_time(writing_task: WritingTask) -> None:
    """Both write the same tokens until the context is full, and the ratio is given in numbers."""
    told: list[CacheRace] = []
    prompt = np.frombuffer(writing_task.exercises[0].prompt.text.encode(), np.uint8).astype(np.int64)
    race = race_with_and_without_cache(FakeWriterWorker(), FakeWriter(), prompt, told.append)
    assert race is not None
    assert race.total == race.written == CONTEXT - len(prompt)
    assert race.same
    assert [one.written for one in told] == list(range(1, race.total + 1))
    assert "With the cache, the same tokens" in describe_cache_race(race)
    assert f"3 of {race.total} tokens" in describe_cache_race(told[2])
    assert draw_to_text(CacheSpeeds(race)).count("tokens/s") == 2


def test_other_tokens_are_called_so() -> None:
    """Speeds on different texts do not compare the same work."""
    assert "different tokens come 4.0 times" in describe_cache_race(CacheRace(10, 10, 4.0, 1.0, same=False))


@pytest.mark.parametrize("lacking", ["new_caches", "context_length"])
def test_a_network_of_another_kind_has_no_cache(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    """The demonstration says so and continues."""

    def request(_self: FakeWriterWorker, _verb: str, _network: FakeWriter, name: str) -> int:
        """Return an attribute's value, but raise AttributeError for the one that is lacking."""
        if name == lacking:
            raise AttributeError(name)
        return 100

    monkeypatch.setattr(FakeWriterWorker, "request", request)
    assert race_with_and_without_cache(FakeWriterWorker(), FakeWriter(), np.arange(5), lambda _: None) is None


def test_what_generate_returns_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything but the prompt and the requested tokens is the student's error, which shows the call."""
    monkeypatch.setattr(FakeWriterWorker, "_generate", lambda *_, **__: "tokens")
    with pytest.raises(RecipeError, match="generate"):
        race_with_and_without_cache(FakeWriterWorker(), FakeWriter(), np.arange(5), lambda _: None)


@pytest.mark.parametrize("found", [np.full((1, 256), 1.0), np.full((1, 256), np.nan), np.zeros(256), "p"])
def test_what_samples_must_be_probabilities(
    writing_task: WritingTask, language_milestone: Milestone, monkeypatch: pytest.MonkeyPatch, found: object
) -> None:
    """Any other result of `sampling_probabilities` is the student's error."""
    install_fake_writer(monkeypatch, writing_task)
    monkeypatch.setattr(FakeWriterWorker, "_sampling_probabilities", lambda *_, **__: found)
    writer = FunctionWriter(FakeWriterWorker(), language_milestone, 1, writing_task.functions.text)
    with pytest.raises(RecipeError, match="sampling_probabilities"):
        next(writer.write("def f(a, b):"))


def test_tokens_can_be_read() -> None:
    """Spaces and line breaks are visible, and everything is written in ASCII."""
    assert [format_token(text) for text in ("\0", "\n    ", " é")] == ["end", r"'\n    '", r"' \xe9'"]


def test_a_ladder_fits_below_where_it_is_narrow() -> None:
    """Names are above bars where both do not fit on a line."""
    right, wrong = ExerciseAttempt("", True, None), ExerciseAttempt("", True, "wrong")
    rows = {"your network": [right, wrong], "nearest neighbour with the prompt's words": [wrong, wrong]}
    assert "\n  " in draw_to_text(RivalTable(rows), width=40)
    assert re.search(r"your network +█+░+ +1 \(1 \+ 0 \+ 0\)", draw_to_text(RivalTable(rows), width=80))


def test_it_runs_headless_with_the_students_network(start_writing_worker: Start, language_milestone: Milestone) -> None:
    """The course's own module 16 trains, writes and attends, and its cache writes the same tokens in less time."""
    screen = RecordingScreen()
    with start_writing_worker() as worker:
        DEMOS[5](worker, screen, language_milestone, 1)
    shown = [join_lines(text) for text in draw_frames(screen)]
    assert "before training: fresh weights" in shown[1]
    loss = re.search(r"loss: ([\d.]+) at first, ([\d.]+) now", next(t for t in shown if "step 60 of 60" in t))
    assert float(loss[2]) < 0.8 * float(loss[1])
    assert any("what its heads attend to" in text for text in shown)
    assert "With the cache, the same tokens" in shown[-1]


def test_it_goes_on_inside_a_training_that_is_left(
    start_writing_worker: Start, language_milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe that would train for hours is abandoned in time, and the worker still answers everything."""
    monkeypatch.setattr(demo, "UNWATCHED_SECONDS", 1.0)
    screen = RecordingScreen()
    with start_writing_worker(lambda text: text.replace("), 60", "), 10**6")) as worker:
        play_language_demo(worker, screen, language_milestone, 1)
    shown = [join_lines(text) for text in draw_frames(screen)]
    assert any(re.search(r"step \d+ of 1000000", text) for text in shown)
    assert "With the cache, the same tokens" in shown[-1]


def test_what_student_code_raises_comes_through(start_writing_worker: Start, language_milestone: Milestone) -> None:
    """The caller sees what stopped the demonstration."""
    broken = lambda text: text.replace("    trainer =", "    raise KeyError('lost')\n    trainer =")  # noqa: E731
    with start_writing_worker(broken) as worker, pytest.raises(RemoteError, match="lost"):
        play_language_demo(worker, RecordingScreen(), language_milestone, 1)
