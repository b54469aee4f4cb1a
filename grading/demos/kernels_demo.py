"""Demonstration 4: a race between three convolutions, and a network that classifies images in float32 and int8."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from grading.client import Worker
from grading.demos.image_classifier import DemoClassifier, DemoImages, load_demo_images
from grading.demos.kernel_race import RACE_IMAGES, Profile, RaceLane, RaceState, run_kernel_race
from grading.demos.terminal_frames import Frame, ScreenWatch, lay_out_side_by_side
from grading.demos.terminal_pictures import ColourPhoto, LikeliestClasses
from grading.demos.training_demo import BESIDE, SECONDS, SHOWN, choose_varied_images, show_image_training
from grading.manifest.model import Milestone
from grading.render.figure_text import draw_bar
from grading.render.screen import Screen

CALIBRATED = 500
"""The number of training images passed to `compress`."""
FORMATS = ("float32", "int8")
SIZES = "the same network in int8"
OPS = 10
"""The maximum number of ops that a profile lists. The others are added up."""


def play_kernels_demo(worker: Worker, screen: Screen, milestone: Milestone, seed: int) -> None:
    """Race convolutions, train (data downloaded if missing), compare float32 and int8; do not catch student errors."""
    images = load_demo_images(milestone, seed, ScreenWatch(screen))
    standing = run_kernel_race(
        worker, images.images, images.labels, seed, lambda now: screen.show_frame(render_race(now))
    )
    screen.show_frame(render_race(standing), keep=True)
    screen.show_frame(Frame("where a training step spends its time", ProfileTable(standing)), keep=True)
    reader = DemoClassifier(worker, milestone, seed)
    show_image_training(reader, images, screen)
    busy = f"Compressing it, and classifying {len(images.test_images):,} images with both."
    screen.show_frame(Frame(SIZES, Text(busy)))
    small = reader.compress(images.images[:CALIBRATED])
    compared = compare_float32_and_int8(reader.predict_probabilities(images.test_images), reader, small, images)
    samples = choose_varied_images(images.test_labels, SHOWN)
    for place, index in enumerate(samples):
        title = f"image {place + 1} of {len(samples)} it has never seen"
        shown = TwoFormatAnswer(images, index, compared)
        screen.show_frame(Frame(title, shown), seconds=SECONDS, keep=place == len(samples) - 1)
    screen.show_frame(Frame(SIZES, SizeTable(compared)), keep=True)


@dataclass(frozen=True, eq=False)
class FormatComparison:
    """A network's answers and its sizes, first in float32 and then in int8."""

    probabilities: tuple[np.ndarray, np.ndarray]
    """The probabilities for each test image and class, in each format."""
    nbytes: tuple[int, int]
    accuracies: tuple[float, float]
    same: int
    """The number of test images for which both formats give the same answer."""


def compare_float32_and_int8(
    probabilities: np.ndarray, classifier: DemoClassifier, compressed: DemoClassifier, images: DemoImages
) -> FormatComparison:
    """Compare the answers and sizes of a network, which returned these ``probabilities``, and its compressed copy."""
    q = compressed.predict_probabilities(images.test_images)
    answers = probabilities.argmax(1), q.argmax(1)
    right = [float((answer == images.test_labels).mean()) for answer in answers]
    return FormatComparison(
        (probabilities, q),
        (classifier.nbytes, compressed.nbytes),
        (right[0], right[1]),
        int((answers[0] == answers[1]).sum()),
    )


def render_race(race_state: RaceState) -> RenderableType:
    """Render the race's lanes, and its state as text."""
    title = f"the race: {RACE_IMAGES:,} images" if race_state.before is None else "the race is over"
    return Frame(title, RaceTrack(race_state))


def describe_race(race_state: RaceState) -> str:
    """Describe how many times as fast module 13 is. Return "" until both modules have been timed."""
    ratio = race_state.speed_up
    if ratio is None:
        return ""
    return f"Module 13 is {ratio:.1f} times as fast as module 06."


class RaceTrack:
    """A bar for each lane of the race, with the lane's speed."""

    def __init__(self, standing: RaceState):
        self._standing = standing

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show each lane's bar, with its job below it."""
        lanes, room = self._standing.lanes, options.max_width
        names = max(len(lane.name) for lane in lanes)
        numbers = [format_speed(lane) for lane in lanes]
        width = max(4, room - names - max(map(len, numbers)) - 2)
        for lane, number in zip(lanes, numbers, strict=True):
            done = draw_bar(lane.done_share, width, ascii_only=options.ascii_only)
            yield Text(f"{lane.name:{names}} {done} {number}", style="bold" if lane is lanes[-1] else "", no_wrap=True)
            yield Padding(Text(lane.job, style="dim"), (0, 0, 0, names + 1))
        yield Text()
        if self._standing.stage:
            yield Text(self._standing.stage)
        told = describe_race(self._standing)
        if told:
            yield Text(f"{told} {lanes[-1].seconds:.1f} s of processor time each.")


def format_speed(lane: RaceLane) -> str:
    """Format a lane's speed in images per second, or "-" before it is known, with a constant width."""
    speed = (
        "-"
        if not lane.seconds
        else f"{lane.images_per_second:,.0f}"
        if lane.images_per_second >= 10
        else f"{lane.images_per_second:.1f}"
    )
    return f"{speed:>6} images/s"


class ProfileTable:
    """Each op's time in a training step before and after `optimise`, longest first."""

    def __init__(self, standing: RaceState):
        self._before, self._after = standing.before or {}, standing.after or {}

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show the times as a table, with bars if there is room."""
        rows = list_profile_rows(self._before, self._after)
        longest = max(max(row[1:]) for row in rows)
        names = max(len(name) for name, *_ in rows)
        width = min(16, (options.max_width - names - 2 * 11) // 2)
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        table.add_column()
        for name in ("module 06", "module 13"):
            table.add_column(name, justify="right", no_wrap=True)
        for name, *times in rows:
            cells = []
            for seconds in times:
                number = f"{1000 * seconds:.1f} ms" if seconds else "-"
                part = draw_bar(seconds / longest, width, ascii_only=options.ascii_only) if width >= 4 else ""
                cells.append(Text(f"{part} {number:>8}", style="" if seconds else "dim"))
            table.add_row(Text(name), *cells)
        sums = [sum(profile.values()) for profile in (self._before, self._after)]
        table.add_row(Text("together"), *(Text(f"{1000 * total:.1f} ms") for total in sums), style="bold")
        yield table
        yield Text("\nMeasured by your Profile: each op's fastest time in a few steps.", style="dim")


def list_profile_rows(before: Profile, after: Profile) -> list[tuple[str, float, float]]:
    """List the ten longest ops with their seconds before and after, and then the sum of all others in one row."""
    names = dict.fromkeys((*before, *after))
    rows = [(name, before.get(name, 0.0), after.get(name, 0.0)) for name in names]
    rows.sort(key=lambda row: -max(row[1:]))
    shown, rest = rows[:OPS], rows[OPS:]
    others = ("all others", sum(row[1] for row in rest), sum(row[2] for row in rest))
    return [*shown, others] if rest else shown


class TwoFormatAnswer:
    """One image, with the network's answers in float32 and in int8."""

    def __init__(self, images: DemoImages, index: int, compared: FormatComparison):
        self._picture, self._classes = ColourPhoto(images.test_images[index]), images.classes
        self._label = int(images.test_labels[index])
        self._p = [probabilities[index] for probabilities in compared.probabilities]

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Put the answers next to the image, or below it on a narrow console."""
        names = max(map(len, self._classes))
        beside = options.max_width >= BESIDE
        width = max(4, min(options.max_width - (35 if beside else 0) - names - 6, 30))
        bars: list[RenderableType] = []
        for name, p in zip(FORMATS, self._p, strict=True):
            likeliest = LikeliestClasses(p, self._classes, count=3 if beside else 1, width=width)
            bars += [Text(name, style="dim"), likeliest, *([Text()] if beside else [])]
        if not beside:
            yield Group(self._picture, *bars, self._describe_answers())
            return
        yield lay_out_side_by_side(self._picture, Group(Text(), *bars, self._describe_answers()))

    def _describe_answers(self) -> Text:
        """Describe what the image shows, and which format classifies it correctly."""
        right = [int(p.argmax()) == self._label for p in self._p]
        told = "both are correct" if all(right) else "both are wrong"
        if any(right) and not all(right):
            told = f"only {FORMATS[right.index(True)]} is correct"
        return Text(f"it is: {self._classes[self._label]}; {told}", style="green" if all(right) else "yellow")


class SizeTable:
    """A network's size in bytes and accuracy in both formats."""

    def __init__(self, compared: FormatComparison):
        self._compared = compared

    def __rich_console__(self, console: Console, options: ConsoleOptions):
        """Show a row for each format, and a summary."""
        told = self._compared
        table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, show_edge=False)
        for title in ("", "bytes", "accuracy"):
            table.add_column(title, justify="right" if title else "left")
        for name, nbytes, accuracy in zip(FORMATS, told.nbytes, told.accuracies, strict=True):
            table.add_row(name, f"{nbytes:,}", f"{accuracy:.1%}")
        yield table
        yield Text(f"\n{describe_format_comparison(told)}")


def describe_format_comparison(comparison: FormatComparison) -> str:
    """Describe how much smaller int8 is, and how often it gives the same answer."""
    share = comparison.nbytes[1] / comparison.nbytes[0]
    tested = len(comparison.probabilities[0])
    return (
        f"int8 needs {share:.1%} of the bytes and gives the same answer for {comparison.same:,} of {tested:,} images."
    )
