"""The parts that pages are made of: curves, pictures, lessons."""

from __future__ import annotations

import io
import math
import re

import pytest
from PIL import Image

from grading.errors import UsageError
from grading.manifest.model import BuildStatus, Manifest
from grading.result import Curve
from website.build import ROOT
from website.course_documents import render_trusted_document, split_document_sections
from website.course_pages import DOCUMENTS, TROUBLESHOOTING, render_course_pages
from website.page_renderer import SiteContext
from website.preview_card import CardLine, can_fonts_draw, draw_preview_card
from website.training_curves import BOTTOM, HEIGHT, LEFT, POINTS, RIGHT, TOP, WIDTH, build_curve_plot

LINES = [
    CardLine(1, "Basic Inference", True),
    CardLine(2, "Computer Vision", True, True),
    CardLine(3, "Full Training", False),
]


def make_curve(*values: float | None) -> Curve:
    """Make a loss curve with these values at steps 0, 1, 2 and so on."""
    return Curve(name="loss", seed=1, steps=tuple(float(i) for i in range(len(values))), values=values)


def test_a_curve_is_drawn_inside_its_axes() -> None:
    """The curve runs from the left edge to the right, and its text states the first and last values."""
    drawn = build_curve_plot([make_curve(0.7, 0.3, 0.05)])
    assert drawn is not None
    points = [tuple(map(float, p.split())) for p in drawn.lines[0].removeprefix("M").split("L")]
    assert points[0][0] == LEFT
    assert points[-1][0] == WIDTH - RIGHT
    assert all(TOP <= y <= HEIGHT - BOTTOM for _, y in points)
    assert points[0][1] < points[1][1] < points[2][1], "a falling loss goes down on the screen"
    assert drawn.said == "Loss during training, from 0.7 to 0.05."


def test_what_is_not_finite_is_a_gap() -> None:
    """NaN, infinities and absurd values are left out; if only one point remains, nothing is drawn."""
    drawn = build_curve_plot([make_curve(1.0, None, math.nan, math.inf, 1e300, 0.5)])
    assert drawn is not None
    assert drawn.lines[0].count("L") == 1
    assert build_curve_plot([make_curve(1.0, None, math.inf)]) is None
    assert build_curve_plot([]) is None


@pytest.mark.parametrize("values", [(0.0, 0.0), (5.0, 5.0), (-2.0, 3.0), (1e-9, 2e-9), (1e11, 9e11)])
def test_any_range_has_few_round_ticks(values: tuple[float, ...]) -> None:
    """There are two to seven ticks, whatever the scale."""
    drawn = build_curve_plot([make_curve(*values)])
    assert drawn is not None
    assert 2 <= len(drawn.up) <= 7


def test_long_curves_are_thinned() -> None:
    """A million steps do not make a larger page than a hundred."""
    drawn = build_curve_plot([make_curve(*(1 / (1 + i) for i in range(5000)))])
    assert drawn is not None
    assert drawn.lines[0].count("L") == POINTS - 1


def test_a_card_is_a_picture_of_the_asked_size() -> None:
    """The picture is 1200×630, small, and has the same bytes for the same text."""
    data = draw_preview_card("TinyTorch", "Quiet Otter 40391", LINES)
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.size) == ("PNG", (1200, 630))
    assert len(data) < 50_000
    assert draw_preview_card("TinyTorch", "Quiet Otter 40391", LINES) == data
    assert draw_preview_card("TinyTorch", "Quiet Otter 40392", LINES) != data


def test_names_outside_of_latin_script_are_left_out_rather_than_drawn_as_boxes() -> None:
    """The site's fonts only contain Latin script."""
    assert can_fonts_draw("Zoë Łubieńska-Öztürk")
    assert not can_fonts_draw("李雷")
    assert draw_preview_card("TinyTorch", "李雷", LINES) == draw_preview_card("TinyTorch", "", LINES)


def test_a_long_name_is_drawn_smaller_and_stays_inside() -> None:
    """Nothing is drawn in the right margin."""
    picture = Image.open(io.BytesIO(draw_preview_card("TinyTorch", "Maximiliane-Theodora " * 4, LINES))).convert("L")
    margin = picture.crop((1125, 0, 1200, 630)).getextrema()
    assert margin[0] == margin[1]


def test_every_lesson_is_rendered(manifest: Manifest) -> None:
    """Maths is MathML, code is highlighted, headings can be linked to, and no Markdown is left over."""
    for module in manifest.modules:
        if module.status is BuildStatus.BUILT:
            text = (ROOT / module.lesson).read_text("utf-8")
            page = render_trusted_document(text, lambda address: address)
            assert text.count("$$") // 2 == page.body.count("<math"), module.id
            assert "merror" not in page.body
            assert "```" not in page.body
            assert text.count("\n## ") == len(page.contents)
            assert 'class="gp"' in page.body


def test_maths_is_mathml() -> None:
    """Fractions and sums are rendered, and their source does not appear."""
    body = render_trusted_document("# T\n\n$$\\sum_i \\frac{a_i}{b}$$\n").body
    assert "<mfrac>" in body
    assert "∑" in body or "&#x02211;" in body
    assert "\\frac" not in body


def test_a_link_to_nowhere_is_told(manifest: Manifest, tmp_path) -> None:
    """The error names the file and the link."""
    for module in manifest.modules:
        if module.status is BuildStatus.BUILT:
            path = tmp_path / module.lesson
            path.parent.mkdir(parents=True)
            path.write_text("# L\n\n[there](../02_tensor/README.md#the-idea) [gone](../no/README.md)\n", "utf-8")
    (tmp_path / "docs").mkdir()
    for name in DOCUMENTS:
        (tmp_path / name).write_text("# T\n", "utf-8")
    with pytest.raises(UsageError, match=r"modules/01_setup/README\.md: the link to \.\./no/README\.md"):
        render_course_pages(tmp_path, SiteContext(manifest))


def test_links_between_lessons_lead_to_pages(manifest: Manifest) -> None:
    """Such links do not lead to Markdown files."""
    pages = render_course_pages(ROOT, SiteContext(manifest))
    assert b'href="02_tensor.html"' in pages["course/03_activations.html"]
    assert not any(b'.md"' in data or b".md#" in data for data in pages.values())


def test_a_milestone_that_nobody_unlocked_looks_different(manifest: Manifest) -> None:
    """Its disc is dotted, and a few words state this for those who cannot see it."""
    page = render_course_pages(ROOT, SiteContext(manifest), unlocked=[1, 3])["course/index.html"].decode()
    locked = re.findall(r'<li class="milestone locked">.*?Milestone (\d).*?not unlocked by anybody yet', page)
    assert locked == ["2", "4", "5"]
    assert page.count("not unlocked by anybody yet") == 3


def test_pictures_of_lessons_are_on_the_site(manifest: Manifest) -> None:
    """Each picture is next to its lesson's page, which describes it in words."""
    pages = render_course_pages(ROOT, SiteContext(manifest))
    shown = {
        f"course/{source}": words
        for name, page in pages.items()
        if name.endswith(".html")
        for source, words in re.findall(r'<img src="([^"]+)" alt="([^"]+)"', page.decode())
    }
    assert shown.keys() == {name for name in pages if name.endswith(".svg")}
    assert all(len(words) > 20 for words in shown.values())
    picture = "modules/02_tensor/figures/strides.svg"
    assert pages["course/02_tensor/strides.svg"] == (ROOT / picture).read_bytes()


def test_every_topic_of_the_manifest_is_on_its_milestones_page(manifest: Manifest) -> None:
    """Each topic comes with its text, which can be opened."""
    topics = split_document_sections((ROOT / TROUBLESHOOTING).read_text("utf-8"))
    pages = render_course_pages(ROOT, SiteContext(manifest))
    for milestone in manifest.milestones:
        page = pages[f"course/milestone-{milestone.id}.html"].decode()
        for topic in milestone.troubleshooting:
            assert f'<details id="{topic}"><summary>{topics[topic].title}' in page
