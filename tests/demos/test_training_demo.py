"""Demonstration 3 on a terminal and without one."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rich.console import Console

from grading.data.sources import SOURCES
from grading.demos import DEMOS, image_classifier
from grading.demos import training_demo as demo
from grading.demos.confusion_table import ConfusionTable, count_confusions, find_worst_confusions, shorten_class_names
from grading.demos.image_classifier import DemoClassifier, DemoImages, TrainingPoint, load_demo_images
from grading.demos.terminal_pictures import ColourPhoto, LikeliestClasses
from grading.demos.training_demo import choose_varied_images, play_training_demo
from grading.manifest.model import Milestone
from grading.remote import RemoteError
from grading.render.progress_watch import SilentWatch
from grading.render.screen import PlainScreen, RecordingScreen
from tests.demos.conftest import Start
from tests.demos.test_digits_demo import GuessingNetwork
from tests.demos.test_terminal_pictures import draw_to_text

CLASSES = SOURCES["cifar10"].classes


def strip_colours(text: str) -> str:
    """Remove colour escapes from a text."""
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.fixture
def guessed(colour_images: DemoImages, colour_milestone: Milestone, monkeypatch: pytest.MonkeyPatch) -> list:
    """Play the demonstration with a guessing network, and return its frames."""
    monkeypatch.setattr(image_classifier, "StudentNetwork", GuessingNetwork)
    monkeypatch.setattr(demo, "load_demo_images", lambda *_: colour_images)
    screen = RecordingScreen()
    play_training_demo(None, screen, colour_milestone, 1)
    return screen.frames


def test_it_runs_headless_with_the_students_network(
    start_colour_worker: Start, colour_images: DemoImages, colour_milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs from fresh weights to the mistakes, and the trained network recognises far more than one in ten."""
    monkeypatch.setattr(demo, "load_demo_images", lambda *_: colour_images)
    screen = RecordingScreen()
    with start_colour_worker() as worker:
        DEMOS[3](worker, screen, colour_milestone, 1)
    assert "fresh weights" in draw_to_text(screen.frames[0])
    share = float(re.search(r"It recognises ([\d.]+)% of 300 images", draw_to_text(screen.frames[-2]))[1])
    assert share > 40
    assert "It misclassifies" in draw_to_text(screen.frames[-1])


def test_every_part_is_shown_in_order(guessed: list, colour_images: DemoImages) -> None:
    """They are the curves, the samples, the confusions and the mistakes."""
    texts = [draw_to_text(frame) for frame in guessed]
    order = ["before training", "step 100 of 100", "image 1 of 6", "image 6 of 6", "It recognises", "It misclassifies"]
    places = [next(i for i, text in enumerate(texts) if part in text) for part in order]
    assert places == sorted(places)
    assert places[-1] == len(texts) - 1
    assert colour_images.about in " ".join(texts[0].replace("│", " ").split())
    assert "stand in for CIFAR-10" in colour_images.about
    assert all(part in texts[places[1]] for part in ("loss: ", "accuracy: "))
    assert len(texts) < 60


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("colour", [None, "standard", "truecolor"])
def test_every_frame_fits(guessed: list, width: int, colour: str | None) -> None:
    """No line is longer than the terminal is wide, and there is colour only where it is asked for."""
    for frame in guessed[:2] + guessed[-8:]:
        text = draw_to_text(frame, width=width, colour=colour)
        assert colour or "\x1b" not in text
        assert max(map(len, strip_colours(text).splitlines())) <= width


def test_ascii_is_enough(guessed: list) -> None:
    """Where only ASCII can be written, only ASCII is."""
    for frame in guessed[:2] + guessed[-8:]:
        for width in (40, 80):
            assert draw_to_text(frame, width=width, encoding="ascii").isascii()


def test_frames_of_a_narrow_terminal_are_no_higher_than_it(guessed: list) -> None:
    """Animated frames fit into 40 columns and 24 lines."""
    moving = [text for frame in guessed[:-1] if (text := draw_to_text(frame, width=40))]
    assert max(len(text.splitlines()) for text in moving) <= 24


def test_a_log_keeps_what_matters(guessed: list, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe gets the curves before and after training, one sample, the confusions and the mistakes."""
    with PlainScreen(Console(width=80, force_terminal=False)) as screen:
        for frame in guessed[:5]:
            screen.show_frame(frame)
        for frame in guessed[-3:]:
            screen.show_frame(frame, keep=True)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.count("╭") == 4


def test_samples_are_of_different_classes() -> None:
    """They cover all classes, then others, and never repeat."""
    labels = np.array([3, 3, 3, 1, 1, 2])
    assert choose_varied_images(labels, 2) == [0, 3]
    assert choose_varied_images(labels, 9) == [0, 3, 5, 1, 2, 4]


def test_colour_pictures_on_all_kinds_of_terminals() -> None:
    """A cell has two coloured pixels, or a grey shade with sixteen colours or none, or an ASCII ramp."""
    image = np.zeros((3, 3, 2), np.uint8)
    image[0, 0, 0], image[:, 1, 0] = 200, 100
    text = draw_to_text(ColourPhoto(image), colour="truecolor")
    assert "38;2;200;0;0;48;2;100;100;100" in text
    assert strip_colours(text).splitlines() == ["▀▀", "▀▀"]
    for colour in (None, "standard"):
        assert strip_colours(draw_to_text(ColourPhoto(image), colour=colour)).splitlines()[0] == "█ "
    assert draw_to_text(ColourPhoto(image), encoding="ascii").splitlines()[0] == "@ "


def test_the_likeliest_classes_come_first() -> None:
    """There are three, each with its name and a bar."""
    p = np.array([0.1, 0.05, 0.6, 0, 0, 0, 0, 0.25, 0, 0])
    lines = draw_to_text(LikeliestClasses(p, CLASSES, width=4)).splitlines()
    assert [line.split()[0] for line in lines] == ["bird", "horse", "airplane"]
    assert lines[0] == "bird       ██░░  60%"


def test_confusions_are_counted_and_ranked() -> None:
    """Rows are what images show, the worst is the largest share of its class, and right answers do not count."""
    labels = np.array([0, 0, 0, 1, 1, 2])
    counts = count_confusions(labels, np.eye(3)[[0, 1, 1, 1, 0, 2]])
    assert counts.tolist() == [[1, 2, 0], [1, 1, 0], [0, 0, 1]]
    assert find_worst_confusions(counts) == [(0, 1), (1, 0)]
    assert find_worst_confusions(np.eye(3, dtype=int)) == []
    assert count_confusions(labels, np.eye(4)[labels]).sum() == 6


def test_the_table_is_for_those_who_have_room() -> None:
    """From 80 columns on it has all counts. On 40 the worst confusions take one line each."""
    counts = np.diag(np.full(10, 90))
    counts[3, 5], counts[0, 8] = 30, 9
    wide = draw_to_text(ConfusionTable(counts, CLASSES), width=76).splitlines()
    row = next(line for line in wide if line.startswith("cat "))
    assert row.split() == ["cat", *"···", "90", "·", "30", *"····"]
    narrow = draw_to_text(ConfusionTable(counts, CLASSES), width=36).splitlines()
    assert narrow == ["most frequent confusions:", "cat called dog: 30 of 120", "airplane called ship: 9 of 99"]
    assert "48;2;" in draw_to_text(ConfusionTable(counts, CLASSES), width=76, colour="truecolor")
    assert "no confusions" in draw_to_text(ConfusionTable(np.diag(np.full(10, 9)), CLASSES), width=76)


def test_headings_can_be_told_apart() -> None:
    """They are first letters where these differ, else numbers."""
    assert shorten_class_names(CLASSES)[:3] == ["airpl", "autom", "bird"]
    assert shorten_class_names(["circle red", "circle blue"]) == ["1", "2"]


def test_a_network_without_mistakes_has_none_shown(colour_images: DemoImages) -> None:
    """It only says that there are none."""
    assert "It misclassifies 0 of" in draw_to_text(
        demo.render_misclassified_images(colour_images, np.eye(10)[colour_images.test_labels])
    )


class LyingNetwork(GuessingNetwork):
    """A network that reports impossible steps."""

    def train(self, _images, _labels, _seed: int, _seconds: float, progress) -> None:
        """Report steps of which only one is finite, and that one too large."""
        nan, infinite = float("nan"), float("inf")
        for step, steps in [(nan, 10), (5, nan), (infinite, 10), (5, infinite), (3, 0), (-7, 10), (30, 10)]:
            progress(step, steps)


def test_steps_that_cannot_be_are_not_drawn(colour_images: DemoImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reported point is within the training."""
    reader = DemoClassifier.__new__(DemoClassifier)
    reader._network, reader._seed, reader._seconds = LyingNetwork(outputs=10), 1, 1.0
    points: list[TrainingPoint] = []
    reader.train(colour_images, points.append)
    assert [(p.step, p.steps) for p in points] == [(0, 0), (10, 10), (10, 10)]
    assert all(draw_to_text(demo.render_image_training(points[:n], colour_images)) for n in (1, 2, 3))
    monkeypatch.setattr(LyingNetwork, "train", lambda *_: None)
    points.clear()
    reader.train(colour_images, points.append)
    assert "step 0 of 0" in draw_to_text(demo.render_image_training(points, colour_images))


@pytest.mark.parametrize(
    ("name", "stand_in_for", "said", "stand_in"),
    [
        ("cifar10", None, "training images of CIFAR-10.", False),
        ("cifar10-variant", "cifar10", "in your own folder, whose files are not the official ones", False),
        ("shapes", "cifar10", "that stand in for CIFAR-10, which is not on this machine", True),
    ],
)
def test_what_it_is_trained_on_is_named(
    colour_images: DemoImages,
    colour_milestone: Milestone,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    stand_in_for: str | None,
    said: str,
    stand_in: bool,
) -> None:
    """It is the real data, other files of it, or its stand-in."""
    parts = (colour_images.images, colour_images.labels, colour_images.test_images, colour_images.test_labels)
    data = image_classifier.DataSet(name, *parts, digest="", stand_in_for=stand_in_for, classes=tuple("abcdefghij"))
    monkeypatch.setattr(image_classifier, "load_or_fetch_images", lambda *_: data)
    images = load_demo_images(colour_milestone, 1, SilentWatch())
    assert said in images.about
    assert images.stand_in == stand_in
    assert images.classes == tuple("abcdefghij")


def test_what_student_code_raises_comes_through(
    start_colour_worker: Start, colour_images: DemoImages, colour_milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller sees what stopped the demonstration."""
    monkeypatch.setattr(demo, "load_demo_images", lambda *_: colour_images)
    broken = lambda text: text.replace("    set_training(network, True)", "    raise KeyError('lost')")  # noqa: E731
    with start_colour_worker(broken) as worker, pytest.raises(RemoteError, match="lost"):
        play_training_demo(worker, RecordingScreen(), colour_milestone, 1)
