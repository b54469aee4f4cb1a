"""Networks for the tests of demonstrations: the course's own code in a worker, trained on few images."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from grading.client import Worker
from grading.data.dataset import DataSet
from grading.data.digits import load_digits
from grading.data.files import VARIABLE, locate_data_set
from grading.data.sources import SOURCES
from grading.demos import function_writer, image_classifier
from grading.demos.function_writer import WritingTask, draw_writing_task
from grading.demos.image_classifier import DemoImages, load_demo_images
from grading.demos.web import language_page
from grading.manifest.loader import load_manifest
from grading.manifest.model import BuildStatus, Cifar10Experiment, Milestone
from grading.render.progress_watch import SilentWatch
from grading.sandbox.launch import choose_fence
from grading.submission import copy_submission
from grading.workers import start_worker
from tests.browsers import Open, browser, open_pages  # noqa: F401 - browser is a fixture

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get(VARIABLE) or ROOT.parent / "shared" / "data").absolute()
"""Where MNIST may be; without it the tests use the digits that stand in for it."""

Start = Callable[..., Iterator[Worker]]


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Open]:  # noqa: F811 - pytest's way to ask for the other
    """Provide `open_page(width, height, …)`, which opens the page served at the test file's `address`.

    At the end, no console may have any message.
    """
    with open_pages(browser, address) as opened:
        yield opened


@pytest.fixture(scope="module")
def milestone() -> Milestone:
    """Return milestone 2 with a demonstration that takes a second or two and leaves a core to other tests."""
    found = load_manifest(ROOT).milestone(2)
    fewer = found.experiment.model_copy(update={"demo_images": 3000})
    return found.model_copy(update={"experiment": fewer, "budget": found.budget.model_copy(update={"threads": 1})})


@pytest.fixture(scope="module")
def digit_images(milestone: Milestone) -> Iterator[DemoImages]:
    """Load MNIST if it is on this machine, else its stand-in, without any download."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(FOLDER))
        if not FOLDER.is_dir() or not locate_data_set(SOURCES["mnist"]).is_complete:
            patch.setattr(image_classifier, "load_or_fetch_images", lambda *_: load_digits())
        yield load_demo_images(milestone, 1, SilentWatch())


@pytest.fixture(scope="module")
def start_digit_worker(milestone: Milestone, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Provide a context manager that starts a worker with the course's solutions, trained for fewer epochs.

    Its argument is a function that edits the text of the milestone's recipe.
    """
    return make_worker_starter(milestone, tmp_path_factory, lambda text: text)


def make_worker_starter(
    milestone: Milestone, folders: pytest.TempPathFactory, edit_recipe: Callable[[str], str]
) -> Start:
    """Make a context manager that starts workers for a milestone, with an edited copy of the course's recipe."""

    @contextmanager
    def open_worker(recipe: Callable[[str], str] = lambda text: text) -> Iterator[Worker]:
        """Start a worker with the edited recipe, which trains for 3 epochs, and yield it."""
        manifest = load_manifest(ROOT)
        modules = manifest.list_modules_up_to(milestone)
        submission = copy_submission(ROOT, manifest, modules, milestone, folders.mktemp("submission"))
        path = submission.folder / milestone.recipe
        quick = re.sub(r"epochs = .+", "epochs = 3", edit_recipe(path.read_text("utf-8")))
        path.write_text(recipe(quick), "utf-8")
        with start_worker(submission, modules, milestone.budget, choose_fence(official=False)) as worker:
            yield worker

    return open_worker


@pytest.fixture(scope="module")
def colour_milestone() -> Milestone:
    """Return milestone 3 as if it came after module 06, whose layers train in a second, on few images."""
    manifest = load_manifest(ROOT)
    experiment = Cifar10Experiment(
        kind="cifar10",
        demo_runs=1,
        symmetry="mirrors",
        shift=1,
        gain=0.1,
        noise=4,
        weight_noise=0.001,
        probe_images=100,
        curve_points=10,
        quick_images=200,
        demo_images=400,
        official_seeds=1,
    )
    changed = {"status": BuildStatus.BUILT, "trigger": "06_spatial", "experiment": experiment}
    budget = manifest.milestone(2).budget.model_copy(update={"threads": 1})
    return manifest.milestone(3).model_copy(update=changed | {"budget": budget})


@pytest.fixture(scope="module")
def colour_images(colour_milestone: Milestone) -> Iterator[DemoImages]:
    """Make images like CIFAR-10's in which each class is a colour: learned quickly, but not perfectly."""
    rng = np.random.default_rng(5)
    targets = rng.integers(0, 10, 1000)
    hues = rng.integers(60, 196, (10, 3, 1, 1))
    pixels = hues[targets] + rng.normal(0, 25, (1000, 3, 1, 1)) + rng.normal(0, 30, (1000, 3, 32, 32))
    pictures = pixels.clip(0, 255).astype(np.uint8)
    names = SOURCES["cifar10"].classes
    parts = pictures[:700], targets[:700], pictures[700:], targets[700:]
    data = DataSet("colours", *parts, digest="0" * 64, stand_in_for="cifar10", classes=names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_classifier, "load_or_fetch_images", lambda *_: data)
        patch.setattr(image_classifier, "POINTS", 10)
        yield load_demo_images(colour_milestone, 1, SilentWatch())


@pytest.fixture(scope="module")
def start_colour_worker(colour_milestone: Milestone, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Provide a context manager that starts a worker with module 06's recipe, adapted to images of 3×32×32."""
    return make_worker_starter(colour_milestone, tmp_path_factory, adapt_recipe_to_colours)


FOR_COLOURS = {
    "Conv2d(1, 8, 5": "Conv2d(3, 8, 5",
    "16 * 7 * 7": "16 * 8 * 8",
    "BATCH = 64": "BATCH = 16",
    "float32(0.13)": "float32(0.5)",
    "0.1 * min(1, 16 * done + 0.1) * (1": "0.05 * (1",
}


def adapt_recipe_to_colours(recipe: str) -> str:
    """Return milestone 2's recipe, adapted to a few images of a different size and brightness."""
    for old, new in FOR_COLOURS.items():
        assert old in recipe
        recipe = recipe.replace(old, new)
    return recipe


RECIPE = """
import numpy as np
from tinytorch.activations import ReLU, Softmax
from tinytorch.autograd import Tape, no_grad
from tinytorch.compression import quantize_network
from tinytorch.dense import CrossEntropyLoss, set_training
from tinytorch.kernels import optimise
from tinytorch.layers import Dense, Sequential
from tinytorch.optimizers import SGD
from tinytorch.spatial import BatchNorm2d, Conv2d, Flatten
from tinytorch.tensor import Tensor


def prepare(images):
    return Tensor((images / np.float32(64) - 2).astype(np.float32))


def build(rng):
    conv = Conv2d(3, 8, 5, stride=4, padding=2, bias=False, rng=rng)
    return Sequential(conv, BatchNorm2d(8), ReLU(), Flatten(), Dense(8 * 8 * 8, 10, rng=rng))


def predict(network, images):
    set_training(network, False)
    with no_grad():
        return Softmax(axis=1)(network(prepare(images))).numpy()


def compress(network, images):
    return quantize_network(network, prepare(images))


def train(network, images, labels, *, rng, progress):
    optimizer, fast, steps = SGD(network.parameters(), lr=0.05, momentum=0.9), optimise(network), 60
    for step in range(1, steps + 1):
        set_training(fast, True)
        batch = rng.integers(0, len(images), 64)
        with Tape():
            loss = CrossEntropyLoss()(fast(prepare(images[batch])), Tensor(labels[batch]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress(step, steps, loss.item(), 0.0)
"""
"""Of milestone 4: what its demonstration needs, trained in a second."""


@pytest.fixture(scope="module")
def kernel_milestone(colour_milestone: Milestone) -> Milestone:
    """Return milestone 4 on few images."""
    changed = {"status": BuildStatus.BUILT, "experiment": colour_milestone.experiment}
    return load_manifest(ROOT).milestone(4).model_copy(update=changed)


@pytest.fixture(scope="module")
def start_kernel_worker(kernel_milestone: Milestone, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Provide a context manager that starts a worker with modules up to 13, and a recipe that trains in a second."""

    @contextmanager
    def open_worker() -> Iterator[Worker]:
        """Start a worker with the quick recipe, and yield it."""
        manifest = load_manifest(ROOT)
        modules = manifest.list_modules_up_to(kernel_milestone)
        submission = copy_submission(ROOT, manifest, modules, kernel_milestone, tmp_path_factory.mktemp("submission"))
        (submission.folder / kernel_milestone.recipe).write_text(RECIPE, "utf-8")
        with start_worker(submission, modules, kernel_milestone.budget, choose_fence(official=False)) as worker:
            yield worker

    return open_worker


WRITING_RECIPE = """
import numpy as np
from tinytorch.autograd import no_grad
from tinytorch.optimizers import AdamW
from tinytorch.tensor import Tensor
from tinytorch.tinygpt import GPT, Tokenizer, next_token_loss, train_bpe
from tinytorch.training import Trainer


def learn_merges(text):
    return np.array(train_bpe(text.tobytes(), 300), np.int64).reshape(-1, 2)


def encode(merges, data):
    return Tokenizer(merges).encode(data)


def build(merges, rng):
    network = GPT(256 + len(merges), 96, embed_dim=16, num_heads=2, num_layers=2, rng=rng)
    network.tokenizer = Tokenizer(merges)
    return network


def logits(network, tokens):
    with no_grad():
        return network(Tensor(tokens)).numpy()


def next_logits(network, tokens):
    return logits(network, tokens[:, -96:])[:, -1]


def attention_maps(network, tokens):
    logits(network, tokens)
    return np.stack([block.self_attn.weights.numpy() for block in network.blocks], axis=1)


def train(network, text, *, rng, progress):
    tokens, steps = network.tokenizer.encode(text.tobytes()), 60
    trainer = Trainer(network, next_token_loss, AdamW(network.parameters(), lr=1e-2), metrics={})
    for step in range(1, steps + 1):
        windows = tokens[rng.integers(0, len(tokens) - 33, 16)[:, None] + np.arange(33)]
        figures = trainer.train_step(Tensor(windows[:, :-1]), Tensor(windows[:, 1:]))
        if step % 5 == 0:
            progress(step, steps, figures["loss"])
"""
"""Of milestone 5: what its demonstration needs, trained in a second or two."""


@pytest.fixture(scope="module")
def language_milestone() -> Milestone:
    """Return milestone 5 with a small training text."""
    found = load_manifest(ROOT).milestone(5)
    fewer = found.experiment.model_copy(update={"functions": 400})
    budget = found.budget.model_copy(update={"threads": 1})
    return found.model_copy(update={"status": BuildStatus.BUILT, "experiment": fewer, "budget": budget})


@pytest.fixture(scope="module")
def writing_task(language_milestone: Milestone) -> WritingTask:
    """Draw a training text and exercises."""
    return draw_writing_task(language_milestone, 1)


@pytest.fixture(scope="module")
def start_writing_worker(language_milestone: Milestone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Provide a context manager that starts a worker with modules up to 16, and a recipe that trains in seconds.

    While it trains, functions are written 6 times and not 24, and after 30 bytes a function is left unfinished: writing
    takes longer than the training.
    """

    @contextmanager
    def open_worker(recipe: Callable[[str], str] = lambda text: text) -> Iterator[Worker]:
        """Start a worker with the quick recipe, edited by this function, and yield it."""
        manifest = load_manifest(ROOT)
        modules = manifest.list_modules_up_to(language_milestone)
        submission = copy_submission(ROOT, manifest, modules, language_milestone, tmp_path_factory.mktemp("submission"))
        (submission.folder / language_milestone.recipe).write_text(recipe(WRITING_RECIPE), "utf-8")
        with start_worker(submission, modules, language_milestone.budget, choose_fence(official=False)) as worker:
            yield worker

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(function_writer, "POINTS", 6)
        for module in (function_writer, language_page):
            patch.setattr(module, "MOST_BYTES", 30)
        yield open_worker
