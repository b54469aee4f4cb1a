"""Demonstration 4 on a terminal and without one."""

from __future__ import annotations

import re

import numpy as np
import pytest

from grading.checks.student_network import RecipeError
from grading.demos import DEMOS, image_classifier, kernel_race
from grading.demos import kernels_demo as demo
from grading.demos.image_classifier import DemoImages
from grading.demos.kernel_race import LANES, RACE_IMAGES, SECONDS, RaceLane, RaceState, TrainingStep, run_kernel_race
from grading.demos.kernels_demo import (
    OPS,
    ProfileTable,
    describe_race,
    format_speed,
    list_profile_rows,
    play_kernels_demo,
)
from grading.manifest.model import Milestone
from grading.render.screen import RecordingScreen
from tests.demos.conftest import Start
from tests.demos.fake_race import CompressibleGuesser, FakeClock, FakeTrainingStep, make_fake_loop_turn
from tests.demos.test_terminal_pictures import draw_to_text
from tests.demos.test_training_demo import strip_colours

IMAGES = np.zeros((80, 3, 32, 32), np.uint8)
LABELS = np.zeros(80, np.int64)


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """Replace the race's worker by a clock."""
    monkeypatch.setattr(kernel_race, "TrainingStep", FakeTrainingStep)
    monkeypatch.setattr(kernel_race, "_make_loop_convolution_turn", make_fake_loop_turn)
    return FakeClock()


@pytest.fixture
def guessed(
    fake_clock: FakeClock, colour_images: DemoImages, colour_milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> list:
    """Play the demonstration with a guessing network, and return its frames."""
    monkeypatch.setattr(image_classifier, "StudentNetwork", CompressibleGuesser)
    monkeypatch.setattr(demo, "load_demo_images", lambda *_: colour_images)
    screen = RecordingScreen()
    play_kernels_demo(fake_clock, screen, colour_milestone, 1)
    return screen.frames


def test_lanes_get_the_same_time_until_one_is_through(fake_clock: FakeClock) -> None:
    """The lane with the least time is next, so module 13, twice as fast, sees twice as many images."""
    told: list[RaceState] = []
    standing = run_kernel_race(fake_clock, IMAGES, LABELS, 1, told.append)
    loops_lane, plain_lane, fast = standing.lanes
    assert fast.images == RACE_IMAGES
    assert fast.seconds == pytest.approx(0.02 * RACE_IMAGES / kernel_race.BATCH)
    assert all(abs(lane.seconds - fast.seconds) <= 0.08 for lane in standing.lanes)
    assert plain_lane.images == pytest.approx(RACE_IMAGES / 2, abs=kernel_race.BATCH)
    assert loops_lane.images == pytest.approx(fast.seconds / 0.08, abs=1)
    assert standing.speed_up == pytest.approx(2)
    assert [one.before is None for one in told] == [True] * (len(told) - 1) + [False]
    assert "Numba is compiling" in told[1].stage


def test_a_slow_race_is_ended(fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends after each lane's time if no lane has finished."""
    monkeypatch.setattr(FakeTrainingStep, "seconds", 1.0)
    lanes = run_kernel_race(fake_clock, IMAGES, LABELS, 1, lambda _: None).lanes
    assert max(lane.images for lane in lanes) < RACE_IMAGES
    assert all(SECONDS <= lane.seconds <= SECONDS + 1 for lane in lanes)


class ProfilingWorker:
    """A worker whose modules accept anything, and whose Profile reports given seconds."""

    def __init__(self, seconds: object):
        self.seconds = seconds

    def call(self, *_: object, **__: object) -> ProfilingWorker:
        """Return this worker for any call."""
        return self

    module = rng = call

    def request(self, _verb: str, _thing: object, name: str, *_: object) -> object:
        """Return the seconds, or this worker for any other name."""
        return self.seconds if name == "seconds" else self


def read_profile(seconds: object) -> kernel_race.Profile:
    """Read a Profile with these seconds as the demonstration does."""
    return TrainingStep(ProfilingWorker(seconds), np.zeros((2, 3, 32, 32)), np.zeros(2)).profile()


@pytest.mark.parametrize(
    "seconds", [None, [], {}, {"conv2d": "fast"}, {1: 0.5}, {"conv2d": float("nan")}, {"conv2d": -1.0}, {"x": True}]
)
def test_a_profile_of_another_form_is_the_recipe_of_an_error(seconds: object) -> None:
    """It must be names with seconds, or the error says what came instead."""
    with pytest.raises(RecipeError, match="Profile"):
        read_profile(seconds)


def test_names_in_a_profile_are_harmless() -> None:
    """Whatever an op is called, it is short, on one line, and without escapes."""
    (name,) = read_profile({"\x1b[31mconv\n2d " + "x" * 500: 1})
    assert name.startswith("conv 2d xxx")
    assert len(name) < 60


def test_profiles_are_one_table() -> None:
    """The longest op comes first, ops without a row are added up, and the sum has every op."""
    before = {f"op{i}": i / 1000 for i in range(1, OPS + 3)}
    rows = list_profile_rows(before, {"op1": 0.5, "new": 0.002})
    assert [row[0] for row in rows[:2]] == ["op1", f"op{OPS + 2}"]
    assert rows[0] == ("op1", 0.001, 0.5)
    assert len(rows) == OPS + 1
    assert rows[-1][0] == "all others"
    assert sum(row[1] for row in rows) == pytest.approx(sum(before.values()))
    text = draw_to_text(ProfileTable(RaceState("", LANES, before, {"op1": 0.5})))
    assert re.search(r"op12 +\S+ +12\.0 ms +\S+ +- *$", text, re.MULTILINE)
    assert re.search(r"together +78\.0 ms +500\.0 ms", text)


def test_speeds_are_said_when_there_are_some() -> None:
    """Nothing is said before both steps are timed."""
    assert describe_race(RaceState("", LANES)) == ""
    assert format_speed(LANES[0]) == "     - images/s"
    assert format_speed(RaceLane("", "", images=6000, seconds=2.0)) == " 3,000 images/s"
    assert format_speed(RaceLane("", "", images=3, seconds=2.0)) == "   1.5 images/s"


def test_every_part_is_shown_in_order(guessed: list) -> None:
    """They are the race, the profiles, the curves, the images and the sizes."""
    texts = [draw_to_text(frame) for frame in guessed]
    order = ["the race: 4,096 images", "the race is over", "where a training step", "before training"]
    order += ["step 100 of 100", "Compressing it", "image 1 of 6", "image 6 of 6", "of the bytes"]
    places = [next(i for i, text in enumerate(texts) if part in text) for part in order]
    assert places == sorted(places)
    assert places[-1] == len(texts) - 1
    assert "Module 13 is 2.0 times as fast as module 06." in texts[places[1]]
    assert "images/s" in texts[places[0]]
    assert {"40,000", "10,000"} <= set(texts[-1].split())
    assert "25.0% of the bytes and gives the same answer for 300 of 300" in texts[-1].replace("│\n│ ", "")


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("colour", [None, "standard", "truecolor"])
def test_every_frame_fits(guessed: list, width: int, colour: str | None) -> None:
    """No line is longer than the terminal is wide, none wraps into a bar, and colour is only where it is asked for."""
    for frame in guessed[:8] + guessed[-12:]:
        text = draw_to_text(frame, width=width, colour=colour)
        assert colour or "\x1b" not in text
        assert max(map(len, strip_colours(text).splitlines())) <= width
        assert "…" not in text
        assert all(line.startswith(("╭", "│", "╰")) for line in strip_colours(text).splitlines())


def test_ascii_is_enough(guessed: list) -> None:
    """Where only ASCII can be written, only ASCII is."""
    for frame in guessed[:4] + guessed[-50:]:
        for width in (40, 80):
            assert draw_to_text(frame, width=width, encoding="ascii").isascii()


def test_frames_of_a_narrow_terminal_are_no_higher_than_it(guessed: list) -> None:
    """Animated frames fit into 40 columns and 24 lines."""
    assert max(len(draw_to_text(frame, width=40).splitlines()) for frame in guessed) <= 24


def test_who_is_right_is_said(colour_images: DemoImages) -> None:
    """The frame says both, neither, or which one."""
    label = int(colour_images.test_labels[0])
    right, wrong = np.eye(10)[[label]], np.eye(10)[[(label + 1) % 10]]

    def words(p: np.ndarray, q: np.ndarray) -> str:
        """Return the text shown for these probabilities in float32 and int8."""
        compared = demo.FormatComparison((p, q), (4, 1), (0.0, 0.0), 0)
        return draw_to_text(demo.TwoFormatAnswer(colour_images, 0, compared))

    assert "both are correct" in words(right, right)
    assert "only float32 is correct" in words(right, wrong)
    assert "only int8 is correct" in words(wrong, right)
    assert "both are wrong" in words(wrong, wrong)
    assert all(f"it is: {colour_images.classes[label]};" in words(p, right) for p in (right, wrong))


def test_it_runs_headless_with_the_students_network(
    start_kernel_worker: Start, colour_images: DemoImages, kernel_milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The course's own convolutions race, its profile names their ops, and int8 classifies all images."""
    monkeypatch.setattr(demo, "load_demo_images", lambda *_: colour_images)
    monkeypatch.setattr(kernel_race, "RACE_IMAGES", 2 * kernel_race.BATCH)
    screen = RecordingScreen()
    with start_kernel_worker() as worker:
        DEMOS[4](worker, screen, kernel_milestone, 1)
    texts = [draw_to_text(frame) for frame in screen.frames]
    profile = next(text for text in texts if "where a training step" in text)
    assert {"conv2d", "batch_norm", "batch_norm_relu"} <= {
        word for line in profile.splitlines() for word in line.split()
    }
    whole, small = (float(share) for share in re.findall(r"([\d.]+)%  ", texts[-1])[:2])
    assert whole > 40
    assert small > whole - 10
    assert 10 < float(re.search(r"int8 needs ([\d.]+)%", texts[-1])[1]) < 40
