"""The templates, their filters, and the files that all pages share. All text except our own is escaped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from grading.manifest.model import Manifest
from grading.render import figure_text, medal, words
from grading.scoring import describe_scoring_scheme
from website.counts_and_durations import format_count
from website.course_documents import render_inline_markdown
from website.image_sheets import CELL
from website.record_pictures import draw_record_picture
from website.training_curves import SPARK_HEIGHT, SPARK_WIDTH, build_curve_plot, build_sparkline

SITE = Path(__file__).resolve().parents[1]
STATIC = SITE / "static"
COURSE = ("Course", "course/index.html")
NAVIGATION = (COURSE, ("Class", "class/index.html"))
LEADERBOARD = ("Leaderboard", "class/leaderboard.html")

SiteFiles = dict[str, bytes]
"""Files on the site: path below the root → content."""


@dataclass(frozen=True)
class SiteContext:
    """The values that all pages of a site share."""

    manifest: Manifest
    base_url: str | None = None
    """The address that the site will be served at, with a slash at its end; only previews and feeds need it."""
    has_leaderboard: bool = False

    def render_page(self, template: str, path: str, /, **values: Any) -> bytes:
        """Render the page at `path`, with links that are relative to it.

        A value `navigation` replaces the usual navigation.
        """
        shared = {
            "course": self.manifest.course,
            "manifest": self.manifest,
            "static": map_static_files_to_paths(),
            "navigation": (*NAVIGATION, LEADERBOARD) if self.has_leaderboard else NAVIGATION,
            "root": "../" * path.count("/"),
            "here": path,
            "base_url": self.base_url,
        }
        return _build_environment().get_template(template).render(shared | values).encode()


def load_macros(template: str) -> Any:
    """Load the macros of a template, for parts that many pages share."""
    return _build_environment().get_template(template).module


@cache
def _build_environment() -> Environment:
    """Build the environment of the site's templates, with their filters."""
    environment = Environment(
        loader=FileSystemLoader(SITE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.globals |= {
        "draw_medal": lambda *what, **how: Markup(medal.draw_medal(*what, **how)),  # noqa: S704 - numbers and colours
        "MEDAL": (medal.WIDTH, medal.HEIGHT),
        "SPARK": (SPARK_WIDTH, SPARK_HEIGHT),
        "CELL": CELL,
    }
    environment.filters |= {
        "date": format_english_date,
        "iso": lambda at: at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "plural": format_count,
        "plot": build_curve_plot,
        "spark": build_sparkline,
        "medal_name": medal.strip_medal_symbol,
        "draw": draw_record_picture,
        "inline": render_inline_markdown,
        "describe_writing": words.describe_writing,
        "threshold": figure_text.format_threshold,
        "scheme": describe_scoring_scheme,
        "first_up": lambda text: text[:1].upper() + text[1:],
    }
    return environment


def format_english_date(at: datetime) -> str:
    """Format a day in UTC and in English, whatever the locale.

    >>> format_english_date(datetime(2026, 3, 1, tzinfo=UTC))
    '1\\xa0March 2026'
    """
    months = "January February March April May June July August September October November December".split()
    day = at.astimezone(UTC)
    return f"{day.day}\N{NO-BREAK SPACE}{months[day.month - 1]} {day.year}"


@cache
def map_static_files_to_paths() -> Mapping[str, str]:
    """Map style sheets, scripts and fonts to paths that contain a digest, so that caches never serve old ones."""
    return {source: path for source, (path, _) in _load_hashed_static_files().items()}


def load_static_files(course: str) -> SiteFiles:
    """Load the files that all pages share: style, scripts, fonts, icon, and a web manifest that names the course."""
    manifest = {
        "name": course,
        "short_name": course[:12],
        "start_url": "./index.html",
        "display": "minimal-ui",
        "background_color": "#fbf9f5",
        "theme_color": "#fbf9f5",
        "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any"}],
    }
    files = dict(_load_hashed_static_files().values())
    files["icon.svg"] = (STATIC / "icon.svg").read_bytes()
    files["static/FONTS-LICENSE.txt"] = (STATIC / "FONTS-LICENSE.txt").read_bytes()
    files["site.webmanifest"] = (json.dumps(manifest, indent=1) + "\n").encode()
    return files


@cache
def _load_hashed_static_files() -> dict[str, tuple[str, bytes]]:
    """Map each file's name to its published path, which contains a digest, and its content; fonts come first."""
    made: dict[str, tuple[str, bytes]] = {}
    for path in [*sorted(STATIC.glob("*.woff2")), STATIC / "site.css", STATIC / "site.js", STATIC / "class.js"]:
        data = path.read_bytes()
        if path.suffix == ".css":
            for font, (target, _) in made.items():
                data = data.replace(f"url({font})".encode(), f"url({target.removeprefix('static/')})".encode())
        digest = hashlib.sha256(data).hexdigest()[:10]
        made[path.name] = f"static/{path.stem}.{digest}{path.suffix}", data
    return made
