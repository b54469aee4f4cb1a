"""Demonstration 3: a network is trained live from scratch, then shows what it has learned and what it confuses."""

from __future__ import annotations

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from grading.client import Worker
from grading.demos.confusion_table import ConfusionTable, count_confusions
from grading.demos.image_classifier import DemoClassifier, DemoImages, TrainingPoint, load_demo_images
from grading.demos.terminal_frames import Frame, Gallery, ScreenWatch, lay_out_side_by_side
from grading.demos.terminal_pictures import ColourPhoto, LikeliestClasses, TextCurve
from grading.manifest.model import Milestone
from grading.render.screen import Screen

SHOWN = 6
"""The number of images that are classified one after another."""
SECONDS = 1.2
"""The time for which each image is shown."""
MISTAKES = 4
"""The maximum number of mistakes to show."""
BESIDE = 56
"""The number of columns needed to put two things side by side."""


def play_training_demo(worker: Worker, screen: Screen, milestone: Milestone, seed: int) -> None:
    """Train on images (downloaded if missing), show answers and mistakes; do not catch student errors."""
    images = load_demo_images(milestone, seed, ScreenWatch(screen))
    reader = DemoClassifier(worker, milestone, seed)
    show_image_training(reader, images, screen)
    p = reader.predict_probabilities(images.test_images)
    samples = choose_varied_images(images.test_labels, SHOWN)
    for place, index in enumerate(samples):
        title = f"image {place + 1} of {len(samples)} it has never seen"
        shown = ClassifiedImage(images.test_images[index], p[index], int(images.test_labels[index]), images.classes)
        screen.show_frame(Frame(title, shown), seconds=SECONDS, keep=place == len(samples) - 1)
    counts = count_confusions(images.test_labels, p)
    told = f"It recognises {np.trace(counts) / len(p):.1%} of {len(p):,} images it has never seen."
    screen.show_frame(
        Frame("what it confuses", Group(Text(f"{told}\n"), ConfusionTable(counts, images.classes))), keep=True
    )
    screen.show_frame(render_misclassified_images(images, p), keep=True)


def show_image_training(classifier: DemoClassifier, images: DemoImages, screen: Screen) -> None:
    """Train a network, and show its curves of loss and accuracy as they grow; the last frame stays on the screen."""
    points: list[TrainingPoint] = []

    def add_and_show_point(point: TrainingPoint) -> None:
        """Add a measurement from the training run, and redraw the screen."""
        points.append(point)
        screen.show_frame(render_image_training(points, images))

    classifier.train(images, add_and_show_point)
    screen.show_frame(render_image_training(points, images), keep=True)


def choose_varied_images(labels: np.ndarray, at_most: int) -> list[int]:
    """Choose the indices of up to ``at_most`` images to show, from as many classes as possible."""
    _, first = np.unique(labels, return_index=True)
    rest = np.setdiff1d(np.arange(len(labels)), first)
    return [int(i) for i in (*np.sort(first), *rest)][:at_most]


def render_image_training(points: list[TrainingPoint], images: DemoImages) -> RenderableType:
    """Render the curves of loss and accuracy so far, with a note on the data."""
    last = points[-1]
    title = f"step {last.step:.0f} of {last.steps:.0f}" if len(points) > 1 else "before training: fresh weights"
    told = Text(f"Both are measured on images outside the training set.\n{images.about}", style="dim")
    return Frame(title, Group(TrainingCurves(points), told))


class TrainingCurves:
    """The curves of loss and accuracy, side by side if there is room."""

    def __init__(self, points: list[TrainingPoint]):
        last = points[-1]
        part = last.step / last.steps if last.steps else float(len(points) > 1)
        self._loss = TextCurve([point.loss for point in points], part=part)
        self._accuracy = TextCurve(
            [point.accuracy for point in points], title="accuracy", top=1.0, number=".0%", part=part
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Put the curves in two columns, or one above the other."""
        if options.max_width < BESIDE:
            yield self._loss
            yield self._accuracy
            return
        width = min(40, (options.max_width - 3) // 2)
        grid = Table.grid(padding=(0, 3, 0, 0))
        for _ in range(2):
            grid.add_column(width=width)
        grid.add_row(self._loss, self._accuracy)
        yield grid


class ClassifiedImage:
    """One image with its likeliest classes and a note on whether it was classified correctly."""

    def __init__(self, image: np.ndarray, probabilities: np.ndarray, label: int, classes: tuple[str, ...]):
        self._picture, self._p, self._label, self._classes = ColourPhoto(image), probabilities, label, classes

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Put the classes next to the image, or below it on a narrow console."""
        answer = int(self._p.argmax())
        right = answer == self._label
        told = "which is correct" if right else f"but it is: {self._classes[self._label]}"
        words = Text(f"called {self._classes[answer]}, {told}", style="green" if right else "yellow")
        names = max(map(len, self._classes))
        if options.max_width < BESIDE:
            width = min(20, options.max_width - names - 6)
            yield Group(self._picture, LikeliestClasses(self._p, self._classes, width=width), words)
            return
        width = max(4, min(options.max_width - 32 - 3 - names - 6, 30))
        bars = LikeliestClasses(self._p, self._classes, width=width)
        yield lay_out_side_by_side(self._picture, Group(Text("\n\n\n"), bars, Text(), words))


def render_misclassified_images(images: DemoImages, probabilities: np.ndarray) -> RenderableType:
    """Render the misclassified images with the highest confidence, and the number of misclassified images."""
    named = probabilities.argmax(1)
    wrong = np.flatnonzero(named != images.test_labels)
    told = f"It misclassifies {len(wrong)} of {len(probabilities):,} images it has never seen"
    if not len(wrong):
        return Frame("its mistakes", Text(f"{told}."))
    surest = wrong[np.argsort(-probabilities[wrong, named[wrong]], kind="stable")][:MISTAKES]
    pictures = []
    for i in surest:
        shown, answer = images.classes[images.test_labels[i]], images.classes[named[i]]
        caption = f"{shown}, called {answer} ({probabilities[i].max():.0%})"
        pictures.append((ColourPhoto(images.test_images[i]), caption))
    return Frame("its mistakes", Group(Text(f"{told}. It was most confident about these.\n"), Gallery(pictures)))
