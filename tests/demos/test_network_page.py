"""A page's network side: questions go to the network, and failures of student code go to the page."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from grading.checks.student_network import RecipeError
from grading.demos import image_classifier
from grading.demos.image_classifier import DemoImages
from grading.demos.web import answering_page as page_module
from grading.demos.web import image_page as images_module
from grading.demos.web import page_terminal
from grading.demos.web.digits_page import DigitPage
from grading.demos.web.network_page import select_failure_fields_for_page, serve_page
from grading.demos.web.state_feed import StateFeed
from grading.manifest.model import Milestone
from grading.remote import DeadlineError, Frame, WorkerDiedError, build_remote_error
from grading.result import Failure
from tests.demos.running_page import RunningPage
from tests.demos.test_digits_demo import GuessingNetwork

QUESTION = {"strokes": [[[500, 100], [500, 900]]]}


class MoodyNetwork(GuessingNetwork):
    """A network that does what the test says before it answers."""

    mood: Callable[[str], None] = staticmethod(lambda _what: None)

    def train(self, *arguments: Any) -> None:
        """Train, unless the mood raises an error."""
        self.mood("train")
        super().train(*arguments)

    def feature_maps(self, images: np.ndarray) -> np.ndarray:
        """Compute feature maps, unless the mood raises an error."""
        self.mood("answer")
        return super().feature_maps(images)


@pytest.fixture
def mood(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    """Provide a function that sets what the network does before it trains or answers."""
    monkeypatch.setattr(image_classifier, "StudentNetwork", MoodyNetwork)
    return lambda do: monkeypatch.setattr(MoodyNetwork, "mood", staticmethod(do))


@pytest.mark.usefixtures("mood")
def test_a_drawing_is_answered(digit_images: DemoImages, milestone: Milestone) -> None:
    """The answer has the digit, ten probabilities, the image and at most sixteen maps."""
    with RunningPage(DigitPage, digit_images, milestone) as running:
        told = running.wait_for("ready")
        answer = running.page.answer(QUESTION)
    assert len(answer["probabilities"]) == 10
    assert answer["digit"] == int(np.argmax(answer["probabilities"]))
    assert answer["maps"]["count"] == 16
    assert len(answer["picture"]) == 4 * -(-784 // 3)
    assert told["tested"] == len(digit_images.test_images)
    assert told["points"][0][:2] == [0, 0]
    assert told["points"][-1][:2] == [100, 100]
    assert running.reported == []
    json.dumps(answer, allow_nan=False)


@pytest.mark.parametrize("question", [None, [], {}, {"strokes": []}, {"strokes": 3}, QUESTION | {"seed": 1}])
def test_what_is_no_question_is_refused(digit_images: DemoImages, question: object) -> None:
    """The network never sees it."""
    with pytest.raises(ValueError, match="strokes"):
        DigitPage(StateFeed(), digit_images).answer(question)


def test_drawings_are_answered_while_it_learns(digit_images: DemoImages, milestone: Milestone, mood) -> None:
    """The network answers whenever training reports."""
    held, asked = threading.Event(), threading.Event()

    def hold(what: str) -> None:
        """Wait for the test while training, and report a question."""
        if what == "train":
            held.wait(60)
        else:
            asked.set()

    mood(hold)
    with RunningPage(DigitPage, digit_images, milestone) as running:
        answers: list[dict[str, Any]] = []
        asking = threading.Thread(target=lambda: answers.append(running.page.answer(QUESTION)))
        asking.start()
        while running.page._waiting.empty():
            time.sleep(0.01)
        assert running.state()["phase"] in ("starting", "training")
        held.set()
        asking.join(60)
    assert answers[0]["digit"] in range(10)
    assert asked.is_set()


def test_an_error_in_one_answer_is_told_and_the_next_one_works(
    digit_images: DemoImages, milestone: Milestone, mood
) -> None:
    """The page gets it as a failure with its place, and the terminal gets it once, however often it occurs."""
    left = [2]

    def raise_twice(what: str) -> None:
        """Raise a hostile error for two answers."""
        if what == "answer" and left[0]:
            left[0] -= 1
            frame = Frame("modules/06_spatial/recipe.py", 41, "predict", "return <b>x</b>")
            raise build_remote_error("ValueError", [], "not \x1b[31m<img src=x>", (frame,))

    mood(raise_twice)
    with RunningPage(DigitPage, digit_images, milestone) as running:
        running.wait_for("ready")
        first, second, third = (running.page.answer(QUESTION) for _ in range(3))
    assert first == second
    assert first["failure"]["got"] == "ValueError: not <img src=x>"
    assert (first["failure"]["file"], first["failure"]["line"]) == ("modules/06_spatial/recipe.py", 41)
    assert "digit" in third
    assert len(running.reported) == 1
    assert running.state()["phase"] == "ready"


@pytest.mark.parametrize("when", ["train", "answer"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WorkerDiedError("your code ended the program"), "ended the program"),
        (DeadlineError("no answer within 10 s"), "no answer within"),
    ],
)
def test_when_the_worker_is_gone_the_page_says_so(
    digit_images: DemoImages, milestone: Milestone, mood, when: str, error: Exception, said: str
) -> None:
    """Its state and every answer say so, also for later pages, and the terminal says it once."""

    def fail(what: str) -> None:
        """Raise the error at the moment that is tested."""
        if what == when:
            raise error

    mood(fail)
    with RunningPage(DigitPage, digit_images, milestone) as running:
        if when == "answer":
            running.wait_for("ready")
        answers = [running.page.answer(QUESTION) for _ in range(2)]
        told = running.wait_for("failed")
    assert said in told["failure"]["got"]
    assert all(answer == {"failure": told["failure"]} for answer in answers)
    assert len(running.reported) == 1


def test_a_recipe_that_keeps_no_promise_is_told(digit_images: DemoImages, milestone: Milestone, mood) -> None:
    """The failure says what was called, what came back and what was expected."""

    def fail(_what: str) -> None:
        raise RecipeError("predict(…)", "NaN", "probabilities")

    mood(fail)
    with RunningPage(DigitPage, digit_images, milestone) as running:
        failure = running.wait_for("failed")["failure"]
    assert (failure["call"], failure["got"], failure["expected"]) == ("predict(…)", "NaN", "probabilities")


def test_too_many_drawings_are_not_kept_waiting(digit_images: DemoImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network that answers, each gets the answer busy, and none is kept for ever."""
    monkeypatch.setattr(page_module, "PATIENCE_SECONDS", 0.01)
    page = DigitPage(StateFeed(), digit_images)
    assert [page.answer(QUESTION) for _ in range(12)] == [{"busy": True}] * 12
    page.close()
    assert page.answer(QUESTION) == {"busy": True}


def test_a_failure_for_the_page_is_bounded() -> None:
    """Messages of any length are cut."""
    fields = select_failure_fields_for_page(Failure(title="t", got="x" * 100_000, detail="\x00\x1b]0;t\x07y"))
    assert fields is not None
    assert len(fields["got"]) < 1500
    assert fields["detail"].isprintable()


@pytest.mark.usefixtures("mood")
def test_the_terminal_says_where_and_how_it_went(
    digit_images: DemoImages, milestone: Milestone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows the address on one line, how to end, and the accuracy. Ctrl+C is not a failure."""
    out = io.StringIO()
    opened: list[str] = []

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(images_module, "load_demo_images", lambda *_: digit_images)
    monkeypatch.setattr(page_terminal, "open_in_browser", lambda address: not opened.append(address))
    monkeypatch.setattr(DigitPage, "_answer_pending", interrupt)
    monkeypatch.setattr(page_module.queue.Queue, "get", interrupt)
    assert serve_page(DigitPage, None, milestone, 1, Console(file=out, width=40), browser=True)
    text = " ".join(out.getvalue().split())
    assert opened[0] in text
    assert "Ctrl+C stops it" in text
    assert "It opens in your browser now" in text
    assert "digits it has never seen" in text
    assert text.endswith("The page has been closed.")


def test_no_browser_is_opened_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is none without a display, or where a text browser would take over the terminal."""
    for name in page_terminal.DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(page_terminal.sys, "platform", "linux")
    assert not page_terminal.open_in_browser("http://127.0.0.1/")
    monkeypatch.setenv("DISPLAY", ":0")
    opened = threading.Event()

    class Browser:
        """Remembers."""

        name = "/usr/bin/w3m"

        def open(self, _address: str) -> bool:
            """Note that a browser was opened."""
            opened.set()
            return True

    monkeypatch.setattr(page_terminal.webbrowser, "get", Browser)
    assert not page_terminal.open_in_browser("http://127.0.0.1/")
    Browser.name = "firefox"
    assert page_terminal.open_in_browser("http://127.0.0.1/")
    assert opened.wait(60)
