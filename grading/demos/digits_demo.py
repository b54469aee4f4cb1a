"""Demonstration 2: a network learns to read digits, then shows its answers, its feature maps and its mistakes."""

from __future__ import annotations

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from grading.client import Worker
from grading.demos.image_classifier import DemoClassifier, DemoImages, TrainingPoint, load_demo_images
from grading.demos.terminal_frames import Frame, Gallery, ScreenWatch
from grading.demos.terminal_pictures import DigitBars, GreyPicture, TextCurve, shrink_image
from grading.manifest.model import Milestone
from grading.render.screen import Screen

SHOWN = 6
"""The number of digits that are read one after another."""
SECONDS = 0.9
"""The time for which each digit is shown."""
MISTAKES = 6
"""The maximum number of mistakes to show."""
MARGIN = 2
"""The number of empty pixels to cut off each side of a misread digit."""


def play_digits_demo(worker: Worker, screen: Screen, milestone: Milestone, seed: int) -> None:
    """Train a network on digits (downloaded if missing), show its answers and mistakes; do not catch student errors."""
    digits = load_demo_images(milestone, seed, ScreenWatch(screen))
    reader = DemoClassifier(worker, milestone, seed)
    points: list[TrainingPoint] = []

    def add_and_show_point(point: TrainingPoint) -> None:
        """Add a measurement from the training run, and redraw the screen."""
        points.append(point)
        screen.show_frame(render_digit_training(points, digits))

    reader.train(digits, add_and_show_point)
    screen.show_frame(render_digit_training(points, digits), keep=True)
    p = reader.predict_probabilities(digits.test_images)
    for index in range(min(SHOWN, len(p))):
        told = f"digit {index + 1} of {min(SHOWN, len(p))} it has never seen"
        shown = Frame(told, DigitAnswer(digits.test_images[index], p[index], int(digits.test_labels[index])))
        screen.show_frame(shown, seconds=SECONDS, keep=index == SHOWN - 1)
    screen.show_frame(
        Frame("what the first layer sees in it", FeatureMaps(reader.compute_feature_maps(digits.test_images[index]))),
        keep=True,
    )
    screen.show_frame(render_misread_digits(digits, p), keep=True)


def render_digit_training(points: list[TrainingPoint], digits: DemoImages) -> RenderableType:
    """Render the loss curve so far, with the accuracy as text."""
    last = points[-1]
    title = f"step {last.step:.0f} of {last.steps:.0f}" if len(points) > 1 else "before training: fresh weights"
    told = Text(f"reads {last.accuracy:.0%} of digits it is not trained on\n{digits.about}")
    return Frame(title, Group(TextCurve([point.loss for point in points]), told))


def render_misread_digits(digits: DemoImages, probabilities: np.ndarray) -> RenderableType:
    """Render the misread digits with the highest confidence, and the number of misread digits."""
    read = probabilities.argmax(1)
    wrong = np.flatnonzero(read != digits.test_labels)
    told = f"It misreads {len(wrong)} of {len(probabilities):,} digits it has never seen"
    if not len(wrong):
        return Frame("its mistakes", Text(f"{told}."))
    surest = wrong[np.argsort(-probabilities[wrong, read[wrong]])][:MISTAKES]
    cut = slice(MARGIN, -MARGIN)
    pictures = [
        (
            GreyPicture(digits.test_images[i, 0, cut, cut] / 255),
            f"a {digits.test_labels[i]}, read as {read[i]} ({probabilities[i].max():.0%})",
        )
        for i in surest
    ]
    heading = Text(f"{told}. It was most confident about these.\n")
    return Frame("its mistakes", Group(heading, Gallery(pictures)))


class DigitAnswer:
    """One digit with its probability bars and a note on whether it was read correctly."""

    def __init__(self, image: np.ndarray, probabilities: np.ndarray, label: int):
        self._picture, self._p, self._label = GreyPicture(image[0] / 255), probabilities, label

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Put the bars next to the digit, or below it on a narrow console."""
        read = int(self._p.argmax())
        right = read == self._label
        told = "which is correct" if right else f"but it is a {self._label}"
        words = Text(f"read as {read}, {told}", style="green" if right else "yellow")
        if options.max_width < 56:
            yield Group(self._picture, DigitBars(self._p, width=7, columns=2), words)
            return
        grid = Table.grid(padding=(0, 3))
        width = min(options.max_width - 28 - 3 - 7 - 4, 40)
        grid.add_row(self._picture, Group(Text(), DigitBars(self._p, width=width), Text(), words))
        yield grid


class FeatureMaps:
    """Up to sixteen feature maps of one image."""

    def __init__(self, maps: np.ndarray):
        self._maps = maps

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show the maps in rows, smaller on a narrow console."""
        side = 14 if options.max_width >= 60 else 10
        small = [shrink_image(one, side) for one in self._maps[:16]]
        shown = [(GreyPicture(one / max(float(np.abs(one).max()), 1e-12)), "") for one in small]
        coloured = console.color_system is not None and not console.no_color
        below = ", orange where below 0" if coloured else ""
        yield Group(
            Text(f"{len(self._maps)} feature maps, each bright where its filter responds{below}."),
            Gallery(shown),
        )
