"""The class's pages: the front page, the overview, lists of students, and the items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from desk.item_statistics import DISCRIMINATION
from desk.stuck import FORMULA, SELECTION
from grading.manifest.model import Manifest
from grading.render.text import one_line
from website.class_drawing import draw_progress, draw_unlocks, heat_cells
from website.overview import Overview, Row
from website.render import Files, Site, load_macros

PAGE = 40
"""How many students a page lists."""
FIRST = 12
"""How many names the overview lists; the lists have all of them."""


@dataclass(frozen=True)
class View:
    """A list of students in one order, over as many pages as needed."""

    slug: str
    title: str
    rows: tuple[Row, ...]

    def path(self, number: int = 1) -> str:
        """Return the path of one of its pages, which are numbered from 1."""
        return f"class/{self.slug}.html" if number == 1 else f"class/{self.slug}-{number}.html"

    @property
    def pages(self) -> list[tuple[Row, ...]]:
        """The students of each page."""
        return [self.rows[at : at + PAGE] for at in range(0, len(self.rows), PAGE)] or [()]


def class_pages(overview: Overview, site: Site) -> Files:
    """Render the front page and all files below class/."""
    manifest = site.manifest
    views = list(list_views(overview, manifest))
    shared: dict[str, Any] = {"overview": overview, "views": views, "formula": FORMULA, "selection": SELECTION}
    progress = draw_progress(overview, manifest)
    files = {"index.html": site.page("index.html.jinja", "index.html", overview=overview, progress=progress)}
    files["class/index.html"] = site.page(
        "class.html.jinja",
        "class/index.html",
        chart=draw_unlocks(overview.unlocks, manifest) if overview.unlocks else None,
        first=FIRST,
        **shared,
    )
    files["class/items.html"] = site.page(
        "items.html.jinja", "class/items.html", overview=overview, discrimination=DISCRIMINATION
    )
    parts = _render_rows(overview.rows, manifest)
    for view in views:
        labels = list(_label_pages(view))
        for number, rows in enumerate(view.pages, 1):
            files[view.path(number)] = site.page(
                "students.html.jinja",
                view.path(number),
                view=view,
                number=number,
                labels=labels,
                parts=[parts[row.summary.pseudonym] for row in rows],
                **shared,
            )
    return files


def list_views(overview: Overview, manifest: Manifest) -> Iterator[View]:
    """List everybody by score and by name, then each section, and each milestone that somebody works towards."""
    rows = overview.rows
    yield View("students", "Everybody by score", rows)
    yield View("names", "Everybody by name", tuple(sorted(rows, key=lambda row: row.summary.name.casefold())))
    sections = sorted({row.section for row in rows if row.section})
    for number, section in enumerate(sections, 1):
        yield View(
            f"section-{number}",
            f"Section {one_line(section, 40)}",
            tuple(row for row in rows if row.section == section),
        )
    if sections and (rest := tuple(row for row in rows if not row.section)):
        yield View("section-none", "No section", rest)
    for milestone in manifest.milestones:
        if towards := tuple(row for row in rows if row.summary.towards == milestone.id):
            yield View(f"towards-{milestone.id}", f"Towards {milestone.name}", towards)
    if finished := tuple(row for row in rows if row.finished):
        yield View("finished", "Every milestone unlocked", finished)


def _label_pages(view: View) -> Iterator[str]:
    """Write the text of the link to each page: its number, or its first name where students are in order of names."""
    for number, rows in enumerate(view.pages, 1):
        yield (
            rows[0].summary.name.rpartition(" ")[0] or rows[0].summary.name
            if view.slug == "names" and rows
            else str(number)
        )


@dataclass(frozen=True)
class Parts:
    """What the pages show of one student, rendered once although several lists have it."""

    picture: Markup
    """A row of the heat map."""
    heat: Markup
    """The row of the heat map as a row of a table."""
    line: Markup
    """A row of the table of students."""


def _render_rows(rows: Sequence[Row], manifest: Manifest) -> dict[str, Parts]:
    """Render each student's rows, by pseudonym."""
    macros = load_macros("student_row.jinja")
    made = {}
    for row in rows:
        cells = heat_cells(row.summary, manifest)
        made[row.summary.pseudonym] = Parts(macros.picture(row, cells), macros.heat(row, cells), macros.line(row))
    return made
