"""The desk's pages in a real browser: readable for everybody, even on a phone, and sorted and filtered by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from desk.class_report import build_class_report
from desk.evidence_pages import write_evidence_pages
from desk.gradebook import Visit, open_gradebook
from desk.report_page import render_report_page as format_report
from desk.roster import RosterRow
from desk.similar import find_similar_pairs
from desk.similar_page import render_similarity_page as format_similar
from grading.manifest.loader import load_manifest
from tests.browsers import IN_A_BROWSER, Open, assert_accessible, browser, open_pages  # noqa: F401 - a fixture
from tests.desk.books import MAIN, fill_gradebook, format_commit
from tests.desk.school import ROOT, TERM
from tests.desk.test_class_report import DAY, make_failing_result
from tests.desk.test_similar import DISGUISED, OTHER, OWN, pack_submissions

pytestmark = IN_A_BROWSER
PAGES = {"report": "report.html", "evidence": "evidence/s00.html", "similar": "similar.html"}


@pytest.fixture(scope="module")
def pages_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a class of twelve in two sections, with one stuck student, one unvisited repository and a copied file."""
    place = tmp_path_factory.mktemp("pages")
    rows = [RosterRow(f"s{n:02}", f"Student {n}", repository=f"octo/tiny-{n}", section="AB"[n % 2]) for n in range(12)]
    work = {row.id: [(n + 1, n % 3, TERM)] for n, row in enumerate(rows[:9])}
    with open_gradebook(fill_gradebook(place / "gradebook.sqlite", rows, work)) as book:
        for days in range(4):
            book.save_result("s10", make_failing_result(50 + days, days, "2.3"))
        for n, row in enumerate(rows[1:], 2):
            book.save_visit(Visit(row.id, TERM + 9 * DAY, MAIN, format_commit(n)))
        found = build_class_report(book, load_manifest(ROOT))
        write_evidence_pages(book, found, place / "evidence", "report.html")
    (place / "report.html").write_text(format_report(found, "evidence"), "utf-8")
    files = {"ada": {"a.py": OWN}, "bob": {"b.py": DISGUISED}, "cyd": {"a.py": OTHER}}
    names = {name: f"{name.capitalize()} (A)" for name in files}
    (place / "similar.html").write_text(
        format_similar(find_similar_pairs(files, []), pack_submissions(files), names), "utf-8"
    )
    return place


@pytest.fixture
def open_page(browser: Browser, pages_folder: Path) -> Iterator[Open]:  # noqa: F811 - the fixture
    """Return `open_page(kind, width, …)`, which opens this kind of page in the browser.

    At the end, check that the console is empty and that nothing else was requested.
    """
    with open_pages(browser, f"file://{pages_folder}/") as opened:
        yield lambda kind, width=1280, **options: opened(width, path=PAGES[kind], finished=False, **options)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("kind", PAGES)
def test_axe_finds_nothing_and_it_fits(open_page: Open, kind: str, width: int, scheme: str) -> None:
    """The page is checked with everything expanded, in light and dark mode; only tables scroll sideways."""
    page = open_page(kind, width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def list_student_names(page: Page) -> list[str]:
    """List the names in the visible rows of the table of students."""
    return page.locator("#students-table tbody tr:visible th").all_inner_texts()


def test_students_are_sorted_and_filtered(open_page: Open) -> None:
    """Students are sorted by points, and filtered by section or open problems; the page says how many are shown."""
    page = open_page("report")
    everybody = list_student_names(page)
    head = page.locator("#students-table th", has_text="Points")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    points = [float(text) for text in page.locator("#students-table tbody td:last-child").all_inner_texts()]
    assert points == sorted(points, reverse=True)
    page.get_by_role("combobox").select_option("B")
    assert len(list_student_names(page)) == 6
    expect(page.locator("output")).to_have_text(f"6 of {len(everybody)} shown")
    page.get_by_role("combobox").select_option("all")
    page.get_by_role("checkbox", name="stuck").check()
    assert list_student_names(page) == ["Student 10"]
    page.get_by_role("checkbox", name="stuck").uncheck()
    page.get_by_role("checkbox", name="may be out of date").check()
    assert list_student_names(page) == ["Student 0"]


def test_points_lead_to_the_evidence_and_back(open_page: Open) -> None:
    """The link leads to the milestone on the student's page, even without scripts."""
    page = open_page("report", java_script_enabled=False)
    assert page.locator("#students-table tbody tr").count() == 12
    expect(page.locator("#filter")).to_be_hidden()
    page.locator("#students-table tbody tr").first.get_by_role("link").first.click()
    expect(page.locator("h1")).to_have_text("Student 0")
    assert page.url.endswith("#m1")
    page.get_by_role("link", name="Class report").click()
    expect(page.locator("h1")).to_contain_text("Class report")


def test_a_pair_is_folded_until_it_is_opened(open_page: Open) -> None:
    """The totals are visible immediately, and the code once the pair is opened."""
    page = open_page("similar", 390)
    summary = page.locator("summary")
    expect(summary).to_contain_text("Ada (A) and Bob (A)")
    expect(summary).to_contain_text("100% in common")
    expect(page.locator("figure").first).to_be_hidden()
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("figure").first).to_be_visible()
