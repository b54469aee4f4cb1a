"""The page of demonstration 3: its own side, and in a real browser. One small network is trained for all of it."""

from __future__ import annotations

import base64
import io
import re
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from rich.console import Console

from grading.demos import PAGE_MILESTONES, image_classifier
from grading.demos.image_classifier import DemoImages
from grading.demos.web import image_page as images_module
from grading.demos.web import page_classes
from grading.demos.web.network_page import serve_page
from grading.demos.web.page_server import STATIC
from grading.demos.web.state_feed import StateFeed
from grading.demos.web.training_page import SAMPLES, TrainingPage
from grading.manifest.model import Milestone
from grading.remote import Frame, WorkerDiedError, build_remote_error
from tests.browsers import IN_A_BROWSER, Open, assert_accessible, open_pages
from tests.demos.conftest import Start
from tests.demos.running_page import RunningPage
from tests.demos.test_digits_demo import GuessingNetwork

Held = Callable[[int], None]


def match_points(count: int) -> re.Pattern[str]:
    """Make a pattern for a polyline with this number of points."""
    return re.compile(rf"^\S+( \S+){{{count - 1}}}$")


class StepwiseNetwork(GuessingNetwork):
    """A network that continues only when the test says so, and answers class 0 when fresh."""

    at: Callable[[int], None] = staticmethod(lambda _step: None)
    learned = False

    def train(self, _images, _labels, _seed: int, _seconds: float, progress) -> None:
        """Take four steps, and answer differently after the first."""
        for step in range(1, 5):
            self.at(step)
            self.learned = True
            progress(step, 4)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Answer as a guessing network does, once trained."""
        fresh = np.full((len(images), 10), 0.05) + np.eye(10)[0] / 2
        return super().predict(images) if self.learned else fresh


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Held], None]:
    """Provide a function that sets what happens before each training step of the network."""
    monkeypatch.setattr(image_classifier, "StudentNetwork", StepwiseNetwork)
    return lambda do: monkeypatch.setattr(StepwiseNetwork, "at", staticmethod(do))


@pytest.mark.usefixtures("at")
def test_each_state_is_whole(colour_images: DemoImages, colour_milestone: Milestone) -> None:
    """It has curves, answers to the samples and confusions, of watched images in training and of all at the end."""
    with RunningPage(TrainingPage, colour_images, colour_milestone) as running:
        assert running.ready.wait(60)
    states, last = running.feed.states, running.state()
    assert [state["phase"] for state in states[-2:]] == ["training", "ready"]
    assert sum(map(sum, states[-2]["confusion"])) == image_classifier.WATCHED
    assert sum(map(sum, last["confusion"])) == last["tested"] == len(colour_images.test_images)
    assert last["accuracy"] == pytest.approx(np.trace(last["confusion"]) / last["tested"])
    assert np.shape(last["answers"]) == (SAMPLES, 10)
    assert last["points"][-1][:2] == [4, 4]
    row, column = last["worst"][0]
    assert row != column
    assert last["confusion"][row][column] > 0


def test_samples_are_images_with_their_names(colour_images: DemoImages) -> None:
    """They are RGB pixels of some images of every class. Only {} is a valid question."""
    page = TrainingPage(StateFeed(), colour_images)
    told = page.describe_samples({})
    assert set(told["labels"]) == set(range(10))
    assert told["classes"][9] == "truck"
    pixels = np.frombuffer(base64.b64decode(told["images"][3]), np.uint8).reshape(told["height"], told["width"], 3)
    assert any(np.array_equal(pixels, np.moveaxis(image, 0, -1)) for image in colour_images.test_images)
    with pytest.raises(ValueError, match="nothing else"):
        page.describe_samples({"more": 1})


def test_a_failure_is_kept_with_what_came_before(colour_images: DemoImages, colour_milestone: Milestone, at) -> None:
    """The curves so far stay, and the terminal says it once."""

    def fail(step: int) -> None:
        """Raise WorkerDiedError at step 3."""
        if step == 3:
            raise WorkerDiedError("your code ended the program")

    at(fail)
    with RunningPage(TrainingPage, colour_images, colour_milestone) as running:
        state = running.wait_for("failed")
    assert "ended the program" in state["failure"]["got"]
    assert [point[0] for point in state["points"]] == [0, 1, 2]
    assert state["answers"]
    assert len(running.reported) == 1


@pytest.mark.usefixtures("at")
def test_the_terminal_says_how_it_went(
    colour_images: DemoImages, colour_milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows the address and the accuracy, and Ctrl+C stops it successfully."""

    def interrupt(_page: TrainingPage) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(images_module, "load_demo_images", lambda *_: colour_images)
    monkeypatch.setattr(TrainingPage, "_wait_for_close", interrupt)
    out = io.StringIO()
    assert serve_page(TrainingPage, None, colour_milestone, 1, Console(file=out, width=60), browser=False)
    text = " ".join(out.getvalue().split())
    assert "http://127.0.0.1:" in text
    assert "of 300 images it has never seen" in text
    assert text.endswith("The page has been closed.")


def test_every_page_has_its_files() -> None:
    """The two lists of pages also agree."""
    assert set(PAGE_MILESTONES) == set(page_classes.PAGE_CLASSES)
    for page in page_classes.PAGE_CLASSES.values():
        assert [name for name in page.map_addresses_to_files().values() if not (STATIC / name).is_file()] == []


@pytest.fixture(scope="module")
def address(start_colour_worker: Start, colour_images: DemoImages, colour_milestone: Milestone) -> Iterator[str]:
    """Serve the page with the course's own trained network."""
    with (
        start_colour_worker() as worker,
        RunningPage(TrainingPage, colour_images, colour_milestone, worker) as running,
        running.serve() as served,
    ):
        assert running.ready.wait(120)
        yield served


class TestInABrowser:
    """Tests of the page in a browser."""

    pytestmark = IN_A_BROWSER

    def test_it_shows_what_the_network_learned(self, open_page: Open, colour_images: DemoImages) -> None:
        """It shows both curves in words, samples with three bars each, the table of counts and the worst confusions."""
        page = open_page()
        for name, value in (("loss", "was 2."), ("accuracy", "% at first")):
            curve = page.get_by_role("img", name=f"The {name} during training")
            assert value in curve.get_attribute("aria-label")
        expect(page.locator("#learned")).to_contain_text("300 images it has never seen")
        expect(page.locator("#about")).to_contain_text("stand in for CIFAR-10")
        expect(page.locator("#stand-in")).to_be_visible()
        expect(page.locator("#samples li")).to_have_count(SAMPLES)
        assert page.locator("#samples tbody tr").count() == 3 * SAMPLES
        counts = page.locator("#confusion tbody td").all_inner_texts()
        assert (len(counts), sum(map(int, counts))) == (100, 300)
        assert page.locator("#confusion").get_by_role("rowheader").all_inner_texts() == list(colour_images.classes)
        expect(page.locator("#worst li").first).to_contain_text(" called ")
        pixel = "c => Array.from(c.getContext('2d').getImageData(0, 0, 1, 1).data)"
        shown = page.locator("#samples canvas").first.evaluate(pixel)
        assert shown[:3] in colour_images.test_images[:, :, 0, 0].tolist()

    @pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (1280, "light"), (1280, "dark")])
    def test_it_fits_and_axe_finds_nothing(self, open_page: Open, width: int, scheme: str) -> None:
        """The page fits narrow and wide, in light and dark. Only the table scrolls sideways, also with the keyboard."""
        page = open_page(width, 700, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert_accessible(page)
        page.keyboard.press("Tab")
        expect(page.locator("#scrolls")).to_be_focused()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
        if width == 320:
            page.keyboard.press("ArrowRight")
            expect(page.locator("#scrolls")).not_to_have_js_property("scrollLeft", 0)

    def test_less_motion_is_granted(self, open_page: Open) -> None:
        """The bars jump for users who prefer reduced motion."""
        moved = "getComputedStyle(document.querySelector('.fill')).transitionDuration"
        assert open_page(reduced_motion="reduce").evaluate(moved) == "0s"

    def test_it_is_live(self, browser: Browser, colour_images: DemoImages, colour_milestone: Milestone, at) -> None:
        """Bars, curves and table change during training. A failure is shown as text, next to the results so far."""
        go = {step: threading.Event() for step in (1, 3)}
        hostile = "<img src=x onerror=alert(1)>"

        def hold(step: int) -> None:
            """Wait for the test before some steps, and raise an error at step 3."""
            if step in go:
                go[step].wait(60)
            if step == 3:
                raise build_remote_error(
                    "ValueError", [], hostile, (Frame("modules/11_training/recipe.py", 41, "f", "x"),)
                )

        at(hold)
        with (
            RunningPage(TrainingPage, colour_images, colour_milestone) as running,
            running.serve() as local,
            open_pages(browser, local) as opened,
        ):
            page: Page = opened(finished=False)
            first = page.locator("#samples li").first
            expect(first.locator("tr.best th")).to_have_text("airplane")
            expect(page.locator("#working")).to_be_visible()
            expect(page.locator("#learned")).to_contain_text("before training")
            expect(page.locator("#loss-curve .value")).to_have_attribute("points", match_points(1))
            before = page.locator("#confusion tbody").inner_text()
            go[1].set()
            expect(page.locator("#learned")).to_contain_text("after 2 of 4 steps")
            expect(page.locator("#loss-curve .value")).to_have_attribute("points", match_points(3))
            assert page.locator("#confusion tbody").inner_text() != before
            expect(page.get_by_role("progressbar")).to_have_js_property("value", 0.5)
            go[3].set()
            alert = page.get_by_role("alert")
            expect(alert).to_contain_text(hostile)
            expect(alert).to_contain_text("recipe.py:41")
            expect(page.locator("#working")).to_be_hidden()
            expect(page.locator("#learned")).to_contain_text("after 2 of 4 steps")
            assert page.locator("#failure img").count() == 0
            assert_accessible(page)

    @pytest.mark.usefixtures("at")
    def test_a_program_that_is_gone_is_said(
        self, browser: Browser, colour_images: DemoImages, colour_milestone: Milestone, at
    ) -> None:
        """The page notices an end during training, although it has nothing to ask."""
        held = threading.Event()
        at(lambda _: held.wait(60))
        with RunningPage(TrainingPage, colour_images, colour_milestone) as running:
            with running.serve() as local:
                page = browser.new_page()
                page.goto(local)
                expect(page.locator("#samples tr.best").first).to_be_visible()
            expect(page.locator("#trouble")).to_contain_text("has ended")
            page.close()
            held.set()
