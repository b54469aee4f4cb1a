"""The page of demonstration 2 in a real browser, skipped without one.

One network is trained for all of these tests, so they run in one process.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from grading.demos.image_classifier import DemoImages
from grading.demos.web.digits_page import DigitPage
from grading.manifest.model import Milestone
from grading.remote import WorkerDiedError
from tests.browsers import IN_A_BROWSER, Open, assert_accessible
from tests.demos.conftest import Start
from tests.demos.running_page import RunningPage

LATENCY_MS = 100
"""From the pen's lifting to the answer on the page: the median of nine strokes."""

pytestmark = IN_A_BROWSER

Points = list[tuple[float, float]]
ONE: Points = [(0.52, 0.15), (0.48, 0.85)]
ZERO: Points = [(0.5 + 0.2 * math.sin(t / 10 * math.pi), 0.5 - 0.32 * math.cos(t / 10 * math.pi)) for t in range(21)]
SMALL_ZERO: Points = [(0.8 + (x - 0.5) / 3, 0.75 + (y - 0.5) / 3) for x, y in ZERO]
SEVEN: Points = [(0.28, 0.2), (0.7, 0.2), (0.45, 0.85)]


@pytest.fixture(scope="module")
def running(start_digit_worker: Start, digit_images: DemoImages, milestone: Milestone) -> Iterator[RunningPage]:
    """Run the page with the course's own trained network."""
    with start_digit_worker() as worker, RunningPage(DigitPage, digit_images, milestone, worker) as page:
        assert page.ready.wait(120)
        yield page


@pytest.fixture(scope="module")
def address(running: RunningPage) -> Iterator[str]:
    """Serve the page, and yield its address."""
    with running.serve() as served:
        yield served


def draw_stroke(page: Page, points: Points, *, each: int = 6) -> None:
    """Draw one stroke with the mouse, in this number of moves from point to point."""
    box = page.locator("#paper").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=each)
    page.mouse.up()


def expect_digit(page: Page, digit: int) -> None:
    """Expect the page to show this digit in its answer and in the bars."""
    expect(page.locator("#digit")).to_have_text(str(digit))
    expect(page.locator("#bars .best th")).to_have_text(str(digit))


@pytest.mark.parametrize(("digit", "points"), [(1, ONE), (0, ZERO), (0, SMALL_ZERO)])
def test_a_drawn_digit_is_recognised(open_page: Open, digit: int, points: Points) -> None:
    """The page shows bars that add up, the image that the network sees, and its feature maps."""
    page = open_page()
    draw_stroke(page, points)
    # Counted in a copy: the browser warns of a canvas that is read again and again.
    ink = """canvas => {
      const copy = new OffscreenCanvas(28, 28).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      return copy.getImageData(0, 0, 28, 28).data.filter((v, i) => i % 4 == 0 && v > 128).length;
    }"""
    picture = page.locator("#picture")
    for _ in range(50):  # on a busy machine answers to the stroke's first points may still be coming
        if picture.evaluate(ink) > 20:
            break
        page.wait_for_timeout(100)
    assert 20 < picture.evaluate(ink) < 250
    expect_digit(page, digit)
    shown = page.locator("#bars .number").all_inner_texts()
    assert sum(float(text.strip("%")) for text in shown) == pytest.approx(100, abs=1)
    assert page.locator("#maps canvas").count() == 8
    assert "8 feature maps" in page.locator("#maps").get_attribute("aria-label")


def test_clear_clears(open_page: Open) -> None:
    """Paper, answer, bars and maps are as before the first stroke, and the user can draw again."""
    page = open_page()
    draw_stroke(page, ONE)
    expect_digit(page, 1)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#digit")).to_have_text("?")
    assert page.locator("#bars .best").count() == page.locator("#maps canvas").count() == 0
    draw_stroke(page, ZERO)
    expect_digit(page, 0)


def test_it_works_by_keyboard(open_page: Open) -> None:
    """Tab reaches the paper, arrows and Space draw, the answer is read out, and C clears."""
    page = open_page()
    page.keyboard.press("Tab")
    expect(page.locator("#paper")).to_be_focused()
    for key in ["ArrowUp"] * 8 + ["Space"] + ["ArrowDown"] * 16:
        page.keyboard.press(key)
    expect_digit(page, 1)
    expect(page.get_by_role("status")).to_contain_text("Read as 1")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    expect_digit(page, 1)
    page.keyboard.press("c")
    expect(page.locator("#digit")).to_have_text("?")
    expect(page.get_by_role("status")).to_have_text("Cleared.")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Clear")).to_be_focused()


def test_the_focus_can_be_seen(open_page: Open) -> None:
    """Both stops of the Tab key get an outline."""
    page = open_page()
    for _ in range(2):
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"


@pytest.mark.parametrize("width", [320, 360])
def test_it_fits_a_phone(open_page: Open, width: int) -> None:
    """No sideways scrolling, before and after a drawing with a finger; the answer is beside the paper."""
    page = open_page(width, 640, has_touch=True, is_mobile=True, device_scale_factor=2)
    box = page.locator("#paper").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#digit")).not_to_have_text("?")
    page.get_by_role("button", name="Clear").tap()
    session = page.context.new_cdp_session(page)
    places = [{"x": box["x"] + box["width"] * x, "y": box["y"] + box["height"] * y} for x, y in ZERO]
    for kind, touch in [("touchStart", places[0]), *(("touchMove", place) for place in places[1:])]:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [touch]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect_digit(page, 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("scrollY") == 0
    expect(page.locator("#answer")).to_be_in_viewport()


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (1280, "dark")])
def test_axe_finds_nothing(open_page: Open, width: int, scheme: str) -> None:
    """Before and after a drawing, in light and dark, narrow and wide."""
    page = open_page(width, color_scheme=scheme)
    for points in ([], ONE):
        if points:
            draw_stroke(page, points)
            expect_digit(page, 1)
        assert_accessible(page)


def test_less_motion_is_granted(open_page: Open) -> None:
    """The bars jump for users who prefer reduced motion."""
    moved = "getComputedStyle(document.querySelector('.fill')).transitionDuration"
    assert open_page(reduced_motion="reduce").evaluate(moved) == "0s"
    assert open_page(reduced_motion="no-preference").evaluate(moved) == "0.06s"


def test_the_curve_has_words(open_page: Open) -> None:
    """They say what it shows, and what the network was trained on."""
    page = open_page()
    assert "The loss was" in page.get_by_role("img", name="The loss during training").get_attribute("aria-label")
    expect(page.locator("#learned")).to_contain_text("digits it has never seen")
    expect(page.locator("#about")).to_contain_text("Trained on")


def test_the_stand_in_is_named(open_page: Open, digit_images: DemoImages) -> None:
    """It is named if and only if it is used."""
    expect(open_page().locator("#stand-in")).to_be_visible(visible=digit_images.stand_in)


WATCH = """() => {
  window.began = window.answered = null;
  addEventListener("pointerup", (event) => { if (event.target.id === "paper") began = performance.now(); }, true);
  new MutationObserver(() => { answered = performance.now(); })
    .observe(document.querySelector("#took"), { characterData: true, childList: true, subtree: true });
}"""
"""Every answer writes how long it took; the last one after the pen's lifting is that of the whole drawing."""


def test_the_answer_comes_at_once(open_page: Open) -> None:
    """The median of nine strokes, from lifting the pen to the last answer; a busy machine gets three tries."""
    page = open_page()
    page.evaluate(WATCH)
    for _ in range(3):
        latencies, stated = [], []
        for index in range(9):
            page.get_by_role("button", name="Clear").click()
            draw_stroke(page, [ONE, ZERO, SEVEN][index % 3])
            page.wait_for_timeout(400)  # until no more answers come; answers to earlier points do not count
            latencies.append(page.evaluate("Math.max(0, answered - began)"))
            stated.append(int(page.locator("#took").inner_text().split(" ")[0]))
        median = statistics.median(latencies)
        told = f"median {median:.0f} ms, longest {max(latencies):.0f} ms"
        print(f"from stroke to answer: {told}; the page's own figure: median {statistics.median(stated):.0f} ms")
        # Of a processor that L programs want at once each has one L-th: idle machines are held to the figure itself.
        allowed = LATENCY_MS * max(1.0, os.getloadavg()[0])
        if median < allowed:
            break
    assert median < allowed


def test_too_long_a_drawing_is_cut_not_refused(open_page: Open) -> None:
    """Endless scribbling keeps getting answers."""
    page = open_page()
    page.locator("#paper").focus()
    page.evaluate("""() => {
      const paper = document.querySelector("#paper");
      const press = (key) => paper.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
      for (let i = 0; i < 105; i++) {
        press(" ");
        for (let j = 0; j < 40; j++) press(["ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"][(i + (j >> 3)) % 4]);
        press(" ");
      }
    }""")
    expect(page.locator("#digit")).not_to_have_text("?")
    expect(page.locator("#trouble")).to_be_hidden()


def test_what_student_code_says_is_text(open_page: Open, running: RunningPage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error's markup is shown as text, and the next good answer removes the message."""
    page = open_page()
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    failure = {"title": "t", "got": f"ValueError: {hostile}", "file": "modules/06_spatial/recipe.py", "line": 41}
    real = running.page._answer_pending

    def fail(asked: Any, *_: Any) -> None:
        asked[1].set_result({"failure": failure})

    monkeypatch.setattr(running.page, "_answer_pending", fail)
    draw_stroke(page, ONE)  # the network's thread is in the real one already, for the first question
    draw_stroke(page, ONE)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(hostile)
    expect(alert).to_contain_text("recipe.py:41")
    assert page.locator("#failure img, #failure script").count() == 0
    assert_accessible(page)
    monkeypatch.setattr(running.page, "_answer_pending", real)
    page.get_by_role("button", name="Clear").click()
    draw_stroke(page, ONE)
    draw_stroke(page, ONE)
    expect_digit(page, 1)
    expect(page.locator("#failure")).to_be_hidden()


def test_training_that_fails_is_shown(
    browser: Browser, start_digit_worker: Start, digit_images: DemoImages, milestone: Milestone
) -> None:
    """A page opened after the worker's end says what happened, even once the program has ended."""
    broken = lambda text: text.replace("    set_training(network, True)", "    import os; os._exit(3)")  # noqa: E731
    with start_digit_worker(broken) as worker:
        with RunningPage(DigitPage, digit_images, milestone, worker) as failing, failing.serve() as address:
            failing.wait_for("failed")
            shown = browser.new_page()
            shown.goto(address)
            expect(shown.get_by_role("alert")).to_contain_text("your code ended the program (exit code 3)")
            expect(shown.locator("#working")).to_be_hidden()
            draw_stroke(shown, ONE)
            expect(shown.locator("#sure")).to_have_text("No answer.")
            assert isinstance(worker.failure, WorkerDiedError)
        shown.get_by_role("button", name="Clear").click()
        draw_stroke(shown, ONE)
        expect(shown.locator("#trouble")).to_contain_text("has ended")
        shown.close()
