"""The class report says who is stuck and what fails, and nothing in it is live."""

from __future__ import annotations

import io
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from desk.gradebook import Visit, open_gradebook
from desk.report import Report, report
from desk.report_page import page, terminal
from desk.roster import Row
from grading.checks.quiz import OPEN
from grading.manifest.load import load
from tests.desk.books import fill, graded, sha
from tests.desk.school import ROOT, TERM
from tests.render.results import criterion, failure, loss

DAY = timedelta(days=1)
NASTY = "<script>alert(1)</script>\x1b[2J{{ 7 * 7 }}"


def failing(number: int, days: int, *tasks: str):
    """A result that fails these tasks' tests."""
    failures = tuple(failure(task=task, title=f"Fact {task}") for task in tasks)
    broken = criterion("failed", 0.5, failures=failures)
    made = graded(number, met=0, at=TERM + days * DAY)
    return made.model_copy(update={"criteria": (broken, loss("failed", 0.2))})


@pytest.fixture
def found(class_folder: Path) -> Report:
    """Ada is through, Bob has tried the same thing three times, Cyd something else, Dan's repository is gone."""
    rows = [Row("ada", "Ada"), Row("bob", NASTY, section="A"), Row("cyd"), Row("dan")]
    with open_gradebook(fill(class_folder / "g.sqlite", rows, {"ada": [(1, 2, TERM)]})) as book:
        for number, days, tasks in ((2, 0, ("1.1",)), (3, 1, ("2.3", "3.1")), (4, 4, ("2.3",)), (5, 6, ("2.3",))):
            book.add_result("bob", failing(number, days, *tasks))
        book.add_result("cyd", failing(6, 7, "3.1"))
        book.visit(Visit("bob", TERM + 9 * DAY, None, sha(5)))
        book.visit(Visit("dan", TERM, problem=f"no such repository {NASTY}"))
        return report(book, load(ROOT))


def test_it_counts_and_finds_who_is_stuck(found: Report) -> None:
    """The longest at the same thing comes first, with how often it was tried; who is through is not stuck."""
    first = found.distributions[0]
    assert first.counts == {"unlocked": 1, "provisional": 0, "not_yet": 2, "error": 0, "not_begun": 1}
    assert first.mean == pytest.approx(33.3)
    assert found.at == TERM + 9 * DAY
    assert [(s.row.id, s.first_to_mend, s.tries, s.days) for s in found.stuck] == [
        ("bob", "Task 2.3: Fact 2.3", 3, 8),
        ("cyd", "Task 3.1: Fact 3.1", 1, 2),
    ]
    assert [(i.title, i.students, i.of) for i in found.items] == [
        ("Task 2.3: Fact 2.3", 1, 3),
        ("Task 3.1: Fact 3.1", 1, 3),
    ]
    assert [row.id for row, _ in found.troubles] == ["dan"]


def test_what_nobody_has_answered_is_not_missed(class_folder: Path) -> None:
    """The item analysis counts wrong answers, not open questions; who is stuck there is still named."""
    asked = "Question axes is answered correctly"
    with open_gradebook(fill(class_folder / "g.sqlite", [Row("ada"), Row("bob"), Row("cyd")], {})) as book:
        told = (("ada", asked, "no answer: Not answered yet."), ("bob", asked, "No."), ("cyd", OPEN, "no answer to 2"))
        for number, (student, title, got) in enumerate(told, 1):
            made = failing(number, 0, "1.1")
            quiz = criterion("failed", 0.5, failures=(failure(task=None, title=title, got=got),))
            book.add_result(student, made.model_copy(update={"criteria": (quiz,)}))
        found = report(book, load(ROOT))
    assert [(i.title, i.students, i.of) for i in found.questions] == [(asked, 1, 3)]
    assert found.items == ()
    assert [s.first_to_mend for s in found.stuck] == [asked, asked, OPEN]


class Tags(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep each tag."""
        self.tags.append((tag, dict(attrs)))


def test_the_page_runs_nothing_and_asks_for_nothing(found: Report) -> None:
    """A name is text, whatever it holds; there is no script, no link outside, no picture."""
    text = page(found)
    tags = Tags()
    tags.feed(text)
    assert not {"script", "img", "link", "iframe", "object", "form"} & {tag for tag, _ in tags.tags}
    assert not [attrs for _, attrs in tags.tags if {"src", "onclick"} & set(attrs)]
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert "49" not in text
    assert 'content="noindex"' in text
    assert text == page(found)


def test_the_terminal_shows_the_same(found: Report) -> None:
    """Without the escapes of a name."""
    out = io.StringIO()
    console = Console(file=out, width=140, markup=False, highlight=False)
    for part in terminal(found):
        console.print(part)
    shown = out.getvalue()
    assert "1 Basic Inference" in shown
    assert "Task 2.3: Fact 2.3" in shown
    assert "\x1b" not in shown


def test_a_class_before_its_first_collection_has_a_report(class_folder: Path) -> None:
    """It says so."""
    with open_gradebook(fill(class_folder / "g.sqlite", [Row("ada")], {})) as book:
        empty = report(book, load(ROOT))
    assert "not collected yet" in page(empty)
    assert "not collected yet" in str(next(terminal(empty)))
