"""The README's pictures, created with the real program: a milestone unlocking, and a class page."""

from __future__ import annotations

import io
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from course.cohorts import write_simulated_cohort
from grading.errors import GraderError
from grading.grade import grade_milestone
from grading.manifest.loader import load_manifest
from grading.render.terminal_report import TerminalReport
from grading.result import Verdict
from tito.celebrate import build_medal_card
from website.build import build_site
from website.class_sources import FolderSource

TARGET = Path("docs", "images")
COLUMNS, ROWS = 96, 27
LINE = 24.4
"""The line height in Rich's SVG."""
SECONDS = 9
STUDENTS = 24
PAGE: Any = {"width": 1200, "height": 830}
QUALITY = 80
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

FORMAT = """\
<svg viewBox="0 0 {width} HEIGHT" xmlns="http://www.w3.org/2000/svg" role="img">
<title>tito milestone test 1 reports each criterion as met, and milestone 1 is unlocked</title>
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px ui-monospace, Menlo, Consolas, monospace }}
.roll {{ transform: translateY(-ROLLpx) }}
@media (prefers-reduced-motion: no-preference) {{ .roll {{ animation: roll SECONDSs steps(STEPS) both }} }}
@keyframes roll {{ from, 20% {{ transform: none }} 85%, to {{ transform: translateY(-ROLLpx) }} }}
{styles}
</style>
<defs><clipPath id="window"><rect width="{width}" height="WINDOW"/></clipPath>{lines}</defs>
<rect width="{width}" height="HEIGHT" rx="10" fill="#1b1f24"/>
<g transform="translate(12, 12)" clip-path="url(#window)"><g class="roll">
{backgrounds}<g class="{unique_id}-matrix">{matrix}</g>
</g></g>
</svg>
"""


def write_readme_images(root: Path) -> list[Path]:
    """Grade milestone 1, build a simulated class's site, save a picture of each, and return the pictures' paths.

    Raise GraderError if milestone 1 is not unlocked or no browser is installed.
    """
    (root / TARGET).mkdir(parents=True, exist_ok=True)
    return [draw_unlocked_milestone(root), capture_front_page(root)]


def draw_unlocked_milestone(root: Path) -> Path:
    """Grade milestone 1; write its report and medal as an SVG, or raise GraderError if it is not unlocked."""
    result = grade_milestone(root, 1, seed=1, again=True)
    if result.verdict is not Verdict.UNLOCKED:
        raise GraderError(f"milestone 1 is {result.verdict.value}. See: nox -s milestone-1 -- --seed 1")
    typed = Text("$ tito milestone test 1", style="bold")
    shown = Group(typed, TerminalReport(result), build_medal_card(load_manifest(root).milestone(1), provisional=False))
    path = root / TARGET / "milestone-1.svg"
    path.write_text(render_rolling_terminal(shown), encoding="utf-8")
    return path


def render_rolling_terminal(shown: RenderableType) -> str:
    """Render lines as an SVG that scrolls once through a terminal window, unless the reader prefers reduced motion."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(shown)
    lines = len(console.export_text(clear=False).splitlines())
    svg = console.export_svg(title="", code_format=FORMAT, unique_id="t")
    window, left = min(lines, ROWS) * LINE, max(0, lines - ROWS)
    values = {"HEIGHT": f"{window + 24:.0f}", "WINDOW": f"{window:.1f}", "ROLL": f"{left * LINE:.1f}"}
    for name, value in (values | {"SECONDS": str(SECONDS), "STEPS": str(max(1, left))}).items():
        svg = svg.replace(name, value)
    return re.sub(r"\s*\n\s*", "\n", svg)


def capture_front_page(root: Path) -> Path:
    """Save a screenshot of the top of a simulated class's front page; raise GraderError if no browser is installed."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser_path is None:
        raise GraderError("the site's pages need a browser. Install one: apt-get install chromium")
    path = root / TARGET / "site.webp"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_simulated_cohort(folder / "records", load_manifest(root), STUDENTS)
        build_site(FolderSource(folder / "records", None), folder / "site", root=root)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
            page = browser.new_page(viewport=PAGE)
            page.goto((folder / "site" / "index.html").as_uri())
            Image.open(io.BytesIO(page.screenshot())).save(path, quality=QUALITY, method=6)
    return path
