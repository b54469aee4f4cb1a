"""List a lesson's pictures, draw them, and determine whether the files still match what the code draws."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from course.figures.canvas import Figure, render_svg
from course.framework import put_framework_on_path
from grading.errors import UsageError

FIGURES_FOLDER = "figures"
"""The pictures' folder in a module's folder."""
SHOWN_PICTURE = re.compile(rf"^!\[([^\]]*)\]\({FIGURES_FOLDER}/([^)]*)\)\\\n\*(.*?[.!?…])\*$", re.DOTALL | re.MULTILINE)
"""A picture in a lesson: its alt text, its file, and, after a line break, its caption in italics."""
IMAGE_LINK = re.compile(r"!\[[^\]]*\]\(([^)]*)\)")
MAX_PICTURE_BYTES = 60 * 1024
"""The largest size of a picture's file, in bytes."""
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def list_lesson_images(lesson_markdown: str) -> list[str]:
    """List the files of all images in a lesson's Markdown, as they are written there."""
    return IMAGE_LINK.findall(lesson_markdown)


def list_drawings(module_id: str) -> dict[str, Callable[[], Figure]]:
    """Map the name of each picture of a module to the function that draws it; empty if the module has no file here."""
    name = f"course.figures.{module_id.partition('_')[2]}"
    if importlib.util.find_spec(name) is None:
        return {}
    put_framework_on_path()
    return {f"{key}.svg": draw for key, draw in importlib.import_module(name).FIGURES.items()}


def draw_module(module_id: str) -> dict[str, str]:
    """Draw a module's pictures now, and return file name → SVG."""
    return {name: render_svg(draw()) for name, draw in list_drawings(module_id).items()}


def write_changed_figures(root: Path, module_ids: Iterable[str]) -> list[Path]:
    """Draw the modules' pictures, write those that differ, and return their paths."""
    written = []
    for module in module_ids:
        folder = root / "modules" / module / FIGURES_FOLDER
        for name, svg in draw_module(module).items():
            if not is_picture_current(folder / name, svg):
                folder.mkdir(exist_ok=True)
                (folder / name).write_text(svg, encoding="utf-8")
                written.append(folder / name)
    return written


def is_picture_current(path: Path, svg: str) -> bool:
    """Return whether a file contains this picture, apart from differences in the last digit of its numbers.

    Another processor adds in a different order, and a coordinate halfway between two tenths may be rounded either
    way.
    """
    if not path.is_file():
        return False
    old = path.read_text(encoding="utf-8")
    if old == svg:
        return True
    if NUMBER.sub("#", old) != NUMBER.sub("#", svg):
        return False
    return all(_are_numerals_close(*pair) for pair in zip(NUMBER.findall(old), NUMBER.findall(svg), strict=True))


def _are_numerals_close(first_numeral: str, second_numeral: str) -> bool:
    """Return whether two numbers differ by at most one in their last decimal place, or by 0.1 if they have none."""
    places = max(len(text.partition(".")[2]) for text in (first_numeral, second_numeral)) or 1
    return abs(float(first_numeral) - float(second_numeral)) <= 1.01 * 10**-places


def run_picture_measurement(name: str) -> None:
    """Run and record one of the measurements that pictures are drawn from. Raise UsageError for an unknown name."""
    put_framework_on_path()
    known: dict[str, Callable[[], None]] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        module = importlib.import_module(f"course.figures.{path.stem}")
        known |= getattr(module, "MEASUREMENTS", {})
    if name not in known:
        raise UsageError(f"There is no measurement {name}. There are: {', '.join(sorted(known))}.")
    known[name]()
