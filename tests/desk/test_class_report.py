"""The class report shows who is stuck and what fails, and nothing in it is live."""

from __future__ import annotations

import base64
import hashlib
import io
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from desk.class_report import ClassReport, build_class_report
from desk.evidence_pages import write_evidence_pages
from desk.gradebook import CommitSubmission, Visit, open_gradebook
from desk.pushes import Push
from desk.report_page import render_report_for_terminal, render_report_page
from desk.roster import RosterRow
from grading.checks.quiz_answers import OPEN_TITLE
from grading.manifest.loader import load_manifest
from tests.desk.books import MAIN, fill_gradebook, format_commit, make_graded_result
from tests.desk.school import ROOT, TERM
from tests.render.results import build_criterion, build_failure, build_loss_criterion

DAY = timedelta(days=1)
NASTY = "<script>alert(1)</script>\x1b[2J{{ 7 * 7 }}"


def make_failing_result(number: int, days: int, *tasks: str):
    """Make a result in which the tests of these tasks fail."""
    failures = tuple(build_failure(task=task, title=f"Fact {task}") for task in tasks)
    broken = build_criterion("failed", 0.5, failures=failures)
    made = make_graded_result(number, met=0, at=TERM + days * DAY)
    return made.model_copy(update={"criteria": (broken, build_loss_criterion("failed", 0.2))})


@pytest.fixture
def class_report(class_folder: Path) -> ClassReport:
    """Build a report: Ada is done, Bob failed the same task three times, Cyd another, and Dan's repository is gone."""
    rows = [RosterRow("ada", "Ada"), RosterRow("bob", NASTY, section="A"), RosterRow("cyd"), RosterRow("dan")]
    with open_gradebook(fill_gradebook(class_folder / "g.sqlite", rows, {"ada": [(1, 2, TERM)]})) as book:
        for number, days, tasks in ((2, 0, ("1.1",)), (3, 1, ("2.3", "3.1")), (4, 4, ("2.3",)), (5, 6, ("2.3",))):
            book.save_result("bob", make_failing_result(number, days, *tasks))
        book.save_result("cyd", make_failing_result(6, 7, "3.1"))
        book.save_visit(Visit("bob", TERM + 9 * DAY, None, format_commit(5)))
        book.save_visit(Visit("dan", TERM, problem=f"no such repository {NASTY}"))
        return build_class_report(book, load_manifest(ROOT))


def test_it_counts_and_finds_who_is_stuck(class_report: ClassReport) -> None:
    """In a class this small at most one student is listed, with the number of attempts.

    A student who is done is not stuck.
    """
    first = class_report.distributions[0]
    assert first.counts == {"unlocked": 1, "provisional": 0, "not_yet": 2, "error": 0, "not_begun": 1}
    assert first.mean == pytest.approx(33.3)
    assert class_report.at == TERM + 9 * DAY
    assert [(s.row.id, s.first_failure, s.tries, s.days) for s in class_report.stuck] == [
        ("bob", "Task 2.3: Fact 2.3", 3, 8),
    ]
    assert (class_report.stuck[0].score, class_report.trying) == (4, 2)
    assert [line.is_stuck for line in class_report.lines] == [False, True, False, False]
    assert [(i.title, i.students, i.of) for i in class_report.items] == [
        ("Task 2.3: Fact 2.3", 1, 3),
        ("Task 3.1: Fact 3.1", 1, 3),
    ]
    assert [row.id for row, _ in class_report.troubles] == ["dan"]


def test_what_nobody_has_answered_is_not_missed(class_folder: Path) -> None:
    """The item analysis counts wrong answers, not open questions. A student who is stuck there is still listed."""
    asked = "Question axes is answered correctly"
    with open_gradebook(
        fill_gradebook(class_folder / "g.sqlite", [RosterRow("ada"), RosterRow("bob"), RosterRow("cyd")], {})
    ) as book:
        told = (
            ("ada", asked, "no answer: Not answered yet."),
            ("bob", asked, "No."),
            ("cyd", OPEN_TITLE, "no answer to 2"),
        )
        for number, (student, title, got) in enumerate(told, 1):
            made = make_failing_result(number, 0, "1.1")
            quiz = build_criterion("failed", 0.5, failures=(build_failure(task=None, title=title, got=got),))
            book.save_result(student, made.model_copy(update={"criteria": (quiz,)}))
        found = build_class_report(book, load_manifest(ROOT))
    assert [(i.title, i.students, i.of) for i in found.questions] == [(asked, 1, 3)]
    assert found.items == ()
    assert found.trying == 3


class Tags(HTMLParser):
    """A parser that collects a page's tags."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep each tag."""
        self.tags.append((tag, dict(attrs)))


def test_the_page_runs_nothing_of_others_and_asks_for_nothing(class_report: ClassReport) -> None:
    """A name is text, whatever it contains; the policy allows our own script and nothing else."""
    text = render_report_page(class_report)
    tags = Tags()
    tags.feed(text)
    names = [tag for tag, _ in tags.tags]
    assert not {"img", "link", "iframe", "object"} & set(names)
    assert names.count("script") == 1
    script = text.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text
    assert not [attrs for _, attrs in tags.tags if {"src", "onclick"} & set(attrs)]
    assert "&lt;script&gt;alert(1)" in text
    assert "\x1b" not in text
    assert "{{ 7 * 7 }}" in text
    assert 'content="noindex"' in text
    assert text == render_report_page(class_report)


def test_the_terminal_shows_the_same(class_report: ClassReport) -> None:
    """The terminal shows the same values, without the escape sequences in a name."""
    out = io.StringIO()
    console = Console(file=out, width=140, markup=False, highlight=False)
    for part in render_report_for_terminal(class_report):
        console.print(part)
    shown = out.getvalue()
    assert "1 Basic Inference" in shown
    assert "Task 2.3: Fact 2.3" in shown
    assert "\x1b" not in shown


def test_a_class_before_its_first_collection_has_a_report(class_folder: Path) -> None:
    """The report states that the class is not collected yet."""
    with open_gradebook(fill_gradebook(class_folder / "g.sqlite", [RosterRow("ada")], {})) as book:
        empty = build_class_report(book, load_manifest(ROOT))
    assert "not collected yet" in render_report_page(empty)
    assert "not collected yet" in str(next(render_report_for_terminal(empty)))


def test_sections_and_points_are_summed_up(class_folder: Path) -> None:
    """Each section has its unlocks and means, those without one come last; a histogram counts everybody with points."""
    rows = [
        RosterRow("ada", section="B"),
        RosterRow("bob", section="A"),
        RosterRow("cyd", section="A"),
        RosterRow("dan"),
    ]
    work = {"ada": [(1, 2, TERM)], "bob": [(2, 1, TERM)], "cyd": [(3, 2, TERM)]}
    with open_gradebook(fill_gradebook(class_folder / "g.sqlite", rows, work)) as book:
        found = build_class_report(book, load_manifest(ROOT))
    told = [(s.name, s.students, s.having[0], s.means[0], s.total) for s in found.sections]
    assert told == [("A", 2, 1, 75.0, 75.0), ("B", 1, 1, 100.0, 100.0), ("", 1, 0, None, 0.0)]
    assert found.distributions[0].histogram == (0, 0, 0, 0, 0, 1, 0, 0, 0, 2)
    text = render_report_page(found)
    assert "<option>A</option><option>B</option>" in text
    assert "50 to 60: 1, 60 to 70: 0" in text


def test_a_grade_that_may_be_out_of_date_says_why(class_folder: Path) -> None:
    """The causes are an ungraded push, a changed course and an unvisited repository; other grades are not marked."""
    names = ("ada", "bob", "cyd", "dan", "eve")
    rows = [RosterRow(name) for name in names]
    work = {name: [(number, 2, TERM)] for number, name in enumerate(names, 1)}
    with open_gradebook(fill_gradebook(class_folder / "g.sqlite", rows, work)) as book:
        digest = book.list_gradings("ada")[0].course_digest
        book.save_pushes("bob", [Push(MAIN, format_commit(12), TERM + 5 * DAY, "github")])
        book.save_pushes("cyd", [Push(MAIN, format_commit(13), TERM + 5 * DAY, "github")])
        book.save_submissions(
            [CommitSubmission("cyd", format_commit(13), digest, 1, f"{3:064x}")]
        )  # the same files as before
        book.save_pushes("dan", [Push("refs/heads/try", format_commit(14), TERM + 5 * DAY, "github")])
        for number, name in enumerate(names[:4], 1):
            book.save_visit(Visit(name, TERM + 6 * DAY, MAIN, format_commit(number)))
        found = build_class_report(book, load_manifest(ROOT))
    stale = {line.row.id: line.stale[0] for line in found.lines}
    assert stale["bob"] == (f"the push of {TERM + 5 * DAY:%Y-%m-%d %H:%M} UTC has not been graded yet",)
    assert stale["eve"] == (f"the repository was last visited on {TERM:%Y-%m-%d}",)
    assert (stale["ada"], stale["cyd"], stale["dan"]) == ((), (), ())
    assert found.stale_grade_count == 2
    assert render_report_page(found).count("stale</b>") == 2


def test_a_grade_leads_to_its_commit_and_its_evidence(class_folder: Path) -> None:
    """The student's page shows every criterion and the grade's origin, and links to no path on this machine."""
    rows = [
        RosterRow("ada", NASTY, repository="octo/tiny-ada", section="A"),
        RosterRow("bob", repository="./bob.git"),
        RosterRow("cyd"),
    ]
    with open_gradebook(
        fill_gradebook(class_folder / "g.sqlite", rows, {"ada": [(1, 1, TERM)], "bob": [(2, 2, TERM)]})
    ) as book:
        found = build_class_report(book, load_manifest(ROOT))
        assert write_evidence_pages(book, found, class_folder / "evidence", "report.html") == 2
    text, address = (
        render_report_page(found, evidence="evidence"),
        f"https://github.com/octo/tiny-ada/commit/{format_commit(1)}",
    )
    assert f'href="{address}"' in text
    assert 'href="evidence/ada.html#m1"' in text
    assert "bob.git" not in text
    assert sorted(path.name for path in (class_folder / "evidence").iterdir()) == ["ada.html", "bob.html"]
    evidence = (class_folder / "evidence" / "ada.html").read_text("utf-8")
    for part in (address, 'href="../report.html"', "Judged by", f"{1:064x}"[:16], "not yet", "50.0 points"):
        assert part in evidence
    assert "<script>" not in evidence


def test_items_are_told_apart_by_who_passes_them(class_folder: Path) -> None:
    """Of twelve students, the six weak ones fail 2.3, and a mixed half fails 3.1: only 2.3 tells strong from weak."""
    rows = [RosterRow(f"s{n:02}") for n in range(12)]
    with open_gradebook(fill_gradebook(class_folder / "g.sqlite", rows, {})) as book:
        for n, row in enumerate(rows):
            weak = ("2.3", "4.1", "4.2") if n < 6 else ()
            book.save_result(row.id, make_failing_result(n + 1, 0, "1.1", *weak, *(("3.1",) if n % 2 else ())))
        book.save_result("s00", make_failing_result(40, 1, "1.1"))
        found = build_class_report(book, load_manifest(ROOT))
    items = {item.title: item for item in found.items}
    figures = items["Task 2.3: Fact 2.3"].statistics
    assert (figures.met, figures.passed_first, figures.unpassed, figures.tries) == (12, 6, 5, 1.0)
    assert figures.discrimination is not None
    assert figures.discrimination > 0.8
    assert abs(items["Task 3.1: Fact 3.1"].statistics.discrimination or 0) < 0.3
    assert items["Task 1.1: Fact 1.1"].statistics.discrimination is None, "everybody fails it"
    assert {item.kind for item in found.criteria} == {"criterion"}
