"""A network that reads digits for the tests: the course's own code in a worker, trained on few images."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grading.client import Worker
from grading.data.digits import load_digits
from grading.data.files import VARIABLE, find
from grading.data.sources import SOURCES
from grading.demos import reading
from grading.demos.reading import Digits, gather
from grading.manifest.load import load
from grading.manifest.model import Milestone
from grading.render.progress import Silent
from grading.sandbox.launch import choose
from grading.submission import take
from grading.workers import start_worker

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get(VARIABLE) or ROOT.parent / "shared" / "data").absolute()
"""Where MNIST may be; without it the tests use the digits that stand in for it."""

Start = Callable[..., Iterator[Worker]]


@pytest.fixture(scope="module")
def milestone() -> Milestone:
    """Milestone 2, with a demonstration that takes a second or two, and leaves a core to other tests."""
    found = load(ROOT).milestone(2)
    fewer = found.experiment.model_copy(update={"demo_images": 3000})
    return found.model_copy(update={"experiment": fewer, "budget": found.budget.model_copy(update={"threads": 1})})


@pytest.fixture(scope="module")
def digits(milestone: Milestone) -> Iterator[Digits]:
    """MNIST where it is on this machine, else its stand-in; nothing is downloaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(FOLDER))
        if not FOLDER.is_dir() or not find(SOURCES["mnist"]).complete:
            patch.setattr(reading, "obtain", lambda *_: load_digits())
        yield gather(milestone, 1, Silent())


@pytest.fixture(scope="module")
def start(milestone: Milestone, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Gives workers with the course's solutions, which train for fewer epochs, as a context manager.

    An argument edits the milestone's recipe: a function from text to text.
    """

    @contextmanager
    def started(recipe: Callable[[str], str] = lambda text: text) -> Iterator[Worker]:
        manifest = load(ROOT)
        modules = manifest.modules_for(milestone)
        submission = take(ROOT, manifest, modules, milestone, tmp_path_factory.mktemp("submission"))
        path = submission.folder / milestone.recipe
        quick = re.sub(r"epochs = .+", "epochs = 3", path.read_text("utf-8"))
        path.write_text(recipe(quick), "utf-8")
        with start_worker(submission, modules, milestone.budget, choose(official=False)) as worker:
            yield worker

    return started
