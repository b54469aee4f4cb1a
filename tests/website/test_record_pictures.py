"""Pictures from a record on a page: where shapes are drawn, and how the picture is described."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

import pytest

from grading.manifest.model import Manifest
from grading.result import Picture, Writing
from tests.render.results import build_result
from tests.website.conftest import make_attempt, make_member
from website.page_renderer import SiteContext
from website.record_pictures import WIDTH, Drawing, draw_record_picture
from website.student_pages import render_student_pages
from website.student_story import build_student_story

CONFUSIONS = Picture(
    name="confusions", seed=1, shape=(3, 3), labels=("cat", "dog", "ship"), values=(80, 19, 1, 5, 95, 0, 0, 0, 100)
)
FILTERS = Picture(name="filters", seed=1, shape=(2, 3, 1, 2), values=(127, -127, 0, 0, -64, 1, 0, 0, 0, 0, 0, 0))
TIMES = Picture(
    name="step_microseconds", seed=1, shape=(2,), labels=("module 06", "module 13"), values=(40_000, 10_000)
)
RIVALS = Picture(
    name="rivals",
    seed=1,
    shape=(3, 4),
    labels=("this network", "Kneser-Ney 5 of tokens", "nearest neighbour with the prompt's words"),
    values=(620, 550, 830, 910, 0, 0, 0, 20, 10, 20, 840, 30),
)
BITS = Picture(
    name="rivals_on_text", seed=1, shape=(3,), labels=("this network", "unigram", "counts"), values=(2210, 4400, 2060)
)
ATTENTION = Picture(
    name="attention",
    seed=1,
    shape=(1, 2, 4),
    labels=("def", " f", "(", "\n", "</svg>"),
    values=(10, 60, 30, 0, 80, 5, 3, 95),
)
PICTURES = (CONFUSIONS, FILTERS, TIMES, RIVALS, BITS, ATTENTION)


def draw_and_parse(picture: Picture) -> tuple[Drawing, list[ET.Element]]:
    """Return the drawing, and its shapes as an XML parser finds them."""
    found = draw_record_picture(picture)
    assert found is not None
    return found, list(ET.fromstring(f"<svg>{found.shapes}</svg>"))  # noqa: S314 - our own


def test_confusions_say_how_many_were_right_and_what_was_not() -> None:
    """The description states the sum of the diagonal and the largest count off the diagonal."""
    said = draw_and_parse(CONFUSIONS)[0].said
    assert said.startswith(
        "Of 300 test images, 275 were classified correctly. Most often confused: cat as dog, 19 of 100 times."
    )


def test_a_cell_is_as_full_as_its_share() -> None:
    """Correct and wrong answers look different, and a larger share is darker."""
    _, shapes = draw_and_parse(CONFUSIONS)
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
    """Grey is 0, and red is a large number in the first channel alone."""
    _, shapes = draw_and_parse(FILTERS)
    assert [s.get("fill") for s in shapes] == ["#ff8040", "#018081", "#808080", "#808080"]


def test_bars_are_as_long_as_their_times() -> None:
    """Bars start at the same left edge, and the longest leaves room for its figure."""
    found, shapes = draw_and_parse(TIMES)
    slow, fast = (s for s in shapes if s.tag == "rect")
    assert float(slow.get("width", "0")) == pytest.approx(4 * float(fast.get("width", "0")), rel=1e-3)
    assert slow.get("x") == fast.get("x")
    assert found.said == (
        "CPU time of one training step: module 06 40.0 ms, module 13 10.0 ms. "
        "With module 13, a step is 4.0 times as fast as with module 06."
    )


def list_words(shapes: list[ET.Element]) -> list[str]:
    """List the texts in a picture, from top to bottom."""
    return [shape.text or "" for shape in sorted(shapes, key=lambda s: float(s.get("y", "0"))) if shape.tag == "text"]


def test_a_ladder_has_the_best_on_top_of_each_set() -> None:
    """The network is drawn at its share, and the description compares it with each set's best rival."""
    found, shapes = draw_and_parse(RIVALS)
    names = [text for text in list_words(shapes) if text in RIVALS.labels]
    assert names[:3] == ["this network", RIVALS.labels[2], RIVALS.labels[1]]
    assert names[6:9] == [RIVALS.labels[2], "this network", RIVALS.labels[1]]
    assert "Functions with new names: 83%, and the best rival 84%." in found.said
    bars = [shape for shape in shapes if shape.tag == "rect"]
    assert [bar.get("class") for bar in bars].count("time") == 4
    assert max(float(bar.get("width", "0")) for bar in bars) == pytest.approx(0.91 * (WIDTH - 290 - 56))


def test_fewer_bits_stand_higher() -> None:
    """The best predictor of text needs the fewest bits."""
    found, shapes = draw_and_parse(BITS)
    assert [text for text in list_words(shapes) if text in BITS.labels] == ["counts", "this network", "unigram"]
    assert found.said.endswith("this network 2.21, the best rival, counts, 2.06.")


def test_attention_shows_what_was_seen_and_nothing_later() -> None:
    """There is a cell for each token before the written one, shaded by its share if that is visible at all."""
    found, shapes = draw_and_parse(ATTENTION)
    cells = [shape for shape in shapes if shape.get("class") == "time"]
    assert [cell.get("fill-opacity") for cell in cells] == ["0.10", "0.60", "0.30", "0.80", "0.05", "0.95"]
    assert {"def", "·f", "(", "⏎", "</svg>"} <= {shape.text for shape in shapes}
    assert found.said.endswith("To write </svg>, for instance, one head in layer 1 gives 80% of its attention to def.")


@pytest.mark.parametrize("picture", PICTURES, ids=lambda p: p.name)
def test_everything_is_inside_of_the_picture(picture: Picture) -> None:
    """In addition, the picture is the same every time."""
    found, shapes = draw_and_parse(picture)
    for shape in shapes:
        x, y = float(shape.get("x", "-1")), float(shape.get("y", "-1"))
        assert 0 <= x <= x + float(shape.get("width", "0")) <= WIDTH
        assert 0 <= y <= y + float(shape.get("height", "0")) <= found.height
    assert draw_record_picture(picture) == found


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
        Picture(name="rivals", seed=1, shape=(11, 4), values=(1,) * 44),
        Picture(name="rivals", seed=1, shape=(1, 4), values=(1, 2, 3, 1001)),
        Picture(name="rivals", seed=1, shape=(1, 4), values=(1, 2, 3, -1)),
        Picture(name="rivals_on_text", seed=1, shape=(2,), values=(0, 0)),
        Picture(name="rivals_on_text", seed=1, shape=(2,), values=(-1, 5)),
        Picture(name="attention", seed=1, shape=(1, 1, 2), values=(1, 2)),
        Picture(name="attention", seed=1, shape=(1, 1, 2), labels=("a", "b", "c"), values=(-1, 2)),
    ],
    ids=str,
)
def test_what_cannot_be_seen_is_not_drawn(picture: Picture) -> None:
    """Too many classes or bars, tiny pixels, negative counts or no data give no picture and no error."""
    assert draw_record_picture(picture) is None


@pytest.mark.parametrize("shape", [(1, 1, 1), (64, 1, 1), (1, 1, 62), (1, 1, 64), (1, 31, 62)])
@pytest.mark.parametrize("value", [0, 1, 10**9])
def test_attention_of_any_size_and_value_is_drawn(shape: tuple[int, ...], value: int) -> None:
    """Any valid record is either drawn or too small to be seen, and never an error."""
    labels = tuple(f"t{number}" for number in range(shape[2] + 1))[:64]
    if len(labels) == shape[2] + 1:
        found = draw_record_picture(
            Picture(name="attention", seed=1, shape=shape, labels=labels, values=(value,) * math.prod(shape))
        )
        assert found is not None
    else:
        assert (
            draw_record_picture(Picture(name="attention", seed=1, shape=shape, values=(value,) * math.prod(shape)))
            is None
        )


def test_a_portfolio_shows_what_the_network_wrote(manifest: Manifest) -> None:
    """The prompt and the completion are cleaned and escaped, and marked as correct or not."""
    writings = (
        Writing(kind="function", prompt="def f(a):", written="\n    return a\x1b[31m<script>x\u202e", right=True),
        Writing(kind="function", prompt="def g(a):", written="", right=False),
        Writing(kind="story", prompt="Ben had a dog.", written=" At night &amp;", right=False),
        Writing(kind="text", prompt="What light", written=" is it"),
    )
    event = make_attempt(build_result(milestone=2, name="Computer Vision", writings=writings))
    page = render_student_pages(build_student_story(make_member(event), manifest), SiteContext(manifest))
    text = next(data for path, data in page.items() if path.endswith("portfolio.html")).decode()
    assert "<pre>def f(a):<ins>\n    return a&lt;script&gt;x</ins></pre>" in text
    assert "<pre>def g(a):<ins>(nothing)</ins></pre>" in text
    assert "<ins> At night &amp;amp;</ins>" in text
    assert re.findall(r'<span class="(met|missed)">([^<]*)</span>\.</figcaption>', text) == [
        ("met", "does what its docstring says"),
        ("missed", "computes something different"),
        ("missed", "not all of it is true"),
    ]
    assert text.count('<figure class="writing">') == 4


def test_a_portfolio_shows_the_pictures_of_what_is_unlocked(manifest: Manifest) -> None:
    """Each picture has a description that is also read by screen readers; hostile labels are text."""
    hostile = CONFUSIONS.model_copy(update={"labels": ("<script>x", "dog", "ship")})
    event = make_attempt(build_result(milestone=2, name="Computer Vision", pictures=(hostile, FILTERS, TIMES)))
    page = render_student_pages(build_student_story(make_member(event), manifest), SiteContext(manifest))
    text = next(data for path, data in page.items() if path.endswith("portfolio.html")).decode()
    assert text.count('<figure class="picture">') == 3
    assert re.search(r"<text [^>]*>&lt;script&gt;x</text>", text)
    assert "<script>x" not in text
    assert text.count("CPU time of one training step: module 06 40.0 ms, module 13 10.0 ms.") == 2
