"""The class's pages for a large class: lists of a sensible length, and pictures with descriptions."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from grading.manifest.model import Manifest
from tests.render.results import build_result
from tests.website.conftest import make_attempt, make_member, make_started_event
from tests.website.test_class_overview import make_failing_result, make_passing_result, summarize_member
from website.class_drawing import build_heat_map_row, draw_module_completion_bars, draw_unlocks_over_time
from website.class_overview import ClassOverview, build_class_overview
from website.class_pages import PAGE, build_student_lists, render_class_pages
from website.page_renderer import SiteContext
from website.student_summary import StudentSummary


@pytest.fixture(scope="module")
def large_overview(manifest: Manifest) -> ClassOverview:
    """Build a hundred students in three sections, of whom every second fails a task repeatedly."""
    kinds = [
        summarize_member(
            manifest,
            make_member(
                make_started_event("01_setup"), make_attempt(make_passing_result(), 9), make_attempt(build_result(), 20)
            ),
        ),
        summarize_member(manifest, make_member(*(make_attempt(make_failing_result(), day) for day in range(6)))),
    ]
    students = [replace(kinds[n % 2], pseudonym=f"quiet-otter-{n}", name=f"Quiet Otter {n:03}") for n in range(100)]
    return build_class_overview(students, manifest, {s.pseudonym: "ABC"[n % 3] for n, s in enumerate(students[:90])})


def test_no_page_is_longer_than_its_list_allows(large_overview: ClassOverview, manifest: Manifest) -> None:
    """Everybody appears once in each order, on pages of limited length that link to each other."""
    files = render_class_pages(large_overview, SiteContext(manifest))
    for slug in ("students", "names"):
        pages = [data.decode() for path, data in files.items() if re.fullmatch(rf"class/{slug}(-\d+)?\.html", path)]
        assert [page.count('<g transform="translate') for page in pages] == [PAGE, PAGE, 100 - 2 * PAGE]
        assert len(set(re.findall(r"student/(quiet-otter-\d+)/", "".join(pages)))) == 100
        assert all(f'href="../class/{slug}-3.html"' in page for page in pages)
    assert max(map(len, files.values())) < 250_000
    overview = files["class/index.html"].decode()
    assert "10 students may be stuck" in overview
    assert overview.count("points: task") == 10


def test_every_section_and_milestone_has_a_list(large_overview: ClassOverview, manifest: Manifest) -> None:
    """Students without either have a list as well; together the lists are the class."""
    views = {view.slug: view for view in build_student_lists(large_overview, manifest)}
    sections = [len(views[slug].rows) for slug in ("section-1", "section-2", "section-3", "section-none")]
    assert sections == [30, 30, 30, 10]
    assert sum(len(view.rows) for slug, view in views.items() if slug.startswith(("towards", "finished"))) == 100


def test_the_heat_map_tells_tries_from_open_modules(manifest: Manifest) -> None:
    """Shades show the number of attempts; a begun module is outlined, with the attempts so far."""
    made = summarize_member(
        manifest,
        make_member(
            make_attempt(make_failing_result(), 1),
            make_attempt(make_passing_result(), 2),
            make_started_event("05_dense", 3),
        ),
    )
    cells = {cell.module: cell for cell in build_heat_map_row(made, manifest)}
    assert [(cells[m].shade, cells[m].words) for m in ("02_tensor", "05_dense", "06_spatial")] == [
        (2, "2 tries"),
        (-1, "open"),
        (0, "–"),
    ]


def test_a_milestone_that_nobody_has_looks_different(large_overview: ClassOverview, manifest: Manifest) -> None:
    """The front page shows it dotted in the picture and on its card, and states it in words."""
    marks = draw_module_completion_bars(large_overview, manifest).marks
    assert [mark.reached for mark in marks] == [True, False, False, False, False]
    front = render_class_pages(large_overview, SiteContext(manifest))["index.html"].decode()
    assert front.count('<li class="locked">') == 4
    assert front.count("Nobody has unlocked it yet") == 4
    assert "50 of 100 have unlocked it" in front
    assert "Of 100 students" in front


def test_unlocks_are_drawn_inside_their_axes(large_overview: ClassOverview, manifest: Manifest) -> None:
    """There is one line for each milestone that somebody has, and labels do not overlap."""
    assert large_overview.unlocks is not None
    chart = draw_unlocks_over_time(large_overview.unlocks, manifest)
    assert [line.milestone for line in chart.lines] == [1]
    assert chart.lines[0].end[1] < chart.bottom
    assert [count for _, count in chart.up] == [0, 10, 20, 30, 40, 50]
    close = replace(
        large_overview.unlocks, counts=((0,) * 3 + (50,), (0,) * 3 + (50,), (0,) * 3 + (49,), (0,) * 4, (0,) * 4)
    )
    labels = sorted(line.label for line in draw_unlocks_over_time(close, manifest).lines)
    assert all(after - before >= 15 for before, after in itertools.pairwise(labels))


def test_an_empty_class_has_pages(manifest: Manifest) -> None:
    """The pages state that there are no records, and the front page draws nothing."""
    nobody: list[StudentSummary] = []
    files = render_class_pages(build_class_overview(nobody, manifest), SiteContext(manifest))
    assert b"Nobody is in the class yet" in files["class/students.html"]
    assert b"How far the class has got" not in files["index.html"]
