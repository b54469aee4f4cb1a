"""The class's pages: who is where, who may be stuck, which task and question is missed most."""

from __future__ import annotations

import math

from website.overview import QUIET_DAYS, SAME_TASK, Overview
from website.render import Files, Site

ROWS = 1000
"""Students of one page; more make a browser slow."""


def class_pages(overview: Overview, site: Site) -> Files:
    """All files below class/."""
    pages = max(1, math.ceil(len(overview.rows) / ROWS))
    files = {}
    for number in range(1, pages + 1):
        path = "class/index.html" if number == 1 else f"class/{number}.html"
        files[path] = site.page(
            "class.html.jinja",
            path,
            overview=overview,
            rows=overview.rows[ROWS * (number - 1) : ROWS * number],
            number=number,
            pages=pages,
            finished=sum(row.finished for row in overview.rows),
            quiet_days=QUIET_DAYS,
            same_task=SAME_TASK,
        )
    files["class/items.html"] = site.page("items.html.jinja", "class/items.html", overview=overview)
    return files
