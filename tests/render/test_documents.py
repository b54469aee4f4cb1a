"""Markdown, JSON, JUnit, badge, schema and their documentation."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from markdown_it import MarkdownIt
from pydantic import BaseModel, ValidationError

from grading import result as records
from grading import result_schema
from grading.manifest.model import Unit
from grading.render.badge import render_badge
from grading.render.junit import render_junit
from grading.render.markdown import (
    MAX_REPORT_CHARACTERS,
    escape_markdown,
    format_code_block,
    format_code_span,
    render_markdown,
)
from grading.render.record import decode_result, encode_result
from grading.result import (
    WRITTEN,
    CourseRecord,
    DataRecord,
    NamedImage,
    Note,
    Picture,
    Result,
    SubmissionRecord,
    Verdict,
)
from tests.render.results import build_criterion, build_failure, build_loss_criterion, build_not_yet, build_result
from tests.render.test_terminal_report import build_hostile_result

ROOT = Path(__file__).resolve().parents[2]
LIVE = "<img src=x onerror=alert(1)> @everyone [a](javascript:b) ![i](https://e.org/i.png) | `x` #1 www.e.org *b* $x$"


def test_markdown_tells_what_the_terminal_tells() -> None:
    """Verdict, criteria, figures and what to fix first are in the Markdown."""
    text = render_markdown(
        build_not_yet(criteria=(*build_not_yet().criteria, build_loss_criterion("passed", 0.01, how="5 seeds")))
    )
    for part in (
        "- 5 seeds",
        "**Not yet.**",
        "| 90% | ≥ 100% |",
        "In `modules/02_tensor/tinytorch/tensor.py:41`",
        "[[11, 22], [13, 24]]",
    ):
        assert part in text


def test_nothing_in_a_paragraph_is_live() -> None:
    """HTML, mentions, links, images, table bars, code and references of a title are plain text."""
    text = escape_markdown(LIVE)
    assert "<" not in text
    assert not re.search(r"(?<!\\)[\[\]|`*$]", text)
    assert not re.search(r"[@#]\w|www\.\w|://", text)


@pytest.mark.parametrize("text", [LIVE, "`", "``` x ```", "a`b", "", "|"])
def test_code_spans_hold_any_text(text: str) -> None:
    """The span's ticks are longer than any inside, and bars are escaped."""
    span = format_code_span(text).replace("\\|", "|")
    ticks = re.match("`*", span)[0]
    assert span.endswith(ticks)
    assert text.strip() in span
    assert ticks not in span[len(ticks) : len(span) - len(ticks)] or not text


@pytest.mark.parametrize("text", ["```\n@everyone\n```", "~~~", "`" * 50])
def test_fences_hold_any_text(text: str) -> None:
    """No line inside a fence can close it."""
    lines = format_code_block(text).splitlines()
    ticks = re.match("`+", lines[0])[0]
    assert lines[-1] == ticks
    assert not any(line.strip().startswith(ticks) for line in lines[1:-1])


def test_markdown_is_bounded_and_free_of_hostile_text() -> None:
    """Thousands of hostile failures make a comment that GitHub accepts and nothing in it is live."""
    bad = build_failure(title=LIVE * 50, got=LIVE * 1000, call="```\n" + LIVE, hint=LIVE)
    record = build_not_yet(
        criteria=tuple(
            build_criterion("failed", 0.1, title=LIVE, name=f"c{i}", failures=(bad,) * 50) for i in range(300)
        ),
        student_output=(LIVE + "\n```\n") * 9999,
    )
    text = render_markdown(record)
    assert len(text) <= MAX_REPORT_CHARACTERS
    outside = re.sub(r"(`{3,})text\n.*?\n\1(?=\n|$)", "", text, flags=re.DOTALL)
    outside = re.sub(r"(`+).+?\1", "", outside)
    assert not re.search(r"<img|@everyone|(?<!\\)!\[|(?<!\\)\]\(", outside)
    assert "\x1b" not in render_markdown(build_hostile_result())


@pytest.mark.parametrize(
    "hostile",
    [
        LIVE,
        "](https://e.org) [x",
        "x\n\n# heading\n\n<script>alert(1)</script>",
        "[r]: https://e.org\n[r]",
        "```\n</details>\n```",
        "&lt;img src=x&gt; &#60;b&#62;",
        "\\[a\\](https://e.org) \\<b>",
        "| a | b |\n| - | - |",
        "1. one",
        "<!-- -->",
        "</summary></details>",
    ],
)
def test_a_reader_of_markdown_finds_nothing_live(hostile: str) -> None:
    """A CommonMark parser sees the report's own HTML and no link, image or markup of the student's."""
    bad = build_failure(
        title=hostile, call=hostile, got=hostile, hint=hostile, detail=hostile, file=hostile, test=hostile
    )
    record = build_not_yet(
        name=hostile,
        criteria=(build_criterion("failed", 0.1, explanation=hostile, how=hostile, failures=(bad, bad)),),
        student_output=hostile,
        provisional_because=(hostile,),
        reproduce=hostile,
        submission=SubmissionRecord(digest=hostile, files=(), refused=(Note(path=hostile, message=hostile),)),
        course=CourseRecord(name=hostile, version=hostile, digest="c", changed=(hostile,)),
    )
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = [t for token in parser.parse(render_markdown(record)) for t in (token, *(token.children or ()))]
    own = r"<br>|</?sub>|<details><summary>[\w ]+</summary>|</details>"
    html = [t.content.strip() for t in tokens if t.type in ("html_inline", "html_block")]
    assert all(re.fullmatch(own, piece) for piece in html)
    assert not {t.type for t in tokens} & {
        "link_open",
        "image",
        "em_open",
        "ordered_list_open",
        "hr",
        "blockquote_open",
    }
    assert len([t for t in tokens if t.type == "heading_open"]) == 3
    assert len([t for t in tokens if t.type == "table_open"]) == 1


def test_json_is_canonical_and_comes_back() -> None:
    """The same record gives the same bytes, which validate against the schema and read as the same record."""
    record = build_not_yet()
    text = encode_result(record)
    assert text == encode_result(decode_result(text))
    assert decode_result(text) == record
    jsonschema.validate(json.loads(text), json.loads((ROOT / result_schema.PATH).read_text(encoding="utf-8")))


def test_a_record_from_before_there_were_pictures_is_read() -> None:
    """It has none; one with pictures comes back with them."""
    shown = Picture(name="step_microseconds", seed=1, shape=(2,), labels=("module 06", "module 13"), values=(9, 5))
    document = json.loads(encode_result(build_result(pictures=(shown,))))
    assert decode_result(json.dumps(document)).pictures == (shown,)
    del document["pictures"]
    assert decode_result(json.dumps(document)).pictures == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "holiday"},
        {"shape": [2, 3]},
        {"shape": [4]},
        {"shape": [1, 4]},
        {"labels": ["a"]},
        {"values": [1, 2, 3]},
        {"values": [1, 2, 3, 0.5]},
        {"values": [1, 2, 3, 10**10]},
        {"shape": [50, 50], "values": [0] * 2500, "labels": []},
        {"shape": [0, 0], "values": [], "labels": []},
    ],
    ids=str,
)
def test_a_picture_is_bounded_and_of_its_kind(wrong: dict) -> None:
    """Whole numbers of a known kind and its number of axes, as many as the shape says, and never very many."""
    document = json.loads(encode_result(build_result()))
    right = {"name": "confusions", "seed": 1, "shape": [2, 2], "labels": ["a", "b"], "values": [1, 2, 3, 4]}
    assert decode_result(json.dumps(document | {"pictures": [right]}))
    with pytest.raises(ValidationError):
        decode_result(json.dumps(document | {"pictures": [right | wrong]}))


@pytest.mark.parametrize(
    "right",
    [
        {"name": "rivals", "shape": [1, 4], "labels": ["a"], "values": [1, 2, 3, 4]},
        {"name": "rivals_on_text", "shape": [2], "labels": ["a", "b"], "values": [1, 2]},
        {"name": "attention", "shape": [1, 1, 2], "labels": ["a", "b", "c"], "values": [1, 2]},
    ],
    ids=str,
)
@pytest.mark.parametrize("wrong", [{"labels": ["a"] * 5}, {"shape": [1, 5]}, {"shape": [1, 2, 1]}, {"values": [0.5]}])
def test_a_picture_of_a_writer_is_of_its_kind_as_well(right: dict, wrong: dict) -> None:
    """Four sets of rivals, a label for each token of attention and one more, no more written than there is."""
    document = json.loads(encode_result(build_result()))
    assert decode_result(json.dumps(document | {"pictures": [{"seed": 1, **right}]}))
    with pytest.raises(ValidationError):
        decode_result(json.dumps(document | {"pictures": [{"seed": 1, **right, **wrong}]}))


@pytest.mark.parametrize("wrong", [{"kind": "poem"}, {"right": None}, {"kind": "text"}, {"written": None}], ids=str)
def test_writings_are_judged_and_bounded(wrong: dict) -> None:
    """Functions and stories are right or wrong, real text is neither, and none is longer than is kept."""
    document = json.loads(encode_result(build_result()))
    right = {"kind": "story", "prompt": "p" * 5000, "written": "w" * 5000, "right": True}
    (kept,) = decode_result(json.dumps(document | {"writings": [right]})).writings
    assert (len(kept.prompt), len(kept.written)) == (WRITTEN, WRITTEN)
    for many in ([right | wrong], [right] * 13):
        with pytest.raises(ValidationError):
            decode_result(json.dumps(document | {"writings": many}))


def test_json_has_no_nan_and_no_raw_control() -> None:
    """NaN and infinities are null; the text is ASCII, so nothing in it drives a terminal."""
    record = build_result(
        build_criterion("failed", math.nan),
        build_loss_criterion("failed", math.inf),
        student_output="\x1b[31m\x9b \ud800",
    )
    text = encode_result(record)
    assert [c["measured"] for c in json.loads(text)["criteria"]] == [None, None]
    assert text.isascii()
    assert "\x1b" not in text
    assert decode_result(text).student_output == "\x1b[31m\x9b ?"


def test_junit_has_a_case_per_criterion() -> None:
    """Counts agree with the cases; a failure names what to fix; what was not attempted is skipped."""
    suite = ET.fromstring(render_junit(build_not_yet())).find("testsuite")  # noqa: S314 - our own output
    cases = suite.findall("testcase")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "2",
        "1",
        "0",
        "1",
    )
    assert [len(case) for case in cases] == [1, 1]
    assert "tensor.py:41" in cases[0].find("failure").text
    assert "fix the module tests" in cases[1].find("skipped").get("message")
    error = build_result(build_criterion("error", None, explanation="No disk."), verdict=Verdict.ERROR)
    assert ET.fromstring(render_junit(error)).find(".//error").get("message") == "No disk."  # noqa: S314 - our own output


def test_junit_says_what_a_verdict_stands_on() -> None:
    """A stand-in is named next to the verdict, and the data set with its digest."""
    data = DataRecord(name="digits", digest="ab12", stand_in_for="mnist")
    stood_in = build_result(verdict=Verdict.PROVISIONAL).model_copy(
        update={"provisional_because": ("digits was used instead of mnist",), "data": (data,)}
    )
    found = ET.fromstring(render_junit(stood_in)).iter("property")  # noqa: S314 - our own output
    properties = {p.get("name"): p.get("value") for p in found}
    assert properties["verdict"] == "provisional"
    assert properties["provisional_because"] == "digits was used instead of mnist"
    assert properties["data"] == "digits, digest ab12"


def test_junit_is_xml_whatever_the_text() -> None:
    """Control characters, surrogates and ends of CDATA leave well-formed XML."""
    text = "\x00\x0b\ufffe\uffff ]]> <a> & \ud800 \x1b[31m \N{PILE OF POO}"
    record = build_not_yet(
        criteria=(build_criterion("failed", 0.0, title=text, failures=(build_failure(got=text),)),), student_output=text
    )
    parsed = ET.fromstring(render_junit(record))  # noqa: S314 - our own output
    assert "]]> <a> &" in parsed.find(".//system-out").text


def test_a_badge_speaks_to_screen_readers_and_both_themes() -> None:
    """The SVG has a title and a description, and colours for a dark page."""
    svg = ET.fromstring(render_badge(build_result()))  # noqa: S314 - our own output
    space = "{http://www.w3.org/2000/svg}"
    assert svg.get("role") == "img"
    assert svg.find(f"{space}title").text == "TinyTorch, Milestone 1: Basic Inference"
    assert svg.find(f"{space}title").get("id") in svg.get("aria-labelledby")
    assert "The loss after training is small: 0.042" in svg.find(f"{space}desc").text
    assert "prefers-color-scheme: dark" in svg.find(f"{space}style").text


def test_a_badge_escapes_and_is_only_for_the_unlocked() -> None:
    """Names are text in the SVG; a milestone that is not unlocked has no badge."""
    svg = render_badge(build_result(name="<script>alert(1)</script>", medal='"&<x>'))
    assert "<script" not in svg
    ET.fromstring(svg)  # noqa: S314 - our own output
    with pytest.raises(ValueError, match="unlocked"):
        render_badge(build_not_yet())


def test_a_badge_shows_a_share_rather_than_a_loss() -> None:
    """Of the measured figures, the first share that had to be reached stands on the badge."""
    fresh = build_loss_criterion(
        "passed", 0.09, title="Fresh weights", unit=Unit.FRACTION, threshold=0.3, comparison="at_most"
    )
    share = build_loss_criterion(
        "passed", 0.97, title="Digits read", unit=Unit.FRACTION, threshold=0.95, comparison="at_least"
    )
    assert "Digits read: 97%" in render_badge(build_result(fresh, build_loss_criterion(), share))


def test_a_provisional_badge_says_so() -> None:
    """Provisionally unlocked is written on the badge."""
    assert "Provisionally unlocked on 2026-03-01" in render_badge(build_result(verdict=Verdict.PROVISIONAL))


def test_the_schema_is_up_to_date_and_the_check_can_fail(tmp_path: Path) -> None:
    """The published schema is the code's; an edited one is noticed and written again."""
    assert result_schema.main(["--check"], ROOT) == 0
    assert result_schema.main(["--check"], tmp_path) == 1
    assert result_schema.main([], tmp_path) == 0
    assert result_schema.main(["--check"], tmp_path) == 0
    assert result_schema.main(["--chekc"], tmp_path) == 2


def test_every_field_of_the_record_is_documented() -> None:
    """docs/result-format.md names each field of each part of the record."""
    document = (ROOT / "docs" / "result-format.md").read_text(encoding="utf-8")
    models = [m for m in vars(records).values() if isinstance(m, type) and issubclass(m, records.Record)]
    fields = {name for model in models for name in model.model_fields}
    assert issubclass(Result, BaseModel)
    assert not {name for name in fields if not re.search(rf"[`.]{name}`", document)}


@pytest.mark.parametrize(
    ("shape", "pixels"),
    [
        ((1, 2, 2), "AAAA"),
        ((1, 2, 2), "AAAAAA=="[:-1]),
        ((1, 2, 2), "<b>?"),
        ((2, 1, 2), "AAAAAA=="),
        ((1, 1, 33), "A" * 44),
        ((3, 0, 1), ""),
    ],
    ids=str,
)
def test_an_image_that_does_not_fit_its_shape_is_refused(shape: tuple[int, int, int], pixels: str) -> None:
    """A wrong number of bytes, invalid base64, other channels, sides that are too long or zero."""
    with pytest.raises(ValidationError):
        NamedImage.model_validate({"shows": "7", "named": "1", "percent": 3, "shape": shape, "pixels": pixels})


def test_a_badge_needs_no_font_with_signs() -> None:
    """The medal is drawn; its name is next to it, without the sign that older records have before it."""
    svg = render_badge(build_result(medal="\N{THIRD PLACE MEDAL} Bronze — First Light"))
    assert "Medal: Bronze — First Light" in svg
    assert all(ord(character) < 0x2190 for character in svg)
    assert 'fill="#d9a066"' in svg
