"""Demonstration 2 on a terminal and without one."""

from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from grading.checks.student_network import RecipeError
from grading.demos import digits_demo as demo
from grading.demos import image_classifier
from grading.demos.digits_demo import play_digits_demo
from grading.demos.image_classifier import DemoClassifier, DemoImages, TrainingPoint
from grading.manifest.model import Milestone
from grading.remote import RemoteError
from grading.render.screen import LiveScreen, PlainScreen, RecordingScreen
from tests.demos.conftest import Start
from tests.demos.test_terminal_pictures import draw_to_text


class GuessingNetwork:
    """Replaces a student's network: it knows a little, and remembers the images it was shown."""

    shown: list

    def __init__(self, *_: object, outputs: int):
        assert outputs == 10
        self.shown = []

    def train(self, images: np.ndarray, labels: np.ndarray, _seed: int, _seconds: float, progress) -> None:
        """Report a hundred steps."""
        self.shown += [images, labels]
        for step in range(1, 101):
            progress(step, 100)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Guess from the ink around the middle."""
        self.shown.append(images)
        logits = images.reshape(len(images), -1)[:, 300:500:20].astype(float) / 100
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    def feature_maps(self, images: np.ndarray) -> np.ndarray:
        """Return twenty maps, one of them empty."""
        return np.linspace(-1, 3, 20)[None, :, None, None] * images[:, :, ::2, ::2]


@pytest.fixture
def guessed(digit_images: DemoImages, milestone: Milestone, monkeypatch: pytest.MonkeyPatch) -> list:
    """Play the demonstration with a guessing network, and return its frames."""
    monkeypatch.setattr(image_classifier, "StudentNetwork", GuessingNetwork)
    monkeypatch.setattr(demo, "load_demo_images", lambda *_: digit_images)
    screen = RecordingScreen()
    play_digits_demo(None, screen, milestone, 1)
    return screen.frames


@pytest.mark.parametrize("seed", [1, 2])
def test_it_runs_headless_with_the_students_network(
    start_digit_worker: Start,
    digit_images: DemoImages,
    milestone: Milestone,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    """It runs from fresh weights to the mistakes, and the trained network reads most digits."""
    monkeypatch.setattr(demo, "load_demo_images", lambda *_: digit_images)
    screen = RecordingScreen()
    with start_digit_worker() as worker:
        play_digits_demo(worker, screen, milestone, seed)
    first, last = draw_to_text(screen.frames[0]), draw_to_text(screen.frames[-1])
    assert "fresh weights" in first
    assert "It misreads" in last
    wrong, of = (int(word.replace(",", "")) for word in last.split("It misreads ")[1].split(" digits")[0].split(" of "))
    assert of == len(digit_images.test_images)
    assert wrong < of / 4


def test_every_part_is_shown_in_order(guessed: list, digit_images: DemoImages) -> None:
    """They are the curve, the digits, the maps and the mistakes."""
    texts = [draw_to_text(frame) for frame in guessed]
    order = ["before training", "step 100 of 100", "digit 1 of 6", "digit 6 of 6", "first layer", "It misreads"]
    places = [next(i for i, text in enumerate(texts) if part in text) for part in order]
    assert places == sorted(places)
    assert places[-1] == len(texts) - 1
    assert digit_images.about in " ".join(texts[0].replace("│", " ").split())
    assert len(texts) < 60


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("colour", [None, "standard", "256", "truecolor"])
def test_every_frame_fits(guessed: list, width: int, colour: str | None) -> None:
    """No line is longer than the terminal is wide, and there is colour only where it is asked for."""
    for frame in guessed[:1] + guessed[-6:]:
        text = draw_to_text(frame, width=width, colour=colour)
        assert ("\x1b" in text) == (colour is not None)
        plain = Console(width=500).render_str(text).plain if colour is None else ""
        assert max(map(len, plain.splitlines()), default=0) <= width


@pytest.mark.parametrize("width", [40, 80])
def test_ascii_is_enough(guessed: list, width: int) -> None:
    """Where only ASCII can be written, only ASCII is."""
    for frame in guessed:
        assert draw_to_text(frame, width=width, encoding="ascii").isascii()


def test_frames_of_a_narrow_terminal_are_no_higher_than_it(guessed: list) -> None:
    """Animated frames fit into 40 columns and 24 lines."""
    moving = [
        text for frame in guessed if "misreads" not in (text := draw_to_text(frame, width=40)) and "layer" not in text
    ]
    assert max(len(text.splitlines()) for text in moving) <= 24


def test_labels_of_test_images_stay_here(digit_images: DemoImages) -> None:
    """The network gets training images with labels, and test images without."""
    reader = DemoClassifier.__new__(DemoClassifier)
    reader._network, reader._seed, reader._seconds = GuessingNetwork(outputs=10), 1, 1.0
    points: list[TrainingPoint] = []
    reader.train(digit_images, points.append)
    shown = reader._network.shown
    assert [array is digit_images.labels for array in shown if array.ndim == 1] == [True]
    assert all(
        array is digit_images.images or len(array) <= image_classifier.WATCHED for array in shown if array.ndim == 4
    )
    assert (points[0].step, points[-1].step) == (0, 100)
    assert len(points) <= image_classifier.POINTS + 1
    assert all(np.isfinite(point.loss) for point in points)


def test_a_network_without_mistakes_has_none_shown(digit_images: DemoImages) -> None:
    """It only says that there are none."""
    assert "It misreads 0 of" in draw_to_text(
        demo.render_misread_digits(digit_images, np.eye(10)[digit_images.test_labels])
    )


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("    return network[0](scaled(images)).numpy()", "    return 'maps'", RecipeError, "feature_maps"),
        ("    return network[0](scaled(images)).numpy()", "    raise ValueError('of mine')", RemoteError, "of mine"),
        ("    set_training(network, True)", "    raise KeyError('lost')", RemoteError, "lost"),
    ],
)
def test_what_student_code_raises_comes_through(
    start_digit_worker: Start,
    digit_images: DemoImages,
    milestone: Milestone,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    error: type[Exception],
    said: str,
) -> None:
    """The caller sees what stopped the demonstration."""
    monkeypatch.setattr(demo, "load_demo_images", lambda *_: digit_images)

    def edited(text: str) -> str:
        """Return the recipe with an error in it, and without its mode switch."""
        assert old in text
        return text.replace(old, new).replace("    set_training(network, True)", "    return")

    with start_digit_worker(edited) as worker, pytest.raises(error, match=said):
        play_digits_demo(worker, RecordingScreen(), milestone, 1)


def test_a_log_keeps_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets the first frame, those to keep and the last, each once and in order."""
    with PlainScreen(Console(force_terminal=False)) as screen:
        for frame in ("first", "passing", "passing", "kept"):
            screen.show_frame(frame, keep=frame == "kept")
        screen.show_frame("passing")
        screen.show_frame("last")
    assert capsys.readouterr().out.split() == ["first", "kept", "last"]


def test_a_terminal_keeps_them_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A frame to keep is printed above those that follow, each of which has its time."""
    with LiveScreen(Console(force_terminal=True)) as screen:
        screen.show_frame("passing", seconds=0)
        screen.show_frame("kept", seconds=0, keep=True)
        screen.show_frame("last")
    out = capsys.readouterr().out
    assert out.index("passing") < out.index("kept") < out.index("last")
    assert out.count("kept") == 1
