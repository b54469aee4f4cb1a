"""The page of demonstration 5: its own side, and in a real browser. One small network is trained for all of it."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from grading.demos.function_requests import extract_docstring_phrase
from grading.demos.function_writer import EXERCISES_PER_KIND, MOST_BYTES, WATCHED, WritingTask
from grading.demos.web.language_page import EXAMPLES, LOOKED_AT, LanguagePage
from grading.demos.web.state_feed import StateFeed
from grading.manifest.model import Milestone
from grading.remote import Frame, WorkerDiedError, build_remote_error
from tests.browsers import IN_A_BROWSER, Open, assert_accessible, open_pages
from tests.demos.conftest import Start
from tests.demos.fake_writer import FakeWriter, FakeWriterWorker, install_fake_writer
from tests.demos.running_page import RunningPage

Taught = Callable[[], RunningPage]


@pytest.fixture
def taught(writing_task: WritingTask, language_milestone: Milestone, monkeypatch: pytest.MonkeyPatch) -> Taught:
    """Provide pages with a FakeWriter behind them."""
    install_fake_writer(monkeypatch, writing_task)
    return lambda: RunningPage(LanguagePage, writing_task, language_milestone, FakeWriterWorker())


def make_question(task: WritingTask, **more: Any) -> dict[str, Any]:
    """Make a page's question about the next token of the first exercise."""
    return {"text": task.exercises[0].prompt.text, "written": [], "temperature": 0, "top_p": 1} | more


def write_first_exercise(page: Any, task: WritingTask) -> list[dict[str, Any]]:
    """Have the first exercise written token by token, as a page does, and return all answers."""
    answers: list[dict[str, Any]] = []
    while not answers or not (answers[-1]["ended"] or answers[-1]["full"]):
        written = [answer["token"] for answer in answers]
        answers.append(page.list_page_calls()["continue"](make_question(task, written=written)))
    return answers


def test_the_state_holds_curve_history_ladder_and_cache(taught: Taught, writing_task: WritingTask) -> None:
    """Each state has all of it, so that a page opened late shows the same."""
    with taught() as running:
        state = running.wait_for("ready")
    step, steps, loss, right, parsed, asked = state["points"][-1]
    assert (step, steps, right, parsed, asked) == (12, 12, WATCHED, WATCHED, WATCHED)
    assert loss < 1
    assert [one["right"] for one in state["history"]] == [False, False, True]
    assert [one["parses"] for one in state["history"]] == [False, True, True]
    assert state["exercise"] == writing_task.exercises[0].prompt.text
    assert state["right"]["your network"] == [
        state["asked"],
        EXERCISES_PER_KIND,
        EXERCISES_PER_KIND,
        EXERCISES_PER_KIND,
    ]
    assert len(state["right"]) == 6
    assert "With the cache, the same tokens" in state["cache"]["summary"]
    assert running.sentences == ["Your network writes 30 of 30 functions correctly. Now ask it for one of your own."]


def test_a_function_is_written_one_token_at_a_time(taught: Taught, writing_task: WritingTask) -> None:
    """Each answer has the token, its probability and the other candidates, and the last one ends."""
    with taught() as running:
        running.wait_for("ready")
        answers = write_first_exercise(running.page, writing_task)
    assert "".join(answer["text"] for answer in answers) == writing_task.exercises[0].prompt.answer
    assert [answer["ended"] for answer in answers] == [False] * (len(answers) - 1) + [True]
    assert all(len(answer["candidates"]) == 5 for answer in answers)
    assert answers[0]["candidates"][0] == ["\n", pytest.approx(0.9, abs=0.01), 1.0]
    assert answers[-1]["candidates"][0][0] == "␄"


def test_temperature_and_top_p_change_what_is_drawn(taught: Taught, writing_task: WritingTask) -> None:
    """The likeliest token's chance falls with the temperature, and a small top-p leaves only that token."""
    with taught() as running:
        running.wait_for("ready")
        ask = running.page.list_page_calls()["continue"]
        cold, hot, cut = (
            ask(make_question(writing_task, temperature=t, top_p=p))["candidates"]
            for t, p in ((0.5, 1), (2, 1), (2, 0.05))
        )
    assert cold[0][2] > 0.99 > 0.5 > hot[0][2]
    assert cut[0][2] == 1
    assert cold[0][1] == hot[0][1]


def test_attention_is_of_each_layer_and_head(taught: Taught, writing_task: WritingTask) -> None:
    """It covers the last tokens, in 255ths, with the text of all tokens, the beginning's first."""
    text = writing_task.exercises[0].prompt.text
    with taught() as running:
        running.wait_for("ready")
        told = running.page.list_page_calls()["attend"]({"text": text, "written": [10, 32]})
    assert "".join(told["tokens"]) == text + "\n "
    assert told["begins"] == len(text)
    assert told["first"] == len(text) + 2 - LOOKED_AT
    assert (told["layers"], told["heads"]) == (2, 3)
    values = np.frombuffer(base64.b64decode(told["values"]), np.uint8).reshape(2, 3, LOOKED_AT, LOOKED_AT)
    assert values[1, 2, 1, :3].tolist() == [128, 128, 0]


def test_what_is_typed_is_understood_or_refused(writing_task: WritingTask) -> None:
    """Understanding needs no network, so it works before there is one."""
    calls = LanguagePage(StateFeed(), writing_task).list_page_calls()
    told = calls["understand"]({"typed": "the larger of width and age, times 12"})
    assert told["text"].startswith("def larger_times(width, age):\n")
    assert "then times 12" in told["understood"]
    assert "Not understood" in calls["understand"]({"typed": "a poem"})["refused"]
    offered = calls["offer"]({})
    assert offered["examples"] == [
        extract_docstring_phrase(exercise.prompt) for exercise in writing_task.exercises[:EXAMPLES]
    ]


def test_a_function_is_run(writing_task: WritingTask) -> None:
    """It runs on drawn inputs, with a verdict, and on typed ones."""
    run = LanguagePage(StateFeed(), writing_task).list_page_calls()["run"]
    text = 'def larger(width, age):\n    """Return the larger of width and age."""'
    asked = {"text": text, "written": "\n    return max(width, age)\n", "arguments": []}
    told = run(asked)
    assert told["right"]
    assert told["parameters"] == ["width", "age"]
    assert len(told["runs"]) == 3
    assert run(asked | {"arguments": ["3", " -1.5"]})["own"]["call"] == "larger(3, -1.5)"
    assert run(asked | {"arguments": ["3", "2, 8"]})["own"]["returned"].startswith("no value")
    assert "takes 2 arguments" in run(asked | {"arguments": ["1"] * 11})["own"]["returned"]
    assert "one is not a number" in run(asked | {"arguments": ["one", "2"]})["refused"]
    assert "an input is text" in run(asked | {"arguments": [1, "2"]})["refused"]
    assert "not a function" in run(asked | {"written": "\n    import os\n", "arguments": ["1", "2"]})["refused"]
    wrong = run(asked | {"written": "\n    return width\n"})
    assert wrong["right"] is False
    broken = run(asked | {"written": "\n    import os\n"})
    assert (broken["runs"], broken["parameters"]) == ((), [])


def test_rivals_continue_the_same_beginning(taught: Taught, writing_task: WritingTask) -> None:
    """Each rival has what it wrote and whether that is right."""
    with taught() as running:
        running.wait_for("ready")
        told = running.page.list_page_calls()["rivals"]({"text": writing_task.exercises[0].prompt.text})["rivals"]
    assert len(told) == 5
    assert all(rival["right"] in (True, False) and rival["verdict"] for rival in told)


NO_QUESTIONS: list[tuple[str, Any]] = [
    ("continue", None),
    ("continue", {}),
    ("continue", {"written": 1}),
    ("continue", {"written": [-1]}),
    ("continue", {"written": [True]}),
    ("continue", {"written": [1 << 16]}),
    ("continue", {"written": [1000]}),
    ("continue", {"written": [1] * (MOST_BYTES + 1)}),
    ("continue", {"temperature": 2.1}),
    ("continue", {"temperature": float("nan")}),
    ("continue", {"temperature": True}),
    ("continue", {"top_p": 0}),
    ("continue", {"text": "anything"}),
    ("continue", {"text": "the sum of width and age"}),
    ("continue", {"more": 1}),
    ("attend", {"text": "def f(a):", "written": "x"}),
    ("understand", {"typed": 1}),
    ("offer", {"more": 1}),
    ("rivals", {"text": "x"}),
    ("run", {"text": "def f(a):", "written": "x" * 3000, "arguments": []}),
    ("run", {"text": "def f(a):", "written": 1, "arguments": []}),
]


def test_what_is_no_question_is_refused(taught: Taught, writing_task: WritingTask) -> None:
    """The refusal gives a reason, and the page continues."""
    with taught() as running:
        running.wait_for("ready")
        calls = running.page.list_page_calls()
        for call, asked in NO_QUESTIONS:
            whole = make_question(writing_task, **asked) if call == "continue" and asked else asked
            with pytest.raises(ValueError, match=r"[a-z]{4}"):
                calls[call](whole)
            assert calls["continue"](make_question(writing_task))["text"]


def test_functions_are_written_while_it_learns(
    taught: Taught, writing_task: WritingTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training waits a moment for the next token, so that a whole function is written between two steps."""
    held, at = threading.Event(), []

    def hold(step: int) -> None:
        """Note the step, and wait for the test at step 9."""
        at.append(step)
        if step == 9:
            held.wait(60)

    monkeypatch.setattr(FakeWriter, "at", staticmethod(hold))
    with taught() as running:
        while 9 not in at:
            time.sleep(0.01)
        written: list[list[dict[str, Any]]] = []
        asking = threading.Thread(target=lambda: written.append(write_first_exercise(running.page, writing_task)))
        asking.start()
        while running.page._waiting.empty():
            time.sleep(0.01)
        held.set()
        asking.join(60)
    assert "".join(answer["text"] for answer in written[0]) == writing_task.exercises[0].prompt.answer


@pytest.mark.parametrize("when", ["train", "attend"])
def test_a_worker_that_is_gone_is_told(
    taught: Taught, writing_task: WritingTask, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """The state and each answer say so, and the terminal says it once."""

    def fail(*_: Any) -> None:
        raise WorkerDiedError("your code ended the program")

    with taught() as running:
        if when == "train":
            monkeypatch.setattr(FakeWriter, "at", staticmethod(fail))
        else:
            running.wait_for("ready")
            monkeypatch.setattr(FakeWriter, "attention_maps", fail)
            running.page.list_page_calls()["attend"]({"text": "def f(a):", "written": []})
        state = running.wait_for("failed")
        assert (
            "ended the program"
            in running.page.list_page_calls()["continue"](make_question(writing_task))["failure"]["got"]
        )
    assert "ended the program" in state["failure"]["got"]
    assert len(running.reported) == 1


@pytest.fixture(scope="module")
def address(start_writing_worker: Start, writing_task: WritingTask, language_milestone: Milestone) -> Iterator[str]:
    """Serve the page with the course's own module 16, trained for a second or two."""
    with (
        start_writing_worker() as worker,
        RunningPage(LanguagePage, writing_task, language_milestone, worker) as running,
        running.serve() as served,
    ):
        assert running.ready.wait(240)
        yield served


def type_and_write(page: Page, typed: str) -> None:
    """Type a request, and have it written until attention is shown."""
    page.locator("#typed").fill(typed)
    page.keyboard.press("Enter")
    expect(page.locator("#heads button").first).to_be_visible()


class TestInABrowser:
    """Tests of the page in a browser."""

    pytestmark = IN_A_BROWSER

    def test_it_shows_how_it_was_learned(self, open_page: Open) -> None:
        """It shows both curves in words, the history of one function, the rivals and both speeds."""
        page = open_page()
        for name in ("The loss during training. The loss was", "Correct functions:"):
            expect(page.get_by_role("img", name=name)).to_be_visible()
        expect(page.locator("#learned")).to_contain_text("compute the correct values")
        expect(page.locator("#history li").first).to_contain_text("step 0: ")
        expect(page.locator("#ladder tr")).to_have_count(6)
        expect(page.locator("#cache tr")).to_have_count(2)
        expect(page.locator("#cached")).to_contain_text("With the cache, the same tokens")

    def test_a_function_is_written_by_keyboard(self, open_page: Open) -> None:
        """It is typed and written, and arrows select tokens to show candidates and attention."""
        page = open_page()
        type_and_write(page, "the larger of width and age, times 12")
        expect(page.locator("#understood")).to_contain_text("the larger of width and age; then times 12.")
        expect(page.locator("#program")).to_contain_text("def larger_times(width, age):")
        expect(page.locator("#rivals dt")).to_have_count(5)
        expect(page.locator("#candidates tbody tr")).to_have_count(5)
        expect(page.locator("#verdict")).not_to_contain_text("as soon as")
        program = page.locator("#program")
        program.focus()
        before = page.locator("#looks").inner_text()
        page.keyboard.press("ArrowRight")
        expect(page.locator("#looks")).not_to_have_text(before)
        expect(program.locator("[aria-selected=true]")).to_have_count(1)
        expect(page.locator("#looks")).to_contain_text("head 1 of layer 1 attended most to")
        page.locator("#heads [aria-checked=true]").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#looks")).to_contain_text("head 2 of layer 2")
        expect(page.locator("#heads [aria-checked=true]")).to_be_focused()
        expect(page.get_by_role("img", name="Attention of head 2 in layer 2")).to_be_visible()

    def test_sliders_change_the_chances(self, open_page: Open) -> None:
        """At temperature 0 one token is certain, and at 2 none is."""
        page = open_page()
        type_and_write(page, "the sum of width and age")
        first = page.locator("#candidates tbody tr").first.locator(".number").first
        expect(page.locator("#candidates tbody tr.best .number").first).to_have_text("100%")
        page.locator("#temperature").focus()
        page.keyboard.press("End")
        expect(page.locator("#temperature-value")).to_have_text("2.0")
        expect(first).not_to_have_text("100%")
        assert float(first.inner_text().rstrip("%")) < 99

    def test_what_is_not_understood_is_said(self, open_page: Open) -> None:
        """A message replaces the understood request, and lists the possible requests."""
        page = open_page()
        page.locator("#typed").fill("write me a <b>poem</b>")
        page.get_by_role("button", name="Write").click()
        expect(page.locator("#understood.refused")).to_contain_text("Not understood. Of two numbers")
        assert page.locator("#understood b").count() == 0

    @pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (390, "light"), (1280, "light"), (1280, "dark")])
    def test_it_fits_and_axe_finds_nothing(self, open_page: Open, width: int, scheme: str) -> None:
        """The page fits narrow and wide, in light and dark, before and after a function is written."""
        page = open_page(width, 800, color_scheme=scheme)
        for typed in ("", "how many numbers in prices are greater than limit"):
            if typed:
                type_and_write(page, typed)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert_accessible(page)

    def test_a_right_function_is_run(self, browser: Browser, taught: Taught, writing_task: WritingTask) -> None:
        """It shows values and a verdict, takes typed inputs, and refuses one that is not a number with a message."""
        with taught() as running, running.serve() as served, open_pages(browser, served) as opened:
            page = opened()
            page.locator("#examples button").first.click()
            expect(page.locator("#verdict")).to_contain_text("It is correct for all 12 inputs.")
            expect(page.locator("#runs li")).to_have_text([re.compile("✓$")] * 3)
            expect(page.locator("#program")).to_contain_text(writing_task.exercises[0].prompt.answer.strip())
            fields = page.locator("#inputs input")
            expect(fields).to_have_count(2)
            fields.nth(0).fill("3")
            fields.nth(1).fill("4")
            page.keyboard.press("Enter")
            expect(page.locator("#returned")).to_contain_text("(3, 4) = ")
            fields.nth(1).fill("four")
            page.keyboard.press("Enter")
            expect(page.locator("#returned")).to_contain_text("four is not a number")
            expect(page.locator("#trouble")).to_be_hidden()

    def test_writing_can_be_stopped(self, browser: Browser, taught: Taught, writing_task: WritingTask) -> None:
        """The text written so far stays, and another function can be requested."""
        answer = writing_task.exercises[0].prompt.answer.strip()
        with taught() as running, running.serve() as served, open_pages(browser, served) as opened:
            page = opened()
            page.locator("#examples button").first.click()
            page.get_by_role("button", name="Stop").click()
            expect(page.get_by_role("button", name="Write")).to_be_visible()
            page.wait_for_timeout(500)
            assert answer not in page.locator("#program").inner_text()
            page.get_by_role("button", name="Write").click()
            expect(page.locator("#program")).to_contain_text(answer)

    def test_it_is_live(self, browser: Browser, taught: Taught, monkeypatch: pytest.MonkeyPatch) -> None:
        """Curves and history change during training, and functions requested meanwhile are written."""
        go = {3: threading.Event(), 7: threading.Event()}
        monkeypatch.setattr(FakeWriter, "at", staticmethod(lambda step: step in go and go[step].wait(60)))
        with taught() as running, running.serve() as served, open_pages(browser, served) as opened:
            page = opened(finished=False)
            expect(page.locator("#history li")).to_have_text([re.compile("step 0: .*no function")])
            expect(page.locator("#learned")).to_contain_text("after 2 of 12 steps")
            page.locator("#examples button").first.click()
            go[3].set()
            expect(page.locator("#history li").last).to_contain_text("wrong")
            expect(page.locator("#working")).to_be_visible()
            go[7].set()
            expect(page.locator("#working")).to_be_hidden(timeout=30_000)
            expect(page.locator("#verdict")).to_contain_text("It ")
            expect(page.locator("#history li").last).to_contain_text("right")
            expect(page.locator("#ladder tr").first).to_contain_text("30 (10 + 10 + 10)")

    def test_what_student_code_says_is_text(
        self, browser: Browser, taught: Taught, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An error's markup is shown as text, with its place."""
        hostile = "<img src=x onerror=alert(1)>"

        def fail(*_: Any) -> None:
            raise build_remote_error("ValueError", [], hostile, (Frame("modules/16_tinygpt/recipe.py", 41, "f", "x"),))

        with taught() as running, running.serve() as served, open_pages(browser, served) as opened:
            page = opened()
            monkeypatch.setattr(FakeWriter, "attention_maps", fail)
            page.locator("#examples button").first.click()
            alert = page.get_by_role("alert")
            expect(alert).to_contain_text(hostile)
            expect(alert).to_contain_text("recipe.py:41")
            assert page.locator("#failure img").count() == 0
