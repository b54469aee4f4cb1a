"""The class's pages: the front page, the overview, lists of students, and the items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from desk.item_statistics import DISCRIMINATION
from desk.stuck import FORMULA, SELECTION
from grading.manifest.model import Manifest
from grading.render.text import to_one_line
from website.class_drawing import build_heat_map_row, draw_module_completion_bars, draw_unlocks_over_time
from website.class_overview import ClassOverview, OverviewRow
from website.page_renderer import SiteContext, SiteFiles, load_macros

PAGE = 40
"""The number of students listed on one page."""
FIRST = 12
"""The number of names that the overview shows; the lists have all of them."""


@dataclass(frozen=True)
class StudentList:
    """A list of students in one order, spread over as many pages as needed."""

    slug: str
    title: str
    rows: tuple[OverviewRow, ...]

    def get_page_path(self, number: int = 1) -> str:
        """Return the path of one of the list's pages, which are numbered from 1."""
        return f"class/{self.slug}.html" if number == 1 else f"class/{self.slug}-{number}.html"

    @property
    def pages(self) -> list[tuple[OverviewRow, ...]]:
        """The students on each page; an empty list has one empty page."""
        return [self.rows[at : at + PAGE] for at in range(0, len(self.rows), PAGE)] or [()]


def render_class_pages(overview: ClassOverview, site: SiteContext) -> SiteFiles:
    """Render the front page and all pages below class/ except the leaderboard."""
    manifest = site.manifest
    views = list(build_student_lists(overview, manifest))
    shared: dict[str, Any] = {"overview": overview, "views": views, "formula": FORMULA, "selection": SELECTION}
    progress = draw_module_completion_bars(overview, manifest)
    files = {"index.html": site.render_page("index.html.jinja", "index.html", overview=overview, progress=progress)}
    files["class/index.html"] = site.render_page(
        "class.html.jinja",
        "class/index.html",
        chart=draw_unlocks_over_time(overview.unlocks, manifest) if overview.unlocks else None,
        first=FIRST,
        **shared,
    )
    files["class/items.html"] = site.render_page(
        "items.html.jinja", "class/items.html", overview=overview, discrimination=DISCRIMINATION
    )
    parts = _render_student_rows(overview.rows, manifest)
    for view in views:
        labels = list(_list_page_link_texts(view))
        for number, rows in enumerate(view.pages, 1):
            files[view.get_page_path(number)] = site.render_page(
                "students.html.jinja",
                view.get_page_path(number),
                view=view,
                number=number,
                labels=labels,
                parts=[parts[row.summary.pseudonym] for row in rows],
                **shared,
            )
    return files


def build_student_lists(overview: ClassOverview, manifest: Manifest) -> Iterator[StudentList]:
    """Yield lists of all students by score and by name, and of those in each section, with each goal, and finished."""
    rows = overview.rows
    yield StudentList("students", "Everybody by score", rows)
    yield StudentList("names", "Everybody by name", tuple(sorted(rows, key=lambda row: row.summary.name.casefold())))
    sections = sorted({row.section for row in rows if row.section})
    for number, section in enumerate(sections, 1):
        yield StudentList(
            f"section-{number}",
            f"Section {to_one_line(section, 40)}",
            tuple(row for row in rows if row.section == section),
        )
    if sections and (rest := tuple(row for row in rows if not row.section)):
        yield StudentList("section-none", "No section", rest)
    for milestone in manifest.milestones:
        if towards := tuple(row for row in rows if row.summary.towards == milestone.id):
            yield StudentList(f"towards-{milestone.id}", f"Towards {milestone.name}", towards)
    if finished := tuple(row for row in rows if row.finished):
        yield StudentList("finished", "Every milestone unlocked", finished)


def _list_page_link_texts(view: StudentList) -> Iterator[str]:
    """Yield each page's link text: its number or, if by name, its first student's name without the last word."""
    for number, rows in enumerate(view.pages, 1):
        yield (
            rows[0].summary.name.rpartition(" ")[0] or rows[0].summary.name
            if view.slug == "names" and rows
            else str(number)
        )


@dataclass(frozen=True)
class StudentParts:
    """What the pages show about one student, rendered once for use in several lists."""

    picture: Markup
    """The student's row in the heat map."""
    heat: Markup
    """The same row as a table row."""
    line: Markup
    """The student's row in the table of students."""


def _render_student_rows(rows: Sequence[OverviewRow], manifest: Manifest) -> dict[str, StudentParts]:
    """Map each student's pseudonym to their rendered rows."""
    macros = load_macros("student_row.jinja")
    made = {}
    for row in rows:
        cells = build_heat_map_row(row.summary, manifest)
        made[row.summary.pseudonym] = StudentParts(
            macros.picture(row, cells), macros.heat(row, cells), macros.line(row)
        )
    return made
