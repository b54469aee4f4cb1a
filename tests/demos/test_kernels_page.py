"""The page of demonstration 4: its own side, and in a real browser. One small network is trained for all of it."""

from __future__ import annotations

import base64
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from grading.demos import image_classifier, kernel_race, kernels_demo
from grading.demos.image_classifier import DemoImages
from grading.demos.web.kernels_page import SAMPLES, KernelPage
from grading.demos.web.state_feed import StateFeed
from grading.manifest.model import Milestone
from grading.remote import Frame, build_remote_error
from tests.browsers import IN_A_BROWSER, Open, assert_accessible, open_pages
from tests.demos.conftest import Start
from tests.demos.fake_race import CompressibleGuesser, FakeClock, FakeTrainingStep, make_fake_loop_turn
from tests.demos.running_page import RunningPage

Guessing = Callable[[], RunningPage]
RED = np.zeros((32, 32, 3), np.uint8) + np.array([250, 20, 30], np.uint8)


def make_question(pixels: np.ndarray) -> dict[str, str]:
    """Make a page's question about these pixels."""
    return {"pixels": base64.b64encode(pixels.tobytes()).decode()}


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode pixels (h, w, 3) as a PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.fixture
def guessing(colour_images: DemoImages, colour_milestone: Milestone, monkeypatch: pytest.MonkeyPatch) -> Guessing:
    """Provide pages with a fake race and a guessing network."""
    monkeypatch.setattr(kernel_race, "RACE_IMAGES", 4096)
    monkeypatch.setattr(kernel_race, "TrainingStep", FakeTrainingStep)
    monkeypatch.setattr(kernel_race, "_make_loop_convolution_turn", make_fake_loop_turn)
    monkeypatch.setattr(image_classifier, "StudentNetwork", CompressibleGuesser)
    return lambda: RunningPage(KernelPage, colour_images, colour_milestone, FakeClock())


def test_the_state_holds_race_profile_and_sizes(guessing: Guessing) -> None:
    """Each state has all of it, so that a page opened late shows the same."""
    with guessing() as running:
        assert running.ready.wait(60)
        state = running.wait_for("ready")
    assert [lane["name"] for lane in state["race"]["lanes"]] == ["loops", "module 06", "module 13"]
    assert state["race"]["lanes"][2]["part"] == 1
    assert 0 < state["race"]["lanes"][0]["part"] < 0.1
    assert state["race"]["over"]
    assert "2.0 times as fast" in state["race"]["summary"]
    assert ["conv2d", 0.02, 0.01] in state["profile"]
    assert state["compared"]["nbytes"] == [40_000, 10_000]
    assert state["points"][-1][:2] == [100, 100]


def test_a_photograph_is_named_in_both_formats(guessing: Guessing) -> None:
    """The network gets its pixels as three planes, like CIFAR-10's, and each answer is ten probabilities."""
    seen: list[np.ndarray] = []
    pixels = np.arange(3 * 32 * 32, dtype=np.uint32).astype(np.uint8).reshape(32, 32, 3)
    with guessing() as running:
        running.wait_for("ready")
        running.page._small.predict_probabilities = lambda images: seen.append(images) or np.full((1, 10), 0.1)
        answer = running.page.answer(make_question(pixels))
    assert np.array_equal(seen[0][0], np.moveaxis(pixels, -1, 0))
    assert answer["int8"] == [0.1] * 10
    assert sum(answer["float32"]) == pytest.approx(1, abs=0.01)


def test_int8_has_no_answer_before_training_is_over(guessing: Guessing, monkeypatch) -> None:
    """During training, photographs are recognised in float32 alone."""
    held, real = threading.Event(), CompressibleGuesser.train

    def train(self: CompressibleGuesser, *arguments: Any) -> None:
        """Train once the test permits it."""
        held.wait(60)
        real(self, *arguments)

    monkeypatch.setattr(CompressibleGuesser, "train", train)
    with guessing() as running:
        answers: list[dict[str, Any]] = []
        asking = threading.Thread(target=lambda: answers.append(running.page.answer(make_question(RED))))
        asking.start()
        while running.page._waiting.empty():
            time.sleep(0.01)
        held.set()
        asking.join(60)
    assert len(answers[0]["float32"]) == 10
    assert answers[0]["int8"] is None


@pytest.mark.parametrize(
    "asked",
    [
        None,
        {},
        {"pixels": 1},
        {"pixels": "*"},
        {"pixels": "AAAA"},
        make_question(RED) | {"more": 1},
        make_question(RED[1:]),
    ],
)
def test_what_is_no_photograph_is_refused(colour_images: DemoImages, asked: object) -> None:
    """The network never sees it."""
    with pytest.raises(ValueError, match=r"pixels|bytes"):
        KernelPage(StateFeed(), colour_images).answer(asked)


def test_samples_are_of_every_class(colour_images: DemoImages) -> None:
    """They are ten test images of different classes. Only {} is a valid question."""
    page = KernelPage(StateFeed(), colour_images)
    told = page.describe_samples({})
    assert sorted(told["labels"]) == list(range(SAMPLES))
    with pytest.raises(ValueError, match="nothing else"):
        page.describe_samples({"more": 1})


def test_what_stops_the_race_is_told(guessing: Guessing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state and the terminal give its place, and the lanes stay as they were."""

    def fail(_self: FakeTrainingStep) -> None:
        """Raise a ValueError of the student's kernels."""
        raise build_remote_error(
            "ValueError", [], "no kernel", (Frame("modules/13_kernels/tinytorch/kernels.py", 7, "f", "x"),)
        )

    monkeypatch.setattr(FakeTrainingStep, "switch_to_fast_kernels", fail)
    with guessing() as running:
        state = running.wait_for("failed")
        assert "no kernel" in running.page.answer(make_question(RED))["failure"]["got"]
    assert state["failure"]["line"] == 7
    assert len(running.reported) == 1


@pytest.fixture(scope="module")
def address(start_kernel_worker: Start, colour_images: DemoImages, kernel_milestone: Milestone) -> Iterator[str]:
    """Serve the page with the course's own kernels and trained network, after a short race."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_race, "RACE_IMAGES", 4 * kernel_race.BATCH)
        patch.setattr(kernels_demo, "OPS", 100)  # which ops are the slowest differs between machines
        with (
            start_kernel_worker() as worker,
            RunningPage(KernelPage, colour_images, kernel_milestone, worker) as running,
        ):
            assert running.ready.wait(240)
            running.wait_for("ready")
            with running.serve() as served:
                yield served


def choose_file(page: Page, name: str, data: bytes) -> None:
    """Choose a file on the page."""
    page.locator("#file").set_input_files({"name": name, "mimeType": "", "buffer": data})


def read_middle_colour(page: Page) -> list[int]:
    """Read the middle colour of the network's input, from a copy because the browser would warn."""
    return page.locator("#picture").evaluate("""canvas => {
      const copy = new OffscreenCanvas(32, 32).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      return [...copy.getImageData(16, 16, 1, 1).data];
    }""")


class TestInABrowser:
    """Tests of the page in a browser."""

    pytestmark = IN_A_BROWSER

    def test_it_shows_who_won_and_why(self, open_page: Open) -> None:
        """It shows three lanes with their speeds, the verdict in words, the per-op profile and the sizes."""
        page = open_page()
        expect(page.locator("#lanes li")).to_have_count(3)
        assert all("images/s" in text for text in page.locator("#lanes span").all_inner_texts())
        expect(page.locator("#stage")).to_contain_text("times as fast as module 06")
        rows = page.locator("#profile").get_by_role("rowheader").all_inner_texts()
        assert {"conv2d", "batch_norm", "batch_norm_relu", "together"} <= set(rows)
        expect(page.locator("#summary")).to_contain_text("of the bytes")
        expect(page.locator("#compared tbody tr")).to_have_count(2)
        expect(page.locator("#stand-in")).to_be_visible()

    def test_a_photograph_is_named_and_said(self, open_page: Open) -> None:
        """At any size, its middle is shown as the network gets it, and both formats answer with three bars."""
        page = open_page()
        wide = np.concatenate([RED.repeat(10, 0)[:, :16].repeat(10, 1), np.full((320, 100, 3), 255, np.uint8)], 1)
        choose_file(page, "red.png", encode_png(np.concatenate([wide[:, ::-1], wide], 1)[:, 60:-60]))
        expect(page.locator("#answers tbody tr")).to_have_count(6)
        expect(page.locator("#answers tr.best")).to_have_count(2)
        expect(page.locator("#answer")).to_contain_text("say")
        assert read_middle_colour(page) == [250, 20, 30, 255]
        expect(page.get_by_role("status")).to_contain_text("% sure; int8: ")
        expect(page.get_by_role("img", name="Your photograph in 32 by 32 pixels")).to_be_visible()

    @pytest.mark.parametrize(
        ("name", "data", "said"),
        [
            ("text.jpg", b"no photograph", "“text.jpg”: it is not a photograph, is damaged, or is too large"),
            ("cut.png", encode_png(RED)[:60], "“cut.png”"),
            ("<b>x</b>.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "“<b>x</b>.svg”"),
            ("empty.png", b"", "“empty.png” is empty"),
        ],
    )
    def test_what_is_no_photograph_is_said(self, open_page: Open, name: str, data: bytes, said: str) -> None:
        """An alert names the file, no earlier image or answer stays, and a good file works afterwards."""
        page = open_page()
        choose_file(page, "red.png", encode_png(RED))
        expect(page.locator("#answers")).to_be_visible()
        choose_file(page, name, data)
        expect(page.locator("#unread")).to_contain_text(said)
        expect(page.locator("#answers")).to_be_hidden()
        assert read_middle_colour(page)[3] == 0
        choose_file(page, "red.png", encode_png(RED))
        expect(page.locator("#answers")).to_be_visible()
        expect(page.locator("#unread")).to_be_hidden()

    def test_a_file_too_large_is_not_even_read(self, open_page: Open, tmp_path: Path) -> None:
        """The limit is 64 MB."""
        page = open_page()
        large = tmp_path / "large.tiff"
        with large.open("wb") as file:
            file.truncate((64 << 20) + 1)
        page.locator("#file").set_input_files(large)
        expect(page.locator("#unread")).to_contain_text("larger than 64 MB")

    def test_files_are_dropped_anywhere(self, open_page: Open) -> None:
        """The page stays open and takes the first file. A dropped item that is not a file is refused."""
        page = open_page()
        drop = """([data, name]) => {
          const carried = new DataTransfer();
          if (name) carried.items.add(new File([Uint8Array.from(data)], name));
          else carried.setData("text/plain", "a word");
          for (const kind of ["dragenter", "dragover", "drop"]) {
            const event = new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true });
            document.querySelector("footer").dispatchEvent(event);
            if (!event.defaultPrevented) throw new Error(kind);
          }
        }"""
        page.evaluate(drop, [list(encode_png(RED)), "red.png"])
        expect(page.locator("#answers")).to_be_visible()
        assert read_middle_colour(page) == [250, 20, 30, 255]
        page.evaluate(drop, [[], ""])
        expect(page.locator("#unread")).to_contain_text("That was not a file.")

    def test_it_works_by_keyboard(self, open_page: Open, colour_images: DemoImages) -> None:
        """Tab reaches the file, which Space opens, and the samples, which Enter takes. All have outlines and names."""
        page = open_page()
        page.on("filechooser", lambda _: None)  # from now on Chromium reports them: it takes its time to begin
        page.keyboard.press("Tab")
        expect(page.locator("#file")).to_be_focused()
        with page.expect_file_chooser():
            page.keyboard.press("Space")
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
        name = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert name.removeprefix("Sample: ") in colour_images.classes
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_contain_text(f"{name}. float32: ")
        expect(page.locator("#samples button")).to_have_count(SAMPLES)

    @pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (390, "light"), (1280, "light"), (1280, "dark")])
    def test_it_fits_and_axe_finds_nothing(self, open_page: Open, width: int, scheme: str) -> None:
        """The page fits narrow and wide, in light and dark, before and after an answer, and with a refusal."""
        page = open_page(width, 800, color_scheme=scheme)
        for name, data in ((None, b""), ("red.png", encode_png(RED)), (f"{'x' * 90}.jpg", b"no photograph")):
            if name:
                choose_file(page, name, data)
                expect(page.locator("#answers" if data[1:4] == b"PNG" else "#unread")).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert_accessible(page)

    def test_the_race_is_live(self, browser: Browser, guessing: Guessing, monkeypatch) -> None:
        """Bars grow as it runs, and a photograph given meanwhile is recognised as soon as there is a network."""
        held = threading.Event()
        real = FakeTrainingStep.run

        def run(self: FakeTrainingStep) -> None:
            """Take a step, but wait for the test once the race has begun."""
            if self._clock.now > 0.3:
                held.wait(60)
            real(self)

        monkeypatch.setattr(FakeTrainingStep, "run", run)
        with guessing() as running, running.serve() as address, open_pages(browser, address) as opened:
            page = opened(finished=False)
            fill = page.locator("#lanes .fill").last
            expect(fill).to_have_attribute("style", re.compile(r"width: [1-9]\.\d+%;"))
            expect(page.locator("#stage")).to_contain_text("2.0 times")
            expect(page.locator("#profile")).to_be_hidden()
            choose_file(page, "red.png", encode_png(RED))
            expect(page.locator("#answer")).to_contain_text("The race comes first")
            held.set()
            expect(page.locator("#stage")).to_contain_text("The race is over.")
            expect(fill).to_have_attribute("style", "width: 100%;")
            expect(page.locator("#profile")).to_be_visible()
            expect(page.locator("#answer")).to_contain_text("say")
            expect(page.locator("#answers tr.best")).to_have_count(2)

    def test_the_program_that_is_gone_is_said(self, browser: Browser, guessing: Guessing) -> None:
        """The message appears when the next photograph is given."""
        with guessing() as running:
            assert running.ready.wait(60)
            with running.serve() as address:
                page = browser.new_page()
                page.goto(address)
                expect(page.locator("#working")).to_be_hidden()
            page.locator("#samples button").first.click()
            expect(page.locator("#trouble")).to_contain_text("has ended")
            page.close()
