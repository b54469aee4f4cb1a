"""Every kind of page in a real browser: readable for everybody, at every width, without errors in the console."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsers import IN_A_BROWSER, Open, assert_accessible, open_pages
from tests.website.conftest import ClassOnDisk, read_files

pytestmark = IN_A_BROWSER

KINDS = ["home", "course", "lesson", "milestone", "troubleshooting", "class", "students", "items", "timeline"]
KINDS += ["portfolio", "empty"]
"""Every kind of page; `empty` is a timeline without a record."""


@pytest.fixture(scope="module")
def page_paths(built_class: ClassOnDisk) -> dict[str, str]:
    """Return a page of each kind: the lesson with formulas and tables, the student with every kind of record."""
    ada, nobody = (built_class.pseudonym(id_) for id_ in ("zz-ada-canary", "zz-nobody-canary"))
    return {
        "home": "index.html",
        "course": "course/index.html",
        "lesson": "course/01_setup.html",
        "milestone": "course/milestone-2.html",
        "troubleshooting": "course/troubleshooting.html",
        "class": "class/index.html",
        "students": "class/students.html",
        "items": "class/items.html",
        "timeline": f"student/{ada}/index.html",
        "portfolio": f"student/{ada}/portfolio.html",
        "empty": f"student/{nobody}/index.html",
    }


@pytest.fixture
def open_page(browser: Browser, site_address: str, page_paths: dict[str, str]) -> Iterator[Open]:
    """Return `open_page(kind, width, …)`, which opens a page of this kind.

    At the end, check that the console is empty and no other host got a request.
    """
    with open_pages(browser, site_address) as opened:
        yield lambda kind, width=1280, **options: opened(width, path=page_paths[kind], finished=False, **options)


def test_the_students_are_worth_looking_at(built_class: ClassOnDisk, page_paths: dict[str, str]) -> None:
    """The pages tested here show unlocked milestones, failed attempts and curves."""
    page = (built_class.site / page_paths["timeline"]).read_text("utf-8")
    for part in (
        'class="step unlocked"',
        'class="try attempt"',
        'class="try tested"',
        'class="curve"',
        'class="spark"',
    ):
        assert part in page
    assert 'class="picture"' in (built_class.site / page_paths["portfolio"]).read_text("utf-8")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (320, "dark")])
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_nothing(open_page: Open, kind: str, width: int, scheme: str) -> None:
    """The check covers light and dark mode, with everything opened that can be opened."""
    page = open_page(kind, width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    assert_accessible(page)


@pytest.mark.parametrize("kind", KINDS)
def test_it_fits_every_width(open_page: Open, kind: str) -> None:
    """From a small phone to a large screen, only regions meant to scroll scroll sideways."""
    page = open_page(kind)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    for width in (320, 375, 600, 768, 1024, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


def test_no_link_is_broken(open_page: Open, built_class: ClassOnDisk) -> None:
    """The check covers files, anchors, pictures, styles and scripts on every page of the site."""
    files = read_files(built_class.site)
    page = open_page("home")
    anchors: dict[str, set[str]] = {}
    wanted: list[tuple[str, str]] = []
    read = """text => {
      const page = new DOMParser().parseFromString(text, "text/html");
      const all = (name) => [...page.querySelectorAll(`[${name}]`)].map((one) => one.getAttribute(name));
      return { ids: all("id"), links: [...all("href"), ...all("src")] };
    }"""
    for path, data in files.items():
        if path.endswith(".html"):
            found = page.evaluate(read, data.decode())
            assert len(found["ids"]) == len(set(found["ids"])), f"{path} has an id twice"
            anchors[path] = set(found["ids"])
            wanted += [(path, link) for link in found["links"]]
    assert len(wanted) > 600
    for path, link in wanted:
        target, _, anchor = urljoin(f"http://site/{path}", link).partition("#")
        if not target.startswith("http://site/"):
            assert target.startswith(("http://", "https://")), link
            continue
        target = target.removeprefix("http://site/")
        assert target in files, f"{path}: {link}"
        assert not anchor or anchor in anchors[target], f"{path}: {link}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_stop_skips_to_the_content(open_page: Open, kind: str) -> None:
    """The Tab key goes through a page in reading order, each stop is visible, and none is a trap."""
    page = open_page(kind)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    stops = []
    for _ in range(12):
        page.keyboard.press("Tab")
        stop = page.evaluate("""() => {
          const one = document.activeElement, box = one.getBoundingClientRect();
          const style = getComputedStyle(one);
          const order = [...document.querySelectorAll("*")].indexOf(one);
          return { name: one.tagName, order, ring: style.outlineStyle + style.outlineWidth, seen: box.width > 0 };
        }""")
        if stop["name"] == "BODY":
            break
        assert stop["ring"] == "solid3px"
        assert stop["seen"]
        stops.append(stop["order"])
    assert len(stops) >= 3
    assert stops == sorted(stops)
    page.reload()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_one_heading_and_a_title(open_page: Open, kind: str) -> None:
    """In addition, no heading level is skipped."""
    page = open_page(kind)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((one) => +one.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.title().endswith("· TinyTorch")


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_read_without_scripts(open_page: Open, kind: str) -> None:
    """The text is the same; only features that need a script are missing."""
    with_scripts = open_page(kind).locator("main h1, main h2, main h3, main p, main li, main tr").count()
    page = open_page(kind, java_script_enabled=False)
    assert page.locator("main h1, main h2, main h3, main p, main li, main tr").count() == with_scripts
    expect(page.locator("h1")).to_be_visible()


def test_forced_colours_leave_marks_that_can_be_seen(open_page: Open) -> None:
    """Curves, bars and discs keep a system colour that differs from the background."""
    page = open_page("portfolio", forced_colors="active")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for mark, what in ((".curve path", "stroke"), (".margin .met", "fill"), (".curve text", "fill")):
        assert page.locator(mark).first.evaluate(f"one => getComputedStyle(one).{what}") != ground
    page = open_page("timeline", forced_colors="active")
    for mark in (".way .medal circle", ".day.level-4", ".spark path"):
        assert page.locator(mark).first.evaluate("one => getComputedStyle(one).stroke") != ground


def test_print_leaves_out_what_paper_cannot_do(open_page: Open) -> None:
    """Print has no navigation, dark background or cut tables; the portfolio fits the page, with curves and medals."""
    page = open_page("portfolio", color_scheme="dark")
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 680, "height": 900})
    expect(page.locator(".top nav")).to_be_hidden()
    expect(page.locator(".curve").first).to_be_visible()
    expect(page.locator(".headline .medal").first).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.pdf(format="A4").startswith(b"%PDF")


def list_names(page: Page) -> list[str]:
    """List the names in the visible rows of the table of students."""
    return page.locator("#students-table tbody tr:visible th a").all_inner_texts()


def test_the_class_can_be_sorted(open_page: Open) -> None:
    """Each column sorts up and down by keyboard, and its header shows the order."""
    page = open_page("students")
    first = list_names(page)
    head = page.locator("#students-table th", has_text="Student")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert list_names(page) == sorted(first)
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.keyboard.press("Enter")
    assert list_names(page) == sorted(first, reverse=True)
    expect(head).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="Milestones").click()
    counts = [int(text) for text in page.locator("#students-table tbody td:nth-child(5)").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)
    assert head.get_attribute("aria-sort") is None


def test_the_heat_map_is_read_and_typed_through(open_page: Open) -> None:
    """Each row is a link that says how far the student has got, and the table below repeats every module."""
    page = open_page("students")
    ada = page.get_by_role("link", name="Ada Łubieńska: ")
    expect(ada).to_have_accessible_name(re.compile(r"Ada Łubieńska: \d+ of 16 modules completed"))
    ada.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Ada Łubieńska")
    page.go_back()
    page.get_by_text("The same data as a table").click()
    rows = page.locator(".heat-table tbody tr")
    assert rows.count() == page.locator("svg.heat a").count() == 4
    assert all(len(text.split("\t")) == 17 for text in rows.all_inner_texts())


def test_the_lists_lead_to_everybody(open_page: Open) -> None:
    """Lists by name and by next milestone contain everybody; the current list is marked."""
    page = open_page("class")
    lists = page.get_by_role("navigation", name="Lists of students")
    lists.get_by_role("link", name="Everybody by name").click()
    assert list_names(page) == sorted(list_names(page), key=str.casefold)
    expect(page.locator("[aria-current=page]")).to_have_text("Everybody by name")
    towards = lists.get_by_role("link", name="Towards").first
    expected = towards.locator("xpath=..").locator(".small").inner_text()
    towards.click()
    assert len(list_names(page)) == int(expected)


def test_items_are_sorted_by_number_and_not_by_letter(open_page: Open) -> None:
    """Task 10.1 comes after 9.1, and 2 (9%) is less than 11 (8%)."""
    page = open_page("items")
    page.locator("#tasks-table").get_by_role("button", name="Task").click()
    ids = [[int(n) for n in text.split(".")] for text in page.locator("#tasks-table tbody th a").all_inner_texts()]
    assert ids == sorted(ids)
    page.locator("#tasks-table").get_by_role("button", name="Failed at least once").click()
    told = page.locator("#tasks-table tbody td:nth-child(2)").all_inner_texts()
    counts = [int(text.split(" ")[0]) for text in told]
    assert counts == sorted(counts, reverse=True)


def test_a_link_into_a_closed_topic_opens_it(open_page: Open, site_address: str) -> None:
    """So a link to advice shows the advice."""
    page = open_page("milestone")
    topic = page.locator(".prose details").first
    expect(topic).not_to_have_attribute("open", "")
    page.goto(f"{page.url}#{topic.get_attribute('id')}")
    expect(topic).to_have_attribute("open", "")
    assert page.url.startswith(site_address)


def test_a_portfolio_has_a_preview(open_page: Open, page_paths: dict[str, str]) -> None:
    """The preview has a title, words, and a picture of the right size at an absolute address."""
    page = open_page("portfolio")
    said = {one.get_attribute("property"): one.get_attribute("content") for one in page.locator("meta[property]").all()}
    folder = page_paths["portfolio"].rpartition("/")[0]
    assert said["og:image"] == f"https://class.example/course/{folder}/card.png"
    assert said["og:url"] == f"https://class.example/course/{page_paths['portfolio']}"
    assert said["og:title"].startswith("Ada Łubieńska")
    shown = page.evaluate(
        "async (path) => { const one = new Image(); one.src = path; await one.decode();"
        " return [one.naturalWidth, one.naturalHeight]; }",
        "card.png",
    )
    assert shown == [int(said["og:image:width"]), int(said["og:image:height"])]


def test_the_site_can_be_put_on_a_home_screen(open_page: Open, built_class: ClassOnDisk) -> None:
    """The web app manifest refers only to files that exist."""
    page = open_page("home")
    assert page.locator("link[rel=manifest]").get_attribute("href") == "site.webmanifest"
    manifest = json.loads((built_class.site / "site.webmanifest").read_text("utf-8"))
    assert (built_class.site / manifest["start_url"]).is_file()
    assert all((built_class.site / icon["src"]).is_file() for icon in manifest["icons"])
