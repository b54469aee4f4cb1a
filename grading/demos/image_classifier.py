"""Train a student's image classifier and query it, for demonstrations in the terminal and on a page."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from grading.checks.student_network import StudentNetwork
from grading.client import Worker
from grading.data.dataset import DataSet
from grading.data.load import load_or_fetch_images
from grading.data.sources import DIGITS, SOURCES
from grading.demos.training_points import ProgressReport, measure_training
from grading.manifest.model import ImageExperiment, Milestone
from grading.render.progress_watch import ProgressWatch

TESTED = 1000
"""The maximum number of test images to classify at the end. The first WATCHED images are also classified during
training.
"""
WATCHED = 200
POINTS = 40
"""The approximate number of times that the demonstration measures the loss during training."""
AT_ONCE = 250
"""The number of images per call, small enough for a slow network to stay within a call's time limit."""


@dataclass(frozen=True)
class DemoImages:
    """The images with which the network is trained and tested. Test labels never reach the network."""

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    about: str
    """A sentence that tells the student which images these are."""
    stand_in: bool
    """Whether these images stand in for real ones that are not on this machine."""
    classes: tuple[str, ...] = DIGITS


@dataclass(frozen=True)
class TrainingPoint:
    """A measurement of training progress that the demonstration makes on images outside the training set."""

    step: float
    steps: float
    loss: float
    accuracy: float
    probabilities: np.ndarray = field(compare=False, repr=False)
    """The network's probabilities for the WATCHED images: (n, classes)."""


def load_demo_images(milestone: Milestone, seed: int, watch: ProgressWatch) -> DemoImages:
    """Load random images of the milestone's data set, which is downloaded if missing, or else of its stand-in.

    Raise GraderError if the files are damaged.
    """
    experiment = milestone.experiment
    assert isinstance(experiment, ImageExperiment)
    data = load_or_fetch_images(experiment.data, watch)
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(data.train_inputs))[: experiment.demo_images]
    tested = rng.permutation(len(data.test_inputs))[:TESTED]
    name, stand_in = _name_image_source(data, experiment.data)
    return DemoImages(
        images=data.train_inputs[chosen],
        labels=data.train_targets[chosen],
        test_images=data.test_inputs[tested],
        test_labels=data.test_targets[tested],
        about=f"Trained on {len(chosen):,} of the {len(data.train_inputs):,} training images of {name}.",
        stand_in=stand_in,
        classes=data.classes,
    )


def _name_image_source(data: DataSet, wanted: str) -> tuple[str, bool]:
    """Return the name of the images that were loaded, and whether they stand in for the ones requested."""
    source = SOURCES[wanted]
    title = source.title.partition(",")[0]
    if data.stand_in_for is None:
        return title, False
    if data.name == f"{wanted}-variant":
        return f"the version of {title} in your own folder, whose files are not the official ones", False
    return f"the {source.stand_in or 'images'} that stand in for {title}, which is not on this machine", True


class DemoClassifier:
    """A fresh image classifier in a worker. It is trained while somebody watches, then queried."""

    def __init__(self, worker: Worker, milestone: Milestone, seed: int):
        self._seconds = milestone.budget.train_seconds
        self._seed = seed
        self._network = StudentNetwork(worker, milestone.trigger, seed, outputs=10)

    def train(
        self,
        images: DemoImages,
        on_point: Callable[[TrainingPoint], None],
        on_report: Callable[[], None] = lambda: None,
    ) -> None:
        """Train the network. Pass a point to ``on_point`` before training, about POINTS times during it, and after it.

        ``on_report`` is called at each report of the student's training, and may query the network.
        """
        watched, labels = images.test_images[:WATCHED], images.test_labels[:WATCHED]

        def report_training_point(step: float, steps: float) -> None:
            """Measure loss and accuracy on the watched images, and pass both to ``on_point``."""
            p = self.predict_probabilities(watched)
            right = np.clip(p[np.arange(len(p)), labels], 1e-7, 1)
            on_point(TrainingPoint(step, steps, float(-np.log(right).mean()), float((p.argmax(1) == labels).mean()), p))

        def train_network(progress: ProgressReport) -> None:
            """Train on the images until the time has run out."""
            self._network.train(images.images, images.labels, self._seed, self._seconds, progress)

        measure_training(train_network, report_training_point, POINTS, on_report)

    def compress(self, images: np.ndarray) -> DemoClassifier:
        """Compress a copy of the network with the student's `compress`, calibrated on these images."""
        small = copy.copy(self)
        small._network = self._network.compress(images)
        return small

    @property
    def nbytes(self) -> int:
        """The total size of all parameters and buffers in bytes."""
        return self._network.copy_weights().nbytes

    def predict_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the class probabilities (n, 10) of images (n, channels, height, width)."""
        parts = range(0, len(images), AT_ONCE)
        return np.concatenate([self._network.predict(images[start : start + AT_ONCE]) for start in parts]).clip(0, 1)

    def compute_feature_maps(self, image: np.ndarray) -> np.ndarray:
        """Compute the first convolution's maps of an image, each scaled to -1 to 1: (channels, h, w) → (maps, h, w)."""
        maps = self._network.feature_maps(image[None])[0]
        return maps / np.maximum(np.abs(maps).max((1, 2), keepdims=True), 1e-12)
