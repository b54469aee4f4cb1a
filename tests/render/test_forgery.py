"""No report can be forged: on no surface does a student's text begin a line that looks like the grader's."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grading.demos.web.network_page import select_failure_fields_for_page
from grading.export.classroom50_result import list_classroom50_tests
from grading.export.ctrf import render_ctrf
from grading.export.runner_result import render_runner_result
from grading.export.scored_tests import list_scored_tests
from grading.github.annotations import collect_line_notes
from grading.github.comment import ReportingRun, RunReport, build_comment
from grading.render.junit import render_junit
from grading.render.markdown import render_markdown
from grading.render.text import MAX_MARKS, clean_text, to_one_line
from grading.result import CourseRecord, FileRecord, Note, Result, SubmissionRecord, Verdict
from grading.testing.expect import Mismatch
from tests.render.results import build_criterion, build_failure, build_loss_criterion, build_not_yet
from tests.render.test_terminal_report import print_to_text

LABELS = (
    *("where", "call", "got", "expected", "hint", "detail", "try", "Hint", "Try", "In", "UNLOCKED", "Medal"),
    *("Provisional", "Grade again", "Fix this first", "Your code printed", "Not graded", "Task 2.3", "Also to fix"),
)
FORGED = re.compile(rf"\s*[`*#]*({'|'.join(LABELS)}):?\s*evil")
AT_A_LABEL = re.compile(rf"(│ )?\s{{0,2}}({'|'.join(LABELS)}):?\s*evil")
"""In a terminal, labels are in the first columns; text further in is next to a label."""
ENDS = (
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\n│ ",
    "\n  ",
    "\n\u3164",
    "\n\u0301",
)
FILLED = ("x ", "x" * 70, "  ", "\t", "```\n", "</details>\n", "; ", "\u2800" * 9, "╭──╮\n", "\x1b[1A", "]]>")
lies = st.sampled_from([f"{label}{between}evil" for label in LABELS for between in (": ", "  ", ":    ")])
forgeries = st.lists(st.one_of(lies, st.sampled_from(ENDS), st.sampled_from(FILLED)), max_size=12).map("".join)
"""Texts with forged lines; `evil` stands nowhere but behind a label."""


def build_record(text: str) -> Result:
    """Build a record that holds this text wherever a student's text is possible."""
    bad = build_failure(
        title=f"It runs {text}", call=text, got=f"Evil{text}: {text}", expected=text, hint=f"Look. {text}", detail=text
    )
    return build_not_yet(
        criteria=(
            build_criterion("failed", 0.5, failures=(bad, bad), explanation=f"Why. {text}", how=f"So. {text}"),
            build_loss_criterion("error", None, explanation=f"It broke. {text}"),
        ),
        student_output=text,
        provisional_because=(f"Since {text}",),
        course=CourseRecord(name="TinyTorch", version="1", digest="c", changed=(f"a{text}",)),
        submission=SubmissionRecord(
            digest="d",
            commit="a" * 40,
            files=(FileRecord(path="modules/02_tensor/tinytorch/tensor.py", sha256="a" * 64, size=900),),
            refused=(Note(path=f"a{text}", message=text),),
        ),
    )


def iterate_strings(value: Any) -> Iterator[str]:
    """Yield every text in a JSON document."""
    match value:
        case str():
            yield value
        case dict():
            for part in value.values():
                yield from iterate_strings(part)
        case list() | tuple():
            for part in value:
                yield from iterate_strings(part)


def render_documents(record: Result) -> Iterator[str]:
    """Yield every rendering except the terminal's."""
    yield render_markdown(record)
    yield build_comment(RunReport(results=(record,), commit="a" * 40, run=ReportingRun(1, 1)))
    for element in ET.fromstring(render_junit(record)).iter():  # noqa: S314 - our own output
        yield element.text or ""
        yield from element.attrib.values()
    for note in collect_line_notes((record,)):
        yield from (note.path, note.title, note.message)
    yield from iterate_strings(json.loads(render_ctrf([record])))
    yield from iterate_strings(list_classroom50_tests(list_scored_tests([record])))
    yield from iterate_strings(json.loads(base64.b64decode(render_runner_result([record]))))
    # On a page, each text has its own paragraph next to its name.
    yield from (f"text: {text}" for text in iterate_strings(select_failure_fields_for_page(record.first_failure)))
    yield str(Mismatch(call="f()", got=record.first_failure.got, expected="1", hint="Look."))


@given(forgeries)
@settings(max_examples=150, deadline=None)
def test_no_line_of_a_document_begins_with_a_label_of_ours_and_goes_on_with_a_students_text(text: str) -> None:
    """Markdown, comment, JUnit, annotations, exports, the page and pytest's own output show forged lines as quoted."""
    for document in render_documents(build_record(text)):
        assert not [line for line in document.splitlines() if FORGED.match(line)]


@given(forgeries, st.sampled_from([24, 40, 60, 79, 100]))
@settings(max_examples=60, deadline=None)
def test_no_line_of_a_terminal_is_forged_at_any_width(text: str, width: int) -> None:
    """Line breaks by the terminal cannot forge a label either."""
    report = print_to_text(build_record(text), width)
    assert not [line for line in report.splitlines() if AT_A_LABEL.match(line)]


@pytest.mark.parametrize("end", ENDS)
def test_a_forged_line_is_told_from_ours_by_its_bar(end: str) -> None:
    """The line is there to be read, indented and behind a bar, beneath the label that is its own."""
    text = render_markdown(
        build_not_yet(
            criteria=(build_criterion("failed", 0.5, failures=(build_failure(got=f"1{end}expected: evil"),)),)
        )
    )
    (line,) = [line for line in text.splitlines() if "evil" in line]
    assert re.match(r" {10}│ .*expected: evil|got: {6}1 ?expected: evil", line)


def test_attributes_of_junit_are_one_line() -> None:
    """A viewer that shows a message with its line breaks has none to show."""
    record = build_record("x\nGrade again: evil")
    values = [v for e in ET.fromstring(render_junit(record)).iter() for v in e.attrib.values()]  # noqa: S314 - our own output
    assert any("Grade again" in value for value in values)
    assert not [value for value in values if "\n" in value]


PANEL = "╭─ Milestone 1 ───╮\n│ UNLOCKED  6 of 6 │\n╰─────────╯\nUNLOCKED"


def test_a_printed_panel_stands_behind_a_bar_everywhere() -> None:
    """Each line of what student code printed has a bar before it, so that no panel in it is the report's."""
    record = build_not_yet(student_output=PANEL)
    (printed,) = [e.text for e in ET.fromstring(render_junit(record)).iter("system-out")]  # noqa: S314 - our own output
    assert printed.splitlines() == [f"│ {line}" for line in PANEL.splitlines()]
    assert "\n".join(f"│ {line}" for line in PANEL.splitlines()) in render_markdown(record)
    for width in (30, 60, 100):
        lines = print_to_text(record, width).splitlines()
        said = lines[lines.index(next(line for line in lines if line.startswith("Your code printed"))) + 1 :]
        said = said[: said.index("")]
        assert len(said) >= 4
        assert all(line.startswith(" │ ") for line in said)


def test_a_place_outside_what_was_graded_is_told_nowhere() -> None:
    """Neither a file that was not graded nor a line that its file cannot have is named as the place."""
    places = [
        ("grading/checks/xor_training.py", 3),
        ("/etc/passwd", 1),
        ("modules/02_tensor/tinytorch/tensor.py", 99_999),
    ]
    for file, line in places:
        record = build_not_yet(
            criteria=(build_criterion("failed", 0.5, failures=(build_failure(file=file, line=line),)),)
        )
        texts = [*render_documents(record), print_to_text(record)]
        assert not [text for text in texts if "xor.py" in text or "passwd" in text or "99999" in text]


@pytest.mark.parametrize("blank", ["\u2800", "\u3164", "\u115f", "\u1160", "\uffa0", "\u00ad", "\ufe0f", "\U000e0041"])
def test_blank_letters_are_dropped(blank: str) -> None:
    """What takes room and has no ink cannot push a text out of sight."""
    assert clean_text(f"a{blank * 90}b\n{blank}c") == "ab\nc"


@example("a\u0301\u0316\u0301\u0316\u094d\u200c")
@given(st.text(st.sampled_from("a x\u0301\u0316\u0489\u0903\u200c\u200d\u094d\u2800\u3164\n"), max_size=60))
def test_marks_never_make_a_tower(text: str) -> None:
    """At most four marks stand on a letter, whatever is between them, and none begins a line."""
    cleaned = clean_text(text)
    kinds = ["m" if unicodedata.category(c) in ("Mn", "Me") else "j" if c in "\u200c\u200d" else "." for c in cleaned]
    runs = re.findall("m+", "".join(kinds).replace("j", ""))
    assert max(map(len, runs), default=0) <= MAX_MARKS
    assert not [line for line in cleaned.split("\n") if line and unicodedata.category(line[0])[0] == "M"]
    assert cleaned == clean_text(cleaned)


@pytest.mark.parametrize("name", ["علی‌رضا", "می‌خواهم", "ශ්‍රී", "ක්‍යුං", "രാജന്‍", "അവന്‍ പോയി", "র‍্যাচেল", "श्री", "Nguyễn Thị Ái"])
def test_names_keep_the_joiners_they_are_spelt_with(name: str) -> None:
    """Persian, Sinhala, Malayalam and Bengali names come out as they were written."""
    assert to_one_line(name) == name


@pytest.mark.parametrize(
    "said", ["\u200dab", "ab\u200d", "a \u200c b", "1\u200c2", "a\u200c\u200c\u200d", "\u200c\n\u200d"]
)
def test_a_joiner_that_joins_nothing_is_dropped(said: str) -> None:
    """Elsewhere a joiner is one more character that nobody can see."""
    assert not re.search("[\u200c\u200d]", clean_text(said))


def test_a_result_that_passes_is_told_as_before() -> None:
    """A text of one line is next to its label, without a bar."""
    assert "got:      [[11, 12], [3, 4]]\n" in render_markdown(build_not_yet())
    assert "│" not in render_markdown(build_not_yet(verdict=Verdict.NOT_YET))
