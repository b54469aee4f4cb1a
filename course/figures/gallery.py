"""Which pictures a lesson has, and whether the files beside it are still what the code draws."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from course.figures.canvas import Figure, write_svg
from course.framework import put_framework_on_path
from grading.errors import UsageError

FOLDER = "figures"
"""In a module's folder."""
SHOWN = re.compile(rf"^!\[([^\]]*)\]\({FOLDER}/([^)]*)\)\\\n\*(.*?[.!?…])\*$", re.DOTALL | re.MULTILINE)
"""A picture in a lesson: what is said in its place, its file, and, after a line break, its caption in italics."""
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]*)\)")
LARGEST = 60 * 1024
"""Bytes of a picture's file."""
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def list_images(lesson: str) -> list[str]:
    """The files of all images in a lesson's Markdown, as they are named there."""
    return IMAGE.findall(lesson)


def list_drawings(module: str) -> dict[str, Callable[[], Figure]]:
    """The functions that draw a module's pictures, by file name; none for a module that has no file here."""
    name = f"course.figures.{module.partition('_')[2]}"
    if importlib.util.find_spec(name) is None:
        return {}
    put_framework_on_path()
    return {f"{key}.svg": draw for key, draw in importlib.import_module(name).FIGURES.items()}


def draw_module(module: str) -> dict[str, str]:
    """A module's pictures, drawn now: file name → SVG."""
    return {name: write_svg(draw()) for name, draw in list_drawings(module).items()}


def write_figures(root: Path, modules: Iterable[str]) -> list[Path]:
    """Draw the modules' pictures, write those that differ, and return their paths."""
    written = []
    for module in modules:
        folder = root / "modules" / module / FOLDER
        for name, svg in draw_module(module).items():
            if not is_current(folder / name, svg):
                folder.mkdir(exist_ok=True)
                (folder / name).write_text(svg, encoding="utf-8")
                written.append(folder / name)
    return written


def is_current(path: Path, svg: str) -> bool:
    """Whether a file has this picture: the same text, whose numbers differ by no more than their last place.

    Another processor adds up in another order, and a coordinate that lies between two tenths may go either way.
    """
    if not path.is_file():
        return False
    old = path.read_text(encoding="utf-8")
    if old == svg:
        return True
    if NUMBER.sub("#", old) != NUMBER.sub("#", svg):
        return False
    return all(_are_close(*pair) for pair in zip(NUMBER.findall(old), NUMBER.findall(svg), strict=True))


def _are_close(one: str, other: str) -> bool:
    places = max(len(text.partition(".")[2]) for text in (one, other)) or 1
    return abs(float(one) - float(other)) <= 1.01 * 10**-places


def measure(name: str) -> None:
    """Make one of the measurements that pictures are drawn from. UsageError for a name that none has."""
    put_framework_on_path()
    known: dict[str, Callable[[], None]] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        module = importlib.import_module(f"course.figures.{path.stem}")
        known |= getattr(module, "MEASUREMENTS", {})
    if name not in known:
        raise UsageError(f"There is no measurement {name}. There are: {', '.join(sorted(known))}.")
    known[name]()
