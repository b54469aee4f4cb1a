"""Pictures of a record on a page: where things are drawn, and what is said instead."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from grading.manifest.model import Manifest
from grading.result import Picture
from tests.render.results import result
from tests.website.conftest import attempt, member
from website.drawing import WIDTH, Drawing, draw
from website.render import Site
from website.story import tell
from website.student_pages import student_pages

CONFUSIONS = Picture(
    name="confusions", seed=1, shape=(3, 3), labels=("cat", "dog", "ship"), values=(80, 19, 1, 5, 95, 0, 0, 0, 100)
)
FILTERS = Picture(name="filters", seed=1, shape=(2, 3, 1, 2), values=(127, -127, 0, 0, -64, 1, 0, 0, 0, 0, 0, 0))
TIMES = Picture(
    name="step_microseconds", seed=1, shape=(2,), labels=("module 06", "module 13"), values=(40_000, 10_000)
)


def drawn(picture: Picture) -> tuple[Drawing, list[ET.Element]]:
    """The drawing, and its shapes as a reader of XML finds them."""
    found = draw(picture)
    assert found is not None
    return found, list(ET.fromstring(f"<svg>{found.shapes}</svg>"))  # noqa: S314 - our own


def test_confusions_say_how_many_were_right_and_what_was_not() -> None:
    """The sum of the diagonal, and the largest count beside it."""
    said = drawn(CONFUSIONS)[0].said
    assert said.startswith(
        "Of 300 test images 275 were named correctly. Most often confused: cat as dog, 19 of 100 times."
    )


def test_a_cell_is_as_full_as_its_share() -> None:
    """Right and wrong answers look different, and a larger share is darker."""
    _, shapes = drawn(CONFUSIONS)
    cells = [(s.get("class"), float(s.get("fill-opacity", "1"))) for s in shapes if s.tag == "rect"]
    assert [kind for kind, _ in cells] == [
        "right",
        "wrong",
        "wrong",
        "wrong",
        "right",
        "wrong",
        "wrong",
        "wrong",
        "right",
    ]
    assert cells[0][1] < cells[4][1] < cells[8][1]
    assert cells[1][1] > cells[3][1] > cells[5][1] == 0


def test_filters_have_the_colours_of_their_channels() -> None:
    """Grey is 0, red is a large number in the first channel alone."""
    _, shapes = drawn(FILTERS)
    assert [s.get("fill") for s in shapes] == ["#ff8040", "#018081", "#808080", "#808080"]


def test_bars_are_as_long_as_their_times() -> None:
    """From the same left edge; the longest leaves room for its figure."""
    found, shapes = drawn(TIMES)
    slow, fast = (s for s in shapes if s.tag == "rect")
    assert float(slow.get("width", "0")) == pytest.approx(4 * float(fast.get("width", "0")), rel=1e-3)
    assert slow.get("x") == fast.get("x")
    assert found.said == "Processor time of one training step: module 06 40.0 ms, module 13 10.0 ms."


@pytest.mark.parametrize("picture", [CONFUSIONS, FILTERS, TIMES], ids=lambda p: p.name)
def test_everything_is_inside_of_the_picture(picture: Picture) -> None:
    """And drawn the same every time."""
    found, shapes = drawn(picture)
    for shape in shapes:
        x, y = float(shape.get("x", "-1")), float(shape.get("y", "-1"))
        assert 0 <= x <= x + float(shape.get("width", "0")) <= WIDTH
        assert 0 <= y <= y + float(shape.get("height", "0")) <= found.height
    assert draw(picture) == found


@pytest.mark.parametrize(
    "picture",
    [
        Picture(name="confusions", seed=1, shape=(20, 20), values=(1,) * 400),
        Picture(name="confusions", seed=1, shape=(2, 2), values=(0, 0, 0, 0)),
        Picture(name="confusions", seed=1, shape=(2, 2), values=(5, -1, 0, 0)),
        Picture(name="filters", seed=1, shape=(1, 2, 1, 1), values=(1, 2)),
        Picture(name="filters", seed=1, shape=(16, 1, 1, 64), values=(1,) * 1024),
        Picture(name="step_microseconds", seed=1, shape=(1,), values=(0,)),
        Picture(name="step_microseconds", seed=1, shape=(7,), values=(1,) * 7),
    ],
    ids=str,
)
def test_what_cannot_be_seen_is_not_drawn(picture: Picture) -> None:
    """Too many classes or bars, too small pixels, negative counts, nothing at all: no picture and no error."""
    assert draw(picture) is None


def test_a_portfolio_shows_the_pictures_of_what_is_unlocked(manifest: Manifest) -> None:
    """Each with its sentence, for eyes and for screen readers; hostile labels are text."""
    hostile = CONFUSIONS.model_copy(update={"labels": ("<script>x", "dog", "ship")})
    event = attempt(result(milestone=2, name="Computer Vision", pictures=(hostile, FILTERS, TIMES)))
    page = student_pages(tell(member(event), manifest), Site(manifest))
    text = next(data for path, data in page.items() if path.endswith("portfolio.html")).decode()
    assert text.count('<figure class="picture">') == 3
    assert re.search(r"<text [^>]*>&lt;script&gt;x</text>", text)
    assert "<script>x" not in text
    assert text.count("Processor time of one training step: module 06 40.0 ms, module 13 10.0 ms.") == 2
